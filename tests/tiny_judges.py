"""SigLIP and CLAP of a few thousand random weights, made and saved by transformers itself, with a tokenizer made here."""

import json

import torch

LETTERS = "abcdefghijklmnopqrstuvwxyz'- 0123456789"


def tokenizer(folder, pad):
    """Saves a tokenizer of single characters in the format that transformers reads whatever the model."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<pad>" if pad == 0 else "<s>": 0, "<s>" if pad == 0 else "<pad>": 1, "</s>": 2, "<unk>": 3}
    words |= {letter: i for i, letter in enumerate(LETTERS, len(words))}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    return len(words)


def siglip(folder, resample=2):
    from transformers import SiglipConfig, SiglipModel

    count = tokenizer(folder, pad=0)
    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    text = {**small, **special, "vocab_size": count, "max_position_embeddings": 20, "projection_size": 16}
    config = SiglipConfig(text_config=text, vision_config={**small, "image_size": 32, "patch_size": 8})
    SiglipModel(config).save_pretrained(folder)
    made = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": resample, "size": {"height": 32, "width": 32}}
    (folder / "preprocessor_config.json").write_text(json.dumps(made))
    return folder


def clap(folder, fused=False):
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    count = tokenizer(folder, pad=1)
    torch.manual_seed(0)
    text = {
        "vocab_size": count, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24,
        "max_position_embeddings": 40, "projection_dim": 12, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
    }  # fmt: skip
    audio = {
        "spec_size": 64, "num_mel_bins": 16, "patch_embeds_hidden_size": 4, "hidden_size": 8, "depths": [1, 1], "num_attention_heads": [1, 2],
        "window_size": 4, "patch_size": 4, "patch_stride": [4, 4], "projection_dim": 12, "enable_fusion": fused,
    }  # fmt: skip
    ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=12)).save_pretrained(folder)
    # a second at 8 kHz in the place of ten at 48
    extractor = ClapFeatureExtractor(
        feature_size=16, sampling_rate=8000, hop_length=160, fft_window_size=256, max_length_s=1, frequency_min=50, frequency_max=4000,
        truncation="fusion" if fused else "rand_trunc",
    )  # fmt: skip
    extractor.save_pretrained(folder)
    return folder
