"""Where rare failures are looked for: other distributions of the scores that parts are drawn by, and weights.

Every random number of a sample is the share of a normal score u, whatever the distribution of its part. ``inflate``
widens the scores of what all parts share. A ``Proposal`` q, a mixture of normal distributions, changes the scores along
a few directions V alone, ``z = V u``: a share of the samples stays as it is drawn, the others have z about where parts
fail. Each sample then stands for ``p(u) / q(u)`` samples of the wanted distribution p, which is at most one over the
share that stays (a defensive mixture: Hesterberg, Technometrics 37:185, 1995).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[np.float64]

STAYING = 0.1
"""Share of the samples that is drawn as parts are."""
FARTHEST = 6.0
"""Standard deviations that importance sampling goes to, so that no part comes near zero. Two in 10⁹ lie beyond."""
EDGE = 6.9
"""Scores end here, short of 7 σ, where the widest normal part would be none. Of 10¹² parts 5 count that lie beyond."""


@dataclass(frozen=True)
class Proposal:
    """A mixture of normal distributions along a few directions.

    Args:
        directions: purpose of random numbers → its columns of V, (k, numbers). The rows of V are orthonormal.
        means: of z, (components, k).
        roots: symmetric square roots of its covariances, (components, k, k).
        shares: of the samples that do not stay, (components,), summing to 1.
    """

    directions: Mapping[str, Array]
    means: Array
    roots: Array
    shares: Array

    def move(self, numbers: dict[str, Array], choice: Array) -> Array:
        """Draw samples from here that were drawn as parts are, in place.

        Args:
            numbers: purpose → uniform numbers inside (0, 1), (samples, numbers).
            choice: which component each sample comes from, uniform inside (0, 1), (samples,).

        Returns:
            Weights, (samples,).
        """
        scores = {purpose: scipy.special.ndtri(numbers[purpose]) for purpose in self.directions}
        before = sum(scores[purpose] @ along.T for purpose, along in self.directions.items())
        after = self.moved(before, choice)
        for purpose, along in self.directions.items():
            found = scores[purpose] + (after - before) @ along
            numbers[purpose] = scipy.special.ndtr(np.clip(found, -EDGE, EDGE))
        return self.weights(after)

    def moved(self, z: Array, choice: Array) -> Array:
        """Of standard normal z, (samples, k), those of the mixture."""
        component = np.searchsorted(np.cumsum(self.shares) * (1 - STAYING), choice)
        after = z.copy()
        for k, (mean, root) in enumerate(zip(self.means, self.roots, strict=True)):
            own = component == k
            after[own] = mean + z[own] @ root
        return after

    def weights(self, z: Array) -> Array:
        """p / q at z, (samples, k)."""
        terms = [np.full(len(z), np.log(STAYING))]
        for mean, root, share in zip(self.means, self.roots, self.shares, strict=True):
            standard = np.linalg.solve(root, (z - mean).T)
            exponent = ((z**2).sum(axis=1) - (standard**2).sum(axis=0)) / 2
            terms.append(exponent - np.linalg.slogdet(root).logabsdet + np.log((1 - STAYING) * share))
        return np.asarray(np.exp(-scipy.special.logsumexp(terms, axis=0)))


def inflate(numbers: dict[str, Array], inflation: float, samples: int) -> Array:
    """Widen the normal scores of what is shared, in place. Returns the likelihood ratios, (samples,)."""
    weights = np.ones(1)
    for purpose, shares in numbers.items():
        if inflation > 1 and not purpose.endswith(("local", "stuck")):
            beyond = scipy.special.ndtr(-FARTHEST / inflation)
            scores = inflation * scipy.special.ndtri(beyond + shares * (1 - 2 * beyond))
            numbers[purpose] = scipy.special.ndtr(scores)
            ratio = inflation * (1 - 2 * beyond) * np.exp(-(scores**2) * (1 - inflation**-2) / 2)
            weights = weights * ratio.prod(axis=1)
    return np.broadcast_to(weights, samples)
