"""The rules of SQuAD, on the corner cases of its official script."""

import pytest

from experiments.training.language.rules import best, exact_match, f1, normalised


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The  Cat,\tsat!", "cat sat"),
        ("a an the", ""),
        ("theatre another", "theatre another"),
        ("the-cat", "thecat"),  # punctuation goes before articles, and words grow together
        ("U.S.", "us"),
        ("A–B", "–b"),  # punctuation outside ASCII stays, and beside it a is an article
        ("It's 1,000", "its 1000"),
        ("ÉCOLE", "école"),
        ("", ""),
    ],
)
def test_answers_are_normalised(text, found):
    assert normalised(text) == found


def test_exact_match_is_after_normalising():
    assert exact_match("the Cat.", "cat") == 1
    assert exact_match("cats", "cat") == 0
    assert exact_match("the", "") == 1


@pytest.mark.parametrize(
    ("answer", "right", "value"),
    [
        ("cat", "cat", 1),
        ("black cat", "cat", 2 / 3),
        ("cat cat", "cat", 2 / 3),  # a word counts as often as the other answer has it
        ("cat cat", "cat cat black", 0.8),
        ("sat cat", "cat sat", 1),  # the order does not matter
        ("dog", "cat", 0),
        ("the", "a", 0),  # version 1.1 gives nothing for two empty answers
        ("", "cat", 0),
    ],
)
def test_f1_counts_shared_words(answer, right, value):
    assert f1(answer, right) == pytest.approx(value)
    assert f1(right, answer) == pytest.approx(value)


def test_the_right_answer_that_flatters_most_counts():
    assert best(f1, "black cat", ["dog", "cat", "the black cat"]) == 1
    assert best(exact_match, "black cat", ["dog", "cat"]) == 0
