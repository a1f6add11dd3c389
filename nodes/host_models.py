"""ComfyUI's loaded MODEL and VAE as a Generator.

With the other `host` files the only ones that touch ComfyUI's internals. Written for ComfyUI 0.8.0 and newer; tried on 0.8.0 and 0.33.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..ops.generators.checkpointing import Checkpointed
from ..ops.generators.flow import along
from ..ops.grad import thawed
from ..ops.priors.lora import LoRA
from ..ops.space import Space, fingerprint
from .host_families import Conditioning, Kind, recognised
from .host_streamed import still
from .host_vae import STRETCH, Autoencoder

DECODING, DENOISING = {"image": 2, "audio": 6, "video": 4}, 4
"""What a forward and backward pass takes, in what ComfyUI counts for the forward pass alone. Counted, in single precision:
1.2 for pictures and 5.4 for sounds. Of clips and of the networks only small ones could be counted: these are guesses above them."""

SAMPLERS = {"control": "a ControlNet", "gligen": "GLIGEN boxes", "hooks": "hooks"}
"""What CONDITIONING may hold beside what it says, by its key."""


class LoadedGenerator(Checkpointed):
    """A `Generator` (see ops/generators/protocol.py) over a MODEL and a VAE, neither of which it changes.

    The VAE is a part of this module, the MODEL's network is not: what optimises without a prior has no need of it. Latents are
    those the network sees; `to_vae` and `from_vae` lead to LATENT and back.
    """

    def __init__(
        self, kind: Kind, patcher: Any, vae: Any, shape: tuple[int, ...], clip: Any = None, null: Conditioning | None = None, fast_vae: Any = None
    ):
        super().__init__()
        family = kind.family
        self.kind, self.modality, self.latent_shape = kind, family.modality, shape
        self.rate, self.fps = family.rate, family.fps
        if fast_vae is not None and family.modality != "image":
            raise ValueError(f"fast_vae: tiny autoencoders decode pictures, and {family.title} makes {family.modality}; leave it unconnected")
        self.vae = Autoencoder(vae, family)
        self.fast = None if fast_vae is None else Autoencoder(fast_vae, family, "fast_vae")
        self.patcher = still(patcher).clone()
        options = self.patcher.model_options.setdefault("transformer_options", {})
        options["optimized_attention_override"] = _attention
        self._clip, self._given, self._direction = clip, null, None
        self._said: dict[str, Conditioning] = {}
        self.id = f"{family.name}-{fingerprint(dict(self._sampled()))}"
        if self.patcher.patches:  # weights to come, which ComfyUI names anew whenever they are put together
            self.id += f"-{self.patcher.patches_uuid}"
        if null is not None:
            self.id += f"-null-{_marked(null)}"

    @property
    def model(self) -> nn.Module:
        """ComfyUI's model around the network: what has to be differentiable where a prior is used."""
        return self.patcher.model

    @property
    def network(self) -> nn.Module:
        return self.model.diffusion_model

    @property
    def device(self) -> torch.device:
        from comfy import model_management

        return model_management.get_torch_device()

    def noise(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The family's schedule."""
        return self.kind.family.schedule(t)

    def bytes(self, natural: bool) -> int:
        """What a step of one latent takes on the device beside weights, with a prior or without."""
        shape = (1, *self.latent_shape)
        shape = (1, shape[2], shape[1], *shape[3:]) if self.modality == "video" else shape
        at_once = (*shape[:2], min(shape[2], 3 * STRETCH // 2)) if self.modality == "audio" else shape  # with what it overlaps
        decoding = DECODING[self.modality] * self.vae.bytes(at_once, self.vae.dtype)
        return int(decoding + (DENOISING * self.model.memory_required(list(shape)) if natural else 0))

    def to_vae(self, z: Tensor) -> Tensor:
        """Latents [B, *latent_shape] as ComfyUI's VAEs have them: theirs in scale, and a clip's channels before its frames."""
        return self.model.process_latent_out(z.movedim(1, 2) if self.modality == "video" else z)

    def from_vae(self, samples: Tensor) -> Tensor:
        """The inverse of `to_vae`."""
        z = self.model.process_latent_in(samples)
        return z.movedim(1, 2) if self.modality == "video" else z

    def decode(self, z: Tensor, fast: bool = False) -> Tensor:
        """Media [B, 3, H, W] or [B, T, 3, H, W] about 0..1, or [B, 2, samples] about -1..1, unclamped; `fast` by the tiny autoencoder."""
        media = (self.fast if fast and self.fast is not None else self.vae).decode(self.to_vae(z))
        if self.modality == "audio":
            return media
        media = (media + 1) / 2
        return media.movedim(1, 2) if self.modality == "video" else media

    def encode(self, media: Tensor) -> Tensor:
        """The latents of such media."""
        if self.modality == "video":
            media = media.movedim(1, 2)
        return self.from_vae(self.vae.encode(media if self.modality == "audio" else 2 * media - 1))

    def x0(self, x_t: Tensor, t: Tensor, cond: Conditioning) -> Tensor:
        """From what `condition` or `told` gives. As a sampler of ComfyUI would ask, so areas and masks mean what they mean there."""
        from comfy.model_sampling import CONST
        from comfy.patcher_extension import copy_nested_dicts
        from comfy.sampler_helpers import convert_cond
        from comfy.samplers import calc_cond_batch, process_conds

        alpha, sigma = self.noise(t)
        x = x_t.movedim(1, 2) if self.modality == "video" else x_t
        level = sigma
        if not isinstance(self.model.model_sampling, CONST):
            # these keep the picture's scale and let the noise grow: sigma / alpha, up to where their schedule ends
            level = (sigma / alpha.clamp_min(1e-6)).clamp(max=float(self.model.model_sampling.sigma_max))
            x = x * along((1 + level.square()).sqrt(), x)
        with self._at_work():
            said = {"positive": convert_cond(cond)}
            said = process_conds(self.model, x.detach(), said, x.device, None, None, 0)["positive"]
            clean = calc_cond_batch(self.model, [said], x, level, copy_nested_dicts(self.patcher.model_options))[0]
        return clean.movedim(1, 2) if self.modality == "video" else clean

    def predict_x0(self, x_t: Tensor, t: Tensor, cond: Conditioning, lora: LoRA | None = None) -> Tensor:
        """As for every generator."""
        with _training(), _outright(self.blocks(), self.kind.block):
            return super().predict_x0(x_t, t, cond, lora)

    def blocks(self) -> list[nn.Module]:
        return [part for path, part in self.network.named_modules() if self.kind.blocks.fullmatch(path)]

    @property
    def adapts(self) -> re.Pattern:
        return self.kind.adapted

    def adapted(self) -> list[str]:
        """Of every attention the layers before and after. ValueError where ComfyUI keeps them quantised, as layers of its own."""
        paths = super().adapted()
        if not paths:
            raise ValueError(
                "model has quantised weights, which the LoRA of VSD Prior cannot adapt; use FLAIR Prior, or load the model's file in bf16 or fp16"
            )
        return paths

    def condition(self, prompt: str | None) -> Conditioning:
        """CONDITIONING for a prompt, from CLIP, read once; for None what was given in its place, or what the family knows for nothing.

        ValueError where that takes a CLIP and none is connected.
        """
        if prompt is None and self._given is not None:
            return self._given
        if prompt is None and self.kind.null is not None:
            return self.kind.null(self.latent_shape)
        words = prompt or ""
        if words not in self._said:
            if self._clip is None:
                what = f"the prompt {prompt[:60]!r}" if prompt else f"{self.kind.family.title}'s prior, which reads empty text for no prompt,"
                raise ValueError(f"{what} needs a text encoder: connect clip at Generator From Checkpoint" + ("" if prompt else ", or conditioning"))
            with torch.inference_mode():  # as ComfyUI has made the weights, which could not be moved or patched in place otherwise
                said = self._clip.encode_from_tokens_scheduled(self._clip.tokenize(words))
            self._said[words] = owned(said)
        return self._said[words]

    def telling(self, conditioning: Conditioning) -> LoadedGenerator:
        """The same generator, which reads this CONDITIONING in place of every concept (see `told`)."""
        told = copy.copy(self)
        told._direction = owned(conditioning)
        told.id = f"{self.id}-told-{_marked(told._direction)}"
        return told

    def told(self, direction: Tensor, space: Space) -> Conditioning | None:
        """What `telling` was given; None for a generator that was given nothing: it reads words, and no embedding."""
        return self._direction

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        self.patcher.pre_run()  # makes the patcher known to the model, which samplers rely on
        try:
            yield
        finally:
            self.patcher.cleanup()

    def _sampled(self) -> Iterator[tuple[str, Tensor]]:
        """A few values of every weight, as the files have them: where ComfyUI has laid a LoRA over one, it keeps what was there."""
        for prefix, module in (("diffusion_model.", self.network), ("vae.", self.vae.module)):
            for name, tensor in module.named_parameters():
                kept = self.patcher.backup.get(prefix + name)
                flat = (tensor if kept is None else kept.weight).detach().reshape(-1)
                yield prefix + name, flat[:: max(1, len(flat) // 16)][:16].float().cpu()


def generator(model: Any, vae: Any, sizes: dict[str, int | float], clip: Any = None, null: Conditioning | None = None, fast_vae: Any = None):
    """What a MODEL and a VAE make, of sizes `width`, `height`, `frames` and `seconds`, 0 for the family's usual.

    ValueError for a model of another family, for a VAE that does not fit it and for sizes that it cannot make.
    """
    kind = recognised(model.model)
    return LoadedGenerator(kind, model, vae, kind.shape(**sizes), clip, None if null is None else owned(null), fast_vae)


def owned(conditioning: Conditioning) -> Conditioning:
    """A copy of CONDITIONING whose tensors autograd may save: those made in a node are not of that kind.

    ValueError for one with parts that a sampler has to make ready: without it some fail, and hooks do nothing.
    """
    for _, options in conditioning:
        for key, what in SAMPLERS.items():
            if options.get(key) is not None:
                raise ValueError(f"conditioning has {what} on it, which only a sampler reads; connect the CONDITIONING from before")

    def copied(value: Any) -> Any:
        if isinstance(value, Tensor):
            return thawed(value)
        if type(value) in (list, tuple):
            return type(value)(map(copied, value))
        return {k: copied(v) for k, v in value.items()} if type(value) is dict else value

    return copied(conditioning)


def _marked(conditioning: Conditioning) -> str:
    """A fingerprint of CONDITIONING's tensors."""
    return fingerprint({str(i): tensor.flatten() for i, tensor in enumerate(_tensors(conditioning))})


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part)


def _attention(_: Callable, *args: Any, **kwargs: Any) -> Tensor:
    """PyTorch's own, whatever ComfyUI would take: some of those have no backward pass, or write over what it needs."""
    from comfy.ldm.modules.attention import attention_pytorch

    return attention_pytorch(*args, **kwargs)


@contextmanager
def _training() -> Iterator[None]:
    """ComfyUI's own mark, where it has one, that kernels without a backward pass are not to be used."""
    from comfy import model_management

    if not hasattr(model_management, "in_training"):
        yield
        return
    before, model_management.in_training = model_management.in_training, True
    try:
        yield
    finally:
        model_management.in_training = before


@contextmanager
def _outright(blocks: list[nn.Module], forward: Callable[..., Tensor] | None) -> Iterator[None]:
    """Within it blocks compute without ComfyUI's shortcuts for inference, by `forward` (block, ...) where one is given, also when a
    backward pass runs them again and whoever else's patch calls them."""

    def run(own: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with _training():
            return own(*args, **kwargs)

    before = [(block, block.__dict__.get("forward")) for block in blocks]
    try:
        for block in blocks:
            block.forward = partial(run, partial(forward, block) if forward else block.forward)
        yield
    finally:
        for block, own in before:
            block.__dict__.pop("forward", None)
            if own is not None:
                block.forward = own
