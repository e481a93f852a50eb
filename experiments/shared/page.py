"""Pages that open without a network: one HTML file with its style and pictures inside, for screen, keyboard, print."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
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
    """

    png: bytes
    title: str
    caption: str
    words: str = ""


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


# What pages without a template are put together from: HTML in, HTML out.


def page(title: str, heading: str, body: str, contents: Mapping[str, str] | None = None) -> str:
    """The whole file.

    Args:
        body: HTML.
        contents: id of a section to its title, for the list of contents.
    """
    template = '{% extends "shared/templates/base.html" %}{% block body %}{{ html | safe }}{% endblock %}'
    fields = {"heading": heading, "html": body, "contents": list((contents or {}).items())}
    return _ENVIRONMENT.from_string(template).render(fields)


def section(name: str, title: str, body: str) -> str:
    """A part of the page that contents can link to.

    Args:
        name: its id.
        body: HTML.
    """
    heading = f'<h2 id="{name}-title">{escape(title)}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">{heading}{body}</section>'


def paragraphs(sentences: Iterable[str]) -> str:
    return "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)


def illustration(picture: bytes, alternative: str, caption: str, heading: str = "") -> str:
    """A PNG inside the page.

    Args:
        alternative: what the picture shows, for those who cannot see it.
        heading: HTML above it.
    """
    data = base64.b64encode(picture).decode()
    return (
        f'<figure>{heading}<img alt="{escape(alternative)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def table(head: Sequence[str], rows: Iterable[str], kind: str = "", caption: str = "") -> str:
    """A table that scrolls sideways where it is too wide, by keyboard too.

    Args:
        rows: HTML of ``<tr>`` elements.
        kind: a class of the style: "words" wraps its cells.
    """
    cells = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    made = f' class="{kind}"' if kind else ""
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption or "table")}">'
        f"<table{made}>{said}<thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def row(name: str, cells: Iterable[str]) -> str:
    """A row of a table: what it is about, then HTML of its cells."""
    return f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
