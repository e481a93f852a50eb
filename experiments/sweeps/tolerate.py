"""The loosest tolerance of parts that keeps the yield: a search with a statement at each step."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from copy import deepcopy
from dataclasses import asdict, astuple, dataclass, fields, replace
from itertools import pairwise
from math import inf, sqrt
from pathlib import Path
from typing import Any

from scipy.special import ndtr, ndtri

from experiments.shared.executor import Executor, executor
from experiments.shared.files import write, write_csv
from experiments.shared.versions import versions
from experiments.sweeps.analyses.first_order import first_order
from experiments.sweeps.config import Sweep
from experiments.sweeps.findings import findings
from experiments.sweeps.rows import Row
from experiments.sweeps.run import compute
from experiments.sweeps.samples import NOMINAL
from experiments.sweeps.size import check_size
from experiments.sweeps.statistics import clopper_pearson, passes
from experiments.sweeps.store import SweepStore
from experiments.sweeps.study import Study, points, study_of
from experiments.sweeps.units import unit_of_tolerance
from solvers.behaviour import BLOCK
from spu_circuit.errors import InputError, did_you_mean
from spu_circuit.sampling import varying
from spu_circuit.spread import LARGEST_NORMAL, RelativeSpread, Spread, TemperatureSpread
from spu_circuit.variation import Variation

LOOKS = 5
"""How often the yield at a tolerance is looked at, each time with twice as many samples."""
FUTILE = 0.2
"""Chance of a decision by the last look below which no more samples are spent on a tolerance."""
WIDEST = 1024.0
"""How many times the given tolerance, or what part of it, is tried at most."""
HOTTEST = 100.0
"""Kelvin about the hardware's temperature that are tried at most."""


@dataclass(frozen=True)
class Target:
    """What is asked for.

    Args:
        parts: "KIND.lot", "KIND.local", "KIND.gradient" or "temperature" each: their tolerances are varied, of several
            all by the same factor; a truncated distribution keeps its shape, so its limit goes along.
        share: the yield to be kept.
        confidence: of each decision, with all its looks.
        width: how far apart, relatively, the answer's two tolerances may be.
    """

    parts: tuple[str, ...]
    share: float = 0.95
    confidence: float = 0.95
    width: float = 0.05


@dataclass(frozen=True)
class Tried:
    """One tolerance.

    Args:
        tolerance: of the first part, in ``unit``.
        scale: over the given one.
        shown: the tolerance, or those of all parts, in words.
        low, high: interval of the yield, at the confidence that is left for each look.
        verdict: "passes": the yield is surely enough; "fails": it surely is not; "undecided".
    """

    tolerance: float
    unit: str
    scale: float
    shown: str
    copies: int
    good: int
    low: float
    high: float
    verdict: str


@dataclass(frozen=True)
class Answer:
    """The search's result.

    Args:
        passes: the loosest tolerance that surely keeps the yield; None: none does.
        fails: the tightest one that surely does not; None: none does, up to the loosest that may be tried.
        tried: all, by tolerance.
        contradictions: samples that are bad at one of these tolerances and good at a looser one.
        sentence: the answer in words.
    """

    passes: Tried | None
    fails: Tried | None
    tried: tuple[Tried, ...]
    contradictions: int
    sentence: str


class Tolerance:
    """The tolerances of parts of a sweep, and the studies in which they are others.

    Args:
        document: of the config.
        where: it is from, for messages.
        parts: see ``Target``.

    Raises:
        InputError: the config is no plain Monte Carlo with limits, or a part has no spread, or is named twice.
    """

    def __init__(self, document: Mapping[str, Any], where: str, parts: Sequence[str]) -> None:
        ((_, sweep),) = points(document, {}, where)
        if twice := [part for part in parts if parts.count(part) > 1]:
            raise InputError(f"part: {twice[0]!r} is named twice; name each part once")
        self.sweep = sweep
        self.spreads = {part: _spread(sweep.device().variation, part) for part in parts}
        _check(sweep)
        self.first = -(-sweep.analysis.samples // BLOCK) * BLOCK
        self._document, self._where = document, where

    def shown(self, scale: float) -> tuple[float, str, str]:
        """The first part's tolerance and its unit; and those of all in words."""
        values = [(unit_of_tolerance(each), each.tolerance * scale) for each in self.spreads.values()]
        texts = [f"{factor * value:.4g} {unit}" for (factor, unit), value in values]
        named = [f"{text} of {part}" for part, text in zip(self.spreads, texts, strict=True)]
        (factor, unit), value = values[0]
        return factor * value, unit, texts[0] if len(texts) == 1 else ", ".join(named)

    @property
    def named(self) -> str:
        """The parts, with what their tolerances mean."""
        return " and ".join(f"{part} ({each.distribution}, {each.meaning})" for part, each in self.spreads.items())

    @property
    def loosest(self) -> float:
        """How many times the tolerances may be at most."""
        return min(WIDEST, *map(_loosest, self.spreads.values()))

    def times(self, scale: float, samples: int, analysis: str = "monte carlo") -> Study:
        """The study of a multiple of the given tolerances."""
        document = deepcopy(dict(self._document))
        document["analysis"] = {"kind": analysis, "samples": samples}
        for part, spread in self.spreads.items():
            factor, unit = unit_of_tolerance(spread)
            table = document["hardware"]
            for key in ("variation", *part.split(".")):
                table = table.setdefault(key, {})
            table["tolerance"] = f"{factor * spread.tolerance * scale!r} {unit}"
            if spread.limit is not None:
                # At zero tolerance the limit says nothing, but must be one.
                table["limit"] = f"{factor * spread.limit * (scale or 1.0)!r} {unit}"
        return study_of(document, {}, self._where)

    def largest(self, scale: float) -> Study:
        """``times``, with all samples that may be looked at."""
        return self.times(scale, self.first * 2 ** (LOOKS - 1))


class Search:
    """Tries tolerances of one part, each once, with the same samples: same seed, same sample numbers.

    A tolerance is looked at again only while that may decide (stochastic curtailment: Lan, Simon and Halperin, Comm.
    Statist. C 1:207, 1982). To give up is to say "undecided", so it makes no decision less sure.

    Every sample's parts move in proportion to the tolerance, so where a looser tolerance makes no bad sample good, a
    tolerance that is too loose can pass only if the loosest that is right would pass with the same samples. One
    test's error rate therefore holds for all tolerances tried, and no correction for their number is needed; one for
    the number of looks at each is made (Bonferroni). ``Answer.contradictions`` counts samples that break the rule.
    """

    def __init__(
        self, asked: Tolerance, target: Target, folder: Path, computers: Executor, told: Callable[[Tried], None]
    ) -> None:
        self.asked = asked
        self.tried: dict[float, Tried] = {}
        self._rows: dict[float, list[Row]] = {}
        self._target, self._folder, self._computers, self._told = target, folder, computers, told

    def at(self, scale: float) -> Tried:
        """The verdict at a multiple of the given tolerance."""
        if scale in self.tried:
            return self.tried[scale]
        asked, share = self.asked, self._target.share
        confidence = 1 - (1 - self._target.confidence) / LOOKS
        with closing(opened(self._folder, asked, scale)) as store:
            for look in range(LOOKS):
                count = asked.first * 2**look
                compute(asked.times(scale, count), store, self._computers)
                rows = [row for row in _rows(asked.largest(scale), store) if row.sample < count]
                good = int(passes(asked.sweep, rows).sum())
                low, high = clopper_pearson(good, len(rows), confidence)
                left = asked.first * 2 ** (LOOKS - 1) / count
                if low >= share or high < share or _chance(good, len(rows), left, share, confidence) < FUTILE:
                    break
        verdict = "passes" if low >= share else "fails" if high < share else "undecided"
        tried = Tried(*asked.shown(scale)[:2], scale, asked.shown(scale)[2], len(rows), good, low, high, verdict)
        self.tried[scale], self._rows[scale] = tried, rows
        self._told(tried)
        return tried

    def contradictions(self) -> int:
        """Samples that are bad at a tolerance and good at a looser one."""
        bad: set[int] = set()
        broken: set[int] = set()
        for scale in sorted(self._rows):
            good = passes(self.asked.sweep, self._rows[scale]).tolist()
            kept = {row.sample for row, fine in zip(self._rows[scale], good, strict=True) if fine}
            broken |= bad & kept
            bad |= {row.sample for row in self._rows[scale]} - kept
        return len(broken)

    def limiting(self) -> str:
        """What keeps the yield down where this part does not vary: the kind with the least yield when it alone does."""
        study = self.asked.times(0.0, self.asked.first, "one at a time")
        with closing(SweepStore(self._folder / "others alone")) as store:
            store.claim(study.config, versions())
            compute(study, store, self._computers)
            found = {group.key[1]: group.found_yield.share for group in findings(study, store).every}
        if found.pop(NOMINAL) < 1:
            return "the nominal device itself is outside the limits"
        kind = min(found, key=lambda each: found[each])
        return f"of the parts that are left, {kind} alone gives the least yield, {100 * found[kind]:.2f} %"


def opened(folder: Path, asked: Tolerance, scale: float) -> SweepStore:
    """The store of a multiple of the tolerance. Raises InputError where it is another's, or cannot be written."""
    store = SweepStore(folder / f"times {scale:.9g}")
    store.claim(asked.largest(scale).config, versions())
    return store


def _rows(study: Study, store: SweepStore) -> list[Row]:
    """Of all samples that could be simulated."""
    ((key, sweep, copies),) = study.sets()
    return [row for row in store.rows_of(key, sweep, copies) if row.status != "failed"]


def tolerate(
    document: Mapping[str, Any],
    where: str,
    target: Target,
    folder: Path,
    workers: int = 1,
    scheduler: str | None = None,
    told: Callable[[Tried], None] = lambda tried: None,
) -> Answer:
    """Find the loosest tolerance of a part that keeps the yield. The folder keeps every finished sample.

    The tolerance is doubled, or halved, until one passes and one fails; then the gap is halved (in logarithm). Where a
    tolerance stays undecided, the loosest that passes and the tightest that fails are looked for on either side of it.

    Raises:
        InputError: the config, the target or the folder does not fit, or the scheduler does not answer, all before a
            worker is started; SimulationError: too many samples fail.
    """
    asked = Tolerance(document, where, target.parts)
    loosest = asked.loosest
    scale = min(1.0, loosest)
    check_size(asked.largest(scale), workers, scheduler)
    opened(folder, asked, scale).close()
    with executor(workers, scheduler) as computers:
        search = Search(asked, target, folder, computers, told)
        reason = ""
        if search.at(scale).verdict == "passes":
            while scale < loosest and search.at(scale).verdict != "fails":
                scale = min(2 * scale, loosest)
                search.at(scale)
        elif search.at(0.0).verdict == "passes":
            while search.at(scale).verdict != "passes" and scale > 1 / WIDEST:
                scale /= 2
        else:
            reason = search.limiting()
        while not reason and (gap := _gap(search.tried, target.width)) is not None:
            search.at(sqrt(gap[0] * gap[1]))
        answer = _answer(search, target, reason)
        answer = replace(answer, sentence=". ".join([answer.sentence, *blame(asked, folder, answer)]))
    _write(folder, target, answer)
    return answer


def blame(asked: Tolerance, folder: Path, answer: Answer) -> list[str]:
    """Which parts make the error of the copies at the loosest tolerance that passes, or at the tightest tried.

    Nothing where first order does not know it.
    """
    at = answer.passes or next((one for one in answer.tried if one.scale > 0), None)
    if at is None or isinstance(first_order(asked.largest(at.scale).sweeps[0]), str):
        return []
    with closing(opened(folder, asked, at.scale)) as store:
        found = findings(asked.largest(at.scale), store)
    return [f"At {at.shown}: {sentence.rstrip('.')}" for sentence in found.said[:1]]


def _chance(good: int, count: int, left: float, share: float, confidence: float) -> float:
    """That the last look, at so many times as many samples, decides, if the yield is about what it is so far.

    Normal approximation: the last estimate is as uncertain as the samples to come and those that there are make it.
    """
    if left <= 1:
        return 0.0
    sigma = sqrt(share * (1 - share) / count)
    margin = float(ndtri((1 + confidence) / 2)) * sigma / sqrt(left)
    spread = sigma * sqrt(1 - 1 / left)
    away = good / count - share
    return float(1 - ndtr((margin - away) / spread) + ndtr((-margin - away) / spread))


def _gap(tried: Mapping[float, Tried], width: float) -> tuple[float, float] | None:
    """What to halve: above the loosest that passes or, where that is narrow, below the tightest that fails."""
    scales = sorted(scale for scale in tried if scale > 0)
    verdicts = [(a, b, tried[a].verdict, tried[b].verdict) for a, b in pairwise(scales)]
    edges = [(a, b) for a, b, below, above in verdicts if below == "passes" and above != "passes"]
    edges += [(a, b) for a, b, below, above in verdicts if (below, above) == ("undecided", "fails")]
    return next(((a, b) for a, b in edges if b > a * (1 + width)), None)


def _answer(search: Search, target: Target, reason: str) -> Answer:
    tried = tuple(at for _, at in sorted(search.tried.items()))
    fails = next((at for at in tried if at.verdict == "fails"), None)
    below = tried if fails is None else tried[: tried.index(fails)]
    passing = [at for at in below if at.verdict == "passes" and at.scale > 0]
    kept = passing[-1] if passing else None
    yielded = f"a yield of {100 * target.share:g} %"
    spread = search.asked.named
    sure = f"with {100 * target.confidence:g} % confidence"
    if reason:
        sentence = f"{spread}: no tolerance surely keeps {yielded}; {reason}"
    elif kept and fails:
        sentence = f"{spread}: {kept.shown} keeps {yielded} and {fails.shown} does not, {sure}"
        if fails.scale > kept.scale * (1 + target.width):
            copies = max(at.copies for at in tried if at.verdict == "undecided")
            sentence += f"; between them {copies} copies do not decide"
    elif kept:
        sentence = f"{spread}: {kept.shown}, {kept.scale:.4g} times the given one, still keeps {yielded}, {sure}; "
        last = tried[-1]
        sentence += "no looser one may be tried" if last is kept else f"up to {last.shown} it is undecided"
    else:
        sentence = f"{spread}: even {tried[1].shown} does not surely keep {yielded}, though none at all does"
    return Answer(kept, fails, tried, search.contradictions(), sentence)


def _check(sweep: Sweep) -> None:
    if sweep.analysis.kind != "monte carlo" or sweep.analysis.design != "plain":
        raise InputError(
            f"analysis: tolerate draws plain copies, and this is {sweep.analysis.kind!r} of design "
            f"{sweep.analysis.design!r}; set kind = 'monte carlo' and leave design out"
        )
    if not sweep.limits:
        raise InputError("limits: without them every copy is good; add a table [limits]")


def _spread(variation: Variation, part: str) -> Spread:
    spreads = _spreads(variation)
    if part not in spreads:
        hint = did_you_mean(part, spreads) if spreads else "give it one (not matching, which is an area's)"
        raise InputError(f"part: {part!r} has no spread in hardware.variation; {hint}")
    if spreads[part].tolerance == 0:
        raise InputError(f"part: {part!r} has tolerance 0, which no factor loosens; give it another one to start from")
    return spreads[part]


def _spreads(variation: Variation) -> dict[str, Spread]:
    """Those whose tolerance is a field, by dotted name."""
    found: dict[str, Spread] = {}
    for kind in varying(variation):
        of_kind = getattr(variation, kind)
        of_kind = {"": of_kind} if kind == "temperature" else dict(of_kind)
        found |= {f"{kind}.{name}".rstrip("."): each for name, each in of_kind.items() if isinstance(each, Spread)}
    return found


def _loosest(spread: Spread) -> float:
    """How many times the tolerance may be at most: parts stay above zero, temperatures where there are devices."""
    if isinstance(spread, TemperatureSpread):
        return HOTTEST / spread.extreme(1)
    if not isinstance(spread, RelativeSpread):
        return inf
    # A limit of 1 itself is a part at zero, and text may round up.
    almost = 1 - 1e-9
    return {
        "normal": almost * LARGEST_NORMAL / spread.scale,
        "uniform": almost / spread.extreme(1),
        "truncated": almost / (spread.limit or 1.0),
        "lognormal": 1 / spread.scale,
    }[spread.distribution]


def _write(folder: Path, target: Target, answer: Answer) -> None:
    write_csv(folder / "tolerate.csv", [field.name for field in fields(Tried)], map(astuple, answer.tried))
    found = asdict(target) | asdict(answer)
    write(folder / "tolerate.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")
