import csv
import json
import sys
from contextlib import closing
from math import log, sqrt
from statistics import NormalDist

import numpy as np
import pytest
from typer.testing import CliRunner

from experiments import cli
from experiments.cli import app
from experiments.sweeps.analyses import sets_of
from experiments.sweeps.config import Sweep
from experiments.sweeps.evaluate import evaluate
from experiments.sweeps.samples import SampleSet
from experiments.sweeps.store import SweepStore
from experiments.sweeps.study import study_of
from experiments.sweeps.tolerate import LOOKS, Target, _chance, tolerate
from spu_circuit.documents import from_document
from spu_circuit.errors import InputError

LOT = {"tolerance": "2 %", "meaning": "sigma"}


def document(limit, lot=LOT, **more):
    """One lot of capacitors, to which the settling time is proportional."""
    return {
        "name": "lot",
        "metrics": ["settling_time"],
        "hardware": {"base": "ideal", "variation": {"capacitor": {"lot": lot}} | more},
        "workload": {"kind": "random", "size": 2, "condition": 4},
        "analysis": {"kind": "monte carlo", "samples": 512},
        "limits": {"settling_time": {"max": f"{limit!r} s"}},
    }


@pytest.fixture(scope="module")
def nominal():
    asked = from_document(Sweep, document(1.0) | {"analysis": {"kind": "corners"}}, "test")
    return evaluate(asked, SampleSet(1, None), range(1), "network")[0].metrics[0]


def test_loosest_tolerance_of_a_lot_is_found(nominal, tmp_path):
    # Φ(5 % / σ) = 0.95 where σ = 5 % / 1.645 = 3.040 %.
    exact = 5 / NormalDist().inv_cdf(0.95)
    answer = tolerate(document(1.05 * nominal), "test", Target(("capacitor.lot",)), tmp_path)
    assert answer.passes is not None
    assert answer.fails is not None
    assert answer.passes.tolerance < exact < answer.fails.tolerance
    # 8192 copies tell yields of 0.95 ± 0.0062 apart (99 %), which is σ ± 3.7 %; the search stops at 5 % more.
    assert answer.passes.tolerance > exact / 1.10
    assert answer.fails.tolerance < exact * 1.10
    assert answer.contradictions == 0
    assert "keeps a yield of 95 %" in answer.sentence
    # Each row is right about the exact yield: 99 % intervals.
    for tried in answer.tried:
        assert tried.low <= NormalDist().cdf(5 / tried.tolerance) <= tried.high
        assert tried.copies in [512 * 2**look for look in range(LOOKS)]
    kept = json.loads((tmp_path / "tolerate.json").read_text())
    assert kept["passes"]["tolerance"] == answer.passes.tolerance
    with (tmp_path / "tolerate.csv").open() as file:
        assert [float(row["tolerance"]) for row in csv.DictReader(file)] == [t.tolerance for t in answer.tried]
    # Again: nothing is left to compute, and nothing else comes out.
    assert tolerate(document(1.05 * nominal), "test", Target(("capacitor.lot",)), tmp_path) == answer


def test_several_parts_are_loosened_by_one_factor(nominal, tmp_path):
    parts = {"array_resistor": {"lot": {"tolerance": "1 %", "meaning": "sigma"}}}
    target = Target(("capacitor.lot", "array_resistor.lot"), width=0.3)
    answer = tolerate(document(1.05 * nominal, **parts), "test", target, tmp_path)
    # Settling takes R C, whose logarithm has a σ of √(2² + 1²) % times the factor; its mean is 0 to 2e-4.
    exact = 100 * log(1.05) / NormalDist().inv_cdf(0.95) / sqrt(5)
    assert answer.passes.scale < exact < answer.fails.scale
    assert answer.fails.scale < 1.5 * answer.passes.scale
    assert answer.passes.tolerance == pytest.approx(2 * answer.passes.scale)
    shown = f"{2 * answer.passes.scale:.4g} % of capacitor.lot, {answer.passes.scale:.4g} % of array_resistor.lot"
    assert shown in answer.sentence
    assert answer.sentence.startswith("capacitor.lot (normal, sigma) and array_resistor.lot (normal, sigma): ")


def test_no_samples_are_spent_where_they_will_not_decide(nominal, tmp_path):
    exact = 5 / NormalDist().inv_cdf(0.95)
    lot = LOT | {"tolerance": f"{exact!r} %"}
    answer = tolerate(document(1.05 * nominal, lot), "test", Target(("capacitor.lot",), width=1.0), tmp_path)
    (given,) = (tried for tried in answer.tried if tried.scale == 1)
    assert given.verdict == "undecided"
    assert given.copies < 512 * 2 ** (LOOKS - 1)


def test_the_chance_of_a_decision_is_that_of_the_samples_to_come():
    """Against 20,000 continuations of the samples so far, whose share of good ones is uncertain too."""
    rng, count, left, share, confidence = np.random.default_rng(0), 2000, 4, 0.9, 0.99
    for good in (1760, 1790, 1800, 1815):
        yields = rng.normal(good / count, sqrt(share * (1 - share) / count), 20_000).clip(0, 1)
        last = good + rng.binomial(count * (left - 1), yields)
        margin = NormalDist().inv_cdf((1 + confidence) / 2) * sqrt(share * (1 - share) / (left * count))
        decided = (np.abs(last / (left * count) - share) > margin).mean()
        # Standard error 0.0035 at most, and 5 of them.
        assert _chance(good, count, left, share, confidence) == pytest.approx(decided, abs=0.018)
    assert _chance(1800, 2000, 1, share, confidence) == 0


def test_a_tight_limit_is_reached_by_halving(nominal, tmp_path):
    answer = tolerate(document(1.001 * nominal), "test", Target(("capacitor.lot",), width=0.5), tmp_path)
    exact = 0.1 / NormalDist().inv_cdf(0.95)
    assert answer.passes.tolerance < exact < answer.fails.tolerance


def test_what_another_part_spoils_is_named(nominal, tmp_path):
    variation = {"array_resistor": {"lot": {"tolerance": "10 %", "meaning": "sigma"}}}
    answer = tolerate(document(1.05 * nominal, **variation), "test", Target(("capacitor.lot",)), tmp_path)
    assert answer.passes is None
    assert "no tolerance surely keeps a yield of 95 %" in answer.sentence
    assert "array_resistor alone gives the least yield" in answer.sentence


def test_a_device_that_is_outside_its_limits_itself_is_named(nominal, tmp_path):
    answer = tolerate(document(0.9 * nominal), "test", Target(("capacitor.lot",)), tmp_path)
    assert answer.sentence.endswith("the nominal device itself is outside the limits")


def test_a_yield_that_always_holds_says_so(nominal, tmp_path):
    answer = tolerate(document(2 * nominal), "test", Target(("capacitor.lot",)), tmp_path)
    assert answer.fails is None
    # A normal deviation of 1/7 is the loosest that leaves parts above zero.
    assert answer.passes.tolerance == pytest.approx(100 / 7)
    assert "no looser one may be tried" in answer.sentence


def test_a_truncated_distribution_keeps_its_shape(nominal, tmp_path):
    lot = {"tolerance": "1 %", "meaning": "sigma", "distribution": "truncated", "limit": "1 %"}
    answer = tolerate(document(1.05 * nominal, lot), "test", Target(("capacitor.lot",), width=0.1), tmp_path)
    # Of the normal numbers within ± 1, 95 % are below z: Φ(z) = Φ(−1) + 0.95 · 0.6827.
    normal = NormalDist()
    exact = 5 / normal.inv_cdf(normal.cdf(-1) + 0.95 * (normal.cdf(1) - normal.cdf(-1)))
    assert answer.passes.tolerance < exact < answer.fails.tolerance


@pytest.mark.parametrize(
    ("change", "part", "words"),
    [
        ({}, "capacitor.lots", r"did you mean 'capacitor\.lot'"),
        ({}, "array_resistor.local", "has no spread"),
        ({}, ("capacitor.lot", "capacitor.lot"), "'capacitor.lot' is named twice"),
        ({"limits": {}}, "capacitor.lot", "without them every copy is good"),
        ({"analysis": {"kind": "monte carlo", "design": "lhs"}}, "capacitor.lot", "leave design out"),
        ({"analysis": {"kind": "corners"}}, "capacitor.lot", "set kind = 'monte carlo'"),
    ],
)
def test_mistakes_are_named_with_the_cure(change, part, words, tmp_path):
    with pytest.raises(InputError, match=words):
        tolerate(document(1.0) | change, "test", Target((part,) if isinstance(part, str) else part), tmp_path)


def test_a_tolerance_of_zero_cannot_be_loosened(tmp_path):
    with pytest.raises(InputError, match="give it another one to start from"):
        tolerate(document(1.0, LOT | {"tolerance": "0 %"}), "test", Target(("capacitor.lot",)), tmp_path)


def test_command_prints_each_step_and_the_answer(nominal, tmp_path):
    config = tmp_path / "lot.toml"
    config.write_text(
        f"""name = "lot"
[hardware]
base = "ideal"
variation.capacitor.lot = {{ tolerance = "2 %", meaning = "sigma" }}
[workload]
kind = "random"
size = 2
condition = 4
[analysis]
kind = "monte carlo"
samples = 256
[limits]
settling_time = {{ max = "{1.05 * nominal!r} s" }}
"""
    )
    arguments = [
        "tolerate",
        str(config),
        "--part",
        "capacitor.lot",
        "--output",
        str(tmp_path / "out"),
        "--workers",
        "1",
    ]
    done = CliRunner().invoke(app, [*arguments, "--yield", "0.9", "--width", "0.5"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "2 %: yield 100.00 %" in done.output
    assert "capacitor.lot (normal, sigma):" in done.output


def test_same_copies_at_every_look():
    # More copies are the same ones and others.
    asked = from_document(Sweep, document(1.0), "test")
    ((_, copies),) = sets_of(asked).items()
    more = SampleSet(1024, copies.sampling)
    assert evaluate(asked, more, range(64), "network") == evaluate(asked, copies, range(64), "network")


def write_config(path, limit, **more):
    path.write_text(
        f"""name = "lot"
hardware = {{ base = "ideal", variation = {{ capacitor = {{ lot = {{ tolerance = "2 %", meaning = "sigma" }} }} }} }}
workload = {{ kind = "random", size = 2, condition = 4 }}
analysis = {{ kind = "monte carlo", samples = {more.get("samples", 64)} }}
limits = {{ settling_time = {{ max = "{limit!r} s" }} }}
"""
    )


@pytest.mark.parametrize(
    ("arguments", "samples", "words"),
    [
        (["--part", "capacitor.lots"], 64, "part: 'capacitor.lots' has no spread"),
        (["--part", "capacitor.lot"], 10**13, "analysis.samples: 1.6e+14 copies take about"),
        (["--part", "capacitor.lot", "--workers", "100000"], 64, "workers: 100000 processes take about 15 TB"),
        (["--part", "capacitor.lot", "--scheduler", "tcp://127.0.0.1:1"], 64, "scheduler: 'tcp://127.0.0.1:1'"),
        (["--part", "capacitor.lot", "--output", "OUT/file"], 64, "cannot be written"),
        (["--part", "capacitor.lot", "--output", "OUT/other"], 64, "holds a sweep with document."),
    ],
)
def test_all_is_checked_before_a_worker_is_started(arguments, samples, words, nominal, tmp_path, monkeypatch, capsys):
    started = []
    monkeypatch.setattr("distributed.LocalCluster", lambda *args, **more: started.append(args))
    monkeypatch.setattr("experiments.shared.executor.PATIENCE", "1 s")
    write_config(tmp_path / "lot.toml", 1.05 * nominal, samples=samples)
    (tmp_path / "file").write_text("")
    with closing(SweepStore(tmp_path / "other" / "times 1")) as store:
        store.claim(study_of(document(1.0) | {"seed": 5}, {}, "test").config, {})
    arguments = [argument.replace("OUT", str(tmp_path)) for argument in arguments]
    if "--output" not in arguments:
        arguments += ["--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["spu-circuit", "tolerate", str(tmp_path / "lot.toml"), *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.count("\n") == 1
    assert words in said
    assert not started


def test_files_are_whole_or_not_there(nominal, tmp_path):
    answer = tolerate(document(2 * nominal), "test", Target(("capacitor.lot",)), tmp_path)
    (tmp_path / "tolerate.json").unlink()
    (tmp_path / "tolerate.json").mkdir()
    with pytest.raises(InputError, match="is no regular file"):
        tolerate(document(2 * nominal), "test", Target(("capacitor.lot",)), tmp_path)
    (tmp_path / "tolerate.json").rmdir()
    assert tolerate(document(2 * nominal), "test", Target(("capacitor.lot",)), tmp_path) == answer
    assert not list(tmp_path.glob("*.part"))


def test_currents_are_loosened_in_amperes_and_the_parts_to_blame_are_told(tmp_path):
    given = {
        "name": "bias",
        "metrics": ["relative_error"],
        "hardware": {
            "base": "bench",
            "amplifier": {"offset": "0 V", "bias_current": "100 nA"},
            "variation": {
                "amplifier_bias": {"local": {"tolerance": "1 µA", "meaning": "sigma"}},
                "input_resistor": {"local": {"tolerance": "0.05 %", "meaning": "sigma"}},
            },
        },
        "workload": {"kind": "random", "size": 2, "condition": 4},
        "analysis": {"kind": "monte carlo", "samples": 64},
        "limits": {"relative_error": {"max": "10 %"}},
    }
    answer = tolerate(given, "test", Target(("amplifier_bias.local",), share=0.6, width=1.5), tmp_path)
    assert {tried.unit for tried in answer.tried} == {"A"}
    assert answer.passes is not None
    assert f"At {answer.passes.shown}: Amplifier bias adds most to the relative error" in answer.sentence
