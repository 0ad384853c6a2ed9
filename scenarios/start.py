"""The script `softnet`: a Ctrl-C that comes before the command line is even loaded ends in a sentence, too."""

import sys


def main() -> int:
    """Load the command line and run it. Returns the exit code."""
    try:
        from scenarios.cli import main as command

        return command()
    except KeyboardInterrupt:
        print("softnet: stopped before the run began", file=sys.stderr)
        return 130
