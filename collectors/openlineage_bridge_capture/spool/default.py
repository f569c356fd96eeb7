"""What our collectors use where the user configured plain HTTP: the spool, and directly where no file can be written."""

from __future__ import annotations

import logging
from typing import Any

from openlineage.client.transport.http import HttpTransport
from openlineage.client.transport.transport import Transport

from openlineage_bridge_capture import log
from openlineage_bridge_capture.spool.config import SpoolConfig
from openlineage_bridge_capture.spool.folders import SpoolError, SpoolFullError
from openlineage_bridge_capture.spool.transport import SpoolTransport


class SpooledHttpTransport(Transport):
    """The user's ``http`` transport with the spool before it.

    Args:
        direct: As the client made it; every setting of its is the spool's too.
        section: The transport section of the client's configuration, where the spool's own settings may stand.

    Raises:
        ValueError: One of the spool's own settings is out of its range.
    """

    kind = "spool"
    config_class = SpoolConfig

    def __init__(self, direct: HttpTransport, section: dict[str, Any]) -> None:
        self.direct = direct
        self.spool = SpoolTransport(SpoolConfig.around(direct.config, section))

    @property
    def config(self) -> SpoolConfig:
        """The spool's settings."""
        return self.spool.config

    def emit(self, event: Any) -> None:
        """Append to the spool; where that cannot be written (a container without a home, a full disk), send now.

        Raises:
            SpoolFullError: ``max_bytes`` wait already: a receiver that takes nothing would not take this event either.
            Exception: Whatever the client's transport raises when sending directly fails.
        """
        try:
            self.spool.emit(event)
        except SpoolFullError:
            raise
        except SpoolError as error:
            log.once(
                logging.WARNING,
                "OpenLineage events go to the receiver directly, without a spool, and are lost while it is away: %s",
                error,
            )
            self.direct.emit(event)

    def append(self, lines: bytes) -> None:
        """Append as ``SpoolTransport.append`` does; nothing is sent directly here.

        Raises:
            SpoolError: They cannot be spooled.
        """
        self.spool.append(lines)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait as ``SpoolTransport.flush`` does."""
        return self.spool.flush(timeout)

    def close(self, timeout: float = -1) -> bool:
        """Close both, within the time that ``SpoolTransport.close`` takes."""
        done = self.spool.close(timeout)
        self.direct.close()
        return done
