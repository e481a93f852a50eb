"""Questions with answers in the format of SQuAD v1.1 (arXiv 1606.05250): a JSON file of articles and paragraphs."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spu_circuit.errors import InputError
from spu_circuit.files import open_file, shortened

LARGEST = 2**28
"""Bytes of a file. The official one to train with has 30 million."""


@dataclass(frozen=True)
class Answer:
    """A right answer, and where its first character is in the context."""

    text: str
    begin: int


@dataclass(frozen=True)
class Question:
    """A question about a paragraph.

    Args:
        paragraph: its number in the file.
        answers: right ones, as people gave them; none where there is no answer, as SQuAD 2.0 has it.
    """

    paragraph: int
    context: str
    text: str
    answers: tuple[Answer, ...]

    @property
    def placed(self) -> Answer | None:
        """The first answer that is in the context where it says; None: there is none."""
        return next((answer for answer in self.answers if is_placed(answer, self.context)), None)


def is_placed(answer: Answer, context: str) -> bool:
    """Whether an answer is in its context where it says."""
    end = answer.begin + len(answer.text)
    return bool(answer.text) and answer.begin >= 0 and context[answer.begin : end] == answer.text


def read_questions(path: Path) -> list[Question]:
    """All questions of a file.

    Raises:
        InputError: it cannot be read, or is in another format.
    """
    with open_file(path, "data") as file:
        if (size := os.fstat(file.fileno()).st_size) > LARGEST:
            raise InputError(f"data: {shortened(path)} has {size} bytes; at most {LARGEST} are read")
        try:
            document = json.load(file)
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"data: {shortened(path)} is no JSON: {str(error)[:100]}; copy it again") from None
    try:
        return list(_questions(document))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"data: {shortened(path)} is not in the format of SQuAD v1.1 ({type(error).__name__} {str(error)[:60]}); "
            "give data → paragraphs → context and qas → question and answers → text and answer_start"
        ) from None


def _questions(document: Any) -> Any:
    number = 0
    for article in document["data"]:
        for paragraph in article["paragraphs"]:
            context = _text(paragraph["context"])
            for asked in paragraph["qas"]:
                answers = tuple(Answer(_text(own["text"]), _whole(own["answer_start"])) for own in asked["answers"])
                yield Question(number, context, _text(asked["question"]), answers)
            number += 1


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is no text")
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise TypeError(f"{value!r:.40} has half a character")
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r:.40} is no whole number")
    return value
