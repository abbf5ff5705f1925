"""Small combinational components, of which datapaths are made."""
