"""What a format buys: the error that quantizing makes."""
