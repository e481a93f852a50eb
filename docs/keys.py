"""The keys of configs, the fields of hardware and the metrics as tables, from the descriptions in code."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from docs.examples import ANY, Document, catalogue, configs, example, hardware, within
from docs.markdown import table
from experiments.design.config import Design
from experiments.shared.toml import inline
from experiments.sweeps.analyses import ANALYSES
from experiments.sweeps.config import Analysis, Sweep, Workload
from experiments.sweeps.metrics import METRICS
from experiments.sweeps.workloads import WORKLOADS
from experiments.training.config import Experiment, Optimizer
from experiments.training.optimizers import OPTIMIZERS
from experiments.training.tasks import TASKS
from spu_circuit.catalogue import Catalogue
from spu_circuit.costs import Sourced
from spu_circuit.description import Description
from spu_circuit.hardware import Hardware, load_hardware, presets
from spu_circuit.quantity import shown, unit_of
from spu_circuit.spread import Drift, Matching, RelativeDrift, RelativeSpread, Spread
from spu_circuit.variation import KINDS

ZERO_CELSIUS = 273.15
"""K."""

WORDS = {float: "number", int: "whole number", str: "text", bool: "`true`, `false`"}
"""What values of a type are called."""
NAMES: Mapping[type, Mapping[str, Iterable[str]]] = {
    Workload: {"kind": WORKLOADS},
    Analysis: {"kind": ANALYSES},
    Experiment: {"task": TASKS},
    Optimizer: {"kind": OPTIMIZERS},
}
"""Texts of which a registry knows all that may be there."""
LEAVES = {Spread: "spread", Drift: "drift", Matching: "matching", Sourced: "`value` and `source`"}
"""Tables that are explained once, and what they are called."""
HEAD = ("key", "values", "unit", "default", "example", "meaning")


def training_keys() -> str:
    """Every key of a training config but those of optimizers and tasks."""
    rows = _keys(Experiment, "", configs("task"))
    return table(HEAD, (row for row in rows if _first(row) not in {"data", "network", "optimizers"}))


def optimizer_keys() -> str:
    """Every key of an optimizer, and which kinds take it."""
    shipped = [each for document in configs("task") for each in document["optimizers"].values()]
    rows = ((*row, _takers(_first(row))) for row in _keys(Optimizer, "", shipped))
    return table(("key of [optimizers.NAME]", *HEAD[1:], "kinds"), rows)


def _first(row: Sequence[str]) -> str:
    return row[0].strip("`").split(".")[0]


def _takers(name: str) -> str:
    takers = [kind for kind, entry in OPTIMIZERS.items() if name in {"kind", "learning_rates", *entry.takes}]
    return _listed(takers, OPTIMIZERS)


def _listed(names: Sequence[str], known: Collection[str]) -> str:
    return "all" if len(names) == len(known) else ", ".join(f"`{name}`" for name in names)


def _merged(rows: Iterable[tuple[tuple[str, ...], str]]) -> dict[tuple[str, ...], list[str]]:
    """Rows that are alike but for their example, of which the first stays, and what they are of."""
    found: dict[tuple[str, ...], list[str]] = {}
    examples: dict[tuple[str, ...], str] = {}
    at = HEAD.index("example")
    for row, name in rows:
        alike = (*row[:at], *row[at + 1 :])
        found.setdefault(alike, []).append(name)
        examples[alike] = examples.get(alike) or row[at]
    return {(*alike[:at], examples[alike], *alike[at:]): names for alike, names in found.items()}


def task_keys() -> str:
    """Every key of the tables [data] and [network] of every task."""

    def rows() -> Iterator[tuple[tuple[str, ...], str]]:
        for name, task in TASKS.items():
            shipped = [document for document in configs("task") if document["task"] == name]
            for path, model in (("data.", task.data), ("network.", task.network)):
                yield from ((row, name) for row in _keys(model, path, shipped))

    found = ((*row, _listed(tasks, TASKS)) for row, tasks in _merged(rows()).items())
    return table((*HEAD, "tasks"), found)


def sweep_keys() -> str:
    """Every key of a sweep's config."""
    return table(HEAD, _keys(Sweep, "", configs("analysis")))


def design_keys() -> str:
    """Every key of a design's config."""
    return table(HEAD, _keys(Design, "", configs("specification")))


def catalogue_keys() -> str:
    """Every key of each kind of parts of a catalogue."""

    def rows() -> Iterator[tuple[tuple[str, ...], str]]:
        for name, field in Catalogue.model_fields.items():
            kinds = [each for each in get_args(field.annotation) if _is_table(each)]
            shipped = list(catalogue().get(name, {}).values()) if kinds else []
            yield from ((row, name) for row in (_keys(kinds[0], "", shipped) if kinds else ()))

    found = ((*row, ", ".join(f"`{name}`" for name in names)) for row, names in _merged(rows()).items())
    return table(("key of [TABLE.NAME]", *HEAD[1:], "tables"), found)


def variation_keys() -> str:
    """Every key of the spreads of hardware, and the kinds of parts that take it."""
    spreads = within(hardware(), ["variation"])
    variation = Hardware.model_fields["variation"].annotation
    assert variation is not None

    def rows() -> Iterator[tuple[tuple[str, ...], str]]:
        for kind in KINDS:
            inner = variation.model_fields[kind].annotation
            yield from (
                (row, kind) for row in _keys(inner, "KIND.", [{"KIND": each} for each in within(spreads, [kind])])
            )

    of_kinds = ((*row, _listed(kinds, KINDS)) for row, kinds in _merged(rows()).items())
    of_all = ((*row, "") for row in _keys(variation, "", spreads, hidden=KINDS))
    return table(("key of [hardware.variation]", *HEAD[1:], "kinds"), (*of_kinds, *of_all))


def spread_keys() -> str:
    """Every key of the tables that ``variation_keys`` names."""
    spreads = within(hardware(), ["variation"])
    of_parts = within(spreads, KINDS)

    def rows() -> Iterator[Sequence[str]]:
        for model, names in (
            (RelativeSpread, ("local", "lot", "gradient")),
            (RelativeDrift, ("temperature_coefficient",)),
            (Matching, ("matching",)),
        ):
            shipped = within(of_parts, names)
            for key, values, unit, *others in _keys(model, "", shipped):
                own = unit if model is Matching or not unit else f"of the {_leaf(model)}"
                yield f"`{_leaf(model)}`", key, values, own, *others

    return table(("table", *HEAD), rows())


def preset_list() -> str:
    """The presets in their own words."""
    return table(("preset", "what it is"), ((f"`{name}`", load_hardware(name).description) for name in presets()))


def fields() -> str:
    """Every field of a hardware description but the spreads."""
    rows = _keys(Hardware, "", hardware(), hidden=("variation", "name", "description"))
    return table(("field", *HEAD[1:]), (row for row in rows if row[-1] and "library_text" not in row[0]))


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


def _keys(
    model: type[BaseModel], path: str, shipped: Collection[Document], hidden: Collection[str] = ()
) -> Iterator[tuple[str, ...]]:
    """The cells of ``HEAD`` for every field, of tables within it too; of tables that are alike once.

    Args:
        shipped: documents that examples come from.
    """
    named = {name: field for name, field in model.model_fields.items() if name not in hidden}
    named = {name: field for name, field in named.items() if field.annotation is not NoneType}
    tables = {_alternatives(field.annotation) for field in named.values()}
    if len(named) > 1 and len(tables) == 1 and _is_table(alike := next(iter(tables))[0]):
        names = ", ".join(f"`{name}`" for name in named)
        yield f"`{path}{ANY}`", "table", "", "none", "", f"{ANY} is one of {names}"
        yield from _keys(alike, f"{path}{ANY}.", shipped)
        return
    for name, field in named.items():
        inner = next((each for each in _alternatives(field.annotation) if _is_table(each)), None)
        leaf = "" if inner is None else _leaf(inner)
        if inner is not None and not leaf:
            yield from _keys(inner, f"{path}{name}.", shipped)
            continue
        unit = _unit_of_leaf(inner) if inner is not None else unit_of(field.annotation, field.metadata)
        values = leaf or _names(model, name) or _values(field.annotation, unit)
        default = (
            "" if field.is_required() else "none" if leaf or field.default is None else _default(field.default, unit)
        )
        meaning = _without(unit, field.description or "")
        yield f"`{path}{name}`", values, unit, default, example(shipped, path + name), meaning


def _without(unit: str, meaning: str) -> str:
    """A description without the unit that a column of its own says."""
    return re.sub(rf", {re.escape(unit)}(?=$|[;,:]| \()", "", meaning) if unit else meaning


def _names(model: type[BaseModel], name: str) -> str:
    return ", ".join(f"`{each}`" for each in NAMES.get(model, {}).get(name, ()))


def _leaf(kind: type) -> str:
    return next((word for leaf, word in LEAVES.items() if issubclass(kind, leaf)), "")


def _unit_of_leaf(kind: type[BaseModel]) -> str:
    units = (unit_of(field.annotation, field.metadata) for field in kind.model_fields.values())
    return next(filter(None, units), "")


def _is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Description)


def _alternatives(kind: Any) -> tuple[Any, ...]:
    """What a field may be, None aside."""
    return tuple(each for each in get_args(kind) if each is not NoneType) if _is_union(kind) else (kind,)


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType)


def _values(kind: Any, unit: str) -> str:
    """Which values TOML may give."""
    told = []
    for each in _alternatives(kind):
        each = _plain(each)
        if get_origin(each) is Literal:
            told.append(", ".join(f"`{value}`" for value in get_args(each)))
        elif get_origin(each) is tuple:
            of = _plain(get_args(each)[0])
            told.append("list of " + ("quantities" if unit else f"{WORDS[of]}s" if of in WORDS else _values(of, "")))
        elif unit and each is float:
            told.append("quantity")
        else:
            told.append(WORDS.get(each, "table"))
    return " or ".join(dict.fromkeys(told))


def _plain(kind: Any) -> Any:
    """A type without its notes."""
    return _plain(get_args(kind)[0]) if get_origin(kind) is Annotated else kind


def _default(value: Any, unit: str) -> str:
    """A default as a config would say it."""
    if isinstance(value, BaseModel) or value in ((), {}):
        return ""
    return f"`{inline(_told(value, unit) if unit else value)}`"


def _told(value: Any, unit: str) -> Any:
    """In its unit; temperatures that are whole in °C are in °C."""
    if isinstance(value, tuple):
        return [_told(each, unit) for each in value]
    celsius = round(value - ZERO_CELSIUS, 6)
    if unit == "K" and celsius == int(celsius):
        return f"{celsius:g} °C"
    return shown(value, unit, 6)
