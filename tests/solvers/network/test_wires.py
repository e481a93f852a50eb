"""Crossbars behind wires as their terminals see them, beside all nodes of their wires."""

from math import inf

import numpy as np
import pytest

from netlists.device import batch_of
from solvers.network import Network
from solvers.network.by_text import space_of
from solvers.network.wires import Mesh
from tests.cases import CASES, board_of, read_one, samples_of, table_of, varied, volts_of

WIRED = [case.changed(array=case.hardware.array.model_copy(update={"wire_resistance": 5.0})) for case in CASES]
"""Five ohms move voltages by per cents."""
ALL = pytest.mark.parametrize("case", WIRED, ids=lambda case: case.name)
BANDWIDTH = 1e10


def laid_out(conductances, wire):
    """Nodal equations of all crossings: between beginnings (columns, then rows), and voltages across by those there."""
    m, n = conductances.shape
    column, row = (np.arange(m * n).reshape(m, n) + k * m * n for k in range(2))
    begin, size = 2 * m * n, 2 * m * n + m + n
    G = np.zeros((size, size))
    for i in range(m):
        for j in range(n):
            above = column[i - 1, j] if i else begin + j
            left = row[i, j - 1] if j else begin + n + i
            for a, b, g in (
                (column[i, j], row[i, j], conductances[i, j]),
                (column[i, j], above, 1 / wire),
                (row[i, j], left, 1 / wire),
            ):
                G[[a, b], [a, b]] += g
                G[[a, b], [b, a]] -= g
    inner = np.linalg.solve(G[:begin, :begin], -G[:begin, begin:])
    return G[begin:, begin:] + G[begin:, :begin] @ inner, inner[: m * n] - inner[m * n :]


@pytest.mark.parametrize("wire", [1e-3, 1.0, 1e5])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 5), (9, 4), (8, 8), (17, 10), (4, 21)])
def test_a_mesh_is_what_all_its_nodes_are_to_its_terminals(rows, columns, wire):
    rng = np.random.default_rng(0)
    held = rng.uniform(0, 1e-3, (2, rows, columns)) * (rng.uniform(size=(2, rows, columns)) < 0.6)
    mesh = Mesh(held, wire)
    crossing, by_columns, by_rows = mesh.between_beginnings()
    volts = rng.normal(size=(2, columns + rows, 3))
    across = mesh.across(volts[:, :columns], volts[:, columns:])
    for k in range(2):
        nodal, drops = laid_out(held[k], wire)
        # Segments of a milliohm leave 1e-16 × 1e3 S of rounding in the nodal equations.
        near = {"rtol": 1e-9, "atol": 1e-15 / wire + 1e-15}
        np.testing.assert_allclose(crossing[k], -nodal[columns:, :columns], **near)
        for found, there in ((by_columns[k], slice(columns)), (by_rows[k], slice(columns, None))):
            expected = -nodal[there, there]
            np.testing.assert_allclose(found, expected - np.diag(expected.diagonal()), **near)
            assert (found >= 0).all()
        np.testing.assert_allclose(across[k].reshape(-1, 3), drops @ volts[k], atol=1e-9)


def test_wires_without_resistance_change_nothing():
    held = np.random.default_rng(0).uniform(0, 1e-3, (1, 9, 11))
    crossing, by_columns, by_rows = Mesh(held, 0.0).between_beginnings()
    np.testing.assert_allclose(crossing, held, rtol=1e-12)
    assert max(by_columns.max(), by_rows.max()) < 1e-15


@ALL
def test_rest_and_the_way_there_are_those_of_all_nodes(case):
    device = case.device()
    text = space_of(device.circuit, None, True)
    # Two factorisations of one circuit, and Newton's last step.
    found, expected = volts_of(Network(linearise=True), device, inf), text.operating_point()
    np.testing.assert_allclose(found, expected, atol=1e-8 * np.abs(expected).max())
    plain = space_of(CASES[WIRED.index(case)].device().circuit, None, True).operating_point()
    assert np.abs(plain - expected).max() > 1e-3 * np.abs(expected).max(), "the wires make no difference"
    if case.name == "vendor":
        return  # whose tangents at rest do not hold on the way
    seconds = float(device.time_constant)
    quiet = case.changed(noise=case.hardware.noise.model_copy(update={"thermal": False, "injected": 0.0})).device()
    found, expected = volts_of(Network(linearise=True), quiet, seconds), text.mean(np.array([seconds]))[0]
    # 24 Chebyshev terms leave 2e-10 of a mode.
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())


NOISY = [case for case in WIRED if case.hardware.noise.thermal and case.name != "vendor"]


@pytest.mark.parametrize("case", NOISY, ids=lambda case: case.name)
def test_noise_behind_wires_is_that_of_all_resistors(case):
    device = case.device()
    seconds, kelvin = float(device.time_constant), case.hardware.temperature
    found = read_one(Network(linearise=True, readout_bandwidth=BANDWIDTH), device, seconds)
    expected = space_of(device.circuit, kelvin, True, BANDWIDTH).covariance(seconds)
    assert found.covariances is not None
    np.testing.assert_allclose(found.covariances[0](), expected, atol=1e-6 * np.abs(expected).max())


@ALL
def test_samples_behind_wires_rest_as_all_nodes_do(case):
    """With stuck parts: one that is closed makes a crossing where there was none."""
    case = case.changed(variation=varied(case.hardware).variation)
    device = case.device()
    samples = samples_of(board_of(device), 2)
    two = batch_of(device, 2)
    programmed = Network(linearise=True).prepare(board_of(device)).program(two.array, samples)
    reading = programmed.read(two, np.full(2, inf), np.zeros(2, dtype=int))
    for k in range(2):
        text = space_of(table_of(board_of(device), device, samples, k), None, True).operating_point()
        np.testing.assert_allclose(reading.volts[k], text, atol=1e-8 * np.abs(text).max())
