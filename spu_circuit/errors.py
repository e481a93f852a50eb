"""What can go wrong, as types. A message names the field, the value and the cure, in one line."""

from collections.abc import Iterable
from difflib import get_close_matches


class SpuError(Exception):
    """Base of every error that this project raises on purpose."""


class InputError(SpuError, ValueError):
    """What the user gave cannot be used."""


class MappingError(InputError):
    """The hardware cannot hold this problem."""


class SimulationError(SpuError, RuntimeError):
    """A simulation was started and gave no usable result."""


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """The cure for a name that nobody knows: the nearest one, or all there are."""
    names = list(known)
    near = get_close_matches(text, names, n=1, cutoff=0.4)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"
