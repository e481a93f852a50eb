"""White noise for transients, which ngspice does not give to resistors by itself."""

from math import sqrt


def white_current(density: float, hold: float) -> str:
    """Source value of a current that takes a new independent Gaussian value every ``hold`` seconds.

    Below 1 / hold it has the one-sided density S of white noise when its variance is ``S / (2 hold)``. TRRANDOM holds
    its value; TRNOISE would interpolate and so lose power.

    Args:
        density: S, A²/Hz.
        hold: seconds.
    """
    return f"DC 0 TRRANDOM(2 {hold!r} 0 {sqrt(density / (2 * hold))!r} 0)"
