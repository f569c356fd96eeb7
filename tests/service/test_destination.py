"""Whom the bridge tells, and whom it does not trust: certificates and redirects of the destination (G29)."""

from __future__ import annotations

import ssl
import threading
from contextlib import contextmanager

from bridge_tests.certificates import make_certificate
from bridge_tests.loopback import Handler, Server, serving

from openlineage_bridge.translation import Delivered, Proposal, Retry, load_sink

PROPOSAL = Proposal(
    "dataset", "urn:li:dataset:(urn:li:dataPlatform:s3,b/k,PROD)", "status", b'{"removed":false}'
)


class Gms(Handler):
    """Notes the credentials of whoever comes."""

    def do_POST(self) -> None:
        self.body()
        self.server.seen.append(self.headers.get("Authorization"))
        elsewhere = self.server.elsewhere
        self.reply(
            b"{}", 302 if elsewhere else 200, {"Location": f"{elsewhere}{self.path}"} if elsewhere else None
        )

    def do_GET(self) -> None:
        self.do_POST()


@contextmanager
def https(tls):
    """A GMS that speaks HTTPS with this certificate."""
    with Server(("127.0.0.1", 0), Gms) as server:
        server.seen, server.elsewhere = [], ""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.certificate, tls.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


def outcome(url: str, **options):
    """What becomes of a proposal."""
    sink = load_sink("rest", {"server": url, "token": "secret"} | options)
    try:
        [outcome] = sink.send([PROPOSAL])
    finally:
        sink.close()
    return outcome


def test_certificate_that_nobody_vouches_for(tmp_path, monkeypatch):
    """It is told nothing, the token least of all; once its certificate is trusted, it is."""
    tls = make_certificate(tmp_path, "gms")
    with https(tls) as server:
        url = f"https://127.0.0.1:{server.server_port}"
        refused = outcome(url)
        assert (Retry, []) == (type(refused), server.seen)
        assert "certificate" in refused.reason.lower()
        monkeypatch.setenv("SSL_CERT_FILE", str(tls.certificate))
        assert Delivered is type(outcome(url))


def test_redirect():
    """Whoever GMS points at is not asked, and does not learn the token; the proposal waits."""
    with serving(Gms, seen=[], elsewhere="") as other, serving(Gms, seen=[], elsewhere=other.url) as server:
        redirected = outcome(server.url)

    assert (Retry, []) == (type(redirected), other.seen)
    assert {"Bearer secret"} == set(server.seen)
