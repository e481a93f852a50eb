"""The sweep for yields near 1 − 10⁻⁶, on devices whose yield is known."""

import csv
import json
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import integrate, linalg, optimize, stats
from typer.testing import CliRunner

from experiments.cli import app
from experiments.sweeps.analyses import ANALYSES, sets_of
from experiments.sweeps.analyses.high_sigma import blamed, target_of
from experiments.sweeps.bench import benches
from experiments.sweeps.config import Sweep
from experiments.sweeps.evaluate import evaluate
from experiments.sweeps.group import Group
from experiments.sweeps.sentences import yield_text
from experiments.sweeps.statistics import Yield, yield_of
from spu_circuit.documents import from_document
from spu_circuit.errors import InputError

SIGMA = 0.01
NORMAL = {"tolerance": "1 %", "meaning": "sigma"}
UNIFORM = {"distribution": "uniform", "tolerance": "1 %", "meaning": "limit"}


def sweep(folder: Path, cells: int, limit: float, spread: dict[str, str], samples: int = 512, **more: Any) -> Sweep:
    """A device that solves x = b with the gains of its DACs off, each for itself: exactly linear."""
    np.save(folder / "A.npy", np.eye(cells))
    np.save(folder / "b.npy", np.ones(cells))
    document: dict[str, Any] = {
        "name": "known",
        "hardware": {"base": "ideal", "variation": {"dac_gain": {"local": spread}}},
        "workload": {"kind": "file", "matrix": str(folder / "A.npy"), "vector": str(folder / "b.npy")},
        "analysis": {"kind": "high sigma", "samples": samples},
        "limits": {"relative_error": {"max": f"{100 * float(limit)!r} %"}},
    }
    return from_document(Sweep, document | more, "test")


def found_yield(asked: Sweep) -> Yield:
    (copies,) = sets_of(asked).values()
    return yield_of(asked, copies, evaluate(asked, copies, range(copies.samples), "network"))


@pytest.mark.parametrize("cells", [1, 2, 12])
def test_yield_of_normal_parts_is_the_one_that_is_known(cells: int, tmp_path: Path) -> None:
    # Of n equal cells the squared error is the mean of squares of normal deviations.
    asked = sweep(tmp_path, cells, SIGMA * np.sqrt(stats.chi2.isf(1e-6, cells) / cells), NORMAL, 2048)
    found = found_yield(asked)
    low, high = found.interval
    assert 1 - high < 1e-6 < 1 - low
    assert (high - low) < 0.5e-6
    assert found.effective > 100
    assert found.heaviest < 0.1
    if cells == 1:
        distances = np.linalg.norm(target_of(asked).failing.points, axis=1)
        assert distances == pytest.approx(np.full(2, np.sqrt(stats.chi2.isf(1e-6, 1))), rel=0.01)


def exceeds(level: float, weights: NDArray[np.float64]) -> float:
    """P(Σ λ z² > level) of standard normal z, by its characteristic function (Imhof, Biometrika 48:419, 1961)."""

    def integrand(u: float) -> float:
        angle = np.arctan(weights * u).sum() / 2 - level * u / 2
        return float(np.sin(angle) / (u * np.exp(np.log1p((weights * u) ** 2).sum() / 4)))

    # Where 16 weights are about the largest one, the integrand is below 40⁻⁸ = 1.5e-13 beyond the end.
    value, off = integrate.quad(integrand, 0, 40 / weights.max(), limit=2000, epsabs=1e-12, epsrel=1e-12)
    assert off < 1e-10
    return 0.5 + value / np.pi


@pytest.mark.slow
def test_yield_of_a_thousand_single_parts_is_the_one_that_is_known(tmp_path: Path) -> None:
    """32 cells whose 1,024 resistors are all off, each for itself by 10 ppm: linear to 10⁻⁴ of the failing error.

    δx = −A⁻¹ r, where the rows r_i = Σ_j A_ij δ_ij x_j are independent, so ‖δx‖² is a weighted sum of 32 squares.
    """
    n, sigma, asked_for = 32, 1e-5, 1e-6
    matrix = 1.2 * np.eye(n) + linalg.hadamard(n) / np.sqrt(n)  # symmetric, eigenvalues 0.2 and 2.2
    x = np.random.default_rng(0).uniform(0.5, 1.5, n)
    spread = sigma * np.linalg.norm(matrix * x, axis=1)
    weights = np.linalg.svd(np.linalg.solve(matrix, np.diag(spread)), compute_uv=False) ** 2
    assert exceeds(stats.chi2.isf(asked_for, n), np.ones(n)) == pytest.approx(asked_for, rel=1e-3)
    level = optimize.brentq(lambda at: np.log(exceeds(at * weights.sum(), weights) / asked_for), 2, 6, rtol=1e-9)
    limit = np.sqrt(level * weights.sum()) / np.linalg.norm(x)
    variation = {"array_resistor": {"local": {"tolerance": "10 ppm", "meaning": "sigma"}}}
    asked = sweep(tmp_path, n, limit, NORMAL, 4096, hardware={"base": "ideal", "variation": variation})
    np.save(tmp_path / "A.npy", matrix)
    np.save(tmp_path / "b.npy", matrix @ x)
    found = found_yield(asked)
    (bench,) = benches(asked, "network")
    assert len(bench.board.places["array_resistor"].slots) == n**2
    low, high = found.interval
    assert 1 - high < asked_for < 1 - low
    assert (high - low) < 0.5e-6
    assert found.effective > 100


def test_kinds_are_blamed_by_their_part_of_the_design_point(tmp_path: Path) -> None:
    # One cell whose gains are both off, by 1 % and by 0.5 %: the error is their sum, so the squares of these share it.
    asked = sweep(tmp_path, 1, 0.05, NORMAL)
    variation = {"dac_gain": {"local": NORMAL}, "adc_gain": {"local": {"tolerance": "0.5 %", "meaning": "sigma"}}}
    asked = asked.model_copy(update={"hardware": {"base": "ideal", "variation": variation}})
    shares = dict(blamed(asked))
    # The product of the gains is no sum: at 4 σ its square is 0.2 % of the error.
    assert shares == pytest.approx({"dac_gain": 0.8, "adc_gain": 0.2}, abs=0.01)
    (copies,) = sets_of(asked).values()
    group = Group((0, "copies"), {}, asked, copies, tuple(evaluate(asked, copies, range(64), "network")))
    (said,) = ANALYSES["high sigma"].answer({"copies": group})
    assert said.startswith("Dac gain is to blame most for copies that fail: 80")
    assert "kind = 'monte carlo' says" in said


def test_yield_of_uniform_parts_is_the_one_that_is_known(tmp_path: Path) -> None:
    # Two parts, each within ± 1 %: the corners of a square beyond a circle.
    radius = 1.4  # of at most √2, in units of 1 %
    start = np.sqrt(radius**2 - 1)
    corner = integrate.quad(lambda x: 1 - np.sqrt(radius**2 - x**2), start, 1)[0]
    assert 1e-4 < corner < 3e-4
    found = found_yield(sweep(tmp_path, 2, 0.01 * radius / np.sqrt(2), UNIFORM, 4096))
    assert 1 - found.interval[1] < corner < 1 - found.interval[0]
    assert found.share == pytest.approx(1 - corner, abs=0.5 * corner)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"limits": {}}, r"add a table \[limits\]"),
        ({"limits": {"power": {"max": "1 W"}}}, "knows no derivatives of power"),
        ({"limits": {"relative_error": {"min": "1 %", "max": "2 %"}}}, "no min"),
        ({"engine": "ngspice"}, "--audit"),
        ({"time": 3}, "leave time out"),
        ({"precision": {"refine": 2}}, "refines that"),
    ],
)
def test_what_derivatives_cannot_answer_is_refused(more: dict[str, Any], message: str, tmp_path: Path) -> None:
    asked = sweep(tmp_path, 2, 0.05, NORMAL, **more)
    with pytest.raises(InputError, match=message):
        sets_of(asked)


def test_a_copy_that_dominates_is_told(tmp_path: Path) -> None:
    asked = sweep(tmp_path, 2, 0.05, NORMAL)
    (copies,) = sets_of(asked).values()
    group = Group((0, "copies"), {}, asked, copies, tuple(evaluate(asked, copies, range(512), "network")))
    assert "Beware" not in yield_text(group)
    one = max((row for row in group.rows if row.metrics[0] > 0.05), key=lambda row: row.weight)
    heavy = tuple(row if row is not one else type(row)(**vars(row) | {"weight": 1.0}) for row in group.rows)
    told = yield_text(Group(group.key, {}, asked, copies, heavy))
    assert "Beware: one copy has 100.00 % of the failing copies' weight; raise analysis.samples" in told


def test_the_command_shows_the_yield_in_ppm(tmp_path: Path) -> None:
    limit = SIGMA * np.sqrt(stats.chi2.isf(1e-6, 2) / 2)
    config = tmp_path / "known.toml"
    asked = sweep(tmp_path, 2, limit, NORMAL)
    config.write_text(
        f"""name = "known"
[hardware]
base = "ideal"
[hardware.variation.dac_gain]
local = {{ tolerance = "1 %", meaning = "sigma" }}
[workload]
kind = "file"
matrix = '{asked.workload.matrix}'
vector = '{asked.workload.vector}'
[analysis]
kind = "high sigma"
samples = 512
[limits]
relative_error = {{ max = "{100 * float(limit)!r} %" }}
"""
    )
    folder = tmp_path / "run"
    done = CliRunner().invoke(app, ["sweep", str(config), "--output", str(folder), "--workers", "1"])
    assert done.exit_code == 0, done.output
    said = json.loads((folder / "summary.json").read_text())["points"][0]["yield"]
    assert said["low"] < 1 - 1e-6 < said["high"] < 1
    assert said["effective"] > 20
    (row,) = csv.DictReader((folder / "yield.csv").open())
    assert float(row["failing [ppm]"]) == pytest.approx(1e6 * (1 - said["share"]), rel=1e-9)
    assert float(row["low [ppm]"]) < 1 < float(row["high [ppm]"]) < inf
    assert "The share of failing copies, by weight, among the first copies" in (folder / "report.html").read_text()
    shown = f"{1e6 * (1 - said['share']):.3g} ppm"
    for text in (" ".join(done.output.split()), (folder / "report.html").read_text()):
        assert f"1 − {shown} of the copies keep all limits" in text
        assert f"{shown} (" in text
