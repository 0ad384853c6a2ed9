"""Settings of the transmit side, which is not emulated: they are kept and shown, and change nothing.

Source: defaults of ethernet/intel/ice (6.9), rule C1.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Transmit:
    """What `ethtool -L -G -C` set of transmit queues."""

    queues: int
    descriptors: int = 256
    usecs: int = 50
    adaptive: bool = True
