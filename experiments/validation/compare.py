"""The engines side by side: the same devices through ngspice, ``network``, ``sde`` and closed forms."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from math import inf

from threadpoolctl import threadpool_limits

from experiments.validation.closed_forms import CLOSED_FORMS
from experiments.validation.comparisons import COMPARISONS
from experiments.validation.evidence import Check, Outcome
from experiments.validation.setups import Setup
from experiments.validation.subject import Subject
from solvers.ngspice_process import ngspice_program
from spu_circuit.errors import SpuError


def compare(setup: Setup) -> Outcome:
    """All comparisons of a device; what cannot be computed is a verdict that fails, with the error as its reason."""
    subject, outcomes = Subject(setup), []
    for comparison in (*COMPARISONS, *CLOSED_FORMS[setup.closed]):
        try:
            if comparison.applies(subject):
                outcomes.append(comparison.compare(subject))
        except SpuError as error:
            reason = " ".join(str(error).split())
            failed = Check(setup, comparison.agreement, "not computed", "–", "–", inf, 0.0, reason)
            outcomes.append(Outcome((failed,)))
    return Outcome(
        tuple(check for outcome in outcomes for check in outcome.checks),
        tuple(evidence for outcome in outcomes for evidence in outcome.evidence),
    )


def compared(setups: tuple[Setup, ...], workers: int | None = None) -> Iterator[Outcome]:
    """The outcomes of the setups, in their order, whatever the number of workers.

    Raises:
        NgspiceMissingError: there is no ngspice.
    """
    ngspice_program()
    # ngspice runs in children, so threads are enough; BLAS threads of its own would only wait for each other.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        yield from pool.map(compare, setups)
