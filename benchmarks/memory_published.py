"""The generators and the encoder that memory is planned for, at full size, of meta tensors: nothing is downloaded or filled.

Sizes are those of the published configurations: of Stable Diffusion 3.5 Medium, Stable Audio Open 1.0 and LTX-Video 0.9.0 and 0.9.5
in the diffusers library's defaults and conversion scripts, of ViT-L/14 in CLIP (arXiv 2103.00020) and LanguageBind (arXiv 2310.01852).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch
from torch import nn

from ..ops.encoders.languagebind import LanguageBind
from ..ops.encoders.text_tower import TextTower
from ..ops.generators import latent_picture, ltx_video, sd3, stable_audio
from ..ops.generators.diffusers_loading import library
from ..ops.space import Space
from .languagebind import meta

HALF = torch.bfloat16
SIDE, SECONDS, CLIP = 512, 10.0, (512, 320, 25)
"""Pixels of a picture's sides; of sounds; pixels across, pixels down and frames of clips."""
TOKENS = 128
"""Of a text as LTX-Video reads it."""

SD35_MEDIUM = {
    "sample_size": 128, "patch_size": 2, "in_channels": 16, "out_channels": 16, "num_layers": 24, "attention_head_dim": 64,
    "num_attention_heads": 24, "joint_attention_dim": 4096, "caption_projection_dim": 1536, "pooled_projection_dim": 2048,
    "pos_embed_max_size": 384, "dual_attention_layers": tuple(range(13)), "qk_norm": "rms_norm",
}  # fmt: skip
SD3_VAE = {
    "in_channels": 3, "out_channels": 3, "latent_channels": 16, "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2,
    "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4, "norm_num_groups": 32,
    "use_quant_conv": False, "use_post_quant_conv": False, "scaling_factor": 1.5305, "shift_factor": 0.0609,
}  # fmt: skip
LTX_095_VAE = {
    "block_out_channels": (128, 256, 512, 1024, 2048), "down_block_types": ("LTXVideo095DownBlock3D",) * 4, "layers_per_block": (4, 6, 6, 2, 2),
    "decoder_block_out_channels": (256, 512, 1024), "decoder_layers_per_block": (5, 5, 5, 5), "spatio_temporal_scaling": (True,) * 4,
    "decoder_spatio_temporal_scaling": (True,) * 3, "decoder_inject_noise": (False,) * 4, "upsample_residual": (True,) * 3,
    "upsample_factor": (2, 2, 2), "downsample_type": ("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
    "timestep_conditioning": True, "encoder_causal": True, "decoder_causal": False, "spatial_compression_ratio": 32, "temporal_compression_ratio": 8,
}  # fmt: skip
"""A decoder of twice the weights of 0.9.0 and an encoder of four times: 1.25 billion in all. Of 0.9.0 the library has the
configuration as its defaults, and so it has the networks' of LTX-Video and Stable Audio and Oobleck's."""


def encoder() -> LanguageBind:
    """LanguageBind's four towers in half precision, with neither words nor a calibrated space."""
    with torch.device("meta"):
        text = TextTower(49408, 77, 768, 12, 12, 3072).eval().requires_grad_(False)
    towers = {"text": text, **{medium: meta(medium) for medium in ("image", "audio", "video")}}
    heard = {"audio": {"bins": 112, "frames": 1036, "mean": -4.2677393, "deviation": 4.5689974}}
    return LanguageBind({name: tower.to(HALF) for name, tower in towers.items()}, heard, None, Space("published", 768))


def t5() -> nn.Module:
    """The text encoder of LTX-Video, T5 v1.1 XXL, which reads the empty text once."""
    from transformers import T5Config, T5EncoderModel

    settings = T5Config(d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64, vocab_size=32128, feed_forward_proj="gated-gelu")
    with torch.device("meta"):
        return T5EncoderModel(settings).to(HALF)


def sd35(side: int = SIDE) -> sd3.StableDiffusion3:
    """Pictures of `side` pixels."""
    with unmarked(latent_picture):
        return sd3.StableDiffusion3(empty("SD3Transformer2DModel", SD35_MEDIUM), empty("AutoencoderKL", SD3_VAE, torch.float32), side, side).eval()


def sound() -> stable_audio.StableAudio:
    """Ten seconds of sound."""
    told = {"text_encoder_dim": 768, "conditioning_dim": 768, "min_value": 0, "max_value": 512}
    with unmarked(stable_audio):
        return stable_audio.StableAudio(
            empty("AutoencoderOobleck", {}, torch.float32), empty("StableAudioDiTModel", {}), empty("StableAudioProjectionModel", told, torch.float32),
            SECONDS, rotated=32, longest=1024,
        )  # fmt: skip


def clip(autoencoder: dict) -> ltx_video.LTXVideo:
    """A second of film."""
    with unmarked(ltx_video):
        null = torch.empty(1, TOKENS, 4096, dtype=HALF, device="meta"), torch.empty(1, TOKENS, dtype=torch.bool, device="meta")
        return ltx_video.LTXVideo(empty("LTXVideoTransformer3DModel", {}), empty("AutoencoderKLLTXVideo", autoencoder, torch.float32), *CLIP, null=null).eval()


def empty(kind: str, settings: dict, dtype: torch.dtype = HALF) -> nn.Module:
    """A model of the diffusers library without weights."""
    with torch.device("meta"):
        # the library's own way to another dtype warns, whatever it is
        return nn.Module.to(getattr(library(), kind)(**settings), dtype).eval().requires_grad_(False)


@contextmanager
def unmarked(module: ModuleType) -> Iterator[None]:
    """Within it what a module makes is not named by its weights, as it has none."""
    mark = module.mark
    module.mark = lambda *_: "published"
    try:
        yield
    finally:
        module.mark = mark
