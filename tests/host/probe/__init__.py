"""Test nodes for a real server: finite differences of what Latent Optimiser differentiates, a generator and an
encoder that fail, and an encoder of which nothing has been measured."""

import copy
import sys
from dataclasses import replace
from pathlib import Path

import torch
from comfy_api.latest import ComfyExtension, io

from . import checkpoints


class Probe(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        custom = lambda kind, name: io.Custom(kind).Input(name)  # noqa: E731
        return io.Schema(
            node_id="ConceptAlgebraTest_Gradient",
            category="testing",
            inputs=[
                io.Int.Input("moment", default=0),
                io.Boolean.Input("spoil", default=False),
                custom("CONCEPT", "concept"),
                custom("CONCEPT_ENCODER", "encoder"),
                custom("CONCEPT_GENERATOR", "generator"),
            ],
            outputs=[io.Float.Output()],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, moment, spoil, concept, encoder, generator):
        pack = next(name for name in sys.modules if name.endswith("concept-algebra.nodes.host")).removesuffix(".nodes.host")
        module = lambda name: sys.modules[f"{pack}.{name}"]  # noqa: E731
        host, grad, showing = (module(name) for name in ("nodes.host", "ops.grad", "ops.render"))
        assert torch.is_inference_mode_enabled(), "ComfyUI runs nodes under inference mode"
        drawing, looking = generator.generator, encoder.encoder
        if spoil:  # what moving a module between devices inside inference mode leaves behind
            for part in (drawing, looking):
                part.to(torch.float16).to(torch.float32)
        spoilt = sum(grad.frozen(p) for part in (drawing, looking) for p in part.parameters())
        before = [p.requires_grad for p in drawing.parameters()]
        host.load([*encoder.of([drawing.modality]), *generator.residents(True)])
        with grad.differentiable(drawing, looking):
            direction = concept.direction.clone()
            space = looking.space

            def cosine(z):
                media = drawing.decode(drawing.predict_x0(z, torch.full((1,), 0.5), drawing.condition(None)))
                embed = {"image": looking.image, "audio": lambda x: looking.audio(x, 16000), "video": lambda x: looking.video(x, 8.0)}
                pooled = embed[drawing.modality](media).pooled
                return torch.cosine_similarity(space.centre(pooled, drawing.modality)[0], direction, dim=0)

            z = drawing.start(1, 3).requires_grad_()
            (gradient,) = torch.autograd.grad(cosine(z), z)
            along = gradient / gradient.norm()
            step = 0.02
            with torch.no_grad():
                measured = (cosine(z + step * along) - cosine(z - step * along)) / (2 * step)
        after = [p.requires_grad for p in drawing.parameters()]
        ratio = float(measured / gradient.norm())
        return io.NodeOutput(ratio, ui={"ratio": [ratio], "spoilt": [int(spoilt)], "restored": [before == after]})


class Failing(io.ComfyNode):
    """A generator that breaks in the middle of a run, as a real one may."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ConceptAlgebraTest_Failing",
            category="testing",
            inputs=[io.Combo.Input("how", options=["nan", "mps", "cuda", "bug"]), io.Custom("CONCEPT_GENERATOR").Input("generator")],
            outputs=[io.Custom("CONCEPT_GENERATOR").Output()],
        )

    @classmethod
    def execute(cls, how, generator):
        broken = copy.copy(generator.generator)
        calls = []

        def decode(z, fast=False):
            calls.extend([z] * torch.is_grad_enabled())  # the steps, not the looks
            media = generator.generator.decode(z, fast)
            if len(calls) < 4:
                return media
            if how == "nan":
                return media * float("nan")
            if how == "cuda":
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            # what torch raises on Apple Silicon: an error of no special kind
            raise RuntimeError("MPS backend out of memory (MPS allocated: 18.1 GB)" if how == "mps" else "a shape is wrong")

        broken.decode = decode
        return io.NodeOutput(replace(generator, generator=broken))


class Strained(io.ComfyNode):
    """The encoder with towers that fail when a map's second pass goes through one: `how` says by what.

    "memory": the device's memory is used up. "cancel": Cancel is pressed within that pass, and a third one is an error.
    """

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ConceptAlgebraTest_Strained",
            category="testing",
            inputs=[
                io.Int.Input("moment", default=0),
                io.Combo.Input("how", options=["memory", "cancel"]),
                io.Custom("CONCEPT_ENCODER").Input("encoder"),
            ],
            outputs=[io.Custom("CONCEPT_ENCODER").Output()],
        )

    @classmethod
    def execute(cls, moment, how, encoder):
        from comfy import model_management

        looking = copy.deepcopy(encoder.encoder, {id(encoder.encoder.space): encoder.encoder.space})
        passes = []

        def strain(embeddings, inputs):
            if not isinstance(embeddings.patch_embedding, torch.nn.Identity):  # no map: those begin behind it
                return
            passes.append(how)
            if how == "memory" and len(passes) == 2:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            if len(passes) == 2:
                model_management.interrupt_current_processing()
            assert len(passes) < 3, "a map went on after Cancel"

        for tower in looking.towers.values():
            if hasattr(tower, "vision_model"):
                tower.vision_model.embeddings.register_forward_pre_hook(strain)
        return io.NodeOutput(replace(encoder, encoder=looking))


class Bare(io.ComfyNode):
    """The encoder as a converted checkpoint has it: from a file, in a space that knows the means of `known` alone."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ConceptAlgebraTest_Bare",
            category="testing",
            inputs=[io.String.Input("path"), io.String.Input("known"), io.Custom("CONCEPT_ENCODER").Input("encoder")],
            outputs=[io.Custom("CONCEPT_ENCODER").Output()],
        )

    @classmethod
    def execute(cls, path, known, encoder):
        bare = copy.copy(encoder.encoder)
        kept = {modality: mean for modality, mean in bare.space.means.items() if modality in known.split()}
        bare.space = replace(bare.space, id="bare-0", means=kept, radii={})
        return io.NodeOutput(replace(encoder, encoder=bare, path=Path(path)))


class Extension(ComfyExtension):
    async def get_node_list(self):
        return [Probe, Failing, Strained, Bare, *checkpoints.NODES]


async def comfy_entrypoint():
    return Extension()
