"""Knobs: the settings as they are, in one line and as a page; and what was measured before and since the last change of one."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from monitor.history import Change
from monitor.lines import FAINT, HEADING, TITLE, WARNING, View, cut, first_lines, line, plain, rule
from monitor.numbers import duration, per_second_parts, portions
from monitor.rates import Rates
from monitor.snapshot import Snapshot

_CORE = "net.core."


def knobs_line(snapshot: Snapshot, view: View, changed: bool) -> Text:
    """The knobs that decide most. Different values of the queues stand side by side."""
    knobs, nic = snapshot.knobs, snapshot.meta.nic
    masks = [knobs.get(f"/sys/class/net/{nic}/queues/rx-{queue.index}/rps_cpus", "0") for queue in snapshot.queues]
    values = [
        ("budget", knobs.get(f"{_CORE}netdev_budget")),
        ("usecs", knobs.get(f"{_CORE}netdev_budget_usecs")),
        ("weight", knobs.get(f"{_CORE}dev_weight")),
        ("backlog", knobs.get(f"{_CORE}netdev_max_backlog")),
        ("rps", _different(masks)),
        ("rfs", knobs.get(f"{_CORE}rps_sock_flow_entries")),
        ("rx-usecs", _usecs(snapshot)),
        ("ring", knobs.get(f"ethtool -G {nic} rx")),
        ("gro", knobs.get(f"ethtool -K {nic} gro")),
    ]
    dash = "─" if view.unicode else "-"
    text = line((f"{dash} ", FAINT), ("KNOBS", TITLE), " ")
    right = f" [b] before/after {dash}" if changed and view.keys else ""
    for name, value in values:
        part = f" {name} {plain(value or '-', unicode=view.unicode)[:24]} "
        if len(text.plain) + len(part) + len(right) <= view.width:
            text.append(part)
    text.append(dash * max(view.width - len(text.plain) - len(right), 0), FAINT)
    text.append(right, WARNING if changed else FAINT)
    return cut(text, view.width)


def _different(values: Sequence[str]) -> str:
    return ",".join(dict.fromkeys([_short(value) for value in dict.fromkeys(values)])) or "-"


def _short(mask: str) -> str:
    """A mask without leading zeros; in words of 32 bits only the last that are set."""
    return mask.replace(",", "").lstrip("0") or "0"


def _usecs(snapshot: Snapshot) -> str:
    nic = snapshot.meta.nic
    adaptive = snapshot.knobs.get(f"ethtool -C {nic} adaptive-rx", "off")
    return "adaptive" if adaptive == "on" else snapshot.knobs.get(f"ethtool -C {nic} rx-usecs", "-")


def knobs_page(snapshot: Snapshot, view: View, lines: int) -> list[Text]:
    """All settings under the names by which they are set."""
    names = sorted(snapshot.knobs)
    page = [rule("KNOBS", view.width, "set them behind `:`", view.unicode)]
    width = min(max((len(name) for name in names), default=0) + 2, max(view.width - 20, 20))

    def draw(name: str) -> Text:
        return line(" ", (plain(name, width, view.unicode), HEADING), plain(snapshot.knobs[name], unicode=view.unicode))

    page += first_lines(
        names, lines - 1, draw, lambda missing: f"and {missing} more", min(view.page_row, len(names) - 1)
    )
    return [cut(text, view.width) for text in page[:lines]]


def before_page(change: Change | None, view: View, lines: int) -> list[Text]:
    """What the last change of a setting changed: the same figures before it and since."""
    page = [rule("BEFORE AND SINCE THE LAST CHANGE", view.width, unicode=view.unicode)]
    if change is None:
        page.append(line(" no setting was changed since the screen was opened; `:` changes one"))
        return [cut(text, view.width) for text in page[:lines]]
    for name, old, new in change.knobs[:6]:
        name, old, new = (plain(words, unicode=view.unicode) for words in (name, old, new))
        page.append(line(f" {name}  ", (old, FAINT), " > ", (new, HEADING)))
    before, after = _figures(change.before), _figures(change.after)
    page.append(line((f" {'':<26}{'before':>14}{'since':>14}", HEADING)))
    page += [line(f" {name:<26}{was:>14}{now:>14}") for (name, was), (_, now) in zip(before, after, strict=True)]
    page.append(
        line(
            (
                f" over {duration(change.before.interval_ns)} before and {duration(change.after.interval_ns)} since; "
                "what was on its way then is in both",
                FAINT,
            )
        )
    )
    return [cut(text, view.width) for text in page[:lines]]


def _figures(rates: Rates) -> list[tuple[str, str]]:
    out, dropped, held = per_second_parts(
        [rates.out_frames, rates.dropped_frames, rates.held_frames], rates.interval_ns
    )
    budget, time = per_second_parts([rates.squeeze_budget, rates.squeeze_time], rates.interval_ns)
    wait = rates.whole_way()
    spent = [sum(cpu.parts_ns[account] for cpu in rates.cpus) for account in range(5)]
    shares = portions([spent[0], spent[1] + spent[2], spent[3], spent[4]], 1000)
    figures = [
        ("in frames/s", f"{out + dropped + held:,}"),
        ("= out", f"{out:,}"),
        ("+ drop", f"{dropped:,}"),
        ("+ held", f"{held:,}"),
        ("squeezes/s", f"{budget + time:,}"),
        ("= budget", f"{budget:,}"),
        ("+ time", f"{time:,}"),
        ("IPIs/s", f"{round(rates.per_second(sum(cpu.ipis_sent for cpu in rates.cpus))):,}"),
    ]
    figures += [
        (f"wire to read {name}", duration(span) if wait is not None else "-")
        for name, span in (
            ("p50", wait.p50_ns if wait is not None else 0),
            ("p99", wait.p99_ns if wait is not None else 0),
            ("p99.9", wait.p999_ns if wait is not None else 0),
        )
    ]
    return figures + [
        (f"all CPUs %{name}", f"{tenths / 10:.1f}")
        for name, tenths in zip(("hi", "si", "app", "idl"), shares, strict=True)
    ]
