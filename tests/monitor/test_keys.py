"""Keys: names whatever the cut of the bytes, and no harm from a stdin that is no keyboard."""

from __future__ import annotations

import os
import subprocess
import sys
import tty

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.keys import KeyDecoder, has_keys, read_keys


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"q", ["q"]),
        (b" .+-?", [" ", ".", "+", "-", "?"]),
        (b"\x1b[A\x1b[6~\x1bOP\x0c", ["up", "pagedown", "f1", "c-l"]),
        ("é".encode(), ["é"]),
        (b"\x1b", ["escape"]),
    ],
)
def test_bytes_have_names(data: bytes, names: list[str]) -> None:
    pressed: list[str] = []
    decoder = KeyDecoder(pressed.append)
    decoder.feed(data)
    decoder.flush()
    assert pressed == names


@given(st.lists(st.sampled_from(["q", "\x1b[A", "\x1b[6~", "é", "\x0c"]), max_size=6).map("".join), st.data())
def test_a_cut_anywhere_changes_no_key(text: str, data: st.DataObject) -> None:
    whole: list[str] = []
    KeyDecoder(whole.append).feed(text.encode())
    cut = data.draw(st.integers(0, len(text.encode())))
    pieces: list[str] = []
    decoder = KeyDecoder(pieces.append)
    decoder.feed(text.encode()[:cut])
    decoder.feed(text.encode()[cut:])
    assert pieces == whole


def test_a_paste_without_an_end_does_not_swallow_the_keys_after_it() -> None:
    names: list[str] = []
    decoder = KeyDecoder(names.append)
    decoder.feed(b"\x1b[200~garbage")
    decoder.flush()
    decoder.feed(b"q")
    assert names == ["q"]


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_taken(data: bytes) -> None:
    decoder = KeyDecoder(lambda key: None)
    decoder.feed(data)
    decoder.flush()


async def test_keys_come_from_a_terminal_and_a_lone_escape_is_told_after_a_while() -> None:
    master, slave = os.openpty()
    tty.setcbreak(slave)
    send, receive = trio.open_memory_channel[str](10)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_keys, slave, send.send_nowait)
            for data, name in ((b"q", "q"), (b"\x1b", "escape"), (b"\x1b[B", "down")):
                os.write(master, data)
                with trio.fail_after(10):
                    assert await receive.receive() == name
            nursery.cancel_scope.cancel()
    finally:
        os.close(master)
        os.close(slave)


async def test_a_terminal_that_hangs_up_ends_the_keys() -> None:
    master, slave = os.openpty()
    tty.setcbreak(slave)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_keys, slave, print)
        await trio.testing.wait_all_tasks_blocked()
        os.close(master)
    os.close(slave)


def test_a_stdin_that_is_no_terminal_has_no_keys() -> None:
    closed = os.open("/dev/null", os.O_RDONLY)
    os.close(closed)
    read_end, write_end = os.pipe()
    with open("/dev/null", "rb") as null, open(__file__, "rb") as file:
        for fd in (null.fileno(), file.fileno(), read_end, closed):
            assert not has_keys(fd)
            trio.run(read_keys, fd, print)
    os.close(read_end)
    os.close(write_end)


def test_the_screen_imports_no_key_decoder_without_a_terminal() -> None:
    words = "import monitor.live, monitor.batch, monitor.svg, sys; print('prompt_toolkit' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
