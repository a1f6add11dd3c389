"""Real recordings that may be trained on, and what each is called: from OpenClonk, Sonic Pi and Freedoom, as Debian packages them.

A table maps a file to the name of a sound in `sound_names`; several to one name are as many different takes of it. One
recording in four of a name that has several is held out (see `is_held_out`), so that training can be judged on recordings.

Licences: OpenClonk's effects CC-BY 3.0 or CC0, by the authors in its Sound.ocg/authors.txt; Sonic Pi's samples CC0;
Freedoom BSD-3-Clause.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .procedural import RATE
from .sound_files import decode_audio, table

OPENCLONK = """
Environment.ocg/Waterfall.ogg: waterfall | Environment.ocg/BirdsLoop.ogg: bird | Environment.ocg/WindLoop.ogg: wind
Environment.ocg/Disasters.ocg/Earthquake.ogg: earthquake | Environment.ocg/Disasters.ocg/EarthquakeEnd.ogg: earthquake
Environment.ocg/Lightning.ocg/Thunder1.ogg: thunder | Environment.ocg/Lightning.ocg/Thunder2.ogg: thunder
Environment.ocg/Lightning.ocg/Thunder3.ogg: thunder | Environment.ocg/Lightning.ocg/Thunder4.ogg: thunder
Environment.ocg/Lightning.ocg/Thunder5.ogg: thunder | Objects.ocg/Windbag.ocg/Gust.ogg: wind
Liquids.ocg/Waterdrop1.wav: dripping water | Liquids.ocg/Waterdrop2.wav: dripping water | Liquids.ocg/StereoRain.ogg: rain
Liquids.ocg/Splash1.wav: splash | Liquids.ocg/Splash2.wav: splash | Liquids.ocg/Splash3.wav: splash
Liquids.ocg/Swim1.ogg: splash | Liquids.ocg/Swim2.ogg: splash | Liquids.ocg/Swim3.ogg: splash
Liquids.ocg/Bubble1.ogg: bubbles | Liquids.ocg/Bubble2.ogg: bubbles | Liquids.ocg/Bubble3.ogg: bubbles
Liquids.ocg/Boiling.ogg: bubbles | Clonk.ocg/Movement.ocg/DivingLoop1.ogg: bubbles
Clonk.ocg/Movement.ocg/DivingLoop2.ogg: bubbles | Clonk.ocg/Movement.ocg/DivingLoop3.ogg: bubbles
Fire.ocg/Inflame.ogg: fire | Structures.ocg/Furnace.ocg/Loop.ogg: fire
Fire.ocg/Blast1.wav: explosion | Fire.ocg/Blast2.wav: explosion | Fire.ocg/Blast3.wav: explosion
Fire.ocg/Blast3alt.wav: explosion | Fire.ocg/BlastMetal.wav: explosion | Fire.ocg/BlastFirework.ogg: fireworks
Structures.ocg/FanLoop.ogg: fan | Structures.ocg/SawmillRipcut.ogg: saw | Structures.ocg/SteamEngine.ogg: steam train
Structures.ocg/Elevator.ocg/Drilling.ogg: drill | Structures.ocg/HingeCreak1.ogg: creaking door
Structures.ocg/HingeCreak2.ogg: creaking door | Structures.ocg/HingeCreak3.ogg: creaking door
Hits.ocg/Materials.ocg/Wood.ocg/WoodCreak1.ogg: creaking door | Hits.ocg/Materials.ocg/Wood.ocg/WoodCreak2.ogg: creaking door
Hits.ocg/Materials.ocg/Wood.ocg/WoodCreak3.ogg: creaking door | Structures.ocg/DoorClose1.wav: door slam
Structures.ocg/DoorClose2.wav: door slam | Structures.ocg/Chest.ocg/Close.ogg: door slam
Hits.ocg/Materials.ocg/Glass.ocg/GlassShatter.ogg: breaking glass | Hits.ocg/Materials.ocg/Glass.ocg/GlassBreak.ogg: breaking glass
Hits.ocg/Materials.ocg/Glass.ocg/GlassHit1.ogg: glass | Hits.ocg/Materials.ocg/Glass.ocg/GlassHit2.ogg: glass
Hits.ocg/Materials.ocg/Metal.ocg/LightMetalHit1.ogg: sword | Hits.ocg/Materials.ocg/Metal.ocg/LightMetalHit2.ogg: sword
Objects.ocg/Weapons.ocg/WeaponHit1.ogg: sword | Objects.ocg/Weapons.ocg/WeaponHit2.ogg: sword
Objects.ocg/Weapons.ocg/WeaponHit3.ogg: sword | Objects.ocg/Weapons.ocg/Shield.ocg/MetalHit1.ogg: sword
Objects.ocg/Weapons.ocg/Shield.ocg/MetalHit2.ogg: sword | Objects.ocg/Weapons.ocg/Shield.ocg/MetalHit3.ogg: sword
Objects.ocg/Weapons.ocg/Shield.ocg/MetalHit4.ogg: sword | Objects.ocg/Pickaxe.ocg/Clang1.wav: hammer
Objects.ocg/Pickaxe.ocg/Clang2.wav: hammer | Objects.ocg/Pickaxe.ocg/Clang3.wav: hammer
Objects.ocg/Pickaxe.ocg/ClangHard1.wav: hammer | Hits.ocg/Materials.ocg/Metal.ocg/DullMetalHit1.ogg: hammer
Hits.ocg/Materials.ocg/Metal.ocg/DullMetalHit2.ogg: hammer | Hits.ocg/Materials.ocg/Metal.ocg/DullMetalHit3.ogg: hammer
Hits.ocg/Materials.ocg/Wood.ocg/WoodHit1.ogg: knocking | Hits.ocg/Materials.ocg/Wood.ocg/WoodHit2.ogg: knocking
Hits.ocg/Materials.ocg/Wood.ocg/WoodHit3.ogg: knocking | Hits.ocg/Materials.ocg/Wood.ocg/DullWoodHit1.ogg: knocking
Hits.ocg/Materials.ocg/Wood.ocg/DullWoodHit2.ogg: knocking | Objects.ocg/Weapons.ocg/Blunderbuss.ocg/GunShoot1.ogg: gunshot
Objects.ocg/Weapons.ocg/Blunderbuss.ocg/GunShoot2.ogg: gunshot | Objects.ocg/Weapons.ocg/Blunderbuss.ocg/GunShoot3.ogg: gunshot
Objects.ocg/Weapons.ocg/Blunderbuss.ocg/GunShoot4.ogg: gunshot | Objects.ocg/Weapons.ocg/Blunderbuss.ocg/GunShoot5.ogg: gunshot
Clonk.ocg/Movement.ocg/StepSoft1.ogg: footsteps | Clonk.ocg/Movement.ocg/StepSoft2.ogg: footsteps
Clonk.ocg/Movement.ocg/StepSoft3.ogg: footsteps | Clonk.ocg/Movement.ocg/StepSoft4.ogg: footsteps
Clonk.ocg/Movement.ocg/StepSoft5.ogg: footsteps | Clonk.ocg/Movement.ocg/StepSoft6.ogg: footsteps
Clonk.ocg/Movement.ocg/StepHard1.ogg: footsteps | Clonk.ocg/Movement.ocg/StepHard2.ogg: footsteps
Clonk.ocg/Movement.ocg/StepHard3.ogg: footsteps | Clonk.ocg/Movement.ocg/StepHard4.ogg: footsteps
Clonk.ocg/Movement.ocg/StepHard5.ogg: footsteps | Clonk.ocg/Movement.ocg/Rustle1.ogg: leaves
Clonk.ocg/Movement.ocg/Rustle2.ogg: leaves | Clonk.ocg/Movement.ocg/Rustle3.ogg: leaves
Clonk.ocg/Movement.ocg/Rustle4.ogg: leaves | Clonk.ocg/Movement.ocg/RustleLand.ogg: leaves
UI.ocg/Cash.ogg: coins | UI.ocg/UnCash1.wav: coins | UI.ocg/UnCash2.wav: coins | UI.ocg/UnCash3.wav: coins
UI.ocg/Trumpet.ogg: trumpet | UI.ocg/Fanfare.wav: brass section | UI.ocg/Ding.ogg: bell | UI.ocg/Tick.ogg: clock
Animals.ocg/MosquitoBuzz.ogg: mosquito | Objects.ocg/Plane.ocg/PropellerLoop.ogg: propeller plane
Objects.ocg/Boompack.ocg/Fly.ogg: rocket | Objects.ocg/Electrical.ogg: static | Clonk.ocg/Action.ocg/Breathing.wav: breathing
Clonk.ocg/Skin.ocg/Adventurer.ocg/Laughter1.wav: laughter | Clonk.ocg/Skin.ocg/Adventurer.ocg/Laughter2.wav: laughter
Clonk.ocg/Skin.ocg/Adventurer.ocg/Laughter3.wav: laughter | Clonk.ocg/Skin.ocg/Steampunk.ocg/Laughter1.wav: laughter
Clonk.ocg/Skin.ocg/Steampunk.ocg/Laughter2.wav: laughter | Clonk.ocg/Skin.ocg/Steampunk.ocg/Laughter3.wav: laughter
Clonk.ocg/Skin.ocg/Steampunk.ocg/Scream1.wav: screaming | Clonk.ocg/Skin.ocg/Alchemist.ocg/Scream1.wav: screaming
Clonk.ocg/Skin.ocg/Alchemist.ocg/Scream2.wav: screaming
"""

SONIC_PI = """
ambi_choir: choir | ambi_piano: piano | ambi_glass_rub: bowed glass | ambi_glass_hum: bowed glass | misc_crow: crow
perc_door: door slam | perc_bell: bell | perc_bell2: bell | misc_cineboom: explosion | perc_till: coins
guit_em9: electric guitar | guit_e_fifths: electric guitar | guit_harmonics: electric guitar | guit_e_slide: guitar slide
loop_amen: drum kit | loop_amen_full: drum kit | loop_breakbeat: drum kit | loop_tabla: bongo | tabla_ghe1: bongo
tabla_na: bongo | tabla_tun1: bongo | tabla_te1: bongo | drum_heavy_kick: kick drum | drum_bass_hard: kick drum
drum_bass_soft: kick drum | bd_boom: kick drum | bd_fat: kick drum | bd_haus: kick drum | bd_pure: kick drum
drum_snare_hard: snare drum | drum_snare_soft: snare drum | drum_roll: snare drum | sn_dolf: snare drum | sn_dub: snare drum
sn_generic: snare drum | drum_tom_hi_hard: tom-tom | drum_tom_hi_soft: tom-tom | drum_tom_mid_hard: tom-tom
drum_tom_lo_hard: tom-tom | drum_tom_lo_soft: tom-tom | drum_cymbal_hard: cymbal | drum_cymbal_soft: cymbal
drum_splash_hard: cymbal | drum_splash_soft: cymbal | drum_cymbal_closed: hi-hat | drum_cymbal_open: hi-hat
drum_cymbal_pedal: hi-hat | drum_cowbell: cowbell | vinyl_scratch: record scratch | vinyl_backspin: record scratch
vinyl_rewind: record scratch | vinyl_hiss: static | mehackit_phone1: telephone | mehackit_phone2: telephone
mehackit_phone3: telephone | mehackit_phone4: telephone
"""

FREEDOOM = """
DSPISTOL: gunshot | DSSHOTGN: gunshot | DSDSHTGN: gunshot | DSBAREXP: explosion | DSRXPLOD: explosion | DSRLAUNC: rocket
DSSAWUP: chainsaw | DSSAWIDL: chainsaw | DSSAWFUL: chainsaw | DSSAWHIT: chainsaw | DSPUNCH: punch
"""
EVERY = 4  # of a name with so many recordings or more, each EVERY-th is held out


def group(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """(path, content) of every file in a Clonk group: gzip under another magic number, a scrambled header of 204 bytes,
    then 316 bytes an entry (openclonk/src/c4group/CStdFile.cpp, C4Group.cpp)."""
    if raw[:2] == b"\x1e\x8c":
        raw = zlib.decompressobj(31).decompress(b"\x1f\x8b" + raw[2:])
    header = bytearray(byte ^ 237 for byte in raw[:204])
    for i in range(0, 202, 3):
        header[i], header[i + 2] = header[i + 2], header[i]
    if not header.startswith(b"RedWolf Design GrpFolder"):
        raise ValueError("this is not a Clonk group: its header does not say RedWolf Design GrpFolder")
    (count,) = struct.unpack_from("<i", header, 36)
    for entry in range(204, 204 + 316 * count, 316):
        name = raw[entry : entry + 260].split(b"\0")[0].decode("latin1")
        _, child, size, _, offset = struct.unpack_from("<5i", raw, entry + 260)
        content = raw[204 + 316 * count + offset :][:size]
        if child:
            yield from ((f"{name}/{path}", inner) for path, inner in group(content))
        else:
            yield name, content


def lumps(raw: bytes) -> Iterator[tuple[str, np.ndarray]]:
    """(name, wave at RATE) of the digital sounds in a Doom WAD: 16-bit format 3, rate, count, then unsigned bytes."""
    from scipy.signal import resample_poly

    count, directory = struct.unpack_from("<2i", raw, 4)
    for entry in range(directory, directory + 16 * count, 16):
        at, size, name = struct.unpack_from("<2i8s", raw, entry)
        if name.startswith(b"DS") and size > 8 and struct.unpack_from("<H", raw, at)[0] == 3:
            rate, samples = struct.unpack_from("<HI", raw, at + 2)
            wave = np.frombuffer(raw, np.uint8, min(samples, size - 8), at + 8)[16:-16].astype(np.float32) / 128 - 1
            yield name.rstrip(b"\0").decode(), resample_poly(wave, RATE, rate).astype(np.float32)


def waves(data: Path) -> Iterator[tuple[str, str, np.ndarray]]:
    """(source, name of the sound, mono wave at RATE) of every recording of the tables."""
    import av

    src = data / "src"
    named = table(OPENCLONK)
    for path, content in group((src / "openclonk-data/usr/share/games/openclonk/Sound.ocg").read_bytes()):
        if path in named:
            yield f"openclonk:{path}", named[path], decode_audio(av.open(io.BytesIO(content)))
    for stem, name in table(SONIC_PI).items():
        yield f"sonic-pi:{stem}", name, decode_audio(av.open(str(src / f"sonic-pi-samples/usr/share/sonic-pi/samples/{stem}.flac")))
    named = table(FREEDOOM)
    for lump, wave in lumps((src / "freedoom/usr/share/games/doom/freedoom2.wad").read_bytes()):
        if lump in named:
            yield f"freedoom:{lump}", named[lump], wave


def recordings(data: Path, held_out: bool) -> dict[str, list[np.ndarray]]:
    """The recordings of each name that are to be trained on, or those that are not."""
    found: dict[str, list[np.ndarray]] = {}
    for _, name, wave in waves(data):
        found.setdefault(name, []).append(wave)
    chosen = {name: [w for i, w in enumerate(all_of_it) if is_held_out(i, len(all_of_it)) == held_out] for name, all_of_it in found.items()}
    return {name: kept for name, kept in chosen.items() if kept}


def is_held_out(index: int, count: int) -> bool:
    return count >= EVERY and index % EVERY == EVERY - 1
