"""The templates that all pages have in common, and how a real browser shows them."""

import struct
import zlib

import pytest
from jinja2 import ChoiceLoader, DictLoader, UndefinedError

from experiments.shared import page
from experiments.shared.page import Picture, render
from tests.browser import Browser

HOSTILE = "<script>alert('&')</script>"
TEMPLATE = """\
{% extends "shared/templates/base.html" %}
{% from "shared/templates/macros.html" import answer, details, figure, listing, section, table with context %}
{% set heading = text %}
{% block body %}
{{ answer([text, text]) }}
{% call section("first", text) %}
{{ table(text, [text, text], [[text, text], [text, [text, 2]]]) }}
{% call(row) table("ours", ["one"], [text], words=true) %}<tr><th scope="row">{{ row }}</th></tr>{% endcall %}
{% endcall %}
{% call section("second", "Second") %}
{{ figure(picture) }}
{% call details(text) %}{{ listing(text, text) }}{% endcall %}
{% endcall %}
{% endblock %}
"""


def png(width=2, height=1):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = zlib.compress((b"\0" + b"\x80" * width) * height)
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.fixture
def made(monkeypatch):
    ours = DictLoader({"ours.html": TEMPLATE, "lacking.html": "{{ missing }}"})
    monkeypatch.setattr(page._ENVIRONMENT, "loader", ChoiceLoader([ours, page._ENVIRONMENT.loader]))
    return render


def test_texts_are_shown_and_never_read_as_html(made, tmp_path):
    text = made("ours.html", text=HOSTILE, picture=Picture(png(), HOSTILE, HOSTILE))
    assert text.startswith("<!doctype html>")
    assert "<script" not in text
    (tmp_path / "page.html").write_text(text)
    with Browser(tmp_path / "browser") as browser:
        browser.open(tmp_path / "page.html")
        assert browser.value("document.title") == HOSTILE
        for where in ("h1", ".answer", "h2", "caption", "thead", "tbody", "li", "h3", "figcaption", "summary", "pre"):
            assert HOSTILE in browser.value(f"document.querySelector('main {where}').textContent")
        assert browser.value("document.images[0].alt") == HOSTILE
        assert browser.value("document.images[0].naturalWidth") == 2
        assert browser.value("document.querySelectorAll('.answer').length") == 1


def test_contents_link_every_section_once_a_page(made):
    for _ in range(2):
        text = made("ours.html", text="a title", picture=Picture(png(), "t", "c"))
        assert text.count('<li><a href="#first">a title</a></li>\n<li><a href="#second">Second</a></li>\n</ol>') == 1


def test_a_field_that_is_not_given_is_an_error(made):
    with pytest.raises(UndefinedError, match="missing"):
        made("lacking.html")
