"""What stores of results have in common."""

from collections.abc import Sequence
from typing import Any


def first_difference(kept: Any, new: Any) -> tuple[str, Any, Any] | None:
    """The dotted name of the first leaf in which two nested dictionaries differ, with both values; None: none."""
    old, young = _flat(kept), _flat(new)
    for name in sorted(old | young):
        if old.get(name) != young.get(name):
            return name, old.get(name), young.get(name)
    return None


def _flat(tree: Any, path: Sequence[str] = ()) -> dict[str, Any]:
    """Leaves of nested dictionaries by dotted name."""
    if isinstance(tree, list) and tree and isinstance(tree[0], dict):
        tree = {str(k): entry for k, entry in enumerate(tree)}
    if isinstance(tree, dict):
        return {name: leaf for key, value in tree.items() for name, leaf in _flat(value, (*path, key)).items()}
    return {".".join(path): tree}
