"""What analyses have in common that take derivatives of the nominal device."""

from experiments.sweeps.config import Sweep
from experiments.sweeps.workloads import WORKLOADS


def without_derivatives(sweep: Sweep) -> str:
    """Why solutions have no derivatives by a sweep's parts, as far as its description says; "" where they may have."""
    if WORKLOADS[sweep.workload.kind].systems is None:
        return f"a copy of workload {sweep.workload.kind!r} solves many systems"
    if sweep.precision is not None:
        return "it is about a device's own solution, and [precision] refines that"
    return ""
