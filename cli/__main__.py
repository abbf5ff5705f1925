"""``python -m blockdot.cli``: the command line."""

from .app import main

main()
