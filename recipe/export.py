"""Writes what ships from the training runs: half-precision safetensors, and the clouds of every modality.

    python -m recipe.export --data DIR

A run that has not finished is taken as it stands (its averaged weights).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from concept_algebra.ops.atomic import write_bytes
from concept_algebra.ops.calibration import measured
from concept_algebra.ops.encoders import pocket_vision
from concept_algebra.ops.encoders.pocket_audio import PocketAudio
from concept_algebra.ops.pocket.motion import FRAMES, MOTIONS, motion
from concept_algebra.ops.pocket.store import FOLDER, read
from concept_algebra.ops.weights import fill

from .evaluation_sheet import BENCHMARKS
from .pictures import Pictures, flatten
from .sounds import load_sounds
from .train_image import picture_run
from .train_video import OWN
from .language import language


def weights(run: Path, prefix: str = "") -> dict[str, Tensor]:
    """The final weights of a run, or the averaged ones of its last checkpoint."""
    if (run / "final.pt").exists():
        return torch.load(run / "final.pt", weights_only=True)
    mean = torch.load(run / "state.pt", weights_only=True)["mean"]
    return {k.removeprefix(prefix): v for k, v in mean.items() if k.startswith(prefix)}


def ship(name: str, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None, folder: Path = FOLDER) -> None:
    half = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in tensors.items()}
    data = save(half, metadata)
    write_bytes(folder / f"{name}.safetensors", data)
    print(f"{name}: {len(data) / 1e6:.1f} MB, {sum(v.numel() for v in half.values()) / 1e6:.2f} M")


@torch.no_grad()
def clouds(pictures: Pictures, words: list[str], data: Path) -> dict[str, Tensor]:
    """Means and radii: text over the vocabulary, pictures and clips over trained pictures on white, trained sounds."""
    image = fill(pocket_vision.tower(), read("image")[0], "image")
    rows = np.random.default_rng(0).permutation(pictures.trained)[:2048]
    pooled = torch.cat([image(pocket_vision.normalise(pictures.plain(part, 128)))[0] for part in np.array_split(rows, 32)])
    found = {"text": measured([language(words)], "words"), "image": measured([pooled], "pictures")}
    if (FOLDER / "video.safetensors").exists():
        video = fill(pocket_vision.tower(FRAMES), {**read("image")[0], **read("video")[0]}, "video")
        rng = torch.Generator().manual_seed(0)
        pooled = []
        for part in np.array_split(rows[:512], 32):
            kinds = [MOTIONS[int(k)] for k in torch.randint(len(MOTIONS), (len(part),), generator=rng)]
            clips = motion(pictures.cut_outs(part, 128), kinds, rng).flatten(0, 1)
            pooled.append(video(pocket_vision.normalise(flatten(clips, torch.ones(len(clips), 3, 128, 128))))[0])
        found["video"] = measured(pooled, "clips")
    if (FOLDER / "audio.safetensors").exists():
        mels, _ = load_sounds(data)
        heard = fill(PocketAudio(), read("audio")[0], "audio")
        some = torch.from_numpy(mels[np.random.default_rng(0).permutation(len(mels))[:2048]]).float()
        pooled = (heard.from_log_mels(part[:, None].expand(-1, 3, -1, -1)).pooled for part in some.split(64))
        found["audio"] = measured(pooled, "sounds")
    means = {f"mean.{modality}": cloud.mean for modality, cloud in found.items()}
    return means | {f"radius.{modality}": torch.tensor(cloud.radius) for modality, cloud in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("recipe-data"))
    parser.add_argument("--runs", type=Path, default=Path("recipe-data/run"))
    args = parser.parse_args()
    runs = args.runs
    ship("autoencoder", weights(runs / "autoencoder"))
    ship("image", weights(picture_run(runs), "tower."))
    ship("image_prior", weights(runs / "image_prior"))
    if (runs / "judge").exists():
        ship("judge", weights(runs / "judge"), {"classes": (runs / "judge" / "classes.json").read_text()}, BENCHMARKS)
    for name, run, prefix in (("video", "video", "tower."), ("video_prior", "video_prior", "")):
        if (runs / run).exists():
            own = OWN if name == "video" else ("temporal",)
            ship(name, {k: v for k, v in weights(runs / run, prefix).items() if any(part in k for part in own)})
    words = (FOLDER.parent / "vocabulary.txt").read_text("utf-8").split("\n")
    ship("space", clouds(Pictures(args.data), [w for w in words if w], args.data))


if __name__ == "__main__":
    main()
