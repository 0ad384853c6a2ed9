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
 IN 2,662,098/s = OUT 2,527,790 + DROP 134,431 + HELD -123 | 14.5Gbit/s
 SQZ 40/s = budget 2 + time 38 | wire to read p50 108us p99 410us p99.9 2.1ms
 in     ████████ drop     ████████ sqz     ▄█▄▄▆▆▃▅ wait     ████████  1.4s
─ CPU ─────────── h hardirq  s softirq  k ksoftirqd  a app  . idle, per second ─
 cpu nd load          %hi  %si %app %idl  proc  drop       b/t   rps qlen k
*  2  0 [hssssskaa.] 10.0 60.0 20.0 10.0  500k 66.7k      2/25 11.1k 1.0k R
*  0  0 [sa........]  2.5 12.7  5.1 79.7  500k     0      0/13     0    0 -
   1  0 [ssa.......]  4.3 21.6  8.7 65.4  500k     0         - 11.1k    0 -
   3  0 [sa........]  2.5 12.5  5.0 80.0  500k     0         - 11.1k    0 -
─ QUEUES ──────────────────────────────────── per second, POLL = vector masked ─
 q      ring            fill  irq >cpu irq/s p/poll  gro mode       pkt/s  drop
*rx-0   [########]   512/512   34    0 13.3k   20.0  2.0 POLL        667k 16.7k
 rx-1   [####....]   200/512   35    0 8.33k   20.0  2.0 POLL        417k     0
 rx-2   [##......]   100/512   36    0 6.06k   20.0  2.0 POLL        303k     0
 rx-3   [##......]    66/512   37    0 4.76k   20.0  2.0 irq 25us    238k     0
─ WHERE FRAMES END ─────────────────── ─ WAITS ───────────────────── whole run ─
 reason                     /s  frames  stage        p50   p90   p99 p99.9   max
 CPU_BACKLOG             66.5k    107k  total      108us 240us 410us 2.1ms 3.0ms
 NIC_RING_FULL           64.9k    104k  ring        18us  40us 410us 2.1ms 3.0ms
 SOCKET_RCVBUFF          2.96k   4.73k  gro         36us  80us 410us 2.1ms 3.0ms
 held: backlogs                  1.00k  backlog     54us 120us 410us 2.1ms 3.0ms
 and 4 more accounts                    and 2 stages
 q quit  ? help  SPC pause  . step  + - speed  : command  s save"""
    )


def test_eight_cpus_and_queues_at_120_by_40() -> None:
    assert (
        screen(8, 8, View(120, 40))
        == """\
 softnet  prod-a.toml  eth0 8q 8cpu  rules 6.9 HZ=250  00:00:01.600000  x0.25  RUN  open-loop TCP  seed 42
 IN 2,647,418/s = OUT 2,513,490 + DROP 133,689 + HELD 239 | 14.4Gbit/s 94.9% out
 SQZ 57/s = budget 4 + time 53 (26 left work) | wire to read p50 108us p99 410us p99.9 2.1ms of the whole run
 in               ██▇▇███▇ drop               ██▇▇███▇ sqz               ▄▇▄▅▇▅█▇ wait               ████████  1.4s
─ CPU ─────────────────────────────────────────────────── h hardirq  s softirq  k ksoftirqd  a app  . idle, per second ─
 cpu nd load                     %hi  %si %app %idl   proc   drop   sqz        b/t    rps   ipi>   qlen ks note
*  2  0 [hhssssssssssskkaaaa..] 10.0 60.0 20.0 10.0   500k  66.7k    32       4/28  11.1k      0   1001 R  backlog full
*  0  0 [ssa..................]  2.1 10.4  4.1 83.4   500k      0    25       0/25      0  25.0k      0 -  IRQ rx-0..3
   1  0 [hssssaa..............]  4.2 21.0  8.4 66.4   500k      0     0          -  11.1k      0      0 -  app reader
   3  0 [hsssa................]  2.9 14.4  5.7 77.0   500k      0     0          -  11.1k      0      0 -  app reader
   4  1 [hssssaa..............]  3.8 19.3  7.7 69.2   500k      0     0          -  11.1k      0      0 -  IRQ rx-4..7
   5  1 [sssa.................]  2.6 13.0  5.2 79.2   500k      0     0          -  11.1k      0      0 -
   6  1 [hsssa................]  2.7 13.8  5.5 78.0   500k      0     0          -  11.1k      0      0 -
   7  1 [                     ]    -    -    -    -      0      0     0          -      0      0      0 -  offline
─ QUEUES ─────────────────────────────────── per second, POLL = vector masked ─ ─ WHERE FRAMES END ─────────────────────
 q      ring            fill  irq >cpu irq/s p/poll  gro mode       pkt/s  drop  reason                       /s  frames
*rx-0   [########]   512/512   34    0 13.3k   20.0  2.0 POLL        667k 16.7k  CPU_BACKLOG               66.2k    106k
 rx-1   [####....]   200/512   35    0 8.33k   20.0  2.0 POLL        417k     0  NIC_RING_FULL             64.6k    103k
 rx-2   [##......]   100/512   36    0 6.06k   20.0  2.0 POLL        303k     0  SOCKET_RCVBUFF            2.94k   4.69k
 rx-3   [##......]    66/512   37    0 4.76k   20.0  2.0 irq 25us    238k     0  held: backlogs                    1.00k
 rx-4   [#.......]    50/512   38    4 3.92k   20.0  2.0 irq ~25us   196k     0  held: rings                         559
 rx-5   [#.......]    40/512   39    4 3.33k   20.0  2.0 irq 25us    167k     0  held: sockets                        61
 rx-6   [#.......]    33/512   40    4 2.90k   20.0  2.0 irq 25us    145k     0  read                      2.46M   3.93M
 rx-7   [#.......]    28/512   41    4 2.56k   20.0  2.0 irq 25us    128k     0  consumed in kernel        50.3k   80.1k
─ WAITS ──────────────────────────────────────── whole run ─ ─ EVENTS ──────────────────────────────────── newest last ─
 stage                   count   p50   p90   p99 p99.9   max  00.200000  c2 time_squeeze 0 by time, work left
 total                   3.93M 108us 240us 410us 2.1ms 3.0ms  00.400000  c2 time_squeeze 6 by time, work left
 ring                    3.93M  18us  40us 410us 2.1ms 3.0ms  00.600000  c2 time_squeeze 9 by time, work left
 gro                     3.93M  36us  80us 410us 2.1ms 3.0ms  00.800000  c2 time_squeeze 10 by time, work left
 backlog                 3.93M  54us 120us 410us 2.1ms 3.0ms  01.000000  c2 time_squeeze 17 by time, work left
 ip                      3.93M  72us 160us 410us 2.1ms 3.0ms  01.200000  c2 time_squeeze 26 by time, work left
 socket                  3.93M  90us 200us 410us 2.1ms 3.0ms  01.400000  c2 time_squeeze 33 by time, work left
                                                              01.600000  c2 time_squeeze 37 by time, work left






 q quit  ? help  SPC pause  . step  + - speed  : command  s save"""
    )


def test_sixty_four_cpus_fold_into_nodes_and_heat_at_120_by_40() -> None:
    assert (
        screen(64, 8, View(120, 40))
        == """\
 softnet  prod-a.toml  eth0 8q 64cpu  rules 6.9 HZ=250  00:00:01.600000  x0.25  RUN  open-loop TCP  seed 42
 IN 2,599,952/s = OUT 2,468,697 + DROP 131,292 + HELD -37 | 14.1Gbit/s 95.0% out
 SQZ 37/s = budget 7 + time 30 (16 left work) | wire to read p50 108us p99 410us p99.9 2.1ms of the whole run
 in               ████████ drop               ████████ sqz               ▃█▃▂▃▆▆▃ wait               ████████  1.4s
─ CPU ─────────────────────────────────────────────────── h hardirq  s softirq  k ksoftirqd  a app  . idle, per second ─
 cpu nd load                     %hi  %si %app %idl   proc   drop   sqz        b/t    rps   ipi>   qlen ks note
*node0  [hssssa...............]  3.7 18.9  7.4 70.0  15.5M  66.7k    37       7/30   333k  25.0k   1001 1  2 in trouble
     0-31 |!3!3252x225455223214143221431324|
 node1  [hssssa...............]  3.6 18.1  7.3 71.0  16.0M      0     0          -   356k      0      0 -
    32-63 |35543353222141432225242314233224|
*  2  0 [hhssssssssssskkaaaa..] 10.0 60.0 20.0 10.0   500k  66.7k    25       7/18  11.1k      0   1001 R  backlog full
*  0  0 [hsssa................]  3.2 16.0  6.4 74.4   500k      0    12       0/12      0  25.0k      0 -  IRQ rx-0..3
   5  0 [hsssssssaaa..........]  6.6 32.8 13.1 47.5   500k      0     0          -  11.1k      0      0 -
  10  0 [hssssssaaa...........]  6.1 30.4 12.2 51.3   500k      0     0          -  11.1k      0      0 -
  11  0 [hssssssaa............]  5.3 26.6 10.6 57.5   500k      0     0          -  11.1k      0      0 -
  12  0 [hsssssssaaa..........]  6.8 34.1 13.7 45.4   500k      0     0          -  11.1k      0      0 -
  13  0 [hssssssaaa...........]  5.8 28.9 11.6 53.7   500k      0     0          -  11.1k      0      0 -
  33  1 [hsssssssaaa..........]  6.6 33.1 13.2 47.1   500k      0     0          -  11.1k      0      0 -
  34  1 [hssssssaaa...........]  6.1 30.3 12.1 51.5   500k      0     0          -  11.1k      0      0 -
  38  1 [hsssssssaaa..........]  6.7 33.6 13.4 46.3   500k      0     0          -  11.1k      0      0 -
 and 54 CPUs in less trouble
─ QUEUES ─────────────────────────────────── per second, POLL = vector masked ─ ─ WHERE FRAMES END ─────────────────────
 q      ring            fill  irq >cpu irq/s p/poll  gro mode       pkt/s  drop  reason                       /s  frames
*rx-0   [########]   512/512   34    0 13.3k   20.0  2.0 POLL        667k 16.7k  CPU_BACKLOG               65.0k    104k
 rx-1   [####....]   200/512   35    0 8.33k   20.0  2.0 POLL        417k     0  NIC_RING_FULL             63.4k    102k
 rx-2   [##......]   100/512   36    0 6.06k   20.0  2.0 POLL        303k     0  SOCKET_RCVBUFF            2.89k   4.63k
 rx-3   [##......]    66/512   37    0 4.76k   20.0  2.0 irq 25us    238k     0  held: backlogs                    1.00k
 rx-4   [#.......]    50/512   38    4 3.92k   20.0  2.0 irq ~25us   196k     0  held: rings                          94
 rx-5   [#.......]    40/512   39    4 3.33k   20.0  2.0 irq 25us    167k     0  held: sockets                        86
 rx-6   [#.......]    33/512   40    4 2.90k   20.0  2.0 irq 25us    145k     0  read                      2.42M   3.88M
 rx-7   [#.......]    28/512   41    4 2.56k   20.0  2.0 irq 25us    128k     0  consumed in kernel        49.4k   79.2k
─ WAITS ──────────────────────────────────────── whole run ─ ─ EVENTS ──────────────────────────────────── newest last ─
 stage                   count   p50   p90   p99 p99.9   max  00.400000  c2 time_squeeze 7 by time, work left
 total                   3.88M 108us 240us 410us 2.1ms 3.0ms  00.600000  c2 time_squeeze 7 by time, work left
 ring                    3.88M  18us  40us 410us 2.1ms 3.0ms  00.800000  c2 time_squeeze 7 by time, work left
 gro                     3.88M  36us  80us 410us 2.1ms 3.0ms  01.000000  c2 time_squeeze 8 by time, work left
 backlog                 3.88M  54us 120us 410us 2.1ms 3.0ms  01.200000  c2 time_squeeze 15 by time, work left
 ip                      3.88M  72us 160us 410us 2.1ms 3.0ms  01.400000  c2 time_squeeze 22 by time, work left
 socket                  3.88M  90us 200us 410us 2.1ms 3.0ms  01.600000  c2 time_squeeze 25 by time, work left
 q quit  ? help  SPC pause  . step  + - speed  : command  s save"""
    )


def test_sixty_four_cpus_fold_into_heat_at_80_by_24_in_ascii() -> None:
    assert (
        screen(64, 8, View(80, 24, unicode=False))
        == """\
 softnet  prod-a.toml  eth0 8q 64cpu  00:00:01.600000  x0.25  RUN  open-loop TCP
 IN 2,599,952/s = OUT 2,468,697 + DROP 131,292 + HELD -37 | 14.1Gbit/s 95.0% out
 SQZ 37/s = budget 7 + time 30 | wire to read p50 108us p99 410us p99.9 2.1ms
 in     ######## drop     ######## sqz     :#:.:++: wait     ########  1.4s
- CPU ----------- h hardirq  s softirq  k ksoftirqd  a app  . idle, per second -
 cpu nd load          %hi  %si %app %idl  proc  drop       b/t   rps qlen k
     0-31 |!3!3252x225455223214143221431324|
    32-63 |35543353222141432225242314233224|
*  2  0 [hssssskaa.] 10.0 60.0 20.0 10.0  500k 66.7k      7/18 11.1k 1.0k R
*  0  0 [ssa.......]  3.2 16.0  6.4 74.4  500k     0      0/12     0    0 -
   5  0 [hsssa.....]  6.6 32.8 13.1 47.5  500k     0         - 11.1k    0 -
 and 61 CPUs in less trouble
- QUEUES ------------------------------------ per second, POLL = vector masked -
 q      ring            fill  irq >cpu irq/s p/poll  gro mode       pkt/s  drop
*rx-0   [########]   512/512   34    0 13.3k   20.0  2.0 POLL        667k 16.7k
 rx-1   [####....]   200/512   35    0 8.33k   20.0  2.0 POLL        417k     0
 rx-2   [##......]   100/512   36    0 6.06k   20.0  2.0 POLL        303k     0
 and 5 queues in less trouble
- WHERE FRAMES END ------------------- - WAITS --------------------- whole run -
 reason                     /s  frames  stage        p50   p90   p99 p99.9   max
 CPU_BACKLOG             65.0k    104k  total      108us 240us 410us 2.1ms 3.0ms
 NIC_RING_FULL           63.4k    102k  ring        18us  40us 410us 2.1ms 3.0ms
 and 6 more accounts                    and 4 stages
 q quit  ? help  SPC pause  . step  + - speed  : command  s save"""
    )


def test_a_small_terminal_is_told_what_is_missing() -> None:
    assert (
        screen(4, 4, View(60, 12), nodes=1)
        == """\
 prod-a.toml  00:00:01.600000  x0.25  RUN  open-loop TCP
 20 columns and 12 lines missing for queues, drops, waits
 IN 2,662,098/s = OUT 2,527,790
  + DROP 134,431 + HELD -123
 SQZ 40 = b 2 + t 38
*cpu2   hi 10.0 si 60.0 app 20.0 idl 10.0 drop 66.7k
*cpu0   hi  2.5 si 12.7 app  5.1 idl 79.7 drop 0
 cpu1   hi  4.3 si 21.6 app  8.7 idl 65.4 drop 0
 cpu3   hi  2.5 si 12.5 app  5.0 idl 80.0 drop 0


 RUN  q quit"""
    )


def test_the_help_stands_in_place_of_the_panels() -> None:
    assert (
        screen(4, 4, View(80, 24, help=True), nodes=1)
        == """\
 softnet  prod-a.toml  eth0 4q 4cpu  00:00:01.600000  x0.25  RUN  open-loop TCP
 IN 2,662,098/s = OUT 2,527,790 + DROP 134,431 + HELD -123 | 14.5Gbit/s
 SQZ 40/s = budget 2 + time 38 | wire to read p50 108us p99 410us p99.9 2.1ms
 in     ████████ drop     ████████ sqz     ▄█▄▄▆▆▃▅ wait     ████████  1.4s
─ HELP ─────────────────────────────────────────────────────────────────────────
  q                       quit; the summary follows. Ctrl-C does the same
  space                   pause and go on
  .                       pause, then one step
  + -                     faster, slower; pace never changes a result
  :                       a command: echo, cat, sysctl, ethtool, taskset, rate
  s                       save the run as a scenario that repeats it
  ?                       this page and back; Esc leaves it too
  IN = OUT + DROP + HELD  wire frames a virtual second; HELD: gained by queues
  %hi %si %app %idl       shares of a CPU's time, 100 in all; %si has ksoftirqd
  proc drop               packets through this CPU; those its backlog refused
  sqz b/t                 net_rx_action stopped (time_squeeze) by budget/time
  rps ipi>                wake-ups received by IPI; IPIs sent
  qlen ks                 packets in the backlog; R when ksoftirqd runs
  p/poll gro              frames a poll; frames in a packet after GRO
  POLL irq 25us           vector masked and polled; armed: 25 us apart, ~ adapts
  * !                     trouble: a loss, or a squeeze that left work
  heat row                . idle, 1-9 tenths busy, # full, ! trouble, x offline
  open-loop TCP           TCP of a capture: its sender does not slow down
 q quit  ? back  SPC pause  . step  + - speed  : command  s save"""
    )
