"""Edits by lines: what they say, what becomes of a concept, and what a mistake is answered with."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import ToyDictionary

from concept_algebra.ops.concept import Concept
from concept_algebra.ops.features.code import Code
from concept_algebra.ops.features.edits import EditError, edited, edits, told
from concept_algebra.ops.space import Space
from concept_algebra.ops.written import Written

NAMES = ("fur", "dog", "purple", "fire engine", "7 up", "unnamed 3")
DICTIONARY = ToyDictionary(Space("toy", 16), NAMES)


def concept(seed=0):
    """With amounts of its own and a residual, so that something leaks."""
    rng = torch.Generator().manual_seed(seed)
    amounts = torch.stack([torch.rand(len(NAMES), generator=rng) + 0.1, torch.zeros(len(NAMES))])
    code = Code(DICTIONARY, amounts, ("it",), torch.tensor([[1.0], [0.0]]), torch.randn(1, 16, generator=rng))
    return Concept(code.vector, DICTIONARY.space, (), Written("it"), code)


def amount(of, name):
    return float(of.code.amounts[0, NAMES.index(name)])


def leak(of, name):
    return float(of.code.leak([NAMES.index(name)]))


@pytest.mark.parametrize(
    "line, kind, name, figure",
    [
        ("- fur", "off", "fur", 0),
        ("-fur", "off", "fur", 0),
        ("-- fur", "erased", "fur", 0),
        ("2 * fur", "scaled", "fur", 2),
        (".5*fire engine", "scaled", "fire engine", 0.5),
        ("+ 0.5 purple", "added", "purple", 0.5),
        ("+1e-2 7 up", "added", "7 up", 0.01),
        ("  - unnamed 3  ", "off", "unnamed 3", 0),
    ],
)
def test_a_line_is_understood(line, kind, name, figure):
    (edit,) = edits(f"\n# not this\n{line}\n")
    assert (edit.kind, edit.name, edit.amount, edit.number, edit.line) == (kind, name, figure, 3, line.strip())


@pytest.mark.parametrize("line", ["fur", "-", "--", "--- fur", "+ fur", "+ 0.5", "2 fur", "+ -1 fur", "* fur", "2 *"])
def test_any_other_line_is_answered_with_its_number_and_the_forms(line):
    with pytest.raises(EditError, match="line 2, .*expected '- fur'") as error:
        edits(f"- dog\n{line}")
    assert repr(line) in str(error.value)


def test_a_number_without_end_is_refused():
    with pytest.raises(EditError, match="line 1, .*too large"):
        edits("1e999 * fur")


def test_a_typo_is_answered_with_the_line_and_the_nearest_names():
    with pytest.raises(EditError, match="line 3, '- purpel': .*did you mean purple"):
        edited(concept(), edits("- fur\n\n- purpel"))


def test_a_dense_concept_is_sent_to_be_decomposed():
    dense = Concept(torch.ones(16), DICTIONARY.space, (), Written("it"))
    with pytest.raises(ValueError, match="no features to edit; decompose it first"):
        edited(dense, edits("- fur"))


def test_each_edit_does_what_it_says_and_nothing_else():
    before = concept()
    after = edited(before, edits("- fur\n2 * dog\n+ 0.25 purple\n-- 7 up"))
    expected = {"fur": 0, "dog": 2 * amount(before, "dog"), "purple": amount(before, "purple") + 0.25, "7 up": 0}
    for name in NAMES:
        assert amount(after, name) == pytest.approx(expected.get(name, amount(before, name)), abs=1e-6)
    assert leak(after, "7 up") == pytest.approx(0, abs=1e-5)
    assert abs(leak(after, "fur")) > 1e-3, "switched off alone, something still points along it"
    assert torch.equal(after.vector, after.code.vector)


def test_no_edits_change_nothing():
    before = concept()
    assert edited(before, edits("# only a remark\n")) is before


amounts = st.lists(st.just(0.0) | st.floats(0.01, 4), min_size=len(NAMES), max_size=len(NAMES))
lines = st.tuples(st.sampled_from(["-", "--", "0 *", "2.5 *", "+ 0", "+ 0.5", "+ 3"]), st.sampled_from(NAMES)).map(" ".join)


@given(amounts, amounts, st.lists(lines, max_size=5))
def test_what_no_line_names_is_left_alone(present, taken, text):
    code = concept().code
    unsettled = Code(DICTIONARY, torch.tensor([present, taken]), code.sources, torch.tensor([[1.0], [0.5]]), code.residuals)
    before, wanted = Concept(unsettled.vector, DICTIONARY.space, (), Written("it"), unsettled), edits("\n".join(text))
    after = edited(before, wanted).code
    others = [i for i, name in enumerate(NAMES) if name not in {edit.name for edit in wanted}]
    assert torch.equal(after.amounts[:, others], unsettled.amounts[:, others])
    assert torch.equal(after._weights_of(unsettled.sources), unsettled.weights)


def test_only_a_line_feed_ends_a_line_as_in_the_browser():
    assert [edit.name for edit in edits("- fur\r\n- dog\x0b\n- fire\u2028engine")] == ["fur", "dog", "fire\u2028engine"]


def test_the_report_tells_of_what_was_taken_away_too():
    code = concept().code
    rows = torch.tensor([[0.5, 0, 0, 0, 0.25, 0], [1.0, 1.0, 1.0, 1.0, 0, 0]])
    resisted = Code(DICTIONARY, rows, code.sources, code.weights, code.residuals)
    before = Concept(resisted.vector, DICTIONARY.space, (), Written("it"), resisted)
    wanted = edits("2 * fur\n- dog\n+ 0.5 purple\n-- fire engine\n+ 1 7 up")
    told_of = [line.split("; still")[0] for line in told(wanted, before, edited(before, wanted))]
    assert told_of == [
        "fur: 0.50 to 1.00, taken away 1.00 to 2.00",
        "dog: taken away 1.00 to 0.00",
        "purple: taken away 1.00 to 0.50",
        "fire engine: taken away 1.00 to 0.00",
        "7 up: 0.25 to 1.25",
    ]


@given(st.permutations(["- fur", "2 * dog", "3 * dog", "+ 0.5 purple", "-- 7 up", "-- fire engine", "+ 1 fur"]))
def test_the_order_of_the_lines_does_not_matter(lines):
    before = concept()
    one, other = (edited(before, edits("\n".join(text))) for text in (lines, sorted(lines)))
    torch.testing.assert_close(one.code.amounts, other.code.amounts)
    torch.testing.assert_close(one.vector, other.vector, atol=1e-5, rtol=0)
    for name in ("7 up", "fire engine"):
        assert leak(one, name) == pytest.approx(0, abs=1e-5), "what is erased stays so, whatever else is added or erased"


def test_off_and_added_sets_an_amount():
    assert amount(edited(concept(), edits("- fur\n+ 0.3 fur")), "fur") == pytest.approx(0.3)


def test_the_report_names_amounts_and_leaks():
    before, wanted = concept(), edits("- fur\n2 * dog\n-- purple")
    after = edited(before, wanted)
    lines = told(wanted, before, after)
    assert lines == [
        f"fur: {amount(before, 'fur'):.2f} to 0.00; still along it {leak(after, 'fur'):.2f} of {leak(before, 'fur'):.2f}",
        f"dog: {amount(before, 'dog'):.2f} to {amount(after, 'dog'):.2f}",
        f"purple: {amount(before, 'purple'):.2f} to 0.00; still along it 0.00 of {leak(before, 'purple'):.2f}",
    ]
    absent = edited(before, edits("- fur"))
    again = edits("- fur")
    assert told(again, absent, edited(absent, again))[0].startswith("fur: was not there; still along it ")
