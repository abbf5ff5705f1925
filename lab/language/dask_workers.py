"""Jobs on the workers of a Dask cluster: the same as on this machine."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from ...base.external_tools import ToolError
from ..dask_client import CONNECT_SECONDS, DASK_NEEDED, RETRIES, connected, dask_installed

__all__ = ["RemoteJob", "run_on_cluster"]


class RemoteJob(Protocol):
    """Something that is computed elsewhere and kept here."""

    def compute_elsewhere(self) -> Any:
        """Return the result, on a machine that may lack what the job needs.

        Raises:
            Exception: If it does.
        """
        ...

    def keep(self, found: Any) -> None:
        """Keep the result."""
        ...


def run_on_cluster(
    jobs: Sequence[RemoteJob], address: str, *, connect_seconds: float = CONNECT_SECONDS
) -> Iterator[int]:
    """Have jobs computed by the workers of a scheduler, and yield the index of each as it is kept here.

    Args:
        jobs: What to do.
        address: The scheduler's, such as ``tcp://host:8786``.
        connect_seconds: How long to wait for it to answer.

    Raises:
        ConnectionError: If there is no scheduler at the address.
        ToolError: If `distributed` is not installed.
        Exception: What a job raises.
    """
    if not dask_installed():
        raise ToolError(DASK_NEEDED)
    with connected(address, connect_seconds) as (distributed, client):
        futures = {
            client.submit(_compute, job, pure=False, retries=RETRIES): index for index, job in enumerate(jobs)
        }
        try:
            for future in distributed.as_completed(list(futures)):
                jobs[futures[future]].keep(future.result())
                yield futures[future]
        finally:
            client.cancel(list(futures), force=True)


def _compute(job: RemoteJob) -> Any:
    return job.compute_elsewhere()
