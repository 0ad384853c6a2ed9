"""Accounts: every nanosecond once, seen as of any recent time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpus.accounts import ACCOUNT_NAMES, HARDIRQ, IDLE, SOFTIRQ, USER, Accounts

SWITCHES = st.lists(st.tuples(st.integers(0, len(ACCOUNT_NAMES) - 1), st.integers(0, 20)), max_size=20)


@given(SWITCHES, st.integers(0, 30))
def test_a_look_at_any_time_sees_what_was_spent_until_then(switches: list[tuple[int, int]], later: int) -> None:
    accounts = Accounts()
    now = 0
    spent = [0] * len(ACCOUNT_NAMES)
    model = []
    current = IDLE
    for account, ns in switches:
        for _ in range(ns):
            model.append(current)
        now += ns
        assert accounts.switch(account, now) == current
        current = account
    model += [current] * later
    for at_ns in range(now + later + 1):
        spent = [model[:at_ns].count(account) for account in range(len(ACCOUNT_NAMES))]
        assert accounts.at(at_ns) == spent


def test_a_switch_names_the_account_that_ended() -> None:
    accounts = Accounts()
    assert accounts.switch(USER, 10) == IDLE
    assert accounts.switch(HARDIRQ, 15) == USER
    assert accounts.switch(USER, 16) == HARDIRQ
    assert accounts.spent_ns[USER] == 5
    assert accounts.at(20)[USER] == 9


def test_a_look_too_far_back_is_our_bug() -> None:
    accounts = Accounts()
    for now in range(1, 200):
        accounts.switch(SOFTIRQ if now & 1 else IDLE, now * 10)
    with pytest.raises(AssertionError, match="further back"):
        accounts.at(5)
