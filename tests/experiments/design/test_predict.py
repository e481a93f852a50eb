"""Predictions beside slow and obvious ones, and beside what copies of a board do."""

import numpy as np
import pytest
from scipy.stats import chi2, ncx2

from experiments.design.predict import percentile, unbeaten_points
from experiments.design.search import candidates, sweep_of
from experiments.sweeps.evaluate import evaluate
from experiments.sweeps.samples import SampleSet
from spu_circuit.sampling import Sampling
from tests.experiments.design.cases import SMALL, parts_of, sheets_of


def test_percentile_is_that_of_chi_squared():
    """Wilson and Hilferty are within 1 % from four degrees of freedom on."""
    for freedom in (4, 16, 100):
        found = percentile(np.array([2.0 * freedom]), np.array([8.0 * freedom]), 0.95)
        assert found == pytest.approx(2 * chi2.ppf(0.95, freedom), rel=0.01)
    assert percentile(np.array([3.0]), np.array([0.0]), 0.95) == 3.0
    away = percentile(np.array([16.0 + 9.0]), np.array([2 * (16 + 2 * 9.0)]), 0.95)
    assert away == pytest.approx(ncx2.ppf(0.95, 16, 9.0), rel=0.01)


def test_unbeaten_points_are_those_that_no_other_dominates():
    points = np.random.default_rng(3).integers(0, 6, size=(60, 3)).astype(float)
    found = unbeaten_points(points).tolist()
    for k, point in enumerate(points):
        beaten = any((other <= point).all() and (other < point).any() for other in points)
        first = not any((points[j] == point).all() for j in found if j != k)
        assert (k in found) == (not beaten and first), k


@pytest.fixture(scope="module")
def boards():
    parts = parts_of({"samples": 2048})
    return parts, list(candidates(sheets_of(parts), parts.design.specification))


def test_boards_come_by_their_price(boards):
    _, found = boards
    prices = [board.price for board in found]
    assert len(found) > 20
    assert prices == sorted(prices)
    assert len({(id(board.sheet), board.board, board.capacitor) for board in found}) == len(found)


def test_boards_for_nothing_come_before_others():
    free = {name: 0.0 for names in SMALL["parts"].values() for name in names if name != "AD7606"}
    parts = parts_of({"prices": free})
    prices = [board.price for board in candidates(sheets_of(parts), parts.design.specification)]
    assert prices[0] == 0.0
    assert prices == sorted(prices)


@pytest.mark.parametrize("which", [0, -1])
def test_predictions_are_what_copies_of_the_board_do(boards, which):
    """2,048 copies know the percentile of the error to 3 % (3 σ); first order leaves as much again of a 2 % error."""
    parts, found = boards
    board = found[which]
    sweep = sweep_of(parts, board)
    copies = 1024
    rows = evaluate(sweep, SampleSet(copies, Sampling(0)), range(copies), "network")
    columns = dict(zip(sweep.recorded, np.array([row.metrics for row in rows]).T, strict=True))
    share = parts.design.specification.least_yield
    assert np.quantile(columns["relative_error"], share) == pytest.approx(board.error, rel=0.08)
    assert np.median(columns["settling_time"]) == pytest.approx(board.seconds, rel=0.1)
    assert np.median(columns["supply_power"]) == pytest.approx(board.power, rel=0.02)
    assert np.median(columns["junction_rise"]) == pytest.approx(board.values["junction_rise"], rel=0.05)
