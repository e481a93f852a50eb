"""Progress of a sweep on the terminal: samples done, their rate, the time left and the yield so far."""

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from experiments.shared.progress import Display
from experiments.sweeps.rows import Row
from experiments.sweeps.statistics import passes
from experiments.sweeps.store import SweepStore
from experiments.sweeps.study import Key, Study
from experiments.sweeps.units import yield_share


class SweepBars(Display):
    """A context manager, called with every finished batch."""

    def __init__(self, study: Study, store: SweepStore, console: Console) -> None:
        self._sweeps = {key: sweep for key, sweep, _ in study.sets()}
        self._done = {key: len(store.samples(key)) for key in self._sweeps}
        self._bad: dict[Key, float] = {}
        self._tried: dict[Key, int] = {}
        for key, sweep, copies in study.sets():
            self._count(key, store.rows_of(key, sweep, copies) if sweep.limits and self._done[key] else [])
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f} copies"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[shown]}"),
            console=console,
        )
        total = sum(copies.samples for _, _, copies in study.sets())
        self._task = self._progress.add_task(
            "sweep", total=total, completed=sum(self._done.values()), rate="", shown=""
        )

    def __call__(self, key: Key, done: int, total: int, rows: list[Row]) -> None:
        self._done[key] = done
        self._count(key, rows)
        shown = ""
        if self._sweeps[key].limits and self._tried[key]:
            shown = f"yield so far {yield_share(1 - self._bad[key] / self._tried[key])}"
        task = self._progress.tasks[0]
        rate = "" if task.speed is None else f"{task.speed:.0f}/s"
        self._progress.update(self._task, completed=sum(self._done.values()), rate=rate, shown=shown)

    def _count(self, key: Key, rows: list[Row]) -> None:
        tried = [row for row in rows if row.status != "failed"]
        self._tried[key] = self._tried.get(key, 0) + len(tried)
        kept = passes(self._sweeps[key], tried)
        bad = sum(row.weight for row, good in zip(tried, kept.tolist(), strict=True) if not good)
        self._bad[key] = self._bad.get(key, 0.0) + bad
