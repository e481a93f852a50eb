"""Mean and covariance of linear processes against closed forms."""

import numpy as np
from scipy.linalg import expm

from solvers.moments import moments


def test_moments_of_non_normal_drift_are_van_loan_block_exponentials():
    """Σ from expm of [[−M, 2D], [0, Mᵀ]] (Van Loan 1978); a published package fails the first matrix."""
    rng = np.random.default_rng(0)
    M = np.stack([[[1.0, -3.0], [3.0, 2.0]], rng.normal(size=(2, 2)) + 2 * np.eye(2), [[1.0, 50.0], [0.0, 1.5]]])
    D = np.stack([np.eye(2), [[2.0, 1.0], [1.0, 1.0]], np.diag([0.0, 1.0])])
    u, start = rng.normal(size=(3, 2)), np.array([1.0, -2.0])
    for time in (0.0, 0.01, 1.0, 30.0):
        mean, covariance = moments(M, u, D, start, time)
        for k in range(3):
            block = np.block([[-M[k], 2 * D[k]], [np.zeros((2, 2)), M[k].T]])
            step = expm(-M[k] * time)
            rest = np.linalg.solve(M[k], u[k])
            np.testing.assert_allclose(mean[k], rest + step @ (start - rest), rtol=1e-11, atol=1e-11)
            # The block's upper right is Σ e^{Mᵀt}, which overflows precision at 30: there the doubled short one is.
            if time <= 1:
                expected = expm(block * time)[:2, 2:] @ step.T
                np.testing.assert_allclose(covariance[k], expected, rtol=1e-10, atol=1e-10)
    at_one = moments(M[:1], u[:1], D[:1], start, 1.0)[1][0]
    np.testing.assert_allclose(at_one, [[0.692, -0.087], [-0.087, 0.604]], atol=5e-4)
