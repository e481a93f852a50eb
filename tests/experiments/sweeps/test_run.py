"""Sweeps: the same copies however they are computed, nothing lost, one clear line for each mistake."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest

from experiments.shared.store import damaged
from experiments.sweeps import run as run_module
from experiments.sweeps.bench import benches
from experiments.sweeps.config import read_sweep
from experiments.sweeps.run import audited, run
from experiments.sweeps.statistics import yield_of
from experiments.sweeps.store import SweepStore, open_sweep
from experiments.sweeps.study import points, study_of
from spu_circuit.errors import InputError

CONFIG = """
name = "small"
metrics = ["relative_error", "angle", "settling_time", "output_current", "power", "output_noise"]
[hardware]
base = "paper"
[hardware.variation.array_resistor]
local = { tolerance = "1 %", meaning = "sigma" }
lot = { tolerance = "1 %", meaning = "sigma" }
stuck_open = 1e-3
stuck_closed = 1e-3
[hardware.variation.capacitor]
local = { tolerance = "5 %", meaning = "3 sigma" }
[workload]
kind = "random"
size = 4
condition = 5
systems = 2
[analysis]
kind = "monte carlo"
samples = 200
[limits]
relative_error = { max = "2 %" }
"""


def planned(text=CONFIG, audit=0.0, **changes):
    document, grid = read(text)
    for name, value in changes.items():
        section, key = name.split("__")
        document[section][key] = value
    return study_of(document, grid, "test", audit)


def read(text):
    import tomllib

    document = tomllib.loads(text)
    return document, document.pop("grid", {})


def finished(plan_, folder, **how):
    with closing(SweepStore(folder)) as store:
        store.claim(plan_.config, {})
        run(plan_, store, **how)
        return content(store, plan_)


def content(store, plan_):
    """Every bit of every row; NaN compares equal to itself this way."""
    return [(key, repr(store.rows(key)), repr(store.rows(key, audit=True))) for key, _, _ in plan_.sets()]


def test_workers_batches_and_resuming_change_no_bit(tmp_path):
    whole = planned()
    reference = finished(whole, tmp_path / "reference")
    assert finished(whole, tmp_path / "batches", batch=64) == reference
    assert finished(whole, tmp_path / "workers", workers=2, batch=100) == reference
    with closing(SweepStore(tmp_path / "resumed")) as store:
        store.claim(whole.config, {})
        key, _, _ = next(whole.sets())
        store.commit(key, open_rows(tmp_path / "batches", key)[64:128])
        run(whole, store)
        assert content(store, whole) == reference


def open_rows(folder, key):
    with closing(open_sweep(folder)) as store:
        return store.rows(key)


def test_a_scheduler_started_apart_gives_the_same(tmp_path):
    from distributed import LocalCluster

    whole = planned()
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, processes=False) as cluster:
        apart = finished(whole, tmp_path / "apart", scheduler=cluster.scheduler_address)
    assert apart == finished(whole, tmp_path / "here")


OFFSETS = """[hardware.variation.amplifier_offset]
local = { tolerance = "1 mV", meaning = "sigma" }
[hardware.variation.amplifier_bandwidth]
local = { tolerance = "20 %", meaning = "sigma", distribution = "lognormal" }
[hardware.variation.dac_inl]
local = { tolerance = "2 LSB", meaning = "sigma" }
[workload]"""


WIRES = """array.wire_resistance = "10 Ohm"
[hardware.variation.array_resistor]"""


@pytest.mark.parametrize(
    ("base", "changes"),
    [
        ("paper", {}),
        ("paper", {"[hardware.variation.array_resistor]": WIRES, "stuck_closed = 1e-3": ""}),
        ("factored", {}),
        ("passive", {'"random"': '"dominant"'}),
        ("bench", {"[workload]": OFFSETS, 'name = "small"': 'name = "small"\nlinearise = true'}),
        ("vendor", {'name = "small"': 'name = "small"\nlinearise = true'}),
    ],
)
def test_ngspice_agrees_with_network_on_every_metric(base, changes, tmp_path):
    """Metrics of the settled state agree as two solutions of one linear circuit do, far below the ADC's step; where
    amplifiers saturate as tanh, to the operating point's own tolerance. The settling time is interpolated between the
    200 points of a transient, whose steps are up to a third of the fastest time constant: the trapezoidal rule is off
    by (1/3)²/12 = 1 % of that mode's rate, and by half of that at most where slower ones decide."""
    text = CONFIG.replace(', "output_noise"', "").replace("samples = 200", "samples = 16").replace("paper", base)
    for old, new in changes.items():
        text = text.replace(old, new)
    whole = planned(text, audit=1.0)
    finished(whole, tmp_path)
    with closing(open_sweep(tmp_path)) as store:
        ((key, sweep, _),) = whole.sets()
        ours, theirs = store.rows(key), store.rows(key, audit=True)
    ok = [row for row in ours if row.status == "ok"]
    assert [row.sample for row in theirs] == [row.sample for row in ok]
    assert {row.status for row in theirs} == {"ok"}
    found, expected = (np.array([row.metrics for row in rows]).T for rows in (ok, theirs))
    for name, a, b in zip(sweep.recorded, found, expected, strict=True):
        precise = 1e-6 if "linearise" in text else 1e-9
        np.testing.assert_allclose(a, b, rtol=5e-3 if name == "settling_time" else precise, err_msg=name)


@pytest.mark.parametrize("time", [np.inf, 0.5])
def test_the_energy_of_a_solve_is_what_the_supplies_give_until_it_is_read(tmp_path, time):
    """Of the amplifiers' supplies, until settled, or until it is read where that is before."""
    text = CONFIG.replace("samples = 200", "samples = 16").replace("systems = 2", "systems = 1")
    text = text.replace('base = "paper"', 'base = "bench"\namplifier.supply = "15 V"')
    text = re.sub("metrics = .*", 'metrics = ["settling_time", "supply_power", "supply_energy", "power"]', text)
    whole = planned(f"linearise = true\ntime = {time}\n{text}")
    finished(whole, tmp_path)
    ((key, sweep, _),) = whole.sets()
    found = np.array([row.metrics for row in open_rows(tmp_path, key) if row.status == "ok"]).T
    of = dict(zip(sweep.recorded, found, strict=True))
    (bench,) = benches(sweep, "network")
    seconds = np.minimum(of["settling_time"], time * float(bench.device.time_constant))
    np.testing.assert_allclose(of["supply_energy"], of["supply_power"] * seconds, rtol=1e-12)
    assert (seconds < of["settling_time"]).all() == (time < np.inf)
    assert (of["supply_power"] > of["power"]).all()


def test_audited_copies_are_a_seeded_share():
    ((_, sweep, case),) = planned(analysis__samples=100_000).sets()
    chosen = audited(sweep, case, 0.01)
    assert chosen == audited(sweep, case, 0.01)
    # Binomial(100 000, 1 %): ± 4 standard deviations are ± 126.
    assert abs(len(chosen) - 1000) < 126


def test_stopping_at_a_width_stops_at_a_checkpoint_whatever_the_batches(tmp_path):
    wide = planned(CONFIG.replace("samples = 200", "samples = 5000\nstop_width = 0.08"))
    reference = finished(wide, tmp_path / "a")
    assert finished(wide, tmp_path / "b", batch=192) == reference
    ((key, sweep, copies),) = wide.sets()
    rows = open_rows(tmp_path / "a", key)
    low, high = yield_of(sweep, copies, rows).interval
    assert len(rows) % run_module.CHECK == 0
    assert high - low <= 0.08
    low, high = yield_of(sweep, copies, rows[: -run_module.CHECK]).interval
    assert len(rows) == run_module.CHECK or high - low > 0.08


def test_a_changed_config_is_refused_with_the_difference(tmp_path):
    finished(planned(), tmp_path)
    with closing(SweepStore(tmp_path)) as store, pytest.raises(InputError, match=r"workload\.condition = 5.*has 6"):
        store.claim(planned(workload__condition=6).config, {})


def test_a_store_of_an_older_version_is_refused_with_the_reason(tmp_path):
    finished(planned(analysis__samples=3), tmp_path)
    with closing(sqlite3.connect(tmp_path / "sweep.sqlite")) as connection, connection:
        connection.execute("PRAGMA user_version = 0")  # what version 1 left
    with pytest.raises(InputError, match=r"store layout 1, this version reads layout 5, whose rows") as caught:
        open_sweep(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_damaged_store_is_kept_aside_and_what_can_be_read_goes_on(tmp_path):
    whole = planned()
    reference = finished(whole, tmp_path / "a")
    path = tmp_path / "a" / "sweep.sqlite"
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4096] = b"\xff" * 4096
    path.write_bytes(data)
    damaged = bytes(data)
    with closing(SweepStore(tmp_path / "a")) as store:
        assert store.set_aside is not None
        assert store.set_aside.read_bytes() == damaged
        store.claim(whole.config, {})
        run(whole, store)
        assert content(store, whole) == reference


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path):
    whole = planned()
    with closing(SweepStore(tmp_path)) as store:
        store.claim(whole.config, {})
        (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
        store._connection.execute(f"PRAGMA max_page_count = {pages + 3}")
        with pytest.raises(InputError, match=r"cannot be written: database or disk is full; .* is safe"):
            run(whole, store, batch=64)
        kept = len(store.rows((0, "copies")))
    assert 0 < kept < 200
    assert finished(whole, tmp_path) == finished(whole, tmp_path / "other")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("relative_error = {", "relative_eror = {", r"no metric 'relative_eror'; did you mean 'relative_error'"),
        ('max = "2 %"', 'max = "2 %", min = "3 %"', r"relative_error: min 0\.03 is above max 0\.02"),
        ('max = "2 %"', "max = 0.02", r"relative_error: 0\.02 has no unit"),
        ("samples = 200", "samples = 0", r"analysis\.samples: .*greater than or equal to 1 \(got 0\)"),
        (', meaning = "sigma" }\nlot', " }\nlot", r"array_resistor\.local\.meaning is missing"),
        (
            "variation.capacitor",
            "variation.capacitors",
            r"unknown key 'variation\.capacitors'; did you mean 'capacitor'",
        ),
        ("variation.capacitor", "variation.amplifier_offset", r"amplifier_offset\.local"),
        ('base = "paper"', 'base = "papers"', r"no preset or file 'papers'"),
        ("condition = 5", "condition = 5\nmatrix = 'A.npy'", r"kind 'random' has no 'matrix'"),
        ('"random"', '"file"', r"kind 'file' has no 'condition'"),
    ],
)
def test_a_mistake_in_the_config_is_one_clear_line(old, new, message):
    assert old in CONFIG
    with pytest.raises(InputError, match=message) as caught:
        planned(CONFIG.replace(old, new))
    assert "\n" not in str(caught.value)


def test_offsets_of_amplifiers_that_have_none_are_refused():
    text = CONFIG.replace(
        "[workload]",
        "[hardware.variation.amplifier_offset]\nlocal = { tolerance = '1 mV', meaning = 'sigma' }\n[workload]",
    )
    with pytest.raises(InputError, match=r"variation\.amplifier_offset: hardware 'paper' has no such part"):
        planned(text)


def test_a_grid_sets_fields_by_their_names():
    text = (
        CONFIG
        + '[grid]\n"workload.size" = [2, 3]\n"hardware.variation.array_resistor.local.tolerance" = ["1 %", "3 %"]'
    )
    found = points(*read(text), "test")
    assert [(s.workload.size, s.device().variation.array_resistor.local.tolerance) for _, s in found] == [
        (2, 0.01),
        (2, 0.03),
        (3, 0.01),
        (3, 0.03),
    ]


def test_shipped_configs_are_read():
    with pytest.raises(InputError, match="no file 'nothing'; configs that come with it are"):
        read_sweep("nothing")


KILLED = (
    CONFIG.replace(', "output_noise"', "")
    .replace("samples = 200", "samples = 24")
    .replace('name = "small"', 'name = "small"\nengine = "ngspice"')
)


@pytest.mark.slow
def test_sigkill_of_parent_worker_or_ngspice_loses_and_doubles_nothing(tmp_path):
    """Parent, a worker or an ngspice dies at random moments; what the last run leaves is as if nothing had been."""
    config = tmp_path / "small.toml"
    config.write_text(KILLED)
    rng = np.random.default_rng(0)
    whole = planned(KILLED)
    reference = finished(whole, tmp_path / "reference")
    command = [sys.executable, "-m", "experiments.cli", "sweep", str(config), "--batch", "2"]
    for which in ("parent", "worker", "ngspice", "parent"):
        sweep = subprocess.Popen(
            [*command, "--output", str(tmp_path / "killed")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(rng.uniform(3, 6))
        with suppress(ProcessLookupError):
            os.kill(sweep.pid if which == "parent" else child_of(sweep.pid, which), signal.SIGKILL)
        sweep.wait(60)
    assert finished(whole, tmp_path / "killed") == reference


def child_of(parent, which):
    """A running worker or ngspice below a process; the process group tells ngspice's children apart, /proc the rest."""
    for _ in range(200):
        for entry in os.listdir("/proc"):
            with suppress(OSError, ValueError):
                process = Path("/proc", str(int(entry)))
                words = (process / "cmdline").read_text().replace("\0", " ")
                session = int((process / "stat").read_text().rsplit(")", 1)[1].split()[3])
                if int(entry) == parent:
                    continue
                if which == "worker" and session == parent and "spawn_main" in words:
                    return int(entry)
                if which == "ngspice" and words.startswith(("ngspice", "/usr/bin/ngspice")) and "result.raw" in words:
                    return int(entry)
        time.sleep(0.01)
    raise ProcessLookupError


@pytest.mark.parametrize(
    "spread", ["array_resistor.stuck_open = 0.01", "capacitor.gradient = { tolerance = '1 %', meaning = 'sigma' }"]
)
def test_one_at_a_time_of_what_has_no_ends(tmp_path, spread):
    text = f"""name = "a"
hardware.base = "ideal"
hardware.variation.{spread}
workload = {{ kind = "random", size = 3 }}
analysis = {{ kind = "one at a time", samples = 3 }}"""
    nominal, alone = finished(planned(text), tmp_path)
    assert nominal[0] == (0, "nominal")
    assert nominal[1].count("'ok'") == 1
    assert alone[1].count("'ok'") == 3


def test_a_finished_sweep_can_be_audited_later(tmp_path):
    text = CONFIG.replace("200", "3").replace("systems = 2", "systems = 1").replace(', "output_noise"', "")
    before = finished(planned(text), tmp_path)
    ((_, copies, audit),) = finished(planned(text, audit=1.0), tmp_path)
    assert copies == before[0][1]
    assert audit.count("'ok'") == 3
    with closing(SweepStore(tmp_path)) as store:
        store.claim(planned(text).config, {})
        assert store.claimed()["sweep"]["audit"] == 1.0


def test_a_store_that_somebody_holds_is_not_damaged(tmp_path):
    SweepStore(tmp_path).close()
    path = tmp_path / "sweep.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("PRAGMA journal_mode = DELETE")
        holder.execute("BEGIN EXCLUSIVE")
        assert not damaged(path, patience=0.1)


def test_copies_whose_config_is_lost_are_not_taken_for_anothers(tmp_path):
    whole = planned(CONFIG.replace("200", "64"))
    finished(whole, tmp_path)
    old = tmp_path / "sweep.sqlite"
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.execute("DELETE FROM config")
    with closing(SweepStore(tmp_path / "new")) as store:
        store._take_over(old, store._connection)
        assert store.rows((0, "copies")) == []
