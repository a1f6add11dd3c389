"""Generator From Checkpoint on a real ComfyUI: small checkpoints in the official layouts, loaded by ComfyUI's own Load Checkpoint."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import tiny_ltx
import tiny_sd3
import tiny_sdxl
import tiny_stable_audio
import torch
from graphs import node
from listen import Listener
from PIL import Image
from safetensors.torch import load_file, save_file

FAMILIES = {
    "sd3": (tiny_sd3.write, {"width": 32, "height": 32}),
    "audio": (tiny_stable_audio.write, {"seconds": 0.09}),
    "ltx": (lambda path: tiny_ltx.write(path, version="0.9.1", comfy=True), {"width": 64, "height": 64, "frames": 9}),
    "sdxl": (tiny_sdxl.write, {"width": 32, "height": 32}),
}
PRIORS = {
    "honest": None,
    "flair": node("FlairPrior", strength=1.0),
    "vsd": node("VsdPrior", strength=1.0, told=False, every=1, rank=4, replay=4, learning_rate=0.001, guidance=1.0, shift=3.0),
}


@pytest.fixture(scope="module")
def checkpoints(server):
    """Checkpoints by family, written when first asked for, and gone with the last test: they are large for tests."""
    folder = Path(server.folder) / "models" / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)

    def name(family):
        path = folder / f"{family}.safetensors"
        if not path.exists():
            FAMILIES[family][0](path)
        return path.name

    yield name
    for path in folder.iterdir():
        path.unlink()


@pytest.fixture
def loaded(checkpoints):
    """A graph with a family's checkpoint loaded and made a generator of, LTX's told something in place of the empty text."""

    def graph(family, **inputs):
        sizes = {"width": 0, "height": 0, "frames": 0, "seconds": 0.0} | FAMILIES[family][1]
        made = {
            "checkpoint": node(".CheckpointLoaderSimple", ckpt_name=checkpoints(family)),
            "generator": node("GeneratorFromCheckpoint", **(sizes | {"model": ["checkpoint", 0], "vae": ["checkpoint", 2]} | inputs)),
        }
        if family == "ltx" and "conditioning" not in inputs:
            made["null"] = node(".ConceptAlgebraTest_Told", family="ltx")
            made["generator"]["inputs"]["conditioning"] = ["null", 0]
        return made

    return graph


def rendered(graph, prior=None, steps=20, **inputs):
    """With a render of a concept, its image, sound's spectrogram or frames saved, and its report."""
    graph = graph | {
        "encoder": node("LoadEncoder", encoder="pocket"),
        "concept": node("Expression", expression="octopus", encoder=["encoder", 0]),
        "render": node(
            "LatentOptimiser", steps=steps, seed=2, looks=1, patch_weight=0.0, concept=["concept", 0], encoder=["encoder", 0],
            generator=["generator", 0], **inputs,
        ),
        "image": node(".SaveImage", images=["render", 1], filename_prefix="checkpoint"),
        "report": node(".PreviewAny", source=["render", 6]),
    }  # fmt: skip
    if prior:
        graph |= {"prior": prior}
        graph["render"]["inputs"]["prior"] = ["prior", 0]
    return graph


def ordinary(family, salt):
    return node(".ConceptAlgebraTest_Ordinary", salt=salt, family=family, model=["checkpoint", 0], vae=["checkpoint", 2])


def pixels(server, outputs, name="image"):
    return np.stack([np.asarray(Image.open(server.output(file)).convert("RGB")) for file in outputs[name]["images"]]).astype(int)


def of_0_8(server):
    return server.get("/system_stats")["system"]["comfyui_version"].startswith("0.8.")


def rounded(after, before):
    """Equal but for the rounding of sums. ComfyUI 0.8 loads weights that ask for gradients; thawed they do so in earnest, and PyTorch then
    multiplies matrices another way, in inference mode as well."""
    assert abs(np.subtract(after, before)).max() < 1e-5 * abs(np.asarray(before)).max()


def differentiated(server, graph):
    """What finite differences tell of a graph's generator, those that are the same for every family and precision looked at."""
    graph = graph | {"found": node(".ConceptAlgebraTest_Differentiated", generator=["generator", 0], vae=["checkpoint", 2])}
    found = json.loads(server.run(graph)["found"]["found"][0])
    for name in ("decode", "x0", "lora"):
        assert found[name] == pytest.approx(1, abs=2e-3), name
    assert found["adapts"] > 1e-3 and found["fresh"] == found["off again"] == found["again"] == 0
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_those_of_finite_differences(server, loaded, family):
    found = differentiated(server, loaded(family))
    assert found["spoilt"] > 0, "ComfyUI's own loading makes tensors that autograd refuses"
    assert found["finite at 0"] and found["finite at 1"]
    assert found["recomputed"] < 1e-6 and found["batch"] < 1e-4
    assert found["encodes"] and found["codec"] < 1e-6
    if family != "ltx":  # whose ordinary decoding has noise in it
        assert found["vae decode"] == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_twenty_steps_on_each_track_and_nothing_else_changes(server, loaded, family):
    graph = loaded(family)
    before = server.run({**graph, "ordinary": ordinary(family, "before")})["ordinary"]
    made = {}
    for name, prior in PRIORS.items():
        outputs = server.run(rendered(graph, prior))
        made[name] = pixels(server, outputs)
        assert made[name].std() > 1, "there is something to see"
        assert "cosine" in outputs["report"]["text"][0]
    assert abs(made["honest"] - made["flair"]).mean() > 0.5 and abs(made["honest"] - made["vsd"]).mean() > 0.1
    after = server.run({**graph, "ordinary": ordinary(family, "after")})["ordinary"]
    if family == "audio" and of_0_8(server):
        rounded(after["sampled"], before["sampled"])
    else:
        assert after["marks"] == before["marks"]


@pytest.mark.parametrize("family, fast", [("sd3", True), ("audio", False), ("ltx", False)])
def test_a_model_that_comfyui_streams_is_read_again_and_has_gradients(server, loaded, family, fast):
    graph = loaded(family)
    inputs = {name: value for name, value in graph["generator"]["inputs"].items() if name == "conditioning"}
    inputs |= {"ckpt_name": graph["checkpoint"]["inputs"]["ckpt_name"], "sizes": json.dumps(FAMILIES[family][1]), "fast": fast}
    graph["generator"] = node(".ConceptAlgebraTest_Streamed", **inputs)
    if of_0_8(server):
        pytest.skip("ComfyUI 0.8 streams no weights: COMFYUI_PATH to a newer one would run it")
    found = differentiated(server, graph)
    assert not fast or found["fast"] > 0


def test_weights_of_eight_bits_have_gradients(server, loaded):
    graph = loaded("sd3", model=["eight", 0])
    folder = Path(server.folder) / "models" / "diffusion_models"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "sd3.safetensors"
    path.symlink_to(folder.parent / "checkpoints" / "sd3.safetensors")
    try:
        differentiated(server, graph | {"eight": node(".UNETLoader", unet_name=path.name, weight_dtype="fp8_e4m3fn")})
    finally:
        path.unlink()


def test_a_quantised_model_draws_and_is_refused_by_the_prior_that_would_adapt_it(server, loaded, checkpoints):
    graph = loaded("sd3")
    folder = Path(server.folder) / "models" / "checkpoints"
    path = folder / "quantised.safetensors"
    save_file(quantised(load_file(folder / checkpoints("sd3"))), path)
    plain = pixels(server, server.run(rendered(graph, PRIORS["flair"], steps=4)))
    graph["checkpoint"]["inputs"]["ckpt_name"] = path.name
    drawn = pixels(server, server.run(rendered(graph, PRIORS["flair"], steps=4)))
    assert drawn.std() > 1 and abs(drawn - plain).max() > 0
    assert "model has quantised weights, which the LoRA of VSD Prior cannot adapt; use FLAIR Prior" in server.fail(rendered(graph, PRIORS["vsd"], steps=2))


def quantised(tensors):
    """The network's matrices in eight bits, each with a scale, as the scaled checkpoints that are published for ComfyUI have them."""
    made = dict(tensors)
    for name, tensor in tensors.items():
        if ".joint_blocks." in name and name.endswith(".weight") and tensor.ndim == 2:
            scale = tensor.float().abs().max() / torch.finfo(torch.float8_e4m3fn).max
            made[name] = (tensor.float() / scale).to(torch.float8_e4m3fn)
            made[name.removesuffix("weight") + "scale_weight"] = scale
    return made | {"model.diffusion_model.scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn)}


def test_a_lora_of_load_lora_counts_for_its_own_generator_alone(server, loaded):
    graph = rendered(loaded("sd3"), PRIORS["flair"], steps=4)
    ordinarily = {**loaded("sd3"), "patched": node(".ConceptAlgebraTest_Patched", model=["checkpoint", 0])}
    before = server.run({**ordinarily, "ordinary": ordinary("sd3", "before a lora")})["ordinary"]["marks"]
    plain = pixels(server, server.run(graph))
    graph["patched"] = ordinarily["patched"]
    graph["generator"]["inputs"]["model"] = ["patched", 0]
    patched = pixels(server, server.run(graph))
    assert abs(patched - plain).mean() > 0.1
    graph["generator"]["inputs"]["model"] = ["checkpoint", 0]
    graph["render"]["inputs"]["seed"] = 3  # not out of the cache
    assert abs(pixels(server, server.run(graph)) - patched).mean() > 0.1
    assert server.run({**ordinarily, "ordinary": ordinary("sd3", "after a lora")})["ordinary"]["marks"] == before


@pytest.mark.parametrize("prior", ["flair", "vsd"])
def test_after_a_cancelled_run_everything_is_as_it_was(server, loaded, prior):
    ordinarily = loaded("sd3")
    before = server.run({**ordinarily, "ordinary": ordinary("sd3", f"before {prior}")})["ordinary"]["marks"]
    with Listener(server.port) as heard:
        queued = server.queue(rendered(loaded("sd3"), PRIORS[prior], steps=200))
        while not any(p["node"] == "render" and p["value"] >= 2 for p in heard.of("progress")):
            time.sleep(0.05)
        server.post("/interrupt", {})
        assert server.wait(queued)["status"]["messages"][-1][0] == "execution_interrupted"
    assert server.run({**ordinarily, "ordinary": ordinary("sd3", f"after {prior}")})["ordinary"]["marks"] == before
    assert pixels(server, server.run(rendered(loaded("sd3"), PRIORS[prior], steps=2))).std() > 1


def test_the_optimised_latent_is_what_an_ordinary_decoder_shows_and_a_render_begins_with(server, loaded):
    graph = rendered(loaded("sd3"), steps=3)
    graph["decoded"] = node(".VAEDecode", samples=["render", 4], vae=["checkpoint", 2])
    graph["shown"] = node(".SaveImage", images=["decoded", 0], filename_prefix="decoded")
    graph["more"] = graph["render"] | {"inputs": graph["render"]["inputs"] | {"latent": ["render", 4], "steps": 1}}
    graph["further"] = node(".SaveImage", images=["more", 1], filename_prefix="further")
    outputs = server.run(graph)
    assert abs(pixels(server, outputs) - pixels(server, outputs, "shown")).max() <= 1
    # of one step the result is what it began with
    assert abs(pixels(server, outputs) - pixels(server, outputs, "further")).max() <= 1


def test_a_tiny_autoencoder_draws_the_first_part_and_the_own_one_the_rest(server, loaded):
    plain = pixels(server, server.run(rendered(loaded("sd3"), steps=5)))
    graph = rendered(loaded("sd3", fast_vae=["tiny", 0]), steps=5) | {"tiny": node(".ConceptAlgebraTest_Tiny", channels=16)}
    graph["decoded"] = node(".VAEDecode", samples=["render", 4], vae=["checkpoint", 2])
    graph["shown"] = node(".SaveImage", images=["decoded", 0], filename_prefix="decoded")
    outputs = server.run(graph)
    assert abs(pixels(server, outputs) - plain).max() > 1
    assert abs(pixels(server, outputs) - pixels(server, outputs, "shown")).max() <= 1


@pytest.mark.parametrize("kind", ["FlairPrior", "VsdPrior"])
def test_a_prior_is_told_conditioning_in_place_of_the_concept(server, loaded, kind):
    prior = {"flair": PRIORS["flair"], "vsd": PRIORS["vsd"]}[kind.removesuffix("Prior").lower()]
    untold = server.run(rendered(loaded("sd3"), prior, steps=4))
    graph = rendered(loaded("sd3"), {**prior, "inputs": prior["inputs"] | {"conditioning": ["told", 0]}}, steps=4)
    graph["told"] = node(".ConceptAlgebraTest_Told", family="sd3")
    told = server.run(graph)
    assert abs(pixels(server, told) - pixels(server, untold)).mean() > 0.1
    assert "was told nothing" not in told["report"]["text"][0]


def test_conditioning_for_a_generator_that_cannot_read_it_is_refused(server):
    graph = rendered({}, PRIORS["flair"] | {"inputs": {"strength": 1.0, "conditioning": ["told", 0]}}, steps=2)
    graph |= {"told": node(".ConceptAlgebraTest_Told", family="sd3"), "generator": node("LoadGenerator", generator="pocket image", encoder=["encoder", 0])}
    assert "only a generator from Generator From Checkpoint can read" in server.fail(graph)


@pytest.mark.parametrize(
    "family, inputs, said",
    [
        ("sd3", {"width": 100}, "width 100: Stable Diffusion 3 takes multiples of 8"),
        ("sd3", {"frames": 9}, "frames 9: Stable Diffusion 3 makes image and has no frames; leave it at 0"),
        ("ltx", {"frames": 8}, "LTX-Video makes 1 frame or 8 n + 1 of them, not 8"),
        ("ltx", {"fast_vae": ["checkpoint", 2]}, "fast_vae: tiny autoencoders decode pictures"),
        ("sd3", {"vae": ["tiny", 0]}, "vae decodes latents of 4 channels, 8 to a cell, and Stable Diffusion 3 makes them of 16"),
        ("sd3", {"model": ["other", 0]}, "model is of the family SD15, and gradients are known to pass through these: Stable Diffusion 3, "),
        ("sd3", {"conditioning": ["control", 0]}, "conditioning has a ControlNet on it, which only a sampler reads"),
        ("sd3", {"vae": ["pocket", 1]}, "vae is no VAE that ComfyUI has loaded itself"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(server, loaded, family, inputs, said):
    graph = rendered(loaded(family, **inputs), steps=1) | {
        "tiny": node(".ConceptAlgebraTest_Tiny", channels=4), "other": node(".ConceptAlgebraTest_Other"),
        "pocket": node("LoadGenerator", generator="pocket image", encoder=["encoder", 0]),
        "control": node(".ConceptAlgebraTest_Told", family="control"),
    }  # fmt: skip
    assert said in server.fail(graph)


def test_without_text_encoders_ltx_draws_honestly_and_says_what_a_prior_needs(server, loaded):
    graph = loaded("ltx", conditioning=None)
    assert pixels(server, server.run(rendered(graph, steps=2))).std() > 1
    assert "connect clip at Generator From Checkpoint, or conditioning" in server.fail(rendered(graph, PRIORS["flair"], steps=2))
