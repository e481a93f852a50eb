"""The claims. A claim is one file here and one line."""

from difflib import get_close_matches

from experiments.claims.claim import Claim
from experiments.claims.statements import (
    averaging,
    buildable,
    cost,
    early_lead,
    interpolation,
    refinement,
    residual_state,
    sign_descent,
)
from spu_circuit.errors import InputError

CLAIMS: dict[str, Claim] = {
    claim.name: claim
    for claim in (
        interpolation.CLAIM,
        residual_state.CLAIM,
        sign_descent.CLAIM,
        averaging.CLAIM,
        refinement.CLAIM,
        cost.CLAIM,
        buildable.CLAIM,
        early_lead.CLAIM,
    )
}


def claim_named(name: str) -> Claim:
    """A claim by its name. Raises InputError where there is none."""
    if name in CLAIMS:
        return CLAIMS[name]
    near = get_close_matches(name, CLAIMS, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise InputError(f"claim: no {name!r}; {hint}claims are {', '.join(CLAIMS)}")
