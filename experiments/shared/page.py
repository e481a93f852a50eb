"""Pages that open without a network: one HTML file with its style and pictures inside, for screen, keyboard, print."""

import base64
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


@dataclass(frozen=True)
class Picture:
    """A figure of a page.

    Args:
        png: the file's bytes.
        title: its heading.
        caption: stands below it.
        words: what it shows, for those who cannot see it; the title where empty.
        name: of its entry.
    """

    png: bytes
    title: str
    caption: str
    words: str = ""
    name: str = ""


def render(template: str, **fields: Any) -> str:
    """A whole page.

    Args:
        template: below ``experiments``; extends ``shared/templates/base.html``.
        fields: all that the template names; texts are escaped there.

    Raises:
        jinja2.UndefinedError: the template names a field that is not given.
    """
    return _ENVIRONMENT.get_template(template).render(fields, contents=[])


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


_ENVIRONMENT = Environment(
    loader=PackageLoader("experiments", ""),
    autoescape=True,
    undefined=StrictUndefined,
    extensions=["jinja2.ext.do"],
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters["data_uri"] = _data_uri
