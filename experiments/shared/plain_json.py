"""JSON that every reader takes: a number that is not finite is null."""

import json
from math import isfinite
from typing import Any


def json_text(tree: Any, **options: Any) -> str:
    """Args: dictionaries, lists and plain values; and options of ``json.dumps``."""
    return json.dumps(_plain(tree), allow_nan=False, ensure_ascii=False, **options)


def _plain(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {name: _plain(value) for name, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_plain(value) for value in tree]
    return None if isinstance(tree, float) and not isfinite(tree) else tree
