"""Stable Audio Open computed straight from the tensors of its single file, by the names they have there: what readers are held to.

After the definitions of stable-audio-tools (models/dit.py, transformer.py, autoencoders.py, adp.py), written anew.
"""

import math

import torch
import torch.nn.functional as F


class Official:
    """`tensors` by their names in the file; heads: of the transformer."""

    def __init__(self, tensors, heads=24):
        self.tensors, self.heads = {name: tensor.double() for name, tensor in tensors.items()}, heads

    def seconds(self, which, value, longest=512):
        """The embedding [1, 1, D] of a number of seconds; which: start or total."""
        at = f"conditioner.conditioners.seconds_{which}.embedder.embedding"
        share = torch.tensor([[value / longest]], dtype=torch.float64)
        angles = 2 * math.pi * share * self.tensors[f"{at}.0.weights"]
        features = torch.cat([share, angles.sin(), angles.cos()], -1)
        return F.linear(features, self.tensors[f"{at}.1.weight"], self.tensors[f"{at}.1.bias"])[None]

    def v(self, x, t, tokens, times):
        """The network's output for x [B, C, L] at t [B], attending to tokens [1, N, D], with both times [1, 1, 2 D]."""
        x, tokens, times = x.double(), tokens.double().expand(len(x), -1, -1), times.double().expand(len(x), -1, -1)
        angles = 2 * math.pi * t.double()[:, None] @ self.of("timestep_features").T
        moment = self.mlp("to_timestep_embed", torch.cat([angles.cos(), angles.sin()], -1))[:, None]
        tokens, first = self.mlp("to_cond_embed", tokens), self.mlp("to_global_embed", times) + moment
        x = x + F.conv1d(x, self.of("preprocess_conv"))
        h = torch.cat([first, F.linear(x.transpose(1, 2), self.of("transformer.project_in"))], 1)
        places = torch.arange(h.shape[1]).double()
        turns = torch.outer(places, self.tensors["model.model.transformer.rotary_pos_emb.inv_freq"]).repeat(1, 2)
        layer = 0
        while f"model.model.transformer.layers.{layer}.ff.ff.2.weight" in self.tensors:
            at = f"transformer.layers.{layer}"
            q, k, v = F.linear(self.norm(f"{at}.pre_norm", h), self.of(f"{at}.self_attn.to_qkv")).chunk(3, -1)
            h = h + F.linear(self.attend(q, k, v, turns), self.of(f"{at}.self_attn.to_out"))
            q = F.linear(self.norm(f"{at}.cross_attend_norm", h), self.of(f"{at}.cross_attn.to_q"))
            k, v = F.linear(tokens, self.of(f"{at}.cross_attn.to_kv")).chunk(2, -1)
            h = h + F.linear(self.attend(q, k, v), self.of(f"{at}.cross_attn.to_out"))
            values, gates = self.layer(f"{at}.ff.ff.0.proj", self.norm(f"{at}.ff_norm", h)).chunk(2, -1)
            h = h + self.layer(f"{at}.ff.ff.2", values * F.silu(gates))
            layer += 1
        made = F.linear(h, self.of("transformer.project_out")).transpose(1, 2)[..., 1:]
        return made + F.conv1d(made, self.of("postprocess_conv"))

    def attend(self, q, k, v, turns=None):
        size = q.shape[-1] // self.heads
        q, k, v = (part.unflatten(-1, (-1, size)).transpose(1, 2) for part in (q, k, v))
        if turns is not None:
            q, k = (self.turned(part, turns) for part in (q, k))
        k, v = (part.repeat_interleave(self.heads // part.shape[1], 1) for part in (k, v))
        shares = (q @ k.transpose(-1, -2) / math.sqrt(size)).softmax(-1)
        return (shares @ v).transpose(1, 2).flatten(2)

    def turned(self, x, turns):
        size = turns.shape[-1]
        a, b = x[..., : size // 2], x[..., size // 2 : size]
        cos, sin = turns[:, : size // 2].cos(), turns[:, : size // 2].sin()
        return torch.cat([a * cos - b * sin, b * cos + a * sin, x[..., size:]], -1)

    def decode(self, z):
        """The sound [B, 2, L * hop] of latents [B, C, L]."""
        x = self.conv("decoder.layers.0", z.double(), padding=3)
        for n in range(1, 6):
            at = f"decoder.layers.{n}.layers"
            x = self.conv(f"{at}.1", self.snake(f"{at}.0", x), transposed=True)
            for unit, spread in ((2, 1), (3, 3), (4, 9)):
                x = self.unit(f"{at}.{unit}.layers", x, spread)
        return self.conv("decoder.layers.7", self.snake("decoder.layers.6", x), padding=3)

    def encode(self, sound):
        """The means [B, C, L] of the latents of a sound."""
        x = self.conv("encoder.layers.0", sound.double(), padding=3)
        for n, stride in enumerate((2, 4, 4, 8, 8), 1):
            at = f"encoder.layers.{n}.layers"
            for unit, spread in ((0, 1), (1, 3), (2, 9)):
                x = self.unit(f"{at}.{unit}.layers", x, spread)
            x = self.conv(f"{at}.4", self.snake(f"{at}.3", x), stride=stride, padding=stride // 2)
        return self.conv("encoder.layers.7", self.snake("encoder.layers.6", x), padding=1).chunk(2, 1)[0]

    def unit(self, at, x, spread):
        heard = self.conv(f"{at}.1", self.snake(f"{at}.0", x), dilation=spread, padding=3 * spread)
        return x + self.conv(f"{at}.3", self.snake(f"{at}.2", heard))

    def snake(self, at, x):
        alpha, beta = (self.tensors[f"pretransform.model.{at}.{name}"][:, None].exp() for name in ("alpha", "beta"))
        return x + (alpha * x).sin() ** 2 / beta

    def conv(self, at, x, transposed=False, **how):
        size, direction = (self.tensors[f"pretransform.model.{at}.weight_{letter}"] for letter in "gv")
        weight = size * direction / direction.flatten(1).norm(dim=1)[:, None, None]
        bias = self.tensors.get(f"pretransform.model.{at}.bias")
        if transposed:
            stride = weight.shape[-1] // 2
            return F.conv_transpose1d(x, weight, bias, stride=stride, padding=stride // 2)
        return F.conv1d(x, weight, bias, **how)

    def of(self, name):
        return self.tensors[f"model.model.{name}.weight"]

    def layer(self, name, x):
        return F.linear(x, self.of(name), self.tensors.get(f"model.model.{name}.bias"))

    def mlp(self, name, x):
        return self.layer(f"{name}.2", F.silu(self.layer(f"{name}.0", x)))

    def norm(self, name, x):
        gamma, beta = (self.tensors[f"model.model.{name}.{letter}"] for letter in ("gamma", "beta"))
        return F.layer_norm(x, x.shape[-1:], gamma, beta)
