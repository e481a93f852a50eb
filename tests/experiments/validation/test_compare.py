"""The engines side by side on few devices: whether they agree, and how a failure is told."""

import pytest

from experiments.validation.alterations import ROTATION, mismatch
from experiments.validation.closed_forms import CLOSED_FORMS
from experiments.validation.compare import compare, compared
from experiments.validation.comparisons import COMPARISONS
from experiments.validation.evidence import AGREEMENTS, OPERATING_POINT, worst
from experiments.validation.setups import SETUPS, Setup
from experiments.validation.subject import Subject
from solvers.ngspice import Ngspice
from spu_circuit.errors import SimulationError

FEW = (
    Setup("active", "ideal", 4, 1e4, (0.5,), closed="x = A⁻¹b"),
    Setup("active", "ideal", 2, 2, (0.5,), injected=1e-3, alteration=ROTATION, closed="Van Loan"),
    Setup("active", "paper", 4, 5, (1.0,), alteration=mismatch(0.2), samples=200),
    Setup("active", "bench", 3, 5, (0.5,)),
    Setup("active", "rram", 3, 2, (0.5,)),
    Setup("passive", "passive", 4, 8, (1.0,), samples=200),
)
CELL = Setup("active", "paper", 1, 1, (1.0,), closed="(kT/C)(1 + G_in/G)")


@pytest.mark.slow
def test_the_engines_agree_whatever_the_number_of_workers():
    alone, together = ([check for o in compared(FEW, workers) for check in o.checks] for workers in (1, 3))
    assert [check for check in alone if not check.holds] == []
    assert alone == together
    assert list(worst(alone)) == list(AGREEMENTS)


def test_checks_belong_to_the_agreement_that_their_comparison_names():
    """So that a comparison that cannot be computed fails where its checks would stand."""
    entries = [*COMPARISONS, *(entry for entries in CLOSED_FORMS.values() for entry in entries)]
    assert {entry.agreement for entry in entries} == set(AGREEMENTS)
    for setup in (FEW[0], CELL):
        subject = Subject(setup)
        for entry in (*COMPARISONS, *CLOSED_FORMS[setup.closed]):
            if entry.applies(subject):
                assert {check.agreement for check in entry.compare(subject).checks} == {entry.agreement}


def test_setups_name_closed_forms_that_there_are():
    assert {setup.closed for setup in SETUPS} == set(CLOSED_FORMS)


def test_a_check_says_when_in_seconds():
    checks = compare(CELL).checks
    assert {check.time is None for check in checks} == {True, False}
    for check in checks:
        assert (check.time is None) == (check.seconds is None)
        if check.time is not None:
            assert check.seconds == check.time * Subject(check.setup).time_constant


def test_an_engine_that_fails_is_a_verdict_that_fails(monkeypatch):
    def fail(*arguments):
        raise SimulationError("ngspice did not converge; damp more")

    monkeypatch.setattr(Ngspice, "simulate", fail)
    checks = compare(Setup("active", "ideal", 2, 2)).checks
    first = checks[0]
    assert not first.holds
    assert first.agreement == OPERATING_POINT
    assert "did not converge" in first.reason
    assert any(check.holds for check in checks)
