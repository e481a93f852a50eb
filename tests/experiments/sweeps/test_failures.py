"""Sweeps whose copies cannot be simulated."""

import numpy as np
import pytest

from experiments.sweeps import evaluate as evaluate_module
from experiments.sweeps import run as run_module
from experiments.sweeps.rows import Row
from experiments.sweeps.units import yield_share
from spu_circuit.errors import SimulationError
from tests.experiments.sweeps.test_run import CONFIG, finished, open_rows, planned
from tests.terminal import spu


def test_too_many_failures_stop_with_the_reason(tmp_path, monkeypatch):
    def broken(sweep, case, samples, engine):
        return [Row(k, "failed", "no convergence", 1.0, (np.nan,) * 7) for k in samples]

    monkeypatch.setattr(run_module, "evaluate", broken)
    with pytest.raises(SimulationError, match=r"stopped: .* cannot be simulated.*no convergence"):
        finished(planned(), tmp_path, batch=64)
    ((key, _, _),) = planned().sets()
    assert len(open_rows(tmp_path, key)) == 64, "what was finished is kept"


@pytest.mark.parametrize("more", [[], ["--check"]])
def test_a_few_copies_that_all_fail_end_as_many_do(tmp_path, monkeypatch, more):
    def broken(sweep, case, samples, engine):
        return [Row(k, "failed", f"no convergence of copy {k}", 1.0, (np.nan,) * 7) for k in samples]

    monkeypatch.setattr(run_module, "evaluate", broken)
    (tmp_path / "few.toml").write_text(CONFIG.replace("samples = 200", "samples = 32"))
    ended = spu("sweep", "few.toml", "--output", "few", "--workers", "1", "--batch", "8", *more, cwd=tmp_path)
    assert ended.returncode == 1
    said = "error: stopped: 32 of 32 copies of 'copies' at point 0 cannot be simulated; the first reason is: "
    assert ended.stderr == f"{said}no convergence of copy 0\n"
    assert "keep all limits" not in ended.stdout
    assert len(open_rows(tmp_path / "few", (0, "copies"))) == 32, "what was finished is kept"


def test_a_yield_that_nobody_knows_is_a_dash():
    assert yield_share(np.nan) == "–"


def test_a_copy_that_raises_anything_is_kept_with_its_reason_and_the_others_go_on(tmp_path, monkeypatch):
    """Also what nobody thought of: here a bug of NumPy's own kind, in one copy of its block."""
    right = evaluate_module.metrics_of

    def broken(sweep, bench, copies):
        if (copies.relative["array_resistor"][:, 0] == culprit).any():
            raise ValueError("operands could not be broadcast")
        return right(sweep, bench, copies)

    whole = planned()
    ((_, sweep, case),) = whole.sets()
    (bench, _) = evaluate_module.benches(sweep, "network")
    culprit = evaluate_module.drawn_samples(sweep, case, bench, range(70, 71)).relative["array_resistor"][0, 0]
    monkeypatch.setattr(evaluate_module, "metrics_of", broken)
    finished(whole, tmp_path)
    rows = open_rows(tmp_path, (0, "copies"))
    assert [(row.sample, row.reason) for row in rows if row.status == "failed"] == [
        (70, "ValueError: operands could not be broadcast")
    ]
    assert len(rows) == 200
