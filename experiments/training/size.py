"""What the curvature of a training takes, to refuse what cannot fit before it is begun."""

from experiments.training.config import Experiment
from experiments.training.methods import factor_of
from spu_circuit.errors import InputError
from spu_circuit.memory import GIBIBYTE, machine_memory

PER_ENTRY = 4 + 2 * 8
"""Bytes of an entry of B (K, N), which is computed in single precision, and solved and judged in double."""
PER_PAIR = 4 * 8
"""Bytes of an entry of the K×K matrix: itself, its factor, and what both are made of."""


def check_memory(experiment: Experiment, name: str) -> None:
    """Refuse an optimizer whose curvature is more than this machine holds.

    Raises:
        InputError: says K, and what fits.
    """
    settings = experiment.optimizers[name]
    if not settings.entry.curved:
        return
    rows, parameters = factor_of(experiment, name).shape
    needed, most = PER_ENTRY * rows * parameters + PER_PAIR * rows**2, machine_memory()
    if needed <= most:
        return
    # The largest K, the positive root of PER_PAIR K² + PER_ENTRY N K = most.
    half = PER_ENTRY * parameters / (2 * PER_PAIR)
    fitting = int((half**2 + most / PER_PAIR) ** 0.5 - half)
    samples = settings.curvature_samples or experiment.batch_of(name)
    fewer = "batch_size" if settings.mapping == "kernel" else "curvature_samples"
    cures = {fewer: fitting * samples // rows}
    if settings.curvature == "sampled fisher":
        cures = {"draws": fitting // samples, **cures}
    last = "fewer parameters" if fewer == "batch_size" else "a sampled fisher"
    if "draws" in cures:
        last = f"draws = 1 and {fewer} = {fitting}" if fitting else "fewer parameters"
    fit = " or ".join(f"{field} = {most}" for field, most in cures.items() if most)
    raise InputError(
        f"config: optimizers.{name}: K = {rows} rows of {parameters} parameters need about "
        f"{needed / GIBIBYTE:.3g} GiB of memory, this machine has {most / GIBIBYTE:.3g} for K = {fitting}; take "
        f"{fit or last}"
    )
