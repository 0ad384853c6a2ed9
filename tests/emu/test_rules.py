"""emu/rules.py: the whole table of releases, value by value, and the choice by name."""

import ast
import dataclasses
import inspect
from itertools import pairwise

import pytest

from emu import rules as rules_module
from emu.errors import ConfigError
from emu.rules import DEFAULT_RELEASE, RULES, Rules, rules_for

RELEASES = ("6.1", "6.9", "6.12", "6.18")

# Kernel facts, one row a behaviour: 6.1, 6.9, 6.12, 6.18.
TABLE: dict[str, tuple[object, object, object, object]] = {
    "release": RELEASES,
    "softirq_defers_to_ksoftirqd": (True, False, False, False),
    "in_net_rx_action_suppresses_raise": (False, True, True, True),
    "restarts_list_in_call": (False, True, True, True),
    "softnet_stat_columns": (13, 15, 15, 15),
    "has_rps_default_mask": (False, True, True, True),
    "interrupts_chip_blanks": (2, 2, 2, 1),
    "device_down_counted_in_softnet_dropped": (True, True, False, False),
    "device_down_drop_reason": ("NOT_SPECIFIED", "NOT_SPECIFIED", "DEV_READY", "DEV_READY"),
    "enqueue_early_drop": (False, False, True, True),
    "input_queue_head_per_packet": (True, True, False, False),
    "backlog_threads_supported": (False, False, True, True),
    "flow_limit_by_hash_32": (False, False, False, True),
    "dev_flow_slot_by_hash_32": (False, False, False, True),
    "arfs_checks_slot_owner": (False, False, False, True),
    "arfs_lookup_by_tuple": (False, False, False, True),
    "gro_ipv4_big_tcp": (False, True, True, True),
    "gro_fixed_id_without_df": (False, False, False, True),
    "gro_checks_cwr_difference": (False, False, False, True),
    "tcp_gro_fraglist": (False, False, True, True),
    "udp_enqueue_adds_size": (False, False, False, True),
    "udp_producers_batch": (False, False, False, True),
    "tcp_ingest_adds_len": (False, False, False, True),
    "tcp_nomem_ack": (False, True, True, True),
    "skb_defer_max": (64, 64, 64, 128),
    "skb_defer_per_node": (False, False, False, True),
    "udp_readers_defer": (False, False, False, True),
    "rmem_max": (212_992, 212_992, 212_992, 4_194_304),
    "tcp_rmem_max_cap": (6_291_456, 6_291_456, 6_291_456, 33_554_432),
    "defer_hard_irqs_per_napi": (False, False, False, True),
    "has_irq_suspend_timeout": (False, False, False, True),
    "counts_ip_out_transmits": (False, True, True, True),
    "counts_icmp_rate_limits": (False, True, True, True),
}


@pytest.mark.parametrize("field", TABLE)
def test_a_behaviour_has_its_value_in_every_release(field: str) -> None:
    assert tuple(getattr(RULES[release], field) for release in RELEASES) == TABLE[field]


def test_the_table_above_covers_every_behaviour() -> None:
    assert set(TABLE) == {field.name for field in dataclasses.fields(Rules)}


def test_every_behaviour_but_the_name_differs_between_two_releases() -> None:
    for field, values in TABLE.items():
        assert len(set(values)) > 1, f"{field} is the same everywhere and needs no rule"


def test_the_releases_are_listed_oldest_first() -> None:
    assert tuple(RULES) == RELEASES
    assert DEFAULT_RELEASE == "6.9"


def test_a_release_is_found_by_its_name() -> None:
    for release in RELEASES:
        assert rules_for(release) is RULES[release]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("6.10", "6.9"),
        ("6.8", "6.9"),
        ("6.11", "6.12"),
        ("6.18.2", "6.18"),
        ("v6.12", "6.12"),
        ("6.99", "6.18"),
        ("5.15", "6.1"),
        ("2.6.32", "6.1"),
        ("7.0", "6.18"),
        ("6,12", "6.12"),
        ("6.1x", "6.1"),
    ],
)
def test_an_unknown_release_is_refused_and_the_nearest_named(name: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=rf"^kernel release '{name}' is not one of .*; the nearest is {nearest}$"):
        rules_for(name)


@pytest.mark.parametrize("name", ["", "linux", ".", "6.", "6.²", "9" * 5000 + "." + "9" * 5000])
def test_any_other_name_is_refused_too(name: str) -> None:
    with pytest.raises(ConfigError, match="kernel release") as refusal:
        rules_for(name)
    assert refusal.value.exit_code == 2


def test_rules_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        rules_for("6.9").skb_defer_max = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        RULES["6.6"] = rules_for("6.9")  # type: ignore[index]
    assert not hasattr(rules_for("6.9"), "__dict__")


def test_every_behaviour_is_documented_with_its_kernel_file() -> None:
    tree = ast.parse(inspect.getsource(rules_module))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Rules")
    for field, doc in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and field.target.id != "release":
            assert isinstance(doc, ast.Expr), field.target.id
            assert isinstance(doc.value, ast.Constant), field.target.id
            assert ".c" in str(doc.value.value), field.target.id
