"""HTTP/1.1 on a connection: uvicorn's h11 protocol, and a short way for the request that comes all day.

That request is a ``POST`` of events with a plain head and a ``Content-Length``. ``Head.read`` recognises it by a grammar that
is narrower than h11's: what h11 would refuse is never recognised. Everything else, refusals and odd requests among it,
goes to h11 and the application untouched, byte for byte, so there is one place that decides about them.
"""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import Any

import attrs
import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from openlineage_bridge.errors import RetryLater
from openlineage_bridge.receivers.gathering import OFFLOAD_BYTES
from openlineage_bridge.receivers.http import Answer
from openlineage_bridge.server.auth import Role, is_foreign
from openlineage_bridge.server.deadlines import Deadline, Phase
from openlineage_bridge.server.ingest import SECURITY_HEADERS, Ingest, body_of
from openlineage_bridge.server.limits import BUSY

MOST_AHEAD = 64 * 1024
"""Bytes taken from a sender that does not wait for its answer, before reading pauses."""

# RFC 9112 3 and 5, without folded lines, empty values, percent escapes and queries; no repetition can be split in two ways.
_REQUEST = re.compile(
    rb"POST (/[!$&-;=@-Z_a-z~]*+) HTTP/1\.1\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]++:[ \t]*+[!-~][ -~\t]*+\r\n)++)\r\n"
)
_ENDPOINTS = {
    b"/api/v1/lineage": False,
    b"/api/v1/lineage/": False,
    b"/api/v1/lineage/batch": True,
    b"/api/v1/lineage/batch/": True,
}
_LONGEST_HEAD = 8 * 1024
_SPECIAL = (b"transfer-encoding", b"expect", b"upgrade", b"connection")
_CONSTANT = b"".join(
    b"%b: %b\r\n" % header for header in (*SECURITY_HEADERS, (b"content-type", b"application/json"))
)
_STATUS_LINES = {
    each.value: b"HTTP/1.1 %d %b\r\n" % (each.value, each.phrase.encode()) for each in HTTPStatus
}


@attrs.frozen
class Head:
    """What the head of a recognised request says.

    Args:
        end: Where the body begins.
        size: ``Content-Length``.
        batch: Whether it is for the batch endpoint.
        headers: By name in lower case.
    """

    end: int
    size: int
    batch: bool
    headers: dict[bytes, bytes]

    @classmethod
    def read(cls, data: bytes) -> Head | None:
        """The head at the beginning of ``data``; None when it is not there as a whole, or anything about it is unusual."""
        match = _REQUEST.match(data, 0, _LONGEST_HEAD)
        batch = None if match is None else _endpoint(match[1])
        if match is None or batch is None:
            return None
        lines = match[2].removesuffix(b"\r\n").split(b"\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        length = headers.get(b"content-length", b"")
        if len(headers) != len(lines) or b"host" not in headers or not length.isdigit() or len(length) > 6:
            return None  # a header that is there twice makes fewer headers than lines
        if any(name in headers for name in _SPECIAL) and not _only_keeps_alive(headers):
            return None
        return cls(match.end(), int(length), batch, headers)


def _endpoint(path: bytes) -> bool | None:
    """Whether a path is that of the batch endpoint, under any prefix; None when it is neither of the two."""
    at = path.rfind(b"/api/v1/lineage")
    return _ENDPOINTS.get(path[at:]) if at >= 0 else None


def _only_keeps_alive(headers: dict[bytes, bytes]) -> bool:
    return headers.get(b"connection", b"").lower() == b"keep-alive" and not any(
        name in headers for name in _SPECIAL[:-1]
    )


class EventProtocol(H11Protocol):
    """A connection; made by uvicorn, with the arguments that it gives to its own protocol."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ingest: Ingest = self.config.app.state.ingest  # type: ignore[union-attr]
        self._head: Head | None = None  # of the request that is on the short way
        self._received = bytearray()  # its body, and then what follows it
        self._answering = False
        self._last = False
        self._held = 0  # bytes that are counted in

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A sender is there, and has to say what it wants."""
        super().connection_made(transport)
        self._deadline = Deadline(self.loop, transport.close)
        self._unread = Deadline(self.loop, transport.abort)
        self._deadline.enter(Phase.HEAD)

    def data_received(self, data: bytes) -> None:
        """Bytes arrived: of the request that is on the short way, of one that may take it, or for h11."""
        if self._head is not None:
            self._take(self._head, data)
        elif not self._begin(data):
            super().data_received(data)
            self._deadline.enter(self._phase())

    def _phase(self) -> Phase | None:
        """What h11 waits for; between requests uvicorn has a timer of its own."""
        if self.conn.their_state is h11.SEND_BODY:
            return Phase.BODY
        is_first = (
            getattr(self.cycle, "response_complete", None) is None
        )  # there is no cycle before the first request
        begun = is_first or bool(self.conn.trailing_data[0])
        return Phase.HEAD if self.conn.their_state is h11.IDLE and begun else None

    def on_response_complete(self) -> None:
        """h11 has answered; the beginning of the next request may be there already."""
        super().on_response_complete()
        self._deadline.enter(self._phase())

    def pause_writing(self) -> None:
        """The sender does not take its answer, or not as fast as it comes."""
        super().pause_writing()
        self._unread.enter(Phase.READER)

    def resume_writing(self) -> None:
        """It does."""
        super().resume_writing()
        self._unread.enter(None)

    def _begin(self, data: bytes) -> bool:
        """Take the short way, if the request may: then nothing that could refuse it is left but its body."""
        if not self._is_between_requests():
            return False
        head = Head.read(data)
        if head is None or head.size > OFFLOAD_BYTES or self._ingest.health.stopping:
            return False
        if is_foreign(head.headers) or Role.WRITE not in self._ingest.access.granted(head.headers):
            return False
        self._unset_keepalive_if_required()
        self._head = head
        if len(data) == head.end + head.size:
            self._answer(head, data[head.end :])
        else:
            self._take(head, data[head.end :])
        return True

    def _is_between_requests(self) -> bool:
        """Whether h11 has nothing under way: no request, no answer, no beginning of a head."""
        return (
            getattr(self.cycle, "response_complete", True)  # there is no cycle before the first request
            and self.conn.our_state is h11.IDLE
            and self.conn.their_state is h11.IDLE
            and not self.conn.trailing_data[0]
            and not self.flow.write_paused
        )

    def _take(self, head: Head, data: bytes) -> None:
        """More of the body, or of what follows it."""
        self._received += data
        if self._answering:
            if len(self._received) > MOST_AHEAD:
                self.flow.pause_reading()
        elif len(self._received) >= head.size:
            body = bytes(self._received[: head.size])
            del self._received[: head.size]
            self._answer(head, body)
        elif self._ingest.in_flight.hold(len(data)):
            self._held += len(data)
            self._deadline.enter(Phase.BODY)
        else:
            self._last = True
            self._answer(head, None)

    def _answer(self, head: Head, body: bytes | None) -> None:
        """The body is there as a whole; None when there is no room for it."""
        self._deadline.enter(None)
        self._answering = True
        task = self.loop.create_task(self._respond(head, body))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _respond(self, head: Head, body: bytes | None) -> None:
        try:
            answer = await self._ingest.answer(self._receive(head, body))
            self._write(answer.status, body_of(answer))
        except BaseException:
            self.transport.abort()  # without an answer the sender tries again
            raise
        finally:
            self._let_go()
            self._head, self._answering = None, False
        self._next()

    async def _receive(self, head: Head, body: bytes | None) -> Answer:
        if body is None:
            raise RetryLater(BUSY)
        with self._ingest.in_flight.request():
            encoding = head.headers.get(b"content-encoding", b"").decode("latin-1")
            return await self._ingest.receiver.receive(body, encoding, batch=head.batch)

    def _let_go(self) -> None:
        self._ingest.in_flight.release(self._held)
        self._held = 0

    def _write(self, status: int, content: bytes) -> None:
        """Head and body at once: each write is a system call and a segment of its own."""
        if self.transport.is_closing():
            return
        varying = b"".join([b"%b: %b\r\n" % header for header in self.server_state.default_headers])
        length = b"content-length: %d\r\n" % len(content)
        close = b"connection: close\r\n" if self._last else b""
        self.transport.write(
            b"".join((_STATUS_LINES[status], varying, _CONSTANT, length, close, b"\r\n", content))
        )

    def _next(self) -> None:
        """Wait for the next request, or take the one that is there already."""
        self.server_state.total_requests += 1
        if self._last:
            self.transport.close()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )
        if self._received:
            ahead = bytes(self._received)
            self._received.clear()
            self.data_received(ahead)

    def shutdown(self) -> None:
        """The server stops: answer the request that has begun, and close."""
        if self._head is None:
            super().shutdown()
        self._last = True

    def connection_lost(self, exc: Exception | None) -> None:
        """The sender went away: what it had begun to send is no request; what is being stored will be."""
        self._deadline.enter(None)
        self._unread.enter(None)
        if self._head is not None and not self._answering:
            self._let_go()
            self._head = None
        super().connection_lost(exc)
