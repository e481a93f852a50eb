"""Digital computers that devices are compared with, at a tenth of their peak rate."""

from optim.cost import Machine

SHARE = 0.1
"""Of the peak rate, an assumption: dense steps of small batches are bound by memory. Power is taken in full."""


def _machine(name: str, peak: float, watts: float, source: str) -> Machine:
    return Machine(name, SHARE * peak, SHARE * peak / watts, source)


MACHINES = {
    "gpu": _machine("GPU", 19.5e12, 400.0, "NVIDIA A100 SXM data sheet: 19.5 TFLOP/s in single precision, 400 W"),
    "cpu": _machine("CPU", 5.0e12, 280.0, "AMD EPYC 7763: 64 cores × 32 FLOP × 2.45 GHz, 280 W"),
}
