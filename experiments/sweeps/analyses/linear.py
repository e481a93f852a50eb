"""What analyses have in common that take derivatives of the nominal device."""

from math import inf

from experiments.sweeps.config import Sweep
from experiments.sweeps.workloads import WORKLOADS
from spu_circuit.errors import InputError


def refuse_without_derivatives(sweep: Sweep) -> None:
    """Raise InputError where a sweep's solutions have no derivatives by its parts."""
    wrong = ""
    if sweep.workload.systems > 1 or WORKLOADS[sweep.workload.kind].systems is None:
        wrong = "looks at one system; set workload.systems = 1"
    elif sweep.time < inf:
        wrong = "is about settled solutions; leave time out"
    elif sweep.precision is not None:
        wrong = "has derivatives of the device alone; leave precision out"
    elif sweep.device().array.wire_resistance:
        wrong = "has no derivatives behind wires; set hardware.array.wire_resistance = '0 Ω'"
    if wrong:
        raise InputError(f"analysis.kind {sweep.analysis.kind!r} {wrong}")
