"""The rules a user writes for namespaces: which platform, instance, environment and spelling holds there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import attrs

from openlineage_bridge.errors import ConfigError
from openlineage_bridge_datahub.encoding import domain_urn

# DataHub's FabricType: anything else in the third part of a URN, or in `env`, is refused.
FABRICS = frozenset(
    "CERT CORP DEV EI NON_PROD PRD PRE PROD QA RVW SANDBOX SBX SIT STG TEST TST UAT".split()  # noqa: SIM905 - a table
)

# A plain text ends where a part of the namespace ends: `s3://lake` is not `s3://lake-eu`.
_BOUNDARIES = ("/", ":", ";", "@", "?")

T = TypeVar("T")


def fabric(value: str) -> str:
    """An environment in upper case.

    Raises:
        ConfigError: DataHub knows no such environment.
    """
    env = str(value).upper()
    if env not in FABRICS:
        raise ConfigError(f"env {value!r} is no DataHub environment; use one of {', '.join(sorted(FABRICS))}")
    return env


def texts(value: Iterable[str] | str) -> tuple[str, ...]:
    """Texts as a tuple; a single one stands for itself."""
    return (value,) if isinstance(value, str) else tuple(value)


@attrs.frozen(kw_only=True)
class NamespaceRule:
    """What holds in the namespaces that ``match`` describes.

    Args:
        match: A namespace or the beginning of one up to a boundary; with ``*`` and ``?`` a pattern; after ``^`` a
            regular expression.
        platform: DataHub platform instead of the one that the namespace suggests, with that platform's naming rule.
        platform_instance: Prefix ``{instance}.`` of the name; of flow ids, where the namespace is one of jobs.
        platform_instance_ignored: An instance that the platform's connector never writes into the URN.
        env: Third part of the URN, a FabricType.
        database: Leading part of names that have one part fewer than the connector writes.
        include_database: Keep the database where the connector drops it.
        lowercase: Lower-case the name, or keep it as sent; None is the connector's default.
        lowercase_instance: Lower-case the whole name, prefix included (a recipe that sets the flag explicitly).
        catalog_prefix: Catalog or metastore id in front of the name.
        path_specs: DataHub path specs; ``{table}`` marks the folder that is the table.
        path_style: ``no_authority``: the name of an HDFS path leaves out host and port.
        location: Region that the DataHub name needs (Spanner).
        bigquery_shard_suffix: What replaces the date of a sharded table.
        symlink_platform: Platform of a TABLE symlink whose namespace names none.
        orchestrator: For a namespace of jobs: DataHub platform of its flows.
        cluster: For a namespace of jobs: third part of the flow URN.
        domain: For a namespace of jobs: id or URN of the domain that its flows and jobs belong to.
    """

    match: str
    platform: str | None = None
    platform_instance: str | None = None
    platform_instance_ignored: str | None = None
    env: str | None = attrs.field(default=None, converter=attrs.converters.optional(fabric))
    database: str | None = None
    include_database: bool = False
    lowercase: bool | None = None
    lowercase_instance: bool = False
    catalog_prefix: str | None = None
    path_specs: tuple[str, ...] = attrs.field(default=(), converter=texts)
    path_style: str | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.in_(("no_authority", "authority")))
    )
    location: str | None = None
    bigquery_shard_suffix: str = ""
    symlink_platform: str | None = None
    orchestrator: str | None = None
    cluster: str | None = None
    domain: str | None = attrs.field(default=None, converter=attrs.converters.optional(domain_urn))
    _pattern: re.Pattern[str] = attrs.field(init=False, repr=False, eq=False)

    @_pattern.default
    def _compile(self) -> re.Pattern[str]:
        if self.match.startswith("^"):
            try:
                return re.compile(self.match)
            except re.error as error:
                raise ConfigError(f"namespaces: {self.match!r} is no regular expression: {error}") from error
        if "*" in self.match or "?" in self.match:
            text = re.escape(self.match).replace(r"\*", ".*").replace(r"\?", ".")
            return re.compile(text)
        ends = "" if self.match.endswith(_BOUNDARIES) else f"(?=$|[{''.join(_BOUNDARIES)}])"
        return re.compile(f"{re.escape(self.match)}{ends}.*")

    def matches(self, namespace: str) -> bool:
        """Whether the rule holds in ``namespace``."""
        return self._pattern.fullmatch(namespace) is not None


NO_RULE = NamespaceRule(match="*")


def first_match(rules: Iterable[NamespaceRule], namespace: str) -> NamespaceRule | None:
    """The first rule that holds in ``namespace``."""
    return next((rule for rule in rules if rule.matches(namespace)), None)


def namespace_rules(rules: Iterable[Mapping[str, Any] | NamespaceRule]) -> tuple[NamespaceRule, ...]:
    """Rules from the configuration.

    Raises:
        ConfigError: A rule has no ``match``, an unknown key or an impossible value.
    """
    return tuple(
        rule if isinstance(rule, NamespaceRule) else fitted(NamespaceRule, rule, "namespaces: ")
        for rule in rules
    )


def fitted(shape: type[T], data: Mapping[str, Any], where: str) -> T:
    """An instance of the attrs class ``shape`` from a section of the configuration.

    Raises:
        ConfigError: A key is unknown or missing, or a value is impossible; the text names it.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where}expected keys and values, not {data!r}")
    known = {field.name for field in attrs.fields(shape) if field.init}  # type: ignore[arg-type]
    for key in data:
        if key not in known:
            nearest = difflib.get_close_matches(str(key), known, n=1)
            raise ConfigError(
                f"{where}unknown key {key!r}" + (f"; did you mean {nearest[0]!r}?" if nearest else "")
            )
    try:
        return shape(**data)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}{error}") from error
