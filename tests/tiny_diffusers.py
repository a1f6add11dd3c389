"""The tiny checkpoints as folders of the diffusers library, made by the library itself from the configurations written here."""

import json

import tiny_sd3
import tiny_sdxl

WIDTH, CHANNELS = 32, 64


def sd3(root):
    """(a single file, a folder) of the same Stable Diffusion 3."""
    tiny_sd3.write(root / "sd3.safetensors", width=WIDTH)
    parts = {"transformer": ("SD3Transformer2DModel", tiny_sd3.TRANSFORMER), "vae": ("AutoencoderKL", tiny_sd3.autoencoder(WIDTH))}
    return root / "sd3.safetensors", _folder(root / "sd3", root / "sd3.safetensors", parts)


def sdxl(root):
    """(a single file, a folder) of the same Stable Diffusion XL."""
    tiny_sdxl.write(root / "sdxl.safetensors", width=WIDTH, channels=CHANNELS)
    parts = {"unet": ("UNet2DConditionModel", tiny_sdxl.unet(CHANNELS)), "vae": ("AutoencoderKL", tiny_sdxl.vae(WIDTH))}
    return root / "sdxl.safetensors", _folder(root / "sdxl", root / "sdxl.safetensors", parts)


def _folder(path, single, parts):
    import diffusers

    for name, (kind, settings) in parts.items():
        (path / name).mkdir(parents=True)
        (path / name / "config.json").write_text(json.dumps({"_class_name": kind, **settings}))
        made = getattr(diffusers, kind).from_single_file(str(single), config=str(path), subfolder=name, local_files_only=True)
        made.save_pretrained(path / name)
    return path


def write_text_parts(path, second="CLIPTextModelWithProjection", first="CLIPTextModelWithProjection", t5=False):
    """Text encoders and tokenizers of letters, in the subfolders that Stable Diffusion's have."""
    import torch
    import transformers

    torch.manual_seed(0)
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    vocabulary = {word: n for n, word in enumerate(["<|startoftext|>", "<|endoftext|>", *letters, *(c + "</w>" for c in letters)])}
    clip = transformers.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)
    # widths that add up to the 2048 of both families, where the family looks at them
    for end, kind, width, pooled in (("", first, 768, 768), ("_2", second, 1280, 1280)):
        settings = transformers.CLIPTextConfig(
            vocab_size=len(vocabulary), hidden_size=width, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
            projection_dim=pooled, bos_token_id=0, eos_token_id=1,
        )  # fmt: skip
        getattr(transformers, kind)(settings).save_pretrained(path / f"text_encoder{end}")
        clip.save_pretrained(path / f"tokenizer{end}")
    if t5:
        pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -5.0), *((piece, -1.0) for piece in ["\u2581", *letters])]
        transformers.T5TokenizerFast(vocab=pieces, extra_ids=0).save_pretrained(path / "tokenizer_3")
        settings = transformers.T5Config(vocab_size=len(pieces), d_model=4096, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
        transformers.T5EncoderModel(settings).save_pretrained(path / "text_encoder_3")
