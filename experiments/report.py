"""From a run store to files that people and scripts read."""

import csv
import json
from dataclasses import astuple
from html import escape
from pathlib import Path
from typing import Any

from experiments import page
from experiments.figures import draw_all
from experiments.store import COLUMNS, Store
from experiments.summary import results, summarize

TITLES = {
    "loss.png": "Training loss",
    "accuracy.png": "Test accuracy",
    "solve_error.png": "How exactly the circuit solved",
    "settling.png": "One solve, as the circuit saw it",
}
CAPTIONS = {
    "loss.png": "Mean over the seeds; the band is their range.",
    "accuracy.png": "Mean over the seeds; the band is their range.",
    "solve_error.png": "Relative distance between the natural gradient that the optimizer used and the exact one.",
    "settling.png": "Node voltages of one solve as simulated, over the mean that the ideal linear law of the same "
    "programmed resistors predicts. The lower panel shows the distance between the two, beside the thermal noise "
    "that the ideal law predicts. What is above the noise comes from the amplifiers.",
}


def write_reports(store: Store) -> list[str]:
    """Write config.json, history.csv, summary.json, the figures and report.html beside the store.

    Returns:
        The findings as sentences; none where no step is finished.
    """
    folder = store.path.parent
    claimed, history = store.claimed(), store.history()
    if not history:
        return []
    config, versions = claimed["experiment"], claimed["versions"]
    summary = summarize(history, config)
    page.write(folder / "config.json", json.dumps(claimed, indent=2, allow_nan=False) + "\n")
    page.write(folder / "summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")
    with (folder / "history.csv.part").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(astuple(step) for step in history)
    (folder / "history.csv.part").replace(folder / "history.csv")
    labels = {name: label(name, settings) for name, settings in config["optimizers"].items()}
    found = results(history, config)
    chosen = {(result.optimizer, result.learning_rate) for result in found}
    exhibits = [arrays for t, arrays in store.exhibits().items() if (t.optimizer, t.learning_rate) in chosen]
    figures = draw_all(found, exhibits, labels, folder)
    sentences = in_words(config, summary, labels)
    page.write(folder / "report.html", _page(config, summary, versions, labels, sentences, figures))
    return sentences


def label(name: str, settings: dict[str, Any]) -> str:
    """An optimizer as people call it."""
    kind = settings["kind"]
    if kind == "tngd":
        where = "ideal SDE" if settings["hardware"] == "none" else f"{settings['engine']}, {settings['hardware']}"
        text = f"TNGD{'-Adam' if settings['adam'] else ''} ({where})"
    elif kind == "sgd":
        text = f"SGD, momentum {settings['momentum']:g}" if settings["momentum"] else "SGD"
    elif kind == "ngd":
        text = f"exact NGD ({settings['solver']})"
    else:
        text = "Adam"
    return text if name == kind else f"{name}: {text}"


def in_words(config: dict[str, Any], summary: dict[str, Any], labels: dict[str, str]) -> list[str]:
    """The findings as sentences."""
    found, sentences = summary["optimizers"], []
    if not all(entry["complete"] for entry in found.values()) or len(found) < len(config["optimizers"]):
        sentences.append("This run is not finished; the figures show what there is. The same command goes on with it.")
    for name, entry in found.items():
        accuracy, error = entry["final_test_accuracy"]["mean"], entry["final_test_accuracy"]["standard_error"]
        if accuracy is None:
            continue
        spread = "" if error is None else f" ± {100 * error:.2f} (standard error over {len(entry['seeds'])} seeds)"
        text = f"{labels[name]} reads {100 * accuracy:.2f} %{spread} of the test images correctly after training."
        settings = config["optimizers"][name]
        if settings["kind"] == "tngd":
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
                text += f" With the same systems solved exactly, training reaches {100 * exact:.2f} %."
            if entry["solves_with_saturation"]:
                text += f" In {entry['solves_with_saturation']} solves a node saturated at every voltage scale tried."
        sentences.append(text)
    return sentences


def _same_but_exact(name: str, config: dict[str, Any], found: dict[str, Any]) -> float | None:
    """Final accuracy of the exact natural gradient that differs from this optimizer in nothing but the solver."""
    same = ("damping", "curvature", "curvature_samples", "momentum")
    settings = config["optimizers"][name]
    for other, entry in found.items():
        theirs = config["optimizers"][other]
        alike = theirs["kind"] == "ngd" and not settings["adam"] and all(theirs[k] == settings[k] for k in same)
        if alike and entry["learning_rate"] == found[name]["learning_rate"]:
            return entry["final_test_accuracy"]["mean"]
    return None


def _page(
    config: dict[str, Any],
    summary: dict[str, Any],
    versions: dict[str, str],
    labels: dict[str, str],
    sentences: list[str],
    figures: list[Path],
) -> str:
    rows = (_row(labels[name], entry) for name, entry in summary["optimizers"].items())
    pictures = "".join(page.figure(path, TITLES[path.name], CAPTIONS[path.name]) for path in figures)
    data = config["data"]
    about = (
        f"{data['name']}: {data['train']} training, {data['validation']} validation and {data['test']} test images; "
        f"{config['steps']} steps of {config['batch_size']} images, seeds {', '.join(map(str, config['seeds']))}. "
        "Of each learning rate grid the one with the lowest final validation loss is shown."
    )
    made = ", ".join(f"{escape(name)} {escape(text)}" for name, text in versions.items())
    full = escape(json.dumps(config, indent=2))
    head = (
        *("optimizer", "learning rate", "final test accuracy", "best", "final loss", "solves", "by ngspice"),
        *("median error", "worst error", "median residual", "solves saturated"),
    )
    body = f"""{page.paragraphs(sentences)}
{page.table(head, rows)}
<p class="about">{escape(about)} Accuracies are mean ± standard error over the seeds. Errors
are ‖g̃ − F⁻¹g‖/‖F⁻¹g‖, residuals ‖F g̃ − g‖/‖g‖ of the system that was asked for.</p>
{pictures}
<h2>Configuration</h2><details><summary>everything that determines this run</summary><pre>{full}</pre></details>
<p class="about">Made with {made}.</p>"""
    name = config["name"]
    heading = f"{name}: training on a simulated stochastic processing unit"
    return page.page(f"{name}: training on a simulated SPU", heading, body)


def _row(name: str, entry: dict[str, Any]) -> str:
    def percent(statistic: dict[str, float | None]) -> str:
        if statistic["mean"] is None:
            return "–"
        error = "" if statistic["standard_error"] is None else f" ± {100 * statistic['standard_error']:.2f}"
        return f"{100 * statistic['mean']:.2f}{error} %"

    def shown(value: float | None, form: str) -> str:
        return "–" if value is None else format(value, form)

    solved = entry["solves"] > 0
    cells = [
        escape(name),
        f"{entry['learning_rate']:g}",
        percent(entry["final_test_accuracy"]),
        percent(entry["best_test_accuracy"]),
        shown(entry["final_loss"]["mean"], ".4f"),
        f"{entry['solves']}" if solved else "–",
        f"{entry['solves_by_ngspice']}" if solved else "–",
        shown(entry["median_relative_solve_error"], ".1%"),
        shown(entry["worst_relative_solve_error"], ".1%"),
        shown(entry["median_residual"], ".1%"),
        shown(entry["solves_with_saturation"], "d"),
    ]
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
