"""Verdicts on made-up trainings with noise, times, delays and rivals, and on what they cost."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.claims.given import Given
from experiments.claims.rules import verdict
from experiments.claims.statements import (
    ablation,
    delay,
    near_ngd,
    noise_harmless,
    noise_resilience,
    rival,
    to_target,
)
from experiments.claims.statements.early_settings import ADAM
from experiments.claims.statements.tuning import settings


def test_noise_is_harmless_where_no_point_of_accuracy_is_lost():
    for taken, kind in ((0.002, "confirmed"), (0.05, "refuted"), (None, "refuted")):
        rows = [
            {"case": case, "rate": 0.5, "time_tau": 1.0, "noise": noise, "seed": seed, "score": score}
            | {"volts": 3.0 + seed, "least": 0.002, "middle": noise, "most": 0.4}
            for case in (noise_harmless.DUAL, noise_harmless.CIRCUIT)
            for seed in range(5)
            for noise, score in ((0.0, 0.95 + 0.001 * seed), (0.01, taken and 0.95 - taken), (0.1, 0.1))
        ]
        assert verdict(noise_harmless.CLAIM.conditions(rows)).kind == kind
    told = noise_harmless.CLAIM.finding(rows)
    assert "κ₀ = 0.01 is a noise of 3.0 to 7.0 V" in told
    assert "have κ₀ of 0.002 to 0.4, the middle one 0.01." in told
    assert "Dual, bench, κ₀ = 0.01, 0.1: η = 0.5, t = 1 τ: " in told
    assert noise_harmless.CLAIM.figure.draw(rows) is not None


def test_noise_of_a_circuit_has_the_volts_that_are_its_share_of_the_solution(monkeypatch, tmp_path):
    asked = []

    def trained(steps, case, rate, time, added, seeds):
        asked.append((case, added, seeds))
        # 20 V are the unit of what the cells hold.
        return [{"case": case, "seed": seed, "middle": (added / 20) ** 2} for seed in seeds]

    monkeypatch.setattr(noise_harmless, "_trained", trained)
    grids = (
        noise_harmless.Grid(noise_harmless.DUAL, (1.0,), (0.01,), 1),
        noise_harmless.Grid(noise_harmless.CIRCUIT, (1.0,), (0.01,), 2),
    )
    protocol = noise_harmless.Protocol((3, 4), (0,), grids, 3, (0.5,))
    rows = noise_harmless.CLAIM.measure(protocol, Given(None, tmp_path))
    assert [row["noise"] for row in rows] == [0.0, 0.01, 0.0, 0.0, 0.01, 0.01]
    assert asked == [
        (noise_harmless.DUAL, 0.0, (3,)),
        (noise_harmless.DUAL, 0.01, (3,)),
        (noise_harmless.CIRCUIT, noise_harmless.REFERENCE, (0,)),
        (noise_harmless.CIRCUIT, 0.0, (3, 4)),
        (noise_harmless.CIRCUIT, pytest.approx(2.0), (3, 4)),
    ]


def test_a_circuit_is_judged_by_what_its_rivals_lose_by_the_same_error():
    def rows(losses):
        return [
            {"optimizer": name, "error": error, "level": level, "seed": seed, "score": score, "raised": 0}
            | {"validation_loss": None if score is None else 1.1 - score}
            for seed in range(5)
            for name, lost in zip(noise_resilience.OPTIMIZERS, losses, strict=True)
            for error, level, score in (
                ("none", "none", 0.95 + 0.001 * seed),
                ("levels", "3 bits", None if lost is None else 0.95 - lost),
            )
        ]

    for losses, kind in (
        ((0.20, 0.21, 0.25), "confirmed"),
        ((0.20, 0.05, 0.02), "refuted"),
        ((0.20, None, 0.02), "holds under conditions"),
        ((None, None, 0.02), "refuted"),
    ):
        assert verdict(noise_resilience.CLAIM.conditions(rows(losses))).kind == kind
    told = noise_resilience.CLAIM.finding(rows((0.20, None, 0.001)))
    assert "of TNGD, NGD-Woodbury, NGD-CG(10)" in told
    assert (
        "Levels: 3 bits 20.2, nan, 0.3; 1 point from 3 bits, 3 bits, none, and 10 % of loss from 3 bits, 3 bits, none"
        in told
    )
    assert "Levels: 3 bits 0.0, " in noise_resilience.CLAIM.finding(rows((-0.0021, 0.0, 0.0)))


def _delay_rows(apart):
    ends = {delay.EXACT: 0.0, **dict.fromkeys([way for way in delay.WAYS if way != delay.EXACT], apart)}
    return [
        {"network": network, "device": device, "way": way, "settings": "rate 0.1", "part": "verdict"}
        | {"seed": seed, "score": 0.9, "loss": loss, "raised": 0}
        for network in delay.NETWORKS
        for device in (delay.DIGITAL, *(["made"] if network == delay.SMALL else []))
        for way, end in ends.items()
        if device == delay.DIGITAL or way != delay.EXACT
        for seed in range(5)
        for loss in [0.5 + 0.1 * seed + end * (1 + 0.01 * seed)]
    ]


def test_delays_are_judged_beside_exact_steps_of_the_same_seed():
    claim = delay.CLAIM
    assert verdict(claim.conditions(_delay_rows(-0.02))).kind == "confirmed"
    assert verdict(claim.conditions(_delay_rows(0.02))).kind == "refuted"
    rows = _delay_rows(-0.02)
    rows[5]["loss"] = None  # broke off
    assert "perceptron 3 of 4" in verdict(claim.conditions(rows)).shares
    rows[0]["loss"] = None  # exact NGD itself
    assert "perceptron 4 of 4" in verdict(claim.conditions(rows)).shares
    assert len(claim.conditions(rows)[1].values) == 4
    assert "transformer" in claim.finding(rows)
    # Circuits are judged beside the same exact steps as the ideal equation.
    assert verdict(claim.conditions(rows)).shares.endswith("small perceptron 4 of 4; small perceptron, made 4 of 4")
    assert claim.figure.draw(rows) is not None


def test_circuits_train_the_smallest_network_with_the_settings_of_the_ideal_equation(monkeypatch, tmp_path):
    asked = []

    def trained(protocol, network, device, way, setting, seeds, part):
        asked.append((network, device, way, setting, part))
        return [{"part": part, "seed": seed, "loss": tried[way].index(setting) == 0} for seed in seeds]

    monkeypatch.setattr(delay, "_trained", trained)
    protocol = delay.Protocol((3,), (0,), 3, ("perceptron", delay.SMALL), (delay.EXACT, "no delay"), 2)
    tried = {way: settings(delay.WAYS[way], 2) for way in protocol.ways}
    delay.CLAIM.measure(protocol, Given(None, tmp_path))
    judged = [place[:4] for place in asked if place[4] == "verdict"]
    assert judged == [
        *((network, delay.DIGITAL, way, tried[way][1]) for network in protocol.networks for way in protocol.ways),
        *((delay.SMALL, circuit, "no delay", tried["no delay"][1]) for circuit in protocol.circuits),
    ]
    assert {place[1] for place in asked if place[4] == "tuning"} == {delay.DIGITAL}


@pytest.mark.slow
def test_a_state_is_kept_on_a_circuit():
    protocol, way = replace(delay.CLAIM.full, steps=3), "delay of 1 τ"
    own = {"learning_rates": [0.5], "damping": 0.3}
    exact, ideal, paper = (
        next(delay._trained(protocol, delay.SMALL, device, name, {**delay.WAYS[name], **own}, (0,), ""))["loss"]
        for device, name in ((delay.DIGITAL, delay.EXACT), (delay.DIGITAL, way), ("paper", way))
    )
    # Of 16 bits, and amplifiers of 1 GHz. The state changes 5e-4, and the delay 4e-5.
    assert abs(paper - ideal) < 0.05 * abs(exact - ideal)


def _near_rows(times_exact):
    """Rows of trainings that end at multiples of what exact NGD does; seeds differ by more."""
    ends = {(near_ngd.EXACT, "inf"): 1.0, **{("made", time): value for time, value in times_exact.items()}}
    told = {"case": "dual, λ = 1", "rate": 0.1, "part": "verdict", "score": 0.9}
    rows = [
        {**told, "device": device, "time_tau": time, "seed": seed, "validation_loss": 0.1 * (seed + 1) * end}
        for (device, time), end in ends.items()
        for seed in range(5)
    ]
    # What chose the rates counts for nothing.
    return rows + [{**row, "part": "tuning", "validation_loss": 9.0} for row in rows]


def test_relaxed_trainings_are_near_exact_ones_by_their_ratio_after_fifty_times():
    claim = near_ngd.CLAIM
    found = claim.conditions(_near_rows({"0.5": 3.0, "50.0": 1.02}))
    assert [condition.point for condition in found] == ["50 τ"]
    assert verdict(found).kind == "confirmed"
    assert verdict(claim.conditions(_near_rows({"0.5": 1.0, "50.0": 1.2}))).kind == "refuted"
    rows = _near_rows({"0.5": 3.0, "50.0": 1.02})
    assert "made, dual, λ = 1 after 0.5 τ 3.00 times that" in claim.finding(rows)
    assert claim.figure.draw(rows) is not None
    rows[0]["validation_loss"] = None  # exact NGD itself
    assert len(claim.conditions(rows)[0].values) == 4
    rows[11]["validation_loss"] = None  # of 50 τ, another seed
    assert verdict(claim.conditions(rows)).kind == "refuted"
    assert "after 50 τ broke off in 1 of 4 seeds" in claim.finding(rows)


def test_every_time_has_a_rate_of_its_own(monkeypatch, tmp_path):
    first, second, third, _ = (
        setting["learning_rates"][0] for setting in settings({"learning_rates": [near_ngd.RATES]}, 4)
    )
    best = {"ngd": first, 0.5: second, 50.0: third}

    def trained(optimizer, seeds, steps):
        wanted = best[optimizer.get("analog_time", optimizer["kind"])]
        loss = 1 + abs(optimizer["learning_rates"][0] - wanted)
        # Seeds of the verdict would choose the least rate.
        yield from (
            {"seed": seed, "validation_loss": optimizer["learning_rates"][0] if seed else loss, "score": 0.9}
            for seed in seeds
        )

    monkeypatch.setattr(near_ngd, "trained", trained)
    protocol = near_ngd.Protocol((3, 4), (0,), 3, 4, (0.5, 50.0), (("primal", 0.01), ("dual", 0.5)))
    rows = near_ngd.CLAIM.measure(protocol, Given(None, tmp_path))
    judged = {
        (row["case"], row["device"], row["time_tau"], row["seed"]): row["rate"]
        for row in rows
        if row["part"] == "verdict"
    }
    assert judged == {
        (case, device, time, seed): rate
        for case, devices in (
            ("primal, λ = 0.01", [near_ngd.IDEAL]),
            ("dual, λ = 0.5", [near_ngd.IDEAL, "bench"]),
        )
        for device, time, rate in (
            (near_ngd.EXACT, "inf", first),
            *((device, time, rate) for device in devices for time, rate in (("0.5", second), ("50.0", third))),
        )
        for seed in (3, 4)
    }
    assert {row["seed"] for row in rows if row["part"] == "tuning"} == {0}


def test_shares_of_a_factorial_are_those_of_its_effects():
    a, b, c = np.meshgrid([-1, 1], [-1, 1], [-1, 1], indexing="ij")
    found = ablation.shares(2.0 * a + b + 1.0 * a * c + 7)
    assert found == pytest.approx(
        {(0,): 4 / 6, (1,): 1 / 6, (2,): 0, (0, 1): 0, (0, 2): 1 / 6, (1, 2): 0, (0, 1, 2): 0}
    )
    noise = np.random.default_rng(0).normal(size=(3, 4, 2))
    assert sum(ablation.shares(noise).values()) == pytest.approx(1)
    assert set(ablation.shares(np.zeros((2, 2))).values()) == {0}


def test_interactions_refute_an_ablation():
    for mixed, kind in ((0.01, "confirmed"), (1.0, "holds under conditions")):
        rows = [
            {
                "part": ablation.TRAINED,
                "device": "",
                "time_tau": t,
                "noise": k,
                "damping": d,
                "seed": seed,
                "value": float(np.exp(t + k + d + mixed * t * k + 0.01 * seed * t)),
            }
            for t in (-1.0, 1.0)
            for k in (-1.0, 1.0)
            for d in (-1.0, 1.0)
            for seed in range(5)
        ]
        held = {"part": ablation.HELD, "device": "made", "time_tau": None, "noise": None, "seed": 0}
        rows += [{**held, "damping": d, "value": share} for d, share in ((0.1, 0.5), (0.3, 1.0))]
        assert verdict(ablation.CLAIM.conditions(rows)).kind == kind
        assert "made from λ = 0.3 on in every step (0.1: 50 %, 0.3: 100 %)" in ablation.CLAIM.finding(rows)
    rows[0]["value"] = None
    assert verdict(ablation.CLAIM.conditions(rows)).kind == "refuted"


def _target_rows(steps, joules):
    return [
        {
            "optimizer": name,
            "settings": "made",
            "seed": seed,
            "loss": 0.3,
            "steps": count + seed,
            "all_steps": 100,
            "doublings": 0,
            "step_seconds": 1e-6,
            "step_joules": energy,
            "missing": "",
            "error": "",
        }
        for name, count, energy in (("made", steps, joules), (ADAM, 40, 1e-6), (to_target.WOODBURY, 20, 1e-6))
        for seed in range(5)
    ]


def test_time_and_energy_to_a_target_are_steps_times_what_a_step_takes():
    claim = to_target.CLAIM
    conditions = claim.conditions(_target_rows(10, 0.1e-6))
    assert {condition.group for condition in conditions} == {
        f"{measure}, made beside {rival}" for measure in ("time", "energy") for rival in ("Adam", "NGD, Woodbury")
    }
    assert conditions[2].values[0] == pytest.approx(10 / 40 * 0.1)
    assert verdict(conditions).kind == "confirmed"
    assert verdict(claim.conditions(_target_rows(60, 10e-6))).kind == "refuted"
    # Nobody knows the energy: no condition.
    assert len(claim.conditions(_target_rows(10, None))) == 2
    rows = _target_rows(10, 1e-7)
    rows[0]["steps"] = None
    assert claim.conditions(rows)[0].failed == 1
    assert "not reached by all" in claim.finding(rows)
    # A rival that does not reach the loss counts with all steps; a raised λ costs more than the ledger knows.
    rows = _target_rows(10, 0.1e-6)
    rows[5]["steps"] = None
    assert claim.conditions(rows)[2].values[0] == pytest.approx(10 / 100 * 0.1)
    rows[0]["doublings"] = 1
    assert claim.conditions(rows)[2].failed == 1


def test_a_rival_is_judged_by_its_own_shares():
    def rows(ours):
        counts = {rival.CIRCUIT: ours, rival.MOMENTUM: 40, rival.ADAM: 80}
        told = {"part": "verdict", "settings": "rate 0.1", "score": 0.9, "all_steps": 150}
        return [
            {**told, "optimizer": name, "seed": seed, "steps_to_0.3": count + seed % 2}
            for name, count in counts.items()
            for seed in range(6)
        ]

    claim = rival.CLAIM
    assert verdict(claim.conditions(rows(20))).kind == "confirmed"
    assert verdict(claim.conditions(rows(38))).kind == "refuted"
    assert "% fewer" in claim.finding(rows(20))
    none = rows(20)
    none[0]["steps_to_0.3"] = None
    assert verdict(claim.conditions(none)).kind == "refuted"
    none = rows(20)
    none[6]["steps_to_0.3"] = None  # of the rival
    assert claim.conditions(none)[0].values[0] == pytest.approx(20 / 150)
