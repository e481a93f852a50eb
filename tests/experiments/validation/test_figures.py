"""Which devices the figures show, and what they say in words."""

import pytest

from experiments.validation.conditioning import HARDWARE
from experiments.validation.evidence import COVARIANCE, MEAN, SPECTRUM
from experiments.validation.figures import FIGURES, one_a_device
from experiments.validation.setups import SETUPS
from tests.experiments.validation.made import found

KINDS = {(setup.topology, setup.preset) for setup in SETUPS if not setup.full}
DRAW = {entry.name: entry.draw for entry in FIGURES}


def test_all_shipped_presets_and_topologies_are_compared():
    assert {preset for _, preset in KINDS} == {"ideal", "paper", "bench", "rram", "passive", "factored", "vendor"}
    assert {topology for topology, _ in KINDS} == {"active", "passive", "factored"}


@pytest.mark.parametrize("agreement", [MEAN, SPECTRUM, COVARIANCE])
def test_a_figure_has_one_device_of_every_topology_and_preset(agreement):
    chosen = one_a_device(found().evidence, agreement)
    kinds = [(piece.check.setup.topology, piece.check.setup.preset) for piece in chosen]
    assert len(kinds) == len(set(kinds))
    assert set(kinds) == KINDS
    assert {piece.check.agreement for piece in chosen} == {agreement}


@pytest.mark.parametrize("name", ["settling", "spectra"])
def test_each_device_has_a_panel_that_names_it(name):
    run = found()
    figure, words = DRAW[name](run)
    titles = [axes.get_title("left").splitlines() for axes in figure.axes if axes.get_visible()]
    first = {(setup.topology, setup.preset): setup for setup in reversed(SETUPS)}
    assert sorted(title[:2] for title in titles) == sorted([s.device, s.matrix] for s in first.values())
    assert all(title[2] == "0.0001 apart (≤ 0.001)" for title in titles)
    assert all(setup.device in words for setup in first.values())
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert all(axes.get_xlabel() and axes.get_ylabel() for axes in shown)


def test_covariances_have_a_row_a_device():
    figure, _ = DRAW["covariance"](found())
    rows = [axes.get_ylabel().splitlines()[0] for axes in figure.axes if axes.get_ylabel()]
    first = {(setup.topology, setup.preset): setup for setup in reversed(SETUPS)}
    assert sorted(rows) == sorted(setup.device for setup in first.values())


def test_errors_have_a_panel_for_every_kind_of_hardware():
    figure, words = DRAW["conditioning"](found())
    titles = [axes.get_title("left") for axes in figure.axes if axes.get_visible()]
    assert titles == [preset if preset == topology else f"{preset}, {topology}" for topology, preset in HARDWARE]
    assert "paper 0.0001" in words


def test_every_check_is_a_dot_at_its_share_of_the_bound():
    run = found()
    figure, words = DRAW["agreements"](run)
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert sum(len(line.get_xdata()) for line in dots) == len(run.checks)
    shares = sorted(share for line in dots for share in line.get_xdata())
    assert shares == pytest.approx(sorted(check.share for check in run.checks))
    assert f"{len(run.checks)} of {len(run.checks)} checks are within their bounds" in words


def test_without_evidence_nothing_is_drawn():
    nothing = found(())
    assert [entry.name for entry in FIGURES if entry.draw(nothing) is not None] == ["conditioning"]
