"""The options that several commands share, and the objects they stand for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:  # `--help` must not import what these need
    from openlineage_bridge.config import Config
    from openlineage_bridge.delivery import Destination
    from openlineage_bridge.service import Service
    from openlineage_bridge.translation import Sink, Translator

Command = TypeVar("Command", bound=Callable[..., Any])
Askable = TypeVar("Askable")


def config_option(command: Command) -> Command:
    """``--config FILE``."""
    return click.option(
        "--config",
        "config_file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Configuration file.  [default: $OPENLINEAGE_BRIDGE_CONFIG, ./openlineage-bridge.yml, ~/.openlineage/]",
    )(command)


def store_option(command: Command) -> Command:
    """``--store FILE``."""
    return click.option(
        "--store",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="The SQLite file that holds everything.  [default: $OPENLINEAGE_BRIDGE_STORE, else openlineage-bridge.db]",
    )(command)


def format_option(*formats: str) -> Callable[[Command], Command]:
    """``--format``, the first of ``formats`` being the default."""

    def decorate(command: Command) -> Command:
        return click.option(
            "--format",
            "format_",
            type=click.Choice(formats),
            default=formats[0],
            show_default=True,
            help="Form of what goes to stdout.",
        )(command)

    return decorate


def load_config(config_file: Path | None, **flags: object) -> Config:
    """The configuration, with what the command line said; flags are named by dotted key with ``__`` for the dot."""
    from openlineage_bridge.config import load

    overrides = {key.replace("__", "."): str(v) if isinstance(v, Path) else v for key, v in flags.items()}
    return load(config_file, overrides=overrides)


def store_path(config_file: Path | None, store: Path | None) -> Path:
    """The store, for commands that only look at it: nothing else of the configuration has to be in order."""
    from openlineage_bridge.config import load

    return load(config_file, overrides={"store": str(store) if store else None}, only={"store"}).store


def translator_of(config: Config) -> Translator:
    """The configured translator.

    Raises:
        ConfigError: None is installed, or it refuses its options.
    """
    from openlineage_bridge.errors import ConfigError
    from openlineage_bridge.translation import load_translator

    if config.translator is None:
        raise ConfigError("no translator is installed: install openlineage-bridge[datahub]")
    return load_translator(config.translator, config.translator_options)


def sink_of(config: Config) -> Sink | None:
    """The configured sink; None when everything stays in the store."""
    from openlineage_bridge.translation import load_sink

    name = str(config.translator_options.get("sink", "none"))
    return None if name == "none" else load_sink(name, config.translator_options)


def destinations_of(config: Config) -> dict[str, Destination]:
    """Every configured destination by its name: that of the translator's section, and those of ``destinations``.

    Raises:
        ConfigError: One has no sink, or its sink refuses its options; the text names it.
    """
    from openlineage_bridge.errors import ConfigError
    from openlineage_bridge.translation import load_sink

    found: dict[str, Destination] = {}
    if sink := sink_of(config):
        found[str(config.translator)] = sink
    for name, section in config.destinations.items():
        if name in found:
            raise ConfigError(f"destinations.{name}: the sink in the section {name} has this name already")
        try:
            found[name] = load_sink(str(section.get("sink", "")), section)
        except ConfigError as error:
            raise ConfigError(f"destinations.{name}: {error}") from error
    return found


def askable(config: Config, name: str | None, kind: type[Askable], what: str) -> Askable:
    """The destination that is asked: by its name, else the first that can be, else the one that needs but an address.

    Args:
        config: The configuration.
        name: What the user said; None for whichever can be asked.
        kind: The protocol of what is asked.
        what: What it is asked, in words.

    Raises:
        ConfigError: It cannot be asked.
    """
    from openlineage_bridge.errors import ConfigError
    from openlineage_bridge.translation import load_sink

    for known, sink in destinations_of(config).items():
        if name in (None, known) and isinstance(sink, kind):
            return sink
    if name is not None:
        raise ConfigError(f"{name} is no destination that can be asked {what}")
    sink = load_sink("rest", config.translator_options)
    if not isinstance(sink, kind):
        raise ConfigError(f"no destination can be asked {what}")
    return sink


def service_of(config: Config, *, strict: bool = False) -> Callable[[], Service]:
    """Starts the configured service; translator and destinations are looked at right away, before anything is opened.

    Raises:
        ConfigError: One of them refuses its options.
    """
    from openlineage_bridge.service import Service

    translator, destinations = translator_of(config), destinations_of(config)
    return lambda: Service(
        config.store,
        translator,
        window=config.lineage_window,
        retention=config.retention,
        space=config.space,
        also=destinations,
        strict=strict,
    )
