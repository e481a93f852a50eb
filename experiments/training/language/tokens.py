"""Text to tokens, by the tokenizer of an encoder's folder."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.training.language.folder import TOKENIZERS, Shape
from spu_circuit.errors import InputError
from spu_circuit.files import is_file, read_file, shortened

FIRST, BETWEEN, PADDING, UNKNOWN = "[CLS]", "[SEP]", "[PAD]", "[UNK]"
SPARE = 128
"""Rows of an embedding may be rounded up, to a multiple of this at most."""


@dataclass(frozen=True, eq=False)
class Tokens:
    """A text in tokens: their numbers (n,), and where each begins and ends in the text, in characters, (n,)."""

    numbers: NDArray[np.int32]
    begins: NDArray[np.int32]
    ends: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """What cuts texts, and the numbers of its special tokens."""

    library: Any
    first: int
    between: int
    padding: int

    def tokens(self, texts: list[str]) -> list[Tokens]:
        """Texts in tokens, none of them special."""
        found = self.library.encode_batch(texts, add_special_tokens=False)
        pairs = [(each.ids, np.array(each.offsets, np.int32).reshape(-1, 2)) for each in found]
        return [Tokens(np.array(ids, np.int32), places[:, 0], places[:, 1]) for ids, places in pairs]


@lru_cache(maxsize=2)
def read_tokenizer(folder: Path, shape: Shape) -> Tokenizer:
    """The tokenizer of an encoder's folder: tokenizer.json, or a WordPiece vocabulary.

    Raises:
        InputError: the file cannot be read, or does not match the encoder's vocabulary.
    """
    path = next(folder / name for name in TOKENIZERS if is_file(folder / name))
    library = _from_json(path) if path.suffix == ".json" else _from_vocabulary(path)
    library.no_truncation()
    library.no_padding()
    count = library.get_vocab_size()
    if not count <= shape.vocabulary < count + SPARE:
        raise InputError(
            f"data.model: {shortened(path)} has {count} tokens, the encoder of config.json {shape.vocabulary}; give "
            "the tokenizer that the encoder was trained with"
        )
    special = {name: library.token_to_id(name) for name in (FIRST, BETWEEN, PADDING, UNKNOWN)}
    for name, number in special.items():
        if number is None:
            raise InputError(f"data.model: {shortened(path)} has no token {name}; give the tokenizer of a BERT encoder")
    return Tokenizer(library, special[FIRST], special[BETWEEN], special[PADDING])


def _from_json(path: Path) -> Any:
    from tokenizers import Tokenizer as Library

    try:
        return Library.from_file(str(path))
    except Exception as error:  # the library raises nothing more special
        raise InputError(f"data.model: {shortened(path)} is no tokenizer: {str(error)[:100]}; copy it again") from None


def _from_vocabulary(path: Path) -> Any:
    """WordPiece as BERT has it. Whether letters become small is in tokenizer_config.json; if it is not, they do."""
    from tokenizers import Tokenizer as Library
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    words = read_file(path, "data.model").decode("utf-8", errors="replace").splitlines()
    numbers = {word: number for number, word in enumerate(words)}
    beside = path.parent / "tokenizer_config.json"
    try:
        small = json.loads(read_file(beside, "data.model")).get("do_lower_case", True) if is_file(beside) else True
    except (ValueError, AttributeError):
        raise InputError(f"data.model: {shortened(beside)} is no JSON object; copy it again") from None
    library = Library(models.WordPiece(numbers, unk_token=UNKNOWN, max_input_chars_per_word=100))
    library.normalizer = normalizers.BertNormalizer(lowercase=bool(small))
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    library.decoder = decoders.WordPiece()
    return library
