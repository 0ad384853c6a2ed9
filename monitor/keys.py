"""Keys from a terminal: bytes in, names out.

Decoding is prompt_toolkit's Vt100Parser; it is imported only when there is a terminal, since it brings a hundred modules along.
Leaves out: mouse reports, and everything that happens because of a key.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable
from typing import Final

import trio

ESCAPE_SECONDS: Final = 0.05
"""An Esc that nothing follows for so long is the key itself, not the beginning of a sequence."""

_READ_BYTES: Final = 1024


def has_keys(fd: int) -> bool:
    """Whether somebody can press keys: `fd` is open and a terminal. /dev/null, a pipe, a closed stdin are not."""
    try:
        return os.isatty(fd)
    except OSError:
        return False


class KeyDecoder:
    """Turns the bytes of a terminal into names: `q`, ` `, `escape`, `up`, `f1`, `c-l`, `pagedown`. Any bytes are fine."""

    def __init__(self, press: Callable[[str], None]) -> None:
        from prompt_toolkit.input.vt100_parser import Vt100Parser
        from prompt_toolkit.key_binding.key_processor import KeyPress
        from prompt_toolkit.keys import Keys

        def pressed(key_press: KeyPress) -> None:
            key = key_press.key
            press(key.value if isinstance(key, Keys) else key)

        self._parser = Vt100Parser(pressed)
        self._text = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> None:
        """Bytes as they came; a sequence may be cut anywhere."""
        self._parser.feed(self._text.decode(data))

    def flush(self) -> None:
        """Nothing follows for now: a lone Esc is a key, and a paste that has not ended by now is given up."""
        self._parser.flush()
        self._parser.reset()


async def read_keys(fd: int, press: Callable[[str], None]) -> None:
    """Call `press` with each key until `fd` is at its end or its terminal is gone. Returns at once if it is no terminal."""
    if not has_keys(fd):
        return
    decoder = KeyDecoder(press)
    unfinished = False
    while True:
        if unfinished:
            with trio.move_on_after(ESCAPE_SECONDS) as quiet:
                await trio.lowlevel.wait_readable(fd)
            if quiet.cancelled_caught:
                decoder.flush()
                unfinished = False
                continue
        else:
            await trio.lowlevel.wait_readable(fd)
        try:
            data = os.read(fd, _READ_BYTES)
        except OSError:  # EIO: the terminal hung up; SIGHUP tells whoever ends the run
            return
        if not data:
            return
        decoder.feed(data)
        unfinished = unfinished or b"\x1b" in data
