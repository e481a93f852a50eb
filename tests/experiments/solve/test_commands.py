"""The command line as a newcomer meets it: help, single solves, mistakes."""

import json
import subprocess
import sys
from importlib import resources

import numpy as np
import pytest

from experiments.shared.systems import spd_system
from tests.terminal import spu


def apart(*arguments, cwd=None, env=None):
    """In a process of its own, as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "experiments.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=env,
    )


@pytest.fixture
def files(tmp_path):
    system = spd_system(3, 4)
    np.save(tmp_path / "A.npy", system.A)
    np.save(tmp_path / "b.npy", system.b)
    return tmp_path


def test_solve_prints_one_json_object(files):
    run = apart("solve", "--matrix", "A.npy", "--vector", "b.npy", "--time", "inf", "--seed", 0, "--json", cwd=files)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    exact = np.linalg.solve(np.load(files / "A.npy"), np.load(files / "b.npy"))
    np.testing.assert_allclose(found["value"], exact, rtol=1e-6)
    assert found["standard_error"] is None
    assert found["residual"] < 1e-6
    assert found["statistics"]["ngspice_runs"] >= 1


def test_solve_writes_the_value_and_bench_noise_has_an_error(files):
    run = spu(
        *("solve", "--matrix", "A.npy", "--vector", "b.npy", "--hardware", "bench", "--engine", "ngspice"),
        *("--time", 8, "--seed", 1, "--output", "x.npy", "--json"),
        cwd=files,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert "value" not in found
    assert len(found["standard_error"]) == len(np.load(files / "x.npy")) == 3
    assert min(found["standard_error"]) > 0


def test_wires_that_drown_a_solution_are_named(files):
    """1 kΩ a segment beside resistors of 1 kΩ and more; without wires there is nothing to warn of."""
    asked = ("solve", "--matrix", "A.npy", "--vector", "b.npy", "--engine", "network", "--time", "inf")
    for ohms, warned in (("1 kΩ", True), ("0 Ω", False)):
        text = resources.files("spu_circuit").joinpath("presets/bench.toml").read_text(encoding="utf-8")
        assert "[array]\n" in text
        wired = text.replace("[array]\n", f'[array]\nwire_resistance = "{ohms}"\n')
        (files / "wired.toml").write_text(wired, encoding="utf-8")
        run = spu(*asked, "--hardware", "wired.toml", cwd=files)
        assert run.returncode == 0, run.stderr
        assert ("wires of 1000 Ω a segment are in its way" in " ".join(run.stderr.split())) == warned


def test_doubtful_solutions_come_with_a_warning(files):
    """Rails of a millivolt: nothing fits, and the answer says so."""
    text = files / "weak.toml"
    text.write_text(resources.files("spu_circuit").joinpath("presets/bench.toml").read_text().replace("13.5 V", "1 nV"))
    run = spu("solve", "--matrix", "A.npy", "--vector", "b.npy", "--hardware", "weak.toml", "--json", cwd=files)
    assert run.returncode == 0
    assert "warning: the residual is" in run.stderr
    assert "warning: 3 amplifiers saturate" in run.stderr


def test_transient_of_a_library_s_amplifier_has_its_noise_and_says_nothing_else(files):
    """18 nV/√Hz, beside those of its resistors: ± falls where the description makes it noiseless."""
    text = resources.files("spu_circuit").joinpath("presets/vendor.toml").read_text()
    assert "[amplifier]\n" in text
    (files / "silent.toml").write_text(text.replace("[amplifier]\n", '[amplifier]\ninput_noise = "0 V/√Hz"\n'))
    np.save(files / "A.npy", np.array([[2.0, 0.5], [0.5, 1.5]]))
    np.save(files / "b.npy", np.array([1.0, -0.5]))
    common = ("solve", "--matrix", "A.npy", "--vector", "b.npy", "--time", 20, "--json", "--hardware")
    noisy, silent = (spu(*common, hardware, cwd=files) for hardware in ("vendor", "silent.toml"))
    assert noisy.stderr == silent.stderr == ""
    errors = [json.loads(run.stdout)["standard_error"] for run in (noisy, silent)]
    assert min(errors[0]) > 2 * max(errors[1])


def test_network_takes_nonlinear_presets_by_their_tangents(files):
    """Nine digits of the operating point that ngspice finds; in time the readout's bandwidth bounds the noise."""
    common = ("solve", "--matrix", "A.npy", "--vector", "b.npy", "--hardware", "bench", "--json")
    exact, found = (
        json.loads(spu(*common, *options, cwd=files).stdout)["value"]
        for options in (("--engine", "ngspice"), ("--engine", "network", "--linearise"))
    )
    np.testing.assert_allclose(found, exact, rtol=1e-6)
    limited = ("--engine", "network", "--linearise", "--time", 2, "--readout-bandwidth", "10 MHz")
    assert spu(*common, *limited, cwd=files).returncode == 0


def test_options_of_the_network_engine_are_refused_elsewhere(files):
    refuses(files, "engine 'ngspice' has no 'linearise'; leave it out", "--linearise", None)
    refuses(files, "engine 'ngspice' has no 'readout_bandwidth'", "--readout-bandwidth", "1 MHz")
    refuses(files, "wanted 'Hz'", "--engine", "network", "--readout-bandwidth", "1 kg")


def test_netlist_is_a_deck_that_ngspice_runs(files):
    deck = spu("netlist", "--matrix", "A.npy", "--vector", "b.npy", "--hardware", "bench", "--time", 2, cwd=files)
    assert deck.returncode == 0, deck.stderr
    (files / "deck.cir").write_text(deck.stdout)
    run = subprocess.run(["ngspice", "-b", "deck.cir"], cwd=files, capture_output=True, text=True)
    assert run.returncode == 0
    assert "v(v2)" in run.stdout


def test_netlist_in_a_dialect_has_no_noise_and_says_so(files):
    given = ("netlist", "--matrix", "A.npy", "--vector", "b.npy", "--hardware", "bench", "--time", 2)
    deck = spu(*given, "--dialect", "ngspice", cwd=files)
    assert "no noise" in deck.stderr
    assert "TRRANDOM" not in deck.stdout
    (files / "deck.cir").write_text(deck.stdout)
    run = subprocess.run(["ngspice", "-b", "deck.cir"], cwd=files, capture_output=True, text=True)
    assert run.returncode == 0
    assert "v(v2)" in run.stdout
    wrong = spu(*given, "--dialect", "hspice", cwd=files)
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)
    assert "dialects are ngspice, ltspice, xyce" in wrong.stderr


def test_hardware_is_listed_and_shown_with_meanings():
    assert all(name in spu("hardware", "list").stdout for name in ("bench", "ideal", "paper", "rram"))
    words = spu("hardware", "show", "bench").stdout.split()
    assert {"cell.capacitance", "integration", "amplifier.output_resistance"} <= set(words)
    assert "array.G_min 50 µS smallest programmable" in " ".join(words)
    assert "cell.capacitance 10 nF" in " ".join(words)
    assert json.loads(spu("hardware", "show", "bench", "--json").stdout)["cell"]["capacitance"] == pytest.approx(1e-8)


def test_solutions_are_shown_in_units_and_files_keep_plain_si(files):
    given = ("solve", "--matrix", "A.npy", "--vector", "b.npy", "--engine", "sde", "--hardware", "bench", "--time", 6)
    shown = spu(*given, cwd=files).stdout
    found = json.loads(spu(*given, "--json", cwd=files).stdout)["statistics"]
    assert f"time on the device: {found['analog_seconds'] * 1e6:.4g} µs" in shown
    assert f"conductance scale: {found['siemens_per_unit'] * 1e6:.4g} µS per unit of A" in shown
    assert f"voltage scale: {found['volts_per_unit']:.4g} V per unit of x" in shown


def test_inputs_below_half_a_dac_code_are_counted_and_said(files):
    np.save(files / "b.npy", [1.0, 1e-9, 0.0])
    run = spu("solve", "--matrix", "A.npy", "--vector", "b.npy", "--hardware", "bench", "--engine", "sde", cwd=files)
    assert "inputs lost below half a DAC code: 1" in run.stdout
    assert "warning: 1 entries of the right-hand side or the initial state are lost below half a DAC code" in run.stderr


def test_a_description_of_others_prints_neither_markup_nor_what_a_terminal_obeys(files):
    text = resources.files("spu_circuit").joinpath("presets/ideal.toml").read_text()
    begin = text.index("description")
    text = text[:begin] + 'description = "a[/b][bold]c\\u001b[2Jd"\n' + text[text.index("\n", begin) + 1 :]
    (files / "own.toml").write_text(text)
    run = spu("hardware", "show", "own.toml", cwd=files)
    assert (run.returncode, run.stderr) == (0, "")
    assert "a[/b][bold]c [2Jd" in run.stdout


BAD_MATRICES = {
    "square": np.ones((2, 3)),
    "symmetric": np.array([[1, 2, 0], [0, 1, 0], [0, 0, 1.0]]),
    "positive definite": np.diag([1, 1, -1.0]),
    "finite": np.diag([1, 1, np.nan]),
    "empty": np.zeros((0, 0)),
    "complex": np.eye(3) * 1j,
    "vector has length 3": np.eye(4),
}


@pytest.mark.parametrize("word", BAD_MATRICES)
def test_bad_matrices_are_one_line_and_status_two(files, word):
    np.save(files / "bad.npy", BAD_MATRICES[word])
    refuses(files, word, "--matrix", "bad.npy", "--output", "x.npy")
    assert not (files / "x.npy").exists()


def test_a_factor_is_solved_without_its_matrix(files):
    """BᵀHB + λI on the cascade of three arrays, and what belongs together."""
    rng = np.random.default_rng(0)
    B, root = rng.normal(size=(2, 3)), rng.normal(size=(2, 2))
    np.save(files / "B.npy", B)
    np.save(files / "H.npy", root @ root.T)
    given = ("--factor", "B.npy", "--hessian", "H.npy", "--vector", "b.npy", "--hardware", "factored")
    run = spu("solve", *given, "--damping", 0.5, "--json", cwd=files)
    assert run.returncode == 0, run.stderr
    exact = np.linalg.solve(B.T @ root @ root.T @ B + 0.5 * np.eye(3), np.load(files / "b.npy"))
    np.testing.assert_allclose(json.loads(run.stdout)["value"], exact, rtol=5e-3)  # sixteen bits
    for arguments, words in (
        (given, "--factor needs --damping"),
        ((*given, "--damping", 0.5, "--matrix", "A.npy"), "either --matrix, or --factor with --damping"),
        (("--matrix", "A.npy", "--vector", "b.npy", "--damping", 0.5), "belong to --factor"),
    ):
        run = spu("solve", *arguments, cwd=files)
        assert (run.returncode, run.stderr.count("\n")) == (2, 1)
        assert words in run.stderr


def refuses(folder, words, *arguments):
    options = {"--matrix": "A.npy", "--vector": "b.npy"} | dict(zip(arguments[::2], arguments[1::2], strict=True))
    given = [part for option in options.items() for part in option if part is not None]
    run = spu("solve", *given, cwd=folder)
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr.count("\n") == 1, run.stderr
    assert run.stderr.startswith("error: ")
    assert words in run.stderr


def test_bad_arguments_are_one_line_and_status_two(files):
    (files / "text.npy").write_text("1 2 3")
    (files / "none.toml").write_text('name = "x"\n[cell]\ncapacitance = "-1 nF"\n')
    np.savez(files / "several.npy.npz", a=np.eye(3))
    np.save(files / "wide.npy", np.diag([1.0, 1e-3, 1e-3]))
    refuses(files, "is not a .npy file", "--matrix", "text.npy")
    refuses(files, "archive of several arrays", "--matrix", "several.npy.npz")
    refuses(files, "no file 'missing.npy'", "--matrix", "missing.npy")
    refuses(files, "no preset or file 'bensh'; did you mean 'bench'?", "--hardware", "bensh")
    refuses(files, "no 'spice'; did you mean 'ngspice'? engines are network, ngspice, sde", "--engine", "spice")
    refuses(files, "analog time is -1", "--time", "-1")
    refuses(files, "'nowhere/x.npy' cannot be written: 'nowhere' is no folder", "--output", "nowhere/x.npy")
    refuses(files, "greater than 0", "--hardware", "none.toml")
    refuses(files, "2 of 9 entries (2 on the diagonal) are lost", "--hardware", "bench", "--matrix", "wide.npy")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["solve"], "Missing option '--vector'"),
        (["solve", "--time", "soon"], "Invalid value for '--time'"),
        (["solve", "--tim", "3"], "No such option: --tim"),
        (["solev"], "No such command 'solev'"),
        (["train"], "Missing argument"),
    ],
)
def test_usage_errors_are_one_line_too(arguments, words):
    run = apart(*arguments) if arguments == ["solve"] else spu(*arguments)
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (2, "", 1)
    assert words in run.stderr
    assert "see --help" in run.stderr


def test_nothing_asked_for_shows_the_help():
    run = spu()
    assert "Commands" in run.stdout + run.stderr


def test_without_ngspice_the_message_names_the_cure_and_sde_works(files):
    env = {"PATH": "/nonexistent"}
    run = apart("solve", "--matrix", "A.npy", "--vector", "b.npy", cwd=files, env=env)
    assert run.returncode == 1
    assert "apt-get install ngspice" in run.stderr
    assert "engine 'network' or 'sde'" in run.stderr
    able = apart("solve", "--matrix", "A.npy", "--vector", "b.npy", "--engine", "sde", cwd=files, env=env)
    assert able.returncode == 0


def test_report_and_train_name_what_they_miss(tmp_path):
    run = spu("report", tmp_path)
    assert (run.returncode, run.stderr.count("\n")) == (2, 1)
    assert "holds neither run.sqlite nor sweep.sqlite" in run.stderr
    run = spu("train", "nothing.toml", cwd=tmp_path)
    assert (run.returncode, run.stderr.count("\n")) == (2, 1)
    assert list(tmp_path.iterdir()) == []


def solved(tmp_path, *more):
    system = spd_system(6, 30.0)
    np.save(tmp_path / "A.npy", system.A)
    np.save(tmp_path / "b.npy", system.b)
    sizes = ("--matrix", tmp_path / "A.npy", "--vector", tmp_path / "b.npy", "--engine", "network", "--json")
    run = spu("solve", *sizes, *more)
    return run, np.linalg.solve(system.A, system.b)


def test_refinement_reaches_its_tolerance_on_a_coarse_device(tmp_path):
    run, exact = solved(tmp_path, "--hardware", "bench", "--refine", "30", "--tolerance", "1e-10")
    found = json.loads(run.stdout)
    assert found["residual"] <= 1e-10
    assert found["refinement"]["outcome"] == "converged"
    # The error is at most the condition number times the residual.
    assert np.linalg.norm(found["value"] - exact) <= 30 * 1e-10 * np.linalg.norm(exact) * 30
    assert found["statistics"]["solves"] == len(found["refinement"]["residuals"]) + 1  # one for the estimate
    assert found["statistics"]["programs"] == 1


def test_an_error_that_the_residual_hides_is_estimated_and_told(tmp_path):
    """b lies along large eigenvalues, the error along small ones."""
    A = spd_system(6, 200.0).A
    exact = np.ones(6)
    np.save(tmp_path / "A.npy", A)
    np.save(tmp_path / "b.npy", A @ exact)
    command = (
        "solve",
        "--matrix",
        "A.npy",
        "--vector",
        "b.npy",
        "--engine",
        "network",
        "--hardware",
        "bench",
        "--json",
    )
    told, silent = (spu(*command, *more, cwd=tmp_path) for more in ((), ("--no-estimate",)))
    found = json.loads(told.stdout)
    error = float(np.linalg.norm(found["value"] - exact) / np.linalg.norm(exact))
    assert found["residual"] < 0.1 < error
    assert found["statistics"]["estimated_error"] == pytest.approx(error, rel=0.1)
    assert "x is off by about" in told.stderr
    assert (found["statistics"]["solves"], found["statistics"]["programs"]) == (2, 1)
    other = json.loads(silent.stdout)
    assert other["value"] == found["value"]
    assert other["statistics"]["estimated_error"] is None
    assert other["statistics"]["solves"] == 1


def test_refinement_that_is_not_enough_says_so(tmp_path):
    run, _ = solved(tmp_path, "--hardware", "bench", "--refine", "1", "--tolerance", "1e-12")
    assert run.returncode == 0
    assert "warning: refinement exhausted after 2 solves" in run.stderr


def test_what_belongs_to_refinement_is_refused_without_it(tmp_path):
    run, _ = solved(tmp_path, "--hardware", "bench", "--tolerance", "1e-3")
    assert (run.returncode, run.stderr.count("\n")) == (2, 1)
    assert "tolerance is 0.001, which belongs to refinement" in run.stderr
    run, _ = solved(tmp_path, "--hardware", "bench", "--refine", "3", "--corrections", "jacobi")
    assert "no 'jacobi'; methods of refinement are refinement, cg, gmres" in run.stderr
