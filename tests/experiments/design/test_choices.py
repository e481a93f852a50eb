"""What parts of a catalogue make of a hardware description, at the worst temperature."""

from math import sqrt

import numpy as np
import pytest

from experiments.design.choices import ROOM, amplifier, board_document, changes_of
from spu_circuit.errors import InputError
from spu_circuit.hardware import Hardware, from_document
from spu_circuit.variation import Variation
from tests.experiments.design.cases import base_of, parts_of

PARTS = parts_of()


def spread(choice, kind):
    """The σ that the description says of a kind's parts."""
    variation = from_document(Variation, choice.changes["variation"], "a part")
    return getattr(variation, kind).mismatch.standard_deviation


def test_tolerance_and_temperature_coefficient_add_up_at_the_worst_temperature():
    """From 0 to 50 °C parts are 25 K away from where their data sheets are: 1 % and 100 ppm/K make 1.25 %."""
    assert PARTS.away == pytest.approx(25.0)
    (choice,) = (each for each in PARTS.choices("input_resistor", 1e3) if each.name == "RC0603 1 %")
    local = from_document(Variation, choice.changes["variation"], "a part").input_resistor.mismatch
    assert local.distribution == "uniform"
    assert local.extreme(1) == pytest.approx(0.0125)
    hot = parts_of({"specification": {"coldest": "20 °C", "hottest": "85 °C"}})
    assert hot.away == pytest.approx(60.0)


def test_sigmas_of_a_choice_are_those_of_its_description():
    choices = [choice for slot in ("input_resistor", "inverter_resistor", "capacitor", "dac", "adc")
               for choice in PARTS.choices(slot, 1e3)]  # fmt: skip
    choices += [choice for structure in PARTS.structures() for choice in structure.classes]
    choices += [amplifier(name, part, 40.0) for name, part in PARTS.of("amplifier").items()]
    for choice in choices:
        for kind, sigma in choice.sigmas.items():
            # Of the truncated distribution the constant has four digits.
            assert spread(choice, kind) == pytest.approx(sigma, rel=2e-4), (choice.name, kind)


def test_offset_of_an_amplifier_drifts_with_its_own_heat():
    part = PARTS.catalogue.amplifiers["TL074"]
    cool, warm = (amplifier("TL074", part, away) for away in (25.0, 65.0))
    assert warm.sigmas["amplifier_offset"] / cool.sigmas["amplifier_offset"] == pytest.approx(
        (10e-3 + 65 * 18e-6) / (10e-3 + 25 * 18e-6)
    )


def test_a_board_of_chosen_parts_is_a_hardware_description():
    (structure,) = (each for each in PARTS.structures() if each.name.startswith("E96"))
    chosen = [
        amplifier("TL074", PARTS.catalogue.amplifiers["TL074"], 25.0),
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
