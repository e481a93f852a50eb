"""Progress of a training run on the terminal: a bar per optimizer, over all its trials at all points of the grid."""

from collections import Counter

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from experiments.shared.progress import Display
from experiments.training.config import Training
from experiments.training.store import Step, Trial
from experiments.training.task import Measure
from experiments.training.tasks import task_named


class Bars(Display):
    """A context manager, called with the last step of every trial."""

    def __init__(self, training: Training, console: Console) -> None:
        self._steps = [experiment.steps for experiment in training.experiments]
        self._score = task_named(training.experiments[0].task).score
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[shown]}"),
            TimeRemainingColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        totals: Counter[str] = Counter()
        for point, experiment in enumerate(training.experiments):
            for name, settings in experiment.optimizers.items():
                if training.trained_at[point][name] != point:
                    continue
                trials = len(experiment.seeds_of(name)) * len(settings.learning_rates) * len(settings.copy_numbers)
                totals[name] += experiment.steps * trials
        for name, total in totals.items():
            self._tasks[name] = self._progress.add_task(name, total=total, shown="waiting")

    def __call__(self, latest: dict[Trial, tuple[int, Step]]) -> None:
        for name, task in self._tasks.items():
            mine = [(*entry, self._steps[t.point]) for t, entry in latest.items() if t.optimizer == name]
            if not mine:
                continue
            running = [step for count, step, steps in mine if count < steps and not step.diverged]
            done = sum(steps if step.diverged else count for count, step, steps in mine)
            text = shown(running or [step for _, step, _ in mine], self._score)
            self._progress.update(task, completed=done, shown=text)


def shown(steps: list[Step], score: Measure) -> str:
    """What the bar of an optimizer says of the last steps of its trials."""

    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    parts = [f"loss {mean([s.loss for s in steps]):.3f}"]
    if scores := [s.score for s in steps if s.score is not None]:
        parts.append(f"{score.name} {score.text(mean(scores))}")
    if errors := [s.solve_error for s in steps if s.solve_error is not None]:
        parts.append(f"solve error {100 * mean(errors):.1f} %")
    return "  ".join(parts)
