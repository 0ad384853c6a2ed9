"""The clock grants turns in one order, whatever order trio starts tasks in; posts are decided in the order of their stamps."""

from __future__ import annotations

import heapq
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.clock import KIND_ACTOR, KIND_END, KIND_SAMPLER, KIND_USER, NEVER, RANK_BITS, TURNS_A_PASS, Actor, Clock, Pace

Body = Callable[["Player"], Awaitable[None]]


class Player(Actor):
    """An actor that plays a body and writes down its turns."""

    def __init__(
        self,
        clock: Clock,
        name: str,
        rank: int,
        body: Body,
        first_ns: int = 0,
        kind: int = KIND_ACTOR,
        hosted: bool = False,
    ) -> None:
        super().__init__(name, rank)
        self.clock = clock
        self.body = body
        self.first_ns = first_ns
        self.kind = kind
        self.hosted = hosted

    async def run(self) -> None:
        if self.hosted:
            await self.clock.host(self, self.work_for_ever(), self.first_ns)
        await self.clock.enter(self, self.first_ns)
        await self.body(self)
        self.clock.leave()

    async def work_for_ever(self) -> NoReturn:
        await self.body(self)
        while True:
            await self.clock.wait_turn(self, NEVER)

    async def sync(self) -> None:
        await self.clock.synchronise(self)


class Log:
    """A port that writes down what is decided, and may react."""

    def __init__(self, trace: list[Any], react: Callable[[int, Any, Any], None] | None = None) -> None:
        self.trace = trace
        self.react = react

    def deliver(self, stamp_ns: int, sender: Any, item: Any) -> None:
        self.trace.append(("decided", stamp_ns, sender.name, item))
        if self.react is not None:
            self.react(stamp_ns, sender, item)


class CountingPace:
    """Lets virtual time go on by `step_ns` at each wait; tasks of others run meanwhile."""

    ends_when_quiet = True

    def __init__(self, step_ns: int) -> None:
        self.limit_ns = 0
        self.step_ns = step_ns
        self.waits = 0

    async def wait(self, next_ns: int) -> None:
        self.limit_ns += self.step_ns
        self.waits += 1
        await trio.lowlevel.checkpoint()


def play(clock: Clock, actors: list[Player], pace: Pace | None = None) -> None:
    """Run the actors until nobody has a turn left."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for actor in actors:
                nursery.start_soon(actor.run)
            await clock.keep(len(actors), pace)
            nursery.cancel_scope.cancel()

    trio.run(main)


def noting(trace: list[Any], *times_ns: int) -> Body:
    """A body that synchronises at each of `times_ns` and notes it."""

    async def body(me: Player) -> None:
        for time_ns in times_ns:
            me.local_now_ns = time_ns
            await me.sync()
            trace.append((me.clock.now_ns, me.name))

    return body


# ---------------------------------------------------------------- order of turns


def test_turns_come_in_order_of_time() -> None:
    trace: list[Any] = []
    clock = Clock()
    play(clock, [Player(clock, "a", 0, noting(trace, 5, 30)), Player(clock, "b", 1, noting(trace, 10, 20, 40))])
    assert trace == [(5, "a"), (10, "b"), (20, "b"), (30, "a"), (40, "b")]


def test_equal_times_go_by_kind_then_rank() -> None:
    trace: list[Any] = []
    clock = Clock()
    kinds = [("end", 0, KIND_END), ("user", 1, KIND_USER), ("sampler", 2, KIND_SAMPLER), ("y", 4, KIND_ACTOR)]
    actors = [Player(clock, name, rank, noting(trace, 7), kind=kind) for name, rank, kind in kinds]
    actors.append(Player(clock, "x", 3, noting(trace, 7)))
    play(clock, actors)
    assert trace == [(7, "x"), (7, "y"), (7, "sampler"), (7, "user"), (7, "end")]


def test_the_earliest_goes_on_without_suspending() -> None:
    clock = Clock()
    seen: list[tuple[int, int]] = []

    async def alone(me: Player) -> None:
        before = clock.turns
        for _ in range(1000):
            me.local_now_ns += 3
            await me.sync()
        assert await clock.wait_open(me, me.local_now_ns + 100) == 3100
        seen.append((before, clock.turns))

    play(clock, [Player(clock, "a", 0, alone), Player(clock, "b", 1, noting([], 5000), 5000)])
    assert seen[0][0] == seen[0][1]


def test_a_turn_goes_straight_from_task_to_task() -> None:
    trace: list[Any] = []
    clock = Clock()
    play(clock, [Player(clock, "a", 0, noting(trace, 1, 3, 5)), Player(clock, "b", 1, noting(trace, 2, 4, 6))])
    assert [name for _, name in trace] == list("ababab")
    # One turn from the keeper, b its first, six handed over, one as the first leaves; the last goes back to the keeper.
    assert clock.turns == 1 + 1 + 6 + 1


def test_who_wakes_another_lets_it_go_first_at_its_own_next_synchronisation() -> None:
    trace: list[Any] = []
    clock = Clock()

    async def sleeper(me: Player) -> None:
        trace.append((await clock.wait_open(me, NEVER), "s"))

    async def waker(me: Player) -> None:
        for time_ns in (5, 8, 20):
            me.local_now_ns = time_ns
            await me.sync()
            trace.append((clock.now_ns, "w"))
            if time_ns == 8:
                clock.wake(asleep, 10)

    asleep = Player(clock, "s", 1, sleeper)
    play(clock, [asleep, Player(clock, "w", 2, waker)])
    assert trace == [(5, "w"), (8, "w"), (10, "s"), (20, "w")]


def test_who_ties_with_a_lower_rank_waits_for_it() -> None:
    trace: list[Any] = []
    clock = Clock()
    play(clock, [Player(clock, "b", 1, noting(trace, 10, 20)), Player(clock, "a", 0, noting(trace, 10, 20))])
    assert trace == [(10, "a"), (10, "b"), (20, "a"), (20, "b")]


def test_two_actors_of_one_rank_are_refused() -> None:
    clock = Clock()
    with pytest.raises(BaseExceptionGroup) as failure:
        play(clock, [Player(clock, "a", 3, noting([], 1)), Player(clock, "b", 3, noting([], 1))])
    assert failure.group_contains(AssertionError, match="rank")


def test_a_rank_beyond_the_bits_of_a_key_is_refused() -> None:
    with pytest.raises(AssertionError, match="rank 4096"):
        Actor("x", 1 << RANK_BITS)


# ---------------------------------------------------------------- posts


def test_a_post_is_decided_before_anybodys_turn_later_than_its_stamp() -> None:
    trace: list[Any] = []
    clock = Clock()
    port = Log(trace)

    async def sender(me: Player) -> None:
        me.local_now_ns = 9
        clock.post(me, port, "p")
        me.local_now_ns = 50
        await me.sync()

    play(clock, [Player(clock, "s", 0, sender), Player(clock, "r", 1, noting(trace, 9, 10, 11))])
    assert trace == [(9, "r"), ("decided", 9, "s", "p"), (10, "r"), (11, "r")]


def test_a_post_is_decided_before_the_senders_own_next_turn_even_at_its_very_stamp() -> None:
    trace: list[Any] = []
    clock = Clock()
    port = Log(trace)

    async def sender(me: Player) -> None:
        me.local_now_ns = 9
        await me.sync()
        clock.post(me, port, "p")
        await me.sync()
        trace.append((me.local_now_ns, "s"))

    play(clock, [Player(clock, "s", 0, sender)])
    assert trace == [("decided", 9, "s", "p"), (10, "s")]


@pytest.mark.parametrize("others_ns", [[], [9, 10, 11], [10_000]])
def test_a_sender_that_goes_idle_at_the_very_stamp_has_its_post_decided_first(others_ns: list[int]) -> None:
    trace: list[Any] = []
    clock = Clock()
    port = Log(trace, lambda stamp_ns, _, __: trace.append(("open", actor.is_open)))

    async def sender(me: Player) -> None:
        me.local_now_ns = 9
        await me.sync()
        clock.post(me, port, "p")
        time_ns = await clock.wait_open(me, 9)
        trace.append((time_ns, "s"))

    actor = Player(clock, "s", 0, sender)
    play(clock, [actor, Player(clock, "o", 1, noting([], *others_ns))])
    assert trace[0] == ("decided", 9, "s", "p")
    assert trace[-1] == (10, "s")


def test_posts_of_several_senders_are_decided_by_stamp_then_rank_then_order_of_posting() -> None:
    trace: list[Any] = []
    clock = Clock()
    port = Log(trace)

    def posting(*stamps_ns: int) -> Body:
        async def body(me: Player) -> None:
            for number, stamp_ns in enumerate(stamps_ns):
                me.local_now_ns = stamp_ns
                clock.post(me, port, number)
            me.local_now_ns = 100
            await me.sync()

        return body

    # The first of the two to be granted its turn posts all its posts at once, before the other has posted anything.
    play(clock, [Player(clock, "b", 1, posting(5, 5, 8)), Player(clock, "a", 0, posting(5, 7, 8, 8))])
    assert [(stamp, name, item) for _, stamp, name, item in trace] == [
        (5, "a", 0), (5, "b", 0), (5, "b", 1), (7, "a", 1), (8, "a", 2), (8, "a", 3), (8, "b", 2),
    ]  # fmt: skip


def test_posts_that_nobody_waits_for_are_decided_when_the_run_goes_quiet() -> None:
    trace: list[Any] = []
    clock = Clock()
    port = Log(trace)

    async def sender(me: Player) -> None:
        me.local_now_ns = 9
        clock.post(me, port, "p")

    play(clock, [Player(clock, "s", 0, sender)])
    assert trace == [("decided", 9, "s", "p")]
    assert clock.decided == 1
    assert clock.posts_waiting() == []


def test_a_decision_that_wakes_an_open_actor_lets_it_go_before_later_posts() -> None:
    trace: list[Any] = []
    clock = Clock()

    async def sleeper(me: Player) -> None:
        trace.append((await clock.wait_open(me, NEVER), "r"))
        await clock.wait_open(me, 1000)

    reader = Player(clock, "r", 1, sleeper)

    def react(stamp_ns: int, _: Any, item: Any) -> None:
        if item == "wake":
            clock.wake(reader, stamp_ns + 1)

    port = Log(trace, react)

    async def sender(me: Player) -> None:
        for stamp_ns, item in ((5, "early"), (10, "wake"), (10, "same"), (11, "late"), (12, "later")):
            me.local_now_ns = stamp_ns
            clock.post(me, port, item)
        me.local_now_ns = 100
        await me.sync()
        trace.append((100, "s"))

    play(clock, [Player(clock, "s", 0, sender), reader])
    assert [entry if len(entry) == 2 else entry[3] for entry in trace] == [
        "early", "wake", "same", (11, "r"), "late", "later", (100, "s"),
    ]  # fmt: skip


def test_a_wake_later_than_the_turn_that_is_due_changes_nothing() -> None:
    trace: list[Any] = []
    clock = Clock()

    async def sleeper(me: Player) -> None:
        trace.append(await clock.wait_open(me, 50))

    reader = Player(clock, "r", 1, sleeper)

    async def waker(me: Player) -> None:
        me.local_now_ns = 10
        await me.sync()
        clock.wake(reader, 60)
        clock.wake(reader, 50)

    play(clock, [Player(clock, "w", 0, waker), reader])
    assert trace == [50]


def test_of_two_wakes_the_earlier_counts() -> None:
    trace: list[Any] = []
    clock = Clock()

    async def sleeper(me: Player) -> None:
        trace.append(await clock.wait_open(me, NEVER))
        trace.append(await clock.wait_open(me, 80))

    reader = Player(clock, "r", 1, sleeper)

    async def waker(me: Player) -> None:
        me.local_now_ns = 10
        await me.sync()
        clock.wake(reader, 60)
        clock.wake(reader, 20)
        clock.wake(reader, 40)

    play(clock, [Player(clock, "w", 0, waker), reader])
    assert trace == [20, 80]


def test_a_working_actor_is_not_woken_early() -> None:
    trace: list[Any] = []
    clock = Clock()
    worker = Player(clock, "r", 1, noting(trace, 100))

    async def waker(me: Player) -> None:
        me.local_now_ns = 10
        await me.sync()
        clock.wake(worker, 20)

    play(clock, [Player(clock, "w", 0, waker), worker])
    assert trace == [(100, "r")]


def test_nobody_is_woken_in_its_own_past() -> None:
    clock = Clock()

    async def sleeper(me: Player) -> None:
        me.local_now_ns = 30
        await me.sync()
        await clock.wait_open(me, NEVER)

    reader = Player(clock, "r", 1, sleeper)

    async def waker(me: Player) -> None:
        me.local_now_ns = 40
        await me.sync()
        clock.wake(reader, 29)

    with pytest.raises(BaseExceptionGroup) as failure:
        play(clock, [Player(clock, "w", 0, waker), reader])
    assert failure.group_contains(AssertionError, match="past")


def test_nobody_is_woken_before_the_turn_that_is_granted() -> None:
    clock = Clock()

    async def sleeper(me: Player) -> None:
        await clock.wait_open(me, NEVER)

    reader = Player(clock, "r", 1, sleeper)

    async def waker(me: Player) -> None:
        me.local_now_ns = 40
        await me.sync()
        clock.wake(reader, 39)

    with pytest.raises(BaseExceptionGroup) as failure:
        play(clock, [Player(clock, "w", 0, waker), reader])
    assert failure.group_contains(AssertionError, match="past")


def test_a_wait_for_the_past_is_refused() -> None:
    clock = Clock()

    async def body(me: Player) -> None:
        me.local_now_ns = 10
        await me.sync()
        await clock.wait_open(me, 9)

    with pytest.raises(BaseExceptionGroup) as failure:
        play(clock, [Player(clock, "a", 0, body)])
    assert failure.group_contains(AssertionError, match="its own past")


def test_a_decision_may_not_post() -> None:
    clock = Clock()
    port = Log([], lambda stamp_ns, sender, item: clock.post(sender, port, item))

    async def sender(me: Player) -> None:
        clock.post(me, port, "p")

    with pytest.raises(BaseExceptionGroup) as failure:
        play(clock, [Player(clock, "s", 0, sender)])
    assert failure.group_contains(AssertionError, match="may not post")


# ---------------------------------------------------------------- ends


def test_an_actors_exception_tears_the_machine_down_without_another_turn() -> None:
    trace: list[Any] = []
    clock = Clock()

    async def failing(me: Player) -> None:
        me.local_now_ns = 10
        await me.sync()
        raise ZeroDivisionError("of mine")

    with pytest.raises(BaseExceptionGroup) as failure:
        play(clock, [Player(clock, "f", 0, failing), Player(clock, "r", 1, noting(trace, 5, 10, 15))])
    assert failure.group_contains(ZeroDivisionError, match="of mine")
    assert len(failure.value.exceptions) == 1
    assert trace == [(5, "r")]


def test_an_exception_of_a_decision_tears_the_machine_down() -> None:
    clock = Clock()

    def fail(*_: Any) -> None:
        raise ZeroDivisionError("of a port")

    port = Log([], fail)

    async def sender(me: Player) -> None:
        clock.post(me, port, "p")
        me.local_now_ns = 5
        await me.sync()

    with pytest.raises(BaseExceptionGroup) as failure:
        play(clock, [Player(clock, "s", 0, sender), Player(clock, "r", 1, noting([], 5, 10, 15))])
    assert failure.group_contains(ZeroDivisionError)


@pytest.mark.parametrize("patience", range(12))
def test_a_cancel_from_outside_ends_quietly_wherever_the_turn_is(patience: int) -> None:
    clock = Clock()

    async def forever(me: Player) -> None:
        while True:
            me.local_now_ns += 10
            await me.sync()

    actors = [Player(clock, name, rank, forever, rank, hosted=rank > 0) for rank, name in enumerate("abc")]

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for actor in actors:
                nursery.start_soon(actor.run)
            nursery.start_soon(clock.keep, len(actors))
            for _ in range(patience):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert clock.now_ns < 10_000


def test_a_run_without_turns_left_ends() -> None:
    clock = Clock()

    async def idle(me: Player) -> None:
        await clock.wait_open(me, NEVER)

    play(clock, [Player(clock, "a", 0, idle), Player(clock, "b", 1, idle)])
    assert clock.now_ns == 0
    assert clock.next_turn_ns() == NEVER


# ---------------------------------------------------------------- hosted


def test_hosted_actors_take_their_turns_in_order_in_the_task_of_whoever_has_one() -> None:
    trace: list[Any] = []
    clock = Clock()
    players: list[Player] = []

    async def body(me: Player) -> None:
        for _ in range(3):
            me.local_now_ns += 10
            await me.sync()
            (host,) = [player.name for player in players if player.task is trio.lowlevel.current_task()]
            trace.append((clock.now_ns, me.name, host))

    players += [Player(clock, name, rank, body, rank, hosted=name != "c") for rank, name in enumerate("abc")]
    play(clock, players)
    # c has to do its own turns in its own task; the task that it hands the turn to then carries out a's and b's.
    assert trace == [
        *((10, "a", "a"), (11, "b", "a"), (12, "c", "c")),
        *((20, "a", "a"), (21, "b", "a"), (22, "c", "c")),
        *((30, "a", "a"), (31, "b", "a"), (32, "c", "c")),
    ]


@pytest.mark.parametrize("hosted", [1, 2, 5])
def test_other_tasks_have_their_time_while_hosted_actors_never_let_go_of_the_turn(hosted: int) -> None:
    clock = Clock()
    passes = 0
    turns = 0

    async def forever(me: Player) -> None:
        nonlocal turns
        while True:
            me.local_now_ns += 10
            await clock.wait_turn(me, me.local_now_ns)
            turns += 1

    actors = [Player(clock, f"a{rank}", rank, forever, hosted=True) for rank in range(hosted)]

    async def main() -> None:
        nonlocal passes
        async with trio.open_nursery() as nursery:
            for actor in actors:
                nursery.start_soon(actor.run)
            nursery.start_soon(clock.keep, len(actors))
            while turns < 2000:
                await trio.lowlevel.checkpoint()
                passes += 1
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert passes >= 2000 // TURNS_A_PASS


def test_a_hosted_actor_that_fails_ends_the_run_whoever_carries_out_its_turn() -> None:
    clock = Clock()

    async def fail(me: Player) -> None:
        me.local_now_ns = 20
        await me.sync()
        raise ValueError("the handler is broken")

    with pytest.raises(BaseExceptionGroup) as failure:
        play(
            clock,
            [Player(clock, "a", 0, noting([], 10, 19, 50), hosted=True), Player(clock, "b", 1, fail, hosted=True)],
        )
    assert failure.group_contains(ValueError, match="the handler is broken")
    assert clock.now_ns == 20


def test_the_work_of_a_hosted_actor_is_closed_when_the_machine_is_torn_down() -> None:
    clock = Clock()
    closed: list[str] = []

    async def body(me: Player) -> None:
        try:
            await clock.wait_open(me, NEVER)
        finally:
            closed.append(me.name)

    play(clock, [Player(clock, name, rank, body, hosted=True) for rank, name in enumerate("ab")])
    assert sorted(closed) == ["a", "b"]


# ---------------------------------------------------------------- the pace


def test_the_pace_holds_turns_back() -> None:
    clock = Clock()
    pace = CountingPace(10)
    trace: list[Any] = []

    async def body(me: Player) -> None:
        for _ in range(20):
            me.local_now_ns += 7
            await me.sync()
            trace.append((clock.now_ns, pace.limit_ns))
        trace.append((await clock.wait_open(me, 300), pace.limit_ns))

    play(clock, [Player(clock, "a", 0, body)], pace)
    assert [now_ns for now_ns, _ in trace] == [*range(7, 141, 7), 300]
    for now_ns, limit_ns in trace:
        assert now_ns <= limit_ns < now_ns + 10


def test_a_decision_after_the_limit_waits_for_the_pace() -> None:
    clock = Clock()
    pace = CountingPace(10)
    seen: list[tuple[int, int]] = []
    port = Log([], lambda stamp_ns, *_: seen.append((stamp_ns, pace.limit_ns)))

    async def body(me: Player) -> None:
        for stamp_ns in (3, 14, 29, 30):
            me.local_now_ns = stamp_ns
            clock.post(me, port, "p")
        me.local_now_ns = 95
        await me.sync()

    play(clock, [Player(clock, "a", 0, body)], pace)
    assert seen == [(3, 10), (14, 20), (29, 30), (30, 40)]


def test_a_machine_that_must_not_end_waits_for_the_pace_when_quiet() -> None:
    clock = Clock()
    woken: list[int] = []

    async def idle(me: Player) -> None:
        woken.append(await clock.wait_open(me, NEVER))

    actor = Player(clock, "a", 0, idle)

    class Keyboard(CountingPace):
        ends_when_quiet = False

        async def wait(self, next_ns: int) -> None:
            await super().wait(next_ns)
            if self.waits == 3:
                clock.wake(actor, 25)
            self.ends_when_quiet = self.waits > 5

    play(clock, [actor], Keyboard(10))
    assert woken == [25]


# ---------------------------------------------------------------- against a plain event loop

Op = tuple[str, int, int, int]
"""(what, number, target, delay)."""
Program = tuple[int, list[Op]]
"""(first turn, ops)."""

OPS = st.one_of(
    st.tuples(st.just("work"), st.integers(0, 6), st.just(0), st.just(0)),
    st.tuples(st.just("sync"), st.just(0), st.just(0), st.just(0)),
    st.tuples(st.just("post"), st.integers(0, 99), st.integers(0, 4), st.integers(0, 5)),
    st.tuples(st.just("open"), st.integers(0, 12), st.just(0), st.just(0)),
    st.tuples(st.just("sleep"), st.just(0), st.just(0), st.just(0)),
    st.tuples(st.just("wake"), st.just(0), st.integers(0, 4), st.integers(0, 8)),
)
PROGRAMS = st.lists(st.tuples(st.integers(0, 5), st.lists(OPS, max_size=14)), min_size=1, max_size=5)


def played(programs: list[Program], order: list[int], hosted: set[int], pace: Pace | None) -> list[Any]:
    """The trace of the programs on the real clock, tasks started in `order`, some of them `hosted`."""
    trace: list[Any] = []
    clock = Clock()
    actors: list[Player] = []

    def react(stamp_ns: int, _: Any, item: tuple[int, int, int]) -> None:
        _, target, delay = item
        if target < len(actors):
            clock.wake(actors[target], stamp_ns + 1 + delay)

    port = Log(trace, react)

    def body_of(ops: list[Op]) -> Body:
        async def body(me: Player) -> None:
            trace.append(("first", me.name, me.local_now_ns))
            for what, number, target, delay in ops:
                if what == "work":
                    me.local_now_ns += number
                elif what == "post":
                    clock.post(me, port, (number, target, delay))
                elif what == "wake":
                    if target < len(actors):
                        clock.wake(actors[target], me.local_now_ns + 1 + delay)
                else:
                    await me.sync()
                    trace.append(("sync", me.name, me.local_now_ns, clock.now_ns))
                    if what != "sync":
                        until_ns = me.local_now_ns + number if what == "open" else NEVER
                        woken_ns = await clock.wait_open(me, until_ns)
                        trace.append((what, me.name, woken_ns, clock.now_ns))

        return body

    actors += [
        Player(clock, f"a{n}", n, body_of(ops), first, hosted=n in hosted) for n, (first, ops) in enumerate(programs)
    ]
    play(clock, [actors[n] for n in order], pace)
    return trace


class ModelActor:
    """State of one program in the reference model."""

    def __init__(self, number: int, program: Program) -> None:
        self.name = f"a{number}"
        self.first, self.ops = program
        self.position = -1
        self.local_ns = 0
        self.due_ns: int = self.first
        self.is_open = True
        self.last_post_ns = -1
        self.wants = "first"


def modelled(programs: list[Program]) -> list[Any]:
    """The trace that a plain sequential event loop gives: always the least of (time, posts first, rank)."""
    trace: list[Any] = []
    actors = [ModelActor(n, program) for n, program in enumerate(programs)]
    posts: list[tuple[int, int, int, tuple[int, int, int]]] = []
    posted = 0

    def wake(target: int, at_ns: int) -> None:
        if target < len(actors) and actors[target].is_open and at_ns < actors[target].due_ns:
            actors[target].due_ns = at_ns

    while True:
        due = min((actor.due_ns, n) for n, actor in enumerate(actors))
        if posts and posts[0][0] + 1 <= due[0]:
            stamp_ns, rank, _, item = heapq.heappop(posts)
            trace.append(("decided", stamp_ns, f"a{rank}", item))
            wake(item[1], stamp_ns + 1 + item[2])
            continue
        now_ns, number = due
        if now_ns >= NEVER:
            return trace
        actor = actors[number]
        actor.local_ns = now_ns
        actor.is_open = False
        actor.due_ns = NEVER
        trace.append(
            ("first", actor.name, now_ns) if actor.wants == "first" else (actor.wants, actor.name, now_ns, now_ns)
        )
        if actor.wants == "sync" and actor.ops[actor.position][0] != "sync":
            what, wait_ns, _, _ = actor.ops[actor.position]
            actor.wants = what
            actor.is_open = True
            actor.due_ns = now_ns + wait_ns if what == "open" else NEVER
            continue
        while actor.position + 1 < len(actor.ops):
            actor.position += 1
            what, number_of, target, delay = actor.ops[actor.position]
            if what == "work":
                actor.local_ns += number_of
            elif what == "post":
                posted += 1
                heapq.heappush(posts, (actor.local_ns, number, posted, (number_of, target, delay)))
                actor.last_post_ns = actor.local_ns
            elif what == "wake":
                wake(target, actor.local_ns + 1 + delay)
            else:
                if actor.last_post_ns == actor.local_ns:
                    actor.local_ns += 1
                actor.wants = "sync"
                actor.due_ns = actor.local_ns
                break


@given(PROGRAMS, st.data())
@settings(max_examples=200, deadline=None)
def test_random_programs_play_as_a_sorted_event_loop_says(programs: list[Program], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(programs))))
    step_ns = data.draw(st.one_of(st.none(), st.integers(1, 30)))
    pace = None if step_ns is None else CountingPace(step_ns)
    hosted = data.draw(st.sets(st.sampled_from(range(len(programs)))))
    assert played(programs, order, hosted, pace) == modelled(programs)
