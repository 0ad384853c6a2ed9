"""The near past: rates over the last few snapshots, and bounded samples for the sparklines."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from monitor.rates import Rates, delta
from monitor.snapshot import Snapshot

WINDOW_FRAMES: Final = 5
SAMPLES: Final = 240


@dataclass(frozen=True, slots=True)
class Sample:
    """One step of a sparkline, in events a virtual second."""

    now_ns: int
    arrived: float
    dropped: float
    squeezes: float
    p99_ns: float
    """99th percentile of the time from wire to read of what was read in the step, 0 if nothing was."""


@dataclass(frozen=True, slots=True)
class Change:
    """Settings that changed between two snapshots, and what was measured before."""

    knobs: tuple[tuple[str, str, str], ...]
    """(name, old value, new value)."""
    before: Rates
    """Rates up to the last snapshot before the change."""
    after: Rates
    """Rates since then."""


class History:
    """Fed with snapshots of one run in the order of their time. Keeps at most `window_frames` + 1 snapshots and `samples` samples."""

    def __init__(self, window_frames: int = WINDOW_FRAMES, samples: int = SAMPLES) -> None:
        self._snapshots: deque[Snapshot] = deque(maxlen=window_frames + 1)
        self._samples: deque[Sample] = deque(maxlen=samples)
        self._rates: Rates | None = None
        self._knobs: tuple[tuple[str, str, str], ...] = ()
        self._before: tuple[Snapshot, Rates] | None = None

    def push(self, snapshot: Snapshot) -> Rates:
        """Take in a snapshot and return the rates over the window that it ends.

        The first one's rates reach back to the beginning of the run. While time stands still (a pause) the last rates stay.
        """
        last = self._snapshots[-1] if self._snapshots else None
        if last is not None and last.meta.now_ns == snapshot.meta.now_ns and self._rates is not None:
            return self._rates
        step = delta(last, snapshot)
        if step.interval_ns:
            wait = step.whole_way()
            self._samples.append(
                Sample(
                    snapshot.meta.now_ns,
                    step.per_second(step.arrived_frames),
                    step.per_second(step.dropped_frames),
                    step.per_second(step.squeeze_budget + step.squeeze_time),
                    wait.p99_ns if wait is not None else 0,
                )
            )
        if last is not None and last.knobs != snapshot.knobs:
            self._note_change(last, snapshot)
        self._snapshots.append(snapshot)
        self._rates = delta(self._snapshots[0], snapshot) if len(self._snapshots) > 1 else step
        return self._rates

    def change(self) -> Change | None:
        """The last change of settings, with the rates before and since; None if nothing changed."""
        if self._before is None or not self._snapshots:
            return None
        snapshot, before = self._before
        return Change(self._knobs, before, delta(snapshot, self._snapshots[-1]))

    def _note_change(self, last: Snapshot, snapshot: Snapshot) -> None:
        """A window that holds the change would mix both: it begins anew."""
        assert self._rates is not None
        names = sorted(last.knobs.keys() | snapshot.knobs.keys())
        values = [(name, last.knobs.get(name, "-"), snapshot.knobs.get(name, "-")) for name in names]
        self._knobs = tuple(value for value in values if value[1] != value[2])
        self._before = last, self._rates
        self._snapshots.clear()
        self._snapshots.append(last)

    def samples(self) -> tuple[Sample, ...]:
        """The samples so far, oldest first."""
        return tuple(self._samples)
