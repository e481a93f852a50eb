"""The page of a sweep: what it says, and how a real browser shows it, without a network, by keyboard and in print."""

import base64
import json
import re
import tomllib
from contextlib import closing
from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import binomtest, norm, spearmanr

from experiments.shared.versions import versions
from experiments.sweeps.bars import RANGE, Bar, Bars
from experiments.sweeps.config import Sweep, read_sweep
from experiments.sweeps.correlations import EITHER_WAY, correlated, noise_of
from experiments.sweeps.figures.convergence import running
from experiments.sweeps.figures.tornado import tornado
from experiments.sweeps.findings import disagreements, findings, study_in
from experiments.sweeps.group import Group
from experiments.sweeps.redraw import Trait
from experiments.sweeps.report import write_report
from experiments.sweeps.rows import Row
from experiments.sweeps.run import run
from experiments.sweeps.samples import SampleSet
from experiments.sweeps.store import SweepStore, open_sweep
from experiments.sweeps.study import study_of
from experiments.sweeps.units import metric_text
from spu_circuit.sampling import Sampling
from tests.browser import Browser
from tests.terminal import spu

CONFIG = """
name = "resistors"
question = "How tight must the resistors be?"
metrics = ["relative_error", "settling_time"]
[hardware]
base = "paper"
[hardware.variation.array_resistor]
local = { tolerance = "1 %", meaning = "sigma" }
lot = { tolerance = "1 %", meaning = "sigma" }
[hardware.variation.capacitor]
lot = { tolerance = "5 %", meaning = "sigma" }
[workload]
kind = "random"
size = 4
[analysis]
kind = "monte carlo"
samples = 256
[grid]
"hardware.variation.array_resistor.local.tolerance" = ["0.1 %", "1 %"]
[limits]
relative_error = { max = "1 %" }
"""
SECTIONS = [
    "points",
    "distribution",
    "grid",
    "convergence",
    "sensitivity",
    "pairs",
    "contributions",
    "worst",
    "audit",
    "configuration",
]
A4 = 688
"""CSS pixels between the margins of an A4 page: (210 − 2 · 14) mm at 96 a inch."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("sweep")
    (where / "resistors.toml").write_text(CONFIG)
    run = spu("sweep", where / "resistors.toml", "--output", where / "run", "--workers", 1, "--audit", 0.02)
    assert run.returncode == 0, run.stderr
    assert "Report: " in run.stdout
    return where / "run"


@pytest.fixture(scope="module")
def browser(folder, tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as opened:
        opened.width(1200)
        opened.open(folder / "report.html")
        yield opened


def found_in(folder):
    with closing(open_sweep(folder)) as store:
        return findings(study_in(store), store).every


def test_page_and_summary_say_what_the_store_holds(folder):
    page, summary = (folder / "report.html").read_text(), json.loads((folder / "summary.json").read_text())
    assert "How tight must the resistors be?" in page
    for group, said in zip(found_in(folder), summary["points"], strict=True):
        errors = np.array([row.metrics[0] for row in group.rows])
        good = int((errors <= 0.01).sum())
        interval = binomtest(good, 256).proportion_ci(method="exact")
        assert (said["yield"]["good"], said["yield"]["tried"]) == (good, 256)
        assert (said["yield"]["low"], said["yield"]["high"]) == pytest.approx((interval.low, interval.high))
        assert f"{100 * interval.low:.2f} % to {100 * interval.high:.2f} %" in page
        assert said["metrics"]["relative_error"]["median"]["value"] == np.sort(errors)[127]
        # The worst copy, with the command that draws it again.
        assert re.search(rf"spu-circuit replay \S+ {errors.argmax()}( --point 1)?\n", page)
        # Amplifiers of the paper's device are ideal, so ngspice and the network have the same law; the transient of
        # ngspice is good to its reltol of 1e-4, and its settling time is interpolated between steps.
        assert said["audit"]["relative_difference"]["relative_error"]["worst"] < 1e-3
        assert said["audit"]["relative_difference"]["settling_time"]["worst"] < 1e-2
    assert not list(folder.glob("*.part"))


def test_report_is_written_again_from_the_store(folder):
    before = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").unlink()
    assert spu("report", folder).returncode == 0
    assert json.loads((folder / "summary.json").read_text()) == before


def test_page_refers_to_nothing_outside_itself(folder, browser):
    page = (folder / "report.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    assert "http" not in page
    assert "url(" not in page
    asked = [
        event["params"]["request"]["url"] for event in browser.events if event["method"].endswith("requestWillBeSent")
    ]
    assert all(url.startswith(("file:", "data:")) for url in asked)
    assert not [e for e in browser.events if e["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")]


def test_browser_shows_all_sections_and_pictures_and_cuts_nothing_off(browser):
    assert browser.value("[...document.querySelectorAll('section')].map(s => s.id)") == SECTIONS
    assert browser.value("[...document.images].every(i => i.complete && i.naturalWidth > 600)")
    assert browser.value("document.images.length") == 5
    for width in (360, 1200):  # a telephone, a desk
        browser.width(width)
        assert browser.value("document.documentElement.scrollWidth") <= width


def test_structure_is_readable_without_seeing_it(browser):
    nodes = browser.do("Accessibility.getFullAXTree")["nodes"]
    roles = [node["role"]["value"] for node in nodes if not node["ignored"]]
    assert roles.count("main") == roles.count("navigation") == 1
    levels = browser.value("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    # Pictures say what they show, in numbers.
    assert browser.value("[...document.images].every(i => /\\d/.test(i.alt) || i.closest('#pairs'))")
    assert browser.value("[...document.querySelectorAll('table')].every(t => t.caption && t.caption.textContent)")
    assert browser.value("[...document.querySelectorAll('th')].every(h => h.scope)")


def test_page_works_by_keyboard_alone(browser):
    seen = []
    for _ in range(60):
        browser.press("Tab")
        here = "document.activeElement"
        assert browser.value(f"getComputedStyle({here}).outlineStyle") != "none"
        seen.append(browser.value(f"{here}.getAttribute('href') || {here}.tagName"))
        if seen[-1] == "SUMMARY":
            break
    assert seen[: 1 + len(SECTIONS)] == ["#main", *(f"#{name}" for name in SECTIONS)]
    assert not browser.value("document.querySelector('details').open")
    browser.press("Enter")
    assert browser.value("document.querySelector('details').open")
    browser.press("Enter")
    browser.value("document.querySelector('nav a[href=\"#worst\"]').focus()")
    browser.press("Enter")
    assert browser.value("location.hash") == "#worst"
    assert browser.value("Math.abs(document.querySelector('#worst').getBoundingClientRect().top)") < 900


def test_print_has_pages_and_no_cut_tables_or_figures(browser, tmp_path):
    browser.do("Emulation.setEmulatedMedia", media="print")
    browser.width(A4)
    try:
        assert browser.value("document.documentElement.scrollWidth") <= A4
        tables = "[...document.querySelectorAll('table, img, pre')].map(e => e.getBoundingClientRect().right)"
        assert max(browser.value(tables)) <= A4
        assert browser.value("getComputedStyle(document.querySelector('nav')).display") == "none"
        pdf = base64.b64decode(browser.do("Page.printToPDF", preferCSSPageSize=True)["data"])
    finally:
        browser.do("Emulation.setEmulatedMedia", media="")
        browser.width(1200)
    assert pdf.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) > 1


def group(rows, analysis="monte carlo", limits=None, copies=None, audit=()):
    sweep = Sweep.model_validate(
        {
            "name": "made",
            "hardware": {"base": "ideal"},
            "metrics": ["relative_error", "settling_time"],
            "limits": limits or {},
            "workload": {"kind": "random", "size": 2},
            "analysis": {"kind": analysis},
        },
        context={"strict_units": True},
    )
    copies = copies or SampleSet(len(rows), Sampling(0), heaviest=2.0 if analysis == "importance" else 1.0)
    return Group((0, "copies"), {}, sweep, copies, tuple(rows), tuple(audit))


def rows_of(values, statuses=None, weights=None):
    return [
        Row(k, "ok" if statuses is None else statuses[k], "", 1.0 if weights is None else weights[k], (v, v))
        for k, v in enumerate(values)
    ]


def test_running_yield_ends_at_the_yield_and_its_interval():
    limits = {"relative_error": {"max": "50 %"}}
    values = np.random.default_rng(1).random(400)
    for analysis in ("monte carlo", "importance"):
        made = group(rows_of(values.tolist(), weights=(2 * values).tolist()), analysis, limits)
        counts, share, low, high = running(made)
        assert counts[-1] == 400
        assert (share[-1], low[-1], high[-1]) == pytest.approx((made.found_yield.share, *made.found_yield.interval))


def test_unstable_copies_are_the_worst_and_failed_ones_count_nowhere():
    made = group(
        rows_of([0.1, 0.2, np.nan, np.nan], ["ok", "ok", "unstable", "failed"]),
        limits={"relative_error": {"max": "15 %"}},
    )
    assert made.worst(1)[0].sample == 2
    assert made.percentile("relative_error", 1.0).value == np.inf
    assert (made.found_yield.good, made.found_yield.tried) == (1, 3)


def test_weighted_percentile_is_that_of_the_wanted_distribution():
    """Normal scores drawn twice as wide, weighted back: the median of |score| is 0.674."""
    scores = 2 * np.random.default_rng(2).standard_normal(20_000)
    weights = 2 * np.exp(-(scores**2) * 3 / 8)
    made = group(rows_of(np.abs(scores).tolist(), weights=weights.tolist()), "importance")
    # Density of |score| there 0.636; standard error √(0.25 / n_eff) / 0.636 with n_eff = n / E[w²] ≈ n / 1.5: 0.007.
    assert made.percentile("relative_error", 0.5).value == pytest.approx(norm.ppf(0.75), abs=0.03)


def test_correlations_are_spearmans_and_find_what_hurts_either_way():
    rng = np.random.default_rng(3)
    slope, bowl, other = rng.standard_normal((3, 500))
    values = slope + 3 * bowl**2
    traits = [Trait(name, "%", v) for name, v in (("slope", slope), ("bowl", bowl), ("other", other))]
    found = {bar.name: bar.low + bar.high for bar in correlated([*traits, Trait("same", "", 0 * bowl)], values)}
    assert list(found)[:2] == [f"bowl{EITHER_WAY}", "slope"]
    ranks = [np.argsort(np.argsort(each)) for each in (slope, values)]
    assert found["slope"] == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert len(found) == 3


def test_correlations_of_equal_and_infinite_values_are_scipys():
    rng = np.random.default_rng(5)
    counts, values = rng.integers(0, 4, 200).astype(float), rng.integers(0, 9, 200).astype(float)
    values[::17] = np.inf
    (bar,) = correlated([Trait("count", "", counts)], values)
    tried = [spearmanr(each, values).statistic for each in (counts, np.abs(counts - np.median(counts)))]
    assert bar.low + bar.high == pytest.approx(max(tried, key=abs), abs=1e-12)


def test_noise_band_holds_nineteen_of_twenty_independent_traits():
    """1000 traits: outside 5 %, with a standard error of 0.7 %; five of them are a false alarm in 10⁶."""
    rng = np.random.default_rng(4)
    traits = [Trait(str(k), "%", v) for k, v in enumerate(rng.standard_normal((1000, 200)))]
    outside = np.mean([e.size > noise_of(200) for e in correlated(traits, rng.standard_normal(200))])
    assert outside == pytest.approx(0.05, abs=0.035)


def test_disagreements_are_relative():
    made = group(rows_of([1.0, 2.0, 0.0]), audit=rows_of([1.1, 2.0, 0.0]))
    name, median, worst = next(disagreements(made))
    assert (name, median) == ("relative_error", 0)
    assert worst == pytest.approx(0.1 / 1.1)


def test_values_are_shown_with_prefixes_and_percent():
    shown = [
        metric_text("settling_time", 2.3701e-5),
        metric_text("relative_error", 0.0123),
        metric_text("output_current", 1.612e-3),
    ]
    assert shown == ["23.7 µs", "1.23 %", "1.61 mA"]
    assert [metric_text("saturated_cells", v) for v in (3.0, np.inf, np.nan)] == ["3", "∞", "–"]


@pytest.mark.parametrize("kind", ["importance", "corners", "one at a time", "variance based", "contributions"])
def test_every_analysis_has_a_page(kind, tmp_path):
    samples = "" if kind == "corners" else "samples = 64"
    text = CONFIG.replace('kind = "monte carlo"\nsamples = 256', f'kind = "{kind}"\n{samples}')
    config = tmp_path / "other.toml"
    config.write_text(re.sub(r"\[grid\]\n.*\n", "", text))
    made = study_of(*read_sweep(config), str(config))
    with closing(SweepStore(tmp_path / "run")) as store:
        store.claim(made.config, versions())
        assert write_report(store) == []
        run(made, store)
        sentences = write_report(store)
    page = (tmp_path / "run" / "report.html").read_text()
    words = {"corners": "the nominal copy", "one at a time": "varies", "variance based": "share in the variance"}
    assert words.get(kind, "keep all limits") in " ".join(sentences)
    assert ("convergence" in page) == (kind != "corners")
    assert 'id="sensitivity"' in page


@pytest.mark.filterwarnings("error")
def test_bars_of_what_may_be_unstable_have_an_end():
    figure, words = tornado(Bars(RANGE, {"relative_error": (Bar("capacitor", 0.1, np.inf), Bar("resistor", 0.1, 0.2))}))
    figure.savefig(BytesIO(), format="png")
    assert "capacitor" in words


SAME = """
name = "alike"
metrics = ["relative_error", "saturated_cells"]
[hardware]
base = "paper"
[hardware.variation.capacitor]
lot = { tolerance = "5 %", meaning = "sigma" }
[workload]
kind = "random"
size = 4
[analysis]
kind = "KIND"
"""


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("limits", ["", '[limits]\nrelative_error = { max = "50 %" }\n'])
@pytest.mark.parametrize("kind", ["monte carlo", "importance", "corners", "one at a time", "variance based"])
def test_copies_that_are_all_alike_have_a_page(kind, limits, tmp_path):
    """Settled voltages do not know capacitors: no interval has a width, and no correlation is one."""
    samples = "" if kind == "corners" else "samples = 64\n"
    document = tomllib.loads(SAME.replace("KIND", kind) + samples + limits)
    made = study_of(document, {}, "test")
    with closing(SweepStore(tmp_path)) as store:
        store.claim(made.config, {})
        run(made, store)
        write_report(store)
    assert 'id="distribution"' in (tmp_path / "report.html").read_text()
