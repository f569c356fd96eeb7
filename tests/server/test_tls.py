"""HTTPS: what is shown, what is refused, and a certificate that is replaced while the server runs (G29)."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from bridge_tests.certificates import make_certificate
from cryptography import x509
from cryptography.x509.oid import NameOID

from openlineage_bridge.config import Config, ServerConfig, TlsConfig
from openlineage_bridge.errors import ConfigError
from openlineage_bridge.server.app import create_app
from openlineage_bridge.server.deadlines import SECONDS, Phase
from openlineage_bridge.server.run import Server, bind
from openlineage_bridge.server.tls import context_of

EVENT = b'{"job":{"namespace":"n","name":"j"}}'


@contextmanager
def serving(inbox, queries, tls: TlsConfig):
    """The port of a server that speaks HTTPS."""
    settings = ServerConfig(port=0, tls=tls)
    server = Server(create_app(inbox, queries, Config(server=settings)), bind(settings), context_of(tls))
    thread = threading.Thread(target=server.listen)
    thread.start()
    try:
        assert server.ready.wait(10)
        assert server.url.startswith("https://127.0.0.1:")
        yield server.listener.getsockname()[1]
    finally:
        server.stop()
        thread.join(15)


@pytest.fixture
def port(bridge, tmp_path):
    with serving(bridge.inbox, bridge.queries, make_certificate(tmp_path, "first")) as port:
        yield port


def trusting(folder) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=folder / "tls.crt")


def post(port: int, context: ssl.SSLContext) -> int:
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
    try:
        connection.request("POST", "/api/v1/lineage", EVENT, {"Content-Type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()


def test_event_over_https(port, bridge, tmp_path):
    """Is stored; a client that does not trust the certificate sends nothing."""
    assert 200 == post(port, trusting(tmp_path))
    with pytest.raises(ssl.SSLCertVerificationError):
        post(port, ssl.create_default_context())
    assert [EVENT] == bridge.inbox.stored


def test_old_versions_are_refused(port, tmp_path):
    """TLS 1.1 gets no connection, 1.2 does."""
    outcomes = {}
    for version in (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2):
        context = trusting(tmp_path)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = version
        try:
            outcomes[version.name] = post(port, context)
        except (ssl.SSLError, ConnectionError) as error:
            outcomes[version.name] = type(error).__name__

    assert 200 == outcomes.pop("TLSv1_2")
    assert "TLSv1_1" in outcomes


def test_plain_http_is_not_answered(port):
    """Whoever speaks HTTP to it learns nothing."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/livez")
    with pytest.raises((http.client.BadStatusLine, ConnectionError)):
        connection.getresponse()
    connection.close()


def test_silent_sender_is_let_go(bridge, tmp_path, monkeypatch):
    """The deadline of a head is that of the handshake too."""
    monkeypatch.setitem(SECONDS, Phase.HEAD, 0.3)
    tls = make_certificate(tmp_path, "first")
    with (
        serving(bridge.inbox, bridge.queries, tls) as port,
        socket.create_connection(("127.0.0.1", port), 10) as silent,
    ):
        assert b"" == silent.recv(1)


def test_replaced_certificate(port, tmp_path):
    """Is shown without a restart; half of a pair changes nothing yet."""
    context = trusting(tmp_path)
    make_certificate(tmp_path, "second")
    second = (tmp_path / "tls.crt").read_bytes()
    seen = {post_name(port) for _ in range(3)}
    (tmp_path / "tls.crt").write_text("not yet written")
    assert "second" in seen
    assert {"second"} == {post_name(port) for _ in range(3)}
    (tmp_path / "tls.crt").write_bytes(second)
    with pytest.raises(ssl.SSLCertVerificationError):
        post(port, context)


def post_name(port: int) -> str:
    """Whose certificate is shown."""
    shown = x509.load_pem_x509_certificate(ssl.get_server_certificate(("127.0.0.1", port)).encode())
    return str(shown.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


@pytest.mark.parametrize(
    ("certificate", "key", "sentence"),
    [
        ("tls.key", "tls.key", "are not a certificate and its key in PEM"),
        ("tls.crt", "other.key", "are not a certificate and its key in PEM"),
        ("tls.crt", "missing.key", "cannot be read: No such file or directory"),
        ("tls.crt", "", "name both, the certificate and its key"),
    ],
)
def test_wrong_files(tmp_path, certificate, key, sentence):
    """Are told before anything listens, with their names."""
    (tmp_path / "other").mkdir()
    make_certificate(tmp_path / "other", "other")
    (tmp_path / "other" / "tls.key").rename(tmp_path / "other.key")
    make_certificate(tmp_path, "first")
    with pytest.raises(ConfigError, match=sentence):
        context_of(TlsConfig(certificate=tmp_path / certificate, key=tmp_path / key if key else Path()))
