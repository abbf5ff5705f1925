"""What every room may use: checks of arguments, whole-file writes, and the programs that are called."""
