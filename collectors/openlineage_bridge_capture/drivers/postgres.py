"""A PostgreSQL connection as psycopg 3 and psycopg2 share it: where it is, and what its statements are recorded as.

The default schema is the server's to know (``search_path`` may be set for a role, a database or a session), so it is asked
once per connection, after the user's first statement, and again only on connections that change it. Both drivers ask inside
the transaction that the user's statement opened, never opening one.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import attrs

from openlineage_bridge_capture import recorder
from openlineage_bridge_capture.drivers import connections, places, texts
from openlineage_bridge_capture.drivers.places import Place
from openlineage_bridge_capture.drivers.texts import Text
from openlineage_bridge_capture.recording import Statement

CURRENT_SCHEMA = "SELECT current_schema()"

DEFAULT_SCHEMA = "public"
"""The server's default, for a connection that could not be asked: inside a pipeline, on an asynchronous psycopg2 one."""


@attrs.define
class State:
    """What is known of one connection.

    Args:
        place: Where it is; its schema is None until the server was asked.
        moves: Whether statements of this connection change its schema, so that it is asked each time.
        ephemeral: Lower-case names of its temporary tables.
    """

    place: Place
    moves: bool = False
    ephemeral: set[str] = attrs.field(factory=set)

    @property
    def must_ask(self) -> bool:
        """Whether the server has to say what the current schema is."""
        return self.moves or self.place.schema is None

    def learn(self, schema: str | None) -> None:
        """Keep the server's answer."""
        self.place = attrs.evolve(self.place, schema=schema)

    def record(self, text: Text) -> None:
        """Hand a statement that succeeded to the recorder."""
        place = self.place
        recorder.statement(
            Statement(
                text.sql,
                place.dialect,
                place.namespace,
                place.catalog,
                place.schema or DEFAULT_SCHEMA,
                ephemeral=text.among(self.ephemeral),
            )
        )


_states: WeakKeyDictionary[Any, State] = WeakKeyDictionary()


def noted(connection: Any, sql: str) -> tuple[State, Text] | None:
    """Keep up with what a statement that succeeded changed; what it needs to be recorded, when it moves data at all."""
    if connections.is_hosts_own(connection):
        return None
    state = _states.get(connection)
    if state is None:
        info = connection.info
        state = _states[connection] = State(places.postgres(info.host, info.port, info.dbname, None))
    text = texts.read(sql)
    state.moves = state.moves or text.moves_names
    state.ephemeral |= text.temporary
    return (state, text) if text.moves_data else None
