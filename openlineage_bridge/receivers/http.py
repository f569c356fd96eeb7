"""From the body of an HTTP request to events in the inbox, and from their receipts to the answer.

The caps hold *before* anything of that size is allocated. A body that is refused for what it says is handed to the
inbox as it is, so that its bytes stand in quarantine: clients drop what was answered with 4xx. A body that is too large
was never read.

The answers are those that make OpenLineage's clients do the right thing: 2xx when the events are durable, 4xx when
sending them again is of no use, 503 when it is. Never 429, which they do not retry.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, ParamSpec, TypeVar

import attrs

from openlineage_bridge import events
from openlineage_bridge.errors import RejectedEvent
from openlineage_bridge.receivers import Inbox, Receipt, Rejected, Stored
from openlineage_bridge.receivers.gathering import OFFLOAD_BYTES, Gathering
from openlineage_bridge.shape import MOST_LEVELS, exceeds

RECEIVER: Final = "http"
MIB: Final = 1024 * 1024
MAX_GZIP_MEMBERS: Final = 64  # a client sends one; each more costs a copy of what follows it

_P = ParamSpec("_P")
_T = TypeVar("_T")


@attrs.frozen(kw_only=True)
class BodyLimits:
    """What a request may ask of us.

    Args:
        body: Bytes on the wire.
        decompressed: Bytes after ``Content-Encoding`` is undone.
        depth: Levels of arrays and objects; JSON libraries give up, or crash, at a few hundred to a thousand.
        events: Events in one request.
    """

    body: int = 8 * MIB
    decompressed: int = 32 * MIB
    depth: int = MOST_LEVELS
    events: int = 1000


class RefusedBody(RejectedEvent):
    """No event could be read from a body.

    Args:
        status: HTTP status that says why.
        kind: One word for metrics: ``too_large``, ``encoding``, ``not_json``, ``too_deep`` or ``too_many``.
        reason: What the sender must change.
        keep: The bytes to put into quarantine; None when they were not read.
    """

    def __init__(self, status: int, kind: str, reason: str, *, keep: bytes | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.kind = kind
        self.reason = reason
        self.keep = keep


@attrs.frozen
class Payload:
    """The events of a body.

    Args:
        events: One event's JSON each, as received.
        many: Whether they came as an array or as lines, so that the answer must say which of them failed.
    """

    events: tuple[bytes, ...]
    many: bool


@attrs.frozen(kw_only=True)
class Answer:
    """What the sender is told, and what metrics and logs are told about it.

    Args:
        status: HTTP status.
        content: JSON body.
        received: Events that the request held.
        duplicates: How many of them had been there already.
        rejected: Per event or body that was refused for good: one word why.
    """

    status: int
    content: dict[str, Any]
    received: int = 0
    duplicates: int = 0
    rejected: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """What was wrong with the body, or with the first event that was refused; empty when nothing was."""
        failed = self.content.get("failed_events")
        return str(failed[0]["reason"] if failed else self.content.get("error", ""))


# --- from the wire to events ----------------------------------------------------------------------------------------


def inflate(body: bytes, encoding: str, limits: BodyLimits) -> bytes:
    """Undo ``Content-Encoding``: gzip or nothing.

    Raises:
        RefusedBody: 415 for any other encoding, stacked ones included; 413 when more than ``limits.decompressed`` bytes
            come out; 400 when it is not gzip, or ends too early.
    """
    match encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip":
            return _gunzip(body, limits.decompressed)
        case other:
            raise RefusedBody(
                415, "encoding", f"Content-Encoding {other!r} is not supported: send gzip, or none"
            )


def _gunzip(body: bytes, cap: int) -> bytes:
    parts: list[bytes] = []
    size, rest = 0, body
    for _ in range(MAX_GZIP_MEMBERS):
        stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            parts.append(stream.decompress(rest, cap + 1 - size))
        except zlib.error:
            raise RefusedBody(
                400, "encoding", "the body is not gzip, as Content-Encoding says", keep=body
            ) from None
        size += len(parts[-1])
        if size > cap:
            raise RefusedBody(
                413, "too_large", f"the body inflates to more than {cap} bytes: send fewer events at once"
            )
        if not stream.eof:
            raise RefusedBody(400, "encoding", "the gzip body ends too early", keep=body)
        rest = stream.unused_data.lstrip(b"\0")
        if not rest:
            return b"".join(parts)
    raise RefusedBody(400, "encoding", "the gzip body has too many members", keep=body)


def split(body: bytes, limits: BodyLimits) -> Payload:
    """The events of a body: one JSON object, an array of them, or one per line (NDJSON).

    Whether a single event is JSON is left to the inbox, which has to look at it anyway.

    Raises:
        RefusedBody: 400 when it is empty, nested too deeply, or an array that is not JSON; 413 for too many events.
    """
    text = body.removeprefix(b"\xef\xbb\xbf").strip(b" \t\r\n")
    if not text:
        raise RefusedBody(
            400, "not_json", "the body is empty: send an OpenLineage event, or an array of them, as JSON"
        )
    if text.startswith(b"["):
        _check_shape(text, limits, body)
        return Payload(_array(text, body), many=True)
    if b"\n" in text and _is_json(text.partition(b"\n")[0]):
        return Payload(tuple(_lines(text, limits, body)), many=True)
    _check_shape(text, limits, body)
    return Payload((text,), many=False)


def _array(text: bytes, body: bytes) -> tuple[bytes, ...]:
    try:
        return tuple(events.split(text))
    except RejectedEvent as error:
        raise RefusedBody(400, "not_json", f"the body is not a JSON array: {error}", keep=body) from None


def _is_json(line: bytes) -> bool:
    try:
        events.split(line)
    except RejectedEvent:
        return False
    return True


def _lines(text: bytes, limits: BodyLimits, body: bytes) -> Iterator[bytes]:
    start, count = 0, 0
    while start < len(text):
        end = text.find(b"\n", start)
        end = len(text) if end < 0 else end
        line = text[start:end].strip()
        start = end + 1
        if not line:
            continue
        count += 1
        if count > limits.events:
            raise _too_many(limits)
        _check_shape(line, limits, body)
        yield line


# --- shape: how deep, how many --------------------------------------------------------------------------------------


def _check_shape(text: bytes, limits: BodyLimits, body: bytes) -> None:
    """Refuse what is nested too deeply, and an array of too many items, without building anything."""
    match exceeds(text, levels=limits.depth, items=limits.events):
        case "levels":
            reason = f"the JSON is nested more than {limits.depth} levels deep"
            raise RefusedBody(400, "too_deep", reason, keep=body)
        case "items":
            raise _too_many(limits)


def _too_many(limits: BodyLimits) -> RefusedBody:
    return RefusedBody(
        413, "too_many", f"more than {limits.events} events in one request: send fewer at once"
    )


# --- from events to the answer --------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class HttpReceiver:
    """Puts the events of a body into the inbox, and answers when they are durable; used by one event loop.

    Args:
        inbox: Where they go.
        limits: What a request may ask of us.
        patience: Seconds to wait for the commit; clients give up after 5.
    """

    inbox: Inbox
    limits: BodyLimits = attrs.field(factory=BodyLimits)
    patience: float = 4.0
    _gathering: Gathering = attrs.field(init=False)

    @_gathering.default
    def _gather(self) -> Gathering:
        return Gathering(self.inbox, RECEIVER, self.patience)

    async def receive(self, body: bytes, encoding: str, *, batch: bool) -> Answer:
        """Store the events of ``body``.

        Args:
            body: As it came over the wire.
            encoding: ``Content-Encoding``.
            batch: Whether the sender asked for the batch answer.

        Raises:
            RefusedBody: No event could be read; the bytes are in quarantine if they were read at all.
            RetryLater: Nothing is known to be stored: the sender must send the events again.
        """
        try:
            payload = await _offloaded(len(body), self._read, body, encoding)
        except RefusedBody as refusal:
            return await self._keep(refusal)
        receipts = await self._gathering.store(payload.events)
        many = payload.many or (batch and _is_json(payload.events[0]))
        return _batch_answer(receipts) if many else _single_answer(receipts[0])

    def _read(self, body: bytes, encoding: str) -> Payload:
        return split(inflate(body, encoding, self.limits), self.limits)

    async def _keep(self, refusal: RefusedBody) -> Answer:
        """Hand the bytes over as they are: the inbox refuses and keeps them, or finds that they are an event after all."""
        if refusal.keep is None:
            raise refusal
        [receipt] = await self._gathering.store((refusal.keep,))
        if isinstance(receipt, Rejected):
            raise refusal
        return _single_answer(receipt)


async def _offloaded(size: int, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Do work on that many bytes: here when it is short, on a thread when it would hold up other requests."""
    if size > OFFLOAD_BYTES:
        return await asyncio.to_thread(work, *args, **kwargs)
    return work(*args, **kwargs)


_ACCEPTED: Final = Answer(status=200, content={}, received=1)


def _single_answer(receipt: Receipt) -> Answer:
    if isinstance(receipt, Rejected):
        return Answer(status=400, content={"error": receipt.reason}, received=1, rejected=("event",))
    if not receipt.warnings and not receipt.duplicate:
        return _ACCEPTED
    content = {"warnings": list(receipt.warnings)} if receipt.warnings else {}
    return Answer(status=200, content=content, received=1, duplicates=int(receipt.duplicate))


def _batch_answer(receipts: Sequence[Receipt]) -> Answer:
    """The body of ``postEventBatch`` (OpenLineage HTTP API 2.0.2)."""
    failed = [
        {"index": index, "reason": receipt.reason, "retriable": False}
        for index, receipt in enumerate(receipts)
        if isinstance(receipt, Rejected)
    ]
    summary = {
        "received": len(receipts),
        "successful": len(receipts) - len(failed),
        "failed": len(failed),
        "retriable": 0,
        "non_retriable": len(failed),
    }
    status = "partial_success" if failed else "success"
    return Answer(
        status=200,
        content={"status": status, "summary": summary, "failed_events": failed},
        received=len(receipts),
        duplicates=sum(isinstance(receipt, Stored) and receipt.duplicate for receipt in receipts),
        rejected=("event",) * len(failed),
    )
