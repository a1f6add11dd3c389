"""Stable Diffusion XL by the diffusers library, as it was before flows: a U-Net that predicts the noise (Podell et al. 2023, arXiv 2307.01952)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..runtime import tower_dtype
from ..weights import WeightsError
from .diffusers_loading import component, config, converted, shapes, tensors
from .families import SDXL, index
from .flow import along
from .latent_picture import FIRST_STAGE, Conditioning, LatentPicture, autoencoder_settings, counted
from .parametrisation import x0_from_epsilon
from .tiny_decoder import tiny_decoder

NETWORK = "model.diffusion_model."
SCALE = 0.13025
"""Of the autoencoder, which single files do not hold."""
TOKENS, POOLED = 77, 1280
BLOCKS = ("BasicTransformerBlock", "ResnetBlock2D")
OTHERS = {"v_pred": "velocity", "edm_vpred.sigma_max": "velocity", "edm_mean": "the clean latent"}
"""Tensors by which single files say that the network predicts something else than the noise."""


class StableDiffusionXL(LatentPicture):
    """The network is told that its pictures were never larger nor cropped; no prompt is zeros, as the base model was trained."""

    family = SDXL
    pipeline = "StableDiffusionXLPipeline"
    text_parts = {
        "text_encoder": "CLIPTextModel", "text_encoder_2": "CLIPTextModelWithProjection",
        "tokenizer": "CLIPTokenizer", "tokenizer_2": "CLIPTokenizer",
    }  # fmt: skip

    def __init__(
        self, network: nn.Module, autoencoder: nn.Module, width: int = 1024, height: int = 1024, fast: nn.Module | None = None, folder: Path | None = None
    ):
        """ValueError for a size that does not fit."""
        super().__init__(network, autoencoder, width, height, fast, folder)
        # height first: of the picture, of the corner it was cropped at, and of what it is to be
        self._sizes = [height, width, 0, 0, height, width]

    def x0(self, x_t: Tensor, t: Tensor, cond: Conditioning) -> Tensor:
        text, pooled = (part.to(x_t.device, self.dtype).expand(len(x_t), *part.shape[1:]) for part in cond)
        sizes = torch.tensor(self._sizes, device=x_t.device, dtype=self.dtype).expand(len(x_t), -1)
        told = {"text_embeds": pooled, "time_ids": sizes}
        eps = self.network(x_t.to(self.dtype), index(t), encoder_hidden_states=text, added_cond_kwargs=told).sample
        alpha, sigma = (along(level, x_t) for level in self.noise(t))
        return x0_from_epsilon(x_t, eps.to(x_t), alpha, sigma)

    def blocks(self) -> Iterable[nn.Module]:
        return [part for part in self.network.modules() if type(part).__name__ in BLOCKS]

    def null(self) -> Conditioning:
        return Conditioning(torch.zeros(1, TOKENS, self.network.config.cross_attention_dim), torch.zeros(1, POOLED))

    def embedded(self, pipeline: type, parts: Mapping[str, Any], prompt: str) -> Conditioning:
        made = pipeline(unet=self.network, vae=self.autoencoder, scheduler=None, add_watermarker=False, **parts)
        text, _, pooled, _ = made.encode_prompt(prompt, device=self.device, do_classifier_free_guidance=False)
        return Conditioning(text, pooled)


def load(
    path: Path,
    width: int = 1024,
    height: int = 1024,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    fast: Path | None = None,
) -> StableDiffusionXL:
    """The generator of a diffusers folder, or of a single safetensors file in Stability AI's layout; arguments and errors as `sd3.load`."""
    path, dtype = Path(path), dtype or tower_dtype(device)
    if path.is_dir():
        network, autoencoder = component(path, "unet", "UNet2DConditionModel", dtype), component(path, "vae", "AutoencoderKL", torch.float32)
        told = network.config
        _require(told.in_channels, told.cross_attention_dim, told.projection_class_embeddings_input_dim, path)
        if (path / "scheduler").is_dir() and (kind := config(path / "scheduler", "scheduler_config.json").get("prediction_type", "epsilon")) != "epsilon":
            raise WeightsError(f"{path} predicts '{kind}', expected epsilon as {SDXL.title} does")
    else:
        found = shapes(path)
        settings = autoencoder_settings(found, path) | {"scaling_factor": SCALE}
        network = converted("UNet2DConditionModel", tensors(path, NETWORK, dtype), unet_settings(found, path), dtype, path)
        autoencoder = converted("AutoencoderKL", tensors(path, FIRST_STAGE, torch.float32), settings, torch.float32, path)
    small = tiny_decoder(fast, SDXL.channels, dtype) if fast else None
    made = StableDiffusionXL(network, autoencoder, width, height, small, path if path.is_dir() else None)
    return made.eval().to(device)


def unet_settings(found: Mapping[str, tuple[int, ...]], source: Path) -> dict[str, Any]:
    """Of diffusers' UNet2DConditionModel, as the tensors of a single file are for it, by their shapes.

    WeightsError, naming `source`, for a file of another family or of one of SDXL's relatives.
    """
    if other := OTHERS.keys() & found.keys():
        raise WeightsError(f"{source} predicts {OTHERS[other.pop()]}, expected the noise as {SDXL.title} does")
    shape = {name.removeprefix(NETWORK): shape for name, shape in found.items() if name.startswith(NETWORK)}
    try:
        channels, depths, at = [], [0], 1
        for at in range(1, counted(shape, "input_blocks.")):
            if f"input_blocks.{at}.0.op.weight" in shape:
                depths.append(0)
                continue
            channels[len(depths) - 1 :] = [shape[f"input_blocks.{at}.0.out_layers.3.weight"][0]]
            depths[-1] = counted(shape, f"input_blocks.{at}.1.transformer_blocks.")
        text = shape["middle_block.1.transformer_blocks.0.attn2.to_k.weight"][1]
        vector = shape["label_emb.0.0.weight"][1]
        _require(shape["input_blocks.0.0.weight"][1], text, vector, source)
        return {
            "in_channels": SDXL.channels, "out_channels": shape["out.2.weight"][0], "block_out_channels": channels,
            "layers_per_block": (counted(shape, "input_blocks.") - len(depths)) // len(depths),
            "down_block_types": ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths],
            "up_block_types": ["CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in reversed(depths)],
            "transformer_layers_per_block": [max(depth, 1) for depth in depths], "attention_head_dim": [size // 64 for size in channels],
            "cross_attention_dim": text, "use_linear_projection": True, "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": vector,
        }  # fmt: skip
    except KeyError as error:
        raise WeightsError(f"{source} is no checkpoint of {SDXL.title}: no tensor {NETWORK}{error.args[0]}") from error


def _require(channels: int, text: int, vector: int, source: Path) -> None:
    wanted = (SDXL.channels, 2048, POOLED + 6 * 256)
    if (channels, text, vector) != wanted:
        told = f"latents of {channels} channels, text of {text} and {vector} numbers"
        raise WeightsError(f"{source} reads {told}, where {SDXL.title} reads {', '.join(map(str, wanted))}: a refiner or another relative")
