"""Sweeps whose copies refine their solutions: yields of boards with a digital residual."""

import numpy as np
import pytest

from experiments.shared.systems import spd_system
from experiments.sweeps.bench import benches
from experiments.sweeps.evaluate import drawn_samples, evaluate
from experiments.sweeps.study import study_of
from solvers.network import Network
from solvers.precision.refined import Refined
from solvers.spu import Spu
from spu_circuit.errors import InputError
from spu_circuit.problem import LinearSystems
from spu_circuit.sampling import Sample, Sampling

SPREAD = {"local": {"tolerance": "2 %", "meaning": "sigma"}}
OFFSET = {"local": {"tolerance": "3 mV", "meaning": "sigma"}}


def document(**more):
    return {
        "name": "refined",
        "hardware": {"base": "bench", "variation": {"array_resistor": SPREAD, "amplifier_offset": OFFSET}},
        "metrics": ["relative_error", "solves", "power"],
        "workload": {"kind": "random", "size": 5, "condition": 8, "systems": 2},
        "analysis": {"kind": "monte carlo", "samples": 70},
        "limits": {"relative_error": {"max": "0.1 %"}},
        "precision": {"refine": 20, "tolerance": 1e-5, "corrections": "cg"},
    } | more


def rows(numbers=range(70), **more):
    """Metrics of samples by name."""
    study = study_of(document(**more), {}, "test")
    ((_, sweep, copies),) = study.sets()
    found = evaluate(sweep, copies, numbers, sweep.engine)
    assert {row.status for row in found} == {"ok"}, found
    return dict(zip(sweep.recorded, np.array([row.metrics for row in found]).T, strict=True)), sweep


def test_refined_boards_keep_a_limit_that_none_keeps_alone():
    refined, sweep = rows()
    plain, _ = rows(precision=None)
    assert (plain["relative_error"] > 1e-3).all()
    assert (refined["relative_error"] < 1e-3).all()
    assert (plain["solves"] == 1).all()
    assert (refined["solves"] > 1).all()
    np.testing.assert_allclose(refined["power"], plain["power"])  # of the first solve
    # Each is that board alone, whose refinement knows nothing of the others; the worst of the two systems counts.
    for number in (0, 69):
        board = Spu(sweep.device(), Network(), sample=Sample(Sampling(0, "plain", 70), number))
        alone = [
            Refined(board, 20, 1e-5, "cg").solve(system) for system in map(lambda k: spd_system(5, 8.0, k), (0, 1))
        ]
        assert refined["solves"][number] == max(solution.statistics.solves for solution in alone)
        errors = [
            np.linalg.norm(found.value - exact) / np.linalg.norm(exact)
            for k, found in enumerate(alone)
            for exact in [np.linalg.solve(spd_system(5, 8.0, k).A, spd_system(5, 8.0, k).b)]
        ]
        assert refined["relative_error"][number] == pytest.approx(max(errors), rel=1e-6)


def test_extremes_are_refined_too():
    bounds, _ = rows(
        range(5), analysis={"kind": "worst case"}, workload={"kind": "random", "size": 2}, metrics=["solves"]
    )
    assert (bounds["relative_error"] < 1e-3).all()


def test_ngspice_refines_the_same_boards():
    exact, _ = rows(range(2))
    judged, _ = rows(range(2), engine="ngspice")
    np.testing.assert_array_equal(judged["solves"], exact["solves"])


def test_what_has_nothing_to_refine_is_refused():
    for more, said in (
        ({"precision": {"tolerance": 0.1}}, "precision: tolerance is 0.1, which belongs to refinement"),
        ({"precision": {"refine": 2, "rotate": 3}}, "precision.rotate: a copy solves no systems one after the other"),
        (
            {"analysis": {"kind": "contributions"}, "workload": {"kind": "random", "size": 2}},
            "it is about a device's own solution, and .precision. refines that; take 'monte carlo'",
        ),
        (
            {
                "workload": {"kind": "training", "config": "digits", "optimizer": "tngd"},
                "limits": {},
                "metrics": ["final_accuracy"],
            },
            "precision: workload 'training' solves no given systems; make its optimizer precise in the training config",
        ),
    ):
        with pytest.raises(InputError, match=said):
            study_of(document(**more), {}, "test")


def test_samples_and_systems_are_as_many():
    study = study_of(document(), {}, "test")
    ((_, sweep, copies),) = study.sets()
    samples = drawn_samples(sweep, copies, benches(sweep, "network")[0], range(3))
    with pytest.raises(InputError, match="3 samples for 1 systems; give one each"):
        Spu(sweep.device(), Network(), sample=samples).solve_batch(LinearSystems(np.eye(5)[None], np.ones((1, 5))))


def test_time_and_energy_of_a_solution_are_of_all_its_solves():
    """Paper's amplifiers, whose settling is that of the ideal law, with numbers of the preset bench."""
    costs = {name: {"value": value, "source": "assumption"} for name, value in PRICES.items()}
    hardware = {"base": "paper", "costs": costs, "variation": {"capacitor": SPREAD}}
    metrics = ["settling_time", "solves", "power", "solve_time", "solve_energy"]
    asked = {"hardware": hardware, "metrics": metrics, "limits": {}, "workload": {"kind": "random", "size": 5}}
    plain, _ = rows(range(4), precision=None, **asked)
    resistors, cells = 2 * 5 * 5, 5
    words = {"program": 16 * resistors, "read": 16 * 2 * cells}
    once, each = resistors * 35e-12 + words["program"] * 5e-12, cells * 762.5e-9 + words["read"] * 5e-12
    moved = (words["program"] + words["read"]) / 50e9
    np.testing.assert_allclose(plain["solve_time"], plain["settling_time"] + moved)
    np.testing.assert_allclose(
        plain["solve_energy"], once + each + (10 * 42e-3 + plain["power"]) * plain["settling_time"]
    )
    refined, _ = rows(range(4), precision={"refine": 1, "tolerance": 1e-12}, **asked)
    assert (refined["solves"] == 2).all()
    more = once + 2 * (each + (10 * 42e-3 + refined["power"]) * refined["settling_time"])
    np.testing.assert_allclose(refined["solve_energy"], more)


PRICES = {
    "write_energy": "35 pJ",
    "dac_energy": "0.7 µJ",
    "adc_energy": "62.5 nJ",
    "amplifier_power": "42 mW",
    "transfer_energy": "5 pJ/b",
}
"""What the preset paper lacks."""
