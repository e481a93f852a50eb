"""What results are made with."""

from importlib.metadata import PackageNotFoundError, version
from platform import platform, python_version

from solvers.ngspice_process import ngspice_version
from spu_circuit import __version__


def versions() -> dict[str, str]:
    """What a run was made with."""
    found = {"spu-circuit": __version__, "python": python_version(), "platform": platform()}
    for package in ("numpy", "scipy", "jax", "optax", "equinox", "scikit-learn", "PySpice"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    found["ngspice"] = ngspice_version()
    return found
