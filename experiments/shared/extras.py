"""Packages that only some commands need: the extras of the installation."""

from importlib.util import find_spec

from spu_circuit.errors import InputError

PAGES = ("matplotlib", "jinja2")
TRAINING = ("jax", "optax", "equinox", "sklearn", "dask", "distributed", *PAGES)
EXTRAS = {
    "report": PAGES,
    "sweep": ("dask", "distributed", "pyarrow", "SALib", *PAGES),
    "train": TRAINING,
    "language": (*TRAINING, "safetensors", "tokenizers"),
    "kfac": (*TRAINING, "kfac_jax"),
}
"""Modules by extra. Where one is in several, the first extra that has it is named."""


def missing(extra: str) -> list[str]:
    """Modules of an extra that are not installed."""
    return [module for module in EXTRAS[extra] if not _installed(module)]


def require(extra: str, what: str) -> None:
    """Raise InputError where an extra is not installed: ``what`` needs it, and how to install it."""
    if lacking := missing(extra):
        raise InputError(_cure(what, ", ".join(lacking), extra))


def explained(error: ModuleNotFoundError) -> str | None:
    """What to tell the user of a module that was not found; None: no extra has it."""
    module = (error.name or "").partition(".")[0]
    return next((_cure("this", module, extra) for extra in EXTRAS if module in EXTRAS[extra]), None)


def _cure(what: str, modules: str, extra: str) -> str:
    return f"{what} needs {modules}; install it with: pip install 'spu-circuit[{extra}]'"


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
