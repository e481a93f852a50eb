"""Whether a circuit grows: a look at its extreme modes that never forms their matrix.

A mode of rate r is ``c = (1 − h r) / (1 + h r)`` of the map ``2 W − 1``, W an implicit step of length h: inside the
unit circle exactly where it decays, whatever its frequency. A few steps of Arnoldi's method find the modes furthest out
(Saad, Numerical Methods for Large Eigenvalue Problems, 2011), those near 1/h first, which h puts between what the array
and its amplifiers can do.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from netlists.array import ProgrammedArray
from netlists.device import Device, topology_of
from solvers.network.blocks import Factors
from spu_circuit.errors import MappingError
from spu_circuit.hardware import Hardware

Array = NDArray[np.float64]

VECTORS = 24
"""Steps: with h a fifth of the array's time constant they find a rate of −0.01 of the array's among 216 modes."""
BLOCKS = 4
"""In so many smaller blocks the strongest arrays are tried where they grow."""
SHARE = 0.2
"""Of the array's time constant that h is: from there growth shows both at a hundredth and at hundreds of its rate."""


ROUNDING = 1e-11
"""What lies beyond the unit circle by less is on it: capacitors in a loop, or beside a source, whose voltages follow
others at once, are at −1."""


def growth_of(factors: Factors, total: int) -> Array:
    """How far the modes found reach beyond the unit circle, (batch,): above 0 one grows, as far as can be seen.

    Where M is far from normal the modes found may lie outside although all decay: whoever is told so looks at all.

    Args:
        factors: implicit steps, see ``Structure.stepping``.
        total: how many states there are.
    """
    batch = factors.batch
    steps = min(VECTORS, total)
    basis = np.zeros((steps + 1, batch, total))
    matrix = np.zeros((batch, steps + 1, steps))
    first = np.random.default_rng(0).standard_normal(total)
    basis[0] = first / np.linalg.norm(first)
    for k in range(steps):
        after = 2 * factors.apply(basis[k][:, :, None], total)[:, :, 0] - basis[k]
        for _ in range(2):  # again, since once leaves them not quite perpendicular
            along = np.einsum("kbn,bn->bk", basis[: k + 1], after)
            matrix[:, : k + 1, k] += along
            after = after - np.einsum("kbn,bk->bn", basis[: k + 1], along)
        length = np.linalg.norm(after, axis=1)
        matrix[:, k + 1, k] = length
        # Where nothing is left the modes found are those of the circuit; zeros add modes in the middle.
        basis[k + 1] = np.where(length[:, None] > 1e-12, after / np.maximum(length, 1e-300)[:, None], 0.0)
    return _beyond(matrix[:, :steps])


def growth_of_all(factors: Factors, total: int) -> Array:
    """The same of every mode, by the dense matrix of a step: slow, and sure.

    A mode far faster than 1/h is near 0 of it, whatever rounding makes of its rate: the inverse of the matrix, which
    has the rates, leaves nothing of the slow modes where a vendor's model has some of 1e20/s.
    """
    steps = factors.apply(np.broadcast_to(np.eye(total), (factors.batch, total, total)), total)
    return _beyond(2 * steps - np.eye(total))


def _beyond(matrix: Array) -> Array:
    """How far the modes of each matrix reach beyond the unit circle, (batch,)."""
    largest: Array = np.abs(np.linalg.eigvals(matrix)).max(axis=1) - 1
    return np.where(largest > ROUNDING, largest, np.minimum(largest, 0.0))


def driven(array: ProgrammedArray, hardware: Hardware) -> Array:
    """The most that an output and its inverse drive together in each array of a batch, S."""
    return np.asarray(array.loads(hardware).sum(axis=-2).max(axis=-1))


def decaying_drive(hardware: Hardware, cells: int, growth: Callable[[ProgrammedArray], Array]) -> float:
    """What an output and its inverse may drive together, S, for a definite array to be taken to decay.

    The most that the strongest arrays of the board drive and still decay, in smaller and smaller blocks. That those
    which drive less, and so are slower, decay too is observed, not proved.

    Args:
        growth: see ``growth_of``, of a batch of arrays.
    """
    together = cells
    while together and (array := topology_of(hardware).strongest(cells, together, hardware)) is not None:
        if (growth(array) <= 0).all():
            return float(driven(array, hardware).min())
        together //= BLOCKS
    return 0.0


def unstable(rate: complex, capacitor: str, modes: int, device: Device, drawn: bool) -> MappingError:
    """The error of a device of which a mode grows: it cannot hold this matrix.

    Args:
        drawn: its parts are those of a sample.
    """
    hardware: Hardware = device.hardware
    growth = -float(np.linalg.eigvals(device.drift).real.min())
    if growth >= 0:
        needed = max(growth, -rate.real) * float(device.time_constant)
        cure = f"add a damping λ above {needed:.3g} to the matrix"
    elif drawn:
        cure = "as its levels hold it the matrix decays, but not with the parts of this sample; add a damping λ to it"
    else:
        cure = (
            "the matrix decays, so its amplifiers are too slow for it: take more gain_bandwidth or a larger capacitance"
        )
        if hardware.amplifier.library_text is not None:
            cure = (
                "the matrix decays, so the amplifier is too slow for it, or has too much capacitance at its input for "
                "the inverter_resistance, or pins exchange its plus and minus"
            )
    return MappingError(
        f"the array is unstable: 1 of {modes} modes, mostly {capacitor}, grows at {-rate.real:.3g} 1/s; {cure}"
    )
