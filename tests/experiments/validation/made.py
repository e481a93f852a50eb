"""What a run might have found on every device that is compared, without running one."""

from math import inf

import numpy as np

from experiments.validation.conditioning import HARDWARE, Point
from experiments.validation.evidence import COVARIANCE, MEAN, OPERATING_POINT, SPECTRUM, Check, Evidence
from experiments.validation.setups import SETUPS
from experiments.validation.tables import Validation


def found(setups=SETUPS, difference=1e-4):
    checks, evidence = [], []

    def add(setup, agreement, arrays=None, **fields):
        bound, unit = (4.0, "standard errors") if agreement == COVARIANCE else (1e-3, "relative")
        engines = ("network", ".noise" if agreement == SPECTRUM else "ngspice")
        reason = "as in <the others> & more"
        checks.append(Check(setup, agreement, "a quantity", *engines, difference, bound, reason, unit, **fields))
        if arrays:
            evidence.append(Evidence(checks[-1], arrays))

    for setup in setups:
        n, time = setup.cells, np.linspace(0, 1e-5, 40)
        add(setup, OPERATING_POINT, time=inf, seconds=inf)
        curves = np.exp(-np.outer(time / 1e-5, np.arange(1, n + 1)))
        settling = {"seconds": time, "reference": curves, "at": time, "engine": curves}
        add(setup, MEAN, settling, time=2.0, seconds=1e-5)
        frequency = np.geomspace(1e3, 1e9, 30)
        density = 1e-16 / (1 + (frequency / 1e5) ** 2)
        add(setup, SPECTRUM, {"frequency": frequency, "reference": density, "engine": density})
        add(setup, COVARIANCE, {"law": np.eye(n), "found": np.eye(n), "samples": 300}, time=inf, seconds=inf)
    points = []
    for kind in HARDWARE:
        for condition in (1.0, 100.0):
            points.append(Point(*kind, condition, "all", "", 6, 3, 0, 1e-4 * condition, 0.0))
            points.append(Point(*kind, condition, "without", "noise", 6, 3, 0, 1e-6, 0.0))
            points.append(Point(*kind, condition, "only", "noise", 6, 3, 0, 1e-4 * condition, 0.0))
    return Validation(tuple(checks), tuple(evidence), tuple(points))
