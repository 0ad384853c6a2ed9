"""The note at the end of a CPU's line: what counters say of it in two words."""

from __future__ import annotations

from rich.text import Text

from monitor.lines import FAINT, TROUBLE, line, plain
from monitor.rates import Rates
from monitor.snapshot import Snapshot


def note(snapshot: Snapshot, rates: Rates, index: int, unicode: bool) -> Text:
    """Offline, a loss, the vectors it takes, the process that ran there, or unused; the first that holds, vectors and losses together."""
    cpu, rate = snapshot.cpus[index], rates.cpus[index]
    if not cpu.online:
        return line(("offline", FAINT))
    words: list[tuple[str, str]] = []
    if rate.flow_limit_count:
        words.append(("flow limit", TROUBLE))
    elif rate.dropped:
        words.append(("backlog full", TROUBLE))
    vectors = [queue.index for queue in snapshot.queues if queue.cpu == index]
    if vectors:
        words.append((f"IRQ {ranges(vectors)}", ""))
    application = _application(snapshot, rates, index)
    if application:
        words.append((f"app {plain(application, unicode=unicode)}", ""))
    if not words and not rate.busy and not cpu.processed:
        words.append(("unused", FAINT))
    text = line()
    for number, (part, style) in enumerate(words):
        text.append(", " if number else "")
        text.append(part, style or None)
    return text


def _application(snapshot: Snapshot, rates: Rates, index: int) -> str:
    """The process that ran longest in the interval among those whose CPU this is; else the one that has it now."""
    here = [
        (rates.ran_ns.get(process.name, 0), process.name)
        for process in snapshot.processes
        if process.cpu == index and not process.name.startswith("ksoftirqd")
    ]
    ran_ns, name = max(here, default=(0, ""))
    if ran_ns > 0:
        return name
    current = snapshot.cpus[index].current
    return "" if current.startswith("ksoftirqd") else current


def ranges(numbers: list[int]) -> str:
    """Rising queue numbers as `rx-0..3,5`."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return "rx-" + ",".join(str(a) if a == b else f"{a}..{b}" for a, b in spans)
