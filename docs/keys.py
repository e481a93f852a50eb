"""The keys of configs, the fields of hardware and the metrics as tables, from the descriptions in code."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from docs.markdown import table
from experiments.design.config import Design
from experiments.sweeps.config import Sweep
from experiments.sweeps.metrics import METRICS
from experiments.training.config import Experiment, Optimizer
from experiments.training.optimizers import OPTIMIZERS
from experiments.training.tasks import TASKS
from spu_circuit.catalogue import Catalogue
from spu_circuit.description import Description
from spu_circuit.hardware import Hardware, load_hardware, presets
from spu_circuit.variation import KINDS

WORDS = {float: "number", int: "whole number", str: "text", bool: "`true`, `false`"}
"""What values of a type are called."""


def training_keys() -> str:
    """Every key of a training config but those of optimizers and tasks."""
    return _table(Experiment, hidden={"data", "network", "optimizers"})


def optimizer_keys() -> str:
    """Every key of an optimizer, and which kinds take it."""
    return table(
        ("key of [optimizers.NAME]", "values", "default", "meaning", "kinds"),
        ((*row, _takers(row[0].strip("`").split(".")[0])) for row in _keys(Optimizer, "")),
    )


def _takers(name: str) -> str:
    takers = [kind for kind, entry in OPTIMIZERS.items() if name in {"kind", "learning_rates", *entry.takes}]
    return "all" if len(takers) == len(OPTIMIZERS) else ", ".join(f"`{kind}`" for kind in takers)


def task_keys() -> str:
    """Every key of the tables [data] and [network] of every task."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name, task in TASKS.items():
        for path, model in (("data.", task.data), ("network.", task.network)):
            for row in _keys(model, path):
                found.setdefault(tuple(row), []).append(name)
    return table(
        ("key", "values", "default", "meaning", "tasks"),
        (
            (*row, "all" if len(tasks) == len(TASKS) else ", ".join(f"`{name}`" for name in tasks))
            for row, tasks in found.items()
        ),
    )


def sweep_keys() -> str:
    """Every key of a sweep's config."""
    return _table(Sweep)


def design_keys() -> str:
    """Every key of a design's config."""
    return _table(Design)


def catalogue_keys() -> str:
    """Every key of each kind of parts of a catalogue."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name, field in Catalogue.model_fields.items():
        kinds = [each for each in get_args(field.annotation) if _is_table(each)]
        for row in _keys(kinds[0], "") if kinds else ():
            found.setdefault(tuple(row), []).append(name)
    rows = ((*row, ", ".join(f"`{name}`" for name in names)) for row, names in found.items())
    return table(("key of [TABLE.NAME]", "values", "default", "meaning", "tables"), rows)


def preset_list() -> str:
    """The presets in their own words."""
    return table(("preset", "what it is"), ((f"`{name}`", load_hardware(name).description) for name in presets()))


def fields() -> str:
    """Every field of a hardware description but the spreads."""
    return table(("field", "meaning", "default"), _fields(Hardware, ""))


def _fields(model: type[BaseModel], path: str) -> Iterator[Sequence[str]]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if name in ("variation", "library_text"):
            continue
        if isinstance(inner, type) and issubclass(inner, Description):
            yield from _fields(inner, f"{path}{name}.")
        elif field.description:
            default = "" if field.is_required() else "none" if field.default is None else f"`{field.default}`"
            yield f"`{path}{name}`", field.description, "" if field.default == () else default


def part_kinds() -> str:
    """Which parts can vary, and how."""
    variation = Hardware.model_fields["variation"].annotation
    assert variation is not None
    hidden = {"matching", "limit"}

    def rows() -> Iterator[Sequence[str]]:
        for kind in KINDS:
            inner = variation.model_fields[kind].annotation
            takes = {name: f.description for name, f in inner.model_fields.items() if f.description}
            yield f"`{kind}`", ", ".join(f"`{name}`" for name in takes if name not in hidden)

    return table(("part", "takes"), rows())


def metrics() -> str:
    """What a sweep measures of every sample."""
    return table(
        ("metric", "unit", "meaning"),
        ((f"`{name}`", metric.unit or "1", metric.meaning) for name, metric in METRICS.items()),
    )


def _table(model: type[BaseModel], hidden: Collection[str] = ()) -> str:
    rows = (row for row in _keys(model, "") if row[0].strip("`").split(".")[0] not in hidden)
    return table(("key", "values", "default", "meaning"), rows)


def _keys(model: type[BaseModel], path: str) -> Iterator[tuple[str, ...]]:
    """Key, values, default and meaning of every field, of tables within it too; of tables that are alike once."""
    tables = {_alternatives(field.annotation) for field in model.model_fields.values()}
    if len(model.model_fields) > 1 and len(tables) == 1 and _is_table(alike := next(iter(tables))[0]):
        names = ", ".join(f"`{name}`" for name in model.model_fields)
        yield f"`{path}KEY`", "table", "none", f"KEY is one of {names}"
        yield from _keys(alike, f"{path}KEY.")
        return
    for name, field in model.model_fields.items():
        inner = next((each for each in _alternatives(field.annotation) if _is_table(each)), None)
        if inner is not None:
            yield from _keys(inner, f"{path}{name}.")
            continue
        default = "" if field.is_required() else "none" if field.default is None else _toml(field.default)
        yield f"`{path}{name}`", _values(field.annotation), default, field.description or ""


def _is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Description)


def _alternatives(kind: Any) -> tuple[Any, ...]:
    """What a field may be, None aside."""
    return tuple(each for each in get_args(kind) if each is not NoneType) if _is_union(kind) else (kind,)


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType)


def _values(kind: Any) -> str:
    """Which values TOML may give."""
    told = []
    for each in _alternatives(kind):
        each = _plain(each)
        if get_origin(each) is Literal:
            told.append(", ".join(f"`{value}`" for value in get_args(each)))
        elif get_origin(each) is tuple:
            told.append(f"list of {WORDS[_plain(get_args(each)[0])]}s")
        else:
            told.append(WORDS.get(each, "table"))
    return " or ".join(dict.fromkeys(told))


def _plain(kind: Any) -> Any:
    """A type without its notes."""
    return _plain(get_args(kind)[0]) if get_origin(kind) is Annotated else kind


def _toml(value: Any) -> str:
    """A default as a config would say it."""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{list(value)}`"
    return f"`{value}`" if not isinstance(value, Mapping) else ""
