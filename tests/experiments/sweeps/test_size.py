"""What cannot fit in memory or time is refused with its estimate, before anything is computed."""

import sys
import tomllib
from time import perf_counter

import pytest

from experiments import cli
from experiments.shared.memory import machine_memory, size_text
from experiments.sweeps import size
from experiments.sweeps.size import Size, check_size, duration_text
from experiments.sweeps.study import study_of
from spu_circuit.errors import InputError

CONFIG = """
name = "large"
[hardware]
base = "ideal"
[hardware.variation.capacitor]
lot = { tolerance = "5 %", meaning = "sigma" }
[workload]
kind = "random"
size = 2
[analysis]
kind = "monte carlo"
samples = 64
"""
LONG = f"""[grid]
"workload.seed" = {list(range(200))}
"seed" = {list(range(200))}
"""


@pytest.mark.parametrize(
    ("old", "new", "arguments", "words"),
    [
        ("samples = 64", f"samples = {10**12}", [], "analysis.samples: 1e+12 copies take about 775 TB of memory"),
        ("samples = 64", f"samples = {10**400}", [], "analysis.samples: "),
        ("samples = 64", f"samples = {2**60}\ndesign = 'sobol'", [], "copies take about"),
        ("size = 2", "size = 1_000_000", [], "workload.size: 1 systems of 1000000 cells take at least"),
        ("size = 2", "size = 2\nsystems = 1_000_000_000_000", [], "workload.size: 1000000000000 systems of 2 cells"),
        ("size = 2", f"size = {10**300}", [], "workload.size: "),
        ("[analysis]", f"{LONG}[analysis]", [], "grid has 4e+04 points, and at most 10,000 are prepared"),
        ("size = 2", "size = 2", ["--workers", "100000"], "workers: 100000 processes take about 15 TB of memory"),
        ("size = 2", "size = 2", ["--batch", str(10**12)], "--batch"),
    ],
)
def test_too_much_is_refused_at_once(old, new, arguments, words, tmp_path, monkeypatch, capsys):
    config = tmp_path / "large.toml"
    config.write_text(CONFIG.replace(old, new))
    command = ["spu-circuit", "sweep", str(config), "--output", str(tmp_path / "out"), *arguments]
    monkeypatch.setattr(sys, "argv", command)
    began = perf_counter()
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert perf_counter() - began < 10
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.count("\n") == 1
    assert words in said


def test_what_takes_too_long_is_refused_with_its_estimate(monkeypatch):
    study = study_of(tomllib.loads(CONFIG.replace("64", "2_000_000")), {}, "test")
    monkeypatch.setattr(size, "_pace", lambda study: 10.0)
    with pytest.raises(InputError, match=r"2,000,000 copies take about 116 days with 2 workers, and at most 30 days"):
        check_size(study, 2, None)
    assert str(check_size(study, 10, None)) == "2,000,000 copies: about 1.55 GB of memory, 231 days of computing"
    # Nobody knows how many workers a scheduler has.
    check_size(study, 1, "tcp://host:8786")


def test_the_estimate_is_that_of_the_first_copies():
    study = study_of(tomllib.loads(CONFIG.replace("64", "4096")), {}, "test")
    found = check_size(study, 1, None)
    assert found.copies == 4096
    # A block of two cells takes some milliseconds.
    assert 0 < found.seconds < 60
    assert check_size(study_of(tomllib.loads(CONFIG), {}, "test"), 1, None).seconds == 0


@pytest.mark.parametrize(
    ("seconds", "workers", "used"),
    [(4.0, 2, 1), (8.0, 2, 2), (2.0, 100, 1), (4.0, 100, 100), (0.0, 2, 2), (1e6, 1, 1)],
)
def test_workers_are_started_where_that_is_faster(seconds, workers, used):
    """To start them takes 2 s; who has timed nothing starts as many as are asked for."""
    assert Size(10_000, 1e6, seconds).processes(workers) == used


def test_a_sweep_of_seconds_starts_no_workers(tmp_path, monkeypatch, capsys):
    config, began = tmp_path / "short.toml", []
    config.write_text(CONFIG.replace("64", "1024"))
    monkeypatch.setattr("experiments.sweeps.commands.run", lambda study, store, workers, *rest: began.append(workers))
    monkeypatch.setattr(size, "_pace", lambda study: 1e-3)
    command = ["spu-circuit", "sweep", str(config), "--output", str(tmp_path / "out"), "--workers", "2"]
    for audit in ("0", "0.1"):
        monkeypatch.setattr(sys, "argv", [*command, "--audit", audit])
        with pytest.raises(SystemExit):
            cli.main()
    assert began == [1, 2]


def test_sizes_and_durations_are_read_as_people_do():
    assert [size_text(value) for value in (5.0, 1500.0, 2.5e9, 1e21)] == ["5 B", "1.5 kB", "2.5 GB", "1e+06 PB"]
    assert [duration_text(value) for value in (5.0, 600.0, 36e3, 1e6, 1e9)] == [
        *("5 s", "10 minutes", "10 hours", "11.6 days", "31.7 years")
    ]
    assert machine_memory() > 2**28
