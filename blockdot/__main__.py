"""``python -m blockdot``: the command line."""

from blockdot.cli import main

main()
