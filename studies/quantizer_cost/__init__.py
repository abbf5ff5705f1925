"""What choosing scales better costs where blocks are made, against one more exponent bit."""
