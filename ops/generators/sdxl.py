"""Stable Diffusion XL by the diffusers library, as it was before flows: a U-Net that predicts the noise (Podell et al. 2023, arXiv 2307.01952)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..weights import WeightsError
from .diffusers_loading import config
from .families import SDXL, index
from .flow import along
from .latent_picture import NETWORK, Conditioning, LatentPicture, counted, loaded
from .parametrisation import x0_from_epsilon

TOKENS, TEXT, POOLED = 77, 2048, 1280
BLOCKS = ("BasicTransformerBlock", "ResnetBlock2D")
OTHERS = {"v_pred": "velocity", "edm_vpred.sigma_max": "velocity", "edm_mean": "the clean latent"}
"""Tensors by which single files say that the network predicts something else than the noise."""


class StableDiffusionXL(LatentPicture):
    """The network is told that its pictures were never larger nor cropped; no prompt is zeros, as the base model was trained."""

    family = SDXL
    part, kind = "unet", "UNet2DConditionModel"
    scale = {"scaling_factor": 0.13025}
    pipeline = "StableDiffusionXLPipeline"
    texts = {
        "text_encoder": "CLIPTextModel", "text_encoder_2": "CLIPTextModelWithProjection",
        "tokenizer": "CLIPTokenizer", "tokenizer_2": "CLIPTokenizer",
    }  # fmt: skip

    def __init__(
        self, network: nn.Module, autoencoder: nn.Module, width: int, height: int, fast: nn.Module | None = None, folder: Path | None = None
    ):
        """As in `LatentPicture`; and WeightsError for a relative of the base model, and for one that does not predict the noise."""
        told = network.config
        _require(told.in_channels, told.cross_attention_dim, told.projection_class_embeddings_input_dim, folder or "this network")
        if folder is not None and (folder / "scheduler").is_dir():
            kind = config(folder / "scheduler", "scheduler_config.json").get("prediction_type", "epsilon")
            if kind != "epsilon":
                raise WeightsError(f"{folder} predicts '{kind}', expected epsilon as {self.family.title} does")
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
        return Conditioning(torch.zeros(1, TOKENS, TEXT), torch.zeros(1, POOLED))

    @staticmethod
    def settings(found: Mapping[str, tuple[int, ...]], source: Path) -> dict[str, Any]:
        if other := OTHERS.keys() & found.keys():
            raise WeightsError(f"{source} predicts {OTHERS[other.pop()]}, expected the noise as {SDXL.title} does")
        shape = {name.removeprefix(NETWORK): shape for name, shape in found.items() if name.startswith(NETWORK)}
        try:
            channels, depths = [], [0]
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


def load(
    path: Path,
    width: int = 1024,
    height: int = 1024,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    fast: Path | None = None,
) -> StableDiffusionXL:
    """The generator of a diffusers folder or a single file; arguments and errors as `latent_picture.loaded`."""
    return loaded(StableDiffusionXL, path, width, height, device, dtype, fast)


def _require(channels: int, text: int, vector: int, source: Path | str) -> None:
    wanted = (SDXL.channels, TEXT, POOLED + 6 * 256)
    if (channels, text, vector) != wanted:
        told = f"latents of {channels} channels, text of {text} and {vector} numbers"
        raise WeightsError(f"{source} reads {told}, where {SDXL.title} reads {', '.join(map(str, wanted))}: a refiner or another relative")
