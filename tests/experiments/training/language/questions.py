"""A few questions in the format of SQuAD, and a tokenizer of words."""

import json
import re

import numpy as np

from experiments.training.language.tokens import Tokens

TORTOISE = "The old tortoise crosses the sandy road every morning. It eats clover, and it sleeps under a broken cart."
LAMP = "A lamp of green glass hangs in the hall. Nobody has lit it since the winter of 1931."
DOCUMENT = {
    "version": "1.1",
    "data": [
        {
            "title": "Small things",
            "paragraphs": [
                {
                    "context": TORTOISE,
                    "qas": [
                        {
                            "id": "1",
                            "question": "What does the tortoise eat?",
                            "answers": [
                                {"text": "clover", "answer_start": TORTOISE.index("clover")},
                                {"text": "eats clover", "answer_start": TORTOISE.index("eats")},
                            ],
                        },
                        {
                            "id": "2",
                            "question": "Where does it sleep?",
                            "answers": [{"text": "under a broken cart", "answer_start": TORTOISE.index("under")}],
                        },
                    ],
                },
                {
                    "context": LAMP,
                    "qas": [
                        {
                            "id": "3",
                            "question": "What hangs in the hall?",
                            "answers": [{"text": "A lamp of green glass", "answer_start": 0}],
                        },
                        {
                            "id": "4",
                            "question": "When was it lit?",
                            "answers": [{"text": "the winter of 1931", "answer_start": 7}],
                        },
                        {"id": "5", "question": "Who lit it?", "answers": []},
                    ],
                },
            ],
        }
    ],
}


def written(folder, document=DOCUMENT):
    path = folder / "questions.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


class Words:
    """Cuts texts into words and marks, in the place of a tokenizer of a folder."""

    first, between, padding = 1, 2, 0

    def __init__(self):
        self.numbers = {}

    def tokens(self, texts):
        return [self._tokens(text) for text in texts]

    def _tokens(self, text):
        found = list(re.finditer(r"\w+|[^\w\s]", text))
        numbers = [self.numbers.setdefault(match.group().lower(), len(self.numbers) + 3) for match in found]
        places = np.array([match.span() for match in found], np.int32).reshape(-1, 2)
        return Tokens(np.array(numbers, np.int32), places[:, 0], places[:, 1])
