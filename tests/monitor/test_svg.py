"""The picture of a screen: a file that needs nothing from elsewhere and is the same each time."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from monitor.history import History
from monitor.svg import export_svg
from tests.monitor.machine import MadeUpMachine


def picture(title: str) -> str:
    machine = MadeUpMachine()
    history = History()
    for _ in range(5):
        machine.advance(200_000_000)
        snapshot = machine.snapshot()
        rates = history.push(snapshot)
    return export_svg(snapshot, rates, history.samples(), title)


def test_it_is_xml_that_fetches_nothing() -> None:
    svg = picture("softnet")
    ElementTree.fromstring(svg)
    assert "url(http" not in svg
    assert 'url("http' not in svg
    assert "@font-face" not in svg
    assert "WHERE&#160;PACKETS&#160;GO" in svg


def test_it_shows_no_keys() -> None:
    assert "quit" not in picture("softnet")


def test_the_same_numbers_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    first = picture("softnet")
    monkeypatch.setenv("COLUMNS", "33")
    monkeypatch.setenv("TERM", "dumb")
    assert picture("softnet") == first


def test_no_color_in_the_environment_does_not_bleach_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    coloured = picture("softnet")
    monkeypatch.setenv("NO_COLOR", "1")
    assert picture("softnet") == coloured
    assert len(set(re.findall(r"fill: #[0-9a-f]{6}", coloured))) > 4


def test_a_title_is_words_and_nothing_else() -> None:
    svg = picture("a <script>alert(1)</script> & \x1b[31m{height}")
    ElementTree.fromstring(svg)
    assert "<script>" not in svg
    assert "\x1b" not in svg
    assert "{height}" in svg
