"""Settling times of what rings."""

import numpy as np
import pytest

from solvers.settling import settling_times


def test_rest_that_is_only_crossed_does_not_count():
    # y'' + 2 ζ ω y' + ω² y = 0, one output: it crosses rest twice a period. Against a fine walk of the closed form.
    starts = np.random.default_rng(0).normal(size=(20, 2))
    output, drift, tolerance = np.array([[[1.0, 0.0]]]), np.array([[[0.0, -1.0], [1.0, 0.5]]]), 0.01
    rates, modes = np.linalg.eig(-drift[0])
    times = np.arange(0, 60, 1e-3)
    for away in starts:
        wave = np.abs((modes[0] * np.linalg.solve(modes, away)) @ np.exp(np.outer(rates, times)))
        wanted = times[np.flatnonzero(wave > tolerance)[-1]]
        found = settling_times(drift, output, away[None], np.array([tolerance]))[0]
        # The walk is that fine; within a step the distance falls nearly as an exponential.
        assert found == pytest.approx(wanted, abs=0.02)
