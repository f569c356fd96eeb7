"""A code location that holds nothing but the sensor: lineage of a whole instance without touching anyone's code.

``dagster dev -m my_code -m openlineage_bridge_dagster.location``, or in ``workspace.yaml``::

    load_from:
      - python_module: my_code
      - python_module: openlineage_bridge_dagster.location

It is configured by the environment alone. What needs the user's own definitions (owners, tags, descriptions, names given
in definition metadata, capture inside ops) needs ``openlineage_sensor()`` in the user's code location instead.
"""

from __future__ import annotations

from typing import Any

from dagster import Definitions

from openlineage_bridge_dagster.sensor import openlineage_sensor


def openlineage_definitions(**settings: Any) -> Definitions:
    """The sensor as definitions of its own, to be merged with the user's by ``Definitions.merge``.

    Args:
        **settings: Those of :func:`openlineage_bridge_dagster.openlineage_sensor`.
    """
    return Definitions(sensors=[openlineage_sensor(**settings)])


defs = openlineage_definitions()
