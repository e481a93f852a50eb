"""What ngspice tries where it does not converge: real cases, and the order with what it costs."""

import shutil
from dataclasses import replace
from math import inf

import numpy as np
import pytest

from experiments.shared.systems import spd_system
from netlists.deck import Numerics
from solvers.ngspice import Ngspice
from solvers.ngspice_attempts import SEARCHES, attempts, converged, searches
from solvers.ngspice_process import NgspiceConvergenceError
from solvers.spu import Spu
from spu_circuit.amplifier import Amplifier
from spu_circuit.hardware import Hardware, load_hardware
from spu_circuit.problem import LinearSystem
from tests.amplifiers.styles import facts_of_all
from tests.cases import relative
from tests.solvers.test_ngspice_process import fake_ngspice


def array_of(**amplifier: object) -> Hardware:
    """The bench with a library's amplifiers and an ADC that rounds nothing."""
    bench = load_hardware("bench")
    changes = {"amplifier": Amplifier(model="subckt", **amplifier), "adc": bench.adc.model_copy(update={"bits": None})}
    return bench.model_copy(update=changes)


def corpus_array(name: str) -> Hardware:
    facts = facts_of_all()[name]
    return array_of(
        library=str(facts.file), subcircuit=facts.subcircuit, pins=facts.pins, supply=facts.supply, rail=13.0
    )


@pytest.fixture(scope="module")
def hard():
    """A noisy transient of LM741s, whose output stage has 100 pH and diodes without capacitance, and its seed."""
    return Spu(corpus_array("LM741"), Ngspice()).solve(spd_system(2, 3), 4.0, seed=5)


def test_a_transient_that_does_not_converge_is_tried_again_and_says_so(hard):
    assert hard.statistics.retries == 3
    assert hard.statistics.ngspice_runs >= 5  # those that failed, the one that did not, and one for what it costs
    assert "converged only with gear, reltol 0.0001, 10 fF at every node, after 3" in hard.note


def test_what_a_retry_finds_is_what_tighter_settings_find(hard):
    """Within the 1e-4 that the note names as the cost."""
    tight = Spu(corpus_array("LM741"), Ngspice(reltol=1e-5)).solve(spd_system(2, 3), 4.0, seed=5)
    assert tight.statistics.retries > 0
    assert relative(hard.value, tight.value) < 1e-4


def test_retries_repeat_bit_for_bit(hard):
    again = Spu(corpus_array("LM741"), Ngspice()).solve(spd_system(2, 3), 4.0, seed=5)
    np.testing.assert_array_equal(again.waveform.volts, hard.waveform.volts)
    assert again.note == hard.note


def test_what_converges_at_once_is_run_once():
    solution = Spu(corpus_array("uA741"), Ngspice()).solve(spd_system(2, 3), 4.0, seed=5)
    assert (solution.statistics.retries, solution.statistics.ngspice_runs, solution.note) == (0, 1, "")


def fails_unless(works, values):
    """A run that converges for some settings, to voltages that depend on the settings."""
    tried = []

    def run(numerics):
        tried.append(numerics)
        if not works(numerics):
            raise NgspiceConvergenceError("Timestep too small")
        return np.zeros(1), np.array([[1.0, values(numerics)]])

    return run, tried


OWN = Numerics(reltol=1e-4)


def test_order_is_gear_then_looser_then_a_capacitor_at_every_node():
    gear = replace(OWN, method="gear")
    loose = replace(gear, reltol=1e-3)
    expected = (OWN, gear, loose, replace(gear, shunt=1e-14), replace(loose, shunt=1e-14))
    assert attempts(OWN, True) == expected
    assert attempts(gear, True) == expected[1:]
    assert attempts(OWN, False) == (OWN, replace(OWN, reltol=1e-3))
    alone = [replace(OWN, reltol=r, search=s) for r in (1e-4, 1e-3) for s in ("", "noopiter", SEARCHES[2])]
    assert searches(OWN) == (OWN, *alone[1:])
    for reltol in (1e-6, 1e-3, 0.05):
        assert max(one.reltol for one in attempts(Numerics(reltol=reltol), True)) == max(
            reltol, min(10 * reltol, 1e-2), 1e-3
        )


def test_cost_of_other_settings_is_measured_with_ten_times_as_much_of_each():
    run, tried = fails_unless(lambda one: one.shunt > 0, lambda one: 0.5 + one.reltol + 1e9 * one.shunt)
    found = converged(attempts(OWN, True), run)
    assert found.failed == 3
    assert found.runs == 5
    assert tried[-1] == Numerics("gear", 1e-3, 1e-13)
    assert found.error == pytest.approx(9e-4 + 9e-5)
    assert found.note.endswith("ten times its tolerance and capacitance changes the voltages by 0.001 of the largest")


def test_what_depends_on_the_settings_is_refused():
    run, _ = fails_unless(lambda one: one.method == "gear", lambda one: 20 * one.reltol)
    with pytest.raises(
        NgspiceConvergenceError, match=r"only with gear, reltol 0.0001.*by 0.018 of the largest.*another"
    ):
        converged(attempts(OWN, True), run)


def test_cost_that_cannot_be_measured_is_said():
    run, _ = fails_unless(lambda one: one == replace(OWN, method="gear"), lambda one: 0.0)
    found = converged(attempts(OWN, True), run)
    assert found.error is None
    assert "whose own error could not be measured" in found.note


def test_error_names_all_settings_that_were_tried():
    run, _ = fails_unless(lambda one: False, lambda one: 0.0)
    with pytest.raises(
        NgspiceConvergenceError, match=r"none of 5 settings .*trap, reltol 0.0001; gear.*10 fF.*too small"
    ):
        converged(attempts(OWN, True), run)


# Operating points that are doubted

TWO_STATES = """* gain 10 with one pole; a latch inside adds -1 V or 1 V times {step} to its input
.subckt twostates 1 2 3
Gin 0 10 value={{1m*(v(1,2)+{step}*v(20))}}
Rp 10 0 10k
Cp 10 0 250p
Eout 3 0 10 0 1
Glatch 0 20 value={{1m*(1.2*tanh(2*v(20))+0.1*v(1,2))}}
Rl 20 0 1k
Cl 20 0 10p
.ends
"""


@pytest.mark.parametrize(("step", "moved"), [(0.05, True), (0.0, False)])
def test_operating_point_that_no_transient_leads_to_gives_way_to_the_transient(tmp_path, step, moved):
    """ngspice rests between the latch's two states, where nothing stays. A cell has V = V_u / (1 + (1 + G_in/G)/A).

    A gain of 10 makes that differ from the voltage of ideal amplifiers by 14 %, so that it is looked at.
    """
    (tmp_path / "two.lib").write_text(TWO_STATES.format(step=step))
    hardware = array_of(library=str(tmp_path / "two.lib"), subcircuit="twostates", pins=("plus", "minus", "output"))
    solution = Spu(hardware, Ngspice()).solve(LinearSystem(np.eye(1), np.ones(1)), inf)
    assert ("the voltages are those of the transient" in solution.note) == moved
    assert solution.statistics.ngspice_runs == 2 * (1 + solution.statistics.range_changes)
    shift = abs(solution.value[0] - 1 / (1 + (1 + 625 / 1000) / 10))
    assert (shift * solution.statistics.volts_per_unit > 1e-3) == moved


# Where a transient begins

REAL = shutil.which("ngspice")
SHIFTED = """if grep -q {good} deck.cir; then exec {real} "$@"; fi
sed -i 's/-({charge!r}))}}$/-({begin!r}))}}/' deck.cir
{real} "$@"
echo 'Note: Transient op finished successfully'
"""
"""ngspice that begins as version 39 does with an LMC6061's published file: at -0.15 V instead of 0.8 mV, by a transient
of its own, unless it searches in another way."""


def shifted_solution(tmp_path, monkeypatch, good, begin):
    script = SHIFTED.format(good=good, real=REAL, charge=0.0, begin=begin)
    fake_ngspice(tmp_path, script, monkeypatch)
    hardware = corpus_array("uA741")
    quiet = hardware.model_copy(update={"noise": hardware.noise.model_copy(update={"thermal": False})})
    return Spu(quiet, Ngspice()).solve(spd_system(2, 3), 1.0)


def test_a_transient_begins_where_another_search_finds_its_amplifiers_at_rest(tmp_path, monkeypatch):
    right = shifted_solution(tmp_path, monkeypatch, "title", 0.0)
    for begin in (-0.5, 2.0):
        found = shifted_solution(tmp_path, monkeypatch, "noopiter", begin)
        assert relative(found.value, right.value) < 1e-9, begin
        assert found.note == right.note


def test_a_transient_that_begins_near_its_charges_is_taken_and_one_far_away_refused(tmp_path, monkeypatch):
    right = shifted_solution(tmp_path, monkeypatch, "title", 0.0)
    near = shifted_solution(tmp_path, monkeypatch, "nothing_that_is_there", 1e-4)
    assert 0 < relative(near.value, right.value) < 1e-3
    with pytest.raises(
        NgspiceConvergenceError, match=r"with the cells at their charges, but begins .* voltage away; chec"
    ):
        shifted_solution(tmp_path, monkeypatch, "nothing_that_is_there", 2.0)
