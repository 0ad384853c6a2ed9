"""Software segmentation: cut a merged TCP packet up again, from its bytes and its gso fields alone."""

from __future__ import annotations

import struct

from emu.headers import ETH_P_IP, IPPROTO_TCP, TCP_CWR, TCP_FIN, TCP_PSH, ones_complement_sum
from emu.skb import Skb
from softirq.gro import SKB_GSO_TCP_FIXEDID
from softirq.gro_bytes import packet_bytes


def segments(skb: Skb) -> list[bytes]:
    """The frames that `skb`, a TCP packet over IPv4 or IPv6 without extension headers, is sent as."""
    frame = packet_bytes(skb)
    ethertype = int.from_bytes(frame[12:14], "big")
    tcp = 34 if ethertype == ETH_P_IP else 54
    payload_at = tcp + (frame[tcp + 12] >> 4) * 4
    payload = frame[payload_at:]
    size = skb.gso_size_bytes or len(payload) or 1
    pieces = [payload[at : at + size] for at in range(0, len(payload), size)] or [b""]
    seq = int.from_bytes(frame[tcp + 4 : tcp + 8], "big")
    ip_id = int.from_bytes(frame[18:20], "big")
    made = []
    for number, piece in enumerate(pieces):
        head = bytearray(frame[:payload_at])
        if number:
            head[tcp + 13] &= ~TCP_CWR
        if number < len(pieces) - 1:
            head[tcp + 13] &= ~(TCP_FIN | TCP_PSH)
        struct.pack_into("!I", head, tcp + 4, (seq + number * size) & 0xFFFFFFFF)
        length = len(head) - tcp + len(piece)
        if ethertype == ETH_P_IP:
            step = 0 if skb.gso_type & SKB_GSO_TCP_FIXEDID else number
            struct.pack_into("!HH", head, 16, len(head) - 14 + len(piece), (ip_id + step) & 0xFFFF)
            struct.pack_into("!H", head, 24, 0)
            struct.pack_into("!H", head, 24, 0xFFFF - ones_complement_sum(bytes(head[14:34])))
            addresses = bytes(head[26:34])
        else:
            struct.pack_into("!H", head, 18, length)
            addresses = bytes(head[22:54])
        struct.pack_into("!H", head, tcp + 16, 0)
        pseudo = addresses + struct.pack("!II", length, IPPROTO_TCP)
        struct.pack_into("!H", head, tcp + 16, 0xFFFF - ones_complement_sum(pseudo + bytes(head[tcp:]) + piece))
        made.append(bytes(head) + piece)
    return made
