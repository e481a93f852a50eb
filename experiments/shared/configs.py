"""Configs that come with the package."""

from importlib.resources import files
from pathlib import Path

from spu_circuit.errors import InputError
from spu_circuit.files import is_file, read_file, shortened


def config_file(path: str | Path, table: str) -> bytes:
    """The content of a TOML file, or of a config that comes with the package.

    Args:
        table: that all configs of the wanted kind have.

    Raises:
        InputError: no such file; lists the shipped ones of this kind.
    """
    shipped = {
        source.name.removesuffix(".toml"): source.read_bytes()
        for source in files("experiments").joinpath("configs").iterdir()
        if source.name.endswith(".toml") and f"[{table}".encode() in source.read_bytes()
    }
    if str(path) in shipped:
        return shipped[str(path)]
    if not is_file(Path(path)):
        raise InputError(
            f"config: no file {shortened(str(path))}; configs that come with it are {', '.join(sorted(shipped))}"
        )
    return read_file(Path(path), "config")
