"""emu/costs.py and emu/profiles.py: published totals, whole tables, overrides and refusals."""

import dataclasses
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.costs import MAX_PRICE, PRICE_NAMES, CostProfile, Costs, Price
from emu.errors import ConfigError
from emu.profiles import DEFAULT_PROFILE, PROFILES, PUBLISHED_PATHS, PublishedPath, profile_for

BROADWELL = PROFILES["broadwell-3.6"]
CLOUDFLARE = PROFILES["xeon-2.0-2015"]

WHOLE_TABLE = """
                    default  broadwell-3.6  xeon-2.0-2015
hardirq_ns             1200           1000           1800
softirq_entry_ns        100             83            732
net_rx_action_ns         50             42            366
napi_poll_ns             50             42            366
driver_rx_ns             82             73            532
driver_drop_ns           50             46            295
gro_receive_ns           31             26            229
gro_early_ns              5              4             34
gro_merge_ns             60             50            439
deliver_skb_ns           33             27            239
get_rps_cpu_ns           20             17            146
flow_dissect_ns          50             42            366
enqueue_to_backlog_ns    70             65            415
ipi_send_ns             200            167            300
ipi_receive_ns          500            417            750
process_backlog_ns       50             42            366
backlog_dequeue_ns       73             71            390
ip_rcv_ns                34             29            251
ipv6_rcv_ns              41             34            300
udp_rcv_ns              151            126           1107
tcp_rcv_ns              500            417           3659
icmp_rcv_ns             151            126           1107
other_rcv_ns             33             28            244
sock_wake_ns            500            417            750
skb_free_ns              15             12            107
remote_free_ns           60             60             60
skb_defer_ns             57             54             66
refill_ns                 6              5             44
recvmsg_ns              251            209            376
syscall_ns              108             90            162
copy_ps                 105            105            105
csum_ps                  63             63             63
csum_copy_ps             37             37             37
context_switch_ns      1000            833           1500
resched_ipi_ns          500            417            750
numa_cross_ns           150            150            150
remote_skb_ns            60             60             60
timer_ns                500            417            750
idle_exit_ns           1000           1000           1000
itr_program_ns          100            100            100
"""


def whole_table() -> dict[str, dict[str, int]]:
    """Profile -> field -> expected integer, from the table above."""
    header, *rows = WHOLE_TABLE.strip().splitlines()
    table: dict[str, dict[str, int]] = {profile: {} for profile in header.split()}
    for row in rows:
        field, *prices = row.split()
        for profile, price in zip(table, prices, strict=True):
            table[profile][field] = int(price)
    return table


@pytest.mark.parametrize("profile", ["default", "broadwell-3.6", "xeon-2.0-2015"])
def test_a_profile_resolves_to_its_column_of_integers(profile: str) -> None:
    assert dataclasses.asdict(PROFILES[profile].resolve()) == whole_table()[profile]


def test_the_table_covers_every_profile() -> None:
    assert list(whole_table()) == list(PROFILES)


@pytest.mark.parametrize("path", PUBLISHED_PATHS, ids=lambda path: path.name)
def test_the_prices_add_up_to_the_published_total(path: PublishedPath) -> None:
    assert path.total_ns(PROFILES[path.profile].resolve()) == pytest.approx(path.published_ns, abs=0.5, rel=0.001)


def test_every_published_total_is_held() -> None:
    assert {(path.profile, path.published_ns) for path in PUBLISHED_PATHS} == {
        ("broadwell-3.6", 51),
        ("broadwell-3.6", 149),
        ("broadwell-3.6", 175),
        ("broadwell-3.6", 301),
        ("broadwell-3.6", 433),
        ("xeon-2.0-2015", 5600),
    }


def test_published_single_prices_come_out() -> None:
    costs = BROADWELL.resolve()
    assert costs.gro_receive_ns == 26
    assert costs.gro_early_ns == 4
    assert 10 <= costs.skb_free_ns <= 13  # 10 to 12 ns at 4 GHz
    assert 24 <= BROADWELL.prices["driver_rx"].ns <= 32
    assert round(costs.csum_ps * 1472 / 1000) in (92, 93)
    assert round(costs.csum_copy_ps * 1472 / 1000) == 54


def test_the_2010_rps_dispatcher_stays_below_its_published_bound() -> None:
    """Commit ec7d2f2cf3a: CPU 0 of a 3.0 GHz machine dispatched 1.08 Mpps, so at most 926 ns a packet."""
    costs = PROFILES["default"].resolve()
    spent_ns = (
        costs.driver_rx_ns
        + costs.refill_ns
        + costs.gro_receive_ns
        + costs.get_rps_cpu_ns
        + costs.flow_dissect_ns
        + costs.enqueue_to_backlog_ns
    )
    assert spent_ns + costs.ipi_send_ns / 8.3 < 926


def test_a_price_that_nobody_published_says_so() -> None:
    for name in ("hardirq", "ipi_send", "ipi_receive", "tcp_rcv", "numa_cross"):
        for profile in PROFILES.values():
            assert "not published: free parameter, guess" in profile.prices[name].source, (profile.name, name)
    assert 500 <= BROADWELL.resolve().hardirq_ns <= 2000


def test_every_price_has_a_source_and_every_profile_a_description() -> None:
    for profile in PROFILES.values():
        assert profile.description.endswith(".")
        assert tuple(profile.prices) != ()
        for name in PRICE_NAMES:
            assert len(profile.prices[name].source) > 10, (profile.name, name)


def test_a_faster_clock_shortens_the_cycles_and_not_the_memory() -> None:
    price = Price(cycles=300, ns=40, source="test")
    assert price.at(3.0) == 140
    assert price.at(1.5) == 240


def test_the_2015_machine_differs_from_broadwell_by_its_clock_and_one_factor() -> None:
    ratios = {
        round(CLOUDFLARE.prices[name].cycles / BROADWELL.prices[name].cycles, 9)
        for name in PRICE_NAMES
        if BROADWELL.prices[name].cycles
    }
    assert len(ratios) == 2
    assert 1 in ratios


def test_price_names_are_the_cost_fields_without_nanoseconds() -> None:
    assert len(PRICE_NAMES) == len(dataclasses.fields(Costs)) == 40
    assert all(not name.endswith("_ns") for name in PRICE_NAMES)
    assert [name for name in PRICE_NAMES if name.endswith("_ps")] == ["copy_ps", "csum_ps", "csum_copy_ps"]


@given(st.dictionaries(st.sampled_from(PRICE_NAMES), st.integers(0, MAX_PRICE)))
def test_an_override_is_taken_as_it_is_and_moves_nothing_else(overrides: dict[str, int]) -> None:
    plain = dataclasses.asdict(BROADWELL.resolve())
    resolved = dataclasses.asdict(BROADWELL.resolve(overrides))
    for field in plain:
        assert resolved[field] == overrides.get(field.removesuffix("_ns"), plain[field])
        assert type(resolved[field]) is int


@pytest.mark.parametrize(("value", "resolved"), [(0, 0), (0.49, 0), (0.5, 1), (2.5, 3), (1e9, 10**9)])
def test_an_override_rounds_half_up(value: float, resolved: int) -> None:
    assert BROADWELL.resolve({"ipi_send": value}).ipi_send_ns == resolved


def test_no_overrides_is_the_same_as_an_empty_mapping() -> None:
    assert BROADWELL.resolve() == BROADWELL.resolve({})


@pytest.mark.parametrize(
    "value",
    [-1, -0.001, float("nan"), float("inf"), float("-inf"), 1e9 + 1, 10**9 + 1, 1 << 20000, -1 << 20000],
    ids=lambda value: hex(value)[:8] if isinstance(value, int) else str(value),
)
@pytest.mark.parametrize("name", ["hardirq", "copy_ps"])
def test_an_override_out_of_bounds_is_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"^costs: {name} = .* is not between 0 and 1000000000 [np]s$"):
        BROADWELL.resolve({name: value})


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("hardirq_ns", "hardirq"),
        ("hard_irq", "hardirq"),
        ("copy", "copy_ps"),
        ("ip6_rcv", "ipv6_rcv"),
        ("tcp_v4_rcv", "tcp_rcv"),
        ("rcvmsg", "recvmsg"),
    ],
)
def test_an_unknown_price_is_refused_and_the_nearest_named(name: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=rf"^costs: there is no price '{name}'; the nearest is '{nearest}'$"):
        BROADWELL.resolve({name: 1})


def test_a_profile_is_found_by_name_and_the_nearest_named_otherwise() -> None:
    assert profile_for(DEFAULT_PROFILE) is PROFILES["default"]
    assert profile_for("xeon-2.0-2015").clock_ghz == 2.0
    with pytest.raises(
        ConfigError, match=r"^cost profile 'broadwell' is not one of .*; the nearest is broadwell-3\.6$"
    ):
        profile_for("broadwell")
    with pytest.raises(ConfigError, match="nearest is"):
        profile_for("")


def made_profile(prices: Mapping[str, Price], clock_ghz: float = 3.0) -> CostProfile:
    return CostProfile("made", clock_ghz, "A test's profile.", prices)


def test_a_profile_prices_every_name() -> None:
    prices = dict(BROADWELL.prices)
    del prices["refill"]
    with pytest.raises(ConfigError, match="'made' has no price for 'refill'"):
        made_profile(prices)


def test_a_profile_prices_no_other_name() -> None:
    with pytest.raises(ConfigError, match="there is no price 'refil'; the nearest is 'refill'"):
        made_profile({**BROADWELL.prices, "refil": Price(source="test")})


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_a_profile_refuses_a_price_or_clock_that_is_no_amount(bad: float) -> None:
    for price in (Price(cycles=bad, source="test"), Price(ns=bad, source="test")):
        with pytest.raises(ConfigError, match="'made': 'refill' costs"):
            made_profile({**BROADWELL.prices, "refill": price})
    with pytest.raises(ConfigError, match="a clock of"):
        made_profile(BROADWELL.prices, clock_ghz=bad)
    with pytest.raises(ConfigError, match="a clock of"):
        made_profile(BROADWELL.prices, clock_ghz=0)


def test_costs_and_profiles_cannot_be_changed() -> None:
    costs = BROADWELL.resolve()
    with pytest.raises(dataclasses.FrozenInstanceError):
        costs.ip_rcv_ns = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        PROFILES["mine"] = BROADWELL  # type: ignore[index]
    with pytest.raises(TypeError):
        BROADWELL.prices["refill"] = Price(source="test")  # type: ignore[index]
    assert not hasattr(costs, "__dict__")
