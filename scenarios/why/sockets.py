"""What a socket decided on a packet, in words: the state before, and the number that was too large."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from cpus.process import Process
from emu.dropreason import DropReason
from emu.skb import Skb
from netstack.sock import Socket
from netstack.tcp_listener import TcpListener
from netstack.tcp_sock import BACKLOG_EXTRA_BYTES, TCP_SNDBUF_BYTES, TcpSocket
from netstack.udp_sock import UdpSocket
from scenarios.applications import AppThread, BusyReader, EpollReader, Reader
from scenarios.why.document import Value

SocketState = dict[str, Value]

_TCP_DROPS: Final = {
    DropReason.PROTO_MEM: "rmem {rmem_alloc} is over rcvbuf {rcvbuf}, and pruning did not help",
    DropReason.TCP_ZEROWINDOW: "the window is shut: rcv_nxt {rcv_nxt} is at its right edge {right_edge}",
    DropReason.TCP_OLD_DATA: "seq {seq} with {payload} bytes lies before rcv_nxt {rcv_nxt}: it was received already",
    DropReason.TCP_OVERWINDOW: "seq {seq} lies beyond the window's right edge {right_edge}",
    DropReason.TCP_INVALID_SEQUENCE: "seq {seq} lies outside the window, rcv_nxt {rcv_nxt} to {right_edge}",
    DropReason.TCP_OFOMERGE: "the out-of-order queue has its bytes already (seq {seq}, rcv_nxt {rcv_nxt})",
    DropReason.SOCKET_BACKLOG: "a process owns the socket, and its backlog is over the limit of {limit} bytes",
    DropReason.TCP_CLOSE: "the connection is closed",
    DropReason.TCP_RESET: "the peer resets the connection",
    DropReason.TCP_FLAGS: "flags that no segment of an established connection has",
    DropReason.TCP_INVALID_SYN: "a SYN in the middle of a connection",
}

PLAIN_REASONS: Final = {
    DropReason.NO_SOCKET: "no socket listens there",
    DropReason.OTHERHOST: "its destination MAC is another station's",
    DropReason.IP_CSUM: "the IP header's checksum is wrong",
    DropReason.IP_INHDR: "the IP header is broken",
    DropReason.PKT_TOO_SMALL: "it is shorter than its headers say",
    DropReason.UDP_CSUM: "the UDP checksum is wrong",
    DropReason.TCP_CSUM: "the TCP checksum is wrong",
    DropReason.ICMP_CSUM: "the ICMP checksum is wrong",
    DropReason.IP_NOPROTO: "nobody handles its protocol number",
    DropReason.UNHANDLED_PROTO: "nobody handles its ethertype",
    DropReason.IP_INADDRERRORS: "its destination address is not ours",
    DropReason.DUP_FRAG: "the same fragment is there already",
    DropReason.FRAG_REASM_TIMEOUT: "the rest of its datagram did not come in time",
    DropReason.NIC_FCS: "its check sequence is wrong: the device drops it",
    DropReason.NIC_LENGTH: "shorter than an Ethernet header or longer than the device takes",
    DropReason.NIC_MAC_FILTER: "its destination MAC is not for this device, which is not promiscuous",
    DropReason.NIC_RESET: "its ring was taken down to be remade",
    DropReason.EMU_CPU_OFFLINE: "the CPU it was posted to is offline",
}


def socket_state(sock: Socket) -> SocketState:
    """The numbers a socket decides by."""
    state: SocketState = {"socket": sock.name, "rmem_alloc": sock.rmem_alloc_bytes, "rcvbuf": sock.rcvbuf_bytes}
    if isinstance(sock, UdpSocket):
        state["queued"] = len(sock.queue)
    elif isinstance(sock, TcpSocket):
        state |= {"queued": sock.held_frames, "rcv_nxt": sock.rcv_nxt, "right_edge": sock.right_edge}
    elif isinstance(sock, TcpListener):
        state |= {"queued": len(sock.accept_queue), "backlog": sock.backlog}
    return state


def sleeper_name(sock: Socket) -> str:
    """Who would be woken by data now; "": nobody sleeps."""
    if sock.sleepers:
        return sock.sleepers[0].name
    epoll = sock.epoll
    return epoll.sleeper.name if epoll is not None and epoll.sleeper is not None else ""


def reader_of(sock: Socket, threads: Iterable[AppThread]) -> Process | None:
    """The first thread that reads `sock`, None if it is not known."""
    for thread in threads:
        if isinstance(thread, Reader | BusyReader):
            read: object = thread.receiver
            if read is sock:
                return thread.process
        elif isinstance(thread, EpollReader) and thread.epoll is sock.epoll:
            return thread.process
    return None


def socket_drop_words(sock: Socket, skb: Skb, reason: DropReason, before: SocketState) -> str:
    """Why `sock`, in the state `before`, refused `skb`."""
    if isinstance(sock, UdpSocket) and reason is DropReason.SOCKET_RCVBUFF:
        rmem, rcvbuf = before["rmem_alloc"], before["rcvbuf"]
        if sock.net.rules.udp_enqueue_adds_size:
            return f"{sock.name} is full: rmem {rmem} + truesize {skb.truesize_bytes} > rcvbuf {rcvbuf}"
        return f"{sock.name} is full: rmem {rmem} > rcvbuf {rcvbuf}"
    if isinstance(sock, TcpSocket) and reason in _TCP_DROPS:
        limit = sock.rcvbuf_bytes + TCP_SNDBUF_BYTES // 2 + BACKLOG_EXTRA_BYTES
        numbers = before | {"seq": skb.seq, "payload": skb.payload_bytes, "limit": limit}
        return f"{sock.name}: {_TCP_DROPS[reason].format_map(numbers)}"
    if isinstance(sock, TcpListener) and len(sock.accept_queue) > sock.backlog:
        return f"{sock.name}: {len(sock.accept_queue)} connections wait for accept, backlog {sock.backlog}"
    return f"{sock.name}: {PLAIN_REASONS.get(reason, 'the protocol refuses it')}"


def place_in(sock: Socket, skb: Skb) -> str:
    """Which queue of `sock` holds `skb`; "": none."""
    if isinstance(sock, UdpSocket):
        return "receive queue" if any(one is skb for one in reversed(sock.queue)) else ""
    if isinstance(sock, TcpSocket):
        for place, segments in (("receive queue", reversed(sock.queue)), ("out-of-order queue", iter(sock.ofo))):
            if any(one is skb for segment in segments for one in segment.skbs):
                return place
        return "socket's backlog" if sock.backlog_frames else ""
    return ""
