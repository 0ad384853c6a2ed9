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
00:00:01.000000     1100710     1033834       64141        2735      6      1      5   4.3 23.8  8.5 63.4 108us 410us
00:00:02.000000     1099998     1035818       64144          36     10      2      8   5.9 32.0 11.8 50.3 108us 410us
00:00:03.000000     1099998     1035891       64142         -35      9      2      7   5.2 28.3 10.3 56.2 108us 410us
00:00:03.500000     1099998     1035838       64144          16     28      4     24   5.0 27.3  9.9 57.8 108us 410us"""
    )


def test_the_summary_says_everything_in_whole_numbers() -> None:
    assert (
        batch_output().split("\n\n", 1)[1]
        == """\
prod-a.toml: finished at 00:00:03.500000 of virtual time
  eth0, 2 queues, 4 CPUs, rules 6.9, HZ=250, seed 42, settings 6f1c
  Captured TCP is open-loop: its sender does not slow down, whatever is lost here.

Frames
  arrived            3,850,705  100.00%     1.10M/s
  = read             3,547,629   92.13%     1.01M/s
  + consumed            75,833    1.97%     21.7k/s
  + dropped            224,499    5.83%     64.1k/s
  + held                 2,744    0.07%       784/s
  bytes arrived  2,618,479,400           5.99Gbit/s
  (consumed: by the kernel itself, as pure ACKs, handshakes, ARP and ICMP)

Drops by reason
  CPU_BACKLOG     164,062  4.26%
  NIC_RING_FULL    58,331  1.51%
  SOCKET_RCVBUFF    2,106  0.05%

CPUs
  cpu  node  %hi  %si %app %idl    proc   drop sqz budget time left    rps   ipis  qlen ksoftirqd
  cpu0    0  4.1 20.5  8.2 67.2 236,974      0  15      0   15    6      0 87,500     0         6
  cpu1    0  5.5 27.4 11.0 56.1 601,567      0   0      0    0    0 29,165      0     0         0
  cpu2    0 10.0 60.0 20.0 10.0 737,283 82,031  24      7   17   11 29,165      0 1,001        11
  cpu3    0  0.7  3.8  1.5 94.0 236,974      0   0      0    0    0 29,165      0     0         0

Queues
  queue irq cpu interrupts   polls    frames frames/poll full polls  gro    ring  drops
  rx-0   34   0     46,665 116,665 2,333,331        20.0     23,331 2.00 512/512 58,331
  rx-1   35   0     29,165  72,915 1,458,331        20.0     14,581 2.00 200/512      0

Waits of the whole run
  stage       samples  mean    p50    p90    p99  p99.9    max
  ring      3,547,629  20us   18us   40us  410us  2.1ms  3.0ms
  gro       3,547,629  20us   36us   80us  410us  2.1ms  3.0ms
  backlog   3,547,629  20us   54us  120us  410us  2.1ms  3.0ms
  protocol  3,547,629  20us   72us  160us  410us  2.1ms  3.0ms
  socket    3,547,629  20us   90us  200us  410us  2.1ms  3.0ms
  total     3,547,629  20us  108us  240us  410us  2.1ms  3.0ms

Why
  ! rx-0 had no descriptor for 2.4 % of its frames; cpu0 polls it and was busy 33 % of the time.
  ! cpu2 refused 23,437 skbs/s at netdev_max_backlog 1000 and was busy 90 % of the time.
  ! Sockets had no room for 602 frames/s (0.1 % of what came), most at reader.
  ! One flow, udp 10.0.0.9:443 > 10.0.0.1:51312, is 47 % of rx-0 by 38251 frames looked at; RPS keeps a flow on one CPU.
  ! 17 of 24 squeezes on cpu2 ended on netdev_budget_usecs 8000; a larger netdev_budget changes nothing about them.
  i cpu1 got 62.5 % of rx-1; an even share of its 3 RPS CPUs is 33.3 %.
  i All 2 vectors go to cpu0, which was busy 33 % of the time; 3 other CPUs take none.

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
