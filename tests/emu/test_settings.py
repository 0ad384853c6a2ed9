"""The sysctls of net.core: defaults, limits, rounding and reactions."""

from errno import EINVAL, ENOENT, ENOMEM, EOPNOTSUPP, EOVERFLOW

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.errors import ControlError
from emu.settings import LIMITS, NOT_FOLLOWED, NetCoreSettings
from emu.tree import ControlTree


def machine(nr_cpus: int = 8, has_rps_default_mask: bool = True) -> tuple[NetCoreSettings, ControlTree]:
    settings = NetCoreSettings(nr_cpus, netdev_budget_usecs=8000, has_rps_default_mask=has_rps_default_mask)
    tree = ControlTree()
    settings.contribute(tree)
    return settings, tree


def errno_of(tree: ControlTree, name: str, text: str) -> int:
    before = tree.read(f"net.core.{name}")
    with pytest.raises(ControlError) as refused:
        tree.write(f"net.core.{name}", text)
    assert tree.read(f"net.core.{name}") == before
    return refused.value.errno


def test_a_fresh_machine_has_the_kernels_defaults() -> None:
    _, tree = machine()
    found = {name: tree.read(f"/proc/sys/net/core/{name}") for name in tree.list("/proc/sys/net/core")}
    assert found == {
        "busy_poll": "0\n",
        "busy_read": "0\n",
        "dev_weight": "64\n",
        "dev_weight_rx_bias": "1\n",
        "dev_weight_tx_bias": "1\n",
        "flow_limit_cpu_bitmap": "00\n",
        "flow_limit_table_len": "4096\n",
        "gro_normal_batch": "8\n",
        "netdev_budget": "300\n",
        "netdev_budget_usecs": "8000\n",
        "netdev_max_backlog": "1000\n",
        "netdev_tstamp_prequeue": "1\n",
        "rmem_default": "212992\n",
        "rmem_max": "212992\n",
        "rps_default_mask": "00\n",
        "rps_sock_flow_entries": "0\n",
        "skb_defer_max": "64\n",
    }


def test_the_oldest_release_has_no_default_mask() -> None:
    _, tree = machine(has_rps_default_mask=False)
    with pytest.raises(ControlError) as refused:
        tree.write("net.core.rps_default_mask", "1")
    assert refused.value.errno == ENOENT


@given(st.sampled_from(sorted(LIMITS.keys() - NOT_FOLLOWED.keys())), st.integers(-(2**32), 2**32))
def test_a_number_is_taken_exactly_within_its_limits_and_read_back(name: str, value: int) -> None:
    settings, tree = machine()
    low, high = LIMITS[name]
    taken = low <= value <= high and not (name == "flow_limit_table_len" and value & (value - 1))
    if taken:
        tree.write(f"net.core.{name}", f"{value}\n")
        kept = getattr(settings, name)
        assert tree.read(f"net.core.{name}") == f"{kept}\n"
        if name == "rps_sock_flow_entries":
            assert value <= kept < max(1, 2 * value)
            assert kept & (kept - 1) == 0
        else:
            assert kept == value
    else:
        assert errno_of(tree, name, f"{value}\n") == EINVAL


def test_the_backlog_s_weight_follows_dev_weight_and_its_bias() -> None:
    settings, tree = machine()
    tree.write("net.core.dev_weight", "16")
    tree.write("net.core.dev_weight_rx_bias", "3")
    assert settings.dev_rx_weight == 48
    assert errno_of(tree, "dev_weight", "0") == EINVAL
    assert settings.dev_rx_weight == 48


@pytest.mark.parametrize("name", NOT_FOLLOWED)
def test_what_is_not_followed_keeps_its_default_and_says_so(name: str) -> None:
    settings, tree = machine()
    default = getattr(settings, name)
    tree.write(f"net.core.{name}", f"0x{default}\n")  # a script that writes what is there goes on
    assert errno_of(tree, name, f"{default + 1}\n") == EOPNOTSUPP
    assert errno_of(tree, name, "x\n") == EINVAL
    with pytest.raises(ControlError, match=f"would change nothing here, .*: only {default} is taken"):
        settings.set(name, default + 1)
    assert tree.read(f"net.core.{name}") == f"{default}\n"


def test_the_sock_flow_table_is_rounded_up_and_its_owner_is_told_before_it_is_kept() -> None:
    settings, tree = machine()
    seen: list[tuple[int, int]] = []
    settings.on_change["rps_sock_flow_entries"] = lambda value: seen.append((value, settings.rps_sock_flow_entries))
    tree.write("net.core.rps_sock_flow_entries", "30000")
    tree.write("net.core.rps_sock_flow_entries", "32768")
    tree.write("net.core.rps_sock_flow_entries", "0")
    assert seen == [(32768, 0), (32768, 32768), (0, 32768)]
    assert errno_of(tree, "rps_sock_flow_entries", str(2**29 + 1)) == EINVAL
    assert errno_of(tree, "rps_sock_flow_entries", "-1") == EINVAL
    assert len(seen) == 3


def test_an_owner_that_refuses_leaves_the_value_as_it_was() -> None:
    settings, tree = machine()

    def refuse(value: int) -> None:
        raise ControlError(ENOMEM, f"no room for {value} entries")

    settings.on_change["rps_sock_flow_entries"] = refuse
    assert errno_of(tree, "rps_sock_flow_entries", "5") == ENOMEM
    assert settings.rps_sock_flow_entries == 0


def test_flow_limit_wants_a_power_of_two_and_a_table_that_can_be_had() -> None:
    settings, tree = machine()
    assert errno_of(tree, "flow_limit_table_len", "5000") == EINVAL
    assert errno_of(tree, "flow_limit_cpu_bitmap", "100") == EOVERFLOW
    tree.write("net.core.flow_limit_cpu_bitmap", "3")
    tree.write("net.core.flow_limit_table_len", str(2**22))
    assert errno_of(tree, "flow_limit_cpu_bitmap", "7") == ENOMEM
    tree.write("net.core.flow_limit_cpu_bitmap", "1")  # a table that is there keeps its length
    assert settings.flow_limit_cpu_bitmap == 1
    tree.write("net.core.flow_limit_table_len", str(2**21))
    tree.write("net.core.flow_limit_cpu_bitmap", "ff")
    assert tree.read("net.core.flow_limit_cpu_bitmap") == "ff\n"


def test_isolated_cpus_stay_out_of_the_default_mask() -> None:
    settings = NetCoreSettings(4, netdev_budget_usecs=2000, housekeeping=0b0011)
    tree = ControlTree()
    settings.contribute(tree)
    tree.write("net.core.rps_default_mask", "6")
    assert tree.read("net.core.rps_default_mask") == "2\n"
    assert errno_of(tree, "rps_default_mask", "c") == EINVAL
    tree.write("net.core.rps_default_mask", "\n")
    assert settings.rps_default_mask == 0
