"""The example workflows, described once and written in both forms that ComfyUI knows.

    python tools/workflows.py                                      write workflows/*.json and workflows/api/*.json
    python tools/workflows.py --thumbnails http://127.0.0.1:8188   render each on a running ComfyUI with the pack, and
                                                                   write workflows/*.jpg from what came out

`workflows/*.json` is what the Templates browser lists and the page loads, with positions, groups and notes;
`workflows/api/*.json` is what the server's /prompt takes. ComfyUI looks for templates in the folder itself and not in
folders inside it, so the second form is not listed.
"""

from __future__ import annotations

import argparse
import io
import json
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from concept_algebra.ops.priors.settings import BridgeSettings

FOLDER = Path(__file__).parents[1] / "workflows"
TITLE, GAP, PAD, HEAD = 30, 60, 20, 50
"""Pixels: of a node's title bar above its position; between nodes, with room for the newer renderer, which draws nodes
up to 30 px taller; between a group's edge and its nodes; and of a group's own title."""
CONTROL = "control_after_generate"
"""The value that follows a seed or an index in a saved workflow: what becomes of it after each run."""


@dataclass(frozen=True)
class Kind:
    """A node class as the page saves it: its widgets with types and usual values in the schema's order, its sockets,
    its outputs, and the room it takes."""

    widgets: dict[str, tuple[str, Any]]
    sockets: dict[str, str]
    outputs: dict[str, str]
    width: int = 300
    height: int = 90


CONCEPT, ENCODER, GENERATOR = {"concept": "CONCEPT"}, {"encoder": "CONCEPT_ENCODER"}, {"generator": "CONCEPT_GENERATOR"}
SAE = {"sae": "CONCEPT_SAE"}
PAIR = {"a": "CONCEPT", "b": "CONCEPT"}
PRIOR = {"prior": "CONCEPT_PRIOR"}
SEEDS = [f"render_{number}" for number in range(2, 7)]
CONDITIONING = {"conditioning": "CONDITIONING"}
MEDIA = ("image", "audio", "video")
RENDERED = {"image": "IMAGE", "audio": "AUDIO", "video": "VIDEO", "latent": "LATENT", "words": "STRING", "report": "STRING"}
KINDS = {
    "ConceptAlgebra_LoadEncoder": Kind({"encoder": ("COMBO", "pocket")}, {}, ENCODER),
    "ConceptAlgebra_LoadGenerator": Kind({"generator": ("COMBO", "pocket image")}, ENCODER, {**GENERATOR, "vae": "VAE"}, height=110),
    "ConceptAlgebra_GeneratorFromCheckpoint": Kind(
        {"width": ("INT", 0), "height": ("INT", 0), "frames": ("INT", 0), "seconds": ("FLOAT", 0)},
        {"model": "MODEL", "vae": "VAE", "clip": "CLIP", "conditioning": "CONDITIONING", "fast_vae": "VAE"}, GENERATOR, height=240,
    ),
    "ConceptAlgebra_EncodeText": Kind({"text": ("STRING", "fire")}, ENCODER, CONCEPT),
    "ConceptAlgebra_EncodeImage": Kind({"name": ("STRING", "")}, {"image": "IMAGE", **ENCODER}, CONCEPT, height=120),
    "ConceptAlgebra_EncodeAudio": Kind({"name": ("STRING", "")}, {"audio": "AUDIO", **ENCODER}, CONCEPT, height=120),
    "ConceptAlgebra_Add": Kind({"weight_a": ("FLOAT", 1), "weight_b": ("FLOAT", 1)}, PAIR, CONCEPT, height=140),
    "ConceptAlgebra_Sub": Kind({"weight": ("FLOAT", 0.3)}, PAIR, CONCEPT, height=120),
    "ConceptAlgebra_Slerp": Kind({"t": ("FLOAT", 0.5)}, PAIR, CONCEPT, height=120),
    "ConceptAlgebra_Union": Kind({"mode": ("COMBO", "union")}, PAIR, CONCEPT, height=120),
    "ConceptAlgebra_Expression": Kind(
        {"expression": ("STRING", "0.3*sunset + 0.7*ocean")}, {**ENCODER, **dict.fromkeys("abcdef", "CONCEPT"), **SAE}, CONCEPT, height=250
    ),
    "ConceptAlgebra_LoadSAE": Kind({"sae": ("COMBO", "vocabulary (no training)")}, ENCODER, {**SAE, **ENCODER}, height=110),
    "ConceptAlgebra_Decompose": Kind(
        {"show": ("INT", 12), "unnamed": ("FLOAT", 1)}, {**CONCEPT, **SAE}, {**CONCEPT, "features": "STRING", "chart": "IMAGE"}, width=340, height=360
    ),
    "ConceptAlgebra_EditFeatures": Kind({"edits": ("STRING", "")}, CONCEPT, {**CONCEPT, "report": "STRING"}, width=420, height=480),
    "ConceptAlgebra_VsdPrior": Kind(
        {
            "strength": ("FLOAT", 1), "told": ("BOOLEAN", False), "every": ("INT", 1), "rank": ("INT", 8), "replay": ("INT", 64),
            "learning_rate": ("FLOAT", 0.001), "guidance": ("FLOAT", 1), "shift": ("FLOAT", 1),
        },
        CONDITIONING, PRIOR, height=280,
    ),
    "ConceptAlgebra_FlairPrior": Kind(
        {"strength": ("FLOAT", 1), "told": ("BOOLEAN", True), "levels": ("INT", 0), "guidance": ("FLOAT", 4)}, CONDITIONING, PRIOR, height=180
    ),
    "ConceptAlgebra_BridgePrior": Kind(
        {
            "strength": ("FLOAT", 1), "positive": ("STRING", BridgeSettings.positive), "negative": ("STRING", BridgeSettings.negative),
            "every": ("INT", 1), "shift": ("FLOAT", 1),
        },
        {}, PRIOR, height=360,
    ),
    "ConceptAlgebra_LatentOptimiser": Kind(
        {
            "steps": ("INT", 0), "seed": ("INT", 0), CONTROL: ("", "fixed"), "looks": ("INT", 0), "patch_weight": ("FLOAT", 0.5),
            "pooled_weight": ("FLOAT", 1), "features_weight": ("FLOAT", 0), "contrast_weight": ("FLOAT", 0),
            "total_variation_weight": ("FLOAT", 0), "spectrum_weight": ("FLOAT", 0), "norm_weight": ("FLOAT", 0),
            "framing": ("COMBO", "steady"), "candidates": ("INT", 0),
        },
        {**CONCEPT, **ENCODER, **GENERATOR, **PRIOR, "latent": "LATENT", "judge": "CONCEPT_ENCODER"},
        {"render": "CONCEPT_RENDER", **RENDERED},
        height=700,
    ),
    "ConceptAlgebra_DualTrack": Kind(
        {"steps": ("INT", 0), "seed": ("INT", 0), CONTROL: ("", "fixed"), "dial": ("FLOAT", 0), "looks": ("INT", 0), "candidates": ("INT", 0)},
        {**CONCEPT, **ENCODER, **GENERATOR, **PRIOR},
        {**dict.fromkeys(("honest", "natural", "between"), "CONCEPT_RENDER"), "images": "IMAGE", "leakage": "FLOAT", "summary": "STRING"},
        height=680,
    ),
    "ConceptAlgebra_OpenRender": Kind({}, {"render": "CONCEPT_RENDER"}, RENDERED, height=160),
    "ConceptAlgebra_SaveRender": Kind(
        {"filename_prefix": ("STRING", "render"), "audio_format": ("COMBO", "flac")}, {"render": "CONCEPT_RENDER"}, {"path": "STRING"}, height=460
    ),
    "ConceptAlgebra_Readout": Kind({"words": ("INT", 8)}, {**CONCEPT, **ENCODER}, {"words": "STRING", "phrase": "STRING"}, height=240),
    "ConceptAlgebra_CompareTracks": Kind(
        {}, {"honest": "CONCEPT_RENDER", "natural": "CONCEPT_RENDER"}, {"image": "IMAGE", "summary": "STRING"}, 460, 400
    ),
    "ConceptAlgebra_EvalCard": Kind(
        {}, {"render": "CONCEPT_RENDER", "judge": "CONCEPT_JUDGE", "base": "CONCEPT_RENDER", **ENCODER, **dict.fromkeys(SEEDS, "CONCEPT_RENDER")},
        dict.fromkeys(("card", "verdict", "markdown"), "STRING"), 440, 560,
    ),
    "ConceptAlgebra_Interpret": Kind(
        {"filename_prefix": ("STRING", "")}, {"render": "CONCEPT_RENDER", **ENCODER, **SAE},
        {"figure": "IMAGE", **dict.fromkeys(("words", "report", "bundle"), "STRING")}, 600, 800,
    ),
    "ConceptAlgebra_Showcase": Kind(
        {
            "seed": ("INT", 0), CONTROL: ("", "fixed"), "quick": ("BOOLEAN", False), "steps": ("INT", 0),
            "filename_prefix": ("STRING", "showcase"),
        },
        {**CONCEPT, **ENCODER, **dict.fromkeys(MEDIA, "CONCEPT_GENERATOR"), **PRIOR, **dict.fromkeys(("judge", "second_judge"), "CONCEPT_JUDGE")},
        {"sheet": "IMAGE", "audio": "AUDIO", "video": "VIDEO", **dict.fromkeys(("phrase", "summary", "folder"), "STRING")}, 420, 860,
    ),
    "ConceptAlgebra_AttributionOverlay": Kind(
        {"method": ("COMBO", "relevance"), "feature": ("STRING", "")},
        {"render": "CONCEPT_RENDER", **ENCODER, **CONCEPT, **SAE}, {"image": "IMAGE", "mask": "MASK", "report": "STRING"}, 440, 640,
    ),
    "ConceptAlgebra_Probe": Kind(
        {"probe": ("COMBO", "animal")}, {**ENCODER, **CONCEPT, "render": "CONCEPT_RENDER"},
        {"probability": "FLOAT", "verdict": "STRING", "warning": "STRING"}, 340, 240,
    ),
    "ConceptAlgebra_List": Kind({"targets": ("STRING", "")}, ENCODER, {"concepts": "CONCEPT", "expressions": "STRING"}, height=200),
    "ConceptAlgebra_TargetFromList": Kind(
        {"targets": ("STRING", ""), "index": ("INT", 0), CONTROL: ("", "increment")}, ENCODER,
        {**CONCEPT, "expression": "STRING", "count": "INT"}, height=240,
    ),  # fmt: skip
    # ComfyUI's own loaders, for models of one's own
    "CheckpointLoaderSimple": Kind({"ckpt_name": ("COMBO", "")}, {}, {"MODEL": "MODEL", "CLIP": "CLIP", "VAE": "VAE"}, height=120),
    "CLIPLoader": Kind({"clip_name": ("COMBO", ""), "type": ("COMBO", ""), "device": ("COMBO", "default")}, {}, {"CLIP": "CLIP"}, height=130),
    "VAELoader": Kind({"vae_name": ("COMBO", "")}, {}, {"VAE": "VAE"}),
    # ComfyUI's own; newer ones pass their input on, which no workflow here uses
    "SaveImage": Kind({"filename_prefix": ("STRING", "ComfyUI")}, {"images": "IMAGE"}, {}, height=400),
    # Save Audio is called deprecated by newer ones, and its successor is not in older ones
    "PreviewAudio": Kind({}, {"audio": "AUDIO"}, {}, height=120),
    "PreviewAny": Kind({}, {"source": "*"}, {}, height=190),
    "MarkdownNote": Kind({"text": ("STRING", "")}, {}, {}, 380, 340),
}
OPTIONAL = {
    "ConceptAlgebra_LatentOptimiser": {"prior", "latent", "judge"}, "ConceptAlgebra_DualTrack": {"prior"}, "ConceptAlgebra_Expression": {*"abcdef", "sae"},
    "ConceptAlgebra_GeneratorFromCheckpoint": {"clip", "conditioning", "fast_vae"}, "ConceptAlgebra_FlairPrior": {"conditioning"},
    "ConceptAlgebra_VsdPrior": {"conditioning"}, "ConceptAlgebra_EvalCard": {"judge", "base", "encoder", *SEEDS},
    "ConceptAlgebra_AttributionOverlay": {"concept", "sae"}, "ConceptAlgebra_Interpret": {"sae"},
    "ConceptAlgebra_Showcase": {*MEDIA, "prior", "judge", "second_judge"},
    "ConceptAlgebra_Probe": {"concept", "render"},
}  # fmt: skip
"""Sockets that the page draws as optional."""


@dataclass(eq=False)
class Node:
    """One node of a workflow; `node["image"]` is its output of that name, to be given to another node's socket."""

    id: int
    kind: str
    values: dict[str, Any]
    inputs: dict[str, tuple[Node, str]]
    title: str
    width: int
    height: int
    at: tuple[int, int] = (0, 0)

    def __getitem__(self, output: str) -> tuple[Node, str]:
        if output not in KINDS[self.kind].outputs:
            raise KeyError(f"{self.kind} has no output {output!r}")
        return self, output


@dataclass
class Flow:
    """A workflow being described: nodes first, then groups that lay them out from left to right.

    card: what stands on the thumbnail of one that needs models which are not in the pack; none is rendered for it.
    """

    name: str
    card: str = ""
    nodes: list[Node] = field(default_factory=list)
    boxes: list[tuple[str, tuple[int, int, int, int]]] = field(default_factory=list)

    def node(self, kind: str, title: str = "", width: int = 0, height: int = 0, **given: Any) -> Node:
        """Add a node: of the pack by its id without the prefix, else ComfyUI's own.

        given: values for its widgets; for its sockets a `node["output"]`, or a node whose first output it is.
        """
        kind = kind if kind in KINDS else f"ConceptAlgebra_{kind}"
        known = KINDS[kind]
        if unknown := set(given) - set(known.widgets) - set(known.sockets):
            raise TypeError(f"{kind} has no input {', '.join(sorted(unknown))}")
        values = {name: given.get(name, usual) for name, (_, usual) in known.widgets.items()}
        inputs = {}
        for name, type_ in known.sockets.items():
            if name in given:
                source = given[name]
                source = source[next(iter(KINDS[source.kind].outputs))] if isinstance(source, Node) else source
                got = KINDS[source[0].kind].outputs[source[1]]
                if type_ not in ("*", got):
                    raise TypeError(f"{kind}.{name} takes {type_}, not {got}")
                inputs[name] = source
            elif name not in OPTIONAL.get(kind, ()):
                raise TypeError(f"{kind} needs {name}")
        made = Node(len(self.nodes) + 1, kind, values, inputs, title, width or known.width, height or known.height)
        self.nodes.append(made)
        return made

    def note(self, text: str, title: str = "Read me", height: int = 0) -> Node:
        return self.node("MarkdownNote", title, height=height, text=text)

    def lay_out(self, *groups: tuple[str, list[Node] | list[list[Node]]]) -> None:
        """Groups from left to right, a title and the nodes from top to bottom (or a list of such columns); without a
        title no box is drawn. A title that begins with "v " is put under the group before it."""
        left, top, bottom, right = 0, 0, 0, 0
        for title, content in groups:
            columns = content if isinstance(content[0], list) else [content]
            if title.startswith("v "):
                title, top = title[2:], bottom + GAP
            else:
                left, top = right + (2 * PAD if right else 0), 0
            x, low = left + PAD, 0
            for column in columns:
                y = top + HEAD + TITLE
                for node in column:
                    node.at = (x, y)
                    y += node.height + TITLE + GAP
                low = max(low, y - TITLE - GAP + 2 * PAD)
                x += max(node.width for node in column) + 2 * PAD
            right, bottom = max(right, x - PAD), low
            if title:
                self.boxes.append((title, (left, top, x - PAD - left, low - top)))

    def links(self) -> Iterator[tuple[int, Node, int, Node, int, str]]:
        """(id, from, its output's place, to, its input's place, type), in the order of the nodes they lead to."""
        number = 0
        for node in self.nodes:
            for name, (source, output) in node.inputs.items():
                number += 1
                outputs = KINDS[source.kind].outputs
                yield number, source, list(outputs).index(output), node, list(KINDS[node.kind].sockets).index(name), outputs[output]

    def page(self) -> dict[str, Any]:
        """The form that the page saves and loads: sockets come before widgets among a node's inputs."""
        links = list(self.links())

        def saved(node: Node) -> dict[str, Any]:
            kind = KINDS[node.kind]
            into = {place: number for number, _, _, to, place, _ in links if to is node}
            sockets = [
                {"name": name, "type": type_, **({"shape": 7} if name in OPTIONAL.get(node.kind, ()) else {}), "link": into.get(place)}
                for place, (name, type_) in enumerate(kind.sockets.items())
            ]
            note = node.kind == "MarkdownNote"
            widgets = [
                {"name": name, "type": type_, "widget": {"name": name}, "link": None}
                for name, (type_, _) in kind.widgets.items()
                if name != CONTROL and not note
            ]
            outputs = [
                {"name": name, "type": type_, "links": [number for number, source, at, *_ in links if (source, at) == (node, place)]}
                for place, (name, type_) in enumerate(kind.outputs.items())
            ]
            return {
                "id": node.id,
                "type": node.kind,
                "pos": list(node.at),
                "size": [node.width, node.height],
                "flags": {},
                "order": node.id - 1,
                "mode": 0,
                "inputs": sockets + widgets,
                "outputs": outputs,
                **({"title": node.title} if node.title else {}),
                "properties": {} if note else {"Node name for S&R": node.kind},
                "widgets_values": list(node.values.values()),
                **({"color": "#432", "bgcolor": "#653"} if note else {}),
            }

        return {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"concept-algebra/{self.name}")),
            "revision": 0,
            "last_node_id": len(self.nodes),
            "last_link_id": len(links),
            "nodes": [saved(node) for node in self.nodes],
            "links": [[number, source.id, out, to.id, into, type_] for number, source, out, to, into, type_ in links],
            "groups": [
                {"id": number, "title": title, "bounding": list(box), "color": "#3f789e", "font_size": 24, "flags": {}}
                for number, (title, box) in enumerate(self.boxes, 1)
            ],
            "config": {},
            "extra": {"ds": {"scale": 0.6, "offset": [80, 160]}},
            "version": 0.4,
        }

    def api(self) -> dict[str, Any]:
        """The form that /prompt takes: no notes, no places, and every input by its name."""
        graph = {}
        for node in self.nodes:
            if node.kind == "MarkdownNote":
                continue
            values = {name: value for name, value in node.values.items() if name != CONTROL}
            wires = {
                name: [str(source.id), list(KINDS[source.kind].outputs).index(output)] for name, (source, output) in node.inputs.items()
            }
            graph[str(node.id)] = {"inputs": {**values, **wires}, "class_type": node.kind}
        return graph


LOAD, CONCEPTS, RENDER, LOOK = "1 · Load", "2 · Concept", "3 · Render", "4 · Look"
PICTURE, SOUND, SLOW = 40, 60, 120
"""Steps of the examples: a first look, and what VSD takes for one. The notes say how to get the full length."""
FULL = "**steps** is set low for a first look; **0** takes the full length, which draws cleaner and takes longer."


def prefix(flow: Flow, part: str = "") -> str:
    """Where a workflow's files go in ComfyUI's output folder."""
    return f"concept-algebra/{flow.name}{part}"


def loaders(f: Flow) -> tuple[Node, Node, Node]:
    """Encoder, picture generator and prior: what nearly every workflow begins with."""
    encoder = f.node("LoadEncoder")
    return encoder, f.node("LoadGenerator", encoder=encoder), f.node("FlairPrior")


def fire_and_water() -> Flow:
    f = Flow("fire-and-water")
    note = f.note(
        "# Fire and water\n\n"
        "Two words become two places in one embedding space. Their sum is a third place, and the generators' latents are "
        "optimised until what they decode to embeds *there*. No prompt is involved.\n\n"
        "**Look at** the picture and the sound: one concept, two media. The readout names the target, the "
        "*came out as* nodes what the encoder sees in each render.\n\n"
        "**Change** the two words, or the seed. " + FULL + "\n\n"
        "For a clip too, set a Load Generator to *pocket video* and save the optimiser's *video*."
    )
    encoder = f.node("LoadEncoder")
    image = f.node("LoadGenerator", encoder=encoder)
    audio = f.node("LoadGenerator", encoder=encoder, generator="pocket audio")
    prior = f.node("FlairPrior")
    a, b = f.node("EncodeText", text="fire", encoder=encoder), f.node("EncodeText", text="water", encoder=encoder)
    both = f.node("Add", a=a, b=b)
    readout = f.node("Readout", concept=both, encoder=encoder)
    words = f.node("PreviewAny", "The target in words", source=readout["words"])
    picture = f.node("LatentOptimiser", "Latent Optimiser (picture)", steps=PICTURE, concept=both, encoder=encoder, generator=image, prior=prior)
    sound = f.node("LatentOptimiser", "Latent Optimiser (sound)", steps=SOUND, concept=both, encoder=encoder, generator=audio, prior=prior)
    save = f.node("SaveImage", images=picture["image"], filename_prefix=prefix(f))
    came = f.node("PreviewAny", "The picture came out as", source=picture["words"])
    play = f.node("PreviewAudio", audio=sound["audio"])
    heard = f.node("PreviewAny", "The sound came out as", source=sound["words"])
    f.lay_out(
        ("", [note]), (LOAD, [encoder, image, audio, prior]), (CONCEPTS, [a, b, both]), ("v The target in words", [readout, words]),
        (RENDER, [picture, sound]), (LOOK, [save, came, play, heard]),
    )  # fmt: skip
    return f


def sunset_and_ocean() -> Flow:
    f = Flow("sunset-and-ocean-by-weight")
    note = f.note(
        "# Sunset and ocean, by weight\n\n"
        "The same two concepts, mixed 0.3 to 0.7 and 0.7 to 0.3, drawn from the same seed.\n\n"
        "**Look at** how the drawing changes sides with the weights, and the order of the words in the two readouts.\n\n"
        "**Change** the weights in Concept Add. A negative one takes away. The second sum is written as one line in "
        "Concept Expression, where **a** and **b** are the sockets; plain words work too.\n\n" + FULL
    )
    encoder, image, prior = loaders(f)
    a, b = f.node("EncodeText", text="sunset", encoder=encoder), f.node("EncodeText", text="ocean", encoder=encoder)
    ocean = f.node("Add", weight_a=0.3, weight_b=0.7, a=a, b=b)
    sunset = f.node("Expression", expression="0.7*a + 0.3*b", encoder=encoder, a=a, b=b)
    ends = []
    for name, concept in (("ocean", ocean), ("sunset", sunset)):
        readout = f.node("Readout", f"Concept Readout ({name})", concept=concept, encoder=encoder)
        words = f.node("PreviewAny", f"Mostly {name}, in words", source=readout["words"])
        render = f.node("LatentOptimiser", f"Latent Optimiser ({name})", steps=PICTURE, concept=concept, encoder=encoder, generator=image, prior=prior)
        save = f.node("SaveImage", f"Save Image (mostly {name})", images=render["image"], filename_prefix=prefix(f, f"-{name}"))
        ends.append((readout, words, render, save))
    (r1, w1, o1, s1), (r2, w2, o2, s2) = ends
    f.lay_out(
        ("", [note]), (LOAD, [encoder, image, prior]), (CONCEPTS, [a, b, ocean, sunset]),
        ("3 · Mostly ocean", [[o1], [s1]]), ("v The target in words", [[r1], [w1]]),
        ("4 · Mostly sunset", [[o2], [s2]]), ("v The target in words", [[r2], [w2]]),
    )  # fmt: skip
    return f


def hairless_dog() -> Flow:
    f = Flow("hairless-dog")
    note = f.note(
        "# Hairless dog\n\n"
        "**dog - 0.3 \\* fur**: a concept with a part taken out of it.\n\n"
        "**Look at** the two pictures, drawn from one seed, and at the words of the target in the readout.\n\n"
        "**Change** the weight in Concept Sub. At 0 it is the dog; at 1 little of the dog is left; a negative weight adds fur. "
        "Or take something else away: *bird* minus *wings*, *snowman* minus *snow*.\n\n" + FULL
    )
    encoder, image, prior = loaders(f)
    dog, fur = f.node("EncodeText", text="dog", encoder=encoder), f.node("EncodeText", text="fur", encoder=encoder)
    less = f.node("Sub", weight=0.3, a=dog, b=fur)
    plain = f.node("LatentOptimiser", "Latent Optimiser (dog)", steps=PICTURE, concept=dog, encoder=encoder, generator=image, prior=prior)
    bare = f.node("LatentOptimiser", "Latent Optimiser (less fur)", steps=PICTURE, concept=less, encoder=encoder, generator=image, prior=prior)
    before = f.node("SaveImage", "Save Image (dog)", images=plain["image"], filename_prefix=prefix(f, "-before"))
    after = f.node("SaveImage", "Save Image (dog - 0.3 fur)", images=bare["image"], filename_prefix=prefix(f))
    readout = f.node("Readout", concept=less, encoder=encoder)
    words = f.node("PreviewAny", "The target in words", source=readout["words"])
    f.lay_out(
        ("", [note]), (LOAD, [encoder, image, prior]), (CONCEPTS, [dog, fur, less]), ("v The target in words", [readout, words]),
        (RENDER, [plain, bare]), (LOOK, [before, after]),
    )  # fmt: skip
    return f


def slerp() -> Flow:
    f = Flow("slerp-between-two-concepts")
    note = f.note(
        "# Between two concepts\n\n"
        "Concept Slerp walks along the great circle from one concept to the other: **t** 0 is *cat*, 1 is *dragon*, and "
        "every place between is as far out as the ends are.\n\n"
        "**Look at** the three pictures from left to right: t = 0.2, 0.5 and 0.8, from one seed.\n\n"
        "**Change** the words or the three **t**. In Concept Expression the same is written **slerp(cat, dragon, 0.5)**.\n\n" + FULL
    )
    encoder, image, prior = loaders(f)
    a, b = f.node("EncodeText", text="cat", encoder=encoder), f.node("EncodeText", text="dragon", encoder=encoder)
    way = [f.node("Slerp", t=t, a=a, b=b) for t in (0.2, 0.5, 0.8)]
    render = [f.node("LatentOptimiser", f"Latent Optimiser (t = {c.values['t']})", steps=PICTURE, concept=c, encoder=encoder, generator=image, prior=prior) for c in way]
    save = [f.node("SaveImage", f"Save Image (t = {c.values['t']})", images=r["image"], filename_prefix=prefix(f)) for c, r in zip(way, render, strict=True)]
    readout = f.node("Readout", "Concept Readout (t = 0.5)", concept=way[1], encoder=encoder)
    words = f.node("PreviewAny", "Half way, in words", source=readout["words"])
    f.lay_out(
        ("", [note]), (LOAD, [encoder, image, prior]), (CONCEPTS, [[a, b], way]), ("v Half way, in words", [readout, words]),
        (RENDER, [[r] for r in render]), ("v " + LOOK, [[s] for s in save]),
    )  # fmt: skip
    return f


def sound_and_word() -> Flow:
    f = Flow("sound-and-word-shape-a-picture")
    note = f.note(
        "# A sound and a word shape a picture\n\n"
        "Sounds and words lie in the same space, so they add. First *thunder* is rendered as a sound; then that sound, "
        "not the word, is encoded, 0.4 of *purple* is added, and the sum is drawn on both tracks. (A word is a sharper target than a sound, "
        "so it needs less weight.)\n\n"
        "**Look at** the readout: it names what was heard and what was said. The natural picture of this seed is a purple cloud from which "
        "something falls, and reads as *cloud with lightning* and *thunderstorm*; that of seed 0 is a purple square.\n\n"
        "The *overlays* show where the encoder finds the sound, and where the word: red speaks for it. The thunder is at the rim of the cloud "
        "and in the drop below, purple all over its body.\n\n"
        "The *probes* ask whether it is dangerous: the sum is, of the picture the answer is undecided. They have learned from words and warn of "
        "anything else.\n\n"
        "No Eval Card here: the judge of pictures cannot hear, and says so.\n\n"
        "**Change** the weights in Concept Add. For a sound of your own, put **Load Audio** in the place of the left "
        "optimiser: connect it to Encode Audio.\n\n" + FULL,
        height=470,
    )
    encoder = f.node("LoadEncoder")
    audio = f.node("LoadGenerator", encoder=encoder, generator="pocket audio")
    image = f.node("LoadGenerator", encoder=encoder)
    prior = f.node("FlairPrior")
    thunder = f.node("EncodeText", text="thunder", encoder=encoder)
    sounding = f.node("LatentOptimiser", "Latent Optimiser (sound)", steps=SOUND, concept=thunder, encoder=encoder, generator=audio, prior=prior)
    play = f.node("PreviewAudio", audio=sounding["audio"])
    heard = f.node("EncodeAudio", name="thunder", audio=sounding["audio"], encoder=encoder)
    purple = f.node("EncodeText", text="purple", encoder=encoder)
    both = f.node("Add", weight_b=0.4, a=heard, b=purple)
    readout = f.node("Readout", concept=both, encoder=encoder)
    words = f.node("PreviewAny", "Sound and word, in words", source=readout["words"])
    drawing = f.node("DualTrack", steps=PICTURE, seed=2, concept=both, encoder=encoder, generator=image, prior=prior)
    save = f.node("SaveImage", "Save Image (honest, natural)", width=440, images=drawing["images"], filename_prefix=prefix(f))
    came = f.node("PreviewAny", "They came out as", width=440, source=drawing["summary"])
    where = [
        f.node("AttributionOverlay", f"Attribution Overlay ({name})", render=drawing["natural"], encoder=encoder, concept=concept)
        for name, concept in (("the sound", heard), ("purple", purple))
    ]
    asked = [
        f.node("Probe", f"Probe ({name})", probe="danger", encoder=encoder, **given)
        for name, given in (("the sum", {"concept": both}), ("the picture", {"render": drawing["natural"]}))
    ]
    f.lay_out(
        ("", [note]), (LOAD, [encoder, audio, image, prior]), ("2 · A sound", [thunder, sounding, play]),
        ("3 · The sound and a word", [heard, purple, both]), ("v The target in words", [readout, words]),
        ("4 · A picture, on both tracks", [drawing]), ("5 · Look", [save, came]), ("6 · What is where?", [[each] for each in where]),
        ("v Is it dangerous?", [[each] for each in asked]),
    )  # fmt: skip
    return f


def image_minus_plus() -> Flow:
    f = Flow("image-minus-a-word-plus-a-word")
    note = f.note(
        "# An image minus a word plus a word\n\n"
        "A picture is an operand like any other. Here an *apple* is drawn first, and the drawing, not the word, is encoded "
        "as **a**; then **a - red + green** is drawn.\n\n"
        "**Look at** the two pictures beside each other, and at the readout.\n\n"
        "**Change** the line in Concept Expression, such as **a - 0.5\\*red + blue**. For a picture of your own, put **Load "
        "Image** in the place of the left optimiser: connect it to Encode Image.\n\n" + FULL,
    )
    encoder, image, prior = loaders(f)
    apple = f.node("EncodeText", text="apple", encoder=encoder)
    drawing = f.node("LatentOptimiser", "Latent Optimiser (the image)", steps=PICTURE, concept=apple, encoder=encoder, generator=image, prior=prior)
    first = f.node("SaveImage", "Save Image (before)", images=drawing["image"], filename_prefix=prefix(f, "-before"))
    seen = f.node("EncodeImage", name="apple", image=drawing["image"], encoder=encoder)
    edited = f.node("Expression", expression="a - red + green", encoder=encoder, a=seen)
    readout = f.node("Readout", concept=edited, encoder=encoder)
    words = f.node("PreviewAny", "The target in words", source=readout["words"])
    again = f.node("LatentOptimiser", "Latent Optimiser (edited)", steps=PICTURE, concept=edited, encoder=encoder, generator=image, prior=prior)
    save = f.node("SaveImage", "Save Image (after)", images=again["image"], filename_prefix=prefix(f))
    came = f.node("PreviewAny", "The picture came out as", source=again["words"])
    f.lay_out(
        ("", [note]), (LOAD, [encoder, image, prior]), ("2 · An image", [[apple, drawing], [first]]),
        ("3 · minus a word plus a word", [seen, edited]), ("v The target in words", [readout, words]),
        ("4 · Render", [again]), ("5 · Look", [save, came]),
    )  # fmt: skip
    return f


def honest_natural() -> Flow:
    f = Flow("honest-beside-natural")
    note = f.note(
        "# Honest beside natural\n\n"
        "One target, one seed, two tracks. The *honest* one follows the encoder alone and shows what the encoder likes to "
        "see, which is often not a picture. The *natural* one is also held to what pictures look like, by FLAIR Prior. The **dial** of "
        "Dual Track asks for a third between them.\n\n"
        "**Look at** the contrast: it is the point. The higher cosine is not always the better picture. **leakage** is the share of the "
        "natural match that the prior reaches by itself; with *told* on, as here, it is told the target there too.\n\n"
        "**Change** the dial, the line in Concept Expression, or FLAIR Prior for another prior.\n\n" + FULL,
        height=420,
    )
    encoder, image, prior = loaders(f)
    target = f.node("Expression", expression="sad clown + red balloon", encoder=encoder)
    dual = f.node("DualTrack", steps=PICTURE, dial=0.5, concept=target, encoder=encoder, generator=image, prior=prior)
    compare = f.node("CompareTracks", honest=dual["honest"], natural=dual["natural"])
    save = f.node("SaveImage", "Save Image (honest, between, natural)", width=620, images=dual["images"], filename_prefix=prefix(f))
    said = f.node("PreviewAny", "All in numbers and words", width=620, height=220, source=dual["summary"])
    leakage = f.node("PreviewAny", "Leakage", width=460, height=120, source=dual["leakage"])
    readout = f.node("Readout", concept=target, encoder=encoder)
    words = f.node("PreviewAny", "The target in words", source=readout["words"])
    f.lay_out(
        ("", [note]), (LOAD, [encoder, image, prior]), (CONCEPTS, [target]), ("v The target in words", [readout, words]),
        ("3 · Both tracks", [dual]), (LOOK, [[save, said], [compare, leakage]]),
    )  # fmt: skip
    return f


def prior_comparison() -> Flow:
    f = Flow("prior-comparison")
    note = f.note(
        "# Prior comparison\n\n"
        "One target and one seed, held in four ways. **None** is the honest track. **FLAIR** draws the latent anew, once down through "
        "the generator's noise levels. **VSD** learns what the render looks like, and moves it from there to what the generator finds "
        "natural. **Bridge** moves it from one description to another, in the generator's words.\n\n"
        "**Look at** the four pictures, and at the reports: what the instruments read, and what to doubt.\n\n"
        "**Change** the target, or a prior's strength. VSD wants more steps than the others, a hundred at least, and is slow. The "
        "pocket's words name things and hardly qualities, so the bridge does little there.\n\n"
        "**steps** is set low for a first look. **0** takes the usual number, which draws cleaner and takes longer; VSD gains from more.",
        height=460,
    )
    encoder = f.node("LoadEncoder")
    image = f.node("LoadGenerator", encoder=encoder)
    target = f.node("Expression", expression="octopus", encoder=encoder)
    readout = f.node("Readout", concept=target, encoder=encoder)
    priors = {"none": None, "FLAIR": f.node("FlairPrior"), "VSD": f.node("VsdPrior"), "bridge": f.node("BridgePrior")}
    drawn, seen = [], []
    for name, prior in priors.items():
        given = {"prior": prior} if prior else {}
        drawn.append(
            f.node("LatentOptimiser", f"Latent Optimiser ({name})", steps=SLOW if name == "VSD" else PICTURE, seed=1, concept=target, encoder=encoder, generator=image, **given)
        )
        save = f.node("SaveImage", f"Save Image ({name})", images=drawn[-1]["image"], filename_prefix=prefix(f, f"-{name.lower()}"))
        report = f.node("PreviewAny", f"Report ({name})", height=260, source=drawn[-1]["report"])
        seen.append([save, report])
    f.lay_out(
        ("", [note]), (LOAD, [encoder, image]), ("v 2 · Concept", [target, readout]), ("3 · Priors", [prior for prior in priors.values() if prior]),
        ("4 · Render", [[each] for each in drawn]), ("v 5 · Look", seen),
    )  # fmt: skip
    return f


def batch() -> Flow:
    f = Flow("batch-over-a-list")
    note = f.note(
        "# Batch over a list\n\n"
        "Concept List hands its lines on one after the other: press Run **once** and everything after it runs for each "
        "line. Add as many as you like; a line that starts with # is left out.\n\n"
        "**Look at** Save Image: one picture a line, all in **output/concept-algebra**.\n\n"
        + FULL
    )  # fmt: skip
    other = f.note(
        "# One line a run\n\n"
        "Target From List takes a single line by its index. With *increment* below the index, every Run takes the next "
        "line: set the batch count beside Run to the number of lines and it walks the whole list, past the end from the "
        "start again.\n\n"
        "Connect its *concept* to the Latent Optimiser in place of Concept List to render so; long lists can then be stopped and taken up "
        "at any line.",
        "The other way",
    )
    lines = "fire + water\ndog - 0.3*fur\nslerp(cat, dragon, 0.5)"
    encoder, image, prior = loaders(f)
    many = f.node("List", targets=lines, encoder=encoder)
    readout = f.node("Readout", concept=many, encoder=encoder)
    words = f.node("PreviewAny", "Each target in words", height=240, source=readout["words"])
    render = f.node("LatentOptimiser", steps=PICTURE, concept=many, encoder=encoder, generator=image, prior=prior)
    save = f.node("SaveImage", width=460, height=460, images=render["image"], filename_prefix=prefix(f))
    came = f.node("PreviewAny", "They came out as", width=460, source=render["words"])
    one = f.node("TargetFromList", targets=lines, encoder=encoder)
    which = f.node("PreviewAny", "This run's line", height=120, source=one["expression"])
    f.lay_out(
        ("", [note]), (LOAD, [encoder, image, prior]), ("2 · Many concepts", [[many], [readout, words]]),
        ("v The other way: one line a run", [[other], [one], [which]]), (RENDER, [render]), (LOOK, [save, came]),
    )  # fmt: skip
    return f


def showcase() -> Flow:
    f = Flow("showcase")
    note = f.note(
        "# Showcase\n\n"
        "One target, rendered in words, as a picture, a sound and a clip, each on both tracks, and read back: what it is in words, "
        "where the target is in it, and whether it worked.\n\n"
        "**Look at** the sheet on the node, then press **open the page**: everything is on it, and the sounds play. All of it lies in "
        "**output/concept-algebra/showcase**, a folder for each target, with a README.md to share it by.\n\n"
        "**quick** is on for a first look; off, it draws cleaner and takes longer.\n\n"
        "**Change** the line in Concept Expression. An earlier folder of the same line is replaced; another *filename_prefix* keeps it."
    )
    many = f.note(
        "# Many targets\n\n"
        "Put **Concept List** in place of Concept Expression, and press Run once: every line gets a folder.\n\n"
        "For lists that may be stopped and taken up again, put **Target From List** there, set to *increment*, and the batch count "
        "beside Run to the number of lines: what is finished stays.\n\n"
        "Either way **index.html** beside the folders shows them all.\n\n"
        "# Did it work?\n\n"
        "The verdicts say *not judged* until **Load Judge** is connected to *judge*: SigLIP2 for pictures and clips, CLAP for sounds, "
        "the other one to *second_judge*.",
        "Many, and judged", height=380,
    )
    encoder = f.node("LoadEncoder")
    drawing = {medium: f.node("LoadGenerator", generator=f"pocket {medium}", encoder=encoder) for medium in MEDIA}
    concept = f.node("Expression", expression="sunset + ocean", encoder=encoder)
    whole = f.node("Showcase", width=460, quick=True, filename_prefix=prefix(f), concept=concept, encoder=encoder, **drawing)
    readout = f.node("Readout", concept=concept, encoder=encoder)
    summary = f.node("PreviewAny", "Each in a line", width=420, height=240, source=whole["summary"])
    sound = f.node("PreviewAudio", audio=whole["audio"])
    f.lay_out(
        ("", [note, many]), (LOAD, [encoder, *drawing.values()]), (CONCEPTS, [concept, readout]), ("3 · The whole", [whole]), (LOOK, [summary, sound])
    )  # fmt: skip
    return f


def two_encoders() -> Flow:
    f = Flow("two-encoders-one-target")
    note = f.note(
        "# Two encoders, one target\n\n"
        "The same words are read by the pocket encoder and by LanguageBind, a large one, and the same generator draws what "
        "each of them means. A render shows what an *encoder* has learned.\n\n"
        "**You need** LanguageBind as one file, **languagebind.safetensors**, in **models/concept_encoders**. Without it, Run "
        "answers with what to download and the one line that converts it.\n\n"
        "**Look at** the two pictures, and at the two readouts: what each encoder calls the target.\n\n"
        "**Once**, before you trust the second picture: put **Calibrate Encoder** behind its loader, with a folder of a few "
        "hundred pictures. It measures where LanguageBind's pictures lie, and keeps it.\n\n"
        "**Change** the line in both Concept Expressions.\n\n" + FULL,
        height=420,
    )
    pocket = f.node("LoadEncoder", "Load Concept Encoder (pocket)")
    bind = f.node("LoadEncoder", "Load Concept Encoder (LanguageBind)", encoder="languagebind.safetensors")
    image = f.node("LoadGenerator", encoder=pocket)
    prior = f.node("FlairPrior")
    parts = []
    for name, encoder in (("pocket", pocket), ("LanguageBind", bind)):
        target = f.node("Expression", f"Concept Expression ({name})", expression="fire + water", encoder=encoder)
        readout = f.node("Readout", concept=target, encoder=encoder)
        words = f.node("PreviewAny", f"The target in words ({name})", source=readout["words"])
        drawing = f.node(
            "LatentOptimiser", f"Latent Optimiser ({name})", steps=PICTURE, concept=target, encoder=encoder, generator=image, prior=prior
        )
        save = f.node("SaveImage", f"Save Image ({name})", images=drawing["image"], filename_prefix=prefix(f, f"-{name.lower()}"))
        parts.append((target, readout, words, drawing, save))
    (t1, r1, w1, d1, s1), (t2, r2, w2, d2, s2) = parts
    f.lay_out(
        ("", [note]), (LOAD, [pocket, bind, image, prior]), ("2 · Concept", [t1, t2]), ("3 · In words", [r1, w1, r2, w2]),
        ("4 · Render", [[d1], [d2]]), ("5 · Look", [[s1], [s2]]),
    )  # fmt: skip
    return f


def featured(f: Flow, features: str = "vocabulary (no training)") -> tuple[Node, Node, Node, Node]:
    """Encoder, features (whose `encoder` goes with them), picture generator and prior."""
    encoder = f.node("LoadEncoder")
    sae = f.node("LoadSAE", sae=features, encoder=encoder)
    return encoder, sae, f.node("LoadGenerator", encoder=sae["encoder"]), f.node("FlairPrior")


def union() -> Flow:
    f = Flow("fire-and-water-as-a-union")
    note = f.note(
        "# Fire and water as a union\n\n"
        "A concept can be taken apart into *named features*, and put together again feature by feature. A **union** has of every "
        "feature as much as the one that has more of it; an **average** has half of each, and twice as much of what both share.\n\n"
        "**Look at** the bars: those of the union beside those of the average, and the two pictures, drawn from one seed. "
        "What the two share is where the ways part; two concepts without a common feature would come out in one direction both ways.\n\n"
        "**Change** the two texts. Or set Concept Union to *meet*: what both have. *cat* and *dragon* have more in common.\n\n" + FULL,
        height=460,
    )
    encoder, sae, image, prior = featured(f, "pocket")
    a, b = (f.node("EncodeText", text=text, encoder=sae["encoder"]) for text in ("fire", "water"))
    apart = [f.node("Decompose", f"SAE Decompose ({n.values['text']})", concept=n, sae=sae) for n in (a, b)]
    both = f.node("Union", a=apart[0], b=apart[1])
    average = f.node("Add", "Concept Add (dense average)", weight_a=0.5, weight_b=0.5, a=a, b=b)
    ends = []
    for name, concept in (("union", both), ("dense average", average)):
        bars = f.node("Decompose", f"SAE Decompose ({name})", concept=concept, sae=sae)
        render = f.node("LatentOptimiser", f"Latent Optimiser ({name})", steps=PICTURE, seed=2, concept=concept, encoder=sae["encoder"], generator=image, prior=prior)
        save = f.node("SaveImage", f"Save Image ({name})", images=render["image"], filename_prefix=prefix(f, f"-{name.split()[-1]}"))
        ends.append((bars, render, save))
    readout = f.node("Readout", "Concept Readout (union)", concept=both, encoder=sae["encoder"])
    (b1, r1, s1), (b2, r2, s2) = ends
    f.lay_out(
        ("", [note]), (LOAD, [encoder, sae, image, prior]), ("2 · Two concepts, taken apart", [[a, b], apart]),
        ("3 · Put together", [both, b1]), ("v As a dense average", [average, b2]), ("4 · Render", [r1, r2]), ("5 · Look", [s1, s2, readout]),
    )  # fmt: skip
    return f


def remove_feature() -> Flow:
    f = Flow("remove-one-named-feature")
    note = f.note(
        "# Remove one named feature\n\n"
        "*red balloon* is taken apart into features, and one of them, **red**, is switched off by its name. Everything else stays "
        "as it was: no arithmetic with other words is involved.\n\n"
        "**Look at** the list on Edit Features after a run, and at the two pictures, drawn from one seed.\n\n"
        "**Change** the edits by clicking: the circle before a feature switches it off, and at a second click also erases what else "
        "points along it; the number is how many times as strong it is; the search adds others. Each click writes a line into the text.\n\n" + FULL,
        height=440,
    )
    encoder, sae, image, prior = featured(f)
    text = f.node("EncodeText", text="red balloon", encoder=sae["encoder"])
    apart = f.node("Decompose", concept=text, sae=sae)
    edit = f.node("EditFeatures", edits="- red", concept=apart)
    plain = f.node("LatentOptimiser", "Latent Optimiser (red balloon)", steps=PICTURE, concept=apart, encoder=sae["encoder"], generator=image, prior=prior)
    without = f.node("LatentOptimiser", "Latent Optimiser (edited)", steps=PICTURE, concept=edit, encoder=sae["encoder"], generator=image, prior=prior)
    before = f.node("SaveImage", "Save Image (red balloon)", images=plain["image"], filename_prefix=prefix(f, "-before"))
    after = f.node("SaveImage", "Save Image (edited)", images=without["image"], filename_prefix=prefix(f))
    readout = f.node("Readout", concept=edit, encoder=sae["encoder"])
    words = f.node("PreviewAny", "The edited target in words", source=readout["words"])
    f.lay_out(
        ("", [note]), (LOAD, [encoder, sae, image, prior]), ("2 · A concept, taken apart", [text, apart]), ("3 · Edit", [edit]),
        ("v The target in words", [readout, words]), ("4 · Render", [plain, without]), ("5 · Look", [before, after]),
    )  # fmt: skip
    return f


def morph() -> Flow:
    f = Flow("morph-a-mixture")
    note = f.note(
        "# Morph a mixture\n\n"
        "A *red balloon* turns into a *yellow flower*, feature by feature: Concept Slerp mixes what the two were taken apart into.\n\n"
        "**Look at** the bars half way, where all features of both stand beside each other, and at the three pictures for t = 0.25, 0.5 "
        "and 0.75, drawn from one seed.\n\n"
        "**Change** the two texts, or a **t**. Put Edit Features after a Concept Slerp to take one feature out of the mixture.\n\n" + FULL,
        height=380,
    )
    encoder, sae, image, prior = featured(f)
    texts = [f.node("EncodeText", text=text, encoder=sae["encoder"]) for text in ("red balloon", "yellow flower")]
    a, b = (f.node("Decompose", f"SAE Decompose ({n.values['text']})", concept=n, sae=sae) for n in texts)
    way = [f.node("Slerp", t=t, a=a, b=b) for t in (0.25, 0.5, 0.75)]
    half = f.node("Decompose", "SAE Decompose (t = 0.5)", concept=way[1], sae=sae)
    render = [f.node("LatentOptimiser", f"Latent Optimiser (t = {c.values['t']})", steps=PICTURE, concept=c, encoder=sae["encoder"], generator=image, prior=prior) for c in way]
    save = [f.node("SaveImage", f"Save Image (t = {c.values['t']})", images=r["image"], filename_prefix=prefix(f)) for c, r in zip(way, render, strict=True)]
    readout = f.node("Readout", "Concept Readout (t = 0.5)", concept=way[1], encoder=sae["encoder"])
    f.lay_out(
        ("", [note]), (LOAD, [encoder, sae, image, prior]), ("2 · Two mixtures, taken apart", [texts, [a, b]]), ("3 · Between them", way),
        ("v Half way", [half, readout]), ("4 · Render", [[r] for r in render]), ("v 5 · Look", [[s] for s in save]),
    )  # fmt: skip
    return f


def trust() -> Flow:
    f = Flow("trust")
    note = f.note(
        "# Trust\n\n"
        "A word that nobody can photograph, on both tracks from one seed, and what is to be believed of the renders.\n\n"
        "**Look at** the *Eval Cards*: whether an encoder that did not take part knows the target, and what the run's instruments say. "
        "Out of the box they say *not judged*, and how to get a judge. Then put **Load Judge** into both.\n\n"
        "The *overlays* show where the encoder finds trust: red speaks for it. The *probes* ask whether the word, and then the picture, is "
        "joyful; the second one warns, for it has learned from words.\n\n"
        "**Change** the word: *freedom*, *peace*, *danger*. Or connect another concept to an overlay, to see where that would be.\n\n" + FULL,
        height=480,
    )
    encoder, image, prior = loaders(f)
    target = f.node("EncodeText", text="trust", encoder=encoder)
    readout = f.node("Readout", concept=target, encoder=encoder)
    dual = f.node("DualTrack", steps=PICTURE, concept=target, encoder=encoder, generator=image, prior=prior)
    save = f.node("SaveImage", "Save Image (honest, natural)", width=440, images=dual["images"], filename_prefix=prefix(f))
    ends = [
        [f.node(kind, f"{name} ({track})", render=dual[track], **given) for kind, name, given in (("EvalCard", "Eval Card", {}), ("AttributionOverlay", "Attribution Overlay", {"encoder": encoder}))]
        for track in ("honest", "natural")
    ]
    asked = [f.node("Probe", f"Probe ({name})", probe="joy", encoder=encoder, **given) for name, given in (("the word", {"concept": target}), ("the picture", {"render": dual["natural"]}))]
    f.lay_out(
        ("", [note]), (LOAD, [encoder, image, prior]), (CONCEPTS, [target, readout]), ("3 · Both tracks", [dual]), ("v Are they joyful?", [asked[:1], asked[1:]]),
        ("4 · Look", [save]), ("5 · Did it work, and where?", ends),
    )  # fmt: skip
    return f


def summer_without_heat() -> Flow:
    f = Flow("summer-minus-heat")
    note = f.note(
        "# Summer minus heat\n\n"
        "A minus can take away more than there was. Here both words are first taken apart into *named features*, and **summer - heat** "
        "takes from each feature of summer what heat has of it, down to nothing; what heat has beyond that counts only a quarter.\n\n"
        "**Look at** the bars. What both have is *cooling*, as this SAE calls its feature of warm and cold, and it is gone from what is "
        "left; what heat has beyond that is listed as *taken away*. The readout stays with summer at 0.91. Of the same minus without "
        "features that is 0.58, and *everyday* and *acquisition* come up.\n\n"
        "Then at the natural pictures, from one seed: *summer* is a yellow shape like a sandcastle at blue water, *summer - heat* something "
        "green with yellow spots, a garden if you like. The honest ones hardly differ to the eye.\n\n"
        "**Did it work?** *Interpret* lists the features of the picture beside the target's: heat is not among them, and *plant* and "
        "*hedging* are, which nobody asked for. *Eval Card* has the plain *summer*, drawn in the same way, as its **base**: with **Load Judge** "
        "connected it says whether heat went and summer stayed. Without, it says *not judged*.\n\n"
        "**Change** the two texts, or the weight in Concept Sub: at 0.5 half goes.\n\n" + FULL,
        height=470,
    )
    encoder, sae, image, prior = featured(f, "pocket")
    texts = [f.node("EncodeText", text=text, encoder=sae["encoder"]) for text in ("summer", "heat")]
    apart = [f.node("Decompose", f"SAE Decompose ({n.values['text']})", concept=n, sae=sae) for n in texts]
    less = f.node("Sub", "Concept Sub (of features)", weight=1, a=apart[0], b=apart[1])
    left = f.node("Decompose", "SAE Decompose (what is left)", height=720, concept=less, sae=sae)
    dense = f.node("Sub", "Concept Sub (without features)", weight=1, a=texts[0], b=texts[1])
    said = [f.node("Readout", f"Concept Readout ({how} features)", concept=c, encoder=sae["encoder"]) for how, c in (("of", less), ("without", dense))]
    made = {
        name: f.node("DualTrack", f"Dual Track ({name})", steps=PICTURE, concept=concept, encoder=sae["encoder"], generator=image, prior=prior)
        for name, concept in (("summer", apart[0]), ("summer - heat", less))
    }
    saved = [
        f.node("SaveImage", f"Save Image ({name}: honest, natural)", width=440, images=dual["images"], filename_prefix=prefix(f, part))
        for (name, dual), part in zip(made.items(), ("-before", ""), strict=True)
    ]
    before, after = made.values()
    came = f.node("PreviewAny", "Summer - heat came out as", width=440, height=240, source=after["summary"])
    card = f.node("EvalCard", width=600, render=after["natural"], base=before["natural"])
    reading = f.node("Interpret", height=1060, render=after["natural"], encoder=sae["encoder"], sae=sae)
    f.lay_out(
        ("", [note]), (LOAD, [encoder, sae, image, prior]), ("2 · Two concepts, taken apart", [texts, apart]),
        ("3 · Minus, feature by feature", [less, left, said[0]]), ("v Minus as it is without features", [dense, said[1]]),
        ("4 · Both tracks", [*made.values()]), ("5 · Look", [*saved, came]), ("6 · Did it work?", [card, reading]),
    )  # fmt: skip
    return f


def king_and_woman() -> Flow:
    f = Flow("king-minus-man-plus-woman")
    note = f.note(
        "# King - man + woman\n\n"
        "The best known sum of words. The step from *man* to *woman*, taken from *king*, should end near *queen*.\n\n"
        "**Look at** the readouts. The full step reads *woman* first and *queen* second; half of it stays with the *king*. "
        "How far to go is yours to say: the number in **king + 0.5\\*(woman - man)**.\n\n"
        "A picture is a vaguer target than a word, so the same step moves it further. The *king* that is drawn here is encoded as **a**: "
        "after the whole step it reads *woman* and no crown is left; after 0.3 of it *duchess*, *princess*, *empress* and *queen*.\n\n"
        "Then at the natural pictures, from one seed: the *king* is a golden face, the sum a figure in a red dress under a wide yellow hat. "
        "The honest one, a texture to the eye, reads as *dowager*, *empress* and *queen* among others.\n\n"
        "**Did it work?** In part. *Interpret* reads *woman* in the natural picture and no king: the maps show the woman in the dress. "
        "*Eval Card* has the king, drawn in the same way, as its **base**: with **Load Judge** connected it says whether man went and woman "
        "came. Without, it says *not judged*.\n\n"
        "**Change** the numbers, or the line: *prince - man + woman* reads princess.\n\n" + FULL,
        height=470,
    )
    encoder, image, prior = loaders(f)
    king = f.node("EncodeText", text="king", encoder=encoder)
    before = f.node("LatentOptimiser", "Latent Optimiser (king)", steps=PICTURE, concept=king, encoder=encoder, generator=image, prior=prior)
    first = f.node("SaveImage", "Save Image (king)", images=before["image"], filename_prefix=prefix(f, "-before"))
    queen = f.node("Expression", expression="king - man + woman", encoder=encoder)
    half = f.node("Expression", "Concept Expression (half the step)", expression="king + 0.5*(woman - man)", encoder=encoder)
    seen = f.node("EncodeImage", name="king", image=before["image"], encoder=encoder)
    steps = [f.node("Expression", f"Concept Expression (the picture, {far})", expression=f"a + {far}*(woman - man)", encoder=encoder, a=seen) for far in (0.3, 1)]

    def said(name: str, concept: Node) -> Node:
        return f.node("Readout", f"Concept Readout ({name})", concept=concept, encoder=encoder)

    words = [said("the full step", queen), said("half the step", half)]
    of_picture = [said(f"the picture, {far}", c) for far, c in zip((0.3, 1), steps, strict=True)]
    dual = f.node("DualTrack", steps=PICTURE, concept=queen, encoder=encoder, generator=image, prior=prior)
    save = f.node("SaveImage", "Save Image (king - man + woman: honest, natural)", width=600, images=dual["images"], filename_prefix=prefix(f))
    came = f.node("PreviewAny", "They came out as", width=600, height=240, source=dual["summary"])
    card = f.node("EvalCard", width=600, render=dual["natural"], base=before["render"])
    reading = f.node("Interpret", height=1060, render=dual["natural"], encoder=encoder)
    f.lay_out(
        ("", [note]), (LOAD, [encoder, image, prior]), ("2 · The sum of words", [[queen, half], words]),
        ("v 3 · A king, drawn plainly", [[king, before], [first]]), ("4 · Both tracks", [[dual], [save, came]]),
        ("v 5 · From the picture of the king", [[seen, *steps], of_picture]), ("6 · Did it work?", [card, reading]),
    )  # fmt: skip
    return f


BIND = (
    "- **languagebind.safetensors** in **models/concept_encoders**: the pack makes it of the published folders, and Run says how. "
    "*pocket* in its place works without, but knows simple drawings and sounds only. Put **Calibrate Encoder** behind it once.\n\n"
)
TRIED = "This workflow was tried with small files of random numbers in the layout of these, not with the published ones.\n\n"


def of_a_checkpoint(f: Flow, title: str, makes: str, target: str, checkpoint: str, files: list[str], **also: Callable[[Flow], Node]) -> Flow:
    """Both tracks of one target by a model of one's own, from a checkpoint. files: what to download, a line of Markdown each. also:
    further loaders, by the input of Generator From Checkpoint that they go to."""
    note = f.note(
        f"# {title}\n\n"
        f"{makes} The model's own loaders of ComfyUI give it to *Generator From Checkpoint*; one target is rendered on both tracks from one "
        "seed, without a prompt.\n\n"
        "**You need** these files. Press **R** when they are there, and pick them in the loaders if yours have other names:\n\n"
        + "".join(f"- {file}\n" for file in files)
        + BIND
        + TRIED
        + "**Look at** the two files beside each other: the *honest* one shows what the encoder likes to see, the *natural* one is held to what "
        "the model finds natural. Both have this workflow inside.\n\n"
        "**Change** the line in Concept Expression, or the size at Generator From Checkpoint, where 0 is the model's usual. One candidate is "
        "drawn at a time, which needs the least memory; more of them find better ones.",
        height=620,
    )
    model = f.node("CheckpointLoaderSimple", ckpt_name=checkpoint)
    loaded = {name: load(f) for name, load in also.items()}
    generator = f.node("GeneratorFromCheckpoint", model=model["MODEL"], vae=model["VAE"], **loaded)
    encoder = f.node("LoadEncoder", encoder="languagebind.safetensors")
    prior = f.node("FlairPrior", told=False)
    concept = f.node("Expression", expression=target, encoder=encoder)
    readout = f.node("Readout", concept=concept, encoder=encoder)
    dual = f.node("DualTrack", candidates=1, concept=concept, encoder=encoder, generator=generator, prior=prior)
    saves = [
        f.node("SaveRender", f"Save Render ({track})", width=460, render=dual[track], filename_prefix=prefix(f, f"-{track}"))
        for track in ("honest", "natural")
    ]
    said = f.node("PreviewAny", "Both in numbers and words", width=460, height=240, source=dual["summary"])
    compare = f.node("CompareTracks", honest=dual["honest"], natural=dual["natural"])
    f.lay_out(
        ("", [note]), (LOAD, [[model, *loaded.values(), encoder], [generator, prior]]), (CONCEPTS, [concept, readout]), ("3 · Both tracks", [dual]),
        (LOOK, [saves, [compare, said]]),
    )  # fmt: skip
    return f


SD_FILES = [
    "**sd3.5_medium.safetensors** (5 GB) of huggingface.co/stabilityai/stable-diffusion-3.5-medium, in **models/checkpoints**. "
    "Its page may ask you to log in and to accept its licence. Its text encoders are not needed.",
    "**taesd3_encoder** and **taesd3_decoder** (.pth or .safetensors, 5 MB each) of github.com/madebyollin/taesd, in **models/vae_approx**: "
    "the *taesd3* that draws the first part of a run in a fraction of the time. Without them, delete that Load VAE.",
]
AUDIO_FILES = [
    "**stable-audio-open-1.0.safetensors** (5 GB) of huggingface.co/Comfy-Org/stable-audio-open-1.0_repackaged, in **models/checkpoints**. "
    "The text encoder that ComfyUI's own example adds is not needed.",
]
LTX_FILES = [
    "**ltx-video-2b-v0.9.5.safetensors** (6 GB) of huggingface.co/Lightricks/LTX-Video, in **models/checkpoints**.",
    "**t5xxl_fp16.safetensors** (10 GB) of huggingface.co/comfyanonymous/flux_text_encoders, in **models/text_encoders**. It reads the empty "
    "text once, which is what LTX-Video is told when it is told nothing, and is let go.",
]


def taesd3(f: Flow) -> Node:
    return f.node("VAELoader", "Load VAE (the fast one)", vae_name="taesd3")


def t5(f: Flow) -> Node:
    return f.node("CLIPLoader", clip_name="t5xxl_fp16.safetensors", type="ltxv")


def stable_diffusion() -> Flow:
    f = Flow("stable-diffusion-3.5", card="Stable Diffusion\n3.5 Medium")
    return of_a_checkpoint(
        f, "Stable Diffusion 3.5", "Pictures, by Stable Diffusion 3.5 Medium.", "sad clown + red balloon", "sd3.5_medium.safetensors", SD_FILES,
        fast_vae=taesd3,
    )  # fmt: skip


def stable_audio() -> Flow:
    f = Flow("stable-audio", card="Stable Audio\nOpen 1.0")
    return of_a_checkpoint(
        f, "Stable Audio", "Stereo sounds at 44.1 kHz, by Stable Audio Open 1.0.", "thunder + bell", "stable-audio-open-1.0.safetensors", AUDIO_FILES
    )


def ltx_video() -> Flow:
    f = Flow("ltx-video", card="LTX-Video\n0.9.5")
    return of_a_checkpoint(f, "LTX-Video", "Clips, by LTX-Video 0.9.", "fire + water", "ltx-video-2b-v0.9.5.safetensors", LTX_FILES, clip=t5)


def large_showcase() -> Flow:
    f = Flow("showcase-with-large-models", card="Showcase with\nlarge models")
    note = f.note(
        "# Showcase with large models\n\n"
        "One target in words, as a picture by Stable Diffusion 3.5 Medium, a sound by Stable Audio Open and a clip by LTX-Video, each on both "
        "tracks, read back, on one page. One model is at work at a time; the others wait in ordinary memory, or are read again.\n\n"
        "**You need** these files. Press **R** when they are there. A medium whose model you do not have: delete its two loaders.\n\n"
        + "".join(f"- {file}\n" for file in SD_FILES + AUDIO_FILES + LTX_FILES)
        + BIND
        + TRIED
        + "**Look at** the sheet on the node, then press **open the page**.\n\n"
        "**quick** is on for a first look. What each model is told in the place of no prompt is its own, so no conditioning is connected.",
        height=820,
    )
    checkpoints = {"image": "sd3.5_medium", "audio": "stable-audio-open-1.0", "video": "ltx-video-2b-v0.9.5"}
    models = {medium: f.node("CheckpointLoaderSimple", ckpt_name=f"{name}.safetensors") for medium, name in checkpoints.items()}
    also = {"image": {"fast_vae": taesd3(f)}, "audio": {}, "video": {"clip": t5(f)}}
    drawing = {
        medium: f.node("GeneratorFromCheckpoint", f"Generator From Checkpoint ({medium})", model=model["MODEL"], vae=model["VAE"], **also[medium])
        for medium, model in models.items()
    }
    encoder = f.node("LoadEncoder", encoder="languagebind.safetensors")
    prior = f.node("FlairPrior", told=False)
    concept = f.node("Expression", expression="fire + water", encoder=encoder)
    readout = f.node("Readout", concept=concept, encoder=encoder)
    whole = f.node("Showcase", width=460, quick=True, filename_prefix=prefix(f), concept=concept, encoder=encoder, prior=prior, **drawing)
    summary = f.node("PreviewAny", "Each in a line", width=420, height=240, source=whole["summary"])
    loaders = [node for medium in MEDIA for node in (models[medium], *also[medium].values())]
    f.lay_out(
        ("", [note]), (LOAD, [[*loaders, encoder], [*drawing.values(), prior]]), (CONCEPTS, [concept, readout]), ("3 · The whole", [whole]),
        (LOOK, [summary]),
    )  # fmt: skip
    return f


FLOWS = (
    fire_and_water, sunset_and_ocean, hairless_dog, slerp, sound_and_word, image_minus_plus, honest_natural, prior_comparison, batch,
    showcase, two_encoders, union, remove_feature, morph, summer_without_heat, king_and_woman, trust, stable_diffusion, stable_audio, ltx_video,
    large_showcase,
)  # fmt: skip


def files() -> dict[Path, str]:
    """Every file that this script writes, with its text."""
    made = {}
    for flow in (describe() for describe in FLOWS):
        for path, graph in ((FOLDER / f"{flow.name}.json", flow.page()), (FOLDER / "api" / f"{flow.name}.json", flow.api())):
            made[path] = json.dumps(graph, indent=1, ensure_ascii=False) + "\n"
    return made


def thumbnail(flow: Flow, server: str, steps: int | None) -> bytes:
    """Run a workflow on a ComfyUI; the pictures it saved as one JPEG."""
    from PIL import Image

    graph = flow.api()
    for node in graph.values():
        if steps and "steps" in node["inputs"]:
            node["inputs"]["steps"] = steps
    body = json.dumps({"prompt": graph}).encode()
    request = urllib.request.Request(f"{server}/prompt", body, {"Content-Type": "application/json"})
    number = json.load(urllib.request.urlopen(request))["prompt_id"]
    while not (history := json.load(urllib.request.urlopen(f"{server}/history/{number}"))):
        time.sleep(1)
    if history[number]["status"]["status_str"] != "success":
        raise RuntimeError(f"{flow.name}: {history[number]['status']['messages'][-1]}")
    outputs = history[number]["outputs"]
    saved = [file for key in sorted(outputs, key=int) if graph[key]["class_type"] in ("SaveImage", "ConceptAlgebra_Showcase") for file in outputs[key]["images"]]
    pictures = [Image.open(io.BytesIO(urllib.request.urlopen(f"{server}/view?{urllib.parse.urlencode(file)}").read())) for file in saved]
    return beside(pictures)


def drawn(text: str) -> bytes:
    """The thumbnail of a workflow that is not rendered for it: its name on a plain square of 400 px, as JPEG."""
    from PIL import Image, ImageDraw, ImageFont

    sheet = Image.new("RGB", (400, 400), "#20242c")
    pen = ImageDraw.Draw(sheet)
    pen.rectangle((20, 20, 379, 379), outline="#3f789e", width=3)
    pen.text((200, 190), text, "white", ImageFont.load_default(42), "mm", 14, "center")
    pen.text((200, 340), "needs a model of its own", "#9db4c6", ImageFont.load_default(20), "mm")
    return encoded(sheet)


def beside(pictures: list) -> bytes:
    """Pillow images, two a row on a white square of 400 px, or two wide ones above each other, as JPEG."""
    from PIL import Image

    sheet = Image.new("RGB", (400, 400), "white")
    stacked = len(pictures) == 2 and all(picture.width >= 2 * picture.height for picture in pictures)
    across = 1 if stacked or len(pictures) == 1 else 2
    cell, high = 400 // across, 200 if stacked else 400 // across
    rows = -(-len(pictures) // across)
    for place, picture in enumerate(pictures):
        scale = cell / max(picture.size)
        part = picture.convert("RGB").resize([round(side * scale) for side in picture.size], Image.Resampling.LANCZOS)
        inset = (400 - cell * min(across, len(pictures) - place // across * across)) // 2
        x, y = inset + place % across * cell, (400 - rows * high) // 2 + place // across * high
        sheet.paste(part, (x + (cell - part.width) // 2, y + (high - part.height) // 2))
    return encoded(sheet)


def encoded(sheet) -> bytes:
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=75, optimize=True)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="with --thumbnails: only these workflows")
    parser.add_argument("--thumbnails", metavar="URL", help="a running ComfyUI with the pack")
    parser.add_argument("--steps", type=int, help="with --thumbnails: steps of each render in place of the workflow's own")
    args = parser.parse_args()
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for flow in (describe() for describe in FLOWS) if args.thumbnails else ():
        if not args.names or flow.name in args.names:
            picture = drawn(flow.card) if flow.card else thumbnail(flow, args.thumbnails.rstrip("/"), args.steps)
            (FOLDER / f"{flow.name}.jpg").write_bytes(picture)
            print(flow.name)


if __name__ == "__main__":
    main()
