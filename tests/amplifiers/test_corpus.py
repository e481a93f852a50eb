"""Macromodels in the vendors' styles: what their files are, and that all are read."""

from collections import Counter

import pytest

from spu_circuit.amplifier import Amplifier
from tests.amplifiers.styles import facts_of_all, text_of

FACTS = facts_of_all()


def test_files_are_what_the_styles_make_of_the_facts():
    for facts in FACTS.values():
        assert facts.file.read_bytes() == text_of(facts).encode(), (
            f"run python -m tests.amplifiers.styles: {facts.name}"
        )


def test_corpus_has_every_style_and_kind_of_input():
    assert len(FACTS) >= 30
    styles = Counter(facts.style for facts in FACTS.values())
    assert min(styles.values()) >= 4
    assert set(styles) == {"boyle", "linear", "analog", "texas", "national"}
    assert {facts.input for facts in FACTS.values()} >= {"npn", "pnp", "pjf", "njf", "pmos", "nmos"}


@pytest.mark.parametrize("facts", FACTS.values(), ids=FACTS)
def test_every_file_is_read(facts):
    found = Amplifier(
        model="subckt", library=str(facts.file), subcircuit=facts.subcircuit, pins=facts.pins, supply=facts.supply
    )
    assert found.library_text is not None
    for word in ("broken", "other/ns", "limit(", "vswitch", "params:", "\x1a", ".end\n"):
        assert word not in found.library_text.lower().replace("params:", "" if facts.style == "texas" else "params:")
