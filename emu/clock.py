"""Virtual time and turns: one actor at a time, in one order, whatever trio's scheduler does.

Models: an integer clock of nanoseconds; actors that are granted turns by the key (time, kind, rank, sequence); posts between actors
that are decided in the order of their stamps before anybody is granted a later turn; a pace that holds virtual time back.
Leaves out: everything about CPUs and packets.

The rules, each with a test:

* An actor that is the earliest goes on without suspending. Otherwise it hands the turn straight to the earliest (task to task).
* What a woken actor does up to its first wait may be begun in the task of whoever hands the turn over: the order is the same.
* A post made at local time s is decided at s + 1, before any actor is granted a turn at a time later than s, in the order
  (stamp, rank of the sender, order of posting). The decision may wake an open actor; then that actor's turn comes first.
* Only an actor that waits open can be woken early; one that works keeps its key. Nobody is pulled into the past.
* When an actor fails, the turn is not handed on: the exception travels through the nursery, which tears the machine down.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Callable, Coroutine, Generator
from operator import itemgetter
from types import coroutine
from typing import Any, Final, Protocol

import trio

NEVER: Final = 1 << 62
"""A time that does not come (146 years in nanoseconds)."""

RANK_BITS: Final = 12
"""Ranks are below 2**RANK_BITS; a post's key is stamp << RANK_BITS | rank."""

KIND_POST: Final = 0
KIND_ACTOR: Final = 1
KIND_SAMPLER: Final = 2
KIND_USER: Final = 3
KIND_END: Final = 4
"""Order at equal times: decisions on posts, CPUs and devices, the sampler, a control write, the end of the run."""


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
        self.then: Callable[[], Coroutine[Any, Any, None]] | None = None
        """What it does at the end of its open wait, if somebody else may begin it."""
        self.begun: Coroutine[Any, Any, None] | None = None
        """That, once begun, until its own task takes it up."""
        self.task: trio.lowlevel.Task | None = None

    async def run(self) -> None:
        """The actor's task: `Clock.enter` first, then turn by turn."""
        raise NotImplementedError


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
        self.limit_ns = NEVER
        """No turn after this time is granted before the pace allows it."""
        self.turns = 0
        """Turns that were handed from task to task."""
        self.decided = 0
        """Posts decided."""
        self._heap: list[tuple[int, int, int, int, Actor]] = []
        self._posts: list[tuple[int, Port, Any, Any]] = []
        self._cursor = 0
        self._sorted = True
        """All posts are in their order."""
        self._clear_ns = 0
        """If they are: nobody waits for a turn and no decision is due before it. It may be too early, never too late."""
        self._beginning: Actor | None = None
        """Whose work is being begun in the task of somebody else."""
        self._keeper: trio.lowlevel.Task | None = None
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
    def reached_ns(self) -> int:
        """The present: nothing more happens before it. Later than `now_ns` when nobody has had a turn for a while."""
        return self.now_ns if self.now_ns > self._held_ns else self._held_ns

    # ---------------------------------------------------------------- posts

    def post(self, sender: Actor, port: Port, item: Any) -> None:
        """Post `item` to `port`, stamped with the sender's local time; it is decided 1 ns later, in the one order."""
        now_ns = sender.local_now_ns
        sender.last_post_ns = now_ns
        self._posts.append((now_ns << RANK_BITS | sender.rank, port, sender, item))
        self._sorted = False

    def post_batch(self, sender: Actor, posts: list[tuple[int, Port, Any]]) -> None:
        """Posts (stamp, port, item) that a loop gathered, in the order of their stamps, before it told the sender's clock of the time."""
        rank = sender.rank
        self._posts += [(stamp_ns << RANK_BITS | rank, port, sender, item) for stamp_ns, port, item in posts]
        sender.last_post_ns = posts[-1][0]
        self._sorted = False

    def posts_waiting(self) -> list[tuple[int, Port, Any, Any]]:
        """Posts that are not decided yet: (stamp << RANK_BITS | rank, port, sender, item)."""
        waiting = self._posts[self._cursor :]
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
        self._sorted = False

    def _next_post_ns(self) -> int:
        """When the next post is to be decided (its stamp + 1), or NEVER."""
        posts = self._posts
        if not self._sorted:
            if self._cursor:
                del posts[: self._cursor]
                self._cursor = 0
            posts.sort(key=_post_key)
            self._sorted = True
            self._clear_ns = 0
        if self._cursor == len(posts):
            if posts:
                posts.clear()
                self._cursor = 0
            return NEVER
        return (posts[self._cursor][0] >> RANK_BITS) + 1

    def _decide(self, until_ns: int) -> None:
        """Decide every post that is due at or before `until_ns` and before the earliest waiting actor's turn.

        A decision may wake an actor and so bring the earliest turn forward: the bound is read again after each change.
        """
        if self._next_post_ns() > until_ns:
            return
        posts = self._posts
        first = cursor = self._cursor
        version = self._wakes
        while True:
            top = self._top_ns()
            bound = until_ns if until_ns < top else top
            end = bisect_left(posts, bound << RANK_BITS, cursor, key=_post_key)
            if end == cursor:
                break
            for key, port, sender, item in posts[cursor:end]:
                cursor += 1
                port.deliver(key >> RANK_BITS, sender, item)
                if self._wakes != version:
                    version = self._wakes
                    break
            assert self._sorted, "a decision may not post"
        self.decided += cursor - first
        self._cursor = cursor

    _wakes = 0

    # ---------------------------------------------------------------- turns

    def _top_ns(self) -> int:
        """Time of the earliest turn somebody waits for, NEVER if none."""
        heap = self._heap
        while heap:
            time_ns, _, _, version, actor = heap[0]
            if version == actor.version:
                return time_ns
            heapq.heappop(heap)
        return NEVER

    def _is_earliest(self, actor: Actor, time_ns: int) -> bool:
        top = self._top_ns()
        if time_ns != top:
            return time_ns < top
        _, kind, rank, _, _ = self._heap[0]
        return (actor.kind, actor.rank) < (kind, rank)

    def goes_on(self, actor: Actor) -> bool:
        """Whether `actor`, whose turn it is, keeps it at its local time: then it has synchronised, without having to wait.

        It does if it is the earliest, and all posts before it are decided, here and now if need be.
        """
        time_ns = actor.local_now_ns
        if actor.last_post_ns == time_ns:
            time_ns = actor.local_now_ns = time_ns + 1
        if time_ns > self.limit_ns or (
            not (self._sorted and time_ns < self._clear_ns) and not self._clears(actor, time_ns)
        ):
            return False
        self.now_ns = actor.synced_ns = time_ns
        if actor.kind != KIND_ACTOR:
            self.settle(time_ns)
        return True

    def _clears(self, actor: Actor, time_ns: int) -> bool:
        """Decide what is due; whether `actor` comes first at `time_ns` then."""
        if self._beginning is actor:
            return False  # in the task of somebody else: what it does from here on it does in its own
        due = self._next_post_ns() if self._cursor < len(self._posts) else NEVER
        if due <= time_ns:
            self._decide(time_ns)
            due = self._next_post_ns()
        top = self._top_ns()
        self._clear_ns = due if due < top else top
        return time_ns < due and (time_ns < top or (time_ns == top and self._is_earliest(actor, time_ns)))

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
        self._wakes += 1
        if time_ns < self._clear_ns:
            self._clear_ns = time_ns
        if time_ns < NEVER:
            heapq.heappush(self._heap, (time_ns, actor.kind, actor.rank, actor.version, actor))

    async def synchronise(self, actor: Actor) -> None:
        """Return when `actor` is the earliest at its local time and all posts before it are decided. Suspends only if it is not."""
        if not self.goes_on(actor):
            await self.wait_turn(actor, actor.local_now_ns)

    async def wait_turn(self, actor: Actor, time_ns: int) -> None:
        """Suspend until it is the turn of `actor` at `time_ns`. The turn goes straight to the earliest, which may be the actor itself."""
        self._enlist(actor, time_ns)
        if self._beginning is actor:
            await _pause()
            return
        chosen = self._choose()
        if chosen is actor:
            self._grant(actor)
            return
        self._resume(chosen)
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    async def wait_open(self, actor: Actor, until_ns: int) -> int:
        """Wait until `until_ns`, or until somebody wakes the actor sooner. Returns the time, which is the actor's new local time."""
        assert until_ns >= actor.local_now_ns, f"{actor.name} would wait for its own past"
        if actor.last_post_ns == actor.local_now_ns:
            actor.local_now_ns += 1
            until_ns = max(until_ns, actor.local_now_ns)
        if (
            until_ns < NEVER
            and until_ns <= self.limit_ns
            and self._cursor == len(self._posts)
            and self._is_earliest(actor, until_ns)
        ):
            self.now_ns = actor.synced_ns = actor.local_now_ns = until_ns
            if actor.kind != KIND_ACTOR:
                self.settle(until_ns)
            return until_ns
        actor.is_open = True
        await self.wait_turn(actor, until_ns)
        actor.is_open = False
        actor.local_now_ns = actor.synced_ns
        return actor.local_now_ns

    async def wait_open_then(self, actor: Actor, until_ns: int, then: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Wait as `wait_open` does, then do `then()`.

        When the turn has come, whoever hands it over begins that in its own task. What is left from where it first
        has to wait is done in the caller's task: so an actor that is woken and has to wait again is not resumed in between.
        """
        if self._beginning is actor:
            await self.wait_open(actor, until_ns)
            await then()
            return
        actor.then = then
        await self.wait_open(actor, until_ns)
        begun, actor.begun = actor.begun, None
        if begun is not None:
            await _finish(begun)
        elif actor.then is not None:
            actor.then = None
            await then()

    def _begin(self, actor: Actor) -> None:
        """Grant `actor` its turn in the task at hand, up to its next wait."""
        assert actor.then is not None
        self._grant(actor)
        actor.is_open = False
        actor.local_now_ns = actor.synced_ns
        work = actor.then()
        actor.then = None
        self._beginning = actor
        try:
            work.send(None)
        except StopIteration:
            if actor.last_post_ns == actor.local_now_ns:
                actor.local_now_ns += 1
            self._enlist(actor, actor.local_now_ns)
        else:
            actor.begun = work
        self._beginning = None

    def _choose(self) -> Actor | None:
        """The actor whose turn is next, with everything before it decided; None if the keeper must act (pace, or nobody is left)."""
        while True:
            top = self._top_ns()
            if top > self.limit_ns:
                # Nothing after the limit may happen, decisions included.
                if self._next_post_ns() <= self.limit_ns:
                    self._decide(self.limit_ns)
                    if self._top_ns() <= self.limit_ns:
                        continue
                return None
            if self._cursor < len(self._posts) and self._next_post_ns() <= top:
                self._decide(top)
                continue
            if top == NEVER:
                return None
            actor = self._heap[0][4]
            if actor.kind == KIND_SAMPLER and self._only_samplers():
                return None
            if actor.then is None or self._torn_down:
                return actor
            self._begin(actor)

    def _only_samplers(self) -> bool:
        """Nobody waits for a turn but those who look on: nothing is left to happen."""
        return all(actor.kind == KIND_SAMPLER for _, _, _, version, actor in self._heap if version == actor.version)

    def _grant(self, actor: Actor) -> None:
        heapq.heappop(self._heap)
        actor.version += 1
        self.now_ns = actor.synced_ns = actor.key_ns
        actor.key_ns = NEVER
        if actor.kind != KIND_ACTOR:
            self.settle(self.now_ns)

    def _resume(self, chosen: Actor | None) -> None:
        if self._torn_down:
            return  # who calls this is about to wait, and is cancelled there
        self.turns += 1
        if chosen is None:
            task, self._keeper = self._keeper, None
        else:
            self._grant(chosen)
            task = chosen.task
        assert task is not None, "the turn is due to the keeper, which does not wait"
        trio.lowlevel.reschedule(task)

    def _abort(self, _: Any) -> trio.lowlevel.Abort:
        """Cancelled while waiting: the machine is being torn down, nobody will grant this turn."""
        self._torn_down = True
        return trio.lowlevel.Abort.SUCCEEDED

    def next_turn_ns(self) -> int:
        """When the next turn or decision is due, NEVER if nothing is left to happen."""
        if self._only_samplers():
            return self._next_post_ns()
        return min(self._top_ns(), self._next_post_ns())

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
        if self._members == self._expected and self._keeper is not None and not self._torn_down:
            keeper, self._keeper = self._keeper, None
            trio.lowlevel.reschedule(keeper)
        await trio.lowlevel.wait_task_rescheduled(self._abort)
        actor.is_open = False
        actor.local_now_ns = actor.synced_ns

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
        while self._members < actors:
            self._keeper = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abort)
        while True:
            if pace is not None:
                self.limit_ns = pace.limit_ns
            chosen = self._choose()
            if chosen is not None:
                self._keeper = trio.lowlevel.current_task()
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
    """Return to who began this coroutine."""
    yield


@coroutine
def _finish(begun: Coroutine[Any, Any, None]) -> Generator[Any, None, None]:
    """Await what is left of a coroutine that somebody else began."""
    yield from begun.__await__()
