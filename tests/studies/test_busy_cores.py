"""Whether cores are busy: counted by hand, and on a process that is."""

import os
import subprocess
import sys
import time

import pytest
from messages import whole

from studies.busy_cores import busy_share, runnable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at under /proc")


def test_a_share():
    # Nothing counts before the first result or behind the last one; more than the cores is no more than all.
    samples = [
        (0, 0, 3),
        (1, 0, 3),
        (2, 2, 4),
        (3, 1, 4),
        (4, 5, 5),
        (5, 0, 5),
        (6, 1, 6),
        (7, 0, 6),
        (8, 0, 6),
    ]
    assert busy_share(samples, 2) == (2 + 1 + 2 + 0 + 1) / 10
    assert busy_share(samples, 1) == (1 + 1 + 1 + 0 + 1) / 5
    with pytest.raises(ValueError, match=whole("samples must hold two results or more, not 0")):
        busy_share([(0, 2, 3), (1, 2, 3)], 2)


def test_processes_that_could_run_are_counted():
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
    busy = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    idle = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 20
        counts = []
        # The parent only waits, once it has begun.
        while counts[-3:] != [1, 1, 1] and time.monotonic() < deadline:
            time.sleep(0.05)
            counts.append(runnable(busy.pid))
        assert counts[-3:] == [1, 1, 1]
        while (waits := runnable(idle.pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert waits == 0
        assert runnable(os.getpid()) >= 2
    finally:
        os.killpg(busy.pid, 9)
        idle.kill()
        for process in (busy, idle):
            process.communicate()
