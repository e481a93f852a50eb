"""Pages that open without a network: one HTML file with its style and pictures inside."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

STYLE = """
body { font: 16px/1.55 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .4rem; }
img { max-width: 100%; height: auto; } figure { margin: 0; break-inside: avoid; }
figcaption, .about { color: #555; font-size: .92rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .35rem .45rem; border-bottom: 1px solid #ddd; }
td { white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } thead th { border-bottom: 2px solid #888; }
table.words th, table.words td { text-align: left; white-space: normal; vertical-align: top; }
table.words td.number { text-align: right; white-space: nowrap; }
tr.bad td { background: #fbe3e4; }
pre { overflow-x: auto; background: #f6f6f6; padding: 1rem; font-size: .85rem; }
"""


def page(title: str, heading: str, body: str) -> str:
    """The whole file.

    Args:
        body: HTML.
    """
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style></head><body>
<h1>{escape(heading)}</h1>
{body}
</body></html>
"""


def paragraphs(sentences: Iterable[str]) -> str:
    return "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)


def figure(picture: Path, title: str, caption: str) -> str:
    """A PNG inside the page."""
    data = base64.b64encode(picture.read_bytes()).decode()
    return (
        f'<figure><h2>{escape(title)}</h2><img alt="{escape(title)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def table(head: Sequence[str], rows: Iterable[str], kind: str = "") -> str:
    """A table that scrolls sideways where it is too wide.

    Args:
        rows: HTML of ``<tr>`` elements.
        kind: a class of the style: "words" wraps its cells.
    """
    cells = "".join(f"<th>{escape(text)}</th>" for text in head)
    made = f' class="{kind}"' if kind else ""
    return f'<div class="wide"><table{made}><thead><tr>{cells}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def write(path: Path, text: str) -> None:
    """Whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
