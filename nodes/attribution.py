"""Attribution Overlay: where in a render an encoder finds a concept or a feature."""

from __future__ import annotations

import torch
from comfy_api.latest import io, ui
from torch import Tensor
from torch.nn.functional import interpolate

from ..ops.concept import Concept, feature_index
from ..ops.features.dictionary import Dictionary
from ..ops.rounding import rounded
from ..ops.interpret.attribution import PLANES, Attribution, integrated_gradients, relevance, rollout
from ..ops.interpret.detector import Detector, concept_detector, feature_detectors
from ..ops.interpret.overlay import overlay
from ..ops.interpret.seen import Seen, see
from ..ops.space import Modality
from . import host
from .sockets import READING, ConceptSocket, EncoderSocket, HostedEncoder, Rendered, RenderSocket, SAESocket

METHODS = ("relevance", "integrated gradients", "rollout")
LESS = "Of the methods rollout needs least, and a render takes as much at any size: close what else is loaded."


class AttributionOverlay(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAlgebra_AttributionOverlay",
            display_name="Attribution Overlay",
            category=READING,
            description="Shows where in a picture, a sound or a clip the encoder finds a concept, or one named feature: a map, laid over the render.",
            inputs=[
                io.Combo.Input(
                    "method", options=list(METHODS), default=METHODS[0],
                    tooltip="relevance is quick and shows what speaks for it. integrated gradients takes longer, shows what speaks against it too, and adds up. rollout shows where the encoder looks, whatever is asked.",
                ),
                io.String.Input("feature", default="", tooltip="The name of one feature of the SAE, to look for in place of the concept. May be empty."),
                RenderSocket.Input("render", tooltip="The render to look at."),
                EncoderSocket.Input("encoder", tooltip="The encoder that looks: the one that made the concept."),
                ConceptSocket.Input("concept", optional=True, tooltip="What to look for. Unconnected: what the render was made of."),
                SAESocket.Input("sae", optional=True, tooltip="From Load SAE: whose features are meant."),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The map over the render in grey: red speaks for it, blue against it."),
                io.Mask.Output(display_name="mask", tooltip="What speaks for it, 0 to 1, in the square that the encoder sees; of a clip one for each frame that it sees."),
                io.String.Output(display_name="report", tooltip="What was looked for, how much of it was found, and whether the map adds up."),
            ],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, method: str | None = None, feature: str | None = None) -> bool | str:
        if feature and feature.strip() and method == "rollout":
            return "rollout shows where the encoder looks, the same for every feature: take another method, or leave feature empty"
        return True

    @classmethod
    @host.plain
    def execute(
        cls, method: str, feature: str, render: Rendered, encoder: HostedEncoder, concept: Concept | None = None, sae: Dictionary | None = None
    ) -> io.NodeOutput:
        if method not in METHODS:  # ComfyUI checks what is typed, and not what comes over a link
            raise ValueError(f"method is '{method}', expected {', '.join(METHODS)}")
        if (said := cls.validate_inputs(method, feature)) is not True:
            raise ValueError(said)
        made = render.render
        wanted = None if method == "rollout" else detector(feature.strip(), concept or render.concept, sae, made.modality)
        residents = encoder.of([made.modality])
        tower = encoder.encoder.towers[made.modality]
        with host.explained(LESS):
            host.load(residents, tower.saved_bytes() * (PLANES if method == "integrated gradients" else 1))
            try:
                seen = see(encoder.encoder, made.media[None], render.generator)
                found = attributed(method, seen, wanted)
            finally:
                host.release()
        image = overlay(found, seen.shown).movedim(0, -1)[None]
        report = told(found)
        preview = ui.PreviewImage(image, cls=cls).as_dict()
        return io.NodeOutput(image, mask_of(found, seen.shown), report, ui={**preview, "text": (report,)})


def detector(feature: str, concept: Concept, sae: Dictionary | None, modality: Modality) -> Detector:
    """What to look for: a feature where one is named, else the concept. ValueError for a name without an SAE, or not of it."""
    if not feature:
        return concept_detector(concept)
    if sae is None:
        raise ValueError(f"feature names '{feature}', and no SAE is connected to say whose: connect Load SAE, or leave feature empty for the concept")
    return feature_detectors(sae, [feature_index(feature, sae)], modality)[0]


def attributed(method: str, seen: Seen, wanted: Detector | None) -> Attribution:
    """The map that a method gives of a medium. Stops when cancelled."""
    if wanted is None:
        return rollout(seen)
    if method == "relevance":
        return relevance(seen, [wanted])[0]
    return integrated_gradients(seen, [wanted], check=host.stop_if_asked)[0]


def mask_of(found: Attribution, shown: Tensor) -> Tensor:
    """What speaks for it as MASK [T, H, W] in 0..1, as large as what the encoder saw, [T, 3, H, W]. A sound has low pitches below."""
    speaking = found.values.reshape(-1, 1, *found.values.shape[-2:]).clamp_min(0)
    mask = interpolate(speaking, shown.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    mask = mask / mask.max().clamp_min(torch.finfo(mask.dtype).tiny)
    return mask.flip(-2) if found.modality == "audio" else mask


def told(found: Attribution) -> str:
    """What was found, in a line or two."""
    if found.of is None or found.value is None:
        return "where the encoder looked, whatever is asked"
    said = f"{found.of}: {rounded(found.value)}"
    if found.baseline is not None:
        said += f", and {rounded(found.baseline)} when blurred; the map adds up to the difference but for {found.residual:.1%}"
    return said + ("" if found.active is not False else "; below the threshold from which the feature counts as there")
