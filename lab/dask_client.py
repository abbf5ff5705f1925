"""Connections to a Dask cluster. Its scheduler gives the jobs of a worker that dies to others."""

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

__all__ = ["CONNECT_SECONDS", "DASK_NEEDED", "RETRIES", "connected", "dask_installed"]

CONNECT_SECONDS: Final = 10.0
"""How long to wait for a scheduler to answer."""

RETRIES: Final = 3
"""How many workers a job may take down with it before it is held to be the cause."""

DASK_NEEDED: Final = (
    "distributed must be installed for a cluster, and is not: pip install 'blockdot[cluster]'"
)
"""What to say where it is missing."""


def dask_installed() -> bool:
    """Return whether the package is installed that a cluster needs."""
    return importlib.util.find_spec("distributed") is not None


@contextmanager
def connected(address: str, connect_seconds: float) -> Iterator[tuple[Any, Any]]:
    """Give the package `distributed` and a client of a scheduler for the length of the block.

    Args:
        address: The scheduler's, such as ``tcp://host:8786``.
        connect_seconds: How long to wait for it to answer.

    Raises:
        ConnectionError: If there is no scheduler at the address.
    """
    # Without type information that a checker could follow.
    distributed: Any = importlib.import_module("distributed")
    try:
        client = distributed.Client(address, timeout=connect_seconds, set_as_default=False)
    except OSError as error:
        raise ConnectionError(
            f"cluster must be a Dask scheduler's address, not {address!r}: none answers"
        ) from error
    with client, client.as_current():
        yield distributed, client
