"""The claims. A claim is one file here and one line."""

from experiments.claims.claim import Claim
from experiments.claims.statements import (
    ablation,
    averaging,
    buildable,
    cost,
    delay,
    early_lead,
    interpolation,
    language,
    near_ngd,
    noise_harmless,
    noise_resilience,
    output_dimension,
    precision_tension,
    refinement,
    residual_state,
    rival,
    sign_descent,
    to_target,
)
from spu_circuit.errors import InputError, did_you_mean

CLAIMS: dict[str, Claim] = {
    claim.name: claim
    for claim in (
        interpolation.CLAIM,
        near_ngd.CLAIM,
        residual_state.CLAIM,
        sign_descent.CLAIM,
        averaging.CLAIM,
        refinement.CLAIM,
        cost.CLAIM,
        buildable.CLAIM,
        early_lead.CLAIM,
        precision_tension.CLAIM,
        noise_harmless.CLAIM,
        noise_resilience.CLAIM,
        output_dimension.CLAIM,
        delay.CLAIM,
        ablation.CLAIM,
        to_target.CLAIM,
        rival.CLAIM,
        language.CLAIM,
    )
}

MINUTES = {
    "language": 110,
    "precision-tension": 60,
    "delay": 29,
    "noise-resilience": 25,
    "noise-harmless": 17,
    "output-dimension": 11,
    "early-lead": 6,
    "rival": 12,
    "to-target": 8,
    "near-ngd": 5,
    "sign-descent": 5,
    "ablation": 5,
}
"""Of a core that a claim's full protocol takes, about, where it is more than a few."""


def claim_named(name: str) -> Claim:
    """A claim by its name. Raises InputError where there is none."""
    if name in CLAIMS:
        return CLAIMS[name]
    raise InputError(f"claim: no {name!r}; {did_you_mean(name, CLAIMS, 'claims')}")
