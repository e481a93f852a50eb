"""How SQuAD judges answers: the rules of its official script, evaluate-v1.1.py (Rajpurkar et al. 2016)."""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """Small letters without the punctuation of ASCII, the articles a, an and the, and more than single spaces."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def exact_match(answer: str, right: str) -> float:
    """1 where two answers are the same, once normalised; else 0."""
    return float(normalised(answer) == normalised(right))


def f1(answer: str, right: str) -> float:
    """Harmonic mean of precision and recall of the words, as many as each is there; 0 where they share none."""
    found, wanted = normalised(answer).split(), normalised(right).split()
    shared = (Counter(found) & Counter(wanted)).total()
    return 2 * shared / (len(found) + len(wanted)) if shared else 0.0


def best(measure: Callable[[str, str], float], answer: str, right: Sequence[str]) -> float:
    """By the right answer that flatters most."""
    return max(measure(answer, one) for one in right)
