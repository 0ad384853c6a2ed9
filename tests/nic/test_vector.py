"""Which CPU a vector interrupts."""

from __future__ import annotations

import pytest

from cpus.cpu import Cpu
from cpus.interrupts import Interrupt
from emu.errors import ConfigError, ControlError
from nic.vector import VECTORS_PER_CPU, MsixVector
from tests.nic.rig import Rig, frame, udp_headers


def rig(cpus: int = 4, queues: int = 4) -> Rig:
    return Rig([], cpus=cpus, queues=queues)


def vectors(made: Rig) -> list[MsixVector]:
    return made.nic.vectors


def test_vectors_are_named_and_hinted_as_ice_does() -> None:
    """S14."""
    made = vectors(rig(cpus=2, queues=4))
    assert [vector.name for vector in made] == ["eth0-TxRx-0", "eth0-TxRx-1", "eth0-TxRx-2", "eth0-TxRx-3"]
    assert [(vector.irq, vector.hint, vector.affinity, vector.cpu) for vector in made] == [
        (32, 0b01, 0b01, 0),
        (33, 0b10, 0b10, 1),
        (34, 0, 0b11, 0),
        (35, 0, 0b11, 1),
    ]


@pytest.mark.parametrize(
    ("mask", "taken", "cpu"),
    [
        (0b1110, (0, 0, 0, 0), 1),
        (0b1110, (0, 1, 1, 0), 3),
        (0b1110, (0, 2, 1, 1), 2),
        (0b0100, (0, 0, 9, 0), 2),
        (0b1010, (0, 3, 0, 3), 1),
        (0b1100, (0, 0, 5, 4), 3),
    ],
)
def test_the_cpu_of_the_mask_with_most_free_vectors_the_lowest_on_a_tie(
    mask: int, taken: tuple[int, ...], cpu: int
) -> None:
    """S13. `taken` are vectors of other devices."""
    made = rig(queues=1)
    for index, count in enumerate(taken):
        made.matrix.free[index] -= count
    made.nic.set_affinity(0, mask)
    assert vectors(made)[0].cpu == cpu


def test_a_mask_that_holds_the_present_cpu_moves_nothing() -> None:
    made = rig(queues=1)
    made.matrix.free[0] -= 50
    made.nic.set_affinity(0, 0b1111)
    assert (vectors(made)[0].cpu, vectors(made)[0].affinity) == (0, 0b1111)


def test_a_move_frees_the_vector_where_it_was() -> None:
    made = rig(queues=1)
    made.nic.set_affinity(0, 0b0010)
    assert made.matrix.free == [VECTORS_PER_CPU, VECTORS_PER_CPU - 1, VECTORS_PER_CPU, VECTORS_PER_CPU]


def test_offline_cpus_of_a_mask_are_passed_over() -> None:
    made = rig(queues=1)
    made.cpus[1].online = False
    made.nic.set_affinity(0, 0b0110)
    assert vectors(made)[0].cpu == 2


def test_a_mask_without_an_online_cpu_is_refused() -> None:
    made = rig(queues=1)
    made.cpus[3].online = False
    for mask in (0, 0b1000):
        with pytest.raises(ControlError, match="online") as error:
            made.nic.set_affinity(0, mask)
        assert error.value.errno_name == "EINVAL"
    assert (vectors(made)[0].cpu, vectors(made)[0].affinity) == (0, 1)


def test_full_cpus_take_no_vector() -> None:
    made = rig(queues=1)
    made.matrix.free[2] = 0
    with pytest.raises(ControlError) as error:
        made.nic.set_affinity(0, 0b0100)
    assert error.value.errno_name == "ENOSPC"
    assert vectors(made)[0].cpu == 0


def test_more_vectors_than_the_cpus_have_are_refused_at_build_time() -> None:
    with pytest.raises(ConfigError, match=str(VECTORS_PER_CPU)):
        Rig([], cpus=1, queues=VECTORS_PER_CPU + 1)


def test_a_dead_cpus_vector_moves_even_where_no_room_is_left() -> None:
    made = rig(cpus=2, queues=1)
    made.matrix.free[1] = 0
    made.cpus[0].online = False
    made.nic.cpu_offline(0, 0)
    assert (vectors(made)[0].cpu, made.matrix.free) == (1, [VECTORS_PER_CPU, -1])


def test_a_vector_leaves_an_offline_cpu_within_its_mask_and_loses_the_mask_if_it_must() -> None:
    made = rig(queues=1)
    vector = vectors(made)[0]
    made.nic.set_affinity(0, 0b0011)
    made.cpus[0].online = False
    made.nic.cpu_offline(0, 0)
    assert (vector.cpu, vector.affinity) == (1, 0b0011)
    made.cpus[1].online = False
    made.nic.cpu_offline(1, 0)
    assert (vector.cpu, vector.affinity) == (2, 0b1100)
    made.cpus[0].online = True
    made.nic.cpu_online(0)
    assert (vector.cpu, vector.affinity) == (2, 0b1100)


def test_an_interrupt_that_a_dead_cpu_did_not_take_reaches_its_heir() -> None:
    made = Rig([frame(udp_headers(), 10_000)], cpus=2)

    def die() -> None:
        made.machine.hotplug.set_online(0, False, made.clock.now_ns, made.machine.user_rank)

    made.machine.hotplug.on_dead.append(lambda dead, adopter: made.nic.cpu_offline(dead.index, dead.local_now_ns))
    made.at(5_000, die)
    made.run()
    assert made.irqs == [(0, 1, 10_000)]
    assert [cpu for cpu, _, _ in made.received] == [1]


def test_an_interrupt_that_came_before_the_vector_moved_is_not_lost_with_its_cpu() -> None:
    """CPU 0 is in a handler of 9 us when the frame's interrupt comes, the vector moves, and the CPU dies."""
    made = Rig([frame(udp_headers(), 10_000)], cpus=2)
    hotplug = made.machine.hotplug
    hotplug.on_dead.append(lambda dead, adopter: made.nic.cpu_offline(dead.index, dead.local_now_ns))

    class Long(Interrupt):
        def handle(self, cpu: Cpu) -> None:
            cpu.local_now_ns += 9_000

    made.cpus[0].send(Long(), 5_000, 0)
    hotplug.set_online(0, False, 5_001, 0)
    made.at(12_000, lambda: made.nic.set_affinity(0, 0b10))
    made.run()
    assert [cpu for cpu, _, _ in made.received] == [1]
    assert made.nic.vectors[0].armed


def test_queues_are_spread_over_fewer_vectors_in_blocks() -> None:
    made = Rig([], cpus=4, queues=5, vectors=2)
    assert [[ring.index for ring in vector.rings] for vector in vectors(made)] == [[0, 1, 2], [3, 4]]
