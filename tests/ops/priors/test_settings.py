import pytest
from toys import GaussianGenerator

from concept_algebra.ops.priors.bridge import Bridge
from concept_algebra.ops.priors.flair import Flair
from concept_algebra.ops.priors.none import NoPrior
from concept_algebra.ops.priors.settings import BridgeSettings, FlairSettings, NoSettings, VsdSettings, make
from concept_algebra.ops.priors.vsd import Vsd

WORDS = {BridgeSettings.positive: (0.0, 1.0), BridgeSettings.negative: (0.0, 0.5)}


@pytest.mark.parametrize("settings, kind", [(VsdSettings(), Vsd), (FlairSettings(), Flair), (BridgeSettings(), Bridge), (NoSettings(), NoPrior)])
def test_each_makes_its_prior(settings, kind):
    assert type(make(settings, GaussianGenerator(words=WORDS))) is kind


def test_what_is_set_arrives():
    generator = GaussianGenerator()
    flair = make(FlairSettings(7), generator, highest=0.6)
    assert (flair.settings.levels, flair.highest) == (7, 0.6)
    assert make(VsdSettings(rank=3), generator).settings.rank == 3
    with pytest.raises(ValueError, match="settings is a str"):
        make("vsd", generator)
    with pytest.raises(ValueError, match="cond: only VSD and flair.*BridgeSettings"):
        make(BridgeSettings(), generator, cond=(0.0, 1.0))


@pytest.mark.parametrize(
    "kind, wrong",
    [
        (VsdSettings, {"rank": 0}), (VsdSettings, {"rank": 1.5}), (VsdSettings, {"every": 0}), (VsdSettings, {"lr": 0.0}),
        (VsdSettings, {"lr": float("nan")}), (VsdSettings, {"replay": -1}), (VsdSettings, {"shift": 0.0}), (VsdSettings, {"guidance": -1.0}),
        (VsdSettings, {"guidance": float("nan")}), (FlairSettings, {"levels": 0}), (FlairSettings, {"levels": True}),
        (BridgeSettings, {"positive": " "}), (BridgeSettings, {"negative": None}), (BridgeSettings, {"every": 0}), (BridgeSettings, {"shift": -1.0}),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_name(kind, wrong):
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} must"):
        kind(**wrong)


def test_a_bridge_between_equal_words_is_refused():
    with pytest.raises(ValueError, match="positive and negative are both 'sharp'"):
        BridgeSettings("sharp", "sharp")
