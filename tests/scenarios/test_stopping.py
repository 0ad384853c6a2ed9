"""SIGTERM and SIGHUP mean what a first Ctrl-C does."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from scenarios import cli
from scenarios.stopping import AS_CTRL_C, stopped_by_signals


@pytest.fixture(autouse=True)
def dispositions() -> Iterator[None]:
    """What a test does to signals ends with it."""
    old = {number: signal.getsignal(number) for number in (signal.SIGINT, *AS_CTRL_C)}
    yield
    for number, handler in old.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", AS_CTRL_C)
@pytest.mark.parametrize("ctrl_c", [signal.default_int_handler, signal.SIG_IGN])
def test_the_first_is_a_ctrl_c_even_where_that_is_ignored_and_the_next_are_nothing(
    number: signal.Signals, ctrl_c: signal.Handlers
) -> None:
    signal.signal(signal.SIGINT, ctrl_c)
    before = [signal.getsignal(one) for one in AS_CTRL_C]
    with stopped_by_signals():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        for one in AS_CTRL_C:
            signal.raise_signal(one)
    assert [signal.getsignal(one) for one in AS_CTRL_C] == before


def test_a_signal_that_is_ignored_stays_so() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stopped_by_signals():
        signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_a_command_that_is_told_to_stop_says_so_and_exits_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from scenarios.explain import topics

    monkeypatch.setattr(topics, "load_topics", lambda: signal.raise_signal(signal.SIGTERM))
    assert cli.main(["explain", "netdev_budget"]) == 130
    assert capsys.readouterr().err == "softnet: stopped\n"
