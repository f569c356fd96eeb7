"""Hundreds of slow senders with large bodies: memory stays bounded, and the bridge goes on (G15)."""

from __future__ import annotations

import select
import socket
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from uuid import uuid4

import pytest
from bridge_tests.process import JSON, LINEAGE
from bridge_tests.waiting import wait_until

from openlineage_bridge.receivers.http import MIB, BodyLimits
from openlineage_bridge.server.limits import InFlight

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(300)]

CLIENTS = 512
PIECE = MIB


def most_memory(process: int) -> int:
    """The most bytes that the process ever had in memory."""
    [line] = [
        each for each in Path(f"/proc/{process}/status").read_text().splitlines() if each.startswith("VmHWM")
    ]
    return int(line.split()[1]) * 1024


def test_memory_under_slow_senders(bridge, ledger):
    """512 senders announce 8 MiB each and send one of them: what is held stays below the limit, the others get 503."""
    before = most_memory(bridge.process.pid)
    head = f"POST {LINEAGE} HTTP/1.1\r\nHost: b\r\nContent-Length: {BodyLimits().body}\r\n\r\n".encode()
    least = CLIENTS - InFlight().max_bytes // PIECE  # for whom there is no room
    with ExitStack() as open_:
        senders = [
            open_.enter_context(closing(socket.create_connection(("127.0.0.1", bridge.port), 20)))
            for _ in range(CLIENTS)
        ]
        for sender in senders:
            with suppress(ConnectionError):  # answered and closed before it had sent everything
                sender.sendall(head + b"x" * PIECE)
        wait_until(lambda: len(answered(senders)) >= least)
        refused = len(answered(senders))
        most = most_memory(bridge.process.pid) - before
    wait_until(lambda: _is_taken(bridge))

    # Copies on the way may double what is held. Without a limit it would be four times the limit, and the copies.
    assert most < 3 * InFlight().max_bytes
    ledger.note(
        "G15",
        slow_senders=CLIENTS,
        of_them_told_to_come_again=refused,
        MiB_offered=CLIENTS * PIECE // MIB,
        MiB_of_memory_taken=most // MIB,
    )


def answered(senders: list[socket.socket]) -> list[socket.socket]:
    """Those that have an answer, or the end of their connection, before their body was complete."""
    return select.select(senders, [], [], 0)[0]


def _is_taken(bridge) -> bool:
    from_ = uuid4()
    body = b'{"run":{"runId":"%s"},"job":{"namespace":"n","name":"j"}}' % str(from_).encode()
    with closing(bridge.connect()) as connection:
        connection.request("POST", LINEAGE, body, JSON)
        return connection.getresponse().status == 200
