"""Batch lines and the summary as text, and that their columns add up."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from monitor.batch import HEADER, BatchWriter, batch_line
from monitor.rates import delta
from monitor.summary import summary
from tests.monitor.machine import MadeUpMachine


def batch_output() -> str:
    """Three intervals of a virtual second and a half one."""
    machine = MadeUpMachine(4, 2, 1)
    written: list[str] = []
    writer = BatchWriter(written.append)
    for _ in range(3):
        machine.advance(1_000_000_000)
        writer.interval(machine.snapshot())
    machine.advance(500_000_000)
    machine.finished = True
    writer.end(machine.snapshot())
    return "".join(written)


def test_one_line_an_interval_under_a_header() -> None:
    assert (
        batch_output().split("\n\n")[0]
        == """\
           time        in/s       out/s      drop/s      held/s  sqz/s budget   time   %hi  %si %app %idl   p50   p99
00:00:01.000000     2690728     2553665      135884        1179      6      1      5   4.3 23.8  8.5 63.4 108us 410us
00:00:02.000000     2557581     2428092      129160         329     15      0     15   3.2 18.4  6.3 72.1 108us 410us
00:00:03.000000     2750355     2611362      138894          99      7      2      5   2.9 17.1  5.9 74.1 108us 410us
00:00:03.500000     2612128     2480618      131914        -404     12      0     12   6.4 34.7 12.9 46.0 108us 410us"""
    )


def test_the_summary_says_everything_in_whole_numbers() -> None:
    assert (
        batch_output().split("\n\n", 1)[1]
        == """\
prod-a.toml: finished at 00:00:03.500000 of virtual time
  eth0, 2 queues, 4 CPUs, rules 6.9, HZ=250, seed 42, settings 6f1c
  Captured TCP is open-loop: its sender does not slow down, whatever is lost here.

Frames
  arrived            9,304,728  100.00%     2.66M/s
  = read             8,656,761   93.04%     2.47M/s
  + consumed           176,667    1.90%     50.5k/s
  + dropped            469,895    5.05%      134k/s
  + held                 1,405    0.02%       401/s
  bytes arrived  6,327,215,040           14.5Gbit/s
  (consumed: by the kernel itself, as pure ACKs, handshakes, ARP and ICMP)

Drops by reason
  CPU_BACKLOG     232,616  2.50%
  NIC_RING_FULL   226,943  2.44%
  SOCKET_RCVBUFF   10,336  0.11%

CPUs
  cpu  node  %hi  %si %app %idl      proc    drop sqz budget time left    rps   ipis  qlen ksoftirqd
  cpu0    0  0.8  3.9  1.6 93.7 1,750,000       0  18      0   18    8      0 87,500     0         8
  cpu1    0  3.1 15.4  6.2 75.3 1,750,000       0   0      0    0    0 38,888      0     0         0
  cpu2    0 10.0 60.0 20.0 10.0 1,750,000 233,331  16      3   13    6 38,888      0 1,001         6
  cpu3    0  1.6  8.3  3.3 86.8 1,750,000       0   0      0    0    0 38,888      0     0         0

Queues
  queue irq cpu interrupts   polls    frames frames/poll full polls  gro    ring  drops
  rx-0   34   0     46,665 116,665 2,333,331        20.0     23,331 2.00 512/512 58,331
  rx-1   35   0     29,165  72,915 1,458,331        20.0     14,581 2.00 200/512      0

Waits of the whole run
  stage      samples  mean    p50    p90    p99  p99.9    max
  ring     8,656,761  20us   18us   40us  410us  2.1ms  3.0ms
  gro      8,656,761  20us   36us   80us  410us  2.1ms  3.0ms
  backlog  8,656,761  20us   54us  120us  410us  2.1ms  3.0ms
  ip       8,656,761  20us   72us  160us  410us  2.1ms  3.0ms
  socket   8,656,761  20us   90us  200us  410us  2.1ms  3.0ms
  total    8,656,761  20us  108us  240us  410us  2.1ms  3.0ms

Again: softnet run prod-a.toml --seed 42
"""
    )


def test_an_interval_without_time_writes_no_second_line() -> None:
    machine = MadeUpMachine(2, 1)
    machine.advance(1_000)
    written: list[str] = []
    writer = BatchWriter(written.append)
    writer.interval(machine.snapshot())
    writer.interval(machine.snapshot())
    assert len(written) == 2
    assert written[0] == HEADER + "\n"


@given(st.integers(0, 10**6), st.integers(1, 10**10))
def test_the_columns_add_up_and_stay_in_place(seed: int, step_ns: int) -> None:
    machine = MadeUpMachine(3, 2, seed=seed)
    machine.advance(1_000_000)
    old = machine.snapshot()
    machine.advance(step_ns)
    words = batch_line(machine.snapshot(), delta(old, machine.snapshot()))
    columns = words.split()
    assert len(columns) == len(HEADER.split())
    arrived, out, dropped, held, squeezes, budget, time = (int(column) for column in columns[1:8])
    assert arrived == out + dropped + held
    assert squeezes == budget + time
    assert round(sum(float(share) for share in columns[8:12]), 1) == 100
    if step_ns > 10_000_000:
        assert len(words) == len(HEADER)


def test_a_summary_carries_no_command_of_a_terminal() -> None:
    snapshot = MadeUpMachine(2, 1).snapshot()
    meta = msgspec.structs.replace(snapshot.meta, scenario="a\x1b[2J\x9b", nic="\x07eth", command="x\r\x1b]0;y\x07")
    words = summary(msgspec.structs.replace(snapshot, meta=meta))
    assert all(c == "\n" or c.isprintable() for c in words)


def test_a_run_of_no_time_has_a_summary() -> None:
    words = summary(MadeUpMachine(2, 1).snapshot())
    assert "stopped at 00:00:00.000000" in words
    assert "CPUs" in words.splitlines()[1]
