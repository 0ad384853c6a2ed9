"""A copy of a box: what the trees of three of them say, what wins, what is refused, and any bytes in any file."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.errors import ConfigError, ControlError, InputFileError, SoftnetError
from scenarios.box import read_box
from scenarios.box_files import BoxFiles
from scenarios.build import Built
from scenarios.catalog import open_scenario
from scenarios.cli import main
from scenarios.cpusets import cpu_nodes
from scenarios.observe import settings_hash
from scenarios.save import saved_text
from tests.box_kit import BOXES, NAMES, TRAFFIC, copy, load, machine_of, mask_of_file, read, write_tree
from tests.scenario_kit import make, play

RX = "/sys/class/net/ens1f0/queues/rx-{}/rps_cpus"


def play_on(tree: Path) -> Built:
    """Some traffic on the box, to its end."""
    return play(f'[machine]\ntree = "{tree}"\n{TRAFFIC}')


# ---------------------------------------------------------------- what the trees say


def test_nodes_that_are_dealt_in_turn_stay_so() -> None:
    machine = load(BOXES / "ice").scenario.machine
    assert machine.cpus == 16
    assert cpu_nodes(machine) == [0, 1] * 7 + [0, 0]  # CPU 15 is offline, and no node says that it has it
    assert (machine.rules, machine.hz) == ("6.12", 250)


def test_vectors_are_on_the_cpus_that_they_really_interrupt() -> None:
    built = machine_of(BOXES / "ice")
    assert [vector.cpu for vector in built.nic.vectors] == [1, 3, 5, 7, 1, 3, 5, 7]
    assert [vector.irq for vector in built.nic.vectors] == list(range(121, 129))
    assert built.machine.tree.read("/proc/irq/121/smp_affinity_list") == "1\n"
    assert built.nic.vectors[3].affinity == 1 << 7
    assert built.nic.vectors[4].affinity == 0xFFFF  # as set; that CPU 1 has it is what the kernel made of it


def test_a_mask_wider_than_the_machine_loses_what_is_not_there() -> None:
    built = machine_of(BOXES / "ice")
    assert mask_of_file(built, RX.format(0)) == 0x5555
    assert mask_of_file(built, RX.format(1)) == 0x5555
    assert mask_of_file(built, RX.format(2)) == 0


def test_a_cpu_that_is_offline_on_the_box_goes_offline_before_the_first_frame() -> None:
    played = play_on(BOXES / "ice")
    assert played.machine.tree.read("/sys/devices/system/cpu/online") == "0-14\n"
    assert played.machine.cpus[15].hardirqs == 0


def test_the_nic_is_set_up_as_ethtool_showed_it() -> None:
    built = machine_of(BOXES / "ice")
    nic = built.scenario.nic
    assert (nic.name, nic.queues, nic.vectors, nic.ring, nic.node) == ("ens1f0", 8, 8, 4096, 1)
    assert (nic.rx_usecs, nic.adaptive_rx, nic.speed_gbps) == (50, False, 100)
    assert built.nic.rss.indirection[:9] == [0, 1, 1, 2, 3, 4, 5, 6, 0]
    assert built.nic.rss.key[:3].hex(":") == "0b:30:55"
    assert built.nic.rss.fields == {"tcp4": "sdfn", "udp4": "sdfn", "tcp6": "sdfn", "udp6": "sd"}
    assert built.nic.dev.mtu == 9000
    assert built.nic.dev.gro_flush_timeout_ns == 20_000


def test_sysctls_are_those_of_the_box() -> None:
    built = machine_of(BOXES / "ice")
    assert built.machine.net.settings.netdev_budget == 600
    assert built.machine.net.settings.rmem_max == 16_777_216
    assert built.machine.net.settings.rps_sock_flow_entries == 32_768


def test_a_sysctl_that_changes_nothing_here_is_told_and_does_not_stop_the_copy(tmp_path: Path) -> None:
    tree = copy("ice", tmp_path)
    for name in ("busy_poll", "busy_read"):
        (tree / "proc/sys/net/core" / name).write_text("50\n")
    told = [note for note in read_box(tree, "box", {}).notes if "not as on the box" in note]
    assert len(told) == 1
    assert "busy_poll is 0, not 50: no socket polls a device here; busy_read is 0, not 50" in told[0]
    assert machine_of(tree).machine.tree.read("/proc/sys/net/core/busy_poll") == "0\n"


def test_sparse_cpus_and_what_an_old_copy_leaves_out() -> None:
    box = read("mlx5")
    assert box.document["machine"] == {"cpus": 8, "isolated": "6-7", "rules": "6.1", "hz": 1000}
    nic = box.document["nic"]
    assert (nic["queues"], nic["vectors"], nic["affinity"]) == (4, 4, ["0", "1", "2", "3"])
    assert (nic["ring"], nic["rx_usecs"], nic["adaptive_rx"]) == (8160, 8, True)
    assert box.document["set"]["/sys/devices/system/cpu/cpu4/online"] == "0"
    assert box.document["set"]["/sys/devices/system/cpu/cpu5/online"] == "0"
    _, missing, assumed, differs = box.notes
    assert "one NUMA node" in assumed and "HZ 1000, by netdev_budget_usecs" in assumed
    assert "ethtool/ens2f0np0.n" in missing and "proc/irq/*/effective_affinity_list" in missing
    for words in ("kernel 6.1, the nearest to 5.14", "8160 descriptors, not 8192", "without LRO", "not xor"):
        assert words in differs


def test_a_virtual_machine_without_rss_says_so_and_gives_no_hash() -> None:
    nic = read("vm").document["nic"]
    assert nic["affinity"] == ["1"] and not nic["rxhash"] and nic["gro"]
    assert (nic["rx_usecs"], nic["adaptive_rx"], nic["ring"]) == (0, False, 256)
    assert "rss_key" not in nic and "indirection" not in nic


@pytest.mark.parametrize("name", NAMES)
def test_a_box_can_be_run(name: str) -> None:
    played = play_on(BOXES / name)
    assert played.notes[0].startswith(f"{BOXES / name}: ")
    assert played.machine.ledger.arrived_frames > 300


# ---------------------------------------------------------------- what wins


def test_the_scenario_wins_over_the_tree_and_the_command_line_over_both(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(
        f'[machine]\ntree = "{BOXES / "ice"}"\nrules = "6.9"\n[nic]\nring = 512\n[set]\nnet.core.netdev_budget = 100\n'
        f'"{RX.format(0)}" = "1"\n' + TRAFFIC
    )
    loaded = open_scenario(str(file), {("set", RX.format(1)): ("--set", "2"), ("nic", "speed_gbps"): ("--speed", 10)})
    scenario = loaded.scenario
    assert (scenario.machine.rules, scenario.nic.ring, scenario.nic.speed_gbps) == ("6.9", 512, 10)
    assert scenario.set["net.core.netdev_budget"] == 100
    assert "/proc/sys/net/core/netdev_budget" not in scenario.set
    assert scenario.set["/proc/sys/net/core/netdev_max_backlog"] == "5000"
    assert (scenario.set[RX.format(0)], scenario.set[RX.format(1)]) == ("1", "2")


def test_of_a_built_in_scenario_only_what_is_no_machine_is_taken() -> None:
    loaded = open_scenario("one-queue", {("machine", "tree"): ("--tree", str(BOXES / "vm"))})
    assert (loaded.scenario.machine.cpus, loaded.scenario.nic.name, loaded.scenario.nic.ring) == (2, "eth0", 256)
    assert loaded.scenario.traffic and loaded.scenario.app
    assert loaded.scenario.app[0].cpus is None
    assert any("server may run anywhere" in note for note in loaded.origin.notes)


def test_fewer_queues_are_as_ethtool_would_make_them() -> None:
    nic = read("ice", queues=4).document["nic"]
    assert (nic["queues"], nic["vectors"], nic["affinity"]) == (4, 4, ["1", "3", "5", "7"])
    assert "indirection" not in nic  # it names queues that are gone: even again


def test_more_queues_get_vectors_of_their_own() -> None:
    box = read("ice", queues=10)
    assert box.document["nic"]["affinity"] == ["1", "3", "5", "7", "1", "3", "5", "7", "8", "9"]
    assert "10 queues in place of 8" in box.notes[-1]


def test_another_number_of_cpus_is_refused_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"scenario.toml:2: machine.cpus: it is 4, but .*ice is of 16 CPUs"):
        load(BOXES / "ice", "[machine]\ncpus = 4\n" + TRAFFIC)


def test_the_interface_must_be_told_where_there_are_several(tmp_path: Path) -> None:
    tree = copy("ice", tmp_path)
    other = tree / "sys/class/net/ens1f1"
    (other / "queues/rx-0").mkdir(parents=True)
    (other / "device").mkdir()
    with pytest.raises(ConfigError, match="it has ens1f0, ens1f1: say which, as in --interface ens1f0"):
        load(tree)
    with pytest.raises(ConfigError, match="no interface eth7 in it, but ens1f0, ens1f1"):
        load(tree, '[nic]\nname = "eth7"\n' + TRAFFIC)
    assert load(tree, '[nic]\nname = "ens1f0"\n' + TRAFFIC).scenario.nic.queues == 8


def test_a_value_that_the_machine_refuses_is_told_with_its_file(tmp_path: Path) -> None:
    tree = copy("ice", tmp_path)
    (tree / "proc/sys/net/core/netdev_budget").write_text("99999999999\n")
    loaded = load(tree)
    with pytest.raises(SoftnetError, match=r"ice/proc/sys/net/core/netdev_budget: .*out of range"):
        machine_of(tree)
    assert loaded.scenario.set["/proc/sys/net/core/netdev_budget"] == "99999999999"


def test_the_hash_is_of_what_the_tree_says_not_of_where_it_is(tmp_path: Path) -> None:
    tree = copy("ice", tmp_path)
    before = settings_hash(load(BOXES / "ice").scenario)
    assert settings_hash(load(tree).scenario) == before
    (tree / "proc/sys/net/core/netdev_budget").write_text("601\n")
    assert settings_hash(load(tree).scenario) != before


def test_a_saved_run_on_a_box_is_that_run(tmp_path: Path) -> None:
    loaded = open_scenario("capture", {("machine", "tree"): ("--tree", str(BOXES / "vm"))})
    file = tmp_path / "saved.toml"
    file.write_text(saved_text(loaded, 3, ()))
    again = open_scenario(str(file)).scenario
    assert settings_hash(again) == settings_hash(
        msgspec.structs.replace(loaded.scenario, capture=again.capture, scenario=again.scenario)
    )


# ---------------------------------------------------------------- the round trip

ROUND_TRIP = """
[machine]
cpus = 6
nodes = ["0,2,4", "1,3,5"]
isolated = "5"
rules = "6.12"
hz = 1000
[nic]
name = "ens3"
queues = 3
node = 1
affinity = ["1", "0-3", "3"]
irqs = [77, 70]
ring = 512
rx_usecs = 30
adaptive_rx = false
indirection = [0, 1, 2, 2]
rx_gro_list = true
rxhash = false
speed_gbps = 10
rss_key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f2021222324252627"
rx_flow_hash = { udp4 = "sd", tcp6 = "sdf" }
[set]
net.core.netdev_budget = 450
net.core.netdev_budget_usecs = 1234
net.core.rps_sock_flow_entries = 4096
net.ipv4.tcp_rmem = "4096 65536 1000000"
net.ipv4.ipfrag_low_thresh = 1000
net.ipv4.ipfrag_high_thresh = 2000
net.ipv6.ip6frag_high_thresh = 9000000
net.ipv6.ip6frag_low_thresh = 8000000
net.core.flow_limit_cpu_bitmap = "7"
"/sys/class/net/ens3/queues/rx-0/rps_cpus" = "1e"
"/sys/class/net/ens3/queues/rx-2/rps_flow_cnt" = 2048
"/sys/class/net/ens3/gro_flush_timeout" = 30000
"/sys/devices/system/cpu/cpu4/online" = 0
"""


def reading(built: Built, path: str) -> str | None:
    """The file's text; None if it cannot be read."""
    try:
        return built.machine.tree.read(path)
    except ControlError:
        return None


def test_the_tree_of_a_machine_imported_is_that_machine(tmp_path: Path) -> None:
    played = play(ROUND_TRIP + TRAFFIC)
    again = play_on(write_tree(played, tmp_path / "box"))
    counters = (
        "/proc/net/",
        "/proc/softirqs",
        "/proc/interrupts",
        "/proc/stat",
        "/proc/uptime",
        "/statistics/",
        "per_cpu_count",
    )
    for path in played.machine.tree.paths():
        if not any(part in path for part in counters):
            assert reading(again, path) == reading(played, path), path
    assert again.machine.tree.paths() == played.machine.tree.paths()
    for letter in "lgckxi":
        assert again.user.commands.run(f"ethtool -{letter} ens3") == played.user.commands.run(f"ethtool -{letter} ens3")
    assert again.nic.rss.fields == played.nic.rss.fields
    assert [vector.cpu for vector in again.nic.vectors] == [vector.cpu for vector in played.nic.vectors]
    assert len(again.notes) == 2 and again.notes[1].endswith("box: assumed: CPU 4 on node 0")
    # Offline, it is in no node's list.
    assert [cpu.node for cpu in again.machine.cpus if cpu.online] == [0, 1, 0, 1, 1]


# ---------------------------------------------------------------- hostile trees


def test_a_directory_that_is_no_copy_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="no CPU is named in it"):
        load(tmp_path)
    with pytest.raises(ConfigError, match="there is no directory"):
        load(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="there is no directory"):
        load(BOXES / "ice/boot/config")


def test_a_link_may_lead_about_in_the_tree_but_not_out_of_it(tmp_path: Path) -> None:
    tree = copy("ice", tmp_path)
    online = tree / "sys/devices/system/cpu/online"
    online.rename(tree / "moved")
    online.symlink_to("../../../../moved")
    assert load(tree).scenario.machine.cpus == 16
    online.unlink()
    secret = tmp_path / "secret"
    secret.write_text("0-3\n")
    online.symlink_to(secret)
    with pytest.raises(InputFileError, match="cpu/online: it leads out of the tree"):
        load(tree)


def test_pipes_and_directories_are_refused_and_nobody_waits_for_them(tmp_path: Path) -> None:
    tree = copy("ice", tmp_path)
    budget = tree / "proc/sys/net/core/netdev_budget"
    budget.unlink()
    os.mkfifo(budget)
    with pytest.raises(InputFileError, match="netdev_budget: it is no regular file"):
        load(tree)
    budget.unlink()
    budget.mkdir()
    with pytest.raises(InputFileError, match="no regular file"):
        load(tree)


@pytest.mark.parametrize(
    ("path", "data", "said"),
    [
        ("sys/devices/system/cpu/online", b"0-300\n", "a box of 301 CPUs, and softnet takes 256 at most"),
        ("sys/devices/system/cpu/online", b"0-99999\n", "names CPU 99999"),
        ("sys/devices/system/cpu/online", b"0" * 5000, "larger than 4,096 bytes"),
        ("sys/devices/system/node/node1/cpulist", b"0,1\n", "CPU 0 is on another node, too"),
        ("proc/interrupts", b"\x7fELF\x02\x00", "control character"),
        ("proc/interrupts", b"hello\n", "its first line names no CPUs"),
        ("proc/irq/121/smp_affinity_list", b"x\n", "in place of a CPU number"),
        ("sys/class/net/ens1f0/queues/rx-0/rps_cpus", b"123456789\n", "is no CPU mask"),
        ("sys/class/net/ens1f0/mtu", b"many\n", "'many' is no whole number"),
        ("ethtool/ens1f0.x", b"\xff\xfe", "it is no text"),
        ("proc/sys/net/core/netdev_budget", b"\x1b[31m600\n", r"control character in it \(\\x1b\)"),
    ],
)
def test_a_broken_file_is_told_in_one_sentence(path: str, data: bytes, said: str, tmp_path: Path) -> None:
    tree = copy("ice", tmp_path)
    (tree / path).write_bytes(data)
    with pytest.raises(SoftnetError, match=said) as caught:
        load(tree)
    assert caught.value.exit_code in (2, 3)
    assert str(caught.value).startswith("--tree: ") and "\n" not in str(caught.value)


def test_too_many_queues_are_refused(tmp_path: Path) -> None:
    tree = copy("vm", tmp_path)
    for queue in range(257):
        (tree / f"sys/class/net/eth0/queues/rx-{queue}").mkdir(exist_ok=True)
    with pytest.raises(ConfigError, match="257 receive queues, and softnet takes 256 at most"):
        load(tree)


def files_of(name: str) -> list[str]:
    return sorted(str(path.relative_to(BOXES / name)) for path in (BOXES / name).rglob("*") if path.is_file())


class Spoilt(BoxFiles):
    """A tree of which some files hold other bytes."""

    def __init__(self, root: Path, changed: dict[str, bytes]) -> None:
        super().__init__(root, "spoilt")
        self.changed = changed

    def _read(self, path: str, max_bytes: int) -> bytes | None:
        return self.changed.get(path) if path in self.changed else super()._read(path, max_bytes)


WORDS = (
    b"0-3|ff|,|\n| |:|\t|n/a|CPU0|CPU1|17:|-|/|N|all|on|Combined:|RX:|Current hardware settings:|RSS hash key:|4294967296|\x00|\xff|1|"
    b"ens1f0-TxRx-0|eth0|virtio9-input.0|mlx5_comp0@pci:0000:01:00.0|6.1|CONFIG_HZ=1000|rx-usecs: |Adaptive RX: on|-1|99999|0x|"
    b"    0:      0     1     9|bus-info: x|0-8191:1/2"
).split(b"|")
SPOILT = st.lists(st.sampled_from(WORDS), max_size=12).map(b"".join) | st.binary(max_size=40)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_bytes_in_any_file_raise_nothing_but_errors_of_ours(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    changed = {}
    for path in data.draw(st.lists(st.sampled_from(files_of(name)), min_size=1, max_size=4, unique=True)):
        sound = (BOXES / name / path).read_bytes()
        cut = sorted(data.draw(st.tuples(st.integers(0, len(sound)), st.integers(0, len(sound)))))
        changed[path] = sound[: cut[0]] + data.draw(SPOILT) + sound[cut[1] :]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scenarios.box.BoxFiles", lambda root, _: Spoilt(root, changed))
        told = _told(name)
    assert all(line.isprintable() and len(line) < 2000 for line in told)


def _told(name: str) -> tuple[str, ...]:
    """What is said of a box: its notes, or the error."""
    try:
        loaded = load(BOXES / name)
    except (ConfigError, InputFileError) as error:
        return (str(error),)
    assert loaded.scenario.machine.cpus <= 256
    return loaded.origin.notes


# ---------------------------------------------------------------- the command line


def test_a_run_on_a_box_says_what_it_is_and_repeats_with_its_tree(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "one-queue", "--tree", str(BOXES / "ice"), "--duration", "1ms", "--seed", "5", "--json"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert f"{BOXES / 'ice'}: 16 CPUs (1 offline), 2 NUMA nodes, kernel 6.12.38" in err
    document = msgspec.json.decode(out)
    assert f"--tree {BOXES / 'ice'}" in document["meta"]["command"]
    assert document["notes"][0] in err
    assert document["cpus"][3]["node"] == 1


def test_a_capture_runs_on_a_box_too(capsys: pytest.CaptureFixture[str]) -> None:
    capture = str(Path(__file__).parents[2] / "scenarios/captures/mixed.pcap")
    assert main(["run", capture, "--tree", str(BOXES / "vm"), "--seed", "1", "--duration", "1ms", "--batch"]) == 0
    assert "eth0, 1 queues, 2 CPUs, rules 6.18" in capsys.readouterr().out


def test_a_wrong_tree_ends_with_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["run", "--tree", str(tmp_path)]) == 3
    assert main(["run", "--tree", str(tmp_path / "no\x1bwhere")]) == 2
    assert main(["run", "--tree", ""]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 3 and "\x1b" not in err


def test_a_tree_is_relative_to_its_scenario_file(tmp_path: Path) -> None:
    copy("vm", tmp_path)
    file = tmp_path / "own.toml"
    file.write_text('[machine]\ntree = "vm"\n' + TRAFFIC)
    assert open_scenario(str(file)).scenario.machine.cpus == 2
    assert make("[machine]\ncpus = 2\n" + TRAFFIC).notes == []


# ---------------------------------------------------------------- what the box did itself


def sampled(tmp_path: Path) -> Path:
    """The virtual machine, with two samples of its counters."""
    tree = copy("vm", tmp_path)
    samples = {
        "": ("100.00 180.00\n", "ffffff00 00000000 00000001", "cpu0 100 0 50 800 0 10 40 0 0 0\n"),
        "after": ("110.00 190.00\n", "00000b00 00000014 0000001a", "cpu0 150 0 100 1100 0 10 640 0 0 0\n"),
    }
    for place, (uptime, softnet, stat) in samples.items():
        (tree / place / "proc/net").mkdir(parents=True, exist_ok=True)
        (tree / place / "proc/uptime").write_text(uptime)
        (tree / place / "proc/net/softnet_stat").write_text(softnet + " 00000000" * 12 + "\n")
        (tree / place / "proc/stat").write_text("cpu  1 2 3 4 5 6 7 8 9 10\n" + stat + "intr 5 0 0\n")
    return tree


def test_two_samples_tell_what_the_box_did_itself(tmp_path: Path) -> None:
    notes = load(sampled(tmp_path)).origin.notes
    assert notes[1].endswith(
        ": there, over 10.0 s: 307 packets/s through softirq, 2 dropped/s, 2.5 squeezes/s; CPU 0 busiest: 70%, 60% in softirq"
    )


@pytest.mark.parametrize(
    "path", ["proc/uptime", "after/proc/uptime", "proc/net/softnet_stat", "after/proc/net/softnet_stat"]
)
@pytest.mark.parametrize("text", ["", "no counters\n", "1 2 3\n" * 5])
def test_samples_that_do_not_fit_tell_nothing(path: str, text: str, tmp_path: Path) -> None:
    tree = sampled(tmp_path)
    (tree / path).write_text(text)
    assert not any("there, over" in note for note in load(tree).origin.notes)
