"""Virtual time and turns: one actor at a time, in one order, whatever trio's scheduler does.

Models: an integer clock of nanoseconds; actors that are granted turns by the key (time, kind, rank, sequence); posts between actors
that are decided in the order of their stamps before anybody is granted a later turn; a pace that holds virtual time back.
Leaves out: everything about CPUs and packets.

The rules, each with a test:

* An actor that is the earliest goes on without suspending. Otherwise it hands the turn straight to the earliest (task to task).
* Who has the turn may carry out those of hosted actors after it in its own task, a few of them: the order is the same.
* A post made at local time s is decided at s + 1, before any actor is granted a turn at a time later than s, in the order
  (stamp, rank of the sender, order of posting). The decision may wake an open actor; then that actor's turn comes first.
* Only an actor that waits open can be woken early; one that works keeps its key. Nobody is pulled into the past.
* When an actor fails, the turn is not handed on: the exception travels through the nursery, which tears the machine down.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Coroutine, Generator
from operator import itemgetter
from types import coroutine
from typing import Any, Final, NoReturn, Protocol

import trio

NEVER: Final = 1 << 62
"""A time that does not come (146 years in nanoseconds)."""

RANK_BITS: Final = 12
"""Ranks are below 2**RANK_BITS; a post's key is stamp << RANK_BITS | rank."""

TURNS_A_PASS: Final = 128
"""So many turns are carried out or kept by one task before trio looks after others."""

KIND_POST: Final = 0
KIND_ACTOR: Final = 1
KIND_SAMPLER: Final = 2
KIND_USER: Final = 3
KIND_END: Final = 4
KIND_KEEPER: Final = 5
"""Order at equal times: decisions on posts, CPUs and devices, the sampler, a control write, the end of the run, the pace's limit."""


_post_key = itemgetter(0)


class Port(Protocol):
    """A bounded queue where two actors meet. `deliver` decides a post as of its stamp."""

    def deliver(self, stamp_ns: int, sender: Any, item: Any) -> None:
        """Decide the post of `item` made by `sender` at `stamp_ns`. Called once per post, in the one order."""


class LatePosts(Protocol):
    """Posts that no actor has to know of at once: they are decided when somebody looks on, each as of its stamp all the same."""

    def settle(self, until_ns: int) -> None:
        """Decide every post with a stamp before `until_ns`."""

    def posts_waiting(self) -> list[tuple[int, Port, Any, Any]]:
        """Posts that are not decided yet, as `Clock.posts_waiting`."""


class Actor:
    """Someone who is granted turns. Subclasses run as one trio task and call `Clock.synchronise` and `Clock.wait_open`."""

    kind = KIND_ACTOR

    def __init__(self, name: str, rank: int) -> None:
        assert 0 <= rank < 1 << RANK_BITS, f"rank {rank} of {name} is out of range"
        self.name = name
        self.rank = rank
        self.local_now_ns = 0
        """Its own clock: never behind the time of its last turn."""
        self.synced_ns = 0
        """When it last was the earliest: what it knows of others is as of then."""
        self.last_post_ns = -1
        """Stamp of its last post: decided 1 ns later, so the actor cannot synchronise at that very time."""
        self.key_ns = NEVER
        """When its next turn is due, while it waits."""
        self.is_open = False
        """Waiting in a way that an arrival may cut short."""
        self.version = 0
        self.task: trio.lowlevel.Task | None = None
        self.work: Coroutine[Any, Any, NoReturn] | None = None
        """What it does, if whoever has the turn may carry it out (`Clock.host`)."""
        self.kept = 0
        """Turns it has kept, for it was the earliest again, since it last waited for one."""

    async def run(self) -> None:
        """The actor's task: `Clock.enter` first, then turn by turn."""
        raise NotImplementedError


class _Keeper(Actor):
    """Whose turn it is when nobody may have one. Its place in the order is the end of what the pace allows."""

    kind = KIND_KEEPER


class Pace(Protocol):
    """Holds virtual time back to wall time."""

    ends_when_quiet: bool
    """The run is over when nothing is left to happen; else a key or a peer may still cause something."""

    @property
    def limit_ns(self) -> int:
        """Turns up to this virtual time may be granted now."""
        raise NotImplementedError

    async def wait(self, next_ns: int) -> None:
        """Sleep until `limit_ns` may have grown, or something happened at the keyboard. `next_ns` is the next turn's time."""


class Clock:
    """Grants turns. One per machine."""

    def __init__(self) -> None:
        self.now_ns = 0
        """Time of the turn that is granted."""
        self.turns = 0
        """Turns that were handed from task to task."""
        self.decided = 0
        """Posts decided."""
        self._keeper = _Keeper("keeper", 0)
        self._keeper.key_ns = NEVER
        self._heap: list[tuple[int, int, int, int, Actor]] = [(NEVER, KIND_KEEPER, 0, 0, self._keeper)]
        """Who waits for a turn, and the keeper at the pace's limit. The first is always valid: (time, kind, rank, version, actor)."""
        self._posts: list[tuple[int, Port, Any, Any]] = []
        self._due_ns = NEVER
        """When the next post is to be decided (its stamp + 1), NEVER if none; 0: the posts are not in their order yet."""
        self._members = 0
        self._expected = 0
        self._held_ns = -1
        """Up to here everything was decided while the pace held the next turn back."""
        self._torn_down = False
        """Somebody was cancelled while waiting for a turn: no turn is handed on any more."""
        self._places: set[tuple[int, int]] = set()
        self.late: list[LatePosts] = []
        """Posts of which it makes no difference when they are decided, as long as nobody looks."""

    @property
    def limit_ns(self) -> int:
        """No turn after this time is granted, and nothing is decided, before the pace allows it."""
        return self._keeper.key_ns

    @limit_ns.setter
    def limit_ns(self, limit_ns: int) -> None:
        keeper = self._keeper
        keeper.key_ns = limit_ns
        keeper.version += 1
        heapq.heappush(self._heap, (limit_ns, KIND_KEEPER, 0, keeper.version, keeper))
        self._drop_stale()

    @property
    def reached_ns(self) -> int:
        """The present: nothing more happens before it. Later than `now_ns` when nobody has had a turn for a while."""
        return self.now_ns if self.now_ns > self._held_ns else self._held_ns

    # ---------------------------------------------------------------- posts

    def post(self, sender: Actor, port: Port, item: Any) -> None:
        """Post `item` to `port`, stamped with the sender's local time; it is decided 1 ns later, in the one order."""
        now_ns = sender.local_now_ns
        sender.last_post_ns = now_ns
        self._posts.append((now_ns << RANK_BITS | sender.rank, port, sender, item))
        self._due_ns = 0

    def post_batch(self, sender: Actor, posts: list[tuple[int, Port, Any]]) -> None:
        """Posts (stamp, port, item) that a loop gathered, in the order of their stamps, before it told the sender's clock of the time."""
        rank = sender.rank
        self._posts += [(stamp_ns << RANK_BITS | rank, port, sender, item) for stamp_ns, port, item in posts]
        sender.last_post_ns = posts[-1][0]
        self._due_ns = 0

    def posts_waiting(self) -> list[tuple[int, Port, Any, Any]]:
        """Posts that are not decided yet: (stamp << RANK_BITS | rank, port, sender, item)."""
        waiting = list(self._posts)
        for late in self.late:
            waiting += late.posts_waiting()
        return waiting

    def settle(self, until_ns: int) -> None:
        """Decide the late posts made before `until_ns`, for somebody who is about to look."""
        for late in self.late:
            late.settle(until_ns)

    def post_keyed(self, posts: list[tuple[int, Port, Any, Any]]) -> None:
        """Enter posts that have waited elsewhere, in the form of `posts_waiting`."""
        self._posts += posts
        self._due_ns = 0

    def _decide(self, until_ns: int) -> None:
        """Decide every post that is due at or before `until_ns` and before the earliest waiting actor's turn.

        A decision may wake an actor and so bring the earliest turn forward: the bound is read again after each change.
        """
        posts = self._posts
        if not self._due_ns:
            posts.sort(key=_post_key)
            self._due_ns = NEVER
        heap = self._heap
        count = 0
        while True:
            first = heap[0]
            bound = until_ns if until_ns < first[0] else first[0]
            for key, port, sender, item in posts[count : bisect_left(posts, bound << RANK_BITS, count, key=_post_key)]:
                count += 1
                port.deliver(key >> RANK_BITS, sender, item)
                if heap[0] is not first:
                    break
            else:
                break
        assert self._due_ns, "a decision may not post"
        del posts[:count]
        self.decided += count
        self._due_ns = (posts[0][0] >> RANK_BITS) + 1 if posts else NEVER

    # ---------------------------------------------------------------- turns

    def _is_earliest(self, actor: Actor, time_ns: int) -> bool:
        """Whether a turn of `actor` at `time_ns` comes before those that others wait for."""
        top_ns, kind, rank, _, _ = self._heap[0]
        return time_ns < top_ns or (time_ns == top_ns and (actor.kind, actor.rank) < (kind, rank))

    def goes_on(self, actor: Actor) -> bool:
        """Whether `actor`, whose turn it is, keeps it at its local time: then it has synchronised, without having to wait.

        It does if it is the earliest, and all posts before it are decided, here and now if need be.
        """
        time_ns = actor.local_now_ns
        if actor.last_post_ns == time_ns:
            time_ns = actor.local_now_ns = time_ns + 1
        if time_ns >= self._due_ns:
            self._decide(time_ns)
        top_ns = self._heap[0][0]
        if time_ns < top_ns or (time_ns == top_ns and self._is_earliest(actor, time_ns)):
            self.now_ns = actor.synced_ns = time_ns
            return True
        return False

    def wake(self, actor: Actor, at_ns: int) -> None:
        """Bring an open actor's turn forward to `at_ns`. An actor that works, or is due sooner, is left alone."""
        if actor.is_open and at_ns < actor.key_ns:
            assert at_ns >= actor.local_now_ns, f"{actor.name} would be woken in its own past"
            assert at_ns >= self.now_ns, (
                f"{actor.name} would be woken at {at_ns} ns, in the past of the turn at {self.now_ns} ns"
            )
            self._enlist(actor, at_ns)

    def _enlist(self, actor: Actor, time_ns: int) -> None:
        actor.key_ns = time_ns
        actor.version += 1
        if time_ns < NEVER:
            heapq.heappush(self._heap, (time_ns, actor.kind, actor.rank, actor.version, actor))

    def _drop_stale(self) -> None:
        """Make the first of the heap valid: take away those whose actor has entered itself anew since."""
        heap = self._heap
        while heap[0][3] != heap[0][4].version:
            heapq.heappop(heap)

    async def synchronise(self, actor: Actor) -> None:
        """Return when `actor` is the earliest at its local time and all posts before it are decided. Suspends only if it is not."""
        if not self.goes_on(actor):
            await self.wait_turn(actor, actor.local_now_ns)
        elif actor.kind != KIND_ACTOR:
            self.settle(actor.synced_ns)

    async def wait_turn(self, actor: Actor, time_ns: int) -> None:
        """Suspend until it is the turn of `actor` at `time_ns`. The turn goes straight to the earliest, which may be the actor itself."""
        self._enlist(actor, time_ns)
        if actor.work is not None:
            await _pause()
            return
        chosen = self._choose()
        if chosen is not actor:
            self._resume(chosen)
            await trio.lowlevel.wait_task_rescheduled(self._abort)
        elif actor.kept >= TURNS_A_PASS:
            await trio.lowlevel.checkpoint()
        actor.kept = 0

    async def wait_open(self, actor: Actor, until_ns: int) -> int:
        """Wait until `until_ns`, or until somebody wakes the actor sooner. Returns the time, which is the actor's new local time."""
        assert until_ns >= actor.local_now_ns, f"{actor.name} would wait for its own past"
        if actor.last_post_ns == actor.local_now_ns:
            actor.local_now_ns += 1
            until_ns = max(until_ns, actor.local_now_ns)
        if until_ns < self._due_ns and until_ns < NEVER and self._is_earliest(actor, until_ns):
            self.now_ns = actor.synced_ns = actor.local_now_ns = until_ns
            if actor.kind != KIND_ACTOR:
                self.settle(until_ns)
            return until_ns
        actor.is_open = True
        await self.wait_turn(actor, until_ns)
        actor.local_now_ns = actor.synced_ns
        return actor.local_now_ns

    def _choose(self) -> Actor:
        """Grant the next turn, with everything before it decided.

        Returns whose it is: the keeper's if it must act (pace, or nobody is left), or if none is granted any more.
        """
        if self._torn_down:
            return self._keeper
        heap = self._heap
        if self._due_ns <= heap[0][0]:
            self._decide(heap[0][0])
        actor = heap[0][4]
        if actor.kind != KIND_ACTOR:
            if actor.kind == KIND_KEEPER or (actor.kind == KIND_SAMPLER and self._only_samplers()):
                return self._keeper
            self.settle(actor.key_ns)
        heapq.heappop(heap)
        if heap[0][3] != heap[0][4].version:
            self._drop_stale()
        self.now_ns = actor.synced_ns = actor.key_ns
        actor.is_open = False
        return actor

    def _waiting(self) -> list[tuple[int, Actor]]:
        """Who waits for a turn, and until when."""
        return [
            (time_ns, actor)
            for time_ns, kind, _, version, actor in self._heap
            if version == actor.version and kind != KIND_KEEPER
        ]

    def _only_samplers(self) -> bool:
        """Nobody waits for a turn but those who look on: nothing is left to happen."""
        return all(actor.kind == KIND_SAMPLER for _, actor in self._waiting())

    def _resume(self, chosen: Actor) -> None:
        if self._torn_down:
            return  # who calls this is about to wait, and is cancelled there
        self.turns += 1
        assert chosen.task is not None, f"the turn is due to {chosen.name}, which has no task"
        trio.lowlevel.reschedule(chosen.task)

    def _abort(self, _: Any) -> trio.lowlevel.Abort:
        """Cancelled while waiting: the machine is being torn down, nobody will grant this turn."""
        self._torn_down = True
        return trio.lowlevel.Abort.SUCCEEDED

    def next_turn_ns(self) -> int:
        """When the next turn or decision is due, NEVER if nothing is left to happen."""
        if not self._due_ns:
            self._decide(-1)
        if self._only_samplers():
            return self._due_ns
        return min(self._due_ns, *(time_ns for time_ns, _ in self._waiting()))

    # ---------------------------------------------------------------- the run

    async def enter(self, actor: Actor, first_ns: int = 0, is_open: bool = True) -> None:
        """An actor's first wait. Its first turn comes at `first_ns` (NEVER: when somebody wakes it)."""
        assert (actor.kind, actor.rank) not in self._places, (
            f"{actor.name}: another actor of its kind has rank {actor.rank}"
        )
        self._places.add((actor.kind, actor.rank))
        actor.is_open = is_open
        self._enlist(actor, first_ns)
        actor.task = trio.lowlevel.current_task()
        self._members += 1
        if self._members == self._expected and self._keeper.task is not None and not self._torn_down:
            trio.lowlevel.reschedule(self._keeper.task)
        await trio.lowlevel.wait_task_rescheduled(self._abort)
        actor.local_now_ns = actor.synced_ns

    async def host(self, actor: Actor, work: Coroutine[Any, Any, NoReturn], first_ns: int = 0) -> None:
        """The task of an actor that waits for nothing but its turns: `work`, which never ends, is what it does from its first turn on.

        To hand a turn from task to task costs as much as most turns do. So the task that has the turn also carries out those of other
        hosted actors, as long as they come next, and passes the turn on after TURNS_A_PASS: then trio looks after other tasks.
        An exception of `work` leaves by the task that carried it out.
        """
        try:
            await self.enter(actor, first_ns)
            actor.work = work
            while True:
                chosen = self._carry_out(actor)
                if chosen is actor:
                    await trio.lowlevel.checkpoint()
                else:
                    self._resume(chosen)
                    await trio.lowlevel.wait_task_rescheduled(self._abort)
        finally:
            work.close()

    def _carry_out(self, actor: Actor) -> Actor:
        """Carry out the turn of `actor`, which has been granted, and some of those after it. Returns whose turn is granted then."""
        left = TURNS_A_PASS
        while actor.work is not None and left > 0:
            actor.work.send(None)
            left -= 1 + actor.kept
            actor.kept = 0
            self.turns += 1
            actor = self._choose()
        return actor

    def leave(self) -> None:
        """Pass the turn on for good: the caller, whose turn it is, takes no more turns and returns."""
        self._resume(self._choose())

    async def keep(self, actors: int, pace: Pace | None = None) -> None:
        """The keeper: starts the first turn when `actors` have entered, waits for the pace, returns when no turn is left.

        Runs in the machine's one nursery beside the actors; who calls it cancels that nursery afterwards. A machine has an end
        actor (see scenarios) whose turn is the last; when that actor returns without waiting again nobody is granted a turn.
        """
        self._expected = actors
        if pace is not None:
            self.limit_ns = pace.limit_ns
        keeper = self._keeper
        keeper.task = trio.lowlevel.current_task()
        while self._members < actors:
            await trio.lowlevel.wait_task_rescheduled(self._abort)
        while True:
            if pace is not None:
                self.limit_ns = pace.limit_ns
            chosen = self._choose()
            if chosen is not keeper:
                self._resume(chosen)
                await trio.lowlevel.wait_task_rescheduled(self._abort)
            elif pace is not None and (self.next_turn_ns() < NEVER or not pace.ends_when_quiet):
                self._held_ns = max(self._held_ns, self.limit_ns)
                self.settle(self.limit_ns)
                await pace.wait(self.next_turn_ns())
            else:
                self.settle(NEVER)
                return


@coroutine
def _pause() -> Generator[None, None, None]:
    """Return to who carries out this coroutine."""
    yield
