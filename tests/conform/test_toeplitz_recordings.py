"""RSS against recordings of a virtio NIC with four queues: hash, what went into it, and queue of every frame."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from emu.headers import HeaderTable
from emu.skb import HASH_L4
from nic.rss import Rss, weighted_indirection
from nic.toeplitz import Toeplitz

GOLDEN = Path(__file__).parent.parent / "golden"
TABLE_ENTRIES = 128


def passes(release: str) -> list[dict[str, Any]]:
    with lzma.open(GOLDEN / release / "virtio.json.xz", "rt") as file:
        return list(json.load(file)["passes"].values())


@pytest.mark.parametrize("release", ["6.1", "6.12"])
def test_every_row_has_the_recorded_hash_kind_and_queue(release: str) -> None:
    rows = 0
    for recorded in passes(release):
        rss = Rss(bytes.fromhex(recorded["key_in_force"]), 4, TABLE_ENTRIES, kind_by_packet_type=False)
        rss.set_indirection(recorded["indirection"])
        table = HeaderTable()
        for row in recorded["rows"]:
            value, kind, queue = rss.classify(table.parse(bytes.fromhex(row["hex"])).hdr)
            assert (value, kind == HASH_L4, queue) == (row["hash"], bool(row["l4_hash"]), row["queue"]), row["label"]
            rows += 1
    assert rows == 2 * 144


@pytest.mark.parametrize("release", ["6.1", "6.12"])
def test_the_recorded_tuple_hashes_are_toeplitz_of_addresses_and_ports(release: str) -> None:
    for recorded in passes(release):
        toeplitz = Toeplitz(bytes.fromhex(recorded["key_in_force"]))
        table = HeaderTable()
        for row in recorded["rows"]:
            hdr = table.parse(bytes.fromhex(row["hex"])).hdr
            if "L3" in row["toeplitz"]:
                assert toeplitz.hash(hdr.saddr + hdr.daddr) == row["toeplitz"]["L3"]
            if "L4" in row["toeplitz"]:
                ports = hdr.sport.to_bytes(2, "big") + hdr.dport.to_bytes(2, "big")
                assert toeplitz.hash(hdr.saddr + hdr.daddr + ports) == row["toeplitz"]["L4"]


@pytest.mark.parametrize("release", ["6.1", "6.12"])
def test_weights_fill_the_table_as_ethtool_did(release: str) -> None:
    recorded = passes(release)[1]
    assert "weight 1 0 2 5" in recorded["command"]
    assert weighted_indirection(TABLE_ENTRIES, [1, 0, 2, 5], 4) == recorded["indirection"]
