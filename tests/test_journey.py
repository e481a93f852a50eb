"""A newcomer's training run: started, stopped with Ctrl-C, resumed, read."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

CONFIG = """
name = "small"
steps = 12
batch_size = 32
seeds = [0, 1]
workers = 2
[data]
name = "digits"
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
    apart = found["tngd"]["final_test_accuracy"]["mean"] - found["ngd"]["final_test_accuracy"]["mean"]
    assert abs(apart) < 0.05
    assert found["adam"]["learning_rate"] in (0.01, 0.1)
    assert found["tngd"]["analog_seconds"] > 0


def test_folder_holds_config_tables_figures_and_a_self_contained_report(runs):
    folder = runs["folder"] / "whole"
    names = {path.name for path in folder.iterdir()}
    pictures = {"loss.png", "accuracy.png", "solve_error.png", "settling.png"}
    assert {"config.json", "history.csv", "summary.json", "report.html"} | pictures <= names
    config = json.loads((folder / "config.json").read_text())
    assert config["versions"]["ngspice"][0].isdigit()
    assert config["experiment"]["seeds"] == [0, 1]
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "ngspice simulated 24 of them" in page


def test_changed_config_is_refused_with_the_difference(runs, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text(CONFIG.replace("steps = 12", "steps = 13"))
    run = subprocess.run(command(other, runs["folder"] / "whole"), capture_output=True, text=True)
    assert run.returncode == 2
    assert "steps = 12, this config has 13" in run.stderr


def test_killed_run_leaves_no_worker_behind_and_resumes(runs, tmp_path):
    """SIGKILL gives nobody time to tidy up: the workers see that their parent is gone and end after their step."""
    config, folder = runs["folder"] / "small.toml", tmp_path / "killed"
    process = subprocess.Popen(command(config, folder), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not _steps_in(folder) > 3:
        time.sleep(0.05)
    process.kill()
    process.wait()
    settled = -1
    while settled != _steps_in(folder):
        settled = _steps_in(folder)
        time.sleep(5)
    assert settled < 12 * 2 * 4
    subprocess.run(command(config, folder), check=True, capture_output=True)
    assert history(folder) == history(runs["folder"] / "whole")
