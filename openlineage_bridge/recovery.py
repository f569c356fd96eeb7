"""What becomes of what is in quarantine, once its cause is mended or it is not worth mending: tried again, or dropped.

An event that is tried again is processed as if it had just arrived; the merge of what events say does not depend on
their order, so it may be late by any time. A proposal that is tried again is what should hold *now*, not what was
refused then.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

import attrs

from openlineage_bridge.events import decode
from openlineage_bridge.receivers import Rejected
from openlineage_bridge.store import Store
from openlineage_bridge.store.inbox import inspect
from openlineage_bridge.store.quarantine import Quarantined


@attrs.frozen
class Report:
    """What was done, by number in quarantine.

    Args:
        done: Those that left the quarantine: on their way again, or forgotten.
        refused: Those that stay, with the reason.
        unknown: Those that were asked for and are not there.
    """

    done: tuple[int, ...] = ()
    refused: dict[int, str] = attrs.field(factory=dict)
    unknown: tuple[int, ...] = ()


def retry(store: Store, numbers: Collection[int] | None) -> Report:
    """Send entries on their way again, one transaction each; processing and delivery then go on as always.

    Args:
        store: Where they are.
        numbers: Which; None for all.
    """
    found = list(store.quarantine.entries(numbers))
    refused = {each.id: reason for each in found if (reason := _retry(store, each))}
    done = tuple(each.id for each in found if each.id not in refused)
    return Report(done, refused, _unknown(numbers, found))


def drop(store: Store, numbers: Collection[int] | None) -> Report:
    """Forget entries for good, in one transaction.

    Args:
        store: Where they are.
        numbers: Which; None for all.
    """
    found = list(store.quarantine.entries(numbers))
    with store.transaction():
        for each in found:
            store.quarantine.drop(each.id)
    return Report(tuple(each.id for each in found), {}, _unknown(numbers, found))


def _unknown(numbers: Collection[int] | None, found: list[Quarantined]) -> tuple[int, ...]:
    return tuple(sorted(set(numbers or ()) - {each.id for each in found}))


def _retry(store: Store, entry: Quarantined) -> str:
    """Why it stays; empty when it does not."""
    with store.transaction():
        reason = _offer(store, entry) if entry.failure.stage == "deliver" else _receive(store, entry)
        if not reason:
            store.quarantine.drop(entry.id)
    return reason


def _offer(store: Store, entry: Quarantined) -> str:
    """Have the catalog lack it again, if it should hold it at all by now."""
    proposal: dict[str, Any] = decode(entry.body)
    moment = proposal["aspect"]["json"].get("timestampMillis")
    store.aspects.offer_again(proposal["entityUrn"], proposal["aspectName"], moment)
    return ""


def _receive(store: Store, entry: Quarantined) -> str:
    """Put it into the inbox, if it is an event by now: a newer version may read what an older one could not."""
    arrival = inspect(entry.body)
    if not isinstance(arrival.receipt, Rejected):
        store.inbox.again(arrival, receiver=entry.receiver, received=entry.received)
        return ""
    store.quarantine.keep(
        attrs.evolve(entry.failure, stage="receive", reason=arrival.receipt.reason),
        entry.body,
        digest=entry.digest,
        receiver=entry.receiver,
        received=entry.received,
        failed=time.time_ns() // 1_000_000,
    )
    return arrival.receipt.reason
