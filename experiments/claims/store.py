"""Results on disk: one JSON file for each claim and protocol, named by a digest of what decides its numbers."""

import ast
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib import import_module
from inspect import getsource
from pathlib import Path
from shutil import rmtree
from typing import Any

from experiments.claims.claim import Claim, Row, Rows
from experiments.claims.given import Given
from experiments.claims.rules import Verdict, verdict
from experiments.shared.files import write
from experiments.shared.plain_json import json_text
from experiments.shared.versions import versions
from spu_circuit import __version__
from spu_circuit.errors import InputError
from spu_circuit.files import open_file, shortened

FOLDER = "results"
"""Of the JSON files, in that of the page."""
STATEMENTS = "experiments.claims.statements"
"""Where claims are, and what they share."""


@dataclass(frozen=True)
class Result:
    """What a claim's protocol gave.

    Args:
        rows: as they are on disk, whether just measured or read.
        seconds: that it took.
        data: SHA-256 of the file of a claim on data; empty where it needs none.
        versions: of what it was made with.
    """

    claim: Claim
    quick: bool
    rows: Rows
    seconds: float
    versions: dict[str, str]
    data: str

    @property
    def verdict(self) -> Verdict:
        """By the claim's rule, from the rows alone."""
        return verdict(self.claim.conditions(self.rows))

    @property
    def command(self) -> str:
        """What computes it."""
        given = " --data FILE" if self.claim.lacks else ""
        return f"spu-circuit claims {self.claim.name}{' --quick' if self.quick else ''}{given}"


def digest(claim: Claim, quick: bool) -> str:
    """Of a claim's file with those that claims share and it imports, its protocol and the version: all that decides
    the rows. A changed rule asks for new ones."""
    files = _sources(claim.measure.__module__)
    text = json_text({"files": files, "protocol": asdict(claim.protocol(quick)), "version": __version__})
    return sha256(text.encode()).hexdigest()[:16]


def _sources(name: str) -> dict[str, str]:
    """Of a module, and of the files beside it that it imports, and they import, by their names."""
    found: dict[str, str] = {}
    left = [name]
    while left:
        name = left.pop()
        if name in found:
            continue
        found[name] = getsource(import_module(name))
        imports = (node for node in ast.walk(ast.parse(found[name])) if isinstance(node, ast.ImportFrom))
        left += [node.module for node in imports if node.module and node.module.startswith(f"{STATEMENTS}.")]
    return dict(sorted(found.items()))


def digest_of(data: Path | None) -> str:
    """SHA-256 of a file; empty of none. Raises InputError where it cannot be read."""
    if data is None:
        return ""
    with open_file(data, "data") as file:
        return sha256(file.read()).hexdigest()


def path_of(folder: Path, claim: Claim, quick: bool) -> Path:
    """Of the JSON file."""
    return folder / FOLDER / f"{claim.name}-{digest(claim, quick)}.json"


def given(folder: Path, claim: Claim, quick: bool, data: Path | None) -> Given:
    """What a claim is measured with; what is finished of it lies beside its result, apart for other data."""
    return Given(data, path_of(folder, claim, quick).with_suffix("") / digest_of(data if claim.lacks else None)[:16])


def keep(folder: Path, claim: Claim, quick: bool, rows: Sequence[Row], seconds: float, data: str = "") -> Result:
    """Write what was measured, in the place of its parts. Raises InputError where it cannot be written."""
    found = {
        "claim": claim.name,
        "protocol": asdict(claim.protocol(quick)),
        "versions": versions(),
        "seconds": seconds,
        "data": data if claim.lacks else "",
        "rows": list(rows),
    }
    path = path_of(folder, claim, quick)
    write(path, json_text(found, indent=1))
    rmtree(path.with_suffix(""), ignore_errors=True)
    result = kept(folder, claim, quick, data)
    assert result is not None
    return result


def kept(folder: Path, claim: Claim, quick: bool, data: str = "") -> Result | None:
    """What was measured before by the same protocol; None: nothing.

    Args:
        data: digest of the file that is given; of a claim on data what is kept of another file counts as nothing.

    Raises:
        InputError: the file is damaged.
    """
    path = path_of(folder, claim, quick)
    if not path.exists():
        return None
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        if found["claim"] != claim.name:
            raise ValueError("another claim's")
        result = Result(
            claim, quick, found["rows"], float(found["seconds"]), dict(found["versions"]), str(found["data"])
        )
        claim.conditions(result.rows)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"output: {shortened(path)} is damaged ({error!r}); delete it, and it is computed again"
        ) from None
    return None if claim.lacks and data not in ("", result.data) else result
