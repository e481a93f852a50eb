"""A progress display on the terminal."""

from types import TracebackType
from typing import Self

from rich.progress import Progress


class Display:
    """A progress display that is there inside a ``with``."""

    _progress: Progress

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
