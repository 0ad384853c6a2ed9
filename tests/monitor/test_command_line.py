"""The command line of the screen: editing, history, completion, answers; and on the live screen."""

from __future__ import annotations

from collections.abc import Sequence

import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from monitor.command_line import MAX_LINE, CommandLine, command_lines
from monitor.lines import View
from monitor.live import LiveScreen
from tests.monitor.demo import MadeUpRun
from tests.monitor.machine import MadeUpMachine

NAMES = ("/proc/net/dev ", "/proc/net/snmp ", "/proc/sys/")


def offer(text: str) -> tuple[str, Sequence[str]]:
    start = text.rfind(" ") + 1
    return text[:start], [name for name in NAMES if name.startswith(text[start:])]


def typed(*keys: str, history: list[str] | None = None) -> CommandLine:
    command = CommandLine(offer, [] if history is None else history)
    for key in keys:
        command.press(key)
    return command


def state(command: CommandLine) -> str:
    return f"{command.text[: command.cursor]}|{command.text[command.cursor :]}"


def test_what_is_typed_stands_where_the_cursor_is() -> None:
    assert state(typed(*"cat", "left", "left", "x")) == "cx|at"
    assert state(typed(*"cat", "home", "x", "end", "y")) == "xcaty|"
    assert state(typed(*"cat", "c-a", "right", "delete")) == "c|t"
    assert state(typed(*"cat", "c-h", "c-h")) == "c|"
    assert state(typed(*"cat", "left", "c-k")) == "ca|"
    assert state(typed(*"cat", "left", "c-u")) == "|t"
    assert state(typed(*"cat /proc  ", "c-w")) == "cat |"


def test_keys_without_a_meaning_change_nothing() -> None:
    assert state(typed(*"cat", "f5", "pagedown", "\x00", "c-l")) == "cat|"


def test_enter_hands_the_line_in_and_waits_for_the_answer() -> None:
    command = typed(*"cat x")
    assert command.press("c-m") == "cat x"
    assert command.busy
    assert command.press("a") is None
    command.answered("cat x", "one\ntwo\n")
    assert [words for words, _ in command.answer] == [": cat x", "one", "two"]
    assert state(command) == "|"
    assert typed(" ", "c-m").busy is False


def test_up_recalls_and_down_comes_back_to_what_was_being_typed() -> None:
    history = ["first", "second"]
    assert state(typed(*"new", "up", history=history)) == "second|"
    assert state(typed(*"new", "up", "up", "up", history=history)) == "first|"
    assert state(typed(*"new", "up", "up", "down", "down", history=history)) == "new|"
    command = typed(*"second", "c-m", history=history)
    assert history == ["first", "second"]
    command.answered("second", "")
    for key in ("t", "c-m"):
        command.press(key)
    assert history == ["first", "second", "t"]


def test_tab_adds_what_all_candidates_share_and_then_shows_them() -> None:
    command = typed(*"cat /p", "c-i")
    assert state(command) == "cat /proc/|"
    command.press("c-i")
    assert command.answer[0][0] == "dev  snmp  sys/"
    assert state(typed(*"cat /proc/s", "c-i")) == "cat /proc/sys/|"
    assert state(typed(*"cat /x", "c-i")) == "cat /x|"


KEYS = ["left", "right", "home", "end", "c-h", "delete", "c-w", "up", "down", "c-i", "c-m", "c-k"]


@given(
    st.lists(st.one_of(st.characters(), st.sampled_from(KEYS)), max_size=40),
    st.integers(1, 130),
    st.integers(1, 30),
    st.booleans(),
)
def test_whatever_is_typed_the_cursor_stays_in_the_line_and_the_lines_in_the_view(
    keys: list[str], width: int, height: int, unicode: bool
) -> None:
    command = CommandLine(offer, [])
    for key in keys:
        said = command.press(key)
        if said is not None:
            command.answered(said, said * 3)
        assert 0 <= command.cursor <= len(command.text) <= MAX_LINE
    lines = command_lines(command, View(width, height, unicode=unicode), height)
    assert 1 <= len(lines) <= height
    assert all(line.cell_len <= width for line in lines)


def test_a_long_answer_says_how_much_of_it_is_left_out() -> None:
    command = typed()
    command.answered("cat x", "".join(f"line {n}\n" for n in range(20)))
    lines = [line.plain.rstrip() for line in command_lines(command, View(60, 24), 8)]
    assert lines[0].startswith("─ COMMAND ─")
    assert lines[1:7] == ["  : cat x", "  line 0", "  line 1", "  line 2", "  line 3", "  16 more lines: PgDn"]
    assert lines[7] == " :"


def test_a_long_answer_is_scrolled_by_pages_to_its_last_line_and_back() -> None:
    command = typed()
    command.answered("cat x", "".join(f"line {n}\n" for n in range(20)))

    def seen() -> list[str]:
        return [line.plain.rstrip() for line in command_lines(command, View(60, 24), 8)][1:-1]

    first = seen()
    command.press("pageup")
    assert seen() == first
    command.press("pagedown")
    assert seen() == ["  line 9", "  line 10", "  line 11", "  line 12", "  line 13", "  6 more lines: PgDn"]
    for _ in range(5):
        command.press("pagedown")
    assert seen() == ["  line 19"]
    for _ in range(5):
        command.press("pageup")
    assert seen() == first
    command.press("pagedown")
    command.answered("cat y", "short\n")
    assert seen() == ["  : cat y", "  short"]


async def answers(screen: LiveScreen, *keys: str) -> list[str]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(screen.run_commands)
        for key in keys:
            screen.press(key)
            await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return [] if screen.command is None else [words for words, _ in screen.command.answer]


async def test_a_colon_opens_the_line_and_its_command_is_run_and_answered() -> None:
    run = MadeUpRun(MadeUpMachine(2, 1))
    screen = LiveScreen(run, run)
    assert await answers(screen, ":", *"cat q", "c-m") == [": cat q", "ran cat q"]
    assert not screen.ended
    assert await answers(screen, *"no", "c-m") == [": no", "EINVAL: it is refused"]
    assert await answers(screen, "escape") == []
    assert await answers(screen, ":", "up", "up", "c-m") == [": cat q", "ran cat q"]


async def test_s_saves_and_says_so() -> None:
    run = MadeUpRun(MadeUpMachine(2, 1))
    assert await answers(LiveScreen(run, run), "s") == [": save", "saved"]
