"""How linear algebra runs: on one thread, and its breakdowns have a name."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from importlib import import_module
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from spu_circuit.errors import SimulationError

Result = TypeVar("Result")


@cache
def _libraries() -> ThreadpoolController:
    """Those that are loaded, SciPy's own BLAS among them: what loads later would keep all its threads."""
    import_module("scipy.linalg.lapack")
    return ThreadpoolController()


def on_one_thread(method: Callable[..., Result]) -> Callable[..., Result]:
    """BLAS gets one thread: products of small matrices are over before a second one is awake."""

    @wraps(method)
    def alone(*args: Any, **given: Any) -> Result:
        with _libraries().limit(limits=1, user_api="blas"), breakdown_named():
            return method(*args, **given)

    return alone


@contextmanager
def breakdown_named() -> Iterator[None]:
    """Algebra that breaks down, as it can where parts differ by more digits than numbers have, is a SimulationError."""
    try:
        yield
    except np.linalg.LinAlgError as error:
        raise SimulationError(
            f"the device's equations cannot be solved ({error}); raise the damping, or bring the values of its parts "
            "nearer to each other"
        ) from error
