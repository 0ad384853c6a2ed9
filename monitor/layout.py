"""Which panels there is room for, and how many lines each gets. Narrow and low screens lose panel 6 first, then 4, then 3."""

from __future__ import annotations

from typing import Final

from rich.text import Text

from monitor import cpu_panel, flow_panel, queue_panel, steering_panel, why_panel
from monitor.drop_panel import drop_panel
from monitor.drop_panel import lines_wanted as drop_lines_wanted
from monitor.event_panel import event_panel
from monitor.flow import STAGES
from monitor.latency_panel import latency_panel
from monitor.latency_panel import lines_wanted as latency_lines_wanted
from monitor.lines import View, beside, share_lines
from monitor.rates import Rates
from monitor.snapshot import Snapshot
from monitor.why.finding import Finding

WIDE: Final = 118
"""From this width on, the steering matrix stands beside the queues."""
_EAGER: Final = {"cpu": 14, "queues": 12, "why": 4}
_DROPPED_FIRST: Final = ("events", "flow", "steering")


def panels(snapshot: Snapshot, rates: Rates, found: tuple[Finding, ...], view: View, room: int) -> list[Text]:
    """All panels that fit into `room` lines."""
    width = view.width
    wide = width >= WIDE
    flow_lines = flow_panel.LINES + (not _reasons_beside(width) and bool(rates.dropped_frames))
    queues = queue_panel.lines_wanted(snapshot)
    wants = {
        "cpu": cpu_panel.lines_wanted(snapshot, view),
        "queues": queues,
        "steering": 0 if wide else queues,
        "flow": flow_lines,
        "why": why_panel.lines_wanted(found, view, width),
        "events": 1 + max(len(snapshot.events), 1),
    }
    least = {
        "cpu": min(cpu_panel.least_lines(snapshot, view), wants["cpu"]),
        "queues": min(queues, 6),
        "steering": min(wants["steering"], 5),
        "flow": flow_lines,
        "why": why_panel.lines_least(found, view, width),
        "events": min(wants["events"], 3),
    }
    for name in view.hidden & wants.keys():
        wants[name] = least[name] = 0
    for name in _DROPPED_FIRST:
        if sum(least.values()) > room:
            wants[name] = least[name] = 0
    if sum(least.values()) > room:
        least["queues"] = min(queues, 4)
    # First what one looks for first, up to so many lines; then all in turn.
    eager = {name: max(low, min(wants[name], _EAGER.get(name, 0))) for name, low in least.items()}
    low = share_lines(list(eager.values()), list(least.values()), room)
    given = dict(zip(wants, share_lines(list(wants.values()), low, room), strict=True))

    drawn = cpu_panel.cpu_panel(snapshot, rates, view, given["cpu"])
    if wide and "steering" not in view.hidden:
        left = queue_panel.WIDTH if width >= 160 else queue_panel.NARROW
        drawn += beside(
            queue_panel.queue_panel(snapshot, rates, view, left, given["queues"]),
            steering_panel.steering_panel(snapshot, rates, view, width - left - 1, given["queues"]),
            left,
        )
    else:
        drawn += queue_panel.queue_panel(snapshot, rates, view, width, given["queues"])
        drawn += steering_panel.steering_panel(snapshot, rates, view, width, given["steering"])
    drawn += flow_panel.flow_panel(snapshot, rates, view, width, given["flow"])
    drawn += why_panel.why_panel(found, rates, view, width, given["why"])
    drawn += event_panel(snapshot, view, width, given["events"])
    rest = room - len(drawn)
    if rest >= 6 and wide:
        drawn += _ends_and_waits(snapshot, rates, view, rest)
    return drawn


def zoomed(snapshot: Snapshot, rates: Rates, found: tuple[Finding, ...], view: View, room: int) -> list[Text]:
    """One panel on the whole screen, with what it has no room for among the others."""
    width = view.width
    if view.panel == 1:
        return cpu_panel.cpu_panel(snapshot, rates, view, room)
    if view.panel == 2:
        return queue_panel.queue_panel(snapshot, rates, view, width, room)
    if view.panel == 3:
        return steering_panel.steering_panel(snapshot, rates, view, width, room)
    if view.panel == 4:
        drawn = flow_panel.flow_panel(snapshot, rates, view, width, room)
        drawn += flow_panel.stage_table(rates, view, width)[: max(room - len(drawn), 0)]
        return drawn + _ends_and_waits(snapshot, rates, view, room - len(drawn))
    if view.panel == 5:
        wanted = why_panel.lines_wanted(found, view, width)
        drawn = why_panel.why_panel(found, rates, view, width, min(wanted, max(room - 8, 3)))
        return drawn + why_panel.proof_lines(found, view, room - len(drawn))
    return event_panel(snapshot, view, width, room)


def _ends_and_waits(snapshot: Snapshot, rates: Rates, view: View, lines: int) -> list[Text]:
    left = view.width // 2 - 2
    height = min(lines, max(drop_lines_wanted(snapshot, rates), latency_lines_wanted(snapshot)))
    if height < 3:
        return []
    return beside(
        drop_panel(snapshot, rates, view, left, height),
        latency_panel(snapshot, view, view.width - left - 1, height),
        left,
    )


def _reasons_beside(width: int) -> bool:
    return len(STAGES) * 8 + 36 <= width
