"""What people curate too, owners, tags and terms: stated ones only; an empty list would wipe theirs."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from openlineage_bridge_datahub.encoding import encode, is_too_long
from openlineage_bridge_datahub.facets import objects

OWNER_TYPES = {
    "OWNER": "DATAOWNER",
    "DATA_OWNER": "DATAOWNER",
    "DATAOWNER": "DATAOWNER",
    "MAINTAINER": "TECHNICAL_OWNER",
    "TECHNICAL_OWNER": "TECHNICAL_OWNER",
    "BUSINESS_OWNER": "BUSINESS_OWNER",
    "DATA_STEWARD": "DATA_STEWARD",
    "STEWARD": "DATA_STEWARD",
    "DEVELOPER": "DEVELOPER",
    "PRODUCER": "PRODUCER",
    "CONSUMER": "CONSUMER",
    "STAKEHOLDER": "STAKEHOLDER",
}
"""``owners[].type`` in upper case → DataHub's OwnershipType; any other is a technical owner."""

_TERM = "urn:li:glossaryTerm:"

_GROUPS = ("team", "group", "org", "application", "service")

# Airflow hands over "***" for a masked owner; it is nobody.
_SOMEBODY = re.compile(r"\w")


def ownership(facet: Mapping[str, Any]) -> dict[str, Any] | None:
    """``ownership`` from an ``ownership`` facet (1-0-1); None where it names nobody."""
    owners = {}
    for each in objects(facet.get("owners")):
        urn = owner_urn(each.get("name"))
        if urn:
            kind = OWNER_TYPES.get(str(each.get("type") or "").upper().replace(" ", "_"), "TECHNICAL_OWNER")
            owners[urn, kind] = {"owner": urn, "type": kind}
    return {"owners": [owners[key] for key in sorted(owners)]} if owners else None


def owner_urn(name: Any) -> str | None:
    """``user:alice`` and ``alice`` as a user, ``team:data`` as a group; None where it is nobody's name, or too long."""
    if not isinstance(name, str) or not _SOMEBODY.search(name):
        return None
    kind, colon, rest = name.strip().partition(":")
    if colon and rest.strip() and kind.lower() in _GROUPS:
        return _short(f"urn:li:corpGroup:{encode(rest.strip())}")
    person = rest.strip() if colon and rest.strip() and kind.lower() == "user" else name.strip()
    return _short(f"urn:li:corpuser:{encode(person)}")


def _short(urn: str) -> str | None:
    """The URN, or None: one that is too long would cost the whole aspect."""
    return None if is_too_long(urn) else urn


def tags_by_field(facet: Mapping[str, Any], term_keys: Collection[str] = ()) -> dict[str, list[str]]:
    """Tag URNs of a ``tags`` facet by column; those of the whole entity stand under the empty name."""
    return _by_field(facet, term_keys, _tag_urn, terms=False)


def terms_by_field(facet: Mapping[str, Any], term_keys: Collection[str]) -> dict[str, list[str]]:
    """Glossary term URNs of a ``tags`` facet by column: the tags whose key is one of ``term_keys``."""
    return _by_field(facet, term_keys, _term_urn, terms=True)


def _by_field(
    facet: Mapping[str, Any],
    term_keys: Collection[str],
    urn_of: Callable[[Mapping[str, Any]], str | None],
    *,
    terms: bool,
) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for each in objects(facet.get("tags")):
        if _is_term(each, term_keys) == terms and (urn := urn_of(each)):
            field = each.get("field")
            found.setdefault(field if isinstance(field, str) else "", set()).add(urn)
    return {field: sorted(urns) for field, urns in found.items()}


def _is_term(tag: Mapping[str, Any], term_keys: Collection[str]) -> bool:
    return tag.get("key") in term_keys or str(tag.get("value")).startswith(_TERM)


def tag_associations(urns: Iterable[str]) -> dict[str, Any]:
    """``globalTags`` of these tags."""
    return {"tags": [{"tag": urn} for urn in urns]}


def global_tags(facet: Mapping[str, Any], term_keys: Collection[str] = ()) -> dict[str, Any] | None:
    """``globalTags`` of the entity itself; None where the facet states none."""
    urns = tags_by_field(facet, term_keys).get("")
    return tag_associations(urns) if urns else None


def term_associations(urns: Iterable[str]) -> dict[str, Any]:
    """``glossaryTerms`` of these terms. The time is not known, and must not differ from run to run."""
    return {
        "terms": [{"urn": urn} for urn in urns],
        "auditStamp": {"time": 0, "actor": "urn:li:corpuser:datahub"},
    }


def glossary_terms(facet: Mapping[str, Any], term_keys: Collection[str]) -> dict[str, Any] | None:
    """``glossaryTerms`` of the entity itself; None where the facet states none."""
    urns = terms_by_field(facet, term_keys).get("")
    return term_associations(urns) if urns else None


def _term_urn(tag: Mapping[str, Any]) -> str | None:
    """The term that the tag's value names, by its id or its URN."""
    value = tag.get("value")
    if not isinstance(value, str) or not value.strip():
        return None
    return _short(f"{_TERM}{encode(value.strip().removeprefix(_TERM))}")


def _tag_urn(tag: Mapping[str, Any]) -> str | None:
    """``key:value``; the value is left out where it only says that the tag is set."""
    key, value = tag.get("key"), tag.get("value")
    if not isinstance(key, str) or not key.strip():
        return None
    is_mark = not isinstance(value, str) or value.strip().lower() in ("", "true")
    return _short(f"urn:li:tag:{encode(key.strip() if is_mark else f'{key}:{value}'.strip())}")
