"""What other programs wrap around events when they write them down: arrays, pages of Marquez, records of Kafka tools.

=============================================== ====================================================================
``[event, …]``                                  several events
``{"events": [event, …], "totalCount": 1}``     a page of Marquez' ``events/lineage``, saved as it is
``{"topic": "…", "payload": "event"}``          a record of ``kcat -J``: the value is a text
``{"schema": {…}, "payload": {…}}``             a record of Kafka Connect's JSON converter
``key<TAB>event``                               a record of ``kafka-console-consumer`` that was asked for keys or times too
=============================================== ====================================================================
"""

from __future__ import annotations

import msgspec

from openlineage_bridge.errors import RejectedEvent
from openlineage_bridge.events import split

_ABSENT = msgspec.Raw()


class _Record(msgspec.Struct):
    """The keys by which an event is told from something around it."""

    job: msgspec.Raw = _ABSENT
    dataset: msgspec.Raw = _ABSENT
    run: msgspec.Raw = _ABSENT
    events: list[msgspec.Raw] | None = None
    payload: msgspec.Raw = _ABSENT


_RECORD = msgspec.json.Decoder(_Record)
_TEXT = msgspec.json.Decoder(str)


def unwrapped(body: bytes) -> list[bytes] | None:
    """The events in a JSON document, or in a line of a Kafka tool; None when it is neither.

    What is no event and none of the above stays as it is, for the inbox to refuse.
    """
    try:
        return [event for part in split(body) for event in _events(part)]
    except RejectedEvent:
        _, tab, value = body.partition(b"\t{")
        return unwrapped(b"{" + value) if tab else None


def _events(document: bytes) -> list[bytes]:
    try:
        record = _RECORD.decode(document)
    except (msgspec.MsgspecError, RecursionError):
        return [document]
    if bytes(record.job) or bytes(record.dataset) or bytes(record.run):
        return [document]
    if record.events is not None:
        return [bytes(each) for each in record.events]
    payload = bytes(record.payload)
    return _payload(payload, document) if payload else [document]


def _payload(value: bytes, document: bytes) -> list[bytes]:
    """The value of a Kafka record; one that is null, a tombstone, holds none."""
    if value == b"null":
        return []
    if value.startswith(b"{"):
        return [value]
    try:
        return unwrapped(_TEXT.decode(value).encode()) or [document]
    except msgspec.MsgspecError:
        return [document]
