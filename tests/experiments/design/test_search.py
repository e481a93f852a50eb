"""The search beside brute force, and what it says where there is no board."""

import re
from itertools import product

import numpy as np
import pytest

from experiments.design import prove
from experiments.design.choices import amplifier, changes_of
from experiments.design.prove import least_good, may_pass, tried
from experiments.design.search import candidates, sweep_document, sweep_of
from experiments.shared.executor import Here
from experiments.sweeps.config import Sweep
from experiments.sweeps.evaluate import evaluate
from experiments.sweeps.samples import SampleSet
from experiments.sweeps.statistics import clopper_pearson, passes
from spu_circuit.documents import from_document, merged
from spu_circuit.errors import InputError
from spu_circuit.sampling import Sampling
from tests.experiments.design.cases import Counting, parts_of, sheets_of

FEW = {
    "parts": {"capacitor": ["GRM1885C1H 5 %"], "inverter_resistor": ["RC0603 1 %"], "dac": ["AD5724R"]},
    "samples": 128,
}


def found(parts, computers=None):
    boards = candidates(sheets_of(parts), parts.design.specification)
    return tried(parts, boards, computers or Here(), lambda each: None)


def brute_force(parts):
    """The least price of all boards of a catalogue that keep the yield: each is simulated, nothing is predicted.

    Of the nominal boards only how many parts they have, and how warm their amplifiers get, is taken.
    """
    design, prices = parts.design, []
    slots = ("input_resistor", "inverter_resistor", "capacitor", "dac", "adc")
    for sheet in sheets_of(parts):
        nominal = sheet.nominal
        part = parts.catalogue.amplifiers[nominal.amplifier]
        op_amp = amplifier(parts, nominal.amplifier, part, nominal.rise)
        options = [parts.choices(slot, nominal.structure.smallest) for slot in slots]
        for chosen in product([op_amp], nominal.structure.classes, *options):
            price = sum(choice.price(nominal.counts[choice.slot]) for choice in chosen)
            changes = changes_of(chosen, nominal.structure)
            hot = {"temperature": "50 °C", "variation": {"reference_temperature": "25 °C"}}
            table = {"base": "bench", **merged(changes, hot)}
            sweep = from_document(Sweep, sweep_document(design, table), "brute force")
            rows = evaluate(sweep, SampleSet(design.samples, Sampling(design.seed)), range(design.samples), "network")
            if clopper_pearson(int(passes(sweep, rows).sum()), len(rows))[0] >= design.specification.least_yield:
                prices.append(price)
    return min(prices)


@pytest.mark.parametrize("limit", ["1.5 %", pytest.param("2 %", marks=pytest.mark.slow), "2.5 %"])
def test_no_board_of_a_small_catalogue_is_cheaper(limit):
    parts = parts_of(merged(FEW, {"specification": {"limits": {"relative_error": {"max": limit}}}}))
    assert found(parts).candidate.price == pytest.approx(brute_force(parts), rel=1e-12)


def test_no_board_that_takes_as_little_energy_is_cheaper():
    limits = {"supply_energy": {"max": "17.5 µJ"}}
    parts = parts_of(merged(FEW, {"specification": {"limits": limits}}))
    answer = found(parts)
    assert answer.candidate.price == pytest.approx(brute_force(parts), rel=1e-12)
    assert answer.candidate.price > found(parts_of(FEW)).candidate.price
    at = sweep_of(parts, answer.candidate).recorded.index("supply_energy")
    # Settling is predicted without tolerances, which move it by some percent.
    energies = np.array([row.metrics[at] for row in answer.rows])
    assert np.median(energies) == pytest.approx(answer.candidate.values["supply_energy"], rel=0.1)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (
            {"power": {"max": "1 nW"}},
            r"limits\.power: none of the 3 cheapest boards that may do keeps 1 nW; 85 % of ",
        ),
        (
            {"power": {"min": "900 W"}},
            r"limits\.power: none of the 3 cheapest boards that may do keeps 900 W; 85 % of ",
        ),
    ],
)
def test_a_limit_that_nothing_predicts_and_no_board_keeps_ends_the_search(limits, said, monkeypatch):
    monkeypatch.setattr(prove, "MISSED", 3)
    counting = Counting()
    with pytest.raises(InputError, match=said) as refused:
        found(parts_of(merged(FEW, {"specification": {"limits": limits}})), counting)
    best = re.search(r"best one's copies keep ([\d.]+) [µm]W", str(refused.value))
    assert best is not None, str(refused.value)
    assert counting.jobs <= 2 + 3 + prove.TOGETHER


def test_a_limit_that_nothing_predicts_and_some_board_keeps_ends_nothing(monkeypatch):
    monkeypatch.setattr(prove, "MISSED", 1)
    parts = parts_of(merged(FEW, {"specification": {"limits": {"power": {"max": "900 W"}}}}))
    assert found(parts).passed


def test_the_answer_is_proved_by_all_copies_and_is_the_same_again():
    parts = parts_of()
    first, again = found(parts), found(parts)
    assert first.passed
    assert first.copies == len(first.rows) == parts.design.samples
    assert clopper_pearson(first.good, first.copies)[0] >= parts.design.specification.least_yield
    assert [choice.name for choice in first.candidate.chosen] == [choice.name for choice in again.candidate.chosen]
    assert first.rows == again.rows


def test_a_tighter_limit_costs_no_less():
    loose, tight = (
        found(parts_of(merged(FEW, {"specification": {"limits": {"relative_error": {"max": limit}}}})))
        for limit in ("3 %", "1.5 %")
    )
    assert loose.candidate.price <= tight.candidate.price


def test_prices_of_the_user_change_the_board():
    cheap = found(parts_of())
    name = next(choice.name for choice in cheap.candidate.chosen if choice.slot == "adc")
    dear = found(parts_of({"prices": {name: 1000.0}}))
    assert name not in [choice.name for choice in dear.candidate.chosen]


def test_boards_like_one_that_failed_are_not_simulated():
    """At most a few boards of each sheet are, though dozens are near the limit."""
    counting = Counting()
    parts = parts_of()
    found(parts, counting)
    assert counting.jobs < 40


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"specification": {"limits": {"relative_error": {"max": "0.01 %"}}}}, r"by its prediction no board of this"),
        ({"specification": {"hottest": "300 °C"}}, r"catalogue: 'standard' lacks a part for a place of the board"),
        ({"resistances": ["1 MΩ"]}, r"catalogue: 'standard' lacks a part"),
        ({"hardware": {"base": "passive"}, "workload": {"kind": "dominant"}}, r"only boards of topology 'active'"),
    ],
)
def test_a_specification_without_a_board_is_told_in_one_line(changes, said):
    with pytest.raises(InputError, match=said) as refused:
        found(parts_of(changes))
    assert "\n" not in str(refused.value)


def test_as_many_copies_must_be_good_as_show_the_yield():
    needed = least_good(1000, 0.9)
    assert clopper_pearson(needed, 1000)[0] >= 0.9 > clopper_pearson(needed - 1, 1000)[0]
    assert least_good(20, 0.95) == 21  # twenty good copies show no more than 83 %


def test_a_board_is_given_up_when_the_rest_cannot_make_up_for_what_is_bad():
    needed = least_good(1000, 0.9)
    assert may_pass(needed, 1000, 1000, 0.9)
    assert not may_pass(needed - 1, 1000, 1000, 0.9)
    assert may_pass(0, 1, 1000, 0.9)
    assert not may_pass(100, 200, 1000, 0.9)
    # However good the rest is, too many are bad.
    assert not may_pass(1, 1000 - needed + 2, 1000, 0.9)
