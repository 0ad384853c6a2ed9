"""The control tree: files come and go, refusals carry an errno and a sentence, no text breaks it."""

from collections.abc import Callable
from errno import EACCES, EINVAL, EISDIR, ENOENT, ENOTDIR, EOVERFLOW

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.errors import ControlError
from emu.tree import (
    ControlTree,
    bool_entry,
    int_entry,
    list_entry,
    mask_entry,
    sysctl_name,
    sysctl_path,
    unsigned_entry,
)

QUEUE = "/sys/class/net/eth0/queues/rx-0"


class Box:
    """What the entries of the tests read and write."""

    def __init__(self) -> None:
        self.budget = 300
        self.rps_cpus = 0
        self.affinity = 1
        self.online = True
        self.flows = 0

    def set_budget(self, value: int) -> None:
        self.budget = value

    def set_rps_cpus(self, value: int) -> None:
        self.rps_cpus = value

    def set_affinity(self, value: int) -> None:
        self.affinity = value

    def set_online(self, value: bool) -> None:
        self.online = value

    def set_flows(self, value: int) -> None:
        self.flows = value

    def values(self) -> tuple[int, int, int, bool, int]:
        return self.budget, self.rps_cpus, self.affinity, self.online, self.flows


def planted() -> tuple[ControlTree, Box, list[tuple[str, str]]]:
    box = Box()
    log: list[tuple[str, str]] = []
    tree = ControlTree(log=lambda path, text: log.append((path, text)))
    tree.add_entry("/proc/sys/net/core/netdev_budget", int_entry(lambda: box.budget, box.set_budget, 0, 1000))
    tree.add_entry(f"{QUEUE}/rps_cpus", mask_entry(lambda: box.rps_cpus, box.set_rps_cpus, 4))
    tree.add_entry(f"{QUEUE}/rps_flow_cnt", unsigned_entry(lambda: box.flows, box.set_flows))
    tree.add_entry("/proc/irq/24/smp_affinity_list", list_entry(lambda: box.affinity, box.set_affinity, 4))
    tree.add_entry("/sys/devices/system/cpu/cpu1/online", bool_entry(lambda: box.online, box.set_online))
    tree.add("/proc/net/softnet_stat", lambda: "00000000\n", None)
    tree.add("/proc/sysrq-trigger", None, lambda text: None)
    return tree, box, log


def refusal(act: Callable[..., object], *arguments: str) -> ControlError:
    with pytest.raises(ControlError) as refused:
        act(*arguments)
    return refused.value


def test_a_written_value_is_read_back_in_the_kernels_form() -> None:
    tree, box, _ = planted()
    tree.write(f"{QUEUE}/rps_cpus", "0000000f\n")
    tree.write("/proc/irq/24/smp_affinity_list", "0,1,2\n")
    tree.write("/proc/sys/net/core/netdev_budget", " 0x40 \n")
    tree.write("/sys/devices/system/cpu/cpu1/online", "off")
    tree.write(f"{QUEUE}/rps_flow_cnt", "+256")
    assert box.values() == (64, 15, 7, False, 256)
    assert tree.read(f"{QUEUE}/rps_cpus") == "f\n"
    assert tree.read("/proc/irq/24/smp_affinity_list") == "0-2\n"
    assert tree.read("/proc/sys/net/core/netdev_budget") == "64\n"
    assert tree.read("/sys/devices/system/cpu/cpu1/online") == "0\n"
    assert tree.read(f"{QUEUE}/rps_flow_cnt") == "256\n"


def test_a_sysctl_name_is_another_spelling_of_its_path() -> None:
    tree, box, log = planted()
    tree.write("net.core.netdev_budget", "10\n")
    tree.write("net/core/netdev_budget", "20\n")
    tree.write("//proc/sys//net/./core/netdev_budget", "30\n")
    assert tree.read("net.core.netdev_budget") == "30\n"
    assert box.budget == 30
    assert log == [("/proc/sys/net/core/netdev_budget", value) for value in ("10", "20", "30")]


def test_dots_in_an_interfaces_name_are_slashes_in_a_dotted_sysctl_name() -> None:
    path = "/proc/sys/net/ipv4/conf/eth0.100/forwarding"
    assert sysctl_path("net.ipv4.conf.eth0/100.forwarding") == path
    assert sysctl_path("net/ipv4/conf/eth0.100/forwarding") == path
    assert sysctl_name(path) == "net.ipv4.conf.eth0/100.forwarding"
    assert sysctl_name("/proc/stat") == "/proc/stat"


@given(st.lists(st.text("abz09_.-", min_size=1).filter(lambda part: part.strip(".")), min_size=2, max_size=6))
def test_every_path_below_proc_sys_has_a_name_that_leads_back(parts: list[str]) -> None:
    path = "/proc/sys/" + "/".join(parts)
    assert ControlTree().resolve(sysctl_name(path)) == path


def test_a_refused_write_changes_nothing_and_is_not_logged() -> None:
    tree, box, log = planted()
    before = box.values()
    assert refusal(tree.write, f"{QUEUE}/rps_cpus", "10\n").errno == EOVERFLOW
    assert refusal(tree.write, "net.core.netdev_budget", "1001\n").errno == EINVAL
    assert refusal(tree.write, "net.core.netdev_budget", "\n").errno == EINVAL
    assert refusal(tree.write, "/proc/net/softnet_stat", "1").errno == EACCES
    assert refusal(tree.write, f"{QUEUE}/rps_flow_cnt", "64\n\n").errno == EINVAL
    assert (box.values(), log) == (before, [])


def test_a_refusal_names_the_file_the_reason_and_the_accepted_form() -> None:
    tree, _, _ = planted()
    message = str(refusal(tree.write, "net.core.netdev_budget", "many\n"))
    assert message == "/proc/sys/net/core/netdev_budget: 'many' is no number: write a number from 0 to 1000"


def test_an_unknown_path_names_the_nearest() -> None:
    tree, _, _ = planted()
    error = refusal(tree.read, "net.core.netdev_budgets")
    assert error.errno == ENOENT
    assert "/proc/sys/net/core/netdev_budget" in str(error).partition("nearest")[2]
    assert refusal(ControlTree().read, "x").errno == ENOENT


def test_directories_are_listed_and_not_read() -> None:
    tree, _, _ = planted()
    assert tree.list("/") == ["proc", "sys"]
    assert tree.list(QUEUE + "/") == ["rps_cpus", "rps_flow_cnt"]
    assert refusal(tree.list, f"{QUEUE}/rps_cpus").errno == ENOTDIR
    assert refusal(tree.list, "/nowhere").errno == ENOENT
    error = refusal(tree.read, QUEUE)
    assert error.errno == EISDIR
    assert "rps_cpus" in str(error)
    assert refusal(tree.write, "/", "1").errno == EISDIR


def test_modes_tell_what_can_be_read_and_written() -> None:
    tree, _, _ = planted()
    assert tree.entry("net.core.netdev_budget").mode == 0o644
    assert tree.entry("/proc/net/softnet_stat").mode == 0o444
    assert tree.entry("/proc/sysrq-trigger").mode == 0o200
    assert refusal(tree.read, "/proc/sysrq-trigger").errno == EACCES


def test_removing_a_directory_takes_its_files_and_the_directories_left_empty() -> None:
    tree, _, _ = planted()
    tree.remove(QUEUE)
    assert refusal(tree.read, f"{QUEUE}/rps_cpus").errno == ENOENT
    assert tree.list("/sys") == ["devices"]
    tree.remove("/sys/devices/system/cpu/cpu1/online")
    assert tree.list("/") == ["proc"]
    assert refusal(tree.remove, QUEUE).errno == ENOENT
    tree.add(f"{QUEUE}/rps_cpus", None, None)
    assert tree.list(QUEUE) == ["rps_cpus"]


def test_a_path_is_added_once_and_never_through_a_file() -> None:
    tree, _, _ = planted()
    for path in ("/proc/net/softnet_stat", "/proc/net", "/proc/net/softnet_stat/x", "relative", "/a//b", "/a/", "/"):
        before = tree.paths(), tree.list("/")
        with pytest.raises(ValueError):
            tree.add(path, None, None)
        assert (tree.paths(), tree.list("/")) == before


@given(st.lists(st.text("ab/", min_size=1, max_size=6), max_size=12))
def test_files_added_and_removed_in_any_order_leave_an_empty_tree(names: list[str]) -> None:
    tree = ControlTree()
    added = set()
    for name in names:
        try:
            tree.add("/" + name, None, None)
        except ValueError:
            continue
        added.add("/" + name)
    assert tree.paths() == sorted(added)
    for path in tree.paths():
        tree.remove(path)
    assert (tree.paths(), tree.list("/")) == ([], [])


ANY_TEXT = st.text(max_size=30)
ANY_PATH = st.sampled_from(planted()[0].paths()) | ANY_TEXT | ANY_TEXT.map("/{}".format)


@given(ANY_PATH, ANY_TEXT | st.text("0123456789abcdefx,-:/ \n", max_size=20))
def test_no_path_and_no_text_raises_anything_but_a_control_error(path: str, text: str) -> None:
    tree, _, log = planted()
    refused = attempt(tree.write, path, text)
    assert len(log) == (refused is None)
    assert refused is None or str(refused)
    for act in (tree.read, tree.list, tree.remove):
        refused = attempt(act, path)
        assert refused is None or refused.errno in (ENOENT, EISDIR, ENOTDIR, EACCES)


def attempt(act: Callable[..., object], *arguments: str) -> ControlError | None:
    try:
        act(*arguments)
    except ControlError as error:
        return error
    return None
