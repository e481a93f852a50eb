"""Tables as TOML, as a person would write them."""

import json
import re
from collections.abc import Mapping
from typing import Any

BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(document: Mapping[str, Any], path: tuple[str, ...] = ()) -> str:
    """Tables of texts, numbers, lists and tables; each table under a head of its own."""
    plain = {name: value for name, value in document.items() if not isinstance(value, Mapping)}
    lines = [f"{_key(name)} = {inline(value)}" for name, value in plain.items()]
    if path and (plain or not document):
        lines = [f"[{'.'.join(map(_key, path))}]", *lines]
    inner = (
        toml_text(value, (*path, name)).rstrip("\n") for name, value in document.items() if isinstance(value, Mapping)
    )
    return "\n\n".join(filter(None, ["\n".join(lines), *inner])) + "\n"


def _key(name: str) -> str:
    return name if BARE.fullmatch(name) else _text(name)


def inline(value: Any) -> str:
    """A value as it stands behind its key; a table in braces."""
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(name)} = {inline(each)}' for name, each in value.items())} }}"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(inline, value))}]"
    return repr(value)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
