"""What can go wrong between softnet and its user, and with which exit code it ends.

A packet the stack refuses is never an error here: it is counted under its drop reason.
"""


class SoftnetError(Exception):
    """Base of everything softnet tells its user in one sentence; `exit_code` is the process's."""

    exit_code: int = 1


class ConfigError(SoftnetError):
    """A wrong setting: what, where, and the nearest valid thing."""

    exit_code: int = 2


class InputFileError(SoftnetError):
    """An input file nothing could be read from."""

    exit_code: int = 3


class CaptureError(InputFileError):
    """A capture nothing could be read from: not a capture, an unknown version, or no frame on an Ethernet link."""
