"""Answers read back from windows, and judged by the rules of SQuAD.

Targets of windows that are judged hold all that this takes, as numbers, since samples are arrays.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from experiments.training.language.rules import best, exact_match, f1
from experiments.training.language.squad import Question
from experiments.training.language.windows import Ints, Window

NUMBER, WIDTH, PLACES = 2, 3, 4
"""Columns of a target: after both ends of the span the question's number, how many characters are kept of each text,
then both ends of every token."""


def with_texts(windows: Sequence[Window], questions: Sequence[Question]) -> Ints:
    """Targets (n, …): the span, the question's number, both ends of every token in characters, the characters of the
    text and those of the right answers, each as long as the longest with zeros behind.
    """
    texts = [window.text for window in windows]
    right = ["\0".join(answer.text for answer in questions[window.question].answers) for window in windows]
    width = max(map(len, texts))
    heads = [[*window.span, window.question, width, *window.begins, *window.ends] for window in windows]
    return np.column_stack([np.array(heads, np.int32), _points(texts), _points(right)])


def judged(outputs: NDArray[np.floating], targets: Ints, longest: int) -> tuple[float, float]:
    """F1 and exact match of the likeliest answers, means over questions.

    Args:
        outputs: logits of first and last tokens, (n, 2 L).
        targets: of ``with_texts``, (n, …).
        longest: tokens of an answer, at most.
    """
    score, first, last = likeliest(outputs, longest)
    window: dict[int, int] = {}
    for k, question in enumerate(targets[:, NUMBER].tolist()):
        if question not in window or score[k] > score[window[question]]:
            window[question] = k
    found = []
    for k in window.values():
        answer, right = _texts(targets[k], outputs.shape[1] // 2, first[k], last[k])
        found.append([best(measure, answer, right) for measure in (f1, exact_match)])
    means = np.mean(found, axis=0)
    return float(means[0]), float(means[1])


def likeliest(outputs: NDArray[np.floating], longest: int) -> tuple[NDArray[np.floating], Ints, Ints]:
    """Of every window the greatest sum of two logits, and the first and the last token that have it: (n,) each."""
    n, length = len(outputs), outputs.shape[1] // 2
    begins, ends = outputs[:, :length], outputs[:, length:]
    score, first, last = np.full(n, -np.inf), np.zeros(n, np.int32), np.zeros(n, np.int32)
    for more in range(min(longest, length)):
        sums = begins[:, : length - more] + ends[:, more:]
        here = sums.argmax(axis=1)
        top = sums[np.arange(n), here]
        better = top > score
        score[better], first[better], last[better] = top[better], here[better], here[better] + more
    return score, first, last


def _texts(target: Ints, length: int, first: int, last: int) -> tuple[str, list[str]]:
    """The answer between two tokens, and the right ones."""
    begin, end = int(target[PLACES + first]), int(target[PLACES + length + last])
    texts = PLACES + 2 * length
    after = texts + int(target[WIDTH])
    answer = "".join(map(chr, target[texts + begin : texts + end].tolist()))
    return answer, "".join(map(chr, target[after:].tolist())).rstrip("\0").split("\0")


def _points(texts: Sequence[str]) -> Ints:
    """Characters as numbers, with zeros behind shorter texts."""
    found = np.zeros((len(texts), max(map(len, texts))), np.int32)
    for row, text in zip(found, texts, strict=True):
        row[: len(text)] = list(map(ord, text))
    return found
