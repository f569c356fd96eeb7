"""Where GMS is, with which token, over which TLS, and what is never sent to whom."""

from __future__ import annotations

import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import HTTPServer
from importlib import import_module
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from openlineage_bridge.errors import ConfigError
from openlineage_bridge.outgoing import Connection
from openlineage_bridge.translation import Delivered, Retry
from openlineage_bridge_datahub.sinks.address import address_of
from openlineage_bridge_datahub.sinks.rest import RestSink

loopback = import_module("bridge_tests.loopback")

# --- the address ----------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path):
    (tmp_path / ".datahubenv").write_text("gms: {server: 'http://file:8080/', token: of-file}\n")
    return {"HOME": str(tmp_path)}


ENVIRON = {"DATAHUB_GMS_URL": "http://environ:8080", "DATAHUB_GMS_TOKEN": "of-environ"}


@pytest.mark.parametrize(
    ("section", "environ", "expected"),
    [
        ({}, {}, ("http://file:8080", "of-file")),
        ({}, ENVIRON, ("http://environ:8080", "of-environ")),
        ({"server": "http://own/", "token": "own"}, ENVIRON, ("http://own", "own")),
        (
            {},
            {"DATAHUB_GMS_HOST": "h", "DATAHUB_GMS_PORT": "1", "DATAHUB_GMS_PROTOCOL": "https"},
            ("https://h:1", None),
        ),
        ({"server": "http://own"}, {"DATAHUB_GMS_TOKEN": "alone"}, ("http://own", "alone")),
        ({"server": "http://file:8080"}, {}, ("http://file:8080", "of-file")),
        ({"token": "own"}, {}, ("http://file:8080", "own")),
    ],
)
def test_the_first_that_says_it_wins(home, section, environ, expected):
    """The section, the environment, what `datahub init` wrote; each token goes with its own address."""
    assert expected == address_of(section, home | environ)


def test_a_token_does_not_go_to_another_server(home):
    """Neither the environment's nor that of the file."""
    assert ("http://another", None) == address_of({"server": "http://another"}, home | ENVIRON)


def test_it_agrees_with_datahubs_own_programs(home, monkeypatch):
    """On the environment and on ~/.datahubenv."""
    from datahub.cli import config_utils

    monkeypatch.setattr(config_utils, "DATAHUB_CONFIG_PATH", f"{home['HOME']}/.datahubenv")
    for environ in ({}, ENVIRON, {"DATAHUB_GMS_HOST": "h", "DATAHUB_GMS_PORT": "1"}):
        with monkeypatch.context() as patch:
            for name in ("DATAHUB_GMS_URL", "DATAHUB_GMS_TOKEN"):
                patch.delenv(name, raising=False)
            for name, value in environ.items():
                patch.setenv(name, value)
            theirs = config_utils.load_client_config()
        assert (theirs.server.rstrip("/"), theirs.token) == address_of({}, home | environ)


def test_without_any_address(tmp_path):
    """It says where one could stand."""
    with pytest.raises(ConfigError, match=r"datahub\.server.*DATAHUB_GMS_URL.*datahub init"):
        address_of({}, {"HOME": str(tmp_path)})
    with pytest.raises(ConfigError, match=r"datahub\.server"):
        address_of({}, {"HOME": str(tmp_path), "DATAHUB_SKIP_CONFIG": "true"})


def test_an_address_holds_no_password():
    """It would be in the log, in `status` and in metrics."""
    with pytest.raises(ConfigError, match="no password"):
        address_of({"server": "http://user:secret@gms:8080"}, {})


# --- TLS ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that nobody vouches for, and its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gms")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "gms.pem"
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(pem) + secret)
    return path


class Api(loopback.Handler):
    def do_POST(self):
        self.body()
        self.server.tokens.append(self.headers.get("Authorization"))
        self.reply({})


@pytest.fixture
def secure(certificate):
    """Starts a server with TLS; a client certificate is asked for when it is ``mutual``."""
    servers = []

    def start(*, mutual: bool = False) -> HTTPServer:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        if mutual:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(certificate)
        server = loopback.Server(("127.0.0.1", 0), Api)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.tokens = []
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return server

    yield start
    for each in servers:
        each.shutdown()
        each.server_close()


def sent(server, proposals, **connection):
    sink = RestSink(
        f"https://127.0.0.1:{server.server_port}", token="t", connection=Connection(timeout=5, **connection)
    )
    try:
        [outcome] = sink.send(proposals(1))
        return outcome
    finally:
        sink.close()


def test_a_server_that_nobody_vouches_for_gets_nothing(secure, proposals):
    """Not even the token; the proposals wait, and the reason says why."""
    server = secure()
    outcome = sent(server, proposals)

    assert isinstance(outcome, Retry)
    assert "certificate" in outcome.reason.lower()
    assert [] == server.tokens


def test_the_companys_own_authority(secure, proposals, certificate):
    """Is trusted where it is named; a client certificate is shown where it is asked for."""
    assert Delivered() == sent(secure(), proposals, ca_certificate_path=str(certificate))
    mutual = secure(mutual=True)
    assert isinstance(sent(mutual, proposals, ca_certificate_path=str(certificate)), Retry)
    assert Delivered() == sent(
        mutual, proposals, ca_certificate_path=str(certificate), client_certificate_path=str(certificate)
    )


def test_whoever_wants_it_trusts_anybody(secure, proposals):
    """Said explicitly."""
    assert Delivered() == sent(secure(), proposals, disable_ssl_verification=True)


def test_a_certificate_that_is_not_there(tmp_path):
    """Is a mistake of the configuration, found at the start."""
    with pytest.raises(ConfigError, match="certificate"):
        RestSink("https://x", connection=Connection(ca_certificate_path=str(tmp_path / "none.pem")))


# --- what is sent to whom -------------------------------------------------------------------------------------------


def test_redirects_are_not_followed(proposals):
    """A server that points elsewhere does not get the token sent there."""

    class Elsewhere(loopback.Handler):
        def do_POST(self):
            self.server.tokens.append(self.headers.get("Authorization"))
            self.body()
            self.reply(b"", getattr(self.server, "status", 200), getattr(self.server, "headers", {}))

    with loopback.serving(Elsewhere, tokens=[]) as other:
        moved = {"Location": f"{other.url}/aspects"}
        with loopback.serving(Elsewhere, tokens=[], status=302, headers=moved) as gms:
            sink = RestSink(gms.url, token="secret")
            [outcome] = sink.send(proposals(1))
            sink.close()

        assert isinstance(outcome, Retry)
        assert (["Bearer secret"], []) == (gms.tokens, other.tokens)


def test_extra_headers_and_the_servers_wish(proposals):
    """Proxies want headers; a server that is busy says for how long."""

    class Busy(loopback.Handler):
        def do_POST(self):
            self.body()
            self.server.seen.append(self.headers.get("X-Tenant"))
            self.reply(b"", 503, {"Retry-After": "17"})

    with loopback.serving(Busy, seen=[]) as gms:
        section = {"server": gms.url, "extra_headers": {"X-Tenant": "eu"}}
        sink = RestSink.from_options(section)
        [outcome] = sink.send(proposals(1))
        sink.close()

        assert (["eu"], 17) == (gms.seen, outcome.after)
        assert "eu" not in repr(sink)
