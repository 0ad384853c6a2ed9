"""The log of events."""

from __future__ import annotations

from emu.events import REMEMBERED, EventLog


def test_events_come_out_in_the_order_of_their_times_and_equal_ones_as_noted() -> None:
    log = EventLog()
    log.note(20, 1, "late")
    log.note(10, None, "early")
    log.note(20, 0, "late too")
    assert [event.text for event in log.last(9)] == ["early", "late", "late too"]
    assert [event.text for event in log.last(2)] == ["late", "late too"]


def test_the_log_is_bounded_and_counts_what_it_forgot() -> None:
    log = EventLog()
    for number in range(REMEMBERED + 5):
        log.note(number, None, str(number))
    assert log.noted == REMEMBERED + 5
    assert log.last(REMEMBERED + 5)[0].text == "5"
