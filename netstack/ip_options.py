"""IPv4 options: which are well formed.

Models: lengths and pointers of record route, timestamp, source routes and router alert.
Leaves out: acting on any of them, CIPSO and security labels (taken as unknown options, whose length alone is checked).
Source: RFC 791, RFC 2113; net/ipv4/ip_options.c __ip_options_compile (6.9).
"""

from __future__ import annotations

from typing import Final

OK: Final = 0
BAD: Final = 1
SOURCE_ROUTED: Final = 2

IPOPT_END: Final = 0
IPOPT_NOOP: Final = 1
IPOPT_RR: Final = 7
IPOPT_TIMESTAMP: Final = 68
IPOPT_LSRR: Final = 131
IPOPT_SSRR: Final = 137
IPOPT_RA: Final = 148
_TS_ONLY: Final = 0
_TS_AND_ADDRESS: Final = 1
_TS_PRESPECIFIED: Final = 3


def compile_options(options: bytes) -> int:
    """OK, BAD (a parameter problem), or SOURCE_ROUTED: well formed, but asking for what hosts refuse."""
    at = 0
    end = len(options)
    routed = False
    seen: set[int] = set()
    while at < end:
        kind = options[at]
        if kind == IPOPT_END:
            break
        if kind == IPOPT_NOOP:
            at += 1
            continue
        if end - at < 2:
            return BAD
        length = options[at + 1]
        if length < 2 or length > end - at:
            return BAD
        body = options[at : at + length]
        if kind in (IPOPT_LSRR, IPOPT_SSRR):
            if routed or length < 3 or body[2] < 4:
                return BAD
            routed = True
        elif kind == IPOPT_RR:
            if kind in seen or length < 3 or body[2] < 4:
                return BAD
            if body[2] <= length and body[2] + 3 > length:
                return BAD
        elif kind == IPOPT_TIMESTAMP:
            if kind in seen or not _timestamp_fits(body):
                return BAD
        elif kind == IPOPT_RA and length < 4:
            return BAD
        seen.add(kind)
        at += length
    return SOURCE_ROUTED if routed else OK


def _timestamp_fits(body: bytes) -> bool:
    length = len(body)
    if length < 4 or body[2] < 5:
        return False
    pointer, flag = body[2], body[3] & 15
    if pointer > length:
        return body[3] >> 4 != 15
    if flag == _TS_ONLY:
        return pointer + 3 <= length
    if flag in (_TS_AND_ADDRESS, _TS_PRESPECIFIED):
        return pointer + 7 <= length
    return False
