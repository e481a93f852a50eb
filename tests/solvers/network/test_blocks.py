"""Elimination block by block against dense solutions of the same equations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solvers.network.block_plan import plan
from solvers.network.blocks import Factors, SingularError


def random_blocks(sizes, batch, seed):
    """Block systems: about half of the blocks empty, some of those of two equal sizes diagonal, some shared by all."""
    rng = np.random.default_rng(seed)
    blocks = {}
    for r, m in enumerate(sizes):
        for c, n in enumerate(sizes):
            count = batch if rng.random() < 0.7 else 1
            if r == c:
                # Large enough for regular equations, not so large that the order of elimination would not matter.
                kind = rng.random()
                own = rng.normal(size=(count, n)) + 3 * np.sign(rng.normal(size=(count, n)))
                if kind < 0.6:
                    blocks[r, c] = own
                else:
                    blocks[r, c] = own[:, :, None] * np.eye(n) + rng.normal(size=(count, n, n)) / n
            elif rng.random() < 0.5:
                diagonal = m == n and rng.random() < 0.6
                blocks[r, c] = rng.normal(size=(count, n) if diagonal else (count, m, n))
    return blocks


def dense_of(blocks, sizes, batch):
    starts = np.concatenate([[0], np.cumsum(sizes)])
    A = np.zeros((batch, starts[-1], starts[-1]))
    for (r, c), block in blocks.items():
        own = block[:, :, None] * np.eye(block.shape[1]) if block.ndim == 2 else block
        A[:, starts[r] : starts[r + 1], starts[c] : starts[c + 1]] = own
    return A, starts


systems = st.tuples(
    st.lists(st.sampled_from([1, 3, 3, 4]), min_size=1, max_size=6), st.integers(1, 4), st.integers(0, 10**6)
)


@given(systems, st.booleans(), st.data())
def test_any_groups_of_any_right_hand_sides_are_those_of_dense_equations(system, transposed, data):
    """Rounding times the condition, which the growth of 1 / threshold a step may add to; both are in the bound."""
    sizes, batch, seed = system
    sizes = tuple(sizes)
    blocks = random_blocks(sizes, batch, seed)
    A, starts = dense_of(blocks, sizes, batch)
    condition = np.linalg.cond(A).max()
    if condition > 1e6:
        return
    groups = st.sets(st.integers(0, len(sizes) - 1), min_size=1)
    given_groups, wanted = data.draw(groups), data.draw(groups)
    rng = np.random.default_rng(seed)
    right = {g: rng.normal(size=(batch, sizes[g], 2)) for g in given_groups}
    whole = np.zeros((batch, starts[-1], 2))
    for g, own in right.items():
        whole[:, starts[g] : starts[g + 1]] = own
    factors = Factors(plan(blocks, sizes, sizes), blocks, batch)
    found = factors.solve(right, wanted, transposed)
    expected = np.linalg.solve(A.transpose(0, 2, 1) if transposed else A, whole)
    for g in wanted:
        own = found.get(g, np.zeros((batch, sizes[g], 2)))
        np.testing.assert_allclose(
            own, expected[:, starts[g] : starts[g + 1]], rtol=0, atol=1e-12 * condition * np.abs(expected).max()
        )


@given(systems, st.data())
def test_functionals_of_inputs_are_those_of_dense_equations(system, data):
    """``A x + Q q = 0`` and ``f = P x + S q``, some blocks empty, diagonal or shared; bound as above."""
    sizes, batch, seed = system
    sizes, rng = tuple(sizes), np.random.default_rng(seed + 1)
    blocks = random_blocks(sizes, batch, seed)
    A, _ = dense_of(blocks, sizes, batch)
    condition = np.linalg.cond(A).max()
    if condition > 1e6:
        return
    outside = data.draw(st.lists(st.sampled_from([1, 3, 4]), min_size=1, max_size=3))
    groups = [(-1 - k, size) for k, size in enumerate(outside)]
    edges = {
        (r, c): rng.normal(size=(count, m) if m == n and rng.random() < 0.5 else (count, m, n))
        for r, m in [*enumerate(sizes), *groups]
        for c, n in [*enumerate(sizes), *groups]
        if min(r, c) < 0 and rng.random() < 0.7
        for count in (int(rng.choice([1, batch])),)
    }
    order = [*range(len(sizes)), *(group for group, _ in groups)]
    numbered = {(order.index(r), order.index(c)): own for (r, c), own in {**blocks, **edges}.items()}
    whole, starts = dense_of(numbered, (*sizes, *outside), batch)
    n = starts[len(sizes)]
    Q, P, S = whole[:, :n, n:], whole[:, n:, :n], whole[:, n:, n:]
    given_inputs = rng.normal(size=(batch, sum(outside), 2))
    expected = (S - P @ np.linalg.solve(A, Q)) @ given_inputs
    before = {key: own.copy() for key, own in {**blocks, **edges}.items()}
    factors = Factors(plan(blocks, sizes, sizes), {**blocks, **edges}, batch, groups, groups)
    scale = np.abs(expected).max() + np.abs(P).max() * np.abs(Q).max()
    np.testing.assert_allclose(factors.apply(given_inputs), expected, rtol=0, atol=1e-12 * condition * scale)
    # Solutions are those without functionals, and nobody's blocks were changed.
    right = rng.normal(size=(batch, sizes[0], 1))
    alone = Factors(plan(blocks, sizes, sizes), blocks, batch).solve({0: right}, range(len(sizes)))
    found = factors.solve({0: right}, range(len(sizes)))
    for group, own in alone.items():
        np.testing.assert_array_equal(found[group], own)
    for key, own in {**blocks, **edges}.items():
        np.testing.assert_array_equal(own, before[key])


def test_functionals_without_a_dense_core():
    """``2 x + q = 0`` and ``f = x``."""
    blocks = {(0, 0): np.full((1, 2), 2.0), (0, -1): np.ones((1, 2)), (-1, 0): np.ones((1, 2))}
    order = plan({(0, 0): blocks[0, 0]}, (2,), (2,))
    assert order.rows == ()
    found = Factors(order, blocks, 1, [(-1, 2)], [(-1, 2)]).apply(np.array([[[1.0], [3.0]]]))
    np.testing.assert_array_equal(found, [[[-0.5], [-1.5]]])


def test_permuted_diagonals_need_no_dense_core():
    """Pivots stand where the entries are: a chain whose only entry of each row is off the diagonal."""
    blocks = {(k, (k + 1) % 3): np.full((1, 4), k + 1.0) for k in range(3)}
    order = plan(blocks, (4, 4, 4), (4, 4, 4))
    assert order.rows == order.columns == ()
    found = Factors(order, blocks, 1).solve({k: np.ones((1, 4, 1)) for k in range(3)}, range(3))
    assert [found[k][0, 0, 0] for k in range(3)] == pytest.approx([1 / 3, 1, 1 / 2])


def test_a_singular_member_of_a_batch_is_named():
    blocks = {(0, 0): np.stack([np.eye(3), np.ones((3, 3))])}
    with pytest.raises(SingularError) as error:
        Factors(plan(blocks, (3,), (3,)), blocks, 2)
    assert error.value.draw == 1


def test_a_small_pivot_is_left_to_the_dense_core():
    """Below a hundredth of its row it would magnify rounding: the answer keeps 12 digits where it would keep 4."""
    blocks = {
        (0, 0): np.full((1, 2), 1e-12),
        (0, 1): np.ones((1, 2, 2)) + np.eye(2),
        (1, 0): np.ones((1, 2, 2)) + np.eye(2),
        (1, 1): np.ones((1, 2)),
    }
    order = plan(blocks, (2, 2), (2, 2))
    assert all((step.row, step.column) != (0, 0) for step in order.steps)
    A, _ = dense_of(blocks, (2, 2), 1)
    right = np.arange(1.0, 5.0)
    found = Factors(order, blocks, 1).solve({0: right[None, :2, None], 1: right[None, 2:, None]}, (0, 1))
    np.testing.assert_allclose(
        np.concatenate([found[0], found[1]], 1)[0, :, 0], np.linalg.solve(A[0], right), atol=1e-12
    )


def test_what_no_right_hand_side_reaches_is_left_out():
    blocks = {(0, 0): np.ones((1, 2)), (1, 1): np.ones((1, 2)), (1, 0): np.ones((1, 2))}
    factors = Factors(plan(blocks, (2, 2), (2, 2)), blocks, 1)
    assert set(factors.solve({1: np.ones((1, 2, 1))}, (0, 1))) <= {1}
