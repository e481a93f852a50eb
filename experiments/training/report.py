"""From a run store to files that people and scripts read."""

import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from math import inf
from pathlib import Path
from typing import Any

from experiments.shared.figures import draw_all
from experiments.shared.files import write, write_csv
from experiments.shared.grid import Setting, axis_name, setting_text, value_text
from experiments.shared.page import Picture, render
from experiments.training import ledger_report, resilience
from experiments.training.config import points_of
from experiments.training.devices import disturbs
from experiments.training.figures import FIGURES, GRID, Across, Findings, colours
from experiments.training.optimizers import kind_named, label
from experiments.training.resilience import Bearing, bearings
from experiments.training.resilience_figures import figures as resilience_figures
from experiments.training.store import COLUMNS, SIZES, Arrays, Step, Store, Trial
from experiments.training.summary import results, shares, summarize, trained
from experiments.training.task import Measure
from spu_circuit.errors import InputError


@dataclass(frozen=True)
class Shown:
    """What the report shows of one point of the grid.

    Args:
        config: the experiment there, with what the grid sets as ``setting``.
        entries: of summary.json, by optimizer.
        labels: optimizers as people call them.
        figures: what is drawn of it.
        alike: optimizers that are the same at all points.
    """

    config: dict[str, Any]
    entries: dict[str, Any]
    labels: dict[str, str]
    figures: list[Picture]
    alike: frozenset[str]

    @property
    def score(self) -> Measure:
        return Measure(**self.config["score"])

    @property
    def told(self) -> list[tuple[str, Measure]]:
        """What a summary tells of test samples at the end, by its entry: the score, and what is told beside it."""
        return _told(self.config)

    @property
    def setting(self) -> Setting:
        return dict(self.config["setting"])

    def concerning(self, name: str) -> Setting:
        """What of the setting is not another optimizer's."""
        if name in self.alike:
            return {}
        return {
            field: value
            for field, value in self.setting.items()
            if not field.startswith("optimizers.") or field.startswith(f"optimizers.{name}.")
        }

    def titled(self, name: str) -> str:
        """An optimizer with what of the setting concerns it."""
        return ", ".join(filter(None, (self.labels[name], setting_text(self.concerning(name)))))


def write_reports(store: Store) -> list[str]:
    """Write config.json, history.csv, summary.json, the figures and report.html beside the store.

    Returns:
        The findings as sentences; none where no step was begun.
    """
    folder = store.path.parent
    claimed, history = store.claimed(), store.history()
    failures = store.failures()
    if not history and not failures:
        return []
    try:
        config, versions = claimed["experiment"], claimed["versions"]
        configs, summary = points_of(config), summarize(history, config, failures)
        ledger_report.add_costs(summary, history, configs, claimed.get(SIZES))
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise InputError(
            f"output: {str(store.path)!r} is damaged or foreign: its config is none that train writes "
            f"({type(error).__name__}: {error}); restore the file"
        ) from None
    write(folder / "config.json", json.dumps(claimed, indent=2, allow_nan=False) + "\n")
    _write_history(folder / "history.csv", history, configs)
    exhibits = store.exhibits()
    entries = summary.get("points", [summary])
    alike = _alike(configs)
    points = [
        _shown(point, entry["optimizers"], own, exhibits, alike, _figures_folder(folder, number, config))
        for number, (point, entry, own) in enumerate(zip(configs, entries, shares(history, configs), strict=True))
    ]
    reached, alike_there = bearings(history, config, failures) if "points" in config else ([], [])
    if reached:
        write_csv(folder / "resilience.csv", resilience.COLUMNS, resilience.rows(reached))
        summary["resilience"] = resilience.entries(reached)
    write(folder / "summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")
    notes = dict.fromkeys(note for point in configs for note in point.get("notes", ()))
    sentences = [*notes, *resilience.sentences(reached), *in_words(points)]
    sentences += [f"{trial} failed in step {failure.step}: {failure.error}" for trial, failure in failures.items()]
    page = render(
        "training/report.html",
        name=config["name"],
        sentences=sentences,
        meaning=MEANING.format(score=points[0].score.name, better=points[0].score.better),
        config=json.dumps(config, indent=2),
        versions=versions,
        bearing=_bearing_fields(reached, alike_there, points, folder),
        costs=ledger_report.fields({p.titled(name): own for p in points for name, own in p.entries.items()}),
        **_grid_fields(points, folder) if "points" in config else _fields(points),
    )
    write(folder / "report.html", page)
    return sentences


def _shown(
    config: dict[str, Any],
    entries: dict[str, Any],
    history: Sequence[Step],
    exhibits: dict[Trial, Arrays],
    alike: frozenset[str],
    folder: Path,
) -> Shown:
    labels = {name: label(name, settings) for name, settings in config["optimizers"].items()}
    where = setting_text(config["setting"])
    found = results(history, config)
    chosen = {(result.optimizer, result.learning_rate) for result in found}
    arrays = [each for t, each in exhibits.items() if trained(t, config) and (t.optimizer, t.learning_rate) in chosen]
    drawn = draw_all(FIGURES, Findings(config, found, arrays, labels, where), folder) if found else []
    return Shown(config, entries, labels, drawn, alike)


def _alike(configs: Sequence[dict[str, Any]]) -> frozenset[str]:
    names = {name for config in configs for name in config["trained_at"]}
    return frozenset(
        name for name in names if len({config["trained_at"].get(name) for config in configs}) == 1 < len(configs)
    )


def _figures_folder(folder: Path, number: int, config: dict[str, Any]) -> Path:
    """That of the run; where there is a grid, one for each point."""
    if "points" not in config:
        return folder
    own = folder / f"point-{number}"
    own.mkdir(exist_ok=True)
    return own


def _write_history(path: Path, history: Sequence[Step], configs: Sequence[dict[str, Any]]) -> None:
    """Every step as a row; where there is a grid, with the point's number and what is set there."""
    names = list(dict.fromkeys(name for config in configs for name in config["setting"]))
    settings = [[_value_at(config["setting"], name) for name in names] for config in configs]
    head = [*(["point", *names] if names else []), *COLUMNS[1:]]
    rows = ([*([step.point, *settings[step.point]] if names else []), *astuple(step)[1:]] for step in history)
    write_csv(path, head, rows)


def _value_at(setting: Setting, name: str) -> str:
    """What is set there, as people read it; empty where the grid of this point does not name it."""
    return value_text(setting[name]) if name in setting else ""


def in_words(points: Sequence[Shown]) -> list[str]:
    """The findings as sentences; where there is a grid, of every optimizer where its validation loss is lowest."""
    sentences = []
    if not all(
        name in point.entries and point.entries[name]["complete"]
        for point in points
        for name in point.config["optimizers"]
    ):
        sentences.append("This run is not finished; the figures show what there is. The same command goes on with it.")
    for name in dict.fromkeys(name for point in points for name in point.entries):
        best = min((point for point in points if name in point.entries), key=lambda p: _validation_loss(p, name))
        if sentence := _sentence(name, best.config, best.entries, best.labels):
            where = setting_text(best.concerning(name))
            found = f"{name} has its lowest validation loss at {where}. " if where else ""
            sentences.append(found + sentence)
    return sentences


def _validation_loss(point: Shown, name: str) -> float:
    losses = point.entries[name]["validation_loss_of_each_learning_rate"].values()
    return min((loss for loss in losses if loss is not None), default=inf)


def _sentence(name: str, config: dict[str, Any], found: dict[str, Any], labels: dict[str, str]) -> str:
    """What one optimizer reached; empty where it has not been evaluated."""
    entry, score = found[name], Measure(**config["score"])
    if entry["final_score"]["mean"] is None:
        return ""
    error = entry["final_score"]["standard_error"]
    reached = [f"{measure.name} of {measure.text(*entry[field].values())}" for field, measure in _told(config)]
    over = "" if error is None else f" (mean and standard error over {len(entry['seeds'])} seeds{_each_on(entry)})"
    text = f"{labels[name]} reaches a test {' and '.join(reached)}{over} after training."
    to = [f"{target} after {steps_text(own, len(entry['seeds']))} steps" for target, own in entry["steps_to"].items()]
    text += f" It reaches a training loss of {' and of '.join(to)}." if to else ""
    text += ledger_report.sentence(entry)
    if kind_named(config["optimizers"][name]["kind"]).analog:
        text += (
            f" It needed {entry['solves']} linear solves; ngspice simulated {entry['solves_by_ngspice']} of them. "
            f"Half of the natural gradients are within {100 * entry['median_relative_solve_error']:.3g} % of the "
            f"exact ones, the worst within {100 * entry['worst_relative_solve_error']:.3g} %; without any solve "
            f"half of them would be within {100 * entry['median_relative_error_without_solving']:.3g} %."
        )
        if entry["median_lost_entries"]:
            text += (
                f" In the median solve {entry['median_lost_entries']:.0f} matrix entries are lost below the "
                f"smallest conductance and {100 * entry['median_settled_fraction']:.0f} % of the cells have "
                "settled to 1 %."
            )
        exact = _same_but_exact(name, config, found)
        if exact is not None:
            text += f" With the same systems solved exactly, training reaches {score.text(exact)}."
        if entry["solves_with_raised_damping"]:
            also = " or refined with" if entry["refinements"] else ""
            share, most = entry["solves_with_raised_damping"] / entry["solves"], entry["largest_doublings_of_damping"]
            text += (
                f" In {100 * share:.3g} % of the solves the matrix could not be programmed{also} with the wanted "
                f"damping, which was doubled until it could, up to {most} times."
            )
        if config["optimizers"][name].get("precision"):
            text += _effort(entry)
        if entry["solves_with_saturation"]:
            text += f" In {entry['solves_with_saturation']} solves a node saturated at every voltage scale tried."
    return text


def _effort(entry: dict[str, Any]) -> str:
    """What more precision took, and how refinements ended."""
    text = (
        f" Half of the steps took {entry['median_device_solves_of_a_step']:g} solves on the device or fewer, "
        f"{entry['median_programs_of_a_step']:g} programs and {entry['median_words_of_a_step']:g} words of DACs and "
        "ADCs."
    )
    ended: dict[str, int] = entry["refinements"]
    if short := {end: count for end, count in ended.items() if end != "converged"}:
        shares = ", ".join(f"{100 * count / sum(ended.values()):.3g} % {end}" for end, count in short.items())
        text += f" Some refinements ended before their tolerance and gave their best iterate: {shares}."
    return text


def _each_on(entry: dict[str, Any]) -> str:
    return f", each on {entry['copies']} drawn copies of the device" if entry["copies"] else ""


def _same_but_exact(name: str, config: dict[str, Any], found: dict[str, Any]) -> float | None:
    """Final score of the exact natural gradient that differs from this optimizer in nothing but the solver."""
    same = ("damping", "curvature", "curvature_samples", "draws", "memory", "momentum")
    settings = config["optimizers"][name]
    for other, entry in found.items():
        theirs = config["optimizers"][other]
        alike = (
            kind_named(theirs["kind"]).exact
            and theirs["hardware"]["base"] == "none"
            and not (settings["adam"] or settings.get("signs"))
            and all(theirs[k] == settings[k] for k in same)
        )
        if alike and all(entry[field] == found[name][field] for field in ("learning_rate", "seeds")):
            return entry["final_score"]["mean"]
    return None


CROWDED = {"best", "by ngspice", "median residual"}
"""Columns that have no room beside those of a grid."""
MEANING = """Of each list of learning rates the one with the lowest final validation loss is shown. The test {score} is
its mean ± standard error over the seeds, {better} is better. Errors are ‖g̃ − F⁻¹g‖/‖F⁻¹g‖, residuals ‖F g̃ − g‖/‖g‖ of
the system that was asked for."""


def _fields(points: Sequence[Shown]) -> dict[str, Any]:
    """What the page shows of a run without a grid."""
    (point,) = points
    rows = [[point.labels[name], *_cells(entry, point.told).values()] for name, entry in point.entries.items()]
    return {
        "head": ("optimizer", *_columns(points)),
        "rows": rows,
        "abouts": [_about(point.config)],
        "pictures": point.figures,
        "points": [],
    }


def _bearing_fields(
    reached: Sequence[Bearing], alike: Sequence[Bearing], points: Sequence[Shown], folder: Path
) -> dict[str, Any]:
    """What the page says of noise resilience; nothing where nothing is disturbed."""
    if not reached:
        return {}
    entries = resilience_figures(reached, alike)
    return {
        "head": resilience.HEAD,
        "rows": resilience.table(reached),
        "rule": resilience.rule(points[0].score),
        "pictures": draw_all(entries, colours(_optimizers(points)), folder),
    }


def _grid_fields(points: Sequence[Shown], folder: Path) -> dict[str, Any]:
    """Optimizers across the grid, and each point's figures."""
    names, score = list(dict.fromkeys(name for point in points for name in point.entries)), points[0].score
    fields = list(dict.fromkeys(field for point in points for field in point.setting))
    beside = [column for column in _columns(points) if column not in CROWDED]
    rows: dict[str, list[str]] = {}
    for name in names:
        for point in points:
            if name in point.entries:
                own, cells = point.concerning(name), _cells(point.entries[name], point.told)
                shown = [_value_at(own, field) or "–" for field in fields]
                # Where nothing of the grid concerns an optimizer, it is alike at all points and has one row.
                key = f"{name} {setting_text(own)}"
                rows.setdefault(key, [point.labels[name], *shown, *(cells[column] for column in beside)])
    unknown = {"mean": None, "standard_error": None}
    reached = {
        name: [point.entries[name]["final_score"] if name in point.entries else unknown for point in points]
        for name in names
    }
    across = Across(score, [point.setting for point in points], reached, colours(_optimizers(points)))
    abouts = list(dict.fromkeys(_about(point.config) for point in points))
    disturbed = any(map(disturbs, fields))
    return {
        "head": ("optimizer", *map(axis_name, fields), *beside),
        "rows": list(rows.values()),
        "abouts": abouts if len(abouts) == 1 else [f"{setting_text(p.setting)}: {_about(p.config)}" for p in points],
        # Along several axes at a time a bar for each point shows nothing that a table does not.
        "pictures": draw_all([GRID], across, folder) if len(fields) == 1 or not disturbed else [],
        "points": [(setting_text(point.setting), point.figures) for point in points if point.figures],
    }


def _optimizers(points: Sequence[Shown]) -> dict[str, Any]:
    """The settings of every optimizer, where it is set up first."""
    return {name: own for point in reversed(points) for name, own in point.config["optimizers"].items()}


def _about(config: dict[str, Any]) -> str:
    data, samples, seeds = config["data"], config["samples"], ", ".join(map(str, config["seeds"]))
    return (
        f"{config['task']}: {data['train']} training, {data['validation']} validation and {data['test']} test "
        f"{samples}; {config['steps']} steps of {config['batch_size']} {samples}, seeds {seeds}."
    )


def _columns(points: Sequence[Shown]) -> list[str]:
    """Heads of what is said of optimizers."""
    told = [_cells(entry, point.told) for point in points for entry in point.entries.values()]
    return list(dict.fromkeys(column for cells in told for column in cells))


def _told(config: dict[str, Any]) -> list[tuple[str, Measure]]:
    """See ``Shown.told``."""
    found = [("final_score", config["score"]), ("final_beside", config["beside"])]
    return [(field, Measure(**measure)) for field, measure in found if measure]


def _cells(entry: dict[str, Any], told: Sequence[tuple[str, Measure]]) -> dict[str, str]:
    """What a row says of an optimizer, by column."""
    score = told[0][1]

    def shown(value: float | None, form: str) -> str:
        return "–" if value is None else format(value, form)

    solved = entry["solves"] > 0
    return {
        "learning rate": f"{entry['learning_rate']:g}",
        **{f"steps to {target}": steps_text(found, len(entry["seeds"])) for target, found in entry["steps_to"].items()},
        **{f"final test {measure.name}": measure.text(*entry[field].values()) for field, measure in told},
        "best": score.text(*entry["best_score"].values()),
        "final loss": shown(entry["final_loss"]["mean"], ".4f"),
        "solves": f"{entry['solves']}" if solved else "–",
        "by ngspice": f"{entry['solves_by_ngspice']}" if solved else "–",
        "median error": shown(entry["median_relative_solve_error"], ".1%"),
        "worst error": shown(entry["worst_relative_solve_error"], ".1%"),
        "median residual": shown(entry["median_residual"], ".1%"),
        "solves saturated": shown(entry["solves_with_saturation"], "d"),
    }


def steps_text(found: dict[str, Any], seeds: int) -> str:
    """Steps to a training loss as people read them, with their standard error, and in how many seeds it is reached."""
    if found["mean"] is None:
        return "–"
    spread = "" if found["standard_error"] is None else f" ± {found['standard_error']:.1f}"
    return f"{found['mean']:.1f}{spread}" + ("" if found["reached"] == seeds else f" ({found['reached']} of {seeds})")
