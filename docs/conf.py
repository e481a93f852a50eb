"""How Sphinx makes the site: ``make docs``. Nothing is fetched, neither to build a page nor to read one."""

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from sphinx.application import Sphinx

from spu_circuit import __version__

project = html_title = "spu-circuit"
release = __version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx-mathjax-offline",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

nb_execution_mode = "force"  # a cache would not see that the code has changed
nb_execution_timeout = 120
nb_execution_raise_on_error = True

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_numpy_docstring = False

ARRAY = re.compile(
    r"~?(numpy\.)?ndarray\[tuple\[~?(typing\.)?Any, \.\.\.\], ~?(numpy\.)?dtype\[~?(numpy\.)?float64\]\]"
)
"""What autodoc makes of the alias ``Array``."""
UNQUOTED_BAR = re.compile(r"\|(?=(?:[^`]|``[^`]*``)*$)")
"""A bar with whole literals behind it."""
NAPOLEON = 500
"""When napoleon reads a docstring."""


def setup(app: Sphinx) -> None:
    """Join Sphinx's events."""
    kept: dict[str, list[str]] = {}

    def hide(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
        """The sentence about a constant, whose words before a colon napoleon would take for its type."""
        if what in ("data", "attribute"):
            kept[name] = lines[:]
            lines.clear()

    def show(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
        """That sentence again. And bars are magnitudes, not reStructuredText's substitutions."""
        lines[:] = [UNQUOTED_BAR.sub(r"\\|", line) for line in kept.pop(name, lines)]

    app.connect("autodoc-process-docstring", hide, NAPOLEON - 1)
    app.connect("autodoc-process-docstring", show, NAPOLEON + 1)
    app.connect("object-description-transform", shorten, 400)


def shorten(app: Sphinx, domain: str, kind: str, content: Any) -> None:
    """Arrays have the name that the code gives them."""
    for types in app.env.current_document.autodoc_annotations.values():
        for name, text in types.items():
            types[name] = ARRAY.sub("Array", text)
