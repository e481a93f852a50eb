"""Questions and their paragraphs as windows of so many tokens.

A window is ``[CLS] question [SEP] piece of the paragraph [SEP]`` and padding. A paragraph that is longer than its
window's room goes on in another one, which begins ``stride`` tokens later (arXiv 1810.04805).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.training.language.squad import Question
from experiments.training.language.tokens import Tokenizer, Tokens

Ints = NDArray[np.int32]
NOTHING, QUESTION, CONTEXT, END = range(4)
"""Parts of a window: padding; the question with the marks around it; the piece of the paragraph; the last mark."""
MARKS = 3
"""Tokens of a window that are neither question nor paragraph."""
ABSENT = -1
"""In the place of both ends of an answer that is not, or not wholly, in the window."""


@dataclass(frozen=True, eq=False)
class Window:
    """A window of a question.

    Args:
        question: its number.
        tokens: numbers in the vocabulary and parts, (2, L).
        begins, ends: of each token of the paragraph, in characters of ``text``, (L,); 0 of others.
        text: the piece of the paragraph.
        span: places of the first and the last token of the answer; ``ABSENT`` twice.
    """

    question: int
    tokens: Ints
    begins: Ints
    ends: Ints
    text: str
    span: tuple[int, int]

    @property
    def answered(self) -> bool:
        return self.span[0] != ABSENT


def windows_of(
    questions: Sequence[Question], tokenizer: Tokenizer, length: int, stride: int, longest: int
) -> list[Window]:
    """All windows of some questions, question after question.

    Args:
        length: L.
        stride: tokens from the beginning of a window's piece to that of the next.
        longest: tokens of a question; what goes beyond is cut off.
    """
    asked = tokenizer.tokens([question.text for question in questions])
    contexts = {question.paragraph: question.context for question in questions}
    read = dict(zip(contexts, tokenizer.tokens(list(contexts.values())), strict=True))
    found = []
    for number, (question, own) in enumerate(zip(questions, asked, strict=True)):
        context, head = read[question.paragraph], own.numbers[:longest]
        room = length - len(head) - MARKS
        for first in _firsts(len(context.numbers), room, min(stride, room)):
            found.append(_window(number, question, head, context, first, length, tokenizer))
    return found


def _firsts(tokens: int, room: int, stride: int) -> range:
    """Where pieces begin: the last one reaches the end."""
    return range(0, max(tokens - room, 0) + stride, stride)


def _window(
    number: int,
    question: Question,
    head: Ints,
    context: Tokens,
    first: int,
    length: int,
    tokenizer: Tokenizer,
) -> Window:
    piece = slice(first, first + length - len(head) - MARKS)
    numbers, begins, ends = context.numbers[piece], context.begins[piece], context.ends[piece]
    offset = len(head) + 2
    row = [tokenizer.first, *head, tokenizer.between, *numbers, tokenizer.between]
    parts = [QUESTION] * offset + [CONTEXT] * len(numbers) + [END]
    tokens = np.zeros((2, length), np.int32)
    tokens[0] = tokenizer.padding
    tokens[0, : len(row)], tokens[1, : len(row)] = row, parts
    origin, finish = (int(begins[0]), int(ends[-1])) if len(numbers) else (0, 0)
    places = np.zeros((2, length), np.int32)
    places[:, offset : offset + len(numbers)] = begins - origin, ends - origin
    answer, span = question.placed, (ABSENT, ABSENT)
    if answer and origin <= answer.begin and answer.begin + len(answer.text) <= finish:
        # A token that is partly in the answer belongs to it.
        inside = np.flatnonzero((ends > answer.begin) & (begins < answer.begin + len(answer.text)))
        if len(inside):
            span = offset + int(inside[0]), offset + int(inside[-1])
    return Window(number, tokens, places[0], places[1], question.context[origin:finish], span)
