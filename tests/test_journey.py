"""A newcomer's training run: started, stopped with Ctrl-C, resumed, read."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.browser import Browser

pytestmark = pytest.mark.slow

CONFIG = """
name = "small"
task = "digits"
steps = 12
batch_size = 32
seeds = [0, 1]
workers = 2
[data]
train = 400
validation = 60
test = 120
[network]
kind = "mlp"
hidden = [8]
[optimizers.tngd]
kind = "tngd"
learning_rates = [0.5]
damping = 0.5
curvature_samples = 2
hardware = "bench"
analog_time = 6.0
points = 20
[optimizers.ngd]
kind = "ngd"
learning_rates = [0.5]
damping = 0.5
curvature_samples = 2
[optimizers.adam]
kind = "adam"
learning_rates = [0.01, 0.1]
"""


def command(config, output, *more):
    return [sys.executable, "-m", "experiments.cli", "train", str(config), "--output", str(output), *more]


def history(folder):
    """Rows without wall times, which are the only thing that may differ."""
    with (folder / "history.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "wall_seconds"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One run undisturbed with one worker, one stopped and resumed with two."""
    folder = tmp_path_factory.mktemp("journey")
    config = folder / "small.toml"
    config.write_text(CONFIG)
    subprocess.run(command(config, folder / "whole", "--workers", "1"), check=True, capture_output=True)

    stopped = folder / "stopped"
    # Whoever runs the tests in the background may have told their children to ignore Ctrl-C.
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command(config, stopped), stdout=subprocess.PIPE, text=True, start_new_session=True)
    signal.signal(signal.SIGINT, kept)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not _steps_in(stopped) > 3:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    kept = history(stopped)
    resumed = subprocess.run(command(config, stopped), check=True, capture_output=True, text=True)
    return {"folder": folder, "status": process.returncode, "said": said, "kept": kept, "resumed": resumed.stdout}


def _steps_in(folder):
    import sqlite3

    try:
        with sqlite3.connect(f"{(folder / 'run.sqlite').as_uri()}?mode=ro", uri=True) as connection:
            return connection.execute("SELECT COUNT(*) FROM history").fetchone()[0]
    except sqlite3.Error:
        return 0


def workers_of(session):
    """Worker processes of a session."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            process = Path("/proc", entry)
            begun_by = int((process / "stat").read_text().rsplit(")", 1)[1].split()[3])
            if begun_by == session and "spawn_main" in (process / "cmdline").read_text():
                found.append(int(entry))
    return found


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(runs):
    assert runs["status"] == 130
    assert "same command goes on" in " ".join(runs["said"].split())
    assert 3 < len(runs["kept"]) < 12 * 2 * 4


def test_resumed_run_equals_the_undisturbed_one_with_other_workers(runs):
    resumed, whole = history(runs["folder"] / "stopped"), history(runs["folder"] / "whole")
    assert len(whole) == 12 * 2 * 4
    assert resumed == whole
    assert all(row in resumed for row in runs["kept"])


def test_every_solve_of_tngd_was_ngspices_and_follows_exact_ngd(runs):
    found = json.loads((runs["folder"] / "whole" / "summary.json").read_text())["optimizers"]
    assert found["tngd"]["solves"] == found["tngd"]["solves_by_ngspice"] == 24
    assert found["tngd"]["median_relative_solve_error"] < 0.1
    assert found["tngd"]["solves_with_saturation"] == 0
    apart = found["tngd"]["final_score"]["mean"] - found["ngd"]["final_score"]["mean"]
    assert abs(apart) < 0.05
    assert found["adam"]["learning_rate"] in (0.01, 0.1)
    assert found["tngd"]["analog_seconds"] > 0


def test_folder_holds_config_tables_figures_and_a_self_contained_report(runs):
    folder = runs["folder"] / "whole"
    names = {path.name for path in folder.iterdir()}
    pictures = {"loss.png", "score.png", "solve_error.png", "settling.png"}
    assert {"config.json", "history.csv", "summary.json", "report.html"} | pictures <= names
    config = json.loads((folder / "config.json").read_text())
    assert config["versions"]["ngspice"][0].isdigit()
    assert config["experiment"]["seeds"] == [0, 1]
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    assert "ngspice simulated 24 of them" in page


def test_changed_config_is_refused_with_the_difference(runs, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text(CONFIG.replace("steps = 12", "steps = 13"))
    run = subprocess.run(command(other, runs["folder"] / "whole"), capture_output=True, text=True)
    assert run.returncode == 2
    assert "steps = 12, this config has 13" in run.stderr


def test_killed_run_leaves_no_worker_behind_and_resumes(runs, tmp_path):
    """SIGKILL gives nobody time to tidy up: the workers see that their parent is gone, and end."""
    config, folder = runs["folder"] / "small.toml", tmp_path / "killed"
    process = subprocess.Popen(command(config, folder), stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not _steps_in(folder) > 3:
        time.sleep(0.05)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while (left := workers_of(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []
    assert 3 < _steps_in(folder) < 12 * 2 * 4
    subprocess.run(command(config, folder), check=True, capture_output=True)
    assert history(folder) == history(runs["folder"] / "whole")


GRID = """
name = "grid"
task = "digits"
steps = 8
batch_size = 32
seeds = [0, 1]
evaluate_every = 4
[data]
train = 400
validation = 60
test = 120
[network]
kind = "mlp"
hidden = [8]
[optimizers.tngd]
kind = "tngd"
learning_rates = [0.5]
curvature_samples = 2
hardware = "bench"
analog_time = 6.0
points = 20
[optimizers.adam]
kind = "adam"
learning_rates = [0.01]
[grid]
"optimizers.tngd.damping" = [0.5, 1.0]
"""


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """A grid of two points, undisturbed in one process; and one whose worker, then whose parent is killed."""
    folder = tmp_path_factory.mktemp("grid")
    config = folder / "grid.toml"
    config.write_text(GRID)
    subprocess.run(command(config, folder / "whole", "--workers", "1"), check=True, capture_output=True)
    killed = folder / "killed"
    process = subprocess.Popen(command(config, killed), stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    for steps, kill in ((2, lambda: os.kill(workers_of(process.pid)[0], signal.SIGKILL)), (12, process.kill)):
        while time.monotonic() < deadline and _steps_in(killed) < steps:
            time.sleep(0.05)
        kill()
    process.wait()
    kept = _steps_in(killed)
    subprocess.run(command(config, killed, "--workers", "2"), check=True, capture_output=True)
    return {"folder": folder, "kept": kept}


def test_a_grid_of_trainings_that_was_killed_ends_as_if_nothing_had_been(grid):
    whole = history(grid["folder"] / "whole")
    # Eight steps of two seeds: tngd at both points, adam once, which the grid does not concern.
    assert len(whole) == (2 + 1) * 8 * 2
    assert 12 <= grid["kept"] < len(whole)
    assert history(grid["folder"] / "killed") == whole


def test_a_grid_through_a_scheduler_started_apart_gives_the_same(grid, tmp_path):
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        arguments = command(grid["folder"] / "grid.toml", tmp_path / "apart", "--scheduler", cluster.scheduler_address)
        subprocess.run(arguments, check=True, capture_output=True)
    assert history(tmp_path / "apart") == history(grid["folder"] / "whole")


def test_tables_and_summary_of_a_grid_say_what_is_set_at_each_point(grid):
    rows = history(grid["folder"] / "whole")
    assert {(row["point"], row["optimizers.tngd.damping"]) for row in rows} == {("0", "0.5"), ("1", "1.0")}
    summary = json.loads((grid["folder"] / "whole" / "summary.json").read_text())
    assert [point["setting"] for point in summary["points"]] == [
        {"optimizers.tngd.damping": 0.5},
        {"optimizers.tngd.damping": 1.0},
    ]
    errors = [point["optimizers"]["tngd"]["median_relative_solve_error"] for point in summary["points"]]
    assert errors[0] > errors[1], "a larger damping is an easier system"
    # Both train Adam alike.
    assert (
        summary["points"][0]["optimizers"]["adam"]["final_loss"]
        == summary["points"][1]["optimizers"]["adam"]["final_loss"]
    )


def test_the_page_of_a_grid_reads_well(grid, tmp_path):
    with Browser(tmp_path) as browser:
        browser.width(1280)
        browser.open(grid["folder"] / "whole" / "report.html")
        heads = browser.value("[...document.querySelectorAll('thead th')].map(e => e.textContent)")
        assert heads[:3] == ["optimizer", "tngd damping", "learning rate"]
        assert browser.value("document.querySelector('tbody').querySelectorAll('tr').length") == 3
        assert browser.value("[...document.querySelectorAll('details summary')].map(e => e.textContent)")[:2] == [
            "tngd damping = 0.5",
            "tngd damping = 1.0",
        ]
        assert browser.value("document.documentElement.scrollWidth <= innerWidth")
        assert "tngd has its lowest validation loss at tngd damping = " in browser.value("document.body.innerText")
