"""The screen: head, panels or a page, knobs, footer. A pure function of numbers and a view; nothing here knows a terminal.

Every line is pre-formatted text: a table of rich costs twenty times as much a frame. 80 x 24 is the least that shows the panels; smaller
terminals get the head, the most troubled CPUs, and are told what is missing.
"""

from __future__ import annotations

from typing import Final

from rich.text import Text

from monitor import cpu_row
from monitor.command_line import command_lines
from monitor.header import conserved_parts, header, identity_line, state_words
from monitor.help import help_lines
from monitor.history import Change, Sample
from monitor.knobs_panel import before_page, knobs_line, knobs_page
from monitor.layout import panels, zoomed
from monitor.lines import FAINT, TROUBLE, WARNING, View, cut, fit, line
from monitor.numbers import per_second_parts, si
from monitor.rates import Rates
from monitor.setup_page import setup_page
from monitor.snapshot import Meta, Snapshot
from monitor.what_if import what_if, what_if_page
from monitor.why.finding import Finding
from monitor.why.findings import findings
from monitor.why_panel import command_page, proof_lines, selected

LEAST_WIDTH: Final = 80
LEAST_HEIGHT: Final = 24


def frame(
    snapshot: Snapshot, rates: Rates, samples: tuple[Sample, ...], view: View, change: Change | None = None
) -> Text:
    """The whole screen as one text of at most `view.height` lines of at most `view.width` cells."""
    if view.width < LEAST_WIDTH or view.height < LEAST_HEIGHT:
        lines = _tiny(snapshot, rates, view)
    else:
        found = findings(snapshot, rates)
        lines = header(snapshot, rates, samples, view)
        knobs = [] if "knobs" in view.hidden else [knobs_line(snapshot, view, change is not None)]
        room = view.height - len(lines) - view.footer - len(knobs)
        if view.page:
            lines += _page(snapshot, found, view, room, change)
        else:
            lines += (zoomed if view.zoomed else panels)(snapshot, rates, found, view, room)
        lines += [line() for _ in range(view.height - view.footer - len(knobs) - len(lines))]
        lines += knobs
        if view.footer:
            lines.append(footer(snapshot.meta, view, found))
    if view.command is not None:
        asked = command_lines(view.command, view, max(view.height // 2, 1))
        lines += [line() for _ in range(view.height - len(lines))]
        lines[view.height - len(asked) :] = asked
    return Text("\n", no_wrap=True, overflow="crop", end="").join(
        cut(text, view.width) for text in lines[: view.height]
    )


def footer(meta: Meta, view: View, found: tuple[Finding, ...] = ()) -> Text:
    """The keys that do something now."""
    if not view.keys:
        return cut(line((" no keyboard here: Ctrl-C ends the run", FAINT)), view.width)
    keys = [(98, "q quit", ""), (97, "Esc back", "")] if view.page or view.zoomed else [(98, "q quit", "")]
    if view.page != "help":
        keys.append((96, "? help", ""))
    if meta.finished:
        keys.append((99, "the run is over; q shows the summary", WARNING))
    else:
        keys += [(95, "SPC go on" if meta.paused else "SPC pause", ""), (90, ". step", ""), (80, "+ - speed", "")]
        keys.append((92, ": command", ""))
    keys.append((45, "s save", ""))
    if view.page == "setup":
        keys.append((94, "SPC change", ""))
    if not view.page:
        finding = selected(found, view)
        keys += [(60, "p proof", "")] if finding is not None else []
        keys += [(55, "a commands", "")] if finding is not None and finding.commands else []
        keys += [(54, "w what-if", "")] if what_if(meta, finding) else []
        keys += [(50, "" if view.zoomed else "k knobs", ""), (40, "b before", "")]
        keys += [(70, "1-6 panel", ""), (65, "" if view.zoomed or not view.panel else "Enter zoom", "")]
        keys += [(35, "/ search", ""), (30, "n next" if view.find else "", ""), (34, "\\ filter", "")]
        if view.panel in (1, 2):
            keys += [(33, "< > sort", ""), (20, "I invert", "")]
        if view.panel <= 1:
            keys += [(25, "t list" if view.map else "t map", ""), (15, "e node", "")]
        keys.append((10, "F2 set-up", ""))
    return fit(keys, view.width)


def _page(snapshot: Snapshot, found: tuple[Finding, ...], view: View, room: int, change: Change | None) -> list[Text]:
    if view.page == "help":
        return help_lines(view, room)
    if view.page == "setup":
        return setup_page(view, room)
    if view.page == "knobs":
        return knobs_page(snapshot, view, room)
    if view.page == "before":
        return before_page(change, view, room)
    if view.page == "what-if":
        return what_if_page(snapshot, found, view, room)
    return proof_lines(found, view, room) if view.page == "proof" else command_page(found, view, room)


def _tiny(snapshot: Snapshot, rates: Rates, view: View) -> list[Text]:
    """What fits below 80 x 24."""
    missing = [
        f"{lack} {what}"
        for lack, what in ((LEAST_WIDTH - view.width, "columns"), (LEAST_HEIGHT - view.height, "lines"))
        if lack > 0
    ]
    arrived, out, dropped, held = conserved_parts(rates)
    budget, time = per_second_parts([rates.squeeze_budget, rates.squeeze_time], rates.interval_ns)
    lines = [
        identity_line(snapshot, view),
        line((f" {' and '.join(missing)} missing for queues, flow, why", WARNING)),
        line(f" IN {arrived:,}/s = OUT {out:,}"),
        line((f"  + DROP {dropped:,}", TROUBLE if rates.dropped_frames else ""), f" + HELD {held:,}"),
        line(f" SQZ {budget + time:,} = b {budget:,} + t {time:,}"),
    ]
    order = sorted(range(len(snapshot.cpus)), key=lambda i: cpu_row.trouble_key(snapshot.cpus[i], rates.cpus[i]))
    for i in order:
        hi, softirq, app, idle = cpu_row.shares(rates.cpus[i].parts_ns)
        lost = si(rates.per_second(rates.cpus[i].dropped))
        star = "*" if cpu_row.in_trouble(rates.cpus[i]) else " "
        lines.append(line(f"{star}cpu{i:<3} hi{hi} si{softirq} app{app} idl{idle} drop {lost}"))
    last = line((f" {state_words(snapshot.meta)}", FAINT), "  q quit" if view.keys else "")
    body = max(view.height - 1, 0)
    return [cut(text, view.width) for text in [*lines[:body], *(line() for _ in range(body - len(lines))), last]]
