"""A made-up language, whose entropy is known: words that follow each other as a Markov chain.

A word is drawn given the one before it, then what ends it: a space, or a mark with a space or a new line. After the end
of a sentence a word begins with a capital. Words are letters or digits and differ, so that a text tells its words, and
the entropy of a character is that of a word and its ending over their mean length.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))
"""The new line and the printable characters of ASCII."""
CONSONANTS, VOWELS = "bcdfghjklmnprstvwxyz", "aeiou"
ENDINGS = {" ": 0.78, ", ": 0.08, "; ": 0.02, ": ": 0.02, ". ": 0.05, ".\n": 0.02, "?\n": 0.02, "!\n": 0.01}
SENTENCE_ENDS = ".?!"
NUMBERS = 0.1
"""Share of words that are numbers."""


@dataclass(frozen=True, eq=False)
class Language:
    """Words and how they follow each other.

    Args:
        words: lower-case letters or digits, all different.
        following: probabilities of the next word, (n, n), rows sum to one.
    """

    words: tuple[str, ...]
    following: Array

    @property
    def entropy(self) -> float:
        """Bits of a character, on average over a long text: no model predicts it with less."""
        # Every word can follow, so that the chain has one stationary law.
        n = len(self.words)
        share = np.linalg.solve(np.vstack([(self.following.T - np.eye(n))[:-1], np.ones(n)]), np.eye(n)[-1])
        bits = share @ [_bits(row) for row in self.following] + _bits(np.array(list(ENDINGS.values())))
        length = share @ [len(word) for word in self.words] + sum(len(end) * p for end, p in ENDINGS.items())
        return float(bits / length)

    def text(self, characters: int, rng: np.random.Generator) -> str:
        """So many characters."""
        ladder, endings, end_ladder = self.following.cumsum(axis=1), list(ENDINGS), np.cumsum(list(ENDINGS.values()))
        parts, length, capital = [], 0, True
        word = int(rng.integers(len(self.words)))
        while length < characters:
            begins, ends = self.words[word], endings[_drawn(end_ladder, rng)]
            parts.append((begins.capitalize() if capital else begins) + ends)
            length += len(parts[-1])
            capital = ends[0] in SENTENCE_ENDS
            word = _drawn(ladder[word], rng)
        return "".join(parts)[:characters]


@lru_cache(maxsize=4)
def language(words: int, seed: int = 0) -> Language:
    """A language of so many words, which does not depend on the text.

    What follows a word has a Dirichlet law with few likely words; a hundredth is shared by all of them.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, None] = {}
    while len(found) < words:
        if rng.random() < NUMBERS:
            found[str(rng.integers(10, 10000))] = None
        else:
            syllables = 1 + rng.choice(3, p=[0.3, 0.45, 0.25])
            found["".join(_syllable(rng) for _ in range(syllables))] = None
    following = 0.99 * rng.dirichlet(np.full(words, 4 / words), size=words) + 0.01 / words
    return Language(tuple(found), following)


def encoded(text: str) -> NDArray[np.int32]:
    """Places of characters in the alphabet; of others, that of the question mark."""
    known = {character: place for place, character in enumerate(ALPHABET)}
    return np.array([known.get(character, known["?"]) for character in text], np.int32)


def _syllable(rng: np.random.Generator) -> str:
    last = CONSONANTS[rng.integers(len(CONSONANTS))] if rng.random() < 0.4 else ""
    return CONSONANTS[rng.integers(len(CONSONANTS))] + VOWELS[rng.integers(len(VOWELS))] + last


def _drawn(ladder: Array, rng: np.random.Generator) -> int:
    """A place drawn by cumulative probabilities, whose last is one but for rounding."""
    return min(int(ladder.searchsorted(rng.random(), side="right")), len(ladder) - 1)


def _bits(law: Array) -> float:
    """Entropy of a law."""
    return float(-law[law > 0] @ np.log2(law[law > 0]))
