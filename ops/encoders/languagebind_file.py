"""One file per installation: a text tower, any of the media towers, the tokenizer and the space they share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..atomic import write_aside
from ..calibration import measured
from ..runtime import tower_dtype
from ..space import CALIBRATED, MODALITIES, Modality, Space, Vocabulary, fingerprint
from ..weights import WeightsError
from .clip_tokenizer import FILES, ClipTokenizer
from .languagebind import LanguageBind
from .languagebind_parts import Part, parts
from .languagebind_tower import tower
from .vocabulary import embedded, shipped_words, vocabulary

FORMAT = "concept-algebra/languagebind/1"
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True)
class Converted:
    """What a file holds: the space's id, parameters by tower, and whether it can read text by itself."""

    space: str
    parameters: dict[Modality, int]
    reads: bool


def convert(
    sources: Sequence[Path],
    out: Path,
    dtype: torch.dtype = torch.bfloat16,
    text: Path | None = None,
    tokenizer: Path | None = None,
    watch: Callable[[Iterable], Iterable] = iter,
) -> Converted:
    """Merge published checkpoints into the file `out`, written aside and renamed.

    sources: folders or files as `languagebind_parts.parts` takes them, each media tower in one of them only.
    text: the one to take the text tower from; without it all that have one must agree.
    tokenizer: a folder with CLIP's merges, by default the first source that has them; without any the file is written
    all the same, and reads text where a host has them (ComfyUI does).
    The vocabulary is embedded once, here; `watch` is passed its batches, for a bar.
    Raises WeightsError for what is missing, left over, misshapen, not finite or contradicts.
    """
    if out.suffix != ".safetensors":
        raise ValueError(f"{out}: the converted file's name has to end in .safetensors")
    found = _gathered(sources, text)
    towers = {modality: tower(modality, part, dtype) for modality, part in found.items()}
    settings = {modality: part.settings for modality, part in found.items()}
    reader = ClipTokenizer.from_folder(tokenizer) if tokenizer else _tokenizer(p if p.is_dir() else p.parent for p in (*sources, text) if p)
    _fitting(reader, towers["text"], out)
    tensors = {f"{modality}.{name}": tensor.contiguous() for modality, made in towers.items() for name, tensor in made.state_dict().items()}
    space = Space(_identity(towers["text"]), towers["text"].text_projection.out_features)
    metadata = {"format": FORMAT, "space": space.id, "settings": json.dumps(settings), "sources": json.dumps([p.name for p in sources])}
    metadata["towers"] = json.dumps({modality: fingerprint(made.state_dict()) for modality, made in towers.items()})
    if reader:
        words = shipped_words()
        # half precision is slow on most CPUs, which is where this runs
        bind = LanguageBind({"text": tower("text", found["text"], torch.float32)}, settings, reader, space)
        tensors["tokenizer.merges"] = torch.frombuffer(bytearray(reader.merges.encode()), dtype=torch.uint8)
        tensors["vocabulary"] = embedded(words, bind.text, batch=256, watch=watch).to(torch.bfloat16)
        metadata["vocabulary"] = _mark(words)
    from safetensors.torch import save_file

    with write_aside(out) as temporary:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:  # how it reports a full disk
            raise OSError(str(error)) from error
    return Converted(space.id, {m: sum(p.numel() for p in made.parameters()) for m, made in towers.items()}, bool(reader))


def converted(path: Path) -> bool:
    """Whether a file is one that `convert` wrote."""
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("format") == FORMAT
    except (SafetensorError, OSError):
        return False


def load(path: Path, device: str | torch.device = "cpu", dtype: torch.dtype | None = None, tokenizer: Path | None = None) -> LanguageBind:
    """The encoder of a converted file, or of one published folder or file as it is.

    dtype: of the towers, `runtime.tower_dtype` of the device unless said. tokenizer: a folder with CLIP's merges,
    used where the file holds none. Words are centred where the file brings its vocabulary's embeddings, which a published
    folder does not; other modalities are centred by a calibration.
    Raises WeightsError for files that do not fit, ValueError without any tokenizer.
    """
    device = torch.device(device)
    dtype = dtype or tower_dtype(device)
    if path.is_file() and converted(path):
        found, extra, metadata = _opened(path)
        folders = [tokenizer]
    else:
        found, extra, metadata = _gathered([path], None), {}, {}
        folders = [path if path.is_dir() else path.parent, tokenizer]
    towers = {modality: tower(modality, part, dtype).to(device) for modality, part in found.items()}
    settings = {modality: part.settings for modality, part in found.items()}
    if "tokenizer.merges" in extra:
        reader = ClipTokenizer(bytes(extra["tokenizer.merges"].numpy()).decode())
    else:
        reader = _tokenizer([folder for folder in folders if folder])
    if reader is None:
        again = " and convert again" if metadata else ""
        raise ValueError(f"{path} comes without CLIP's vocabulary: put merges.txt of any LanguageBind or CLIP folder beside it{again}")
    _fitting(reader, towers["text"], path)
    space = Space(metadata.get("space") or _identity(towers["text"]), towers["text"].text_projection.out_features)
    bind = LanguageBind(towers, settings, reader, space, json.loads(metadata.get("towers", "{}")))
    words = shipped_words()
    kept = metadata.get("vocabulary") == _mark(words)
    if kept:
        rows = normalize(extra["vocabulary"].float(), dim=-1)
        cloud = measured([rows], "the vocabulary")
        # centred by these words, whatever digits their embeddings were stored with: an id for both, and not for the uncentred
        centred = f"{space.id}{CALIBRATED}{metadata['vocabulary'][:8]}"
        bind.space = Space(centred, space.dimension, {"text": cloud.mean}, {"text": cloud.radius}, Vocabulary(words, rows))
    else:
        bind.space = replace(space, vocabulary=vocabulary(bind.text))
    return bind.eval()


def _gathered(sources: Sequence[Path], text: Path | None) -> dict[Modality, Part]:
    found: dict[Modality, Part] = {}
    origin: dict[Modality, Path] = {}
    if text is not None:
        spoken = parts(text).get("text")
        if spoken is None:
            raise WeightsError(f"{text} has no text tower")
        _finite(text, spoken)
        found["text"], origin["text"] = spoken, text
    for source in sources:
        for modality, part in parts(source).items():
            _finite(source, part)
            if modality not in found:
                found[modality], origin[modality] = part, source
            elif modality != "text":
                raise WeightsError(f"{source} and {origin[modality]} both hold the {modality} tower: name one of them")
            elif text is None and (odd := _difference(found["text"], part)):
                raise WeightsError(
                    f"{source} and {origin['text']} have different text towers ({odd}): they are of different spaces; "
                    "leave one out, or say with --text which language the others were bound to"
                )
    if "text" not in found:
        raise WeightsError(f"no text tower in {', '.join(map(str, sources))}: every LanguageBind folder has one")
    wide = len(found["text"].tensors["text_projection.weight"])
    for modality, part in found.items():
        if modality != "text" and len(part.tensors.get("visual_projection.weight", ())) not in (0, wide):
            other = len(part.tensors["visual_projection.weight"])
            raise WeightsError(f"{origin[modality]} embeds into {other} dimensions and the text of {origin['text']} into {wide}: they are of different spaces")
    return {modality: found[modality] for modality in MODALITIES if modality in found}


def _finite(source: Path, part: Part) -> None:
    for name, tensor in part.tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise WeightsError(f"{source} is damaged: tensor '{name}' contains NaN or infinity")


def _difference(a: Part, b: Part) -> str | None:
    """The first weight in which two text towers differ by more than storage in half precision would make them."""
    for name in sorted(a.tensors.keys() | b.tensors.keys()):
        x, y = a.tensors.get(name), b.tensors.get(name)
        if x is None or y is None or x.shape != y.shape or not torch.allclose(x.float(), y.float(), rtol=1e-2, atol=1e-4):
            return name
    return None


def _identity(text: nn.Module) -> str:
    """The space is where its language lies: an installation's media towers can change without leaving it."""
    return f"languagebind-{fingerprint({name: t.to(torch.bfloat16) for name, t in text.state_dict().items()})}"


def _tokenizer(folders: Iterable[Path]) -> ClipTokenizer | None:
    """Of the first folder that has one."""
    for folder in folders:
        if any((folder / name).is_file() for name in FILES):
            return ClipTokenizer.from_folder(folder)
    return None


def _fitting(reader: ClipTokenizer | None, text: nn.Module, source: Path) -> None:
    known = text.text_model.embeddings.token_embedding.num_embeddings
    if reader and len(reader.vocabulary) != known:
        raise WeightsError(f"{source}: the text tower knows {known} tokens and the vocabulary has {len(reader.vocabulary)}: they do not belong together")


def _mark(words: list[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]


def _opened(path: Path) -> tuple[dict[Modality, Part], dict[str, Tensor], Mapping[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            settings: dict[Modality, dict[str, Any]] = json.loads(metadata["settings"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read ({error}): convert it again") from None
    found = {m: Part({n.removeprefix(f"{m}."): t for n, t in tensors.items() if n.startswith(f"{m}.")}, settings[m]) for m in MODALITIES if m in settings}
    extra = {name: tensor for name, tensor in tensors.items() if name.split(".")[0] not in MODALITIES}
    return found, extra, metadata
