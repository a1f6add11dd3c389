"""LanguageBind checkpoints as they are published, in names, shapes and files, with random weights and small."""

import json
from contextlib import contextmanager

import pytest
import torch
from safetensors.torch import save_file

MERGES = "#version: 0.2\nt h\nth e</w>\no c\noc e\noce a\nocea n</w>\nf i\nr e</w>\nfi re</w>"
"""A vocabulary of nine merges, so that a text tower is small: with CLIP's own it has 49,408 rows."""
TOKENS = 512 + 9 + 2
WIDTH, DIMENSION = 48, 32


def rand(source, *shape, scale=0.15):
    return torch.randn(shape, generator=source) * scale


def transformer(source, prefix, layers, temporal=0):
    made = {}
    for n in range(layers):
        at = f"{prefix}.encoder.layers.{n}"
        for attention in ("self_attn", *(["temporal_attn"] if temporal else [])):
            for p in ("q", "k", "v", "out"):
                made |= {f"{at}.{attention}.{p}_proj.weight": rand(source, WIDTH, WIDTH), f"{at}.{attention}.{p}_proj.bias": rand(source, WIDTH)}
        for norm in ("layer_norm1", "layer_norm2", *(["temporal_layer_norm1"] if temporal else [])):
            made |= {f"{at}.{norm}.weight": 1 + rand(source, WIDTH), f"{at}.{norm}.bias": rand(source, WIDTH)}
        made |= {f"{at}.mlp.fc1.weight": rand(source, 96, WIDTH), f"{at}.mlp.fc1.bias": rand(source, 96)}
        made |= {f"{at}.mlp.fc2.weight": rand(source, WIDTH, 96), f"{at}.mlp.fc2.bias": rand(source, WIDTH)}
        if temporal:
            made[f"{at}.temporal_embedding"] = rand(source, 1, temporal, WIDTH)
    return made


def published(modality, language=1, dimension=DIMENSION, tokens=TOKENS):
    """A whole checkpoint as its repository holds it: the text tower of `language`, and one media tower."""
    source = torch.Generator().manual_seed(language)
    made = {
        "logit_scale": torch.tensor(2.6592),
        "text_model.embeddings.token_embedding.weight": rand(source, tokens, WIDTH),
        "text_model.embeddings.position_embedding.weight": rand(source, 77, WIDTH),
        **transformer(source, "text_model", 2),
        "text_model.final_layer_norm.weight": 1 + rand(source, WIDTH),
        "text_model.final_layer_norm.bias": rand(source, WIDTH),
        "text_projection.weight": rand(source, dimension, WIDTH),
    }
    source = torch.Generator().manual_seed({"image": 10, "audio": 11, "video": 12}[modality])
    patches = {"image": 16, "audio": 2 * 5, "video": 16}[modality]
    made |= {
        "vision_model.embeddings.class_embedding": rand(source, WIDTH),
        "vision_model.embeddings.patch_embedding.weight": rand(source, WIDTH, 3, 14, 14, scale=0.05),
        "vision_model.embeddings.position_embedding.weight": rand(source, patches + 1, WIDTH),
        **transformer(source, "vision_model", 3, 8 if modality == "video" else 0),
        "visual_projection.weight": rand(source, dimension, WIDTH),
    }
    for norm in ("pre_layrnorm", "post_layernorm"):
        made |= {f"vision_model.{norm}.weight": 1 + rand(source, WIDTH), f"vision_model.{norm}.bias": rand(source, WIDTH)}
    return made


def folder(path, modality, tokenizer=True, **more):
    path.mkdir()
    save_file(published(modality, **more), path / "model.safetensors")
    vision = {"num_attention_heads": 4, "hidden_act": "gelu"} | ({"num_mel_bins": 28, "target_length": 70} if modality == "audio" else {})
    (path / "config.json").write_text(json.dumps({"text_config": {"num_attention_heads": 4}, "vision_config": vision}))
    if tokenizer:
        (path / "merges.txt").write_text(MERGES)
    return path


def folders(root, **more):
    """A checkpoint folder in `root` for each medium; `more` as `folder` and `published` take it."""
    return [folder(root / name, name, **more) for name in ("image", "audio", "video")]


@contextmanager
def short_lists():
    """Within it the vocabulary has four entries and CLIP's merges are the nine of MERGES: the same code on less."""
    words = ["fire", "ocean", "the ocean", "a b c"]
    with pytest.MonkeyPatch.context() as patch:
        for module in ("languagebind_file", "vocabulary"):
            patch.setattr(f"concept_algebra.ops.encoders.{module}.shipped_words", lambda: words)
        patch.setattr("concept_algebra.ops.encoders.clip_tokenizer.MERGES", 9)
        yield
