"""`softnet why`: the whole story of one packet, drop, squeeze or flow."""

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from emu.errors import ConfigError
from scenarios.commands.outputs import check_output
from scenarios.commands.scenario_options import NOTHING_GIVEN, ScenarioOptions, before_the_run

if TYPE_CHECKING:
    from scenarios.why.ask import Case


def why(
    what: Annotated[str, Parameter(name="SCENARIO-or-CAPTURE")],
    /,
    *,
    given: ScenarioOptions = NOTHING_GIVEN,
    packet: Annotated[int | None, Parameter(allow_leading_hyphen=True)] = None,
    drop: Annotated[int | None, Parameter(allow_leading_hyphen=True)] = None,
    reason: str | None = None,
    squeeze: Annotated[int | None, Parameter(allow_leading_hyphen=True)] = None,
    flow: str | None = None,
    all_: Annotated[bool, Parameter(name="--all")] = False,
    json: Annotated[bool, Parameter(name=["--json", "-j"])] = False,
    output: Annotated[str | None, Parameter(name=["--output", "-o"], allow_leading_hyphen=True)] = None,
) -> int:
    """Tell what happened to one packet, why one was dropped, what squeezed, how a flow went.

    Runs the scenario again and looks on; give the --seed of the run that you ask about.

    Parameters
    ----------
    what
        A name that `softnet scenarios` lists, a scenario file, or a pcap or pcapng file.
    packet
        The packet with this number, from 1 in the order of the wire.
    drop
        The packet that was dropped as this one, from 1 in the order in which drops are counted.
    reason
        With --drop: count only drops for this reason, such as CPU_BACKLOG.
    squeeze
        The time_squeeze with this number, from 1 over all CPUs.
    flow
        All packets of a flow, such as '10.1.0.9:443 > 10.0.0.1:5001', with udp or tcp before it if need be.
    all_
        With --flow: show every packet, not the first ones only.
    json
        Print one JSON document, times in ns, with every number that a sentence words.
    output
        Write what would go to stdout to this file; - is stdout.
    """
    asked = [
        name
        for name, value in (("packet", packet), ("drop", drop), ("squeeze", squeeze), ("flow", flow))
        if value is not None
    ]
    if len(asked) != 1:
        told = (
            "nothing is asked for" if not asked else f"{' and '.join('--' + name for name in asked)} are two questions"
        )
        raise ConfigError(f"why: {told}, write one of --packet N, --drop N, --squeeze N, --flow TUPLE")
    if reason is not None and drop is None:
        raise ConfigError("--reason: it goes with --drop")
    with before_the_run():
        from pathlib import Path

        from scenarios.output import open_output

        opened = given.open(what)
        check_output(output, "--output")
        from scenarios.why.ask import Case

    answer, lines = _answer(
        Case(opened.loaded.scenario, opened.loaded.origin, opened.seed), packet, drop, reason, squeeze, flow, all_
    )
    text = "\n".join([*lines, "", f"the run: {opened.command()}"]) + "\n"
    if json:
        import msgspec

        text = msgspec.json.format(msgspec.json.encode(answer, order="deterministic"), indent=2).decode() + "\n"
    with open_output(None if output is None else Path(output)) as out:
        out.write(text)
    return 0


def _answer(
    case: "Case",
    packet: int | None,
    drop: int | None,
    reason: str | None,
    squeeze: int | None,
    flow: str | None,
    every: bool,
) -> tuple[Any, list[str]]:
    """The document that answers, and its lines."""
    from scenarios.why import ask, text

    if squeeze is not None:
        squeezed = ask.squeeze_story(case, squeeze)
        return squeezed, text.squeeze_lines(squeezed)
    if flow is not None:
        story = ask.ask_flow(case, flow)
        return story, text.flow_lines(story, every)
    lines: list[str] = []
    if drop is not None:
        packet = ask.dropped_packet(case, drop, reason)
        lines = [f"drop {drop}{'' if reason is None else ' for ' + reason} is packet {packet}"]
    assert packet is not None
    told = ask.packet_story(case, packet)
    return told, lines + text.packet_lines(told)
