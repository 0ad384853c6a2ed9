"""The stories as text: aligned lines for people."""

from __future__ import annotations

from typing import Final

from scenarios.why.document import DROPPED, FlowStory, PacketStory, SqueezeStory, Stage, Step

FLOW_LINES: Final = 40
"""Packets of a flow that are shown, unless all are asked for."""
STAGES: Final = ("ring", "gro", "steering", "backlog", "protocol", "fragments", "socket")
SHOWN_PACKETS: Final = 8


def packet_lines(story: PacketStory) -> list[str]:
    """The whole story of a packet."""
    lines = [f"packet {story.packet}: {story.flow}, {story.wire_bytes} bytes"]
    if len(story.frames) > 1:
        lines.append(f"in one skb with packets {_numbers(story.frames)}")
    lines.append("")
    lines += step_lines(story.steps, story.arrived_ns)
    lines += ["", "where it was                     ns  who had that CPU meanwhile"]
    for stage in story.stages:
        lines.append(_stage_line(stage))
    lines.append(f"{'in all':10} {'':8} {story.total_ns:15,}")
    if story.behind is not None:
        waited = f"{story.behind.end_ns - story.behind.begin_ns:,} ns"
        lines += ["", f"CPU {story.behind.cpu} empties {story.behind.name}; since the oldest there came, {waited}:"]
        lines.append(f"  {_held(story.behind)}")
    end = story.end
    when = f"{story.total_ns:,} ns after its last bit was on the wire"
    if end.account == DROPPED:
        lines += ["", f"end: dropped {when}, {end.reason}: {end.text}"]
    else:
        cpu = "" if end.cpu is None else f" on CPU {end.cpu}"
        lines += ["", f"end: {end.text}{cpu}, {when}"]
    return lines


def step_lines(steps: list[Step], origin_ns: int) -> list[str]:
    """A line a step: ns since `origin_ns`, CPU, function, what happened."""
    width = max((len(step.function) for step in steps), default=0)
    lines = [f"{'+ns':>12} CPU  {'function':{width}}  at {ms(origin_ns)} ms of the run"]
    for step in steps:
        cpu = "-" if step.cpu is None else str(step.cpu)
        lines.append(f"{step.at_ns - origin_ns:12,} {cpu:>3}  {step.function:{width}}  {step.text}")
    return lines


def _stage_line(stage: Stage) -> str:
    cpu = "" if stage.cpu is None else f"CPU {stage.cpu}"
    return f"{stage.name:10} {cpu:8} {stage.end_ns - stage.begin_ns:15,}  {_held(stage)}".rstrip()


def _held(stage: Stage) -> str:
    return ", ".join(
        f"{holder.ns:,} {holder.account}" + (f" ({holder.who})" if holder.who else "") for holder in stage.holders
    )


def squeeze_lines(story: SqueezeStory) -> list[str]:
    """The whole story of a squeeze."""
    used = story.netdev_budget - story.budget_left
    limit_ms = (story.limit_jiffies - story.begin_jiffies) * 1000 / story.hz
    lines = [
        f"time_squeeze {story.squeeze}: net_rx_action on CPU {story.cpu} in {story.run_by}, "
        f"{ms(story.begin_ns)} to {ms(story.end_ns)} ms ({story.end_ns - story.begin_ns:,} ns)",
        "",
        f"budget      netdev_budget {story.netdev_budget}: {used} polled, {story.budget_left} left"
        + ("  <- this limit" if story.cause == "budget" else ""),
        f"time limit  netdev_budget_usecs {story.netdev_budget_usecs} = {story.limit_jiffies - story.begin_jiffies} jiffies "
        f"at HZ {story.hz} ({limit_ms:g} ms): begun in jiffy {story.begin_jiffies}, limit {story.limit_jiffies}, "
        f"ended in {story.end_jiffies}" + ("  <- this limit" if story.cause == "time" else ""),
        "",
        f"{'+ns':>12} {'ns':>10} {'work':>5} {'weight':>6} {'budget left':>11}  NAPI",
    ]
    for poll in story.polls:
        lines.append(
            f"{poll.begin_ns - story.begin_ns:12,} {poll.end_ns - poll.begin_ns:10,} {poll.work:5} {poll.weight:6} "
            f"{poll.budget_left:11}  {poll.napi}"
        )
    left = ", ".join(story.left) if story.left else "none"
    lines += ["", f"left on the poll list: {left}", f"then: {story.followed}"]
    return lines


def flow_lines(story: FlowStory, every: bool = False) -> list[str]:
    """The whole story of a flow; its first packets only, unless `every`."""
    ended = ", ".join(f"{count:,} {name}" for name, count in story.accounts.items())
    queues = ", ".join(f"rx-{queue}" for queue in story.queues) or "no queue"
    lines = [
        f"flow {story.flow}: {'the first ' if story.untold else ''}{story.packets:,} packets by {queues}; {ended}",
        f"overtaken on the way: {story.reordered:,}" if story.reordered else "none was overtaken on the way",
        "",
        *step_lines(story.steering, story.lines[0].arrived_ns),
        "",
    ]
    if len(story.moves) > 1:
        lines += ["CPUs that processed it"]
        lines += [f"{ms(step.at_ns):>14} ms  {step.text}" for step in story.moves[:FLOW_LINES]]
        if len(story.moves) > FLOW_LINES:
            lines.append(f"{'':17} and {len(story.moves) - FLOW_LINES:,} moves more")
        lines.append("")
    used = [name for name in STAGES if any(name in line.waits_ns for line in story.lines)]
    head = f"{'packet':>8} {'arrived ms':>12} {'CPUs':>9} " + " ".join(f"{name:>10}" for name in used)
    lines.append(f"{head} {'in all':>12}  end (waits in ns)")
    shown = story.lines if every else story.lines[:FLOW_LINES]
    for line in shown:
        waits = " ".join(f"{line.waits_ns[name]:10,}" if name in line.waits_ns else f"{'-':>10}" for name in used)
        end = line.reason if line.account == DROPPED else f"{line.account} {line.reason}".strip()
        cpus = ">".join(map(str, line.cpus)) or "-"
        lines.append(f"{line.packet:8} {ms(line.arrived_ns):>12} {cpus:>9} {waits} {line.total_ns:12,}  {end}")
    if len(shown) < len(story.lines):
        lines.append(f"and {len(story.lines) - len(shown):,} packets more (--all shows them)")
    return lines


def ms(time_ns: int) -> str:
    """Milliseconds, to the nanosecond."""
    return f"{time_ns // 1_000_000}.{time_ns % 1_000_000:06}"


def _numbers(packets: list[int]) -> str:
    shown = ", ".join(map(str, packets[:SHOWN_PACKETS]))
    return shown if len(packets) <= SHOWN_PACKETS else f"{shown} and {len(packets) - SHOWN_PACKETS} more"
