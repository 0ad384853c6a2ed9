"""The note at the end of a CPU's line: what counters say of it in two words."""

from __future__ import annotations

from rich.text import Text

from monitor.lines import FAINT, TROUBLE, line, plain
from monitor.rates import Rates
from monitor.snapshot import Snapshot


class Residents:
    """What is where: the vectors and the processes of each CPU."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.vectors: dict[int, list[int]] = {}
        self.processes: dict[int, list[str]] = {}
        for queue in snapshot.queues:
            self.vectors.setdefault(queue.cpu, []).append(queue.index)
        for process in snapshot.processes:
            if not process.name.startswith("ksoftirqd"):
                self.processes.setdefault(process.cpu, []).append(process.name)


def note(snapshot: Snapshot, rates: Rates, residents: Residents, index: int, unicode: bool) -> Text:
    """Offline, a loss, the vectors it takes, the process that ran there, or unused; the first that holds, vectors and losses together.

    `full` behind the vectors: frames found no descriptor in one of their rings.
    """
    cpu, rate = snapshot.cpus[index], rates.cpus[index]
    if not cpu.online:
        return line(("offline", FAINT))
    words: list[tuple[str, str]] = []
    if rate.flow_limit_count:
        words.append(("flow limit", TROUBLE))
    elif rate.dropped:
        words.append(("backlog full", TROUBLE))
    vectors = residents.vectors.get(index)
    if vectors:
        words.append((f"IRQ {ranges(vectors)} full", TROUBLE) if rate.ring_drops else (f"IRQ {ranges(vectors)}", ""))
    application = _application(snapshot, rates, residents, index)
    if application:
        words.append((f"app {plain(application, unicode=unicode)}", ""))
    if not words and not rate.busy and not cpu.processed:
        words.append(("unused", FAINT))
    return line(*[word for pair in words for word in (", ", pair)][1:])


def _application(snapshot: Snapshot, rates: Rates, residents: Residents, index: int) -> str:
    """The process that ran longest in the interval among those whose CPU this is; else the one that has it now."""
    here = [(rates.ran_ns.get(name, 0), name) for name in residents.processes.get(index, ())]
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
