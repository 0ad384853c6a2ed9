"""`softnet collect`: the script that copies a server's settings, to be run there."""

from pathlib import Path
from typing import Final

COLLECT_SH: Final = Path(__file__).parent.parent / "collect.sh"


def collect() -> int:
    """Print collect.sh, a script that copies a server's settings into a directory for --tree.

    Put it on the server and run it there: it is plain POSIX sh, only reads, needs no root, and copies no addresses.

      softnet collect > collect.sh
      sh collect.sh box eth0            on the server
      softnet run --tree box            here, with the directory copied back
    """
    print(COLLECT_SH.read_text(encoding="utf-8"), end="")
    return 0
