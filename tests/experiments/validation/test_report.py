"""The page of a validation: what it answers, and how a real browser shows it."""

from dataclasses import replace

import pytest

from experiments.validation.report import write_page
from experiments.validation.setups import SETUPS
from experiments.validation.tables import answer
from tests.browser import Browser
from tests.experiments.validation.made import found

A4 = 688
"""CSS pixels between the margins of an A4 page: (210 − 2 · 14) mm at 96 a inch."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    folder = tmp_path_factory.mktemp("validation")
    write_page(found(), folder)
    with Browser(folder / "browser") as opened:
        opened.width(1200)
        opened.open(folder / "validation.html")
        yield opened


def test_the_answer_says_whether_how_well_and_where_worst():
    checks = list(found(SETUPS[:2]).checks)
    checks[5] = replace(checks[5], difference=9e-4)
    sentences = answer(checks)
    assert sentences == [
        "The engines agree: on 2 devices all 8 checks hold.",
        "The engines network and ngspice differ relatively by at most 0.0001 at rest, 0.0009 on the way there and "
        "0.0001 in noise power.",
        f"Nearest to its bound: a quantity, network against ngspice, on {SETUPS[1].name}: 0.0009 (≤ 0.001).",
    ]
    checks[5] = replace(checks[5], difference=2e-3)
    (first, *_) = answer(checks)
    assert first.startswith(f"The engines disagree: 1 of 8 checks fails; the first that fails: {SETUPS[1].name}")


def test_sections_are_listed_and_pictures_say_what_they_show_in_numbers(browser):
    sections = browser.value("[...document.querySelectorAll('section')].map(s => s.id)")
    assert sections == ["agreement", "engines", "figures", "limits", "checks"]
    linked = browser.value("[...document.querySelectorAll('nav a')].map(a => a.getAttribute('href'))")
    assert linked == [f"#{name}" for name in sections]
    assert browser.value("document.images.length") == 5
    assert browser.value("[...document.images].every(i => /\\d/.test(i.alt) && i.naturalWidth > 600)")
    assert browser.value("[...document.querySelectorAll('table')].every(t => t.caption && t.caption.textContent)")
    assert browser.value("document.querySelectorAll('details table').length") == len(SETUPS)
    assert "<the others> & more" in browser.value("document.querySelector('details td:nth-child(5)').textContent")


def test_nothing_is_cut_off_on_a_telephone_a_desk_or_paper(browser):
    for width in (360, 1200):
        browser.width(width)
        assert browser.value("document.documentElement.scrollWidth") <= width
    browser.do("Emulation.setEmulatedMedia", media="print")
    browser.width(A4)
    try:
        edges = "[...document.querySelectorAll('table, img')].map(e => e.getBoundingClientRect().right)"
        assert max(browser.value(edges)) <= A4
        assert browser.value("document.querySelector('details table').getBoundingClientRect().height") > 0
    finally:
        browser.do("Emulation.setEmulatedMedia", media="")
        browser.width(1200)


def test_checks_that_fail_have_a_section_of_their_own(tmp_path):
    run = found(SETUPS[:1])
    failing = tuple(replace(check, difference=1.0) if check.time == 2.0 else check for check in run.checks)
    write_page(replace(run, checks=failing), tmp_path)
    page = (tmp_path / "validation.html").read_text()
    assert 'href="#failed"' in page
    # Among those that fail, as the worst of its agreement, and among all.
    assert page.count('<tr class="bad">') == 3
