"""AudioLDM 2 by the diffusers library: mono sounds at 16 kHz from mel spectrograms (Liu et al. 2023, arXiv 2308.05734).

Superseded, and here as a second opinion on what a prior of sounds does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..constants import constant
from ..runtime import tower_dtype
from ..space import Modality
from ..weights import WeightsError
from .checkpointing import Checkpointed
from .diffusers_loading import component, config, library, mark, transformed
from .families import AUDIO_LDM2, index
from .flow import along
from .parametrisation import x0_from_epsilon

WINDOW = 1024
"""Samples of a spectrum."""
FAINTEST = 1e-5
"""Mel magnitude below which nothing is heard. Both from the published configuration (audioldm2/utils.py, utilities/audio)."""

Conditioning = tuple[Tensor, Tensor, Tensor]
"""What the language model says [1, 8, 768], what T5 says [1, N, 1024], and which of its N rows are words [1, N]."""


class AudioLDM2(Checkpointed):
    """A `Generator` (see protocol.py) of `seconds` of sound; `load` makes it.

    latents [B, 8, 16, L]: mel from low to high, and time last, as the priors take it; the library's pipelines have them turned.
    `samples` at `rate` Hz are what a latent stands for. folder: with the text encoders, without which even no prompt cannot be
    said: it is the empty one.
    """

    modality: Modality = "audio"
    # of all attentions what goes in and what comes out
    adapts = re.compile(r".*\.attn.*")

    def __init__(self, autoencoder: nn.Module, unet: nn.Module, vocoder: nn.Module, seconds: float, folder: Path):
        super().__init__()
        self.scale = 2 ** (len(autoencoder.config.block_out_channels) - 1)
        self.hop, self.rate = math.prod(vocoder.config.upsample_rates), vocoder.config.sampling_rate
        family = replace(AUDIO_LDM2, channels=unet.config.in_channels, cell=self.scale * self.hop, rate=self.rate)
        channels, cells = family.sound(seconds)
        self.bins = vocoder.config.model_in_dim
        self.latent_shape, self.samples = (channels, self.bins // self.scale, cells), cells * family.cell
        self.autoencoder, self.unet, self.vocoder, self.folder = autoencoder, unet, vocoder, folder
        self.eval().requires_grad_(False)
        self.id = f"{family.name}-{mark(unet, autoencoder, vocoder)}"
        self._said: dict[str, Conditioning] = {}

    @property
    def network(self) -> nn.Module:
        return self.unet

    def blocks(self) -> Iterable[nn.Module]:
        """Every residual and every attention block."""
        for stage in (*self.unet.down_blocks, self.unet.mid_block, *self.unet.up_blocks):
            yield from (*stage.resnets, *getattr(stage, "attentions", ()))

    def noise(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The family's schedule, of a thousand steps."""
        return AUDIO_LDM2.schedule(t)

    def x0(self, x_t: Tensor, t: Tensor, cond: Conditioning) -> Tensor:
        generated, words, mask = (part.expand(len(x_t), *part.shape[1:]) for part in cond)
        dtype = self.unet.dtype
        eps = self.unet(
            x_t.transpose(-1, -2).to(dtype), index(t), encoder_hidden_states=generated.to(dtype), encoder_hidden_states_1=words.to(dtype),
            encoder_attention_mask_1=mask, return_dict=False,
        )[0].transpose(-1, -2)  # fmt: skip
        alpha, sigma = (along(part, x_t) for part in self.noise(t))
        return x0_from_epsilon(x_t, eps.to(x_t), alpha, sigma)

    def condition(self, prompt: str | None) -> Conditioning:
        """What CLAP, T5 and GPT-2 make of a prompt, None being the empty one. They are loaded for it and let go, once a prompt.

        WeightsError for a folder without one of them.
        """
        said = prompt or ""
        if said not in self._said:
            # kept for good, so not born under a host's inference mode
            with torch.inference_mode(False), torch.no_grad():
                words, mask, generated = self._pipeline().encode_prompt(said, "cpu", 1, False)
                self._said[said] = tuple(part.to(self.device) for part in (generated, words, mask))
        return self._said[said]

    def decode(self, z: Tensor, fast: bool = False) -> Tensor:
        """Sounds [B, 1, samples]; the vocoder itself keeps them within -1..1. There is no faster decoder."""
        latents = z.transpose(-1, -2) / self.autoencoder.config.scaling_factor
        mels = self.autoencoder.decode(latents.to(self.autoencoder.dtype)).sample
        # a vocoder of odd strides gives a few samples more
        return self.vocoder(mels[:, 0])[:, None, : self.samples].to(z.dtype)

    def encode(self, media: Tensor) -> Tensor:
        """The means of the latents of sounds [B, 1, samples] at `rate`. ValueError for another shape."""
        if media.dim() != 3 or media.shape[1:] != (1, self.samples):
            raise ValueError(f"a sound of shape {tuple(media.shape)}, expected [B, 1, {self.samples}]")
        mels = log_mels(media[:, 0], self.rate, self.hop, self.bins)
        latents = self.autoencoder.encode(mels[:, None].to(self.autoencoder.dtype)).latent_dist.mode()
        return latents.to(media.dtype).transpose(-1, -2) * self.autoencoder.config.scaling_factor

    def _pipeline(self):
        """The library's pipeline with its text encoders and nothing else."""
        from transformers import GPT2LMHeadModel

        unused = dict.fromkeys(("vae", "unet", "vocoder", "scheduler", "feature_extractor"))
        offline = {"local_files_only": True, "use_safetensors": True}
        try:
            # published as a GPT2Model, which has lost what the pipeline asks of it to this one
            language = GPT2LMHeadModel.from_pretrained(str(self.folder / "language_model"), **offline)
            return library().AudioLDM2Pipeline.from_pretrained(str(self.folder), language_model=language, **unused, **offline)
        except (OSError, ValueError) as error:
            raise WeightsError(f"{self.folder} cannot say a prompt, nor none: {str(error).splitlines()[0]}") from error


def load(path: str | Path, seconds: float = 10.24, device: torch.device | str = "cpu", dtype: torch.dtype | None = None) -> AudioLDM2:
    """The generator of a folder of the diffusers library.

    dtype: of the diffusion network, `runtime.tower_dtype` of the device unless said; autoencoder and vocoder are float32.
    WeightsError for a folder that is damaged, not whole or another model's, ModuleNotFoundError without diffusers and
    transformers, ValueError for a length that is none.
    """
    path = Path(path)
    with torch.inference_mode(False):
        autoencoder = component(path, "vae", "AutoencoderKL", torch.float32)
        unet = component(path, "unet", "AudioLDM2UNet2DConditionModel", dtype or tower_dtype(device))
        return AudioLDM2(autoencoder, unet, vocoder(path / "vocoder"), seconds, path).to(device)


def vocoder(place: Path) -> nn.Module:
    """HiFi-GAN from log-mels to sound (Kong et al. 2020, arXiv 2010.05646). WeightsError, naming the folder, for anything else."""
    library()
    from transformers import SpeechT5HifiGan

    if config(place).get("model_type") != "speecht5_hifigan":
        raise WeightsError(f"{place} has a {config(place).get('model_type')}, expected a speecht5_hifigan")
    return transformed(place, SpeechT5HifiGan, torch.float32, ("missing", "unexpected"))


def log_mels(wave: Tensor, rate: int, hop: int, bins: int) -> Tensor:
    """Natural logarithms of mel magnitudes [B, T / hop, bins], low to high, of waves [B, T] longer than half a `WINDOW`."""
    window = constant(wave, _window)
    spectrum = torch.stft(wave, WINDOW, hop, window=window, center=True, pad_mode="reflect", return_complex=True).abs()
    return (spectrum[..., :-1].transpose(1, 2) @ constant(wave, mel_filters, rate, bins)).clamp_min(FAINTEST).log()


def _window() -> np.ndarray:
    return np.hanning(WINDOW + 1)[:-1]


def mel_filters(rate: int, bins: int) -> np.ndarray:
    """Triangles [WINDOW / 2 + 1, bins] of area 1 in Hz, spaced evenly to half the rate on Slaney's mel scale: linear up to 1 kHz, then
    logarithmic (Auditory Toolbox, 1998)."""
    mels = np.linspace(0, 15 + 27 * math.log(rate / 2000) / math.log(6.4), bins + 2)
    corner = np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))
    f = (np.arange(WINDOW // 2 + 1) * rate / WINDOW)[:, None]
    rise, fall = (f - corner[:-2]) / np.diff(corner)[:-1], (corner[2:] - f) / np.diff(corner)[1:]
    return np.maximum(0, np.minimum(rise, fall)) * 2 / (corner[2:] - corner[:-2])
