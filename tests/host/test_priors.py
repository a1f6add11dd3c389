"""The priors' nodes, Dual Track and Open Render on a real ComfyUI: what each gives, says and refuses, and that it stops."""

import io
import time

import numpy as np
import pytest
from graphs import node, render
from listen import Listener
from PIL import Image

WORDS = {"positive": "red balloon", "negative": "blue fish"}
PRIORS = {
    "flair": node("FlairPrior", strength=1.0),
    "flair, untold": node("FlairPrior", strength=1.0, told=False),
    "flair, in part": node("FlairPrior", strength=0.5, told=True, levels=2, guidance=2.0),
    "vsd": node("VsdPrior", strength=1.0, told=False, every=1, rank=4, replay=8, learning_rate=0.001, guidance=1.0, shift=1.0),
    "vsd, told": node("VsdPrior", strength=0.5, told=True, every=2, rank=4, replay=0, learning_rate=0.001, guidance=2.0, shift=1.0),
    "bridge": node("BridgePrior", strength=1.0, every=1, shift=1.0, **WORDS),
}


def single(prior=None, **inputs):
    """One render with a prior, and its report."""
    graph = render("octopus", steps=4, seed=5)
    if prior:
        graph["prior"] = prior
        graph["render"]["inputs"]["prior"] = ["prior", 0]
    graph["render"]["inputs"] |= inputs
    graph["image"] = node(".SaveImage", images=["render", 1], filename_prefix="prior")
    graph["report"] = node(".PreviewAny", source=["render", 6])
    return graph


def both(generator="pocket image", dial=0.0, steps=3, prior=None):
    """Dual Track with all that it gives, both of its renders opened and compared."""
    graph = {name: part for name, part in render("bell", generator=generator).items() if name != "render"}
    graph["dual"] = node("DualTrack", steps=steps, seed=6, dial=dial, looks=1, concept=["concept", 0], encoder=["encoder", 0], generator=["generator", 0])
    if prior:
        graph["prior"] = prior
        graph["dual"]["inputs"]["prior"] = ["prior", 0]
    graph["images"] = node(".SaveImage", images=["dual", 3], filename_prefix="both")
    graph["leakage"], graph["summary"] = (node(".PreviewAny", source=["dual", output]) for output in (4, 5))
    graph["compare"] = node("CompareTracks", honest=["dual", 0], natural=["dual", 1])
    for place, name in enumerate(("honest", "natural")):
        graph[name] = node("OpenRender", render=["dual", place])
        graph[f"{name} image"] = node(".SaveImage", images=[name, 0], filename_prefix=name)
    return graph


def pixels(server, outputs, name):
    return np.asarray(Image.open(server.output(outputs[name]["images"][0])).convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def honest(server):
    return pixels(server, server.run(single()), "image")


@pytest.mark.parametrize("name", PRIORS)
def test_every_prior_moves_the_render_its_own_way(server, honest, name):
    with Listener(server.port) as heard:
        outputs = server.run(single(PRIORS[name]))
    made = pixels(server, outputs, "image")
    assert made.shape == (128, 128, 3) and abs(made - honest).mean() > 0.5
    assert {step["track"] for step in heard.of("concept_algebra.step")} == {"natural"}
    lines = outputs["report"]["text"][0].splitlines()
    assert any(line.endswith("cosine with the concept") for line in lines) and any(line.endswith("root mean square of the latent") for line in lines)


def test_a_prior_without_strength_is_none(server, honest):
    assert np.array_equal(pixels(server, server.run(single(node("FlairPrior", strength=0.0), candidates=1)), "image"), honest)


def test_a_graph_from_before_there_were_weights_and_judges_gives_what_the_usual_ones_give(server, honest):
    given = dict(
        pooled_weight=1.0, features_weight=0.0, contrast_weight=0.0, total_variation_weight=0.0, spectrum_weight=0.0, norm_weight=0.0, framing="steady", candidates=0,
    )  # fmt: skip
    assert np.array_equal(pixels(server, server.run(single(**given)), "image"), honest)


@pytest.mark.parametrize(
    "given",
    [
        {"pooled_weight": 0.0}, {"contrast_weight": 1.0}, {"total_variation_weight": 4.0}, {"spectrum_weight": 2.0}, {"norm_weight": 2.0},
        {"framing": "shrinking", "looks": 2}, {"framing": "cutouts", "looks": 2},
        {"candidates": 6},
    ],
    ids=str,
)  # fmt: skip
def test_every_weight_and_framing_is_heard(server, honest, given):
    assert not np.array_equal(pixels(server, server.run(single(**given)), "image"), honest)


def test_features_count_for_a_concept_that_has_some(server):
    def drawn(much):
        graph = single(features_weight=much)
        graph["concept"]["inputs"]["expression"] = "coded(purple dog + 0.5*fur) - coded(car)"
        return pixels(server, server.run(graph), "image")

    assert not np.array_equal(drawn(0.0), drawn(2.0))


def test_the_alarms_stand_on_the_node_and_in_the_report(server):
    with Listener(server.port) as heard:
        said = server.run(single())["report"]["text"][0]
    # four steps from noise: what is left of it is told
    alarm = next(line for line in said.splitlines() if line.endswith(".") and line[0].isupper())
    assert any(alarm.encode() in payload for _, payload in heard.binary)


def test_a_judge_that_is_the_encoder_is_refused(server):
    graph = single(judge=["encoder", 0])
    assert "the judge is the encoder itself" in server.fail(graph)


def test_another_encoder_judges_what_is_of_words_alone(server, languagebind):
    graph = single(judge=["other", 0]) | {"other": node("LoadEncoder", encoder=languagebind)}
    assert "gap to the judge" in server.run(graph)["report"]["text"][0]
    graph["picture"] = node(".EmptyImage", width=64, height=64, batch_size=1, color=0xAA3311)
    graph["concept"] = node("EncodeImage", name="mine", image=["picture", 0], encoder=["encoder", 0])
    assert "leave judge unconnected" in server.fail(graph)


@pytest.mark.parametrize("wrong, said", [({"positive": " "}, "must be a description in words"), (dict.fromkeys(WORDS, "red"), "there is no way")])
def test_a_bridge_that_leads_nowhere_is_refused(server, wrong, said):
    prior = node("BridgePrior", strength=1.0, every=1, shift=1.0, **(WORDS | wrong))
    assert said in server.fail(single(prior))


def test_both_tracks_of_a_picture_with_one_between(server):
    with Listener(server.port) as heard:
        outputs = server.run(both(dial=0.5, steps=4))
    sheet = pixels(server, outputs, "images")
    assert sheet.shape == (128, 3 * 128 + 2 * 8, 3)
    parts = [sheet[:, at : at + 128] for at in (0, 136, 272)]
    assert min(abs(a - b).mean() for a, b in zip(parts, parts[1:])) > 1
    for part, name in ((parts[0], "honest image"), (parts[2], "natural image")):
        assert np.array_equal(part, pixels(server, outputs, name))
    assert [line.split(":")[0] for line in outputs["summary"]["text"][0].splitlines()[:3]] == ["honest", "between, 0.5", "natural"]
    bars = [p["value"] for p in heard.of("progress") if p["node"] == "dual"]
    assert bars == sorted(bars) and bars[-1] == 16, "three renders, and the prior alone"
    last = [payload for _, payload in heard.binary if b"\xff\xd8" in payload][-1]
    width, height = Image.open(io.BytesIO(last[last.index(b"\xff\xd8") :])).size
    assert width / height == pytest.approx(400 / 128, abs=0.1), "what stays on the node is what came out"
    steps = heard.of("concept_algebra.step")
    assert [step["track"] for step in steps] == sorted((step["track"] for step in steps), key=["honest", "between, 0.5", "natural"].index)


def test_both_tracks_are_what_two_latent_optimisers_make(server):
    prior = PRIORS["vsd"]
    graph = both(prior=prior)
    graph["dual"]["inputs"]["candidates"] = 2
    outputs = server.run(graph)
    for name in ("honest", "natural"):
        graph = render("bell", steps=3, seed=6) | {"prior": prior, "image": node(".SaveImage", images=["render", 1], filename_prefix="one")}
        graph["render"]["inputs"]["candidates"] = 2
        if name == "natural":
            graph["render"]["inputs"]["prior"] = ["prior", 0]
        assert np.array_equal(pixels(server, server.run(graph), "image"), pixels(server, outputs, f"{name} image"))


def test_both_tracks_of_a_sound_can_be_heard(server):
    graph = both("pocket audio", steps=2)
    for name in ("honest", "natural"):
        graph[f"{name} sound"] = node(".SaveAudio", audio=[name, 1], filename_prefix=name)
    outputs = server.run(graph)
    from concept_algebra.ops.media import read_audio

    waves = [read_audio(server.output(outputs[f"{name} sound"]["audio"][0]))[0] for name in ("honest", "natural")]
    assert all(wave.shape[-1] == 32768 and wave.abs().max() > 1e-3 for wave in waves) and not waves[0].equal(waves[1])
    assert float(outputs["leakage"]["text"][0]) >= 0 or outputs["leakage"]["text"][0] == "nan"


def test_what_was_not_asked_for_is_answered(server):
    graph = both() | {"between": node("OpenRender", render=["dual", 2])}
    graph["shown"] = node(".PreviewImage", images=["between", 0])
    with Listener(server.port) as heard:
        server.run(graph)
    assert "the dial is at an end" in heard.of("execution_error")[0]["exception_message"]


def test_a_dial_beyond_its_ends_is_refused_though_it_comes_over_a_link(server):
    graph = both() | {"much": node(".PrimitiveFloat", value=2.0)}
    graph["dual"]["inputs"]["dial"] = ["much", 0]
    assert "dial must lie in 0..1, from the honest to the natural track, not 2" in server.fail(graph)


def test_a_prior_that_cannot_be_told_the_concept_says_so(server, languagebind):
    graph = single(PRIORS["flair"])
    for name in ("concept", "render"):
        graph[name]["inputs"]["encoder"] = ["other", 0]
    graph["other"] = node("LoadEncoder", encoder=languagebind)
    assert "The prior was told nothing" in server.run(graph)["report"]["text"][0]
    graph["prior"] = PRIORS["flair, untold"]
    assert "told" not in server.run(graph)["report"]["text"][0]


@pytest.mark.parametrize("every", [1, 2])
def test_a_lora_that_has_learned_nothing_is_told_however_seldom_it_moves(server, every):
    prior = node("VsdPrior", strength=1.0, told=False, every=every, rank=1, replay=0, learning_rate=0.0001, guidance=1.0, shift=1.0)
    assert "The prior's M ended at" in server.run(single(prior, steps=8))["report"]["text"][0]


def test_cancel_stops_what_the_prior_makes_alone(server):
    with Listener(server.port) as heard:
        queued = server.queue(both(steps=30, prior=PRIORS["vsd"]))
        while not any(p["node"] == "dual" and p["value"] > 60 for p in heard.of("progress")):
            time.sleep(0.05)
        server.post("/interrupt", {})
        done = server.wait(queued)
    assert done["status"]["messages"][-1][0] == "execution_interrupted"
    assert max(p["value"] for p in heard.of("progress") if p["node"] == "dual") < 90


def test_cancel_stops_both_within_a_step(server):
    with Listener(server.port) as heard:
        queued = server.queue(both(steps=5000))
        while not any(p["node"] == "dual" and p["value"] >= 2 for p in heard.of("progress")):
            time.sleep(0.05)
        server.post("/interrupt", {})
        asked = max(p["value"] for p in heard.of("progress") if p["node"] == "dual")
        done = server.wait(queued)
        last = max(p["value"] for p in heard.of("progress") if p["node"] == "dual")
    assert done["status"]["messages"][-1][0] == "execution_interrupted" and last <= asked + 2
