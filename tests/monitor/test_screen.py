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
─ CPU ─────────── h hardirq  s softirq  k ksoftirqd  a app  . idle, per second ─
 cpu nd load          %hi  %si %app %idl  proc  drop       b/t   rps qlen k
*  2  0 [hssssskaa.] 10.0 60.0 20.0 10.0  310k 34.4k      4/22 8.33k 1.0k R
*  0  0 [hsssa.....]  5.9 29.4 11.7 53.0  102k     0       0/7     0    0 -
   1  0 [ssa.......]  3.6 18.1  7.2 71.1  206k     0         - 8.33k    0 -
   3  0 [sa........]  2.6 13.1  5.2 79.1  161k     0         - 8.33k    0 -
─ QUEUES ──────────────────────────────────── per second, POLL = vector masked ─
 q      ring            fill  irq >cpu irq/s p/poll  gro mode       pkt/s  drop
*rx-0   [########]   512/512   34    0 13.3k   20.0  2.0 POLL        667k 16.7k
 rx-1   [####....]   200/512   35    0 8.33k   20.0  2.0 POLL        417k     0
 rx-2   [##......]   100/512   36    0 6.06k   20.0  2.0 POLL        303k     0
 rx-3   [##......]    66/512   37    0 4.76k   20.0  2.0 irq 25us    238k     0
─ WHERE FRAMES END ─────────────────── ─ WAITS ───────────────────── whole run ─
 reason                     /s  frames  stage        p50   p90   p99 p99.9   max
 CPU_BACKLOG             68.8k    110k  total      108us 240us 410us 2.1ms 3.0ms
 NIC_RING_FULL           16.7k   26.7k  ring        18us  40us 410us 2.1ms 3.0ms
 SOCKET_RCVBUFF            902   1.44k  gro         36us  80us 410us 2.1ms 3.0ms
 held: backlog                   2.00k  backlog     54us 120us 410us 2.1ms 3.0ms
 and 4 more accounts                    and 2 stages
 q quit  ? help  SPC pause  . step  + - speed  : command  s save"""
    )


def test_eight_cpus_and_queues_at_120_by_40() -> None:
    assert (
        screen(8, 8, View(120, 40))
        == """\
 softnet  prod-a.toml  eth0 8q 8cpu  rules 6.9 HZ=250  00:00:01.600000  x0.25  RUN  open-loop TCP  seed 42
 IN 2,276,990/s = OUT 2,190,284 + DROP 86,715 + HELD -9 | 12.4Gbit/s 96.2% out
 SQZ 27/s = budget 3 + time 24 (11 left work) | wire to read p50 6.0us p99 384us p99.9 3.0ms
 in               ████████ drop               ████████ sqz               ▄▅█▄▂▅▅▂ p99               ████████  1.4s
─ CPU ─────────────────────────────────────────────────── h hardirq  s softirq  k ksoftirqd  a app  . idle, per second ─
 cpu nd load                     %hi  %si %app %idl   proc   drop   sqz        b/t    rps   ipi>   qlen ks note
*  2  0 [hhssssssssssskkaaaa..] 10.0 60.0 20.0 10.0   310k  34.4k    17       3/14  8.33k      0   1001 R  backlog full
*  0  0 [hssssaa..............]  4.0 20.2  8.1 67.7   102k      0    10       0/10      0  25.0k      0 -  IRQ rx-0..3
   5  1 [hsssssssaaa..........]  6.9 34.2 13.7 45.2   134k      0     0          -  8.33k      0      0 -
   3  0 [hsssa................]  2.8 14.3  5.7 77.2   161k      0     0          -  8.33k      0      0 -  app reader
   1  0 [sa...................]  1.1  5.6  2.3 91.0   206k      0     0          -  8.33k      0      0 -  app reader
   4  1 [hssa.................]  2.2 10.9  4.4 82.5  89.2k      0     0          -  8.33k      0      0 -  IRQ rx-4..7
   6  1 [ssa..................]  2.0 10.0  4.0 84.0  94.7k      0     0          -  8.33k      0      0 -
   7  1 [                     ]    -    -    -    -      0      0     0          -      0      0      0 -  offline
─ QUEUES ─────────────────────────────────── per second, POLL = vector masked ─ ─ WHERE FRAMES END ─────────────────────
 q      ring            fill  irq >cpu irq/s p/poll  gro mode       pkt/s  drop  reason                       /s  frames
*rx-0   [########]   512/512   34    0 13.3k   20.0  2.0 POLL        667k 16.7k  CPU_BACKLOG               68.8k    110k
 rx-1   [####....]   200/512   35    0 8.33k   20.0  2.0 POLL        417k     0  NIC_RING_FULL             16.7k   26.7k
 rx-2   [##......]   100/512   36    0 6.06k   20.0  2.0 POLL        303k     0  SOCKET_RCVBUFF            1.26k   2.01k
 rx-3   [##......]    66/512   37    0 4.76k   20.0  2.0 irq 25us    238k     0  held: backlog                     2.00k
 rx-4   [#.......]    50/512   38    4 3.92k   20.0  2.0 irq ~25us   196k     0  held: eth0                        1.03k
 rx-5   [#.......]    40/512   39    4 3.33k   20.0  2.0 irq 25us    167k     0  held: sockets                        44
 rx-6   [#.......]    33/512   40    4 2.90k   20.0  2.0 irq 25us    145k     0  read                      2.15M   3.43M
 rx-7   [#.......]    28/512   41    4 2.56k   20.0  2.0 irq 25us    128k     0  consumed in kernel        45.2k   72.3k
─ WAITS ──────────────────────────────────────── whole run ─ ─ EVENTS ──────────────────────────────────── newest last ─
 stage                   count   p50   p90   p99 p99.9   max  00.400000  c2 time_squeeze 5 by time, work left
 total                   3.43M 108us 240us 410us 2.1ms 3.0ms  00.400000   - rx-0 is full: 512 frames wait, the device d~
 ring                    3.43M  18us  40us 410us 2.1ms 3.0ms  00.600000  c2 time_squeeze 14 by time, work left
 gro                     3.43M  36us  80us 410us 2.1ms 3.0ms  00.600000   - rx-0 is full: 512 frames wait, the device d~
 backlog                 3.43M  54us 120us 410us 2.1ms 3.0ms  00.800000  c2 time_squeeze 19 by time, work left
 protocol                3.43M  72us 160us 410us 2.1ms 3.0ms  00.800000   - rx-0 is full: 512 frames wait, the device d~
 socket                  3.43M  90us 200us 410us 2.1ms 3.0ms  01.000000  c2 time_squeeze 19 by time, work left
                                                              01.000000   - rx-0 is full: 512 frames wait, the device d~
                                                              01.200000  c2 time_squeeze 19 by time, work left
                                                              01.200000   - rx-0 is full: 512 frames wait, the device d~
                                                              01.400000  c2 time_squeeze 28 by time, work left
                                                              01.400000   - rx-0 is full: 512 frames wait, the device d~
                                                              01.600000  c2 time_squeeze 28 by time, work left
                                                              01.600000   - rx-0 is full: 512 frames wait, the device d~
 q quit  ? help  SPC pause  . step  + - speed  : command  s save"""
    )


def test_sixty_four_cpus_fold_into_nodes_and_heat_at_120_by_40() -> None:
    assert (
        screen(64, 8, View(120, 40))
        == """\
 softnet  prod-a.toml  eth0 8q 64cpu  rules 6.9 HZ=250  00:00:01.600000  x0.25  RUN  open-loop TCP  seed 42
 IN 2,276,990/s = OUT 2,190,302 + DROP 86,715 + HELD -27 | 12.4Gbit/s 96.2% out
 SQZ 56/s = budget 4 + time 52 (24 left work) | wire to read p50 6.0us p99 384us p99.9 3.0ms
 in               ████████ drop               ████████ sqz               ▄█▃▆▆▃▆█ p99               ████████  1.4s
─ CPU ─────────────────────────────────────────────────── h hardirq  s softirq  k ksoftirqd  a app  . idle, per second ─
 cpu nd load                     %hi  %si %app %idl   proc   drop   sqz        b/t    rps   ipi>   qlen ks note
*node0  [hssssa...............]  3.7 18.9  7.4 70.0  1.10M  34.4k    56       4/52   250k  25.0k   1001 1  2 in trouble
     0-31 |!2!2114x322332444434323232434132|
 node1  [hssssa...............]  3.5 17.7  7.1 71.7      0      0     0          -   267k      0      0 -
    32-63 |113415433655423.2141331432232324|
*  2  0 [hhssssssssssskkaaaa..] 10.0 60.0 20.0 10.0   310k  34.4k    28       4/24  8.33k      0   1001 R  backlog full
*  0  0 [hsssssaa.............]  4.8 24.1  9.6 61.5   102k      0    28       0/28      0  25.0k      0 -  IRQ rx-0..3
  41  1 [hhssssssssaaa........]  8.0 40.2 16.1 35.7      0      0     0          -  8.33k      0      0 -
  14  0 [hssssssaa............]  5.1 25.7 10.3 58.9      0      0     0          -  8.33k      0      0 -
  15  0 [hssssssaa............]  5.5 27.7 11.1 55.7      0      0     0          -  8.33k      0      0 -
  28  0 [hssssssaa............]  5.1 25.6 10.3 59.0      0      0     0          -  8.33k      0      0 -
  35  1 [hssssssaa............]  5.3 26.3 10.5 57.9      0      0     0          -  8.33k      0      0 -
  37  1 [hssssssaaa...........]  5.8 28.8 11.5 53.9      0      0     0          -  8.33k      0      0 -
  42  1 [hsssssssaaa..........]  6.6 32.9 13.2 47.3      0      0     0          -  8.33k      0      0 -
  43  1 [hssssssaa............]  5.7 28.4 11.4 54.5      0      0     0          -  8.33k      0      0 -
 and 54 CPUs in less trouble
─ QUEUES ─────────────────────────────────── per second, POLL = vector masked ─ ─ WHERE FRAMES END ─────────────────────
 q      ring            fill  irq >cpu irq/s p/poll  gro mode       pkt/s  drop  reason                       /s  frames
*rx-0   [########]   512/512   34    0 13.3k   20.0  2.0 POLL        667k 16.7k  CPU_BACKLOG               68.8k    110k
 rx-1   [####....]   200/512   35    0 8.33k   20.0  2.0 POLL        417k     0  NIC_RING_FULL             16.7k   26.7k
 rx-2   [##......]   100/512   36    0 6.06k   20.0  2.0 POLL        303k     0  SOCKET_RCVBUFF            1.26k   2.01k
 rx-3   [##......]    66/512   37    0 4.76k   20.0  2.0 irq 25us    238k     0  held: backlog                     2.00k
 rx-4   [#.......]    50/512   38    4 3.92k   20.0  2.0 irq ~25us   196k     0  held: eth0                        1.03k
 rx-5   [#.......]    40/512   39    4 3.33k   20.0  2.0 irq 25us    167k     0  held: sockets                        56
 rx-6   [#.......]    33/512   40    4 2.90k   20.0  2.0 irq 25us    145k     0  read                      2.15M   3.43M
 rx-7   [#.......]    28/512   41    4 2.56k   20.0  2.0 irq 25us    128k     0  consumed in kernel        45.2k   72.3k
─ WAITS ──────────────────────────────────────── whole run ─ ─ EVENTS ──────────────────────────────────── newest last ─
 stage                   count   p50   p90   p99 p99.9   max  01.000000   - rx-0 is full: 512 frames wait, the device d~
 total                   3.43M 108us 240us 410us 2.1ms 3.0ms  01.200000  c2 time_squeeze 23 by time, work left
 ring                    3.43M  18us  40us 410us 2.1ms 3.0ms  01.200000   - rx-0 is full: 512 frames wait, the device d~
 gro                     3.43M  36us  80us 410us 2.1ms 3.0ms  01.400000  c2 time_squeeze 25 by time, work left
 backlog                 3.43M  54us 120us 410us 2.1ms 3.0ms  01.400000   - rx-0 is full: 512 frames wait, the device d~
 protocol                3.43M  72us 160us 410us 2.1ms 3.0ms  01.600000  c2 time_squeeze 32 by time, work left
 socket                  3.43M  90us 200us 410us 2.1ms 3.0ms  01.600000   - rx-0 is full: 512 frames wait, the device d~
 q quit  ? help  SPC pause  . step  + - speed  : command  s save"""
    )


def test_sixty_four_cpus_fold_into_heat_at_80_by_24_in_ascii() -> None:
    assert (
        screen(64, 8, View(80, 24, unicode=False))
        == """\
 softnet  prod-a.toml  eth0 8q 64cpu  00:00:01.600000  x0.25  RUN  open-loop TCP
 IN 2,276,990/s = OUT 2,190,302 + DROP 86,715 + HELD -27 | 12.4Gbit/s 96.2% out
 SQZ 56/s = budget 4 + time 52 | wire to read p50 6.0us p99 384us p99.9 3.0ms
 in     ######## drop     ######## sqz     -#:++:+# p99     ########  1.4s
- CPU ----------- h hardirq  s softirq  k ksoftirqd  a app  . idle, per second -
 cpu nd load          %hi  %si %app %idl  proc  drop       b/t   rps qlen k
     0-31 |!2!2114x322332444434323232434132|
    32-63 |113415433655423.2141331432232324|
*  2  0 [hssssskaa.] 10.0 60.0 20.0 10.0  310k 34.4k      4/24 8.33k 1.0k R
*  0  0 [hssa......]  4.8 24.1  9.6 61.5  102k     0      0/28     0    0 -
  41  1 [hssssaa...]  8.0 40.2 16.1 35.7     0     0         - 8.33k    0 -
 and 61 CPUs in less trouble
- QUEUES ------------------------------------ per second, POLL = vector masked -
 q      ring            fill  irq >cpu irq/s p/poll  gro mode       pkt/s  drop
*rx-0   [########]   512/512   34    0 13.3k   20.0  2.0 POLL        667k 16.7k
 rx-1   [####....]   200/512   35    0 8.33k   20.0  2.0 POLL        417k     0
 rx-2   [##......]   100/512   36    0 6.06k   20.0  2.0 POLL        303k     0
 and 5 queues in less trouble
- WHERE FRAMES END ------------------- - WAITS --------------------- whole run -
 reason                     /s  frames  stage        p50   p90   p99 p99.9   max
 CPU_BACKLOG             68.8k    110k  total      108us 240us 410us 2.1ms 3.0ms
 NIC_RING_FULL           16.7k   26.7k  ring        18us  40us 410us 2.1ms 3.0ms
 and 6 more accounts                    and 4 stages
 q quit  ? help  SPC pause  . step  + - speed  : command  s save"""
    )


def test_a_small_terminal_is_told_what_is_missing() -> None:
    assert (
        screen(4, 4, View(60, 12), nodes=1)
        == """\
 prod-a.toml  00:00:01.600000  x0.25  RUN  open-loop TCP
 20 columns and 12 lines missing for queues, drops, waits
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
        screen(4, 4, View(80, 24, help=True), nodes=1)
        == """\
 softnet  prod-a.toml  eth0 4q 4cpu  00:00:01.600000  x0.25  RUN  open-loop TCP
 IN 1,641,120/s = OUT 1,554,700 + DROP 86,361 + HELD 59 | 8.93Gbit/s 94.7% out
 SQZ 33/s = budget 4 + time 29 | wire to read p50 6.0us p99 384us p99.9 3.0ms
 in     ████████ drop     ████████ sqz     ▄▆▅█▄▆▁▃ p99     ████████  1.4s
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
