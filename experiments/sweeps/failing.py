"""Where rare samples fail, by a law that is cheap to compute: a proposal for importance sampling.

The law gives the severity of samples: at 1 and above they fail. Its argument z is standard normal. Samples that fail
come from subset simulation (Au and Beck, Probab. Eng. Mech. 16:263, 2001): levels of severity, each reached by a fourth
of the samples of the one before, and a random walk that stays above the level. The nearest failing points are design
points (the first-order reliability method: Rackwitz and Fiessler, Comput. Struct. 9:489, 1978). Failing samples go with
the design point next to them, and each such group gives the proposal a normal distribution of its mean and covariance:
the one of smallest cross-entropy (Rubinstein, Methodol. Comput. Appl. Probab. 1:127, 1999).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Severity = Callable[[Array], Array]

COPIES = 8192
"""That are simulated by the law at each level."""
KEPT = 0.25
"""Share of them that a level keeps."""
LEVELS = 60
"""4⁻⁶⁰ is less than any probability that matters."""
MOVES = 8
"""Steps of the random walk at each level; three times as many at the last one, whose samples should not be alike."""
ACCEPTED = 0.4
"""Share of the steps that the walk aims to accept."""
STARTS = 128
"""Failing samples from which design points are looked for."""
TOGETHER = 0.25
"""Share of the samples that all groups together are given."""
SURE = 8
"""Samples for each dimension, from which on they know a covariance."""
STEPS = 25
SLOPE = 1e-3
"""Standard deviations over which slopes of the severity are taken."""
ALIKE = 0.8
"""Cosine of the angle between two design points from which on they are one."""
MOST_POINTS = 48
"""Where more are found, no point is special: failing samples surround the origin, and are one group."""


@dataclass(frozen=True)
class Failing:
    """Where samples fail.

    Args:
        probability: that one does.
        samples: that fail, as they are distributed, (COPIES, k); some are alike.
        points: design points, the nearest first, (points, k).
    """

    probability: float
    samples: Array
    points: Array

    def groups(self) -> tuple[Array, Array, Array]:
        """Means (groups, k), roots of covariances (groups, k, k) and shares of the samples next to each point.

        Where there are several, all samples together are one more, for what lies between the points.
        """
        found = [every := np.arange(len(self.samples))]
        if 1 < len(self.points) <= MOST_POINTS:
            next_to = _nearest(self.samples, self.points)
            found += [own for point in range(len(self.points)) if len(own := every[next_to == point])]
        shares = np.array([len(own) / len(every) for own in found])
        if len(found) > 1:
            shares = np.array([TOGETHER, *((1 - TOGETHER) * shares[1:])])
        means = np.array([self.samples[own].mean(axis=0) for own in found])
        return means, np.array([_root(self.samples[own]) for own in found]), shares


def _root(samples: Array) -> Array:
    """Square root of a covariance, nowhere narrower than the wanted distribution, so that no weight runs away."""
    count, k = samples.shape
    if count <= SURE * k:
        return np.eye(k)
    values, vectors = np.linalg.eigh(np.cov(samples.T).reshape(k, k))
    return np.asarray(vectors * np.sqrt(np.maximum(values, 1)) @ vectors.T)


def failing(severity: Severity, k: int, rng: np.random.Generator) -> Failing | None:
    """Where samples of k standard normal numbers fail; None where none is ever found.

    Args:
        severity: of samples (any, k), (any,).
    """
    found = _samples(severity, k, rng)
    if found is None:
        return None
    probability, samples = found
    return Failing(probability, samples, _points(severity, samples[rng.choice(COPIES, STARTS, replace=False)]))


def _samples(severity: Severity, k: int, rng: np.random.Generator) -> tuple[float, Array] | None:
    """Probability to fail, and samples that do."""
    z = rng.standard_normal((COPIES, k))
    severe = severity(z)
    probability, width = 1.0, 0.6
    for _ in range(LEVELS):
        limit = min(1.0, float(np.quantile(severe, 1 - KEPT)))
        above = np.flatnonzero(severe >= limit)
        probability *= len(above) / COPIES
        chosen = above[np.arange(COPIES) % len(above)]
        z, severe = z[chosen], severe[chosen]
        last = limit == 1
        for _ in range(3 * MOVES if last else MOVES):
            # This walk alone would leave the normal distribution as it is.
            to = np.sqrt(1 - width**2) * z + width * rng.standard_normal(z.shape)
            found = severity(to)
            taken = found >= limit
            z, severe = np.where(taken[:, None], to, z), np.where(taken, found, severe)
            width = min(0.95, width * float(np.exp(taken.mean() - ACCEPTED)))
        if last:
            return probability, z
    return None


def _points(severity: Severity, z: Array) -> Array:
    """Design points that a search from failing samples (starts, k) comes to, the nearest first, (points, k)."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for _ in range(STEPS):
            slope = _slopes(severity, z)
            reach = (slope * z).sum(axis=1) + 1 - severity(z)
            z = (reach / (slope**2).sum(axis=1))[:, None] * slope
        z = z[np.isfinite(z).all(axis=1)]
    z = z[severity((1 + 10 * SLOPE) * z) >= 1]
    distances = np.linalg.norm(z, axis=1)
    found: list[int] = []
    for k in np.argsort(distances, kind="stable").tolist():
        if all(z[k] @ z[one] < ALIKE * distances[k] * distances[one] for one in found):
            found.append(k)
    return z[found]


def _slopes(severity: Severity, z: Array) -> Array:
    """By each number, (samples, k)."""
    count, k = z.shape
    aside = SLOPE * np.eye(k)
    ends = [severity((z[:, None] + sign * aside).reshape(-1, k)).reshape(count, k) for sign in (1, -1)]
    return np.asarray((ends[0] - ends[1]) / (2 * SLOPE))


def _nearest(z: Array, points: Array) -> NDArray[np.intp]:
    """Which point is nearest to each sample, (samples,)."""
    return np.argmin((points**2).sum(axis=1) - 2 * z @ points.T, axis=1)
