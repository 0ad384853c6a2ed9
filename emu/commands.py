"""The command line of the emulated machine: echo, cat, sysctl, and what other packages register.

Models: ``echo [-ne] VALUE > PATH``, ``cat PATH``, ``sysctl [-w] NAME=VALUE`` with a shell's quoting, one command a line.
Leaves out: the rest of the shell (pipes, variables, wild cards, several commands a line); each is refused by name.
Source: POSIX shell quoting by shlex; sysctl(8) of procps.
"""

import difflib
import re
import shlex
from collections.abc import Callable
from errno import EINVAL, ENOENT
from typing import Final

from emu.errors import ConfigError, ControlError
from emu.tree import SYSCTL_ROOT, ControlTree, sysctl_name

Handler = Callable[[list[str]], str]
Asks = Callable[[list[str]], bool]
Words = Callable[[list[str]], list[str]]

_OPERATORS: Final = "|&;<>()"
_DESCRIPTOR: Final = re.compile(r"(?:^|\s)\d+>")
_ECHO_FLAGS: Final = re.compile("-[ne]+")
_ESCAPE: Final = re.compile(rb"\\(0[0-7]{3}|)")


class Commands:
    """The commands by name. ``run`` takes what a person typed; whatever it is, only ControlError comes out.

    A handler gets the words after its name and returns what it prints, each line with its newline; it raises
    ControlError for what it refuses.
    """

    __slots__ = ("_asks", "_handlers", "_words", "tree")

    def __init__(self, tree: ControlTree) -> None:
        self.tree = tree
        self._handlers: dict[str, Handler] = {"cat": self._cat, "echo": _echo, "sysctl": self._sysctl}
        self._asks: dict[str, Asks] = {"cat": _always, "echo": _always, "sysctl": _sysctl_asks}
        self._words: dict[str, Words] = {"sysctl": lambda _: ["-a", "-n", "-q", "-w"]}

    def register(self, name: str, handler: Handler, asks: Asks | None = None, words: Words | None = None) -> None:
        """Add a command. ValueError when the name is taken.

        ``asks(arguments)`` tells whether it would only show something; ``words(arguments)``, what may come next.
        """
        if name in self._handlers:
            raise ValueError(f"the command {name} is registered already")
        self._handlers[name] = handler
        self._asks[name] = asks if asks is not None else _never
        self._words[name] = words if words is not None else _no_words

    def names(self) -> list[str]:
        """Return the names of all commands, sorted."""
        return sorted(self._handlers)

    def words(self, name: str, arguments: list[str]) -> list[str]:
        """Return the words that may follow ``name ARGUMENTS``, as far as it knows; none for an unknown command."""
        return self._words.get(name, _no_words)(arguments)

    def run(self, line: str) -> str:
        """Run one line and return what it prints. An empty line and a comment (``#``) print nothing.

        ControlError EINVAL for what cannot be read as a command, ENOENT for an unknown one, or the command's own.
        """
        words, target = self._read(line)
        if not words:
            return ""
        printed = self._handlers[words[0]](words[1:])
        if target is None:
            return printed
        self.tree.write(_absolute(target), printed)
        return ""

    def asks(self, line: str) -> bool:
        """Whether ``line`` would only show something. ControlError for what is no command, before anything is run."""
        words, target = self._read(line)
        return not words or (target is None and self._asks[words[0]](words[1:]))

    def _read(self, line: str) -> tuple[list[str], str | None]:
        """The words of a line that begins with a command, and the file it writes to."""
        words, target = _split(line)
        if not words:
            if target is not None:
                raise ControlError(EINVAL, f"there is nothing to write: echo VALUE > {target}")
            return [], None
        name = words[0]
        if name not in self._handlers:
            close = difflib.get_close_matches(name[:100], self._handlers, n=1, cutoff=0.0)
            raise ControlError(ENOENT, f"{name[:100]!r} is no command here: the nearest is {close[0]}")
        if target is not None and name != "echo":
            raise ControlError(EINVAL, f"only echo writes to a file here: echo VALUE > {target}")
        return words, target

    def _cat(self, arguments: list[str]) -> str:
        if not arguments:
            raise ControlError(EINVAL, "cat wants a file: cat PATH")
        return "".join([self.tree.read(_absolute(path)) for path in arguments])

    def _sysctl(self, arguments: list[str]) -> str:
        """Run sysctl: -w (write), -n (values only), -q (writes print nothing), -a (show all), names and settings."""
        flags, settings = "", []
        for argument in arguments:
            if re.fullmatch("-[wnqa]+", argument):
                flags += argument[1:]
            elif argument.startswith("-"):
                raise ControlError(
                    EINVAL, f"sysctl has no {argument[:60]!r} here: sysctl [-a] [-n] [-q] [-w] NAME[=VALUE]"
                )
            else:
                settings.append(argument)
        if "a" in flags:
            settings += [sysctl_name(path) for path in self.tree.paths() if path.startswith(SYSCTL_ROOT)]
        if not settings:
            raise ControlError(EINVAL, "sysctl wants a name: sysctl NAME, or sysctl -w NAME=VALUE")
        lines = []
        for setting in settings:
            key, is_write, value = setting.partition("=")
            key = key.strip(" \t")
            path = self.tree.resolve(key)
            if not path.startswith(SYSCTL_ROOT):
                raise ControlError(EINVAL, f"{key[:100]!r} is no sysctl: only files below {SYSCTL_ROOT} are")
            if is_write:
                value = value.strip(" \t")
                self.tree.write(path, value + "\n")
                if "q" in flags:
                    continue
            elif "w" in flags:
                raise ControlError(EINVAL, f"sysctl -w wants {key[:100]}=VALUE")
            else:
                value = self.tree.read(path).removesuffix("\n")
            lines.append(f"{value}\n" if "n" in flags else f"{sysctl_name(path)} = {value}\n")
        return "".join(lines)


def apply_setting(tree: ControlTree, key: str, value: str | int) -> None:
    """Write ``value`` to a path (it begins with a slash) or a sysctl, as ``echo VALUE > PATH`` does.

    ControlError as `ControlTree.write`. A bool is written as 0 or 1.
    """
    tree.write(key, f"{int(value) if isinstance(value, bool) else value}\n")


def parse_setting(text: str) -> tuple[str, str]:
    """Return key and value of ``KEY=VALUE``, as ``--set`` takes it. ConfigError when there is no key or no ``=``."""
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise ConfigError(
            f"{text[:100]!r} is no setting: write SYSCTL=VALUE or PATH=VALUE, such as net.core.netdev_budget=600"
        )
    return key, value.strip()


def echo_line(text: str, path: str) -> str:
    """Return the command that writes `text`, with a newline at its end; nothing in the line acts on a terminal."""
    text = text.removesuffix("\n")
    if text.isprintable() and not _ECHO_FLAGS.fullmatch(text) and not set(text) & set(_OPERATORS):
        return f"echo {shlex.quote(text)} > {shlex.quote(path)}"
    escaped = "".join(
        "".join(f"\\0{byte:03o}" for byte in c.encode()) if not c.isprintable() or c in f"\\-{_OPERATORS}" else c
        for c in text
    )
    return f"echo -e {shlex.quote(escaped)} > {shlex.quote(path)}"


def _echo(arguments: list[str]) -> str:
    r"""Run echo: -n (no newline at the end), -e (\0NNN is a byte of UTF-8 in three octal digits)."""
    flags = ""
    while arguments and _ECHO_FLAGS.fullmatch(arguments[0]):
        flags += arguments[0]
        arguments = arguments[1:]
    text = " ".join(arguments)
    if "e" in flags:
        try:
            text = _ESCAPE.sub(lambda escape: bytes([int(escape[1], 8)]), text.encode()).decode()
        except ValueError as error:
            raise ControlError(EINVAL, r"echo -e wants \0NNN: a byte of UTF-8 in three octal digits") from error
    return text if "n" in flags else text + "\n"


def _always(_: list[str]) -> bool:
    return True


def _never(_: list[str]) -> bool:
    return False


def _no_words(_: list[str]) -> list[str]:
    return []


def _sysctl_asks(arguments: list[str]) -> bool:
    return not any("=" in argument for argument in arguments)


def _absolute(path: str) -> str:
    """Return ``path`` when it is one: a shell would look for anything else in its own directory."""
    if not path.startswith("/"):
        raise ControlError(ENOENT, f"{path[:100]!r} is no absolute path: write /proc/... or /sys/...")
    return path


def _split(line: str) -> tuple[list[str], str | None]:
    """Return the words of ``line`` and the file that ``>`` leads to. ControlError EINVAL."""
    if _DESCRIPTOR.search(line):
        raise ControlError(EINVAL, "to a shell, digits right before > are a file descriptor: leave a blank between")
    lexer = shlex.shlex(line, posix=True, punctuation_chars=_OPERATORS)
    lexer.whitespace_split = True
    lexer.commenters = "#" if line.lstrip().startswith("#") else ""
    try:
        tokens = list(lexer)
    except ValueError as error:
        raise ControlError(EINVAL, f"the line cannot be read, {str(error).lower()}: close what was opened") from error
    words: list[str] = []
    target: str | None = None
    position = 0
    while position < len(tokens):
        token = tokens[position]
        position += 1
        if token in (">", ">>"):
            if position == len(tokens) or target is not None:
                raise ControlError(EINVAL, "a redirection wants one file: echo VALUE > PATH")
            target = tokens[position]
            position += 1
        elif token and not token.strip(_OPERATORS):
            raise ControlError(EINVAL, f"{token[:60]!r} is not understood here: one command a line, and no pipes")
        else:
            words.append(token)
    return words, target
