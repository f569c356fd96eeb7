"""Starting and stopping, as a process of its own and in this one."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import time

import pytest

from openlineage_bridge.config import ServerConfig
from openlineage_bridge.errors import ConfigError
from openlineage_bridge.server.run import bind, url_of

# Commits half a second after it was asked to, as a slow disk would.
PROGRAM = """
import sys, threading
from concurrent.futures import Future
from openlineage_bridge.config import load
from openlineage_bridge.receivers import Stored
from openlineage_bridge.server import logs
from openlineage_bridge.server.app import create_app
from openlineage_bridge.server.run import Server, bind

class Inbox:
    def accept(self, bodies, receiver):
        future = Future()
        print("accepted", flush=True)
        threading.Timer(SECONDS, future.set_result, [[Stored() for _ in bodies]]).start()
        return future

class Queries:
    def status(self):
        return {}

logs.configure()
config = load(environ={}, overrides={"server.port": 0})
server = Server(create_app(Inbox(), Queries(), config), bind(config.server))
print(repr(server.listen()), flush=True)
"""


@pytest.fixture
def process(tmp_path):
    """Start the program; gives it and its port. It is gone after the test."""
    started = []

    def start(seconds):
        program = PROGRAM.replace("SECONDS", str(seconds))
        child = subprocess.Popen(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        started.append(child)
        line = json.loads(child.stderr.readline())
        assert line["event"] == "listening"
        return child, int(line["url"].rpartition(":")[2])

    yield start
    for child in started:
        child.kill()
        child.communicate()


def post(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/api/v1/lineage", b'{"job": {}}')
    return connection


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_graceful_stop(process, which):
    """A signal during a request: the request is answered, no other is taken, and the process ends by itself (G17)."""
    child, port = process(0.5)
    idle = socket.create_connection(("127.0.0.1", port))
    request = post(port)
    assert child.stdout.readline() == "accepted\n"

    child.send_signal(which)
    start = time.monotonic()

    assert request.getresponse().status == 200
    rest, log = child.communicate(timeout=10)
    assert time.monotonic() - start < 5
    assert child.returncode == 0, log
    assert f"<Signals.{which.name}: {which.value}>\n" == rest
    idle.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_second_signal(process):
    """A second signal does not wait for requests that are being answered (G17)."""
    child, port = process(30)
    connection = post(port)
    assert child.stdout.readline() == "accepted\n"

    start = time.monotonic()
    child.send_signal(signal.SIGTERM)
    while json.loads(child.stderr.readline())["event"] != "stopping":
        pass
    child.send_signal(signal.SIGTERM)
    line = child.stdout.readline()

    assert time.monotonic() - start < 15
    assert line.startswith("<Signals.SIGTERM")
    connection.close()


def test_port_in_use(free_port):
    """The sentence says what to do."""
    with bind(ServerConfig(port=free_port)), pytest.raises(ConfigError) as caught:
        bind(ServerConfig(port=free_port))

    expected = (
        f"port {free_port} is in use: choose another with --port, or stop the program that listens there"
    )
    assert expected == str(caught.value)


def test_a_port_that_was_just_left(free_port):
    """A restart gets its port although old connections linger."""
    with bind(ServerConfig(port=free_port)) as listener:
        client = socket.create_connection(("127.0.0.1", free_port))
        server, _ = listener.accept()
        server.close()
        client.close()

    bind(ServerConfig(port=free_port)).close()


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "a" * 300, "host.invalid."])
def test_addresses_of_others(host):
    """An address that this machine does not have is refused with its name."""
    with pytest.raises(ConfigError, match=r"server\.host .* is not an address of this machine"):
        bind(ServerConfig(host=host, insecure=True))


def test_without_a_token():
    """An address that others reach is refused before a socket is made."""
    with pytest.raises(ConfigError, match="can be reached from other machines"):
        bind(ServerConfig(host="0.0.0.0", port=0))


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", "http://127.0.0.1:{}"), ("0.0.0.0", "http://127.0.0.1:{}"), ("::1", "http://[::1]:{}")],
)
def test_url(host, expected):
    """The address is one that a browser on this machine can open."""
    try:
        listener = bind(ServerConfig(host=host, port=0, insecure=True))
    except ConfigError:
        pytest.skip("no IPv6 here")
    with listener:
        assert expected.format(listener.getsockname()[1]) == url_of(listener)
