"""What the tests of objectives on embeddings are made of: a small space, drawn rows, embeddings of them."""

import torch
from torch.nn.functional import normalize

from concept_algebra.ops.encoders.protocol import Embedding
from concept_algebra.ops.objective.value import Moment
from concept_algebra.ops.operands import Operand
from concept_algebra.ops.space import Space

SIZE = 12
MOMENT = Moment(0.5, torch.Generator("cpu"))


def drawn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator("cpu").manual_seed(seed)).to(dtype)


SPACE = Space("test", SIZE, {"image": 0.3 * normalize(drawn(SIZE, seed=1), dim=0)}, {"image": 0.7})


def embedding(pooled_rows, dense_rows, tokens=None, modality="image"):
    return Embedding(pooled_rows, dense_rows if tokens is None else tokens, dense_rows, (dense_rows.shape[1],), modality)


def with_tokens(dense_rows):
    return embedding(normalize(dense_rows.mean(1), dim=-1), dense_rows)


def operand(tokens, weight=1.0, written="leaf", modality="image", dense=None):
    """A leaf of tokens [N, W]; without dense ones its tokens are as good for the target as each other."""
    dense = normalize(torch.ones(len(tokens), SIZE), dim=-1) if dense is None else dense
    return Operand(written, modality, weight, tokens, dense, (len(tokens),))
