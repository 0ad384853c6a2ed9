"""The scripts for a server: they are shell, they carry the difference and nothing else, and the undo brings A's values back."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from emu.errors import ConfigError
from scenarios.build import Built
from scenarios.study.runner import prepare
from scenarios.study.server_commands import FIND_IRQ, ServerCommands, server_commands
from tests.scenarios.study.kit import RPS, side, text

NIC = "[nic]\nqueues = 1\nrx_usecs = 20\nadaptive_rx = false\nring = 256\n"


def with_nic(nic: str) -> str:
    return text().replace(NIC, f"[nic]\n{nic}\n")


def machine(toml: str, *changes: str) -> Built:
    return prepare(side(toml, *changes), 1)


def between(a: str, b: str) -> ServerCommands:
    return server_commands(machine(a), machine(b))


def is_shell(lines: list[str]) -> bool:
    return subprocess.run(["sh", "-n"], input="\n".join(lines), text=True, capture_output=True).returncode == 0


def test_a_machine_needs_no_command_to_become_itself() -> None:
    found = between(text(), text())
    assert (found.apply, found.undo, found.fixed) == ([], [], [])


def test_a_change_is_undone_by_the_present_value() -> None:
    before = 'echo 1 > "/sys/class/net/eth0/queues/rx-0/rps_cpus"'
    found = server_commands(
        machine(text(), before), machine(text(), before, RPS, "sysctl -w net.core.netdev_budget=600")
    )
    assert found.apply == [
        "set -eu",
        "sysctl -w net.core.netdev_budget=600",
        "echo 2 > /sys/class/net/eth0/queues/rx-0/rps_cpus",
    ]
    assert found.undo == [
        "set -eu",
        "sysctl -w net.core.netdev_budget=300",
        "echo 1 > /sys/class/net/eth0/queues/rx-0/rps_cpus",
    ]


def test_the_script_of_a_change_makes_the_same_machine_here() -> None:
    changes = [RPS, "sysctl -w net.core.netdev_max_backlog=77", "echo 100 > /sys/class/net/eth0/gro_flush_timeout"]
    wanted = machine(text(), *changes)
    found = server_commands(machine(text()), wanted)
    made = machine(text(), *found.apply[1:])
    assert server_commands(made, wanted).apply == []
    back = machine(text(), *changes, *found.undo[1:])
    assert server_commands(machine(text()), back).apply == []


@pytest.mark.parametrize(
    ("nic", "command"),
    [
        (NIC.replace("256", "512"), "ethtool -G eth0 rx 512"),
        (NIC.replace("20", "60"), "ethtool -C eth0 adaptive-rx off rx-usecs 60"),
        (NIC.replace("false", "true"), "ethtool -C eth0 adaptive-rx on"),
        (NIC + "gro = false", "ethtool -K eth0 gro off"),
        (NIC + "rxhash = false", "ethtool -K eth0 rxhash off"),
        (NIC + "rx_checksum = false", "ethtool -K eth0 rx off"),
        (NIC + "promiscuous = true", "ip link set dev eth0 promisc on"),
        (NIC + 'rx_flow_hash = { udp4 = "sd" }', "ethtool -N eth0 rx-flow-hash udp4 sd"),
        (NIC.replace("queues = 1", "queues = 2"), "ethtool -L eth0 combined 2"),
    ],
)
def test_a_key_of_the_nic_is_a_command(nic: str, command: str) -> None:
    found = between(text(), with_nic(nic.removeprefix("[nic]\n")))
    assert command in found.apply
    assert is_shell(found.apply) and is_shell(found.undo)


MACHINES = [
    NIC,
    "queues = 2\nring = 512",
    "queues = 4\nrx_usecs = 80\nadaptive_rx = true\nindirection = [0, 1]",
    "queues = 4\nrx_usecs = 30\nadaptive_rx = false\nweights = [1, 0, 3]\ngro = false",
    "queues = 3\nrxhash = false\nrx_checksum = false\nrx_flow_hash = { udp4 = 'sd' }\nring = 64",
]


@pytest.mark.parametrize("a", range(len(MACHINES)))
@pytest.mark.parametrize("b", range(len(MACHINES)))
def test_the_emulated_machine_takes_the_script_and_becomes_the_other(a: int, b: int) -> None:
    old, new = (
        with_nic(MACHINES[index].removeprefix("[nic]\n")).replace("cpus = 2\n", "cpus = 4\n", 1) for index in (a, b)
    )
    script = between(old, new).apply[1:]
    wanted = machine(new)
    irqs = {vector.name: vector.irq for vector in wanted.nic.vectors}
    lines = [
        re.sub(r"\$\(irq (\S+)\)", lambda found: str(irqs[found[1]]), line)
        for line in script
        if not line.startswith("irq()")
    ]
    assert server_commands(machine(old, *lines), wanted).apply == []


@pytest.mark.parametrize(
    "change",
    [
        "ethtool -C eth0 adaptive-rx off adaptive-tx off rx-usecs-high 60",
        "ethtool -C eth0 adaptive-tx off tx-usecs 100",
        "ethtool -G eth0 rx 1024 tx 512",
        "ethtool -K eth0 rx-gro-list on",
        "ethtool -X eth0 hkey " + ":".join(["6d"] * 52),
    ],
)
def test_what_ethtool_changed_is_in_the_script_and_undone(change: str) -> None:
    adaptive = text().replace("adaptive_rx = false", "adaptive_rx = true")
    found = server_commands(machine(adaptive), machine(adaptive, change))
    assert found.apply[1].split()[:3] == change.split()[:3]
    changed = machine(adaptive, change)
    assert server_commands(machine(adaptive, *found.apply[1:]), changed).apply == []
    assert server_commands(machine(adaptive), machine(adaptive, change, *found.undo[1:])).apply == []


@pytest.mark.parametrize(
    ("table", "command"),
    [
        ("indirection = [0, 1]", "ethtool -X eth0 equal 2"),
        ("weights = [3, 0, 1]", "ethtool -X eth0 weight "),
        ("indirection = [1, 0]", "# eth0's indirection table is none that ethtool -X can write"),
    ],
)
def test_an_indirection_table_is_a_command_if_ethtool_knows_one(table: str, command: str) -> None:
    found = between(with_nic("queues = 4"), with_nic(f"queues = 4\n{table}"))
    assert len(found.apply) == 2 and found.apply[1].startswith(command)
    assert found.undo[1] == "ethtool -X eth0 default"


def test_an_interrupt_is_looked_up_by_its_name_on_the_server(tmp_path: Path) -> None:
    found = between(with_nic("queues = 2"), with_nic('queues = 2\naffinity = "0"'))
    assert found.apply[-1] == 'echo 0 > "/proc/irq/$(irq eth0-TxRx-1)/smp_affinity_list"'
    assert found.undo[-1] == 'echo 1 > "/proc/irq/$(irq eth0-TxRx-1)/smp_affinity_list"'
    assert is_shell(found.apply)
    interrupts = tmp_path / "interrupts"
    interrupts.write_text(
        "           CPU0       CPU1\n"
        " 40:          0          0  PCI-MSIX-0000:01:00.0 2-edge      ice-eth0-TxRx-1\n"
        " 41:          0          0  PCI-MSIX-0000:01:00.0 3-edge      ice-eth0-TxRx-10\n"
        " 42:          0          0  PCI-MSIX-0000:02:00.0 2-edge      ice-veth0-TxRx-1\n"
        " 43:          0          0  PCI-MSIX-0000:02:00.0 2-edge      eth0-TxRx-0\n"
    )
    script = FIND_IRQ.replace("/proc/interrupts", shlex.quote(str(interrupts))) + "\nirq eth0-TxRx-1; irq eth0-TxRx-0"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["40", "43"]


def test_an_interrupt_whose_number_is_the_servers_own_is_written_by_number() -> None:
    found = between(with_nic("queues = 2\nirqs = [57, 58]"), with_nic('queues = 2\nirqs = [57, 58]\naffinity = "0"'))
    assert found.apply[-1] == 'echo 0 > "/proc/irq/58/smp_affinity_list"'
    assert found.undo[-1] == 'echo 1 > "/proc/irq/58/smp_affinity_list"'


def test_a_longer_flow_limit_table_is_made_by_taking_the_cpus_out_first() -> None:
    on = '[set]\n"net.core.flow_limit_table_len" = {}\n"net.core.flow_limit_cpu_bitmap" = 3'
    found = between(text(more=on.format(4096)), text(more=on.format(8192)))
    assert found.apply[1:] == [
        "sysctl -w net.core.flow_limit_cpu_bitmap=0",
        "sysctl -w net.core.flow_limit_table_len=8192",
        "sysctl -w net.core.flow_limit_cpu_bitmap=3",
    ]


def test_masks_of_machines_of_different_width_are_compared_as_masks() -> None:
    rps = '[set]\n"/sys/class/net/eth0/queues/rx-0/rps_cpus" = "2"'
    found = between(text(more=rps), text(more=rps).replace("cpus = 2\n", "cpus = 64\n", 1))
    assert found.apply == []
    assert found.fixed == ["machine.cpus is 2 in A and 64 in B: no command changes it"]


def test_what_no_command_changes_is_said() -> None:
    other = text(rate_pps=5).replace("[machine]", '[machine]\nrules = "6.1"').replace("batch = 16", "batch = 1")
    found = between(text(), other)
    assert any("rules" in sentence for sentence in found.fixed)
    assert any("traffic" in sentence for sentence in found.fixed)
    assert any("applications" in sentence for sentence in found.fixed)


def test_a_buffer_that_holds_for_new_sockets_only_says_so() -> None:
    found = between(text(), text(more='[set]\n"net.core.rmem_max" = 1048576'))
    assert found.apply[1].startswith("# holds for sockets opened afterwards")
    assert found.apply[2] == "sysctl -w net.core.rmem_max=1048576"


def test_a_name_that_would_be_an_option_is_not_written_into_a_command() -> None:
    found = between(with_nic('name = "-rf"'), with_nic('name = "-rf"\ngro = false'))
    assert found.apply == found.undo == []
    assert any("-rf" in sentence for sentence in found.fixed)


def test_a_change_that_is_refused_says_its_errno() -> None:
    with pytest.raises(ConfigError, match=r"--change: EINVAL: /sys/class/net/eth0/queues/rx-0/rps_cpus: "):
        machine(text(), "echo zz > /sys/class/net/eth0/queues/rx-0/rps_cpus")
    with pytest.raises(ConfigError, match="ENOENT"):
        machine(text(), "rm -rf /")


def test_a_cpu_goes_offline_last_and_comes_back_first_and_its_interrupt_is_moved_back() -> None:
    queues = text().replace("queues = 1", "queues = 2")
    change = "echo 0 > /sys/devices/system/cpu/cpu1/online"
    found = server_commands(machine(queues), machine(queues, change, "ethtool -G eth0 rx 512"))
    assert found.apply == ["set -eu", "ethtool -G eth0 rx 512", change]
    assert [line for line in found.undo if not line.startswith(("#", "irq()"))] == [
        "set -eu",
        "echo 1 > /sys/devices/system/cpu/cpu1/online",
        "ethtool -G eth0 rx 256",
        'echo 1 > "/proc/irq/$(irq eth0-TxRx-1)/smp_affinity_list"',
    ]


def test_where_threads_may_run_is_said_without_their_numbers() -> None:
    found = server_commands(machine(text()), machine(text(), "taskset -cp 0-1 reader0"))
    assert found.apply == ["set -eu", "# taskset -cp 0-1 PID, with the number of each of these threads: reader0"]
    assert found.undo == ["set -eu", "# taskset -cp 1 PID, with the number of each of these threads: reader0"]


@pytest.mark.parametrize(
    "line", ["", "echo f", "cat /proc/interrupts", "sysctl net.core.netdev_budget", "ethtool -l eth0"]
)
def test_a_change_that_only_shows_something_is_refused(line: str) -> None:
    with pytest.raises(ConfigError, match=r"^--change: .* changes nothing, write what does: echo VALUE > PATH$"):
        machine(text(), line)
