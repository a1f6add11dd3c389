"""Pictures with names: renders every licensed drawing set to 128 px RGBA and writes one table of names and keywords.

    python -m recipe.images --data DIR

reads the unpacked packages in DIR/src (`recipe/fetch.sh` puts them there) and writes DIR/ready/images.npy
[N, 128, 128, 4] uint8 (straight alpha) and DIR/ready/images.json (N rows: style, label, tags, split).
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import re
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 128
HELD_OUT_STYLE = "emojione"
HELD_OUT_CONCEPTS = 160
SHELVES = {  # folder prefix -> style name; licences are in the model card
    "iconify-json-noto-v1": "noto-v1",
    "iconify-json-noto-1": "noto",
    "iconify-json-twemoji": "twemoji",
    "iconify-json-fluent-emoji-1": "fluent",
    "iconify-json-fluent-emoji-flat": "fluent-flat",
    "iconify-json-emojione": "emojione",
    "iconify-json-fxemoji": "fxemoji",
    "iconify-json-streamline-emojis": "streamline",
}
FLAGS, COMPONENTS = 9, 2  # emojibase groups that hold no concept


def concepts(source: Path) -> list[dict]:
    """The emoji that are concepts: label, tags, code points; flags, letters and skin tones are left out."""
    rows = json.loads((next(source.glob("emojibase-data*")) / "en" / "data.json").read_text())
    rows = [r for r in rows if r.get("group") not in (None, FLAGS, COMPONENTS)]
    ranked = sorted(rows, key=lambda r: hashlib.sha256(r["label"].encode()).hexdigest())
    unseen = {r["label"] for r in ranked[:HELD_OUT_CONCEPTS]}
    return [
        {"label": r["label"], "tags": r.get("tags", []), "code": r["hexcode"].lower(), "group": r["group"], "unseen": r["label"] in unseen}
        for r in rows
    ]


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def bare(code: str) -> str:
    return re.sub(r"-?fe0f", "", code.lower())


def svg_of(shelf: dict, name: str) -> str | None:
    alias = shelf.get("aliases", {}).get(name)
    icon = shelf["icons"].get(name) or (shelf["icons"].get(alias["parent"]) if alias else None)
    if icon is None:
        return None
    width = icon.get("width", shelf.get("width", 16))
    height = icon.get("height", shelf.get("height", 16))
    left, top = icon.get("left", 0), icon.get("top", 0)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{left} {top} {width} {height}" width="{SIZE}" height="{SIZE}" color="#000">{icon["body"]}</svg>'
    )


def emoji_jobs(source: Path) -> list[dict]:
    wanted = concepts(source)
    jobs = []
    for prefix, style in SHELVES.items():
        folder = next(source.glob(prefix + "*"))
        shelf = json.loads((folder / "icons.json").read_text())
        chars_file = folder / "chars.json"
        chars = {bare(k): v for k, v in json.loads(chars_file.read_text()).items()} if chars_file.exists() else {}
        by_slug = {slug(n): n for n in [*shelf.get("aliases", {}), *shelf["icons"]]}
        for row in wanted:
            name = chars.get(bare(row["code"])) or by_slug.get(slug(row["label"]))
            svg = svg_of(shelf, name) if name else None
            if svg:
                jobs.append({**row, "style": style, "svg": svg})
    raster = next(source.glob("lobehub-fluent-emoji-3d*")) / "assets"
    files = {bare(p.stem): p for p in raster.glob("*.webp")}
    jobs += [{**row, "style": "fluent-3d", "file": str(files[bare(row["code"])])} for row in wanted if bare(row["code"]) in files]
    return jobs


def silhouette_jobs(source: Path) -> list[dict]:
    """One-colour game icons and coloured weather icons: the file name is the name."""
    jobs = []
    for prefix, style in (("iconify-json-game-icons", "game-icons"), ("iconify-json-meteocons", "meteocons")):
        shelf = json.loads((next(source.glob(prefix + "*")) / "icons.json").read_text())
        for name in shelf["icons"]:
            label = re.sub(r"-(fill|line|static)$", "", name).replace("-", " ")
            if not re.search(r"abstract|\d", label):
                jobs.append({"label": label, "tags": [], "style": style, "unseen": False, "svg": svg_of(shelf, name)})
    return jobs


DULL = re.compile(r"icon|star_|/stars/|flag|/cards/|arrows|flowchart|callouts|gradients|duplicates|signs_and_symbols/(?!.*sign)|jigsaw|chess|dice|letters|numbers")


def clipart_jobs(source: Path) -> list[dict]:
    """Public-domain clip art with a title; files tagged otherwise, or untagged, are left out."""
    root = next(source.glob("oc")) / "usr/share/openclipart/svg"
    jobs = []
    for path in sorted(root.rglob("*.svg")):
        if path.is_symlink() or DULL.search(str(path)) or path.stat().st_size > 400_000:
            continue
        text = path.read_text("utf-8", "ignore")
        if "PublicDomain" not in text or "GPL" in text:
            continue
        titles = re.findall(r"<dc:title>\s*([^<]+)", text)
        title = re.sub(r"[_\-]|\d+", " ", titles[0]).strip().lower() if titles else ""
        title = re.sub(r"\s+", " ", title)
        if not 2 < len(title) < 40 or title == "open clip art library":
            continue
        tags = [t.strip().lower().replace("_", " ") for t in re.findall(r"<rdf:li>\s*([^<]+)", text)]
        folder = path.parent.name.replace("_", " ")
        tags = [t for t in dict.fromkeys([*tags, folder]) if 2 < len(t) < 24 and t not in ("unsorted", "clip art", "clipart", title)]
        jobs.append({"label": title, "tags": tags[:8], "style": "openclipart", "unseen": False, "file": str(path)})
    return jobs


def render(job: dict) -> bytes | None:
    """The drawing as SIZE x SIZE straight-alpha RGBA bytes, or None where it cannot be drawn or shows nothing."""
    import resvg_py

    try:
        if job.get("file", "").endswith(".webp"):
            image = Image.open(job["file"]).convert("RGBA")
        else:
            svg = job.get("svg") or Path(job["file"]).read_text("utf-8", "ignore")
            png = resvg_py.svg_to_bytes(svg_string=svg, width=SIZE, height=SIZE) if job.get("svg") else resvg_py.svg_to_bytes(svg_string=svg, width=256)
            image = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
            if not job.get("svg"):
                image = image.crop(image.getbbox() or (0, 0, 1, 1))
        side = max(image.size)
        square = Image.new("RGBA", (side, side), (0, 0, 0, 0))
        square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
        pixels = np.asarray(square.resize((SIZE, SIZE), Image.LANCZOS))
    except (ValueError, OSError, RuntimeError):
        return None
    return pixels.tobytes() if pixels[..., 3].mean() > 6 else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("recipe-data"))
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    source, ready = args.data / "src", args.data / "ready"
    ready.mkdir(parents=True, exist_ok=True)
    jobs = emoji_jobs(source) + clipart_jobs(source) + silhouette_jobs(source)
    rows, count = [], 0
    pixels = np.lib.format.open_memmap(ready / "images.part.npy", "w+", np.uint8, (len(jobs), SIZE, SIZE, 4))
    with ProcessPoolExecutor(args.workers) as pool:
        for job, data in zip(jobs, pool.map(render, jobs, chunksize=32)):
            if data is None:
                continue
            pixels[count] = np.frombuffer(data, np.uint8).reshape(SIZE, SIZE, 4)
            count += 1
            rows.append({k: job[k] for k in ("style", "label", "tags", "unseen")})
            if count % 2000 == 0:
                print(count, "of", len(jobs), flush=True)
    pixels.flush()
    out = np.lib.format.open_memmap(ready / "images.npy", "w+", np.uint8, (count, SIZE, SIZE, 4))
    out[:] = pixels[:count]
    out.flush()
    (ready / "images.part.npy").unlink()
    (ready / "images.json").write_text(json.dumps(rows))
    styles = {s: sum(r["style"] == s for r in rows) for s in dict.fromkeys(r["style"] for r in rows)}
    print(count, "pictures", styles, "labels", len({r["label"] for r in rows}))


if __name__ == "__main__":
    main()
