"""What parts of a catalogue make of a hardware description, at the worst temperature."""

from math import sqrt

import numpy as np
import pytest

from experiments.design.choices import ROOM, amplifier, board_document, changes_of
from spu_circuit.documents import from_document
from spu_circuit.errors import InputError
from spu_circuit.hardware import Hardware
from spu_circuit.variation import Variation
from tests.experiments.design.cases import base_of, parts_of

PARTS = parts_of()


def deviation(parts, choice, kind):
    """The σ that the description says of a kind's parts at the worst temperature, by two million of them."""
    of_kind = getattr(from_document(Variation, choice.changes["variation"], "a part"), kind)
    rng, away = np.random.default_rng(1), parts.worst - ROOM
    shares = (np.arange(4001) + 0.5) / 4001
    own = of_kind.mismatch.quantile(shares) if of_kind.mismatch else np.zeros(1)
    drift = of_kind.temperature_coefficient.own
    moved = away * drift.quantile(shares) if drift else np.zeros(1)
    return float(np.std(rng.choice(own, 2_000_000) + rng.choice(moved, 2_000_000)))


def test_a_part_is_within_its_limits_and_drifts_by_its_own_coefficient():
    (choice,) = (each for each in PARTS.choices("input_resistor", 1e3) if each.name == "RC0603 1 %")
    found = from_document(Variation, choice.changes["variation"], "a part").input_resistor
    assert found.mismatch.distribution == "uniform"
    assert found.mismatch.extreme(1) == pytest.approx(0.01)
    assert found.temperature_coefficient.spread == pytest.approx(100e-6)
    assert found.temperature_coefficient.mean == 0


def test_the_worst_temperature_is_the_farthest_from_the_data_sheets():
    assert PARTS.away == pytest.approx(25.0)
    assert PARTS.worst == pytest.approx(323.15)  # 0 °C is as far
    cold = parts_of({"specification": {"coldest": "-20 °C", "hottest": "30 °C"}})
    assert (cold.away, cold.worst) == (pytest.approx(45.0), pytest.approx(253.15))


def test_sigmas_of_a_choice_are_those_of_its_description():
    """Two million draws know a σ to 0.05 %: 0.3 % is six of its standard errors."""
    choices = [each for slot in ("input_resistor", "capacitor", "dac") for each in PARTS.choices(slot, 1e3)[:1]]
    choices += [structure.classes[0] for structure in PARTS.structures()][:1]
    choices.append(amplifier(PARTS, "TL074", PARTS.of("amplifier")["TL074"], 40.0))
    for choice in choices:
        for kind, sigma in choice.sigmas.items():
            assert deviation(PARTS, choice, kind) == pytest.approx(sigma, rel=3e-3), (choice.name, kind)


def test_offset_of_an_amplifier_has_drifted_with_its_own_heat():
    part = PARTS.catalogue.amplifiers["TL074"]
    warm = from_document(Variation, amplifier(PARTS, "TL074", part, 40.0).changes["variation"], "an op-amp")
    assert warm.amplifier_offset.mismatch.limit == pytest.approx(10e-3 + 40 * 18e-6)


def test_a_board_of_chosen_parts_is_a_hardware_description():
    (structure,) = (each for each in PARTS.structures() if each.name.startswith("E96"))
    chosen = [
        amplifier(PARTS, "TL074", PARTS.catalogue.amplifiers["TL074"], 0.0),
        structure.classes[0],
        *(PARTS.choices(slot, 1e3)[0] for slot in ("input_resistor", "inverter_resistor", "capacitor", "dac", "adc")),
    ]
    hardware = from_document(Hardware, board_document(base_of(PARTS), changes_of(chosen, structure)), "a board")
    assert hardware.array.bits is None
    assert len(hardware.array.grid) == len(np.unique(hardware.array.grid)) > 200
    assert 1 / hardware.array.G_max == pytest.approx(1e3)
    assert 1 / hardware.array.G_min == pytest.approx(294e3)  # of E96 below 300 kΩ
    assert hardware.amplifier.rail == 12.0
    assert hardware.costs.known("amplifier_power") == pytest.approx(30 * 2.5e-3)
    assert hardware.dac.bits == 14
    assert hardware.variation.dac_inl.mismatch.standard_deviation == pytest.approx(4 / sqrt(3))


def test_parts_that_are_not_for_the_air_are_left_out():
    assert "TL074" in PARTS.of("amplifier")
    assert list(parts_of({"specification": {"hottest": "85 °C"}}).of("amplifier")) == ["OPA1679"]
    assert pytest.approx(273.15 + 25) == ROOM


def test_a_part_that_cannot_stand_at_a_place_is_refused():
    with pytest.raises(InputError, match=r"parts.adc: no 'AD5724R' for it in the catalogue; did you mean"):
        parts_of({"parts": {"adc": ["AD5724R"]}}).of("adc")
