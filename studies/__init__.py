"""What only maintainers run, with its data: the answer, the ledger, the volume run, step delays."""
