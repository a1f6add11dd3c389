"""Test nodes for Generator From Checkpoint: what it makes of a loaded model is measured inside ComfyUI."""

import hashlib
import json
import sys

import comfy.model_detection
import comfy.sd
import comfy.taesd.taesd
import torch
from comfy_api.latest import io


def pack(name):
    """A module of the pack as ComfyUI has loaded it."""
    at = next(name for name in sys.modules if name.endswith("concept-algebra.nodes.host")).removesuffix(".nodes.host")
    return sys.modules[f"{at}.{name}"]


def told(family):
    """Conditioning of random numbers in the shape that the family's text encoders would give; the same each time."""
    rng = torch.Generator().manual_seed(5)
    random = lambda *shape: torch.randn(shape, generator=rng)  # noqa: E731
    return {
        "sd3": lambda: [[random(1, 154, 4096), {"pooled_output": random(1, 2048)}]],
        "sdxl": lambda: [[random(1, 77, 2048), {"pooled_output": random(1, 1280)}]],
        "audio": lambda: [[random(1, 128, 768), {}]],
        "control": lambda: [[random(1, 154, 4096), {"control": "a ControlNet that is not read"}]],
        "ltx": lambda: [[random(1, 7, 16), {"attention_mask": torch.tensor([[1, 1, 1, 1, 1, 0, 0]])}]],
    }[family]()


class Told(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ConceptAlgebraTest_Told", category="testing",
            inputs=[io.String.Input("family")], outputs=[io.Conditioning.Output()],
        )  # fmt: skip

    @classmethod
    def execute(cls, family):
        return io.NodeOutput(told(family))


class Tiny(io.ComfyNode):
    """A TAESD of random weights."""

    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="ConceptAlgebraTest_Tiny", category="testing", inputs=[io.Int.Input("channels")], outputs=[io.Vae.Output()])

    @classmethod
    def execute(cls, channels):
        torch.manual_seed(3)
        made = comfy.taesd.taesd.TAESD(latent_channels=channels)
        return io.NodeOutput(comfy.sd.VAE(sd={name: 0.1 * torch.randn(tensor.shape) for name, tensor in made.state_dict().items()}))


class Other(io.ComfyNode):
    """A MODEL of a family that the pack does not take: a Stable Diffusion 1.5, and small."""

    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="ConceptAlgebraTest_Other", category="testing", inputs=[], outputs=[io.Model.Output()])

    @classmethod
    def execute(cls):
        import comfy.model_management
        import comfy.model_patcher
        import comfy.supported_models

        config = comfy.supported_models.SD15({
            "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32, "num_res_blocks": [1, 1], "channel_mult": (1, 2),
            "transformer_depth": [0, 0], "transformer_depth_output": [0, 0, 0, 0], "transformer_depth_middle": -1, "num_heads": 1,
            "use_spatial_transformer": True, "context_dim": 768, "dtype": torch.float32,
        })  # fmt: skip
        cpu = torch.device("cpu")
        return io.NodeOutput(comfy.model_patcher.ModelPatcher(config.get_model({}, device=cpu), cpu, cpu))


class Streamed(io.ComfyNode):
    """A generator of a checkpoint that ComfyUI has loaded as it does where it streams weights: on a CPU it does not, so its plain patcher
    says that it does, which loads weights as the file has them and asks for a second model for anything else."""

    @classmethod
    def define_schema(cls):
        inputs = [io.String.Input("ckpt_name"), io.String.Input("sizes"), io.Boolean.Input("fast"), io.Conditioning.Input("conditioning", optional=True)]
        outputs = [io.Custom("CONCEPT_GENERATOR").Output(), io.Vae.Output()]
        return io.Schema(node_id="ConceptAlgebraTest_Streamed", category="testing", inputs=inputs, outputs=outputs)

    @classmethod
    def execute(cls, ckpt_name, sizes, fast, conditioning=None):
        import comfy.model_patcher as patchers
        import nodes

        class Streaming(patchers.ModelPatcher):
            non_dynamic_delegate_model = None
            get_non_dynamic_delegate = patchers.ModelPatcherDynamic.get_non_dynamic_delegate

            def is_dynamic(self):
                return True

        plain, patchers.CoreModelPatcher = patchers.CoreModelPatcher, Streaming
        try:
            model, _, vae = nodes.CheckpointLoaderSimple().load_checkpoint(ckpt_name)
            fast_vae = Tiny.execute(16).result[0] if fast else None
            make = lambda: pack("nodes.checkpoint").GeneratorFromCheckpoint.execute(  # noqa: E731
                **({"width": 0, "height": 0, "frames": 0, "seconds": 0.0} | json.loads(sizes)),
                model=model, vae=vae, conditioning=conditioning, fast_vae=fast_vae,
            ).result[0]  # fmt: skip
            made, again = make(), make()
        finally:
            patchers.CoreModelPatcher = plain
        assert made.generator.network is again.generator.network is not model.model.diffusion_model, "one plain model, and not the streamed one"
        return io.NodeOutput(made, vae)


class Patched(io.ComfyNode):
    """What Load LoRA makes of a Stable Diffusion 3, with random numbers in place of a file."""

    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="ConceptAlgebraTest_Patched", category="testing", inputs=[io.Model.Input("model")], outputs=[io.Model.Output()])

    @classmethod
    def execute(cls, model):
        layer = "diffusion_model.joint_blocks.0.x_block.attn.qkv"
        rows, columns = model.model.state_dict()[f"{layer}.weight"].shape
        rng = torch.Generator().manual_seed(7)
        lora = {f"{layer}.lora_up.weight": torch.randn(rows, 2, generator=rng), f"{layer}.lora_down.weight": torch.randn(2, columns, generator=rng)}
        return io.NodeOutput(comfy.sd.load_lora_for_models(model, None, lora, 1.0, 0.0)[0])


LATENTS = {"sd3": (16, 4, 4), "sdxl": (4, 4, 4), "audio": (64, 2), "ltx": (128, 2, 2, 2)}


class Ordinary(io.ComfyNode):
    """What KSampler and VAE Decode make of a model, as a mark of all bits of each and the values of the first; `salt` keeps ComfyUI from
    answering out of its cache."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ConceptAlgebraTest_Ordinary", category="testing", is_output_node=True,
            inputs=[io.String.Input("salt"), io.String.Input("family"), io.Model.Input("model"), io.Vae.Input("vae")],
            outputs=[],
        )  # fmt: skip

    @classmethod
    def execute(cls, salt, family, model, vae):
        import nodes

        said = told(family)
        latent = {"samples": torch.zeros(1, *LATENTS[family])}
        (sampled,) = nodes.KSampler().sample(model, 7, 2, 1.5, "euler", "simple", said, said, latent)
        torch.manual_seed(0)  # LTX decodes with noise, and without a seed
        pixels = vae.decode(sampled["samples"])
        marks = [hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest() for tensor in (sampled["samples"], pixels)]
        return io.NodeOutput(ui={"marks": marks, "sampled": sampled["samples"].flatten().tolist()})


class Differentiated(io.ComfyNode):
    """Finite differences of what a generator of a checkpoint decodes and estimates, with a LoRA and without."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ConceptAlgebraTest_Differentiated", category="testing", is_output_node=True,
            inputs=[io.Custom("CONCEPT_GENERATOR").Input("generator"), io.Vae.Input("vae")], outputs=[],
        )  # fmt: skip

    @classmethod
    def execute(cls, generator, vae):
        grad = pack("ops.grad")
        assert torch.is_inference_mode_enabled(), "ComfyUI runs nodes under inference mode"
        drawing = generator.generator
        spoilt = sum(grad.frozen(p) for part in generator.modules(True) for p in part.parameters())
        with torch.inference_mode(False), torch.no_grad():
            pack("nodes.host").load(generator.residents(True))
            with grad.differentiable(*generator.modules(True)):
                found = measured(drawing)
            z = drawing.start(1, 3)
            found["codec"] = float((drawing.from_vae(drawing.to_vae(z)) - z).abs().max())
            if drawing.fast is not None:
                with grad.differentiable(*generator.modules(True)):
                    small = drawing.start(1, 3).requires_grad_()
                    found["fast"] = float(torch.autograd.grad(drawing.decode(small, fast=True).sum(), small)[0].abs().max())
            shown = drawing.decode(z)
            found["again"] = float((shown - drawing.decode(z)).abs().max())
            found["encodes"] = list(drawing.encode(shown).shape) == [1, *drawing.latent_shape]
            shown = shown if drawing.modality == "audio" else shown.clamp(0, 1)
            found["vae decode"] = float((vae.decode(drawing.to_vae(z)) - shown.movedim(1 if drawing.modality == "audio" else -3, -1)).abs().max())
        return io.NodeOutput(ui={"found": [json.dumps(found | {"spoilt": spoilt})]})


def measured(drawing):
    """Ratios of measured to computed slopes, and differences to what has to be equal."""
    rng = torch.Generator().manual_seed(11)
    z = drawing.start(1, 3).requires_grad_()
    told, t = drawing.condition(None), torch.tensor([0.4])

    def ratio(f, xs, step):
        value = f()
        weights = torch.randn(value.shape, generator=rng) / value.numel() ** 0.5
        gradients = torch.autograd.grad((value * weights).sum(), xs)
        size = sum(float(g.square().sum()) for g in gradients) ** 0.5
        slope = 0.0
        with torch.no_grad():
            for steps, share in ((1, 8), (-1, -8), (2, -1), (-2, 1)):  # of fourth order: nets bend
                for x, g in zip(xs, gradients):
                    x.add_(g, alpha=steps * step / size)
                slope += share * float((f() * weights).sum()) / (12 * step)
                for x, g in zip(xs, gradients):
                    x.sub_(g, alpha=steps * step / size)
        return slope / size

    found = {"decode": ratio(lambda: drawing.decode(z), [z], 0.05), "x0": ratio(lambda: drawing.predict_x0(z, t, told), [z], 0.05)}
    for at in (0.0, 1.0):
        found[f"finite at {at:g}"] = bool(drawing.predict_x0(z.detach(), torch.tensor([at]), told).isfinite().all())
    x, off = z.detach(), drawing.predict_x0(z.detach(), t, told)
    lora = drawing.new_lora(4, rng)
    found["fresh"] = float((drawing.predict_x0(x, t, told, lora) - off).detach().abs().max())
    parameters = lora.parameters()
    with torch.no_grad():
        for p in parameters:
            p.add_(0.02 * torch.randn(p.shape, generator=rng))
    found["lora"] = ratio(lambda: drawing.predict_x0(x, t, told, lora), parameters, 0.02)
    found["adapts"] = float((drawing.predict_x0(x, t, told, lora) - off).detach().abs().max())
    found["off again"] = float((drawing.predict_x0(x, t, told) - off).detach().abs().max())
    gradients = torch.autograd.grad(drawing.predict_x0(x, t, told, lora).square().sum(), parameters)
    drawing.blocks = lambda: []  # nothing computed again
    try:
        # only what recomputes is off: the blocks still compute as gradients need it
        with pack("nodes.host_models")._outright(type(drawing).blocks(drawing), drawing.kind.block):
            kept = torch.autograd.grad(drawing.predict_x0(x, t, told, lora).square().sum(), parameters)
    finally:
        del drawing.blocks
    found["recomputed"] = max(float((a - b).abs().max()) for a, b in zip(gradients, kept)) / max(float(g.abs().max()) for g in kept)
    times = torch.tensor([0.4, 0.7])
    both = drawing.predict_x0(torch.cat([x, x]), times, told)
    found["batch"] = float((both - torch.cat([off, drawing.predict_x0(x, times[1:], told)])).detach().abs().max())
    return found


def _sized(detect=comfy.model_detection.detect_unet_config):
    """ComfyUI 0.8 knows one size of Stable Audio's network; newer ones read it from the file, and so this one does as well."""

    def detected(state_dict, prefix, *args, **kwargs):
        config = detect(state_dict, prefix, *args, **kwargs)
        if config and config.get("audio_model") == "dit1.0" and "embed_dim" not in config:
            config |= {"embed_dim": state_dict[f"{prefix}transformer.project_in.weight"].shape[0], "depth": 1}
        return config

    comfy.model_detection.detect_unet_config = detected


_sized()
NODES = [Told, Tiny, Other, Streamed, Patched, Ordinary, Differentiated]
