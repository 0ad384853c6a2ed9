"""The keys that choose what is seen: panels, rows, pages, sorting, searching, filtering. None of them reaches the run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.event_panel import matches
from monitor.history import History
from monitor.lines import View
from monitor.live import LiveScreen
from monitor.navigation import Navigation
from monitor.rates import delta
from monitor.render import frame
from monitor.snapshot import Event
from tests.monitor.machine import MadeUpMachine
from tests.monitor.test_live import Recorder

KEYS = [
    *"?hSkbpaIten<>N123456jl",
    *[
        "f1",
        "f2",
        "f5",
        "f6",
        "escape",
        "c-m",
        "c-i",
        "s-tab",
        "up",
        "down",
        "left",
        "right",
        "pageup",
        "pagedown",
        "home",
        "end",
    ],
]


def looking(cpus: int = 8, queues: int = 8) -> tuple[Navigation, MadeUpMachine]:
    machine = MadeUpMachine(cpus, queues)
    machine.advance(1_000_000_000)
    navigation = Navigation()
    navigation.look(machine.snapshot(), delta(None, machine.snapshot()))
    return navigation, machine


def shown(navigation: Navigation, machine: MadeUpMachine, width: int = 120, height: int = 40) -> str:
    snapshot = machine.snapshot()
    return frame(snapshot, delta(None, snapshot), (), navigation.view(width, height, True, True, None)).plain


def press(navigation: Navigation, *keys: str) -> View:
    for key in keys:
        assert navigation.press(key), f"{key} means nothing"
    return navigation.view(120, 40, True, True, None)


@given(st.lists(st.sampled_from(KEYS), max_size=30), st.sampled_from([(80, 24), (120, 40), (40, 10)]))
def test_no_order_of_keys_breaks_the_screen(keys: list[str], size: tuple[int, int]) -> None:
    navigation, machine = looking(17, 3)
    for key in keys:
        navigation.press(key)
    assert len(shown(navigation, machine, *size).split("\n")) <= size[1]


def test_numbers_tab_and_arrows_go_from_panel_to_panel() -> None:
    navigation, machine = looking()
    assert press(navigation, "3").panel == 3
    assert "[3 STEERING]" in shown(navigation, machine)
    assert press(navigation, "c-i").panel == 4
    assert press(navigation, "s-tab", "s-tab").panel == 2
    assert press(navigation, "right").panel == 3
    assert press(navigation, "6", "c-i").panel == 1
    assert press(navigation, "escape").panel == 0


def test_enter_zooms_and_escape_leaves_step_by_step() -> None:
    navigation, machine = looking()
    press(navigation, "4", "c-m")
    assert "BY STAGE" in shown(navigation, machine)
    assert "1 CPU" not in shown(navigation, machine)
    press(navigation, "k")  # moves here; among the panels it shows the knobs
    assert navigation.page == ""
    press(navigation, "escape", "k")
    assert "net.core.netdev_max_backlog" in shown(navigation, machine)
    press(navigation, "escape")
    assert "2 QUEUES" in shown(navigation, machine)


def test_rows_are_moved_through_and_never_left() -> None:
    navigation, _ = looking()
    assert press(navigation, "1", "down", "down").row == 2
    assert press(navigation, "pagedown", "pagedown").row == 7
    assert press(navigation, "up").row == 6
    assert press(navigation, "home", "up").row == 0
    assert press(navigation, "end").row == 7


def test_columns_sort_either_way() -> None:
    navigation, machine = looking()
    press(navigation, ">")
    rows = [line for line in shown(navigation, machine).split("\n") if line[1:4].strip().isdigit() and "[" in line]
    assert [int(row[1:4]) for row in rows] == list(range(8))
    press(navigation, "I")
    rows = [line for line in shown(navigation, machine).split("\n") if line[1:4].strip().isdigit() and "[" in line]
    assert [int(row[1:4]) for row in rows] == list(range(7, -1, -1))
    assert "sort: cpu ^" in shown(navigation, machine)
    assert press(navigation, "<").cpu_sort == "trouble"
    assert press(navigation, "2", "f6").queue_sort == "queue"


def test_search_selects_the_row_and_n_the_next() -> None:
    navigation, _ = looking()
    assert navigation.search("irq 36")
    assert (navigation.panel, navigation.row) == (2, 2)
    assert navigation.search("reader")
    found = press(navigation, "n")
    assert found.panel in (1, 5)
    assert navigation.search("nowhere") is False


def test_a_filter_begins_with_what_is_selected() -> None:
    navigation, machine = looking()
    press(navigation, "2")
    assert navigation.filterer([]).text == "rx-0"
    navigation.show_only("rx-0")
    events = shown(navigation, machine).split("EVENTS")[1]
    assert "rx-0 is full" in events
    assert "time_squeeze" not in events
    assert "filter: rx-0" in events


@pytest.mark.parametrize(
    ("words", "passes"),
    [("", True), ("cpu2", True), ("c2", True), ("cpu3", False), ("rx-1", True), ("rx-", False), ("pkt 7", True)],
)
def test_a_filter_takes_cpus_queues_packets_and_words(words: str, passes: bool) -> None:
    assert matches(Event(1, 2, "rx-1 lost pkt 7"), words) is passes


def test_a_packet_is_not_taken_for_another_that_begins_like_it() -> None:
    assert not matches(Event(1, None, "pkt 71 of rx-12"), "pkt 7")
    assert not matches(Event(1, None, "pkt 71 of rx-12"), "rx-1")


def test_a_node_is_expanded_and_the_map_is_chosen() -> None:
    navigation, machine = looking(64, 4)
    assert press(navigation, "e").node == 0
    assert "node0, per second" in shown(navigation, machine)
    assert press(navigation, "e").node == 1
    assert press(navigation, "e").node is None
    assert "|" in shown(navigation, machine).split("QUEUES")[0]
    assert press(navigation, "t").map is False
    assert press(navigation, "t").map is True


def test_the_set_up_page_leaves_panels_out_and_draws_in_ascii() -> None:
    navigation, machine = looking()
    press(navigation, "S", "down", "down", " ", "end", " ", "escape")
    text = shown(navigation, machine)
    assert "WHERE PACKETS GO" not in text
    assert text.isascii()


def test_a_sentence_is_proved_and_its_commands_are_shown() -> None:
    navigation, machine = looking()
    press(navigation, "p")
    first = shown(navigation, machine)
    assert "frames dropped as NIC_RING_FULL" in first
    press(navigation, "down")
    assert "softnet_stat dropped, cpu2" in shown(navigation, machine)
    press(navigation, "escape", "a")
    assert "sysctl -w net.core.netdev_max_backlog=2000" in shown(navigation, machine)


def test_before_and_since_a_change_are_measured_apart() -> None:
    machine, history = MadeUpMachine(4, 2, 1), History()
    for _ in range(5):
        machine.advance(100_000_000)
        history.push(machine.snapshot())
    assert history.change() is None
    machine.knobs["net.core.netdev_budget"] = "600"
    for _ in range(3):
        machine.advance(50_000_000)
        history.push(machine.snapshot())
    change = history.change()
    assert change is not None
    assert change.knobs == (("net.core.netdev_budget", "300", "600"),)
    assert (change.before.interval_ns, change.after.interval_ns) == (400_000_000, 150_000_000)
    snapshot = machine.snapshot()
    page = frame(snapshot, delta(None, snapshot), (), View(80, 24, page="before"), change).plain
    assert "net.core.netdev_budget  300 > 600" in page
    assert "[b] before/after" in page


def test_typing_a_search_is_no_command_and_reaches_no_run() -> None:
    run = Recorder()
    screen = LiveScreen(run, run)
    run.machine.advance(1_000_000)
    screen.navigation.look(run.machine.snapshot(), delta(None, run.machine.snapshot()))

    def press_all(*keys: str) -> str | None:
        """The line that is being typed afterwards, None if none is."""
        for key in keys:
            screen.press(key)
        return screen.command.text + "|" + "|".join(w for w, _ in screen.command.answer) if screen.command else None

    assert press_all("/", *"cpu1 q", "c-m") == "|: cpu1 q|no row has that"
    assert press_all(*"cpu1", "c-m") is None
    assert screen.navigation.panel == 1
    assert press_all("\\", "c-u", *"c1", "c-m") is None
    assert screen.navigation.filter == "c1"
    assert press_all("\\", "c-u", "c-m") is None
    assert screen.navigation.filter == ""
    assert run.asked == []
