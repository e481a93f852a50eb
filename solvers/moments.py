"""Mean and covariance of many processes ``dz = (u − M z) dt + N(0, 2 D dt)`` at one time, for any M."""

from math import ceil, log2

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SHORT = 0.25
"""‖M‖ h of the first step at most. The series of e^{−Mh} ends at 0.25^13 / 13!, which is below rounding."""
TRANSITION_TERMS = 12
ROUNDING = 1e-16


def moments(
    drift: Array, rate: Array, diffusion: Array | None, start: Array, time: float
) -> tuple[Array, Array | None]:
    """E[z(t)] and Cov[z(t)] from a sharp start.

    Taylor series over a short step h, doubled: ``Φ(2h) = Φ², p(2h) = p + Φ p, Σ(2h) = Σ + Φ Σ Φᵀ`` with
    ``Φ = e^{−Mh}``, ``p = ∫₀ʰ e^{−Ms} u ds``. It cannot overflow where M decays, and needs only products of matrices.

    Args:
        drift: M, (draws, n, n).
        rate: u, (draws, n).
        diffusion: D, (draws, n, n), symmetric; None where only the mean is wanted.
        start: z(0), (n,) or (draws, n).
        time: ≥ 0.

    Returns:
        (draws, n), and (draws, n, n) or None.
    """
    # √‖MᵀM‖₁ bounds the spectral norm, and costs one product where the looser ‖M‖₁ would cost a doubling or two.
    gram = np.abs(drift.transpose(0, 2, 1) @ drift).sum(axis=1).max()
    norm = float(np.sqrt(gram)) * time
    doublings = max(0, ceil(log2(max(norm / SHORT, 1.0))))
    step = time / 2**doublings
    scaled = -step * drift
    transition = exponential(scaled)
    push = _series(scaled, step * rate[:, :, None])
    covariance = None if diffusion is None else _short_covariance(scaled, 2 * step * diffusion, norm / 2**doublings)
    state = np.broadcast_to(start, rate.shape)[:, :, None]
    for left in range(doublings, 0, -1):
        if covariance is not None:
            covariance = covariance + transition @ covariance @ transition.transpose(0, 2, 1)
        push = push + transition @ push
        if left > 1:
            transition = transition @ transition
        else:
            state = transition @ state
    mean = (transition @ state + push)[:, :, 0]
    if covariance is not None:
        covariance = (covariance + covariance.transpose(0, 2, 1)) / 2
    return mean, covariance


def exponential(X: Array) -> Array:
    """``Σ X^k / k!`` up to k = 12 with five products (Paterson and Stockmeyer, SIAM J. Comput. 2:60, 1973)."""
    identity = np.eye(X.shape[-1])
    powers = [identity, X, X @ X]
    powers.append(powers[2] @ X)
    factorial = np.cumprod([1.0, *range(1, TRANSITION_TERMS + 1)])
    total = powers[3] / factorial[TRANSITION_TERMS]
    for block in range(TRANSITION_TERMS - 3, -1, -3):
        total = total + sum(powers[k] / factorial[block + k] for k in range(3))
        if block:
            total = total @ powers[3]
    return total


def _series(X: Array, term: Array) -> Array:
    """``Σ X^k / (k+1)!`` times a vector."""
    total = term
    for k in range(1, TRANSITION_TERMS + 1):
        term = X @ term / (k + 1)
        total = total + term
    return total


def _short_covariance(X: Array, term: Array, norm: float) -> Array:
    """``∫₀¹ e^{Xs} K e^{Xᵀs} ds``: each term of its series is ``X T + T Xᵀ`` of the one before, over k + 1.

    Args:
        norm: bounds ‖X‖, so that the k-th term is below (2 norm)^k / (k + 1)!.
    """
    total, k, bound = term, 1, norm
    while bound > ROUNDING:
        half = X @ term
        half /= k + 1
        term = half + half.transpose(0, 2, 1)
        total = total + term
        k += 1
        bound *= 2 * norm / (k + 1)
    return total
