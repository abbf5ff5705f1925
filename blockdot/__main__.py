"""``python -m blockdot``: the command line."""

import runpy

runpy.run_module("blockdot.cli", run_name="__main__")
