"""Who may speak to the server."""

from __future__ import annotations

import base64
import hmac
import socket

import pytest

from openlineage_bridge.config import Secret, ServerConfig
from openlineage_bridge.errors import ConfigError
from openlineage_bridge.server import auth

GOOD = b'{"job": {"namespace": "n", "name": "j"}}'


def basic(text: bytes) -> str:
    return "Basic " + base64.b64encode(text).decode()


def test_tokens(start):
    """A known token is let in, as a bearer token or as a password; anything else is 401 and reaches nothing."""
    expected = {
        "Bearer one": 200,
        "bearer two": 200,
        "Bearer  two ": 200,
        basic(b"anyone:two"): 200,
        "Bearer three": 401,
        "Bearer ": 401,
        "Bearer one two": 401,
        "one": 401,
        "Basic one": 401,
        basic(b"one:"): 401,
        basic(b"\xff"): 401,
        "Bearer \xe9": 401,
        "": 401,
    }
    with start("one", "two") as bridge:
        actual = {header: bridge.post(GOOD, Authorization=header).status for header in expected}
        missing = bridge.post(GOOD)

        assert expected == actual
        assert missing.status == 401
        assert "Bearer" in missing.headers["www-authenticate"]
        assert len(bridge.inbox.calls) == 4


def test_what_is_open(start):
    """Probes, metrics and the page's own files need no token; the page and what it shows do."""
    expected = {
        "/livez": 200,
        "/readyz": 200,
        "/healthcheck": 200,
        "/metrics": 200,
        "/static/page.css": 200,
        "/": 401,
        "/api/v1/search?q=": 401,
        "/api/v1/graph?node=a": 401,
        "/static/../": 404,
        "/static/../api/v1/search": 404,
        "/static/../page.py": 404,
        "/nothing": 401,
    }
    with start("one") as bridge:
        assert expected == {path: bridge.get(path).status for path in expected}


def test_refused_before_the_body(start):
    """401 comes while the body has not been sent, and without the invitation to send it (G25)."""
    with (
        start("one") as bridge,
        socket.create_connection(("127.0.0.1", bridge.port), timeout=10) as connection,
    ):
        connection.sendall(
            b"POST /api/v1/lineage HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n"
        )

        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("presented", ["one", "two", "three", ""])
def test_every_token_is_compared(monkeypatch, presented):
    """The comparison takes the same steps whichever token matches, or none (G25)."""
    seen = []

    def spy(left, right):
        seen.append(right)
        return hmac.compare_digest(left, right)

    monkeypatch.setattr(auth, "compare_digest", spy)

    access = auth.Access.of(ServerConfig(tokens=(Secret("one"),), write_tokens=(Secret("two"),)))
    granted = access.granted({b"authorization": f"Bearer {presented}".encode()})

    expected = {"one": set(auth.Role), "two": {auth.Role.WRITE}}
    assert expected.get(presented, set()) == granted
    assert seen == [b"one", b"two"]


def test_roles(start):
    """A token opens what it is for; another token than is needed is 403, and says so."""
    asked = {
        "send": ("POST", "/api/v1/lineage"),
        "send under a prefix": ("POST", "/any/api/v1/lineage/batch"),
        "read": ("GET", "/api/v1/search?q="),
        "look": ("GET", "/"),
        "change": ("POST", "/api/v1/quarantine/retry"),
    }
    expected = {
        "all": {"send": 200, "send under a prefix": 200, "read": 200, "look": 200, "change": 404},
        "write": {"send": 200, "send under a prefix": 200, "read": 403, "look": 403, "change": 403},
        "read": {"send": 403, "send under a prefix": 403, "read": 200, "look": 200, "change": 403},
        "both": {"send": 200, "send under a prefix": 200, "read": 200, "look": 200, "change": 403},
        "none": {"send": 401, "send under a prefix": 401, "read": 401, "look": 401, "change": 401},
    }
    with start("all", write=("write", "both"), read=("both", "read")) as bridge:
        actual = {
            token: {
                what: bridge.request(
                    method, path, GOOD if method == "POST" else None, {"Authorization": f"Bearer {token}"}
                ).status
                for what, (method, path) in asked.items()
            }
            for token in expected
        }
        refused = bridge.get("/", Authorization="Bearer write")

    assert expected == actual
    assert {"error": "this token may not read what the store holds"} == refused.json


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)]
)
def test_pages_of_other_sites(bridge, site, status):
    """A page that the user visits cannot post events through the user's browser."""
    assert status == bridge.post(GOOD, Sec_Fetch_Site=site).status


@pytest.mark.parametrize(
    ("host", "refused"),
    [
        ("127.0.0.1", False),
        ("127.9.9.9", False),
        ("::1", False),
        ("[::1]", False),
        ("localhost", False),
        ("LocalHost", False),
        ("0.0.0.0", True),
        ("::", True),
        ("10.0.0.1", True),
        ("bridge.example.org", True),
    ],
)
def test_addresses_that_need_a_token(host, refused):
    """An address that other machines reach needs a token, or the word that it does not."""
    auth.check_address(ServerConfig(host=host, tokens=(Secret("one"),)))
    auth.check_address(ServerConfig(host=host, insecure=True))
    if refused:
        with pytest.raises(ConfigError, match=r"server\.tokens is empty.*--insecure"):
            auth.check_address(ServerConfig(host=host))
    else:
        auth.check_address(ServerConfig(host=host))
