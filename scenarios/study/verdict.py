"""The verdict: what got better, what worse, which CPU drowns, in sentences that say no more than the numbers do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from monitor.numbers import duration, si
from scenarios.study.figures import BUSIEST, LATENCY, LOST, READ
from scenarios.study.paired import Paired

BUSY_PERCENT: Final = 99.0
"""A CPU that is busy for so much of the time has none left."""
P99: Final = f"{LATENCY}/total/p99"
JUDGED: Final = (READ, LOST, P99)
"""What `--fail-if-worse` looks at."""

By = Mapping[str, Paired]


def verdict(paired: Sequence[Paired]) -> list[str]:
    """The sentences, the most important first."""
    by = {figure.name: figure for figure in paired}
    found = [*_throughput(by), *_drops(by), *_latency(by)]
    for side in ("A", "B"):
        found.append(_drowning(by, side))
    found += [*_squeezes(by), *_ipis(by)]
    return found


def failures(paired: Sequence[Paired], limit_percent: float) -> list[str]:
    """Why B is worse than A by more than `limit_percent`, a sentence for each of `JUDGED`; empty if it is not.

    A figure fails if it is proven to be worse (its interval does not hold 0; with one seed: it is worse) and its mean is worse by more
    than the limit: `read` and p99 in per cent of A, `lost` in percentage points of what was sent.
    """
    by = {figure.name: figure for figure in paired}
    found = []
    for name in JUDGED:
        figure = by.get(name)
        if figure is None or not figure.is_worse or figure.difference is None:
            continue
        amount = figure.difference if figure.unit == "%" else figure.percent
        if amount is not None and abs(amount) > limit_percent:
            found.append(f"{label(name)} is worse by {worded(figure).lstrip('+-')}, the limit is {limit_percent:g}%")
    return found


def label(name: str) -> str:
    """A figure's name in a sentence."""
    return {READ: "throughput", LOST: "the share of lost frames", P99: "p99 from the wire to the read"}.get(name, name)


def value(figure: Paired, number: float | None) -> str:
    """A mean of `figure` with its unit."""
    if number is None:
        return "-"
    if figure.unit == "ns":
        return duration(number)
    if figure.unit == "%":
        return f"{number:.1f}%"
    return f"{si(number)}{figure.unit}"


def is_visible(figure: Paired) -> bool:
    """A and B read differently."""
    return value(figure, figure.a) != value(figure, figure.b)


def worded(figure: Paired) -> str:
    """The difference with its sign: in per cent of A, in points for shares, else in the figure's own unit."""
    if figure.difference is None:
        return "-"
    if figure.unit == "%":
        return f"{figure.difference:+.1f} points"
    if figure.percent is not None:
        return f"{figure.percent:+.1f}%"
    return "+" + value(figure, figure.difference) if figure.difference > 0 else value(figure, figure.difference)


def _throughput(by: By) -> Iterator[str]:
    read = by[READ]
    if _moved(read):
        word = "more" if read.direction > 0 else "less"
        yield f"B reads {word}: {value(read, read.b)} against {value(read, read.a)} ({worded(read)})."
    else:
        yield f"Throughput is {_unchanged(read)}: {value(read, read.a)} in A, {value(read, read.b)} in B."


def _drops(by: By) -> Iterator[str]:
    lost = by[LOST]
    if lost.a is None or lost.b is None:
        return
    if not lost.a and not lost.b:
        yield "Neither loses a frame."
    elif not _moved(lost):
        yield f"Losses are {_unchanged(lost)}: {lost.a:.1f}% of the frames in A, {lost.b:.1f}% in B."
    else:
        yield f"B loses {'more' if lost.direction > 0 else 'less'}: {lost.b:.1f}% of the frames against {lost.a:.1f}%."
    for figure in by.values():
        if figure.name.startswith("drops/") and _moved(figure):
            reason = figure.name.partition("/")[2]
            if not figure.a:
                yield f"{reason} is new in B: {value(figure, figure.b)}."
            elif not figure.b:
                yield f"{reason} is gone in B: it was {value(figure, figure.a)}."
            else:
                word = "grows" if figure.direction > 0 else "falls"
                yield f"{reason} {word} from {value(figure, figure.a)} to {value(figure, figure.b)}."


def _latency(by: By) -> Iterator[str]:
    moved: dict[int, list[str]] = {1: [], -1: []}
    still: list[str] = []
    for word in ("p50", "p99", "p99.9"):
        figure = by.get(f"{LATENCY}/total/{word}")
        if figure is None or figure.difference is None:
            continue
        if _moved(figure):
            moved[figure.direction].append(f"{word} {duration(figure.a or 0)} to {duration(figure.b or 0)}")
        else:
            still.append(word)
    for direction, word in ((-1, "shorter"), (1, "longer")):
        if moved[direction]:
            yield f"The wait from the wire to the read is {word}: {', '.join(moved[direction])}."
    if still:
        yield f"The wait from the wire to the read is unchanged at {', '.join(still)}."
    mean = by.get(f"{LATENCY}/total/mean")
    if mean is not None and (mean.a is None) != (mean.b is None):
        yield f"Nothing was read in {'A' if mean.a is None else 'B'} in some seed, so waits cannot be compared."


def _drowning(by: By, side: str) -> str:
    """Which CPUs have no time left, and what is lost at them."""
    at = side.lower()
    busy = [
        (int(name[3:].partition("/")[0]), share)
        for name, figure in by.items()
        if name.startswith("cpu") and name.endswith("/busy") and (share := getattr(figure, at)) is not None
    ]
    full = [(index, share) for index, share in busy if share >= BUSY_PERCENT]
    if not full:
        least = getattr(by[f"{BUSIEST}/busy"], at)
        if least >= BUSY_PERCENT:
            losses = _losses(by, BUSIEST, at)
            words = f"drowns: {losses}" if losses else "loses nothing"
            return f"{side}: one CPU is busy all the time, which one depends on the seed; it {words}."
        index, share = max(busy, key=lambda found: (found[1], -found[0]))
        return f"{side}: no CPU is out of time; the busiest is CPU {index} with {share:.1f}%."
    if len(full) > 4:
        return f"{side}: {len(full)} of {len(busy)} CPUs are busy all the time."
    return f"{side}: " + " ".join(_drowned(by, index, at) for index, _ in full)


def _drowned(by: By, index: int, at: str) -> str:
    def of(name: str) -> float:
        return getattr(by[f"cpu{index}/{name}"], at) or 0.0

    parts = {
        "hard interrupts": of("hardirq"),
        "softirqs": of("softirq") + of("ksoftirqd"),
        "applications": of("application"),
    }
    shares = ", ".join(f"{share:.0f}% {word}" for word, share in parts.items() if share >= 0.5)
    losses = _losses(by, f"cpu{index}", at)
    if losses:
        return f"CPU {index} drowns ({shares}): {losses}."
    return f"CPU {index} is busy all the time ({shares}), and neither its rings nor its backlog lose anything."


def _losses(by: By, cpu: str, at: str) -> str:
    """What is lost at a CPU, in words; empty if nothing is."""
    ring, backlog = (getattr(by[f"{cpu}/{name}"], at) for name in ("ring drops", "backlog drops"))
    words = [f"rings whose interrupts it takes drop {si(ring)}/s"] if ring else []
    words += [f"its backlog drops {si(backlog)}/s"] if backlog else []
    return ", ".join(words)


def _squeezes(by: By) -> Iterator[str]:
    squeezes = by["squeezes/all"]
    if not _moved(squeezes):
        return
    causes = [
        f"{name.partition('/')[2]} {value(by[name], by[name].a)} to {value(by[name], by[name].b)}"
        for name in ("squeezes/budget", "squeezes/time")
        if _moved(by[name])
    ]
    words = f"time_squeeze {'rises' if squeezes.direction > 0 else 'falls'} ({', '.join(causes)})"
    if not _moved(by[READ]) and not _moved(by[LOST]):
        words += ", and neither throughput nor losses follow"
    yield words + "."


def _ipis(by: By) -> Iterator[str]:
    sent = by["interrupts/RPS IPIs"]
    if _moved(sent):
        word = "more" if sent.direction > 0 else "fewer"
        yield f"B sends {word} IPIs for RPS: {value(sent, sent.b)} against {value(sent, sent.a)}."


def _moved(figure: Paired) -> bool:
    """The difference is proven, and can be seen in the words for it."""
    return bool(figure.direction) and is_visible(figure)


def _unchanged(figure: Paired) -> str:
    """How a difference that is not there, not proven, or too small for the words is called."""
    if not figure.difference:
        return "unchanged"
    return f"all but unchanged ({worded(figure)})" if figure.direction else "unchanged within the interval"
