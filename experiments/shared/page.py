"""Pages that open without a network: one HTML file with its style and pictures inside, for screen, keyboard, print."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

STYLE = """
body { font: 16px/1.55 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #222;
  background: #fff; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { font-size: 1.15rem; margin: 2rem 0 .4rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
img { max-width: 100%; height: auto; } figure { margin: 0; break-inside: avoid; }
figcaption, caption, .about { color: #555; font-size: .92rem; }
caption { text-align: left; padding: .2rem 0 .4rem; }
.answer { font-size: 1.1rem; font-weight: 600; }
nav ol { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: 0; padding: 0; list-style: none; }
nav { border: solid #ddd; border-width: 1px 0; padding: .5rem 0; }
a { color: #1d5a91; } .skip { position: absolute; left: -99rem; } .skip:focus { position: static; }
:focus-visible { outline: 3px solid #b3541e; outline-offset: 2px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .35rem .45rem; border-bottom: 1px solid #ddd; }
td, tbody th { white-space: nowrap; } tbody th { font-weight: inherit; }
th:first-child, td:first-child { text-align: left; } thead th { border-bottom: 2px solid #888; }
table.words th, table.words td { text-align: left; white-space: normal; vertical-align: top; }
table.words td.number { text-align: right; white-space: nowrap; }
tr.bad td { background: #fbe3e4; }
ul.plain { margin: 0; padding: 0; list-style: none; } ul.plain li { white-space: nowrap; }
summary { cursor: pointer; }
pre { overflow-x: auto; background: #f6f6f6; padding: 1rem; font-size: .85rem; }
@media print {
  @page { margin: 14mm; }
  body { font-size: 10.5pt; max-width: none; margin: 0; padding: 0; }
  nav, .skip { display: none; }
  h2, h3, caption { break-after: avoid; }
  tr, figure, img { break-inside: avoid; } thead { display: table-header-group; }
  figure img { max-height: 22cm; } .wide { overflow: visible; } table { font-size: 7.5pt; } td, th { padding: .2rem; }
  td, tbody th, ul.plain li { white-space: normal; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 7.5pt; }
  details::details-content { content-visibility: visible; block-size: auto; }
}
"""


def page(title: str, heading: str, body: str, contents: Mapping[str, str] | None = None) -> str:
    """The whole file.

    Args:
        body: HTML.
        contents: id of a section to its title, for the list of contents.
    """
    skip = ""
    if contents:
        links = "".join(f'<li><a href="#{name}">{escape(text)}</a></li>' for name, text in contents.items())
        skip = f'<a class="skip" href="#main">Skip to the findings</a><nav aria-label="Contents"><ol>{links}</ol></nav>'
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style></head><body>
{skip}
<main id="main" tabindex="-1"><h1>{escape(heading)}</h1>
{body}
</main></body></html>
"""


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


def figure(picture: Path, title: str, caption: str) -> str:
    """A PNG inside the page, under a heading of its own."""
    return illustration(picture.read_bytes(), title, caption, f"<h2>{escape(title)}</h2>")


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
