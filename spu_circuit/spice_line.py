"""A statement of a SPICE library with where it stands."""

from typing import NamedTuple

from spu_circuit.errors import InputError
from spu_circuit.files import cut


class Line(NamedTuple):
    """A statement, continued lines joined, or a comment, which begins with ``*``.

    Args:
        fault: why it has no place in a deck; empty: it has one. Only a line that is used is refused for it.
    """

    file: str
    number: int
    text: str
    fault: str = ""

    @property
    def word(self) -> str:
        return self.text.split()[0].lower()

    @property
    def is_comment(self) -> bool:
        return self.text.startswith("*")

    def refused(self, message: str) -> InputError:
        return InputError(f"library {cut(self.file)}, line {self.number}: {cut(message, 500)}")

    def checked(self) -> "Line":
        """The line itself. Raises InputError where it has a fault."""
        if self.fault:
            raise self.refused(self.fault)
        return self
