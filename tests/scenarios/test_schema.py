"""The schema: defaults, ranges, words, and the bounds that stop a scenario from being absurd."""

from typing import Any, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.errors import ConfigError
from scenarios.cpusets import cpu_nodes, isolated_mask, node_cpus, parse_cpus, thread_masks, vector_masks
from scenarios.durations import MAX_DURATION_NS, UNITS_NS, Duration, format_duration, parse_duration
from scenarios.memory import estimate_bytes, frames_sent
from scenarios.schema import About, App, Capture, Machine, Nic, Run, RxFlowHash, Scenario, Traffic
from scenarios.shapes import type_at, unknown_key, words_for
from tests.scenario_kit import make

STRUCTS = (About, App, Capture, Machine, Nic, Run, RxFlowHash, Scenario, Traffic)


def scenario_of(document: dict[str, Any]) -> Scenario:
    return msgspec.convert(document, Scenario)


def test_an_empty_scenario_is_four_cpus_with_a_queue_and_a_vector_each() -> None:
    scenario = Scenario()
    assert (scenario.machine.cpus, scenario.queues, scenario.vectors) == (4, 4, 4)
    assert (scenario.machine.rules, scenario.machine.costs) == ("6.9", "default")
    assert vector_masks(scenario) == [1, 2, 4, 8]


@pytest.mark.parametrize("struct", STRUCTS)
def test_every_number_of_the_schema_has_a_range_and_every_text_a_bound(struct: type[msgspec.Struct]) -> None:
    unbounded = {("Machine", "rules"), ("Machine", "costs")}  # looked up in a table

    def check(node: msgspec.inspect.Type, where: str) -> None:
        if isinstance(node, msgspec.inspect.IntType | msgspec.inspect.FloatType):
            assert node.ge is not None, where
            assert node.le is not None, where
        elif isinstance(node, msgspec.inspect.StrType):
            assert node.max_length is not None or node.pattern is not None, where
        elif isinstance(node, msgspec.inspect.VarTupleType):
            assert node.max_length is not None, where
            check(node.item_type, where)
        elif isinstance(node, msgspec.inspect.TupleType):
            for item in node.item_types:
                check(item, where)
        elif isinstance(node, msgspec.inspect.UnionType):
            for item in node.types:
                check(item, where)

    information = msgspec.inspect.type_info(struct)
    assert isinstance(information, msgspec.inspect.StructType)
    assert information.forbid_unknown_fields
    for field in information.fields:
        # What [set] holds goes to a control file, which has its own limits and refuses what is beyond.
        if (struct.__name__, field.name) not in unbounded:
            check(field.type, f"{struct.__name__}.{field.name}")


@pytest.mark.parametrize("struct", STRUCTS)
def test_every_key_has_words_for_what_may_stand_there(struct: type[msgspec.Struct]) -> None:
    places = {
        About: ("scenario",),
        App: ("app", 0),
        Capture: ("capture",),
        Machine: ("machine",),
        Nic: ("nic",),
        Run: ("run",),
        RxFlowHash: ("nic", "rx_flow_hash"),
        Scenario: (),
        Traffic: ("traffic", 0),
    }
    for name in get_type_hints(struct):
        path: Any = (*places[struct], name)
        assert type_at(path) is not None
        assert words_for(path)
        assert "None" not in words_for(path)


def test_an_unknown_key_is_told_its_nearest_or_the_table_it_belongs_into() -> None:
    assert unknown_key(("traffic", 0), "rate") == "there is no such key; the nearest is rate_pps"
    assert unknown_key(("nic",), "rcvbuf") == "there is no such key here; it belongs into [[app]]"


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("250us", 250_000),
        ("1.5ms", 1_500_000),
        ("2s", 2 * 10**9),
        ("0s", 0),
        ("7 ns", 7),
        ("3µs", 3000),
        ("1min", 6 * 10**10),
    ],
)
def test_durations_are_read_to_the_nanosecond(text: str, ns: int) -> None:
    assert parse_duration(text) == ns


@pytest.mark.parametrize(
    "text",
    ["", "5", "ms", "-1ms", "1e3ms", "1 msec", "nan", "infs", "1.ms", "0.1ns", "25h", "9" * 30 + "s", "٣ms", "1ms2"],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_duration(text)


@given(st.integers(0, MAX_DURATION_NS))
def test_a_printed_duration_reads_back_as_itself(ns: int) -> None:
    assert parse_duration(format_duration(ns)) == ns
    assert str(Duration(ns)) == format_duration(ns)


def test_durations_print_in_the_largest_unit_that_is_whole() -> None:
    assert [str(Duration(n)) for n in (0, 1, 1500, 2000, 10**6, 10**9)] == ["0ns", "1ns", "1500ns", "2us", "1ms", "1s"]
    assert UNITS_NS["us"] == 1000


@pytest.mark.parametrize(
    ("value", "mask"), [(0, 1), (3, 8), ("0-3", 15), ("0,3", 9), ("0x9", 9), ("all", 15), ("N", 8), ("0-3:1/2", 5)]
)
def test_cpu_sets_are_numbers_lists_or_masks(value: int | str, mask: int) -> None:
    assert parse_cpus(value, 4) == mask


@pytest.mark.parametrize("value", [4, -1, "4", "0x10", "", "x", "0x", "0x0", "3-1"])
def test_a_cpu_that_is_not_there_is_refused(value: int | str) -> None:
    with pytest.raises(ConfigError):
        parse_cpus(value, 4)


def test_one_affinity_holds_for_all_vectors_and_a_list_is_dealt_to_them() -> None:
    assert vector_masks(scenario_of({"nic": {"affinity": "0"}})) == [1, 1, 1, 1]
    assert vector_masks(scenario_of({"nic": {"affinity": [3, "0-1"]}})) == [8, 3, 8, 3]
    assert vector_masks(scenario_of({"machine": {"cpus": 2}, "nic": {"queues": 3}})) == [1, 2, 1]


def test_threads_take_the_cpu_lists_in_turn() -> None:
    assert thread_masks(App(kind="burner", threads=3), 2) == [3, 3, 3]
    assert thread_masks(App(kind="burner", threads=3, cpus=(0, "1")), 2) == [1, 2, 1]
    assert thread_masks(App(kind="burner", threads=2, cpus="0-1"), 2) == [3, 3]


def test_nodes_are_blocks_of_cpus() -> None:
    assert cpu_nodes(Machine(cpus=5, nodes=2)) == [0, 0, 0, 1, 1]


def test_nodes_may_be_told_cpu_by_cpu() -> None:
    assert node_cpus(Machine(cpus=4, nodes=("0,2", "1,3"))) == [0b0101, 0b1010]
    assert cpu_nodes(Machine(cpus=5, nodes=("0,2,4", "1,3"))) == [0, 1, 0, 1, 0]


@pytest.mark.parametrize(
    ("nodes", "said"), [(("0-2", "2-3"), "CPU 2 is on node 0 and on node 1"), (("0", "2-3"), "CPU 1 is on no node")]
)
def test_every_cpu_is_on_one_node(nodes: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        cpu_nodes(Machine(cpus=4, nodes=nodes))


def test_an_isolated_cpu_takes_no_thread_that_may_run_anywhere() -> None:
    assert isolated_mask(Machine(cpus=4, isolated="2-3")) == 0b1100
    assert thread_masks(App(kind="burner", threads=2), 4, 0b0011) == [3, 3]
    assert thread_masks(App(kind="burner", cpus="3"), 4, 0b0011) == [8]
    with pytest.raises(ConfigError, match="all CPUs are isolated"):
        isolated_mask(Machine(cpus=4, isolated="0-3"))


def test_the_smallest_frame_holds_its_headers() -> None:
    assert Traffic(rate_pps=1).smallest_size_bytes == 64
    assert Traffic(rate_pps=1, ip=6, protocol="tcp").smallest_size_bytes == 78
    assert Traffic(rate_pps=1, ip=6, protocol="tcp", tcp_timestamps=True).smallest_size_bytes == 90


def test_frames_sent_follow_rate_span_and_limit() -> None:
    document: dict[str, Any] = {"traffic": [{"rate_pps": 1_000_000}]}
    scenario = scenario_of(document)
    # No duration: ten seconds are taken, with a quarter and a thousand more for chance.
    assert frames_sent(scenario) == 12_501_000
    limited = scenario_of({"traffic": [{"rate_pps": 1_000_000, "packets": 500}]})
    assert frames_sent(limited) == 500


def test_memory_counts_no_more_frames_than_are_sent() -> None:
    small = scenario_of({"nic": {"queues": 256, "ring": 8160}, "traffic": [{"rate_pps": 10, "packets": 10}]})
    rings = next(size for path, _, size in estimate_bytes(small) if path == ("nic", "ring"))
    assert rings == 4000


def test_an_rss_key_is_its_bytes() -> None:
    assert scenario_of({"nic": {"rss_key": "6d:5a"}}).rss_key == b"\x6d\x5a"
    assert Scenario().rss_key is None


def test_an_indirection_table_is_repeated_over_that_of_the_nic() -> None:
    nic = make("[nic]\nqueues = 3\nindirection = [2, 0, 1, 1]").nic
    assert nic.rss.indirection[:8] == [2, 0, 1, 1, 2, 0, 1, 1]
    assert len(nic.rss.indirection) == 2048


def test_a_machine_shows_where_its_cpus_are() -> None:
    built = make('[machine]\nnodes = ["0,2", "1,3"]\nisolated = "3"\n[nic]\nnode = 1')
    read = built.machine.tree.read
    assert [cpu.node for cpu in built.machine.cpus] == [0, 1, 0, 1]
    assert read("/sys/devices/system/node/node1/cpulist") == "1,3\n"
    assert read("/sys/devices/system/cpu/isolated") == "3\n"
    assert read("/sys/class/net/eth0/device/numa_node") == "1\n"
    assert built.machine.net.settings.housekeeping == 0b0111


def test_vectors_may_have_the_interrupt_numbers_of_a_server() -> None:
    assert [vector.irq for vector in make("").nic.vectors] == [32, 33, 34, 35]
    assert [vector.irq for vector in make("[nic]\nirqs = [121, 40]").nic.vectors] == [121, 40, 122, 123]
    with pytest.raises(ConfigError, match=r"scenario.toml:2: nic.irqs: a number is given to two vectors"):
        make("[nic]\nirqs = [121, 121]")
