"""The check that an encoder reads: the pocket does, and one that has learned nothing does not."""

import torch

from concept_algebra.benchmarks import reading
from concept_algebra.ops.encoders.pocket import load


def test_the_pocket_reads_and_an_encoder_that_learned_nothing_does_not(encoder, monkeypatch):
    for count in ("PICTURES", "SOUNDS", "CLIPS"):
        monkeypatch.setattr(reading, count, 12)
    found = reading.readings(load(), torch.device("cpu"))
    assert found.keys() == {"image", "audio", "video"}
    assert all(one.shown == 12 and one.reads for one in found.values())
    assert not any(one.reads for one in reading.readings(encoder, torch.device("cpu")).values())
