"""What a claim is measured with besides its protocol, and what is finished of it."""

import json
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from experiments.claims.claim import Row
from experiments.shared.files import make_folder, write
from experiments.shared.plain_json import json_text
from spu_circuit.errors import InputError
from spu_circuit.files import shortened


class Given(NamedTuple):
    """Of one claim and protocol.

    Args:
        data: a file, of a claim on data; None: none was given.
        folder: of what is finished, to go on from after an interruption; it need not exist.
    """

    data: Path | None
    folder: Path

    def kept(self, make: Callable[..., Iterable[Row]], *inputs: Any) -> list[Row]:
        """Rows that ``make`` gives of these inputs, computed where they are not there yet.

        Args:
            make: a function by its name; always the same rows of the same inputs.
            inputs: plain values, and data classes and tuples of them: what their ``repr`` tells apart.

        Raises:
            InputError: what is there is damaged.
        """
        name = sha256(f"{make.__qualname__}{inputs!r}".encode()).hexdigest()[:16]
        path = self.folder / f"{name}.json"
        if not path.exists():
            make_folder(self.folder)
            write(path, json_text(list(make(*inputs))))
        try:
            rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(
                f"output: {shortened(path)} is damaged ({error}); delete it, and it is computed again"
            ) from None
        return rows
