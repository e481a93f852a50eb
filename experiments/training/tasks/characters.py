"""The next character of a text: of a made-up language with known entropy, or of a file."""

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from experiments.training.data import Sizes, Split, split
from experiments.training.task import Learner, Measure, Task
from experiments.training.tasks.architectures import Reader
from experiments.training.tasks.text import ALPHABET, encoded, language
from spu_circuit.errors import InputError


class Excerpts(Sizes):
    """A sample is a piece of text and the character after it; no two samples share a character."""

    context: Annotated[int, Field(ge=1, description="characters that the next one is told from")] = 32
    words: Annotated[int, Field(ge=2, le=10000, description="of the made-up language")] = 100


def _load(sizes: Excerpts, path: Path | None) -> Split:
    long = sizes.context + 1
    if path is None:
        text = language(sizes.words).text(sizes.total * long, np.random.default_rng([sizes.split_seed, 1]))
    else:
        text = _read(path)
    count = len(text) // long
    pieces = encoded(text[: count * long]).reshape(count, long)
    return split(pieces[:, :-1], pieces[:, -1], sizes)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"data: {str(path)!r} cannot be read as text in UTF-8: {error}; give one text file") from None


def _learner(sizes: Excerpts, reader: Reader) -> Learner:
    from experiments.training.tasks.sequences import next_symbol

    return next_symbol(len(ALPHABET), sizes.context, reader)


TASK = Task(
    name="characters",
    samples="excerpts",
    loss=Measure("softmax cross-entropy", "nats"),
    score=Measure("cost", "bits per character"),
    data=Excerpts,
    network=Reader,
    load=_load,
    learner=_learner,
)
