"""What a metric follows, as bars of a tornado: the scales that they are on, one entry each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import nan

from experiments.sweeps.units import metric_text, percent, titled

WEAK = 0.3
"""Rank correlation below which nothing explains a metric by itself."""


@dataclass(frozen=True)
class Bar:
    """From ``low`` to ``high``.

    Args:
        interval: of the end that is not 0, where it has one.
    """

    name: str
    low: float
    high: float
    interval: tuple[float, float] = (nan, nan)

    @property
    def size(self) -> float:
        return self.high - self.low


@dataclass(frozen=True)
class Scale:
    """What bars mean.

    Args:
        kind: its name in files.
        label: of the axis, with {metric}.
        unit: of the axis; None: the metric's own.
        reach: of the axis at least; None: as far as the bars.
        signed: bars upwards and downwards differ in colour.
        caption: what the picture shows.
        strongest: a bar in words, for a metric.
        sentence: the finding about a metric's strongest bar; "" where the analysis says it itself.
    """

    kind: str
    label: str
    unit: str | None
    reach: tuple[float, float] | None
    signed: bool
    caption: str
    strongest: Callable[[str, Bar], str]
    sentence: Callable[[str, Bar], str]


@dataclass(frozen=True)
class Bars:
    """The bars of each metric, the longest first.

    Args:
        noise: half width of the band in which a bar is as good as none.
        floor: each metric where nothing varies.
    """

    scale: Scale
    of: dict[str, tuple[Bar, ...]]
    noise: float = 0.0
    floor: Mapping[str, float] = field(default_factory=dict)


def longest_first(bars: list[Bar]) -> tuple[Bar, ...]:
    return tuple(sorted(bars, key=lambda bar: -bar.size))


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _signed(bar: Bar) -> str:
    return f"{bar.low + bar.high:+.2f}".replace("-", "−")


def _correlated(metric: str, bar: Bar) -> str:
    if bar.size < WEAK:
        return (
            f"{capital(titled(metric))} goes with no mean or spread of a kind of parts by itself: the strongest rank "
            f"correlation is {_signed(bar)}, with {bar.name}. Single parts make it, or several kinds together."
        )
    return f"{capital(titled(metric))} goes most with {bar.name}: its rank correlation is {_signed(bar)}."


RANGE = Scale(
    "range",
    "{metric}",
    None,
    None,
    False,
    "From the 5th to the 95th percentile of each metric, where one kind of parts varies alone. Dotted: without any "
    "spread.",
    lambda metric, bar: f"{bar.name} ({metric_text(metric, bar.low)} to {metric_text(metric, bar.high)})",
    lambda metric, bar: "",
)
VARIANCE = Scale(
    "share",
    "total share in the variance of {metric}",
    "%",
    (0.0, 1.0),
    False,
    "Total share of each kind of parts in a metric's variance, interactions included, so the shares may add to more "
    "than 100 %. Lines are 95 % intervals.",
    lambda metric, bar: f"{bar.name} ({percent(bar.size)} of the variance)",
    lambda metric, bar: (
        f"{capital(bar.name)} has the largest share in the variance of {titled(metric)}: {percent(bar.size)}."
    ),
)
CORRELATION = Scale(
    "correlation",
    "rank correlation with {metric}",
    "",
    (-1.0, 1.0),
    True,
    "Spearman's rank correlation of each metric with what was drawn: red, the metric rises with it; blue, it falls. "
    "Means are over all parts of a kind in a copy, so nearly its lot deviation; spreads are standard deviations within "
    "a copy; either way: it is the distance from the median that counts. Inside the grey band a correlation is as good "
    "as none.",
    lambda metric, bar: f"{bar.name} (rank correlation {bar.low + bar.high:+.2f})",
    _correlated,
)
