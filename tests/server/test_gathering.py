"""Requests that share one way into the inbox: each gets its own receipts, and none pays for another's defect."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

import attrs
import pytest

from openlineage_bridge.errors import RetryLater, StorageError
from openlineage_bridge.receivers import Stored
from openlineage_bridge.receivers.gathering import OFFLOAD_BYTES, Gathering


@attrs.define
class Inbox:
    """Answers with what it was given; a body that is b"defect" breaks it; ``answer`` False makes it silent."""

    answer: bool | Exception = True
    calls: list[list[bytes]] = attrs.field(factory=list)

    def accept(self, bodies, receiver):
        assert receiver == "test"
        self.calls.append(list(bodies))
        if b"defect" in bodies:
            raise KeyError("defect")
        future = Future()
        if isinstance(self.answer, Exception):
            future.set_exception(self.answer)
        elif self.answer:
            future.set_result([Stored(warnings=(body.decode(),)) for body in bodies])
        return future


def store(inbox, *requests, patience=4.0):
    """What each of several requests at the same time is told."""

    async def all_at_once():
        gathering = Gathering(inbox, "test", patience)
        return await asyncio.gather(*(gathering.store(each) for each in requests), return_exceptions=True)

    return asyncio.run(all_at_once())


def receipts(*bodies):
    return [Stored(warnings=(body.decode(),)) for body in bodies]


def test_one_call_for_a_wave():
    """Requests of one turn of the event loop are one call, and each is told about its own events."""
    inbox = Inbox()
    told = store(inbox, [b"a"], [b"b", b"c"], [b"d"])

    assert [receipts(b"a"), receipts(b"b", b"c"), receipts(b"d")] == told
    assert [[b"a", b"b", b"c", b"d"]] == inbox.calls


def test_no_call_grows_without_bounds():
    """What is looked at in one go stays below the size at which work leaves the event loop."""
    inbox, body = Inbox(), b"x" * (OFFLOAD_BYTES // 2)
    store(inbox, *([body] for _ in range(5)))

    assert [2, 2, 1] == [len(call) for call in inbox.calls]


def test_large_body_goes_alone():
    """A body above that size is handed over by itself, and does not hold up the others."""
    inbox, large = Inbox(), b"x" * (OFFLOAD_BYTES + 1)
    told = store(inbox, [b"a"], [large], [b"b"])

    assert [receipts(b"a"), receipts(large), receipts(b"b")] == told
    assert sorted([[b"a", b"b"], [large]]) == sorted(inbox.calls)


def test_defect_costs_its_own_request_only():
    """The neighbours of a body that breaks the inbox are stored."""
    told = store(Inbox(), [b"a"], [b"defect"], [b"b"])

    assert [receipts(b"a"), receipts(b"b")] == [told[0], told[2]]
    assert isinstance(told[1], KeyError)


@pytest.mark.parametrize("failure", [RetryLater("later"), StorageError("later")])
def test_commit_that_fails(failure):
    """Every request of the wave is told to come again."""
    told = store(Inbox(failure), [b"a"], [b"b"])

    assert [(RetryLater, "later")] * 2 == [(type(each), str(each)) for each in told]


def test_commit_that_does_not_come():
    """After the time that a client waits nothing is known to be stored."""
    told = store(Inbox(answer=False), [b"a"], [b"b"], patience=0.05)

    assert ["the events were not on disk within 0.05 seconds: send them again"] * 2 == [
        str(each) for each in told
    ]


def test_request_that_gives_up():
    """A request that is cancelled takes nothing from those beside it."""

    async def give_up():
        gathering = Gathering(Inbox(), "test", 4.0)
        first, second = (asyncio.ensure_future(gathering.store([body])) for body in (b"a", b"b"))
        await asyncio.sleep(0)
        first.cancel()
        return await second, first.cancelled()

    assert (receipts(b"b"), True) == asyncio.run(give_up())
