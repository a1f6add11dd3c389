"""Real recordings for evaluation only, never trained on and never shipped: which files of three packages are which sound.

    python -m recipe.real_sounds [--data DIR]

reads the unpacked packages under DIR/src and writes DIR/ready/real_sounds.npz (float16 log-mels [N, 3, 64, 128],
the index of each one's name). Sources and licences: Tux Paint stamps (GPL-2 and per-file terms), GCompris (GPL-3+,
CC-BY-SA, Free Art, per file), Minetest game (CC-BY-SA 3.0). Names were given from the file names alone, before any
result was seen, and only where one of our concept names is the thing itself.
"""

from __future__ import annotations

import argparse
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .sound_files import decode_audio, table
from .sound_names import CONCEPTS
from .sounds import RATE

TUXPAINT = """
animals/amphibians/frog: frog | animals/birds/crow: crow | animals/birds/cuckoo: cuckoo | animals/birds/drake: duck
animals/birds/duck: duck | animals/birds/gander: goose | animals/birds/hen: chicken | animals/birds/blackbird: bird
animals/birds/lark: bird | animals/birds/owl: owl | animals/birds/penguin: penguin | animals/birds/rooster: rooster
animals/birds/seagull: seagull | animals/birds/turkey: turkey | animals/insects/bee: bee | animals/insects/hornet: bee
animals/insects/grasshopper: crickets | animals/insects/mosquito: mosquito | animals/mammals/apes/chimp: monkey
animals/mammals/aquatic/dolphin: dolphin | animals/mammals/aquatic/sea_lion: seal | animals/mammals/aquatic/whale: whale
animals/mammals/bears/bear: bear | animals/mammals/bovines/cow: cow | animals/mammals/bovines/cow_white: cow
animals/mammals/bovines/goat: goat | animals/mammals/bovines/sheep: sheep | animals/mammals/bovines/sheep_lamb: sheep
animals/mammals/camel/camel: camel | animals/mammals/cats/lion: lion | animals/mammals/cats/tiger: tiger
animals/mammals/deer/deer: deer | animals/mammals/dogs/dog: dog | animals/mammals/dogs/fox: fox | animals/mammals/elephant: elephant
animals/mammals/equines/donkey: donkey | animals/mammals/equines/horse: horse | animals/mammals/pig: pig
animals/mammals/rodents/mouse: mouse | hobbies/camera_35mm: camera | hobbies/music/percussion/cymbal_crash: cymbal
hobbies/music/percussion/drum_tomtom_floor: tom-tom | hobbies/music/percussion/drumkit: drum kit
hobbies/music/string/cello: cello | hobbies/music/string/violin: violin | hobbies/music/wind/bassoon: bassoon
household/Washing-machine: washing machine | household/arttools/scissors_small_closed: scissors
household/arttools/scissors_small_open: scissors | household/kettle: kettle | household/tools/hammer: hammer
household/tools/saw: saw | household/vacuum_cleaner: vacuum cleaner | naturalforces/lightningbolt: thunder
seasonal/halloween/blackcat: cat | seasonal/halloween/ghost: ghost | seasonal/newyears/fireworks: fireworks
vehicles/emergency/firetruck: siren
"""

GCOMPRIS = """
explore_farm_animals/resource/animals/cat: cat | explore_farm_animals/resource/animals/chickens: chicken
explore_farm_animals/resource/animals/cow: cow | explore_farm_animals/resource/animals/dog: dog
explore_farm_animals/resource/animals/duck: duck | explore_farm_animals/resource/animals/horse: horse
explore_farm_animals/resource/animals/owl: owl | explore_farm_animals/resource/animals/pig: pig
explore_farm_animals/resource/animals/sheep: sheep | guessnumber/resource/helicopter: helicopter
instruments/resource/accordion: accordion | instruments/resource/banjo: banjo | instruments/resource/bongo: bongo
instruments/resource/castanets: castanets | instruments/resource/cello: cello | instruments/resource/clarinet: clarinet
instruments/resource/cymbal: cymbal | instruments/resource/drum_kit: drum kit | instruments/resource/electric_guitar: electric guitar
instruments/resource/flute_traversiere: flute | instruments/resource/guitar: guitar | instruments/resource/harmonica: harmonica
instruments/resource/harp: harp | instruments/resource/horn: french horn | instruments/resource/maracas: maracas
instruments/resource/organ: church organ | instruments/resource/piano: piano | instruments/resource/saxophone: saxophone
instruments/resource/snare_drum: snare drum | instruments/resource/tambourine: tambourine | instruments/resource/timpani: timpani
instruments/resource/triangle: triangle | instruments/resource/trombone: trombone | instruments/resource/trumpet: trumpet
instruments/resource/tuba: tuba | instruments/resource/violin: violin | melody/resource/knock: knocking
melody/resource/xylofon_son1: xylophone | melody/resource/xylofon_son3: xylophone
memory-sound/resource/LRApplauses_1_LA_cut: applause | memory-sound/resource/LRBark_1_LA_cut: dog
memory-sound/resource/LRBark_3_LA_cut: dog | memory-sound/resource/LRBuddhist_gong_05_LA: gong
memory-sound/resource/LRDoor_Open_2_LA: creaking door | memory-sound/resource/LRFrogsInPondDuringStormLACut: frog
memory-sound/resource/LRHeart_beat_01_LA: heartbeat | memory-sound/resource/LRRain_in_garden_01_LA_cut: rain
memory-sound/resource/LRRing_01_LA: telephone | memory-sound/resource/LRStartAndStopCarEngine1LACut: car engine
memory-sound/resource/LRTrain_slowing_down_01_LA_cut: train | memory-sound/resource/guitar_melody: guitar
clickgame/resource/bubble: bubbles | clickgame/resource/drip: dripping water | money/resource/money1: coins
railroad/resource/sounds/train: train | traffic/resource/car: car engine | reversecount/resource/icy_walk: footsteps in snow
morse_code/resource/dash: beep
"""

MINETEST = """
default/sounds/default_break_glass.1: breaking glass | default/sounds/default_break_glass.2: breaking glass
default/sounds/default_break_glass.3: breaking glass | default/sounds/default_furnace_active: fire
default/sounds/default_hard_footstep.1: footsteps | default/sounds/default_wood_footstep.1: footsteps
default/sounds/default_gravel_footstep.1: footsteps | default/sounds/default_snow_footstep.1: footsteps in snow
default/sounds/default_snow_footstep.3: footsteps in snow | doors/sounds/doors_door_close: door slam
env_sounds/sounds/env_sounds_water.1: stream | env_sounds/sounds/env_sounds_water.2: stream
env_sounds/sounds/env_sounds_water.3: stream | env_sounds/sounds/env_sounds_water.4: stream
fire/sounds/fire_fire.1: fire | fire/sounds/fire_fire.2: fire | fire/sounds/fire_fire.3: fire
fire/sounds/fire_large: fire | fire/sounds/fire_small: fire | tnt/sounds/tnt_explode: explosion
"""


def resources(path: Path) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the sounds in a Qt resource collection (.rcc, formats 1 to 3, stored or zlib)."""
    raw = path.read_bytes()
    if raw[:4] != b"qres":
        return
    version, tree, data, names = struct.unpack_from(">IIII", raw, 4)
    size = 14 if version < 2 else 22

    def walk(node: int, folder: str) -> Iterator[tuple[str, bytes]]:
        entry = tree + size * node
        name_at, flags = struct.unpack_from(">IH", raw, entry)
        name = ""
        if node:
            (length,) = struct.unpack_from(">H", raw, names + name_at)
            name = raw[names + name_at + 6 : names + name_at + 6 + 2 * length].decode("utf-16-be")
        if flags & 2:
            count, first = struct.unpack_from(">II", raw, entry + 6)
            for child in range(first, first + count):
                yield from walk(child, f"{folder}{name}/" if node else "")
        elif name.endswith((".ogg", ".wav")) and not flags & 4:
            (at,) = struct.unpack_from(">I", raw, entry + 10)
            (length,) = struct.unpack_from(">I", raw, data + at)
            content = raw[data + at + 4 : data + at + 4 + length]
            yield folder + name, zlib.decompress(content[4:]) if flags & 1 else content

    yield from walk(0, "")


def recordings(data: Path) -> Iterator[tuple[str, str, bytes]]:
    """(source, concept name, file content) of every mapped file that is there."""
    for source, folder, mapped in (
        ("tuxpaint", data / "src/tuxpaint-stamps-default/usr/share/tuxpaint/stamps", table(TUXPAINT)),
        ("minetest", data / "src/minetest-data/usr/share/games/minetest/games/minetest_game/mods", table(MINETEST)),
    ):
        for stem, name in mapped.items():
            yield f"{source}:{stem}", name, (folder / f"{stem}.ogg").read_bytes()
    mapped = table(GCOMPRIS)
    wanted = {f"{stem.split('/')[0]}.rcc" for stem in mapped}
    for path in sorted((data / "src/gcompris-qt-data/usr/share/gcompris-qt/rcc").glob("*.rcc")):
        if path.name in wanted:
            for name, content in resources(path):
                stem = name.split("/activities/")[-1].rsplit(".", 1)[0]
                if stem in mapped:
                    yield f"gcompris:{stem}", mapped[stem], content


def main() -> None:
    import io

    import av

    from concept_algebra.ops import signal
    from concept_algebra.ops.encoders.pocket_audio import crops

    parser = argparse.ArgumentParser(description="Turn the evaluation recordings into log-mels.")
    parser.add_argument("--data", default=os.environ.get("CONCEPT_RECIPE_DATA", "recipe-data"))
    data = Path(parser.parse_args().data)
    names = {c.name: i for i, c in enumerate(CONCEPTS)}
    mels, truth, sources = [], [], []
    for source, name, content in recordings(data):
        wave = torch.from_numpy(decode_audio(av.open(io.BytesIO(content))))[None]
        if wave.shape[-1] < RATE // 50 or wave.abs().max() < 1e-3:
            continue
        mels.append(signal.log_mel(crops(wave))[0].half().numpy())
        truth.append(names[name])
        sources.append(source)
    out = data / "ready" / "real_sounds.npz"
    np.savez(out.with_suffix(".part.npz"), mels=np.stack(mels), truth=np.array(truth), sources=np.array(sources))
    os.replace(out.with_suffix(".part.npz"), out)
    print(f"{len(mels)} recordings of {len(set(truth))} sounds")


def load_real(data: Path) -> tuple[Tensor, Tensor] | None:
    """Log-mels [N, 3, 64, 128] and name indices [N] of the evaluation recordings, or None when they were not prepared."""
    path = data / "ready" / "real_sounds.npz"
    if not path.exists():
        return None
    with np.load(path) as kept:
        return torch.from_numpy(kept["mels"]).float(), torch.from_numpy(kept["truth"])


if __name__ == "__main__":
    main()
