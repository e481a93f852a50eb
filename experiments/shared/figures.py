"""Figures as data: an entry says what is drawn, under which title, with which caption."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Generic, TypeVar

from matplotlib import rc_context
from matplotlib.figure import Figure

from experiments.shared.files import writing
from experiments.shared.page import Picture
from experiments.shared.plotting import STYLE

Data = TypeVar("Data")


@dataclass(frozen=True)
class FigureEntry(Generic[Data]):
    """One figure of a report.

    Args:
        name: of its PNG file, without the ending.
        title: its heading; where it depends on the data, how.
        caption: stands below it; as the title.
        draw: the figure, and in words what it shows; None where there is nothing to draw.
    """

    name: str
    title: str | Callable[[Data], str]
    caption: str | Callable[[Data], str]
    draw: Callable[[Data], tuple[Figure, str] | None]


def draw_all(entries: Iterable[FigureEntry[Data]], data: Data, folder: Path) -> list[Picture]:
    """Draw what there is data for, as PNG files in a folder and for a page, in the order of the entries."""
    pictures = []
    for entry in entries:
        with rc_context(STYLE):
            drawn = entry.draw(data)
            if drawn is None:
                continue
            figure, words = drawn
            file = BytesIO()
            figure.savefig(file, format="png")
        with writing(folder / f"{entry.name}.png") as target:
            target.write(file.getvalue())
        title, caption = (text if isinstance(text, str) else text(data) for text in (entry.title, entry.caption))
        pictures.append(Picture(file.getvalue(), title, caption, words, entry.name))
    return pictures
