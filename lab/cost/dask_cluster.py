"""Jobs on a Dask cluster: the same jobs, and the same results, as on this machine.

A library goes to the cluster as a task of its own, so that it too is there again after a worker that held it
has died.
"""

import atexit
from collections.abc import Iterator, Sequence
from functools import lru_cache

from ...synth.liberty import Library
from ...synth.yosys import SynthesisError
from ..dask_client import CONNECT_SECONDS, DASK_NEEDED, RETRIES, connected, dask_installed
from .cost_sample import CostSample
from .measurement_bench import MeasurementBench
from .measurement_job import MeasurementJob

__all__ = ["Cluster"]


class Cluster:
    """The workers of a Dask scheduler.

    Args:
        address: The scheduler's address, such as ``tcp://host:8786``.
        library: What to map to.
        connect_seconds: How long to wait for the scheduler to answer.

    Raises:
        SynthesisError: If `distributed` is not installed.
    """

    def __init__(self, address: str, library: Library, *, connect_seconds: float = CONNECT_SECONDS) -> None:
        if not dask_installed():
            raise SynthesisError(DASK_NEEDED)
        self._address = address
        self._library = library
        self._connect_seconds = connect_seconds

    def run(self, jobs: Sequence[MeasurementJob]) -> Iterator[tuple[MeasurementJob, CostSample]]:
        """Yield each job with its sample as it is done, in any order; raises as `Bench.measure`.

        Raises:
            ConnectionError: If there is no scheduler at the address.
        """
        with connected(self._address, self._connect_seconds) as (distributed, client):
            library = client.submit(_itself, self._library, pure=False)
            futures = {
                client.submit(_measure, job, library, pure=False, retries=RETRIES): job for job in jobs
            }
            try:
                for future in distributed.as_completed(list(futures)):
                    yield futures[future], future.result()
            finally:
                client.cancel([library, *futures], force=True)


def _itself(library: Library) -> Library:
    return library


@lru_cache(maxsize=4)
def _bench(sha256: str, load: float, box: "_Box") -> MeasurementBench:
    del sha256, load
    bench = MeasurementBench(box.library)
    # A worker that is stopped leaves nothing behind; of one that is killed, the system keeps a folder.
    atexit.register(bench.close)
    return bench


class _Box:
    """A library that counts as equal to any other, so that only the hash beside it tells benches apart."""

    def __init__(self, library: Library) -> None:
        self.library = library

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Box)

    def __hash__(self) -> int:
        return 0


def _measure(job: MeasurementJob, library: Library) -> CostSample:
    """Do a job on a worker; its bench stays for the next ones."""
    return _bench(library.key, library.output_load_ff, _Box(library)).measure(job)
