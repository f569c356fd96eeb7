"""Stands between a producer and a bridge, and notes which bodies the bridge acknowledged."""

from __future__ import annotations

import http.client
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager

from bridge_tests.loopback import Handler, serving

NOTHING = 0
"""Stands for the status of an answer that never came."""


class Relay:
    """What passed: every body, those that were acknowledged, and how often each status was answered.

    Args:
        url: Where producers send to.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.came: set[bytes] = set()
        self.acknowledged: list[bytes] = []
        self.answers: Counter[int] = Counter()


class _Passing(Handler):
    def do_POST(self) -> None:
        body, relay = self.body(), self.server.relay
        relay.came.add(body)
        try:
            status, answer = _asked(self.server.port, self.path, body)
        except (OSError, http.client.HTTPException):
            relay.answers[NOTHING] += 1
            self.close_connection = True  # as if the producer had asked the bridge itself
            return
        if status == 200:
            relay.acknowledged.append(body)
        relay.answers[status] += 1
        self.reply(answer, status)


def _asked(port: int, path: str, body: bytes) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as bridge:
        bridge.request("POST", path, body, {"Content-Type": "application/json"})
        answer = bridge.getresponse()
        return answer.status, answer.read()


@contextmanager
def relaying(port: int) -> Iterator[Relay]:
    """A relay to what listens on the port; producers that find nobody there find nobody here."""
    with serving(_Passing, port=port) as server:
        server.relay = Relay(server.url)
        yield server.relay
