"""MIB tables: the counters of /proc/net/snmp, netstat and snmp6 under the kernel's names, a slotted object a table.

Counting is one attribute: ``snmp.Ip.InReceives += 1``. A class's ``__slots__`` are its columns in the order in which they are shown.
Source: net/ipv4/proc.c, net/ipv6/proc.c (6.9).
"""

from __future__ import annotations

from typing import Final


def _columns(names: str) -> tuple[str, ...]:
    return tuple(names.split())


IP_COLUMNS: Final = _columns(
    "InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards InDelivers OutRequests "
    "OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates "
    "OutTransmits"
)


class IpMib:
    """IPv4, /proc/net/snmp."""

    __slots__ = IP_COLUMNS

    def __init__(self) -> None:
        self.InReceives = self.InHdrErrors = self.InAddrErrors = self.ForwDatagrams = self.InUnknownProtos = 0
        self.InDiscards = self.InDelivers = self.OutRequests = self.OutDiscards = self.OutNoRoutes = 0
        self.ReasmTimeout = self.ReasmReqds = self.ReasmOKs = self.ReasmFails = self.FragOKs = self.FragFails = 0
        self.FragCreates = self.OutTransmits = 0


RATE_LIMIT_COLUMNS: Final = frozenset(("OutRateLimitGlobal", "OutRateLimitHost"))
"""ICMP errors kept back by a limit: of all, of one host. 6.1 has no such columns (rules.counts_icmp_rate_limits)."""

ICMP_COLUMNS: Final = _columns(
    "InMsgs InErrors InCsumErrors InDestUnreachs InTimeExcds InParmProbs InSrcQuenchs InRedirects InEchos "
    "InEchoReps InTimestamps InTimestampReps InAddrMasks InAddrMaskReps OutMsgs OutErrors OutRateLimitGlobal OutRateLimitHost "
    "OutDestUnreachs "
    "OutTimeExcds OutParmProbs OutSrcQuenchs OutRedirects OutEchos OutEchoReps OutTimestamps "
    "OutTimestampReps OutAddrMasks OutAddrMaskReps"
)


class IcmpMib:
    """ICMP, /proc/net/snmp."""

    __slots__ = ICMP_COLUMNS

    def __init__(self) -> None:
        self.InMsgs = self.InErrors = self.InCsumErrors = self.InDestUnreachs = self.InTimeExcds = 0
        self.InParmProbs = self.InSrcQuenchs = self.InRedirects = self.InEchos = self.InEchoReps = 0
        self.InTimestamps = self.InTimestampReps = self.InAddrMasks = self.InAddrMaskReps = self.OutMsgs = 0
        self.OutErrors = self.OutDestUnreachs = self.OutTimeExcds = self.OutParmProbs = self.OutSrcQuenchs = 0
        self.OutRedirects = self.OutEchos = self.OutEchoReps = self.OutTimestamps = self.OutTimestampReps = 0
        self.OutAddrMasks = self.OutAddrMaskReps = self.OutRateLimitGlobal = self.OutRateLimitHost = 0


TCP_COLUMNS: Final = _columns(
    "ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors"
)


class TcpMib:
    """TCP over both IPs, /proc/net/snmp. CurrEstab is a gauge."""

    __slots__ = TCP_COLUMNS

    def __init__(self) -> None:
        self.ActiveOpens = self.PassiveOpens = self.AttemptFails = self.EstabResets = self.CurrEstab = self.InSegs = 0
        self.OutSegs = self.RetransSegs = self.InErrs = self.OutRsts = self.InCsumErrors = 0


UDP_COLUMNS: Final = _columns(
    "InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors"
)


class UdpMib:
    """UDP over one IP, /proc/net/snmp and snmp6."""

    __slots__ = UDP_COLUMNS

    def __init__(self) -> None:
        self.InDatagrams = self.NoPorts = self.InErrors = self.OutDatagrams = self.RcvbufErrors = 0
        self.SndbufErrors = self.InCsumErrors = self.IgnoredMulti = self.MemErrors = 0


TCPEXT_COLUMNS: Final = _columns(
    "ListenOverflows ListenDrops PruneCalled RcvPruned OfoPruned DelayedACKLost TCPHPHits TCPOFOQueue "
    "TCPOFODrop TCPOFOMerge TCPRcvCollapsed TCPRcvCoalesce TCPBacklogCoalesce TCPBacklogDrop TCPRcvQDrop "
    "TCPZeroWindowDrop TCPMinTTLDrop TCPChallengeACK TCPSYNChallenge TCPAbortOnData IPReversePathFilter "
    "EmbryonicRsts TCPSynRetrans TCPACKSkippedSynRecv"
)


class TcpExtMib:
    """TcpExt of /proc/net/netstat: what this stack can move."""

    __slots__ = TCPEXT_COLUMNS

    def __init__(self) -> None:
        self.ListenOverflows = self.ListenDrops = self.PruneCalled = self.RcvPruned = self.OfoPruned = 0
        self.DelayedACKLost = self.TCPHPHits = self.TCPOFOQueue = self.TCPOFODrop = self.TCPOFOMerge = 0
        self.TCPRcvCollapsed = self.TCPRcvCoalesce = self.TCPBacklogCoalesce = self.TCPBacklogDrop = 0
        self.TCPRcvQDrop = self.TCPZeroWindowDrop = self.TCPMinTTLDrop = self.TCPChallengeACK = 0
        self.TCPSYNChallenge = self.TCPAbortOnData = self.IPReversePathFilter = self.EmbryonicRsts = 0
        self.TCPSynRetrans = self.TCPACKSkippedSynRecv = 0


IPEXT_COLUMNS: Final = _columns(
    "InNoRoutes InTruncatedPkts InMcastPkts OutMcastPkts InBcastPkts OutBcastPkts InOctets OutOctets "
    "InMcastOctets OutMcastOctets InBcastOctets OutBcastOctets InCsumErrors InNoECTPkts InECT1Pkts "
    "InECT0Pkts InCEPkts ReasmOverlaps"
)


class IpExtMib:
    """IpExt of /proc/net/netstat."""

    __slots__ = IPEXT_COLUMNS

    def __init__(self) -> None:
        self.InNoRoutes = self.InTruncatedPkts = self.InMcastPkts = self.OutMcastPkts = self.InBcastPkts = 0
        self.OutBcastPkts = self.InOctets = self.OutOctets = self.InMcastOctets = self.OutMcastOctets = 0
        self.InBcastOctets = self.OutBcastOctets = self.InCsumErrors = self.InNoECTPkts = self.InECT1Pkts = 0
        self.InECT0Pkts = self.InCEPkts = self.ReasmOverlaps = 0


IP6_COLUMNS: Final = _columns(
    "InReceives InHdrErrors InTooBigErrors InNoRoutes InAddrErrors InUnknownProtos InTruncatedPkts "
    "InDiscards InDelivers OutForwDatagrams OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds "
    "ReasmOKs ReasmFails FragOKs FragFails FragCreates InMcastPkts OutMcastPkts InOctets OutOctets "
    "InMcastOctets OutMcastOctets InBcastOctets OutBcastOctets InNoECTPkts InECT1Pkts InECT0Pkts InCEPkts "
    "OutTransmits"
)


class Ip6Mib:
    """IPv6, /proc/net/snmp6."""

    __slots__ = IP6_COLUMNS

    def __init__(self) -> None:
        self.InReceives = self.InHdrErrors = self.InTooBigErrors = self.InNoRoutes = self.InAddrErrors = 0
        self.InUnknownProtos = self.InTruncatedPkts = self.InDiscards = self.InDelivers = self.OutForwDatagrams = 0
        self.OutRequests = self.OutDiscards = self.OutNoRoutes = self.ReasmTimeout = self.ReasmReqds = 0
        self.ReasmOKs = self.ReasmFails = self.FragOKs = self.FragFails = self.FragCreates = self.InMcastPkts = 0
        self.OutMcastPkts = self.InOctets = self.OutOctets = self.InMcastOctets = self.OutMcastOctets = 0
        self.InBcastOctets = self.OutBcastOctets = self.InNoECTPkts = self.InECT1Pkts = self.InECT0Pkts = 0
        self.InCEPkts = self.OutTransmits = 0


ICMP6_COLUMNS: Final = _columns(
    "InMsgs InErrors OutMsgs OutErrors InCsumErrors OutRateLimitHost InDestUnreachs InPktTooBigs InTimeExcds "
    "InParmProblems InEchos InEchoReplies InGroupMembQueries InGroupMembResponses InGroupMembReductions "
    "InRouterSolicits InRouterAdvertisements InNeighborSolicits InNeighborAdvertisements InRedirects "
    "InMLDv2Reports OutDestUnreachs OutPktTooBigs OutTimeExcds OutParmProblems OutEchos OutEchoReplies"
)


class Icmp6Mib:
    """ICMPv6, /proc/net/snmp6."""

    __slots__ = ICMP6_COLUMNS

    def __init__(self) -> None:
        self.InMsgs = self.InErrors = self.OutMsgs = self.OutErrors = self.InCsumErrors = self.InDestUnreachs = 0
        self.InPktTooBigs = self.InTimeExcds = self.InParmProblems = self.InEchos = self.InEchoReplies = 0
        self.InGroupMembQueries = self.InGroupMembResponses = self.InGroupMembReductions = self.InRouterSolicits = 0
        self.InRouterAdvertisements = self.InNeighborSolicits = self.InNeighborAdvertisements = self.InRedirects = 0
        self.InMLDv2Reports = self.OutDestUnreachs = self.OutPktTooBigs = self.OutTimeExcds = self.OutParmProblems = 0
        self.OutEchos = self.OutEchoReplies = self.OutRateLimitHost = 0
