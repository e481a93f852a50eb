"""Failures of the child process, each as its own exception with ngspice's words and a cure."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import tracemalloc
from math import inf, nan
from pathlib import Path
from time import sleep

import numpy as np
import pytest

from solvers.ngspice import Ngspice
from solvers.ngspice_process import (
    NgspiceConvergenceError,
    NgspiceCrashError,
    NgspiceMissingError,
    NgspiceReadError,
    NgspiceTimeoutError,
    ngspice_version,
    parse_raw,
    run_deck,
    run_small_signal,
)
from spu_circuit.errors import InputError

DIVIDER = "divider\nV1 a 0 3\nR1 a b 1000\nR2 b 0 2000\n.save v(b)\n.op\n.end\n"


def fake_ngspice(folder, script, monkeypatch):
    program = folder / "ngspice"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_results_come_by_name():
    (plot,) = run_deck(DIVIDER, 60)
    assert plot["v(b)"] == pytest.approx([2.0])


def test_frequencies_are_real_whatever_stands_beside_them(tmp_path, monkeypatch):
    """ngspice 39 does not set their imaginary parts: memory, and so NaN now and then."""
    deck = DIVIDER.replace("V1 a 0 3", "V1 a 0 DC 3 AC 3").replace(".op", ".ac dec 2 1 100")
    (plot,) = run_small_signal(deck, 60)
    assert not plot["frequency"].imag.any()
    assert plot["v(b)"] == pytest.approx([2.0] * 5)
    header = b"Title: x\nDate: x\nPlotname: AC Analysis\nFlags: complex\nNo. Variables: 2\nNo. Points: 1\nVariables:\n"
    header += b"\t0\tfrequency\tfrequency grid=3\n\t1\tv(b)\tvoltage\nBinary:\n"
    (tmp_path / "made").write_bytes(header + np.array([complex(7.0, nan), 2j]).tobytes())
    fake_ngspice(tmp_path, f"cat {tmp_path}/made > result.raw", monkeypatch)
    (plot,) = run_small_signal(deck, 60)
    assert (plot["frequency"].tolist(), plot["v(b)"].tolist()) == ([7], [2j])


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


@pytest.mark.parametrize("home", [None, "", "/nowhere"])
def test_a_home_folder_is_not_needed(monkeypatch, home):
    """ngspice 39 dies without one; it has its own folder for it."""
    if home is None:
        monkeypatch.delenv("HOME")
    else:
        monkeypatch.setenv("HOME", home)
    assert run_deck(DIVIDER, 60)[0]["v(b)"] == pytest.approx([2.0])
    assert ngspice_version()[0].isdigit()


def test_any_timeout_above_zero_is_one():
    for timeout in (1e300, inf):
        assert run_deck(DIVIDER, timeout)[0]["v(b)"] == pytest.approx([2.0])
    for timeout in (0.0, -1.0, nan):
        with pytest.raises(InputError, match=rf"^timeout is {timeout:g} s; give one above 0, or inf$"):
            Ngspice(timeout=timeout)


def test_a_script_whose_interpreter_is_missing_is_named(tmp_path, monkeypatch):
    fake_ngspice(tmp_path, "", monkeypatch)
    (tmp_path / "ngspice").write_text("#!/nowhere/sh\n")
    with pytest.raises(NgspiceCrashError, match=r"^ngspice at '.*ngspice' cannot be started: .*is it a script whose"):
        run_deck(DIVIDER, 60)
    assert ngspice_version() == "unknown"


def test_endless_words_end_with_the_timeout_and_fill_no_memory(tmp_path, monkeypatch):
    """Slow ones are stopped by the time, fast ones by their length; what was said first is quoted."""
    fake_ngspice(tmp_path, "echo fatal: first; while :; do echo more; sleep 0.01; done", monkeypatch)
    with pytest.raises(NgspiceTimeoutError, match=r"killed after 0\.5 s"):
        run_deck(DIVIDER, 0.5)
    fake_ngspice(tmp_path, "echo fatal: first; head -c 1000000000 /dev/zero; sleep 300", monkeypatch)
    tracemalloc.start()
    with pytest.raises(NgspiceCrashError, match=r"after 16777216 bytes of messages\. ngspice said: fatal: first"):
        run_deck(DIVIDER, 60)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The bytes, a copy, their text and its lines.
    assert peak < 10 * 2**24


def test_a_child_that_closes_its_output_is_still_waited_for_and_killed(tmp_path, monkeypatch):
    fake_ngspice(tmp_path, "exec >&- 2>&-; sleep 300", monkeypatch)
    with pytest.raises(NgspiceTimeoutError, match=r"killed after 0\.5 s"):
        run_deck(DIVIDER, 0.5)


@pytest.mark.parametrize(
    ("name", "where"),
    [
        *((name, "run(DIVIDER, 60)") for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL")),
        *((name, "Thread(target=run, args=(DIVIDER, 60)).start()") for name in ("SIGTERM", "SIGHUP")),
        ("SIGTERM", "ngspice_process._watcher = deaf; run(DIVIDER, 60)"),
    ],
)
def test_whatever_ends_this_process_ends_the_child_and_removes_its_folder(tmp_path, monkeypatch, name, where):
    """From the main thread and from another, as in a worker; also before anybody is told of the child."""
    fake_ngspice(tmp_path, f"echo $$ > {tmp_path}/part && mv {tmp_path}/part {tmp_path}/child; sleep 300", monkeypatch)
    folders = tmp_path / "folders"
    folders.mkdir()
    # Whoever starts the tests in the background may have told signals to be ignored, which children inherit.
    script = (
        "import contextlib, signal, time; from threading import Thread; from solvers import ngspice_process; "
        "run, watcher = ngspice_process.run_deck, ngspice_process._watcher\n"
        "@contextlib.contextmanager\n"
        "def deaf(folder):\n"
        "    with watcher(folder):\n"
        "        yield lambda group: time.sleep(300)\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL); signal.signal(signal.SIGINT, signal.default_int_handler); "
        f"DIVIDER = {DIVIDER!r}; {where}"
    )
    environment = {**os.environ, "TMPDIR": str(folders)}
    ours = subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.DEVNULL)
    _until(lambda: (tmp_path / "child").exists())
    child = int((tmp_path / "child").read_text())
    assert list(folders.iterdir())
    ours.send_signal(getattr(signal, name))
    ours.wait(30)
    _until(lambda: not _alive(child))
    _until(lambda: not list(folders.iterdir()))


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    """No folder, no watcher, no open file."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run_deck(DIVIDER, 60)
    before = len(os.listdir("/dev/fd"))
    run_deck(DIVIDER, 60)
    assert len(os.listdir("/dev/fd")) == before
    assert not list(tmp_path.iterdir())


def _until(holds):
    for _ in range(600):
        if holds():
            return
        sleep(0.05)
    pytest.fail("does not hold after 30 s")


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile, or there is no such folder (macOS)
        return not Path("/proc/self").exists()


def test_singular_circuit_is_a_convergence_error():
    with pytest.raises(NgspiceConvergenceError, match=r"did not converge.*ngspice said"):
        run_deck("loop\nV1 a 0 1\nV2 a 0 2\n.op\n.end\n", 60)


def test_hanging_child_is_killed_with_its_children(tmp_path, monkeypatch):
    fake_ngspice(tmp_path, f"sleep 300 & echo $! > {tmp_path}/child; wait", monkeypatch)
    with pytest.raises(NgspiceTimeoutError, match=r"killed after 2 s"):
        run_deck(DIVIDER, 2)
    child = int((tmp_path / "child").read_text())
    _until(lambda: not _alive(child))  # a busy machine delivers the signal late


def test_where_ngspice_s_own_transient_ends_is_no_operating_point(tmp_path, monkeypatch):
    """ngspice 39 gives it out as one, with status 0. A transient may begin there."""
    real = shutil.which("ngspice")
    script = f"echo 'Note: Transient op started'\n{real} \"$@\"\necho 'Note: Transient op finished successfully'"
    fake_ngspice(tmp_path, script, monkeypatch)
    deck = "divider\nV1 a 0 2\nR1 a b 1k\nR2 b 0 1k\n"
    with pytest.raises(NgspiceConvergenceError, match="found no operating point"):
        run_deck(f"{deck}.op\n.end\n", 30)
    assert run_deck(f"{deck}.tran 1m 1m\n.end\n", 30)[0]["v(b)"][0] == 1.0


def test_a_signal_after_the_search_for_an_operating_point_is_a_convergence_error(tmp_path, monkeypatch):
    fake_ngspice(tmp_path, "echo 'Warning: source stepping failed'\nkill -s SEGV $$", monkeypatch)
    with pytest.raises(NgspiceConvergenceError, match="did not converge"):
        run_deck("", 30)


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
    with pytest.raises(NgspiceReadError, match="header"):
        parse_raw(good.replace(b"\t0\tv(a)\t", b"\tv(a) "))
    with pytest.raises(NgspiceReadError, match="header"):
        parse_raw(good.replace(b"Points: 2", b"Points: " + b"9" * 5000))
    with pytest.raises(NgspiceReadError, match="too early"):
        parse_raw(good.replace(b"Points: 2", b"Points: " + b"9" * 18))
    with pytest.raises(NgspiceReadError, match="holds no result; try another version of ngspice: it has no plots"):
        parse_raw(b"Title: x\n")
    with pytest.raises(NgspiceReadError, match=r"holds no result; .*: 'x' has no points"):
        parse_raw(header.replace(b"Points: 2", b"Points: 0"))
    with pytest.raises(NgspiceReadError, match="NaN"):
        parse_raw(header + np.array([1.0, np.nan]).tobytes())
