"""Numbers as people read them: the format's own, but that nothing has no minus."""

import math
import re
from dataclasses import fields, is_dataclass, replace
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import SmallEncoder, ToyDictionary, ToyPicture, ToySound

from concept_algebra.ops import report
from concept_algebra.ops.evaluate.judgement import Court
from concept_algebra.ops.expression import evaluate
from concept_algebra.ops.interpret.attribution import Attribution
from concept_algebra.ops.report_markdown import readme
from concept_algebra.ops.rounding import rounded
from concept_algebra.ops.showcase import showcase

MINUS = re.compile(r"(?<![\w.])-0(?:\.0+)?(?![\w.])")


@given(st.floats(-10, 10), st.sampled_from([".2f", ".3f", "+.1f", ".0%", ".1%"]))
def test_all_but_nothing_is_as_the_format_has_it(value, form):
    shown = rounded(value, form)
    assert shown == format(value, form) or (float(shown.rstrip("%")) == 0 and "-" not in shown and abs(value) <= 0.05)


@pytest.mark.parametrize(
    "value, form, shown",
    [(-0.001, ".2f", "0.00"), (-0.006, ".2f", "-0.01"), (-0.04, "+.1f", "+0.0"), (-0.004, ".0%", "0%"), (math.nan, ".2f", "nan"), (-math.inf, ".2f", "-inf")],
)
def test_nothing_has_no_minus(value, form, shown):
    assert rounded(value, form) == shown


def nearly_nothing(value):
    """The same tree of dataclasses, tuples, lists and dicts with a small negative number in the place of each float."""
    if is_dataclass(value):
        return replace(value, **{each.name: nearly_nothing(getattr(value, each.name)) for each in fields(value)})
    if isinstance(value, (tuple, list)):
        return type(value)(map(nearly_nothing, value))
    if isinstance(value, dict):
        return {name: nearly_nothing(part) for name, part in value.items()}
    return -1e-6 if isinstance(value, float) else value


def test_no_page_and_no_readme_has_a_minus_before_nothing(tmp_path, encoder, monkeypatch):
    judge, shown, page = SmallEncoder(), [], report.page
    judge.space = replace(judge.space, id="judge-0")
    monkeypatch.setattr(report, "page", lambda target: shown.append(target) or page(target))
    concept = evaluate("fire - water", encoder).decomposed(ToyDictionary(encoder.space, ["hot", "wet", "both"]))
    generators = {"image": partial(ToyPicture, (3, 8, 8)), "audio": ToySound}
    folder = showcase(concept, tmp_path, encoder, generators, steps=2, seeds=3, courts=[Court(judge, encoder.space)])
    (target,) = shown
    seen = Attribution(torch.rand(2, 2), "integrated gradients", "image", "fire", 0.3, 0.1, 0.0)
    # the folder has taken its name since, and this encoder draws no maps
    known = [
        replace(each, file=folder / each.file.name, bundle=replace(each.bundle, maps=(seen,), shown=torch.zeros(1, 3, 8, 8, dtype=torch.uint8)))
        for each in target.renders
    ]
    changed = nearly_nothing(replace(target, renders=known))
    assert MINUS.search(f"{-0.001:.2f}") and MINUS.search(f"<td>{-0.001:.0%}</td>") and not MINUS.search("2026-01-0.3 -0.02 a-0")
    for text in (readme(changed), re.sub(r"data:[^\"]*|<style>.*?</style>|<script>.*?</script>", "", page(changed), flags=re.S)):
        assert "0.00" in text and not MINUS.search(text), MINUS.search(text)
