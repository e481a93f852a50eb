"""Descriptions from TOML: the first mistake as one line, which names the field, the value and the cure."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from spu_circuit.errors import InputError, did_you_mean
from spu_circuit.files import cut, shortened
from spu_circuit.quantity import FROM_TEXT

Model = TypeVar("Model", bound=BaseModel)
DEEPEST = 20
NESTED = f"tables or lists stand more than {DEEPEST} deep in each other; no field does"


def from_toml(model: type[Model], source: bytes, where: str, folder: Path = Path()) -> Model:
    """Build a description from a TOML file's content, with the first mistake as one line.

    Args:
        folder: that paths in it are relative to.

    Raises:
        InputError: names the field, the value and the cure (the nearest known key, or the wanted unit).
    """
    return from_document(model, read_toml(source, where), where, folder)


def read_toml(source: bytes, where: str) -> dict[str, Any]:
    """A TOML file's content. Raises InputError where it is none."""
    try:
        document = tomllib.loads(source.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{where}: not TOML: {cut(str(error))}") from None
    except ValueError:
        raise InputError(f"{where}: an integer has thousands of digits, which no field takes; shorten it") from None
    except RecursionError:
        raise InputError(f"{where}: {NESTED}") from None
    level: list[Any] = [document]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)]
        level = [inner for inner in level if isinstance(inner, dict | list)]
        if not level:
            return document
    raise InputError(f"{where}: {NESTED}")


def from_document(model: type[Model], document: Mapping[str, Any], where: str, folder: Path = Path()) -> Model:
    """Build a description from tables that were read from TOML. See ``from_toml``."""
    try:
        return model.model_validate(document, context=FROM_TEXT | {"folder": folder})
    except ValidationError as error:
        raise InputError(f"{where}: {cut(_first_mistake(model, error), 800)}") from None


def merged(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A document with changes: tables are merged, anything else takes the place of what was there.

    A table that names another ``model`` takes the old one's place, too: other models have other fields.
    """
    found = dict(document)
    for key, value in changes.items():
        old = found.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping) and _same_model(old, value):
            value = merged(old, value)
        found[key] = value
    return found


def _same_model(old: Mapping[str, Any], changes: Mapping[str, Any]) -> bool:
    return changes.get("model", old.get("model")) == old.get("model")


def _first_mistake(model: type[BaseModel], error: ValidationError) -> str:
    # A misspelt key also makes one missing, and a wrong value says more than a missing one.
    order = {"extra_forbidden": 0, "missing": 2}
    mistake = min(error.errors(), key=lambda m: order.get(m["type"], 1))
    field = ".".join(str(part) for part in mistake["loc"])
    if mistake["type"] == "extra_forbidden":
        known = _keys(model, mistake["loc"][:-1])
        return f"unknown key {field!r}; {did_you_mean(str(mistake['loc'][-1]), known)}"
    if mistake["type"] == "missing":
        return f"{field} is missing; add it"
    message = mistake["msg"].removeprefix("Value error, ")
    shown = "" if mistake["type"] == "value_error" else f" (got {shortened(mistake['input'])})"
    return f"{field}: {message}{shown}" if field else f"{message}{shown}"


def _keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Field names at a place in the description."""
    parts = iter(path)
    for part in parts:
        annotation = model.model_fields[str(part)].annotation
        if get_origin(annotation) is dict:
            next(parts, None)
        inner = [a for a in (annotation, *get_args(annotation)) if isinstance(a, type) and issubclass(a, BaseModel)]
        if not inner:
            return []
        model = inner[0]
    return list(model.model_fields)
