"""Stable Audio Open 1.0 by the diffusers library: stereo sounds at 44.1 kHz, v-prediction (Evans et al. 2024, arXiv 2407.14358)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..encoders import checkpoint
from ..runtime import tower_dtype
from ..space import Modality
from ..weights import fill
from . import oobleck, stable_audio_keys
from .checkpointing import Checkpointed
from .diffusers_loading import component, library, mark, text_part
from .families import STABLE_AUDIO
from .flow import along
from .parametrisation import x0_from_v

Conditioning = tuple[Tensor, Tensor]
"""Tokens [1, N, 768] that the network attends to, and the embedding of both times [1, 1, 1536] that it is always given."""


class StableAudio(Checkpointed):
    """A `Generator` (see protocol.py) of `seconds` of sound; `load` makes it.

    t is the network's own time, 0..1 (diffusers' and ComfyUI's sigma is tan(pi t / 2)). `samples` at `rate` Hz are what a
    latent stands for. seconds: as asked; the latents' number is even. rotated: values of an attention head that carry the
    position. longest: latents of the longest sound that the network was trained on.
    ValueError for a sound longer than that.
    """

    modality: Modality = "audio"
    # of the attentions of every block what goes in and what comes out
    adapts = re.compile(r".*\.attn.*")

    def __init__(
        self, autoencoder: nn.Module, transformer: nn.Module, projection: nn.Module, seconds: float, rotated: int, longest: int, text: Path | None = None
    ):
        super().__init__()
        hop = autoencoder.hop_length
        self.rate = autoencoder.config.sampling_rate
        family = replace(STABLE_AUDIO, channels=transformer.config.in_channels, cell=hop, rate=self.rate)
        self.latent_shape = family.sound(seconds)
        cells = self.latent_shape[1]
        if cells > longest:
            raise ValueError(f"seconds is {seconds:g}: this {family.title} makes at most {longest * hop / self.rate:.1f} s")
        self.samples = cells * hop
        self.autoencoder, self.transformer, self.projection, self._text = oobleck.folded(autoencoder), transformer, projection, text
        self.eval().requires_grad_(False)
        self.id = f"{family.name}-{mark(autoencoder, transformer, projection)}"
        with torch.inference_mode(False):
            cos, sin = rotations(rotated, 1 + cells)
            self.register_buffer("_cos", cos.to(self.device), persistent=False)
            self.register_buffer("_sin", sin.to(self.device), persistent=False)

    @property
    def network(self) -> nn.Module:
        return self.transformer

    def blocks(self) -> Iterable[nn.Module]:
        """The transformer's."""
        return self.transformer.transformer_blocks

    def noise(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(cos, sin)(pi t / 2)."""
        return STABLE_AUDIO.schedule(t)

    def x0(self, x_t: Tensor, t: Tensor, cond: Conditioning) -> Tensor:
        dtype, (tokens, times) = self.transformer.dtype, (part.expand(len(x_t), -1, -1) for part in cond)
        v = self.transformer(
            x_t.to(dtype), t.to(dtype), encoder_hidden_states=tokens.to(dtype), global_hidden_states=times.to(dtype),
            rotary_embedding=(self._cos, self._sin), return_dict=False,
        )[0]  # fmt: skip
        alpha, sigma = (along(part, x_t) for part in self.noise(t))
        return x0_from_v(x_t, v.to(x_t.dtype), alpha, sigma)

    def condition(self, prompt: str | None) -> Conditioning:
        """None: what the network was trained with in a tenth of its steps, zeros for all it attends to, words and times alike
        (stable-audio-tools, models/dit.py, cfg_dropout_prob), beside the times: from 0 to the sound's whole seconds, as ComfyUI
        counts them.

        One zero is as good as many: nothing on their way has a bias, so attention to them adds nothing.
        ValueError for a prompt where there is no text encoder, or a damaged one.
        """
        # kept over a run, so not born under a host's inference mode
        with torch.inference_mode(False), torch.no_grad():
            seconds = torch.tensor([0.0, self.samples // self.rate], device=self.device)
            told = self.projection(start_seconds=seconds[:1], end_seconds=seconds[1:])
            start, total = told.seconds_start_hidden_states, told.seconds_end_hidden_states
            tokens = torch.zeros_like(start) if prompt is None else torch.cat([self._words(prompt), start, total], 1)
        return tokens, torch.cat([start, total], -1)

    def decode(self, z: Tensor, fast: bool = False) -> Tensor:
        """Sounds [B, 2, samples], unclamped; there is no faster decoder."""
        return oobleck.decode(self.autoencoder, z.to(self.autoencoder.dtype)).to(z.dtype)

    def encode(self, media: Tensor) -> Tensor:
        """The means of the latents of sounds [B, 2, samples] at `rate`; one channel alone stands for both. ValueError for another
        shape."""
        channels = self.autoencoder.config.audio_channels
        if media.dim() != 3 or media.shape[1] not in (1, channels) or media.shape[2] != self.samples:
            raise ValueError(f"a sound of shape {tuple(media.shape)}, expected [B, {channels}, {self.samples}]")
        heard = media.expand(-1, channels, -1).to(self.autoencoder.dtype)
        return self.autoencoder.encoder(heard).chunk(2, dim=1)[0].to(media.dtype)

    def _words(self, prompt: str) -> Tensor:
        """T5's embeddings [1, 128, 768] of a prompt, zero where it has no more words; the encoder is let go afterwards."""
        if self._text is None:
            raise ValueError(f"prompt {prompt[:60]!r}: no text encoder came with this checkpoint; load a diffusers folder that has a text_encoder and a tokenizer")
        here = torch.float32, torch.device("cpu")
        tokenizer, encoder = text_part(self._text / "tokenizer", "AutoTokenizer", *here), text_part(self._text / "text_encoder", "T5EncoderModel", *here)
        said = tokenizer(prompt, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt")
        words = encoder(said.input_ids, attention_mask=said.attention_mask)[0].to(self.device, self.projection.dtype)
        words = self.projection(text_hidden_states=words).text_hidden_states
        return words * said.attention_mask[..., None].to(words)


def rotations(size: int, length: int) -> tuple[Tensor, Tensor]:
    """(cos, sin) [length, size] that turn the halves of attention heads by their positions (Su et al. 2021, arXiv 2104.09864)."""
    angles = torch.outer(torch.arange(length).float(), 10000.0 ** -(torch.arange(0, size, 2) / size)).repeat(1, 2)
    return angles.cos(), angles.sin()


def load(path: str | Path, seconds: float = 10.0, device: torch.device | str = "cpu", dtype: torch.dtype | None = None) -> StableAudio:
    """The generator of a checkpoint: a folder of the diffusers library, or the single file that ComfyUI reads as well.

    Single files are read by this project itself, without stable-audio-tools, whose pinned dependencies break others': the
    published `model.safetensors` and `model.ckpt`, models of the same kind that were trained further and unwrapped (see
    `stable_audio_keys.facts` for the kind, and put the `model_config.json` beside it), and what ComfyUI saves. They have no
    text encoder. dtype: of the transformer, `runtime.tower_dtype` of the device unless said; the autoencoder is float32.
    WeightsError for a checkpoint that is damaged, not whole or another model's, ModuleNotFoundError without diffusers and
    transformers, ValueError for a length that the network does not make.
    """
    path = Path(path)
    # the times it embeds are told apart by more digits than half precision has, and so are loud samples
    dtypes = (dtype or tower_dtype(device), torch.float32, torch.float32)
    with torch.inference_mode(False):
        if path.is_dir():
            transformer, autoencoder, projection = (component(path, *part) for part in zip(_FOLDERS, _KINDS, dtypes))
            # as the library's pipeline turns them
            rotated, longest = transformer.config.attention_head_dim // 2, transformer.config.sample_size
        else:
            known = stable_audio_keys.facts(path)
            stored, _ = checkpoint.read(path)
            parts = stable_audio_keys.converted(stored, known)
            rotated = 2 * len(stored[stable_audio_keys.TRANSFORMER + stable_audio_keys.ROTATIONS])
            transformer, autoencoder, projection = (_made(path, *part) for part in zip(_KINDS, parts, dtypes))
            longest = known.samples // autoencoder.hop_length
        text = path if (path / "text_encoder").is_dir() and (path / "tokenizer").is_dir() else None
        return StableAudio(autoencoder, transformer, projection, seconds, rotated, longest, text).to(device)


_FOLDERS = ("transformer", "vae", "projection_model")
_KINDS = ("StableAudioDiTModel", "AutoencoderOobleck", "StableAudioProjectionModel")


def _made(path: Path, kind: str, part: stable_audio_keys.Part, dtype: torch.dtype) -> nn.Module:
    with torch.device("meta"):
        module = getattr(library(), kind)(**part.settings)
    return fill(module, part.weights, f"{kind} of {path}", dtype)
