"""The ideal SDE: the low-rank form beside Euler-Maruyama, exact sampling beside thermox."""

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.measure import Figure, at_least, at_most, paired
from experiments.shared.systems import ggn_system, spd_system
from solvers.ornstein_uhlenbeck import OrnsteinUhlenbeck
from solvers.sde import Sde, euler_maruyama

Array = NDArray[np.float64]


def low_rank(parameters: int = 10_000, rows: int = 320) -> list[Figure]:
    """Mean and one noisy sample at t = 50τ, beside the paper's integration with δt = 0.1τ."""
    system, time, kappa = ggn_system(rows, parameters, 0.01), 50.0, 1e-3
    exact, stepped, ratio = paired(
        lambda: Sde(kappa).solve(system, time, seed=1).standard_error,
        lambda: euler_maruyama(system, time, 0.1, kappa, seed=1),
        runs=5,
    )
    mean = Sde().solve(system, time).value
    error = np.linalg.norm(euler_maruyama(system, time, 0.1) - mean) / np.linalg.norm(mean)
    size = f"N = {parameters:,}, K = {rows}"
    return [
        at_most(f"low-rank mean, sample and standard error, {size}", exact, "s", 0.3, "median of 5, at t = 50τ"),
        Figure(f"Euler-Maruyama, δt = 0.1τ, t = 50τ, {size}", stepped, "s", note=f"exact / stepped = {ratio:.2f}"),
        Figure("mean of Euler-Maruyama against the exact mean", float(error), "relative", note="no noise, same system"),
    ]


def sampling(size: int = 512, steps: int = 1000) -> list[Figure]:
    """An exact trajectory of 1,000 steps with isotropic noise, beside thermox (compiled before)."""
    import jax
    import jax.numpy as jnp
    import thermox

    system = spd_system(size, 100)
    times, start = np.linspace(0, 10, steps), np.zeros(size)
    with jax.enable_x64(True):
        arguments = [
            jnp.asarray(x) for x in (times, start, system.A, np.linalg.solve(system.A, system.b), 2 * np.eye(size))
        ]

        def theirs() -> jax.Array:
            return thermox.sample(jax.random.PRNGKey(0), *arguments).block_until_ready()

        def ours() -> Array:
            law = OrnsteinUhlenbeck(system.A, system.b, np.eye(size))
            return law.sample(times, start, np.random.default_rng(0))

        slow, fast, ratio = paired(theirs, ours, runs=5)
        spread = f"standard error {np.sqrt(2 / size / steps):.4f}"
        law = OrnsteinUhlenbeck(system.A, system.b, np.eye(size))
        mean = law.mean(times, start)
        variances = {"thermox": np.asarray(theirs()), "ours": ours()}
    note = f"{slow:.3f} s against {fast:.3f} s, median of 5 pairs, both in double precision"
    figures = [at_least(f"thermox / ours, exact sampling, N = {size}, {steps} steps", ratio, "×", 5, note)]
    for who, path in variances.items():
        value = _whitened_variance(path - mean, law, float(times[1]))
        figures.append(
            Figure(f"increments of {who}, whitened: variance", value, "", "1 ± 0.01", abs(value - 1) < 0.01, spread)
        )
    return figures


def _whitened_variance(path: Array, law: OrnsteinUhlenbeck, gap: float) -> float:
    """Mean square of the increments beyond the exact transition, over its variance: 1 for a right law."""
    rates, vectors = np.linalg.eigh(law.drift)
    modes = path @ vectors
    kicks = modes[1:] - np.exp(-rates * gap) * modes[:-1]
    return float(np.mean(kicks**2 / (-np.expm1(-2 * rates * gap) / rates)))
