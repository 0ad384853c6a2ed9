"""The screen as text: fixed machines at 80 x 24, 120 x 40 and with 64 CPUs, exactly as a person sees them."""

from __future__ import annotations

from monitor.history import History
from monitor.lines import View
from monitor.render import frame
from tests.monitor.machine import MadeUpMachine


def screen(cpus: int, queues: int, view: View, nodes: int = 2) -> str:
    """The screen after 8 frames of 200 virtual ms, without spaces at the ends of its lines."""
    machine = MadeUpMachine(cpus, queues, nodes)
    history = History()
    for _ in range(8):
        machine.advance(200_000_000)
        snapshot = machine.snapshot()
        rates = history.push(snapshot)
    return "\n".join(text.rstrip() for text in frame(snapshot, rates, history.samples(), view).plain.split("\n"))


def test_four_cpus_and_queues_at_80_by_24() -> None:
    assert (
        screen(4, 4, View(80, 24), nodes=1)
        == """\
 softnet  prod-a.toml  eth0 4q 4cpu  00:00:01.600000  x0.25  RUN  open-loop TCP
 IN 1,641,120/s = OUT 1,554,700 + DROP 86,361 + HELD 59 | 8.93Gbit/s 94.7% out
 SQZ 33/s = budget 4 + time 29 | wire to read p50 6.0us p99 384us p99.9 3.0ms
 in     ████████ drop     ████████ sqz     ▄▆▅█▄▆▁▃ p99     ████████  1.4s
─ 1 CPU ────────────────────────────────────────── per second, sort: trouble v ─
 cpu nd load          %hi  %si %app %idl  proc  drop       b/t   rps qlen k
*  2  0 [hssssskaa.] 10.0 60.0 20.0 10.0  310k 34.4k      4/22 8.33k 1.0k R
*  0  0 [hsssa.....]  5.9 29.4 11.7 53.0  102k     0       0/7     0    0 -
   1  0 [ssa.......]  3.6 18.1  7.2 71.1  206k     0         - 8.33k    0 -
   3  0 [sa........]  2.6 13.1  5.2 79.1  161k     0         - 8.33k    0 -
─ 2 QUEUES ────────────────────────────── POLL: vector masked, sort: trouble v ─
 q      ring            fill irq>cpu irq/s p/poll  gro mode         pkt/s   drop
*rx-0   [########]   512/512  34   0 13.3k   20.0  2.0 POLL         667k  16.7k
 rx-1   [####....]   200/512  35   0 8.33k   20.0  2.0 POLL         417k      0
 rx-2   [##......]   100/512  36   0 6.06k   20.0  2.0 POLL         303k      0
 rx-3   [##......]    66/512  37   0 4.76k   20.0  2.0 irq 25us     238k      0
─ 5 WHY ───────────────────────────────── what counters prove of the last 1.0s ─
 ! rx-0 had no descriptor for 2.4 % of its frames; cpu0 polls it and was busy
   47 % of the time.                                     [p] proof [a] commands
 ! cpu2 refused 34,397 skbs/s at netdev_max_backlog 1000 and was busy 90 % of
   the time.                                             [p] proof [a] commands
 and 5 more sentences
─ KNOBS  budget 300  usecs 8000  weight 64  backlog 1000  rps e  rfs 0  gro on ─
 q quit  ? help  SPC pause  . step  + - speed  : command  p proof  1-6 panel"""
    )


def test_eight_cpus_and_queues_at_120_by_40() -> None:
    assert (
        screen(8, 8, View(120, 40))
        == """\
 softnet  prod-a.toml  eth0 8q 8cpu  rules 6.9 HZ=250  00:00:01.600000  x0.25  RUN  open-loop TCP  seed 42
 IN 2,276,990/s = OUT 2,190,284 + DROP 86,715 + HELD -9 | 12.4Gbit/s 96.2% out
 SQZ 27/s = budget 3 + time 24 (11 left work) | wire to read p50 6.0us p99 384us p99.9 3.0ms
 in               ████████ drop               ████████ sqz               ▄▅█▄▂▅▅▂ p99               ████████  1.4s
─ 1 CPU ──────────────────────────────── h hardirq  s softirq  k ksoftirqd  a app  . idle, per second, sort: trouble v ─
 cpu nd load                 %hi  %si %app %idl   proc   drop   sqz       b/t    rps   ipi>   qlen ks note
*  2  0 [hhsssssssskkaaa..] 10.0 60.0 20.0 10.0   310k  34.4k    17      3/14  8.33k      0   1001 R  backlog full
*  0  0 [hsssa............]  4.0 20.2  8.1 67.7   102k      0    10      0/10      0  25.0k      0 -  IRQ rx-0..3 full
   5  1 [hssssssaa........]  6.9 34.2 13.7 45.2   134k      0     0         -  8.33k      0      0 -
   3  0 [hssa.............]  2.8 14.3  5.7 77.2   161k      0     0         -  8.33k      0      0 -  app reader
   1  0 [s................]  1.1  5.6  2.3 91.0   206k      0     0         -  8.33k      0      0 -  app reader
   4  1 [ssa..............]  2.2 10.9  4.4 82.5  89.2k      0     0         -  8.33k      0      0 -  IRQ rx-4..7
   6  1 [ssa..............]  2.0 10.0  4.0 84.0  94.7k      0     0         -  8.33k      0      0 -
   7  1 [offline          ]    -    -    -    -      0      0     0         -      0      0      0 -  offline
 node0 [#######...........]  39% node1 [######............]  29%  crossing nodes 0.0% of skbs  1.10M skb/s processed
─ 2 QUEUES ─────────────────────────────────── sort: trouble v ─ ─ 3 STEERING ─── % of skbs, i: IRQ cpu, !: other node ─
 q      ring           fill irq>cpu irq/s p/poll  gro mode        q         c0   c1   c2   c3 |   c4   c5   c6   c7
*rx-0   [#######]   512/512  34   0 13.3k   20.0  2.0 POLL        rx-0    i 13   12   63   12 |    .    .    .    .
 rx-1   [###....]   200/512  35   0 8.33k   20.0  2.0 POLL        rx-1    i 13   63   12   12 |    .    .    .    .
 rx-2   [##.....]   100/512  36   0 6.06k   20.0  2.0 POLL        rx-2    i 13   12   63   12 |    .    .    .    .
 rx-3   [#......]    66/512  37   0 4.76k   20.0  2.0 irq 25us    rx-3    i 13   12   12   63 |    .    .    .    .
 rx-4   [#......]    50/512  38   4 3.92k   20.0  2.0 irq ~25us   rx-4       .    .    .    . | i 17   67   16    .
 rx-5   [#......]    40/512  39   4 3.33k   20.0  2.0 irq 25us    rx-5       .    .    .    . | i 17   16   67    .
 rx-6   [#......]    33/512  40   4 2.90k   20.0  2.0 irq 25us    rx-6       .    .    .    . | i 67   17   16    .
 rx-7   [#......]    28/512  41   4 2.56k   20.0  2.0 irq 25us    rx-7       .    .    .    . | i 17   67   16    .
─ 4 WHERE PACKETS GO ──────────────────────────────────────────────────────────────────────────────────────── a second ─
          wire    ring    napi     gro     rps backlog      ip      l4    sock     app |lost/s reason
 pkts    2.28M > 2.26M > 2.26M > 2.26M > 2.26M > 2.19M > 2.19M > 2.19M > 2.15M > 2.15M | 68.8k CPU_BACKLOG (cpu2)
 skbs                    2.26M   1.13M   1.13M   1.10M   1.10M   1.10M   2.15M   2.15M | 16.7k ring full (rx-0)
 p99                      64us   128us           192us                   256us   320us | 1.26k SOCKET_RCVBUFF (reader)
─ 5 WHY ───────────────────────────────────────────────────────────────────────── what counters prove of the last 1.0s ─
 ! rx-0 had no descriptor for 2.4 % of its frames; cpu0 polls it and was busy 32 % of the time.  [p] proof [a] commands
 ! cpu2 refused 34,397 skbs/s at netdev_max_backlog 1000 and was busy 90 % of the time.          [p] proof [a] commands
 ! Sockets had no room for 1,256 frames/s (0.1 % of what came), most at reader.                               [p] proof
 and 3 more sentences
─ 6 EVENTS ────────────────────────────────────────────────────────────────────────────────── newest last, filter: all ─
 01.600000  c2 time_squeeze 28 by time, work left
 01.600000   - rx-0 is full: 512 frames wait, the device drops pkt 8
─ KNOBS  budget 300  usecs 8000  weight 64  backlog 1000  rps e,0  rfs 0  rx-usecs 25  ring 512  gro on ────────────────
 q quit  ? help  SPC pause  . step  + - speed  : command  s save  p proof  a commands  w what-if  k knobs  1-6 panel"""
    )


def test_sixty_four_cpus_fold_into_nodes_and_heat_at_120_by_40() -> None:
    assert (
        screen(64, 8, View(120, 40))
        == """\
 softnet  prod-a.toml  eth0 8q 64cpu  rules 6.9 HZ=250  00:00:01.600000  x0.25  RUN  open-loop TCP  seed 42
 IN 2,276,990/s = OUT 2,190,302 + DROP 86,715 + HELD -27 | 12.4Gbit/s 96.2% out
 SQZ 56/s = budget 4 + time 52 (24 left work) | wire to read p50 6.0us p99 384us p99.9 3.0ms
 in               ████████ drop               ████████ sqz               ▄█▃▆▆▃▆█ p99               ████████  1.4s
─ 1 CPU ──────────────────────────────── h hardirq  s softirq  k ksoftirqd  a app  . idle, per second, sort: trouble v ─
 cpu nd load                 %hi  %si %app %idl   proc   drop   sqz       b/t    rps   ipi>   qlen ks note
*node0  [hsssa............]  3.7 18.9  7.4 70.0  1.10M  34.4k    56      4/52   250k  25.0k   1001 1  2 in trouble
     0-31 |!2!2114x322332444434323232434132|
 node1  [hsssa............]  3.5 17.7  7.1 71.7      0      0     0         -   267k      0      0 -
    32-63 |113415433655423.2141331432232324|
*  2  0 [hhsssssssskkaaa..] 10.0 60.0 20.0 10.0   310k  34.4k    28      4/24  8.33k      0   1001 R  backlog full
*  0  0 [hssssaa..........]  4.8 24.1  9.6 61.5   102k      0    28      0/28      0  25.0k      0 -  IRQ rx-0..3 full
  41  1 [hsssssssaaa......]  8.0 40.2 16.1 35.7      0      0     0         -  8.33k      0      0 -
  14  0 [hssssaa..........]  5.1 25.7 10.3 58.9      0      0     0         -  8.33k      0      0 -
 and 60 CPUs in less trouble
 node0 [######............]  30% node1 [######............]  28%  crossing nodes 0.0% of skbs  1.10M skb/s processed
─ 2 QUEUES ─────────────────────────────────── sort: trouble v ─ ─ 3 STEERING ─── % of skbs, i: IRQ cpu, !: other node ─
 q      ring           fill irq>cpu irq/s p/poll  gro mode        q      its CPUs, the largest share first
*rx-0   [#######]   512/512  34   0 13.3k   20.0  2.0 POLL        rx-0    i c0     c2 63%  c0 13%  c1 12%  c3 12%
 rx-1   [###....]   200/512  35   0 8.33k   20.0  2.0 POLL        rx-1    i c0     c1 63%  c0 13%  c2 12%  c3 12%
 rx-2   [##.....]   100/512  36   0 6.06k   20.0  2.0 POLL        rx-2    i c0     c2 63%  c0 13%  c1 12%  c3 12%
 rx-3   [#......]    66/512  37   0 4.76k   20.0  2.0 irq 25us    rx-3    i c0     c3 63%  c0 13%  c1 12%  c2 12%
 rx-4   [#......]    50/512  38   4 3.92k   20.0  2.0 irq ~25us   rx-4    i c4     c5 67%  c4 17%  c6 16%
 rx-5   [#......]    40/512  39   4 3.33k   20.0  2.0 irq 25us    rx-5    i c4     c6 67%  c4 17%  c5 16%
 rx-6   [#......]    33/512  40   4 2.90k   20.0  2.0 irq 25us    rx-6    i c4     c4 67%  c5 17%  c6 16%
 rx-7   [#......]    28/512  41   4 2.56k   20.0  2.0 irq 25us    rx-7    i c4     c5 67%  c4 17%  c6 16%
─ 4 WHERE PACKETS GO ──────────────────────────────────────────────────────────────────────────────────────── a second ─
          wire    ring    napi     gro     rps backlog      ip      l4    sock     app |lost/s reason
 pkts    2.28M > 2.26M > 2.26M > 2.26M > 2.26M > 2.19M > 2.19M > 2.19M > 2.15M > 2.15M | 68.8k CPU_BACKLOG (cpu2)
 skbs                    2.26M   1.13M   1.13M   1.10M   1.10M   1.10M   2.15M   2.15M | 16.7k ring full (rx-0)
 p99                      64us   128us           192us                   256us   320us | 1.26k SOCKET_RCVBUFF (reader)
─ 5 WHY ───────────────────────────────────────────────────────────────────────── what counters prove of the last 1.0s ─
 ! rx-0 had no descriptor for 2.4 % of its frames; cpu0 polls it and was busy 38 % of the time.  [p] proof [a] commands
 ! cpu2 refused 34,397 skbs/s at netdev_max_backlog 1000 and was busy 90 % of the time.          [p] proof [a] commands
 and 4 more sentences
─ 6 EVENTS ────────────────────────────────────────────────────────────────────────────────── newest last, filter: all ─
 01.600000  c2 time_squeeze 32 by time, work left
 01.600000   - rx-0 is full: 512 frames wait, the device drops pkt 8
─ KNOBS  budget 300  usecs 8000  weight 64  backlog 1000  rps e,0  rfs 0  rx-usecs 25  ring 512  gro on ────────────────
 q quit  ? help  SPC pause  . step  + - speed  : command  s save  p proof  a commands  w what-if  k knobs  1-6 panel"""
    )


def test_sixty_four_cpus_fold_into_heat_at_80_by_24_in_ascii() -> None:
    assert (
        screen(64, 8, View(80, 24, unicode=False))
        == """\
 softnet  prod-a.toml  eth0 8q 64cpu  00:00:01.600000  x0.25  RUN  open-loop TCP
 IN 2,276,990/s = OUT 2,190,302 + DROP 86,715 + HELD -27 | 12.4Gbit/s 96.2% out
 SQZ 56/s = budget 4 + time 52 | wire to read p50 6.0us p99 384us p99.9 3.0ms
 in     ######## drop     ######## sqz     -#:++:+# p99     ########  1.4s
- 1 CPU ------------------------------------------ per second, sort: trouble v -
 cpu nd load          %hi  %si %app %idl  proc  drop       b/t   rps qlen k
     0-31 |!2!2114x322332444434323232434132|
    32-63 |113415433655423.2141331432232324|
*  2  0 [hssssskaa.] 10.0 60.0 20.0 10.0  310k 34.4k      4/24 8.33k 1.0k R
*  0  0 [hssa......]  4.8 24.1  9.6 61.5  102k     0      0/28     0    0 -
 and 62 CPUs in less trouble
 node0 [##..]  30%  crossing nodes 0.0% of skbs  1.10M skb/s processed
- 2 QUEUES ------------------------------ POLL: vector masked, sort: trouble v -
 q      ring            fill irq>cpu irq/s p/poll  gro mode         pkt/s   drop
*rx-0   [########]   512/512  34   0 13.3k   20.0  2.0 POLL         667k  16.7k
 rx-1   [####....]   200/512  35   0 8.33k   20.0  2.0 POLL         417k      0
 rx-2   [##......]   100/512  36   0 6.06k   20.0  2.0 POLL         303k      0
 and 5 queues in less trouble
- 5 WHY --------------------------------- what counters prove of the last 1.0s -
 ! rx-0 had no descriptor for 2.4 % of its frames; cpu0 polls it and was busy
   38 % of the time.                                     [p] proof [a] commands
 and 5 more sentences
- KNOBS  budget 300  usecs 8000  weight 64  backlog 1000  rps e,0  rfs 0 -------
 q quit  ? help  SPC pause  . step  + - speed  : command  p proof  1-6 panel"""
    )


def test_a_small_terminal_is_told_what_is_missing() -> None:
    assert (
        screen(4, 4, View(60, 12), nodes=1)
        == """\
 prod-a.toml  00:00:01.600000  x0.25  RUN  open-loop TCP
 20 columns and 12 lines missing for queues, flow, why
 IN 1,641,120/s = OUT 1,554,700
  + DROP 86,361 + HELD 59
 SQZ 33 = b 4 + t 29
*cpu2   hi 10.0 si 60.0 app 20.0 idl 10.0 drop 34.4k
*cpu0   hi  5.9 si 29.4 app 11.7 idl 53.0 drop 0
 cpu1   hi  3.6 si 18.1 app  7.2 idl 71.1 drop 0
 cpu3   hi  2.6 si 13.1 app  5.2 idl 79.1 drop 0


 RUN  q quit"""
    )


def test_the_help_stands_in_place_of_the_panels() -> None:
    assert (
        screen(4, 4, View(80, 24, page="help"), nodes=1)
        == """\
 softnet  prod-a.toml  eth0 4q 4cpu  00:00:01.600000  x0.25  RUN  open-loop TCP
 IN 1,641,120/s = OUT 1,554,700 + DROP 86,361 + HELD 59 | 8.93Gbit/s 94.7% out
 SQZ 33/s = budget 4 + time 29 | wire to read p50 6.0us p99 384us p99.9 3.0ms
 in     ████████ drop     ████████ sqz     ▄▆▅█▄▆▁▃ p99     ████████  1.4s
─ HELP ─────────────────────────────────────────────────────────── up and down ─
  q F10 Ctrl-C            quit; the summary follows
  space  .                pause and go on; pause, then one step
  + -                     faster, slower; pace never changes a result
  1..6 Tab                go to a panel; the next, Shift-Tab the one before
  arrows Home End PgUp    move in a panel or page; h j k l where it fills the sc
  Enter Esc               the panel on the whole screen; back
  / F3 n N                search the rows, next, previous
  \\ F4                    filter events: cpu2, rx-0, pkt 7, words
  < > F6 I                sort by another column, the other way round
  t F5 e                  CPUs as map or list; expand a node
  p a w                   what proves a WHY sentence; its commands; what-if
  k b                     all knobs; before and after the last change
  :  s                    a command: echo, sysctl, ethtool; save the run
  F2 S  Ctrl-L Ctrl-Z     set-up; draw again; suspend, fg comes back
  ? h F1                  this page and back
  IN = OUT + DROP + HELD  wire frames a virtual second; HELD: gained by queues
 and 9 more lines
─ KNOBS  budget 300  usecs 8000  weight 64  backlog 1000  rps e  rfs 0  gro on ─
 q quit  Esc back  SPC pause  . step  + - speed  : command  s save"""
    )


def test_small_terminals_lose_events_first_then_the_flow_then_the_matrix() -> None:
    shown = [
        [name for name in ("STEERING", "WHERE PACKETS", "WHY", "EVENTS") if name in screen(4, 4, View(100, height), 1)]
        for height in (40, 31, 28, 24)
    ]
    assert shown[0] == ["STEERING", "WHERE PACKETS", "WHY", "EVENTS"]
    assert shown[-1] == ["WHY"]
    order = ["EVENTS", "WHERE PACKETS", "STEERING"]
    for names in shown:
        lost = [name for name in order if name not in names]
        assert lost == order[: len(lost)]


def test_two_hundred_and_fifty_six_cpus_have_a_cell_each() -> None:
    text = screen(256, 8, View(80, 24), 4)
    cells = "".join(line.split("|")[1] for line in text.split("\n") if line.count("|") == 2 and "SQZ" not in line)
    assert len(cells) == 256
    assert "had no descriptor" in text
