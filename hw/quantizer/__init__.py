"""The steps of a quantizer: from a block of numbers to its scale code and element codes."""
