"""Speed and memory, as ratios that one run takes on one machine."""

import os

# BLAS reads these when numpy is first imported, which `benchmarks.__main__` does after this file.
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ[name] = "1"
