"""The configuration: sources, precedence, placeholders, and what is said about mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge.config import Config, RetentionConfig, Secret, ServerConfig, SpaceConfig, load
from openlineage_bridge.errors import ConfigError

SECTION = """
translator: catalog
catalog:
  sink: rest
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """No configuration file of the developer is found by accident."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write(tmp_path):
    """Write a configuration file; gives its path."""

    def write(text: str, name: str = "given.yml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def home(tmp_path):
    return {"HOME": str(tmp_path / "home")}


# --- what is read ---------------------------------------------------------------------------------------------------


def test_nothing_configured(tmp_path):
    """Without any source every key has its default, and the only translator installed is taken."""
    config = load(environ=home(tmp_path))

    assert Path("openlineage-bridge.db") == config.store
    assert ServerConfig(host="127.0.0.1", port=5000) == config.server
    assert RetentionConfig() == config.retention
    assert config.lineage_window == 1
    assert config.translator == "datahub"


def test_every_section(write):
    """A file with every section becomes the values it says; a translator's section is passed on as it is."""
    path = write("""
        store: /data/bridge.db
        server: {host: 0.0.0.0, port: 5001, tokens: [one, two], insecure: true}
        translator: catalog
        lineage_window: 3
        retention: {runs: 5, run_days: 30, event_days: 0.5}
        space: {inbox_bytes: 10, min_free_bytes: 20, ballast_bytes: 0}
        catalog: {sink: none, namespaces: [{match: "a://*", n: 1}]}
    """)

    actual = load(path, environ={})

    expected = Config(
        store=Path("/data/bridge.db"),
        server=ServerConfig(host="0.0.0.0", port=5001, tokens=(Secret("one"), Secret("two")), insecure=True),
        translator="catalog",
        lineage_window=3,
        retention=RetentionConfig(runs=5, run_days=30, event_days=0.5),
        space=SpaceConfig(inbox_bytes=10, min_free_bytes=20, ballast_bytes=0),
        options={"catalog": {"sink": "none", "namespaces": [{"match": "a://*", "n": 1}]}},
    )
    assert expected == actual
    assert actual.translator_options == {"sink": "none", "namespaces": [{"match": "a://*", "n": 1}]}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "{}"])
def test_empty_file(write, text):
    """An empty file says nothing."""
    assert load(environ={}) == load(write(text), environ={})


def test_where_the_file_is_looked_for(tmp_path, write):
    """--config wins over the variable, that over the current folder, that over the home folder."""
    expected = {}
    steps = [
        ("home/.openlineage/openlineage-bridge.yml", {}, None, 1),
        ("openlineage-bridge.yml", {}, None, 2),
        ("variable.yml", {"OPENLINEAGE_BRIDGE_CONFIG": str(tmp_path / "variable.yml")}, None, 3),
        ("flag.yml", {"OPENLINEAGE_BRIDGE_CONFIG": str(tmp_path / "variable.yml")}, tmp_path / "flag.yml", 4),
    ]
    actual = {}
    for name, environ, flag, port in steps:
        write(f"server: {{port: {port}}}", name)
        expected[name] = port
        actual[name] = load(flag, environ=home(tmp_path) | environ).server.port

    assert expected == actual


# --- precedence -----------------------------------------------------------------------------------------------------


def test_precedence(write):
    """A flag wins over the environment, that over the file, that over the default; a flag not given says nothing."""
    path = write("server: {host: localhost, port: 1}\nlineage_window: 2\n")
    environ = {"OPENLINEAGE_BRIDGE__SERVER__PORT": "2", "OPENLINEAGE_BRIDGE__LINEAGE_WINDOW": "3"}

    config = load(path, environ, {"server.port": 3, "server.host": None, "store": Path("flag.db")})

    assert ("localhost", 3, 3, Path("flag.db")) == (
        config.server.host,
        config.server.port,
        config.lineage_window,
        config.store,
    )


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"OPENLINEAGE_BRIDGE_STORE": "a.db"}, "a.db"),
        ({"OPENLINEAGE_BRIDGE__STORE": "b.db"}, "b.db"),
        ({"OPENLINEAGE_BRIDGE_STORE": "a.db", "OPENLINEAGE_BRIDGE__STORE": "b.db"}, "b.db"),
        ({"OPENLINEAGE_BRIDGE_STORE": ""}, "file.db"),
        ({"OPENLINEAGE_BRIDGE__STORE": "123"}, "123"),
    ],
)
def test_store_from_the_environment(write, environ, expected):
    """Both spellings name the store; a text stays a text."""
    assert Path(expected) == load(write("store: file.db"), environ).store


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("alone", ["alone"]),
        ("12345", ["12345"]),
        ("007", ["007"]),
        ("1e5", ["1e5"]),
        ('["a", "b"]', ["a", "b"]),
        ("[a, b]", ["a", "b"]),
        ("[]", []),
    ],
)
@pytest.mark.parametrize("key", ["tokens", "write_tokens", "read_tokens"])
def test_tokens_from_the_environment(key, value, expected):
    """Tokens are texts whatever they look like; one token needs no brackets."""
    config = load(environ={f"OPENLINEAGE_BRIDGE__SERVER__{key.upper()}": value})

    assert expected == [token.value for token in getattr(config.server, key)]


def test_environment_into_the_section_of_a_translator(write):
    """Variables change single keys of a translator's section; JSON is read as such, anything else is a text."""
    environ = {
        "OPENLINEAGE_BRIDGE__CATALOG__SINK": "file",
        "OPENLINEAGE_BRIDGE__CATALOG__TIMEOUT": "30",
        "OPENLINEAGE_BRIDGE__CATALOG__VERIFY": "false",
        "OPENLINEAGE_BRIDGE__CATALOG__NESTED__LIST": "[1, {a: b}]",
        "OPENLINEAGE_BRIDGE__CATALOG__BROKEN": "[1, ",
    }

    expected = {
        "sink": "file",
        "timeout": 30,
        "verify": False,
        "nested": {"list": [1, {"a": "b"}]},
        "broken": "[1, ",
    }
    assert expected == load(write(SECTION), environ).translator_options


def test_a_whole_section_from_the_environment(write):
    """A section can be one JSON value; a more specific variable wins over it."""
    environ = {
        "OPENLINEAGE_BRIDGE__SERVER": '{"port": 1, "insecure": true}',
        "OPENLINEAGE_BRIDGE__SERVER__PORT": "2",
    }

    config = load(write("server: {host: localhost}"), environ)

    assert ServerConfig(host="localhost", port=2, insecure=True) == config.server


# --- placeholders ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("${SET}", "value"),
        ("${SET:-default}", "value"),
        ("${UNSET:-default}", "default"),
        ("${EMPTY:-default}", "default"),
        ("${EMPTY}", ""),
        ("${UNSET:-}", ""),
        ("${UNSET:-https://host:1/path}", "https://host:1/path"),
        ("a-${SET}-${UNSET:-b}", "a-value-b"),
        ("${NUMBER}", "42"),
        ("${BRACES}", "{${SET}}"),
        ("$SET {SET}", "$SET {SET}"),
    ],
)
def test_placeholders(write, written, expected):
    """A placeholder stands for a text, which is not looked at again."""
    path = write(f"translator: catalog\ncatalog: {{deep: [{{key: '{written}'}}]}}")
    environ = {"SET": "value", "EMPTY": "", "NUMBER": "42", "BRACES": "{${SET}}"}

    assert {"deep": [{"key": expected}]} == load(path, environ).translator_options


def test_placeholders_become_what_their_key_expects(write):
    """A number, a list and a secret can come from the environment."""
    path = write("server: {port: '${PORT}', tokens: ['${TOKEN}'], insecure: '${INSECURE:-true}'}")

    expected = ServerConfig(port=5002, tokens=(Secret("123"),), insecure=True)
    assert expected == load(path, {"PORT": "5002", "TOKEN": "123"}).server


def test_secret_from_a_file(write, tmp_path):
    """``${file:…}`` is the content of a file without its last line ends."""
    secret = write("s3cret\r\n", "secret")

    config = load(write(f"server: {{tokens: ['${{file:{secret}}}']}}"), environ={})

    assert (Secret("s3cret"),) == config.server.tokens


# --- mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sever: {port: 1}", ["given.yml: sever: unknown key", "did you mean server?"]),
        ("server: {prot: 1}", ["given.yml: server.prot: unknown key", "did you mean port?"]),
        ("catalgo: {}\ntranslator: catalog", ["catalgo: unknown key", "did you mean catalog?"]),
        ("zzzzzzz: 1", ["zzzzzzz: unknown key", "known: "]),
        ("options: {}", ["options: unknown key"]),
        ("server: {port: http}", ["given.yml: server.port: expected int, got str"]),
        ("server: {port: '5000'}", ["server.port: expected int, got str"]),
        ("server: {port: 70000}", ["server: 'port' must be <= 65535: 70000"]),
        ("server: {host: 1}", ["server.host: expected str, got int"]),
        ("server: {insecure: 1}", ["server.insecure: expected bool, got int"]),
        ("server: [1]", ["server: expected object, got array"]),
        ("server:", ["server: expected object, got null"]),
        ("server: {tokens: [1]}", ["server.tokens[0]: expected str, got int"]),
        ("server: {tokens: ['']}", ["server.tokens[0]: a secret must not be empty"]),
        ("store: [a]", ["store: expected str, got list"]),
        ("lineage_window: 0", ["'lineage_window' must be >= 1: 0"]),
        ("space: {inbox_bytes: 0}", ["space: 'inbox_bytes' must be >= 1: 0"]),
        ("retention: {runs: 0}", ["retention: 'runs' must be >= 1: 0"]),
        ("translator: [a]", ["translator: expected str | null, got array"]),
        ("translator: catalog\ncatalog: rest", ["catalog: expected keys and values, got str"]),
        (
            "server: {host: '${NOT_SET}'}",
            ["given.yml: server.host: ", "NOT_SET is not set", "${NOT_SET:-default}"],
        ),
        (
            "server: {tokens: ['${file:/not/there}']}",
            ["server.tokens[0]: the file /not/there cannot be read"],
        ),
        ("server: {host: '${A:b}'}", ["server.host: ${A:b} is none of ${NAME}"]),
        ("[1]", ["given.yml: expected keys and values, got list"]),
        ("a: [", ["given.yml is not YAML"]),
        ("!!python/object/apply:os.system [exit]", ["given.yml is not YAML"]),
    ],
)
def test_mistakes_in_the_file(write, text, said):
    """Whatever is wrong is refused, and the text names the file and the key."""
    with pytest.raises(ConfigError) as caught:
        load(write(text), environ={})

    assert [part for part in said if part not in str(caught.value)] == [], str(caught.value)


@pytest.mark.parametrize(
    ("environ", "overrides", "said"),
    [
        ({"OPENLINEAGE_BRIDGE__SERVER__PROT": "1"}, {}, "environment: server.prot: unknown key"),
        ({"OPENLINEAGE_BRIDGE__SERVER__PORT": "x"}, {}, "environment: server.port: expected int, got str"),
        ({"OPENLINEAGE_BRIDGE__SERVER": "x"}, {}, "environment: server: expected object, got str"),
        ({}, {"server.port": "x"}, "command line: server.port: expected int, got str"),
        ({}, {"servr.port": 1}, "command line: servr: unknown key"),
        (
            {"OPENLINEAGE_BRIDGE_CONFIG": "not/there.yml"},
            {},
            "cannot read the configuration file not/there.yml",
        ),
    ],
)
def test_mistakes_elsewhere(environ, overrides, said):
    """A mistake in the environment or a flag names that source."""
    with pytest.raises(ConfigError) as caught:
        load(environ=environ, overrides=overrides)

    assert said in str(caught.value)


def test_secrets_are_not_shown(write):
    """No representation of a configuration shows a token or what stands in a translator's section."""
    config = load(
        write("server: {tokens: [hunter2]}\ntranslator: catalog\ncatalog: {token: hunter2}"), environ={}
    )

    assert [
        text for text in (repr(config), str(config), f"{config.server.tokens}") if "hunter2" in text
    ] == []
    assert str(config.server.tokens[0]) == "***"


@given(st.text(alphabet="abc${}:-_/ fileAB", max_size=40))
def test_any_text_is_expanded_or_refused(text):
    """No text makes the expansion fail in another way than with a ConfigError."""
    from openlineage_bridge.config import _expand, _variable

    try:
        expanded = _expand({"key": text}, lambda name: _variable(name, {"A": "a"}), "")
    except ConfigError:
        return

    assert isinstance(expanded["key"], str)


def test_only_some_keys(tmp_path):
    """A command that only looks at the store needs no variable of the sections that it does not read."""
    file = tmp_path / "openlineage-bridge.yml"
    file.write_text("store: b.db\ndatahub: {server: '${NOT_SET}'}\n")

    assert Path("b.db") == load(file, environ={}, only={"store"}).store
    with pytest.raises(ConfigError, match="NOT_SET"):
        load(file, environ={})
