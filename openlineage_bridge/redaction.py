"""What looks like a credential is taken out of an event before anything of it is stored; pure.

Environment variables, properties, parameters, SQL and URLs may hold passwords, tokens and keys. Names decide first: the
value of something called a password is replaced, whatever it looks like. In texts, what stands where a password stands
(in a URL, behind ``password=``, behind ``IDENTIFIED BY``) and what looks like a token is replaced. Rather too much is
taken for a secret than too little; names of datasets, columns and jobs are left alone, unless a URL in one holds a
password.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import Any

import msgspec

MASK = "***"
"""Stands for what was there."""

# --- what a secret is called ----------------------------------------------------------------------------------------

SECRETS = frozenset(
    [
        "authorization",
        "cookie",
        "credential",
        "credentials",
        "pass",
        "passphrase",
        "passwd",
        "password",
        "pwd",
        "secret",
        "secrets",
        "token",
    ]
)
"""Words of a name whose value is not kept."""

SECRET_PAIRS = frozenset(
    {
        ("access", "key"),
        ("account", "key"),
        ("api", "key"),
        ("connection", "string"),
        ("encryption", "key"),
        ("private", "key"),
        ("secret", "key"),
        ("shared", "key"),
        ("signing", "key"),
    }
)
"""Two words of a name, one behind the other, whose value is not kept; also written as one word."""

ABOUT_SECRETS = frozenset(
    [
        "arn",
        "column",
        "count",
        "enabled",
        "endpoint",
        "expires",
        "expiry",
        "field",
        "file",
        "id",
        "length",
        "limit",
        "name",
        "path",
        "policy",
        "provider",
        "ref",
        "required",
        "ttl",
        "type",
        "uri",
        "url",
        "version",
    ]
)
"""Last words of names that only tell something about a secret: ``secret_name``, ``token_type``."""

_JOINED = frozenset("".join(pair) for pair in SECRET_PAIRS)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


@lru_cache(maxsize=8192)
def is_secret(name: str) -> bool:
    """Whether the value of something that is called so is a secret: ``DB_PASSWORD``, ``fs.s3a.secret.key``, ``apiKey``."""
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words or words[-1] in ABOUT_SECRETS:
        return False
    pairs = set(pairwise(words))
    return not SECRETS.isdisjoint(words) or not _JOINED.isdisjoint(words) or bool(pairs & SECRET_PAIRS)


# --- what a secret looks like ---------------------------------------------------------------------------------------

_NAME = (
    r"(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|secret[_-]?key|account[_-]?key"
    r"|private[_-]?key|credentials?|signature)"
)
# How statements give a user a password: `IDENTIFIED BY`, `IDENTIFIED WITH mysql_native_password BY`.
_BY = r"identified(?:\s+with\s+\S+)?\s+by(?:\s+values)?"
# What may stand before it. Bounded: a long text of word characters must not be gone through again from each of them.
_BEFORE = r"[\w.\-]{0,40}?"

# JSON web tokens, keys of GitHub, GitLab, Slack, Databricks and AWS: looked for where something else looks secret too.
_TOKEN = re.compile(
    r"\beyJ[\w\-]{8,}\.[\w\-]{8,}\.[\w\-]*|\b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|dapi)[\w\-]{16,}"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
)

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # postgres://user:password@host
    (re.compile(r"([a-z][a-z0-9+.\-]{0,30}://[^/\s:@\"'<>]*):[^\s@\"'<>/]+@", re.IGNORECASE), rf"\1:{MASK}@"),
    # password = 'x', "token": "x", secret => 'x'
    (re.compile(rf"({_NAME}[\"']?\s*(?:=>?|:)\s*)'[^']*'", re.IGNORECASE), rf"\1'{MASK}'"),
    (re.compile(rf"({_NAME}[\"']?\s*(?:=>?|:)\s*)\"[^\"]*\"", re.IGNORECASE), rf'\1"{MASK}"'),
    # {"password": "x  - a text that was cut off
    (re.compile(rf"({_NAME}[\"']?\s*(?:=>?|:)\s*[\"'])[^\"']+$", re.IGNORECASE), rf"\1{MASK}"),
    # ?token=x&…, ;password=x;…, 'aws_secret_access_key=x', --password x
    (re.compile(rf"([?&;'\"]{_BEFORE}{_NAME}=|[?&]sig=)[^&;\s\"'*]+", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(rf"(\s--{_BEFORE}{_NAME}(?:\s+|=))[^\s\"'*]+", re.IGNORECASE), rf"\1{MASK}"),
    # host=h password=x
    (re.compile(r"((?:^|\s)(?:password|passwd|pwd)=)[^\s\"'*;&,)]+", re.IGNORECASE), rf"\1{MASK}"),
    # CREATE USER … IDENTIFIED BY 'x', … IDENTIFIED BY "x", … IDENTIFIED BY x, … PASSWORD 'x', SECRET_ACCESS_KEY 'x'
    (re.compile(rf"(\b(?:{_BY}|{_BEFORE}{_NAME})\s+)'[^']*'", re.IGNORECASE), rf"\1'{MASK}'"),
    (re.compile(rf"(\b{_BY}\s+)\"[^\"]*\"", re.IGNORECASE), rf'\1"{MASK}"'),
    (re.compile(rf"(\b{_BY}\s+)(?!password\b|values\b)[^\s\"'*;,)]+", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"(\bbearer\s+)[\w\-.~+/=]{8,}", re.IGNORECASE), rf"\1{MASK}"),
    (_TOKEN, MASK),
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL),
        MASK,
    ),
)

_SIGNS = (
    *("@", "pass", "pwd", "secret", "token", "credential", "cookie", "bearer", "private", "identified"),
    *("authorization", "signature", "sig="),
)
"""Nothing is a secret without one of these, or one of ``SECRET_PAIRS``, in lower case; in most events there is none."""

_SIGNS_IN_BYTES = tuple(sign.encode() for sign in _SIGNS)
_PAIR = re.compile("|".join(f"{first}[_.-]?{second}" for first, second in sorted(SECRET_PAIRS)))
_PAIR_IN_BYTES = re.compile(_PAIR.pattern.encode())


def _has_signs(lowered: bytes) -> bool:
    if any(sign in lowered for sign in _SIGNS_IN_BYTES):
        return True
    # The pairs take longest to look for; each has one of these.
    return (b"key" in lowered or b"connection" in lowered) and _PAIR_IN_BYTES.search(lowered) is not None


def text(said: str) -> str:
    """The text without what looks like a secret."""
    lowered = said.lower()
    if not (any(sign in lowered for sign in _SIGNS) or _PAIR.search(lowered)) and not _TOKEN.search(said):
        return said
    for pattern, instead in _PATTERNS:
        said = pattern.sub(instead, said)
    return said


# --- events ---------------------------------------------------------------------------------------------------------


def redacted(body: bytes) -> bytes:
    """An event, or whatever was received for one, without secrets; the very same bytes where there are none."""
    if not _has_signs(body.lower()):
        return body
    try:
        event = msgspec.json.decode(body)
        clean = _clean(event)
        return body if clean == event else msgspec.json.encode(clean)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return _not_json(body)


def _not_json(body: bytes) -> bytes:
    """What is no JSON goes to quarantine, where its text is shown; bytes that are no text stay as they are."""
    return text(body.decode(errors="surrogateescape")).encode(errors="surrogateescape")


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list):
        return [_clean(each) for each in value]
    if isinstance(value, dict):
        return _pair(value) or {key: _named(key, each) for key, each in value.items()}
    return value


def _named(name: str, value: Any) -> Any:
    """A value by its name; an object or a list under such a name is something else: a column is called ``password``."""
    return MASK if isinstance(value, str | int) and _hides(name, value) else _clean(value)


def _pair(value: dict[str, Any]) -> dict[str, Any] | None:
    """``{"name": "DB_PASSWORD", "value": …}``: environment variables, parameters, tags, properties."""
    if "value" not in value:
        return None
    for field in ("name", "key"):
        name = value.get(field)
        if isinstance(name, str) and value["value"] is not None and _hides(name, value["value"]):
            others = {key: each for key, each in value.items() if key != "value"}
            return {**{key: _named(key, each) for key, each in others.items()}, "value": MASK}
    return None


def _hides(name: str, value: Any) -> bool:
    return not isinstance(value, bool) and value not in ("", MASK) and is_secret(name)
