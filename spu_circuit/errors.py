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


def did_you_mean(text: str, known: Iterable[str], plural: str = "") -> str:
    """The cure for a name that nobody knows: the nearest one, or all there are.

    Args:
        plural: what they are; then all are listed anyway.
    """
    names = list(known)
    # Where all are listed, only what is surely meant is named.
    near = get_close_matches(text, names, n=1, cutoff=0.6 if plural else 0.4)
    near = [name for name in names if text and name.startswith(text)] or near
    hint = f"did you mean {near[0]!r}?" if near else ""
    if plural:
        return f"{hint} {plural} are {', '.join(names)}".strip()
    return hint or f"known are {', '.join(names) or 'none'}"
