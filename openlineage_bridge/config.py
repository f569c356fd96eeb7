"""The configuration: what it holds, where it comes from, and which source wins."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Collection, Mapping
from hmac import compare_digest
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeAlias, get_args, get_type_hints

import attrs
import msgspec
import yaml
from attrs.validators import ge, in_, le, min_len

from openlineage_bridge.errors import ConfigError
from openlineage_bridge.translation import TRANSLATORS

FILE_NAME = "openlineage-bridge.yml"
PATH_VARIABLE = "OPENLINEAGE_BRIDGE_CONFIG"
STORE_VARIABLE = "OPENLINEAGE_BRIDGE_STORE"
PREFIX = "OPENLINEAGE_BRIDGE__"

Layer: TypeAlias = dict[str, Any]


# --- what it holds --------------------------------------------------------------------------------------------------


class Secret:
    """A text that no log, error or ``repr`` shows; ``value`` is the text itself.

    Not an attrs class: msgspec would read one from an object, and a secret is written as a text.
    """

    __slots__ = ("value",)

    def __init__(self, value: str) -> None:
        if not value:
            raise ValueError("a secret must not be empty")
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and compare_digest(self.value.encode(), other.value.encode())

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return "***"


@attrs.frozen(kw_only=True)
class TlsConfig:
    """What the server shows to senders and browsers; replaced files are taken up without a restart. Both are needed.

    Args:
        certificate: File with the certificate and those that lead to its root (PEM).
        key: File with its private key (PEM, not encrypted).
    """

    certificate: Path = Path()
    key: Path = Path()


@attrs.frozen(kw_only=True)
class ServerConfig:
    """The HTTP receiver and the page.

    Args:
        host: Address to listen on. Any but a loopback address needs a token, or ``insecure``.
        port: TCP port, 1 to 65535; 0 takes any free one.
        tokens: Bearer tokens for everything, several so that one can be replaced without a gap. Without a token of any kind
            nobody is asked for one.
        write_tokens: Tokens that only send events: what collectors need.
        read_tokens: Tokens that only read: the page, the lineage, the figures.
        insecure: Accept events from other machines without a token.
        tls: Speak HTTPS; None for HTTP.
    """

    host: str = attrs.field(default="127.0.0.1", validator=min_len(1))
    port: int = attrs.field(default=5000, validator=(ge(0), le(65535)))
    tokens: tuple[Secret, ...] = ()
    write_tokens: tuple[Secret, ...] = ()
    read_tokens: tuple[Secret, ...] = ()
    insecure: bool = False
    tls: TlsConfig | None = None


@attrs.frozen(kw_only=True)
class RetentionConfig:
    """How long things stay in the store.

    Args:
        runs: Newest runs of each job whose facts stay, however old they are.
        run_days: Days for which the facts of older runs stay.
        event_days: Days for which processed events stay, to recognise duplicates of them.
    """

    runs: int = attrs.field(default=10, validator=ge(1))
    run_days: float = attrs.field(default=90.0, validator=ge(0))
    event_days: float = attrs.field(default=7.0, validator=ge(0))


@attrs.frozen(kw_only=True)
class SpaceConfig:
    """How much of the disk a service takes, and when it refuses events until there is room again.

    Args:
        inbox_bytes: Bytes of events that may wait to be processed.
        min_free_bytes: Bytes that have to stay free where the store is.
        ballast_bytes: Bytes of a file beside the store that is given up when the disk is full all the same; 0 for none.
    """

    inbox_bytes: int = attrs.field(default=1024**3, validator=ge(1))
    min_free_bytes: int = attrs.field(default=256 * 1024**2, validator=ge(0))
    ballast_bytes: int = attrs.field(default=32 * 1024**2, validator=ge(0))


@attrs.frozen(kw_only=True)
class KafkaConfig:
    """The Kafka receiver of ``consume``.

    Args:
        brokers: ``host:port``, several with commas between.
        topics: Topics to read; one that begins with ``^`` is a pattern.
        group: The consumer group, under which Kafka keeps how far the bridge has read.
        start: Where a group begins that Kafka does not know yet: ``earliest`` or ``latest``.
        properties: Further settings of librdkafka, as it names them (``security.protocol``, ``sasl.password``, …).
    """

    brokers: str = ""
    topics: tuple[str, ...] = ()
    group: str = attrs.field(default="openlineage-bridge", validator=min_len(1))
    start: str = attrs.field(default="earliest", validator=in_(("earliest", "latest")))
    properties: Mapping[str, Any] = attrs.field(factory=dict, repr=lambda given: f"<{', '.join(given)}>")


@attrs.frozen(kw_only=True)
class Config:
    """Everything that can be configured.

    Args:
        store: The SQLite file.
        server: The HTTP receiver and the page.
        follow: Event files, and folders of them, that are read as they grow.
        translator: Name of the translator; None when none is named and not exactly one is installed.
        lineage_window: How many of a job's newest completed runs are joined into its lineage.
        retention: How long things stay in the store.
        space: How much of the disk may be taken.
        kafka: The Kafka receiver.
        destinations: Further destinations: by name its ``sink`` and that one's options.
        options: By translator name: its own section, as it was written.
    """

    store: Path = Path("openlineage-bridge.db")
    server: ServerConfig = attrs.field(factory=ServerConfig)
    follow: tuple[Path, ...] = ()
    translator: str | None = None
    lineage_window: int = attrs.field(default=1, validator=ge(1))
    retention: RetentionConfig = attrs.field(factory=RetentionConfig)
    space: SpaceConfig = attrs.field(factory=SpaceConfig)
    kafka: KafkaConfig = attrs.field(factory=KafkaConfig)
    destinations: Mapping[str, Mapping[str, Any]] = attrs.field(
        factory=dict, repr=lambda sections: f"<{', '.join(sections)}>"
    )
    options: Mapping[str, Mapping[str, Any]] = attrs.field(
        factory=dict, repr=lambda sections: f"<{', '.join(sections)}>"
    )

    @property
    def translator_options(self) -> Mapping[str, Any]:
        """The section of the translator that is used; empty when there is none."""
        return self.options.get(self.translator or "", {})


# --- where it comes from --------------------------------------------------------------------------------------------


def load(
    path: Path | str | None = None,
    environ: Mapping[str, str] = os.environ,
    overrides: Mapping[str, Any] | None = None,
    only: Collection[str] | None = None,
) -> Config:
    """The configuration: a flag wins over the environment, that over the file, that over the default.

    Args:
        path: The file; without one ``$OPENLINEAGE_BRIDGE_CONFIG``, ``./openlineage-bridge.yml`` and
            ``~/.openlineage/openlineage-bridge.yml`` are looked for, in this order. It need not exist anywhere.
        environ: Environment variables.
        overrides: What flags of the command line said, by dotted key (``server.port``); None means not given.
        only: Top-level keys of the file that are wanted; the others are left alone, with the variables that they need.

    Raises:
        ConfigError: A file that was named is not there or is not YAML, a key is unknown, a value has the wrong type or
            cannot be; the text names the source and the key.
    """
    file = _find(path, environ)
    layers = {
        str(file): _read(file, environ, only) if file else {},
        "environment": _from_environ(environ),
        "command line": _from_flags(overrides or {}),
    }
    merged: Layer = {}
    for layer in layers.values():
        _merge(merged, layer)
    installed = _translators()  # looking for them takes long where many distributions are installed
    known = installed | ({str(merged["translator"])} if merged.get("translator") else set())
    for source, layer in layers.items():
        _convert(layer, known, source)
    config = _convert(merged, known, "configuration")
    return config if config.translator else attrs.evolve(config, translator=_only(installed))


def _find(path: Path | str | None, environ: Mapping[str, str]) -> Path | None:
    named = path or environ.get(PATH_VARIABLE)
    if named:
        return Path(named).expanduser()
    home = Path(environ.get("HOME", "~")).expanduser()
    places = (Path(FILE_NAME), home / ".openlineage" / FILE_NAME)
    return next((place for place in places if place.is_file()), None)


def _read(file: Path, environ: Mapping[str, str], only: Collection[str] | None) -> Layer:
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"cannot read the configuration file {file}: {reason}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is not YAML: {error}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{file}: expected keys and values, got {type(data).__name__}")
    if only is not None:
        data = {key: value for key, value in data.items() if key in only}
    expanded = _expand(data, lambda name: _variable(name, environ), f"{file}: ")
    assert isinstance(expanded, dict)
    return expanded


def _from_environ(environ: Mapping[str, str]) -> Layer:
    """``OPENLINEAGE_BRIDGE__A__B=v`` as ``{"a": {"b": v}}``; the more specific key wins over a whole section."""
    layer: Layer = {"store": environ[STORE_VARIABLE]} if environ.get(STORE_VARIABLE) else {}
    for name in sorted(
        (name for name in environ if name.startswith(PREFIX)), key=lambda name: name.count("__")
    ):
        keys = [key.lower() for key in name.removeprefix(PREFIX).split("__")]
        _merge(layer, _nested(keys, _Variable(environ[name])))
    return layer


def _from_flags(overrides: Mapping[str, Any]) -> Layer:
    layer: Layer = {}
    for key, value in overrides.items():
        if value is not None:
            _merge(
                layer, _nested(key.split("."), os.fspath(value) if isinstance(value, os.PathLike) else value)
            )
    return layer


def _nested(keys: list[str], value: Any) -> Layer:
    for key in reversed(keys):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def _merge(target: Layer, source: Mapping[str, Any]) -> None:
    for key, value in source.items():
        below, above = _parsed(target.get(key)), _parsed(value)
        if isinstance(below, dict) and isinstance(above, dict):
            target[key] = dict(below)
            _merge(target[key], above)
        else:
            target[key] = value


# --- ${…} -----------------------------------------------------------------------------------------------------------

_PLACEHOLDER = re.compile(r"\$\{(?P<name>[^{}:]+)(?::(?P<rest>-?[^{}]*))?\}")


class _Text(str):
    """A text whose source knows no types (``${…}`` or environment variable): read as what its key expects."""

    __slots__ = ()


class _Variable(_Text):
    """The value of an environment variable; where its key expects nothing in particular it may be JSON."""

    __slots__ = ()


def _expand(value: Any, variable: Callable[[re.Match[str]], str], where: str) -> Any:
    if isinstance(value, dict):
        return {str(key): _expand(item, variable, _join(where, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, variable, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, str) and "${" in value:
        try:
            return _Text(_PLACEHOLDER.sub(variable, value))
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
    return value


def _variable(placeholder: re.Match[str], environ: Mapping[str, str]) -> str:
    """What ``${NAME}``, ``${NAME:-default}`` or ``${file:path}`` stands for."""
    name, rest = placeholder["name"], placeholder["rest"]
    if name == "file" and rest:
        try:
            return Path(rest).expanduser().read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError):
            raise ConfigError(f"the file {rest} cannot be read") from None
    if rest is not None and rest.startswith("-"):
        return environ.get(name) or rest[1:]
    if rest is None and name in environ:
        return environ[name]
    if rest is None:
        raise ConfigError(
            f"the environment variable {name} is not set: set it, or write ${{{name}:-default}}"
        )
    raise ConfigError(f"{placeholder[0]} is none of ${{NAME}}, ${{NAME:-default}} and ${{file:path}}")


def _parsed(value: Any) -> Any:
    """An untyped text as JSON, or as a YAML list or mapping where it looks like one; else the text."""
    if not isinstance(value, _Text):
        return value
    try:
        return msgspec.json.decode(str(value))
    except msgspec.DecodeError:
        pass
    try:
        return yaml.safe_load(value) if value.lstrip().startswith(("[", "{")) else str(value)
    except yaml.YAMLError:
        return str(value)


# --- from plain data to values --------------------------------------------------------------------------------------

_TEXTS = (str, Path, Secret, str | None)
_LISTS = (tuple[Secret, ...], tuple[Path, ...])


def _convert(data: Layer, translators: frozenset[str], source: str) -> Config:
    """Plain data as a Config.

    Raises:
        ConfigError: An unknown key, a wrong type, or a value that a validator refuses.
    """
    sections = {key: _parsed(data[key]) for key in data if key in translators}
    for key, section in sections.items():
        if not isinstance(section, dict):
            raise ConfigError(f"{source}: {key}: expected keys and values, got {_type_name(section)}")
    known = {key: value for key, value in data.items() if key not in translators}
    fitted = _fit(known, Config, f"{source}: ", also=translators)
    fitted["options"] = {key: _plain(section) for key, section in sections.items()}
    try:
        return msgspec.convert(fitted, Config, dec_hook=_leaf)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {_worded(str(error))}") from None


def _fit(data: Mapping[str, Any], shape: type, where: str, also: frozenset[str] = frozenset()) -> Layer:
    """Refuse unknown keys, which msgspec ignores in attrs classes, and read untyped texts as what the key expects."""
    types = {name: hint for name, hint in get_type_hints(shape).items() if name != "options"}
    fitted: Layer = {}
    for key, value in data.items():
        if key not in types:
            raise ConfigError(f"{_join(where, key)}: unknown key{_nearest(str(key), {*types, *also})}")
        shape_ = _section(types[key])
        section = _parsed(value) if shape_ else None
        if shape_ and isinstance(section, Mapping):
            fitted[key] = _fit(section, shape_, _join(where, key))
        else:
            fitted[key] = _given(value, types[key])
    return fitted


def _section(expected: Any) -> type | None:
    """The class of a section, which may be one that can be left out; None for a value."""
    return next((each for each in (expected, *get_args(expected)) if attrs.has(each)), None)


def _given(value: Any, expected: Any) -> Any:
    """The value of one key, an untyped text read as the type that is expected; one text stands for a list of one."""
    if expected in _TEXTS:
        return str(value) if isinstance(value, _Text) else value
    parsed = _plain(_parsed(value))
    alone = expected in _LISTS and not isinstance(parsed, list | Mapping | None)
    return [str(value)] if alone else parsed


def _plain(value: Any) -> Any:
    """Data without the markers for untyped texts: a translator's section, or the value of one key."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, _Variable):
        return _parsed(value)
    return str(value) if isinstance(value, _Text) else value


def _leaf(kind: type, value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError(f"Expected `str`, got `{_type_name(value)}`")  # noqa: TRY004 - msgspec adds the path to it
    return Path(value).expanduser() if kind is Path else kind(value)


def _worded(message: str) -> str:
    """A message of msgspec, ``Expected `int`, got `str` - at `$.server.port``` as ``server.port: expected int, got str``."""
    problem, _, at = message.replace("`", "").partition(" - at $")
    key = at.removeprefix(".")
    problem = problem[:1].lower() + problem[1:]
    return f"{key}: {problem}" if key else problem


def _join(where: str, key: object) -> str:
    return f"{where}{key}" if where.endswith(": ") else f"{where}.{key}"


def _type_name(value: object) -> str:
    return "null" if value is None else type(value).__name__


def _nearest(key: str, known: set[str]) -> str:
    close = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f" (known: {', '.join(sorted(known))})"


def _translators() -> frozenset[str]:
    return frozenset(point.name for point in entry_points(group=TRANSLATORS))


def _only(names: frozenset[str]) -> str | None:
    return next(iter(names)) if len(names) == 1 else None
