"""Where tangents of macromodels do not hold, solves and batches of them say so."""

import pickle

import numpy as np
import pytest

from experiments.shared.systems import spd_system
from solvers.network import Network
from solvers.ngspice import Ngspice
from solvers.spu import Spu
from spu_circuit.hardware import changed_hardware
from tests.cases import relative

LINEAR = Network(linearise=True)
QUIET = {"noise": {"thermal": False}}


def bench(**changes):
    return changed_hardware("bench", QUIET | changes)


FAST = bench(cell={"capacitance": "1 nF"})
"""The array is faster than its amplifiers' outputs can be."""
TAME = bench(amplifier={"rail": None, "current_limit": None})
SAID = "slew or saturate on the way"


@pytest.mark.parametrize(("hardware", "told"), [(FAST, True), (bench(), True), (TAME, False)])
def test_transients_by_tangents_that_do_not_hold_are_told(hardware, told):
    found = Spu(hardware, LINEAR).solve(spd_system(4, 8), 0.5)
    exact = Spu(hardware, Ngspice(points=400, reltol=1e-6)).solve(spd_system(4, 8), 0.5)
    # Half a time constant later what is told is 1 % and more, and what is not, some steps of the ADC.
    assert (relative(found.value, exact.value) > 1e-2) is told
    assert (SAID in found.note) is told
    assert SAID not in Spu(hardware, LINEAR).solve(spd_system(4, 8)).note


@pytest.mark.parametrize(("time", "told"), [(0.5, True), (2.0, False)])
def test_readings_that_use_little_of_their_range_are_told(time, told):
    """ngspice reads early voltages at four times the scale, where the array would rest beyond its range, so that the
    offset, 3 mV, weighs a quarter. Codes of the ADC are up to a tenth of what it does."""
    changes = {"current_limit": None, "gain_bandwidth": "300 MHz"}
    system, shifts, scales = spd_system(2, 8), [], []
    for engine in (LINEAR, Ngspice(points=200)):
        found, straight = (
            Spu(bench(amplifier=changes | {"offset": offset}), engine).solve(system, time) for offset in ("3 mV", "0 V")
        )
        shifts.append(found.value - straight.value)
        scales.append(found.statistics.volts_per_unit)
        assert ("of their range when they are read" in found.note) is (told and engine is LINEAR)
    more = 4 if told else 1
    assert scales[1] == pytest.approx(more * scales[0])
    np.testing.assert_allclose(shifts[0], more * shifts[1], rtol=0.15)
    assert "of their range" not in Spu(bench(amplifier=changes), LINEAR).solve(system).note


def test_batches_have_the_notes_of_each_of_their_solves():
    systems, spu = [spd_system(3, 8, seed) for seed in range(2)], Spu(FAST, LINEAR)
    found = spu.solve_batch(systems, 0.5)
    alone = [spu.solve(system, 0.5).note for system in systems]
    assert all(SAID in note for note in alone)
    assert list(found.notes) == alone
    assert found[1].note == alone[1]
    again = pickle.loads(pickle.dumps(found))
    assert again.notes == found.notes
    np.testing.assert_array_equal(again.values, found.values)
    assert Spu(TAME, LINEAR).solve_batch(systems, 0.5).notes == ("", "")
