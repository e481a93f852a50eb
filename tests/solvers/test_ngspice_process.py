"""Failures of the child process, each as its own exception with ngspice's words and a cure."""

import os
import stat
from pathlib import Path

import numpy as np
import pytest

from solvers.ngspice_process import (
    NgspiceConvergenceError,
    NgspiceCrashError,
    NgspiceMissingError,
    NgspiceReadError,
    NgspiceTimeoutError,
    parse_raw,
    run_deck,
)

DIVIDER = "divider\nV1 a 0 3\nR1 a b 1000\nR2 b 0 2000\n.save v(b)\n.op\n.end\n"


def fake_ngspice(folder, script, monkeypatch):
    program = folder / "ngspice"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_results_come_by_name():
    (plot,) = run_deck(DIVIDER, 60)
    assert plot["v(b)"] == pytest.approx([2.0])


def test_missing_program_says_what_to_install_and_what_works_without(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NgspiceMissingError, match=r"apt-get install ngspice.*brew install.*engine 'network' or 'sde'"):
        run_deck(DIVIDER, 60)


def test_a_part_whose_model_is_missing_is_no_result():
    """ngspice 39 warns, takes another value, and ends well."""
    with pytest.raises(NgspiceCrashError, match=r"can't find model '.nosuch'"):
        run_deck(DIVIDER.replace("R2 b 0 2000", "R2 b 0 2000 .nosuch"), 60)


def test_refused_deck_quotes_ngspice():
    with pytest.raises(NgspiceCrashError, match=r"refused the deck.*ngspice said: .*nosuch"):
        run_deck(DIVIDER.replace(".op", "X1 a b nosuch\n.op"), 60)


def test_singular_circuit_is_a_convergence_error():
    with pytest.raises(NgspiceConvergenceError, match=r"did not converge.*ngspice said"):
        run_deck("loop\nV1 a 0 1\nV2 a 0 2\n.op\n.end\n", 60)


def test_hanging_child_is_killed_with_its_children(tmp_path, monkeypatch):
    fake_ngspice(tmp_path, f"sleep 300 & echo $! > {tmp_path}/child; wait", monkeypatch)
    with pytest.raises(NgspiceTimeoutError, match=r"killed after 0\.5 s"):
        run_deck(DIVIDER, 0.5)
    child = (tmp_path / "child").read_text().strip()
    status = Path(f"/proc/{child}/status")  # no such folder on macOS, where this checks nothing
    assert not status.exists() or "State:\tZ" in status.read_text()


def test_signal_is_a_crash(tmp_path, monkeypatch):
    fake_ngspice(tmp_path, "echo about to fall; kill -SEGV $$", monkeypatch)
    with pytest.raises(NgspiceCrashError, match=r"signal 11.*about to fall"):
        run_deck(DIVIDER, 60)


def test_damaged_raw_files_are_unreadable():
    header = b"Plotname: x\nFlags: real\nNo. Variables: 1\nNo. Points: 2\nVariables:\n\t0\tv(a)\tvoltage\nBinary:\n"
    good = header + np.array([1.0, 2.0]).tobytes()
    assert parse_raw(good)[0]["v(a)"].tolist() == [1, 2]
    with pytest.raises(NgspiceReadError, match="too early"):
        parse_raw(good[:-1])
    with pytest.raises(NgspiceReadError, match="header"):
        parse_raw(good.replace(b"real", b"complex"))
    with pytest.raises(NgspiceReadError, match="NaN"):
        parse_raw(header + np.array([1.0, np.nan]).tobytes())
