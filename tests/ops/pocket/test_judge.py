import torch

from concept_algebra.ops.pocket.judge import Judge


def test_any_size_is_averaged_down_and_overshoot_is_clamped():
    torch.manual_seed(0)
    judge = Judge(7, widths=(4, 8)).eval()
    small = torch.rand(2, 3, 64, 64)
    large = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert judge(small).shape == (2, 7)
    torch.testing.assert_close(judge(large), judge(small), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(judge(small * 0 + 5), judge(torch.ones_like(small)))


def test_an_untrained_judge_fits_any_weights_file():
    tensors = Judge(7, widths=(4, 8, 20)).state_dict()
    Judge.fitting(tensors).load_state_dict(tensors)
