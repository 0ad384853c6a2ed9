"""What can go wrong between softnet and its user, and with which exit code it ends.

A packet the stack refuses is never an error here: it is counted under its drop reason.
"""

import errno as errno_numbers


class SoftnetError(Exception):
    """Base of everything softnet tells its user in one sentence; `exit_code` is the process's.

    Raised by itself it means a broken invariant of the emulator (4); 1 is left to failed comparisons.
    """

    exit_code: int = 4


class ConfigError(SoftnetError):
    """A wrong setting: what, where, and the nearest valid thing."""

    exit_code: int = 2


class InputFileError(SoftnetError):
    """An input file nothing could be read from."""

    exit_code: int = 3


class CaptureError(InputFileError):
    """A capture nothing could be read from: not a capture, an unknown version, or no frame on an Ethernet link."""


class ControlError(SoftnetError):
    """A control read or write that the kernel refuses with `errno`; nothing has changed.

    `errno` is a positive number of the `errno` module, the message one sentence: the reason and the accepted form.
    """

    exit_code: int = 2

    def __init__(self, errno: int, message: str) -> None:
        super().__init__(message)
        self.errno = errno
        self.message = message

    @property
    def errno_name(self) -> str:
        """The number's name: `EINVAL`."""
        # Linux has one number for both; the kernel calls it by the second name.
        return errno_numbers.errorcode.get(self.errno, str(self.errno)).replace("ENOTSUP", "EOPNOTSUPP")

    def __reduce__(self) -> tuple[type["ControlError"], tuple[int, str]]:
        # An exception pickles by its args, which hold the message alone; sweeps carry errors between processes.
        return (type(self), (self.errno, self.message))


class InvariantError(SoftnetError):
    """The emulator broke one of its own laws: our bug, never the user's."""

    exit_code: int = 4
