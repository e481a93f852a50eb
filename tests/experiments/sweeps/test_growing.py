"""Sweeps that are given again with more samples: the old ones stay, and nothing tells them from a larger sweep's."""

import tomllib
from contextlib import closing

import pytest

from experiments.sweeps.evaluate import evaluate
from experiments.sweeps.export import export
from experiments.sweeps.findings import study_in
from experiments.sweeps.run import run
from experiments.sweeps.store import SweepStore, open_sweep
from experiments.sweeps.study import study_of
from spu_circuit.errors import InputError

CONFIG = """
name = "small"
metrics = ["relative_error", "settling_time"]
[hardware]
base = "paper"
[hardware.variation.array_resistor]
lot = { tolerance = "1 %", meaning = "sigma" }
local = { tolerance = "1 %", meaning = "sigma" }
stuck_open = 1e-3
[hardware.variation.capacitor]
local = { tolerance = "5 %", meaning = "3 sigma" }
[workload]
kind = "random"
size = 4
condition = 5
[limits]
relative_error = { max = "2 %" }
[analysis]
"""
PLAIN = 'kind = "monte carlo"'


def study(analysis, samples, audit=0.0, text=CONFIG):
    document = tomllib.loads(f"{text}{analysis}\n" + (f"samples = {samples}" if samples else ""))
    return study_of(document, document.pop("grid", {}), "test", audit)


def finish(made, folder):
    """Run a sweep in a folder that may hold a smaller one. Returns its export, and its rows by set."""
    with closing(SweepStore(folder)) as store:
        store.claim(made.config, {})
        run(made, store)
        export(store, folder / "copies.csv")
        rows = {key: [repr(row) for row in store.rows(key)] for key, _, _ in made.sets()}
    return (folder / "copies.csv").read_bytes(), rows


@pytest.mark.parametrize(
    ("analysis", "few", "many"),
    [
        (PLAIN, 70, 150),
        (f'{PLAIN}\ndesign = "sobol"', 32, 128),
        ('kind = "importance"', 70, 150),
        ('kind = "one at a time"', 70, 150),
        ('kind = "variance based"', 40, 100),
        ('kind = "contributions"', 70, 150),
        ('kind = "high sigma"', 70, 150),
        (f"{PLAIN}\nstop_width = 0.06", 100, 5000),
    ],
)
def test_an_extended_sweep_is_that_of_the_larger_number(analysis, few, many, tmp_path):
    _, old = finish(study(analysis, few), tmp_path / "grown")
    grown, new = finish(study(analysis, many), tmp_path / "grown")
    assert all(new[key][: len(rows)] == rows for key, rows in old.items())
    assert sum(map(len, new.values())) > sum(map(len, old.values()))
    assert grown == finish(study(analysis, many), tmp_path / "whole")[0]


def test_only_new_samples_are_computed_and_the_folder_says_how_many(tmp_path, monkeypatch):
    # Without a number there are 1000.
    finish(study(PLAIN, None), tmp_path)
    computed = []
    monkeypatch.setattr("experiments.sweeps.run.evaluate", lambda *given: computed.append(given[2]) or evaluate(*given))
    finish(study(PLAIN, 1500), tmp_path)
    assert min(numbers.start for numbers in computed) >= 768
    with closing(open_sweep(tmp_path)) as store:
        assert store.claimed()["sweep"]["document"]["analysis"]["samples"] == 1500
        ((_, _, copies),) = study_in(store).sets()
    assert copies.samples == 1500


def test_a_cross_check_grows_along(tmp_path):
    finish(study(PLAIN, 8, audit=0.5), tmp_path / "grown")
    with closing(SweepStore(tmp_path / "grown")) as store:
        store.claim(study(PLAIN, 16).config, {})
        assert store.claimed()["sweep"]["audit"] == 0.5
    whole = study(PLAIN, 16, audit=0.5)
    for folder in ("grown", "whole"):
        finish(whole, tmp_path / folder)
    key, _, _ = next(whole.sets())
    audits = []
    for folder in ("grown", "whole"):
        with closing(open_sweep(tmp_path / folder)) as store:
            audits.append([row.sample for row in store.rows(key, audit=True)])
    assert audits[0] == audits[1]


@pytest.mark.parametrize(
    ("analysis", "few", "many", "text", "message"),
    [
        (PLAIN, 100, 60, CONFIG, r"document\.analysis\.samples = 100, this config has 60; choose another folder"),
        (PLAIN, None, 60, CONFIG, r"samples = 1000, this config has 60"),
        (PLAIN, 100, 200, CONFIG.replace("1e-3", "2e-3"), "stuck_open = 0.001, this config has 0.002"),
        (f'{PLAIN}\ndesign = "lhs"', 100, 200, CONFIG, "100 samples of design 'lhs', which divides among all"),
    ],
)
def test_what_would_change_samples_is_refused_and_nothing_is_written(analysis, few, many, text, message, tmp_path):
    with closing(SweepStore(tmp_path)) as store:
        store.claim(study(analysis, few).config, {})
        before = store.claimed()
        with pytest.raises(InputError, match=message):
            store.claim(study(analysis, many, text=text).config, {})
        assert store.claimed() == before
