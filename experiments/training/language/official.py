"""The official questions of SQuAD v1.1, fetched once and checked."""

from dataclasses import dataclass
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from experiments.shared.files import make_folder, writing
from spu_circuit.errors import InputError
from spu_circuit.files import is_file, open_file, shortened

SECONDS = 30
"""Without an answer, after which there is no way."""


@dataclass(frozen=True)
class Source:
    """A file of the network that never changes.

    Args:
        address: where it is.
        size: in bytes.
        digest: its SHA-256.
    """

    address: str
    size: int
    digest: str

    def fetched(self, folder: Path | None = None) -> Path:
        """A copy of the file, fetched where there is none yet.

        Args:
            folder: of copies; None: scikit-learn's, where fetched images are, too.

        Raises:
            InputError: there is no way to it, what came is another file, or it cannot be kept.
        """
        if folder is None:
            from sklearn.datasets import get_data_home

            folder = Path(get_data_home())
        path = folder / self.address.rpartition("/")[2]
        if is_file(path) and self._is_whole(path):
            return path
        content = self._content()
        make_folder(folder, "data")
        with writing(path, field="data") as file:
            file.write(content)
        return path

    def _is_whole(self, path: Path) -> bool:
        with open_file(path, "data") as file:
            return sha256(file.read(self.size + 1)).hexdigest() == self.digest

    def _content(self) -> bytes:
        cure = "give a local copy with --data FILE, in the format of SQuAD v1.1"
        try:
            with urlopen(self.address, timeout=SECONDS) as answer:
                content: bytes = answer.read(self.size + 1)
        except (OSError, HTTPException) as error:
            raise InputError(
                f"data: the official questions must be fetched from {self.address} once and there is no way there "
                f"({shortened(error)}); {cure}"
            ) from None
        if sha256(content).hexdigest() != self.digest:
            told = f"{len(content)} bytes" if len(content) <= self.size else f"more than {self.size} bytes"
            raise InputError(
                f"data: {self.address} gave another file ({told}, its checksum differs from that of the official "
                f"{self.size} bytes); try again, or {cure}"
            )
        return content


TRAIN = Source(
    "https://rajpurkar.github.io/SQuAD-explorer/dataset/train-v1.1.json",
    30_288_272,
    "3527663986b8295af4f7fcdff1ba1ff3f72d07d61a20f487cb238a6ef92fd955",
)
"""87,599 questions, those to train with."""
