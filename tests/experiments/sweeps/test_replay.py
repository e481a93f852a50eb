"""The deck of one copy, as a designer runs it."""

import re
import subprocess
from contextlib import closing

import numpy as np
import pytest

from experiments.sweeps.bench import benches
from experiments.sweeps.evaluate import drawn_samples
from experiments.sweeps.findings import findings, study_in
from experiments.sweeps.redraw import outliers
from experiments.sweeps.replay import replay
from experiments.sweeps.run import run
from experiments.sweeps.store import SweepStore
from experiments.sweeps.study import study_of
from experiments.sweeps.workloads import systems_of
from netlists.deck import comment
from solvers.network import Network
from solvers.spu import Spu
from spu_circuit.errors import InputError
from spu_circuit.sampling import Sample

DOCUMENT = {
    "name": "replayed",
    "seed": 7,
    "hardware": {
        "base": "ideal",
        "variation": {
            "array_resistor": {
                "lot": {"tolerance": "2 %", "meaning": "sigma"},
                "local": {"tolerance": "1 %", "meaning": "sigma"},
            },
            "capacitor": {"lot": {"tolerance": "5 %", "meaning": "sigma"}},
        },
    },
    "metrics": ["relative_error"],
    "workload": {"kind": "random", "size": 4, "systems": 2},
    "analysis": {"kind": "monte carlo", "samples": 8},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    made = study_of(DOCUMENT, {"time": [4.0, float("inf")]}, "test")
    with closing(SweepStore(tmp_path_factory.mktemp("sweep"))) as opened:
        opened.claim(made.config, {})
        run(made, opened)
        yield opened


def last_voltages(deck, folder):
    """What bare ngspice prints last of each node."""
    (folder / "deck.cir").write_text(deck)
    run = subprocess.run(["ngspice", "-b", "deck.cir"], cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    found, names = {}, []
    for line in run.stdout.splitlines():
        words = line.split()
        if words[:1] == ["Index"]:
            names = [word for word in words if word.startswith("v(")]
        elif names and re.fullmatch(r"\d+", words[0] if words else ""):
            found |= dict(zip(names, map(float, words[-len(names) :]), strict=True))
        elif len(words) == 3 and words[1] == "=" and words[0].startswith("v("):
            found[words[0]] = float(words[2])  # the operating point
    return np.array([found[f"v(v{k})"] for k in range(4)])


@pytest.mark.parametrize("point", [0, 1])
def test_deck_gives_the_stored_error_in_bare_ngspice(store, tmp_path, point):
    """The worst over both systems, from printed voltages and the scale in the deck's notes alone."""
    errors = []
    for system in range(2):
        deck = replay(store, 5, point=point, system=system)
        per_unit = float(re.search(r"v_u = (\S+) V per unit", deck)[1])
        scales = np.array(re.search(r"\* scales: (.*)", deck)[1].split(), dtype=float)
        problem = systems_of(study_in(store).sweeps[point].workload)[system]
        exact = np.linalg.solve(problem.A, problem.b)
        read = last_voltages(deck, tmp_path) * scales / per_unit
        errors.append(np.linalg.norm(read - exact) / np.linalg.norm(exact))
    stored = store.rows((point, "copies"))[5].metrics[0]
    assert stored > 0.005
    # ngspice prints seven digits, and its transient is good to its reltol of 1e-4.
    assert max(errors) == pytest.approx(stored, rel=1e-3 if point == 0 else 1e-4)


def test_head_says_what_it_is_and_names_the_outlying_parts(store):
    deck = replay(store, 5)
    assert "* copy 5 of sweep replayed, seed 7, time = 4.0" in deck
    assert f"* relative error = {store.rows((0, 'copies'))[5].metrics[0]!r}" in deck
    found = findings(study_in(store), store).every[0]
    shared, parts = outliers(found, 5, 3)
    assert all(f"{comment(line)}\n" in deck for line in (*shared, *map(str, parts)))
    assert re.search(r"array resistor mean [+−]\d", shared[0])
    # The deck's own values are those deviations: of its kind's mean, in σ of 1 %.
    pattern = re.compile(r"^(R[pm]\d+_\d+) \S+ \S+ (\S+)$", re.M)
    mine = {name: float(value) for name, value in pattern.findall(deck)}
    nominal = nominal_resistances(found)
    off = {name: mine[name] / nominal[name] for name in mine}
    mean = np.mean(list(off.values()))
    for part in parts:
        assert part.deviation == pytest.approx(off[part.name] - mean, rel=1e-9)
        assert part.sigmas == pytest.approx(part.deviation / 0.01)
    assert abs(parts[0].sigmas) == pytest.approx(max(abs(v - mean) for v in off.values()) / 0.01)


def nominal_resistances(group):
    table = benches(group.sweep, "ngspice")[0].board.table
    return {name: value for each in table.elements for name, value in zip(each.names, each.value, strict=True)}


def test_wrong_numbers_are_refused_with_what_there_is(store):
    for arguments, words in (
        ({"sample": 8}, "sample 8 is not among the finished copies of 'copies', which go from 0 to 7"),
        ({"sample": 0, "point": 2}, "point is 2; this sweep has points 0 to 1"),
        ({"sample": 0, "case": "B"}, "case is 'B'; this sweep has 'copies'"),
        ({"sample": 0, "system": 2}, "system is 2; this workload has systems 0 to 1"),
    ):
        with pytest.raises(InputError, match=words):
            replay(store, **arguments)


@pytest.mark.parametrize("design", ["plain", "lhs", "sobol"])
def test_sweep_replay_and_device_draw_the_same_copy(design, tmp_path):
    """The board of a sweep has the resistors of its matrix, that of a device all places.""" ""
    analysis = {"kind": "monte carlo", "samples": 8, "design": design}
    made = study_of(DOCUMENT | {"analysis": analysis}, {}, "test")
    with closing(SweepStore(tmp_path)) as store:
        store.claim(made.config, {})
        run(made, store)
        stored, deck = store.rows((0, "copies"))[5].metrics[0], replay(store, 5)
    ((_, sweep, copies),) = made.sets()
    errors = []
    for system in systems_of(sweep.workload):
        exact = np.linalg.solve(system.A, system.b)
        spu = Spu(sweep.device(), Network(), sample=Sample(copies.sampling, 5))
        errors.append(np.linalg.norm(spu.solve(system).value - exact) / np.linalg.norm(exact))
    assert max(errors) == pytest.approx(stored, rel=1e-9)
    # The deck has the very resistors that the sweep drew.
    (bench, _) = benches(sweep, "network")
    (factors,) = drawn_samples(sweep, copies, bench, range(5, 6)).relative["array_resistor"]
    nominal = {name: r for each in bench.board.table.elements for name, r in zip(each.names, each.value, strict=True)}
    for name, factor in zip(bench.board.names("array_resistor"), factors.tolist(), strict=True):
        value = float(re.search(rf"^{name} \S+ \S+ (\S+)$", deck, re.M)[1])
        assert value == pytest.approx(factor * nominal[name], rel=1e-12)


def test_temperatures_are_told_in_degrees_celsius(tmp_path):
    hardware = {"base": "ideal", "variation": {"temperature": {"tolerance": "20 K", "meaning": "sigma"}}}
    made = study_of(DOCUMENT | {"hardware": hardware}, {}, "test")
    with closing(SweepStore(tmp_path)) as store:
        store.claim(made.config, {})
        run(made, store)
        deck = replay(store, 3)
    ((_, sweep, copies),) = made.sets()
    (kelvin,) = drawn_samples(sweep, copies, benches(sweep, "network")[0], range(3, 4)).temperature
    (told,) = re.findall(r"^\* temperature (\S+) degC$", deck, re.M)
    assert float(told) == pytest.approx(kelvin - 273.15, abs=0.051)
