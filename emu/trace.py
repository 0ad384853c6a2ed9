"""What looks on while a machine runs: told of packets and polls, never asked for anything.

Models: nothing. Linux has tracepoints in these places; here they are two tables of functions that `Net` has or has not.
Leaves out: what is done with it (`scenarios/why`).

A run without a trace pays one `is None` test a list, burst or poll. Where packets are traced the straight ways are closed, as for a
tap, and a stand-in is called in place of a function: it calls that function and returns its answer, so a trace changes no result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emu.skb import Skb


def packet_number(skb: Skb) -> int:
    """The number by which people call a packet: its (first) frame's place on the wire, from 1."""
    return skb.number + 1


def frame_numbers(skb: Skb) -> list[int]:
    """`Skb.number` of each wire frame in `skb`, in the order of its data; GRO keeps them. A reassembled datagram tells its first only."""
    segments = skb.segments
    return [skb.number] if segments is None else [skb.number, *(segment.number for segment in segments)]


class PacketTrace:
    """Told of each packet. `sd` and `napi` are the softnet_data and the NAPI of the floor that calls."""

    def generated(self, frames: Sequence[Skb]) -> None:
        """The wire gave `frames`, numbered, ahead of their time."""
        raise NotImplementedError

    def napi_gro_receive(self, sd: Any, napi: Any, skb: Skb) -> Any:
        """Stands in for the function of this name; `skb.rx_ns` is when the driver picked it."""
        raise NotImplementedError

    def netif_receive_skb_list_internal(self, sd: Any, skbs: list[Skb]) -> None:
        """Stands in for the function of this name."""
        raise NotImplementedError

    def get_rps_cpu(self, sd: Any, dev: Any, skb: Skb) -> int:
        """Stands in for the function of this name."""
        raise NotImplementedError

    def netif_receive_skb(self, sd: Any, skb: Skb) -> None:
        """Stands in for the function of this name where a backlog hands `skb` over, its wait noted and its dequeue paid."""
        raise NotImplementedError

    def fragment_waits(self, sd: Any, skb: Skb) -> None:
        """`skb` is queued until its datagram is whole."""
        raise NotImplementedError

    def reassembled(self, sd: Any, whole: Skb, parts: list[Skb]) -> None:
        """`parts` have become `whole`, which bears the number of the first of them."""
        raise NotImplementedError

    def read(self, sock: Any, cpu: Any, skbs: list[Skb], now_ns: int) -> None:
        """A process on `cpu` (None: an in-kernel user) has read `skbs` out of `sock` at `now_ns`."""
        raise NotImplementedError


class PollTrace:
    """Told of each net_rx_action and each poll in it, at the local time of the CPU."""

    def net_rx_action(self, sd: Any, time_limit_jiffies: int) -> None:
        """A call begins."""
        raise NotImplementedError

    def polling(self, sd: Any, napi: Any) -> None:
        """`napi` is about to be polled, by net_rx_action or by its thread."""
        raise NotImplementedError

    def polled(self, sd: Any, napi: Any, work: int) -> None:
        """That poll is over: what its posts caused is paid, interrupts that came meanwhile were taken."""
        raise NotImplementedError

    def squeezed(self, sd: Any, cause: str, budget_left: int, left: list[str]) -> None:
        """The call ends on a limit: "budget" or "time"; `left` names the NAPIs that are still listed."""
        raise NotImplementedError
