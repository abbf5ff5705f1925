"""The steps of a datapath that every accumulation may use, and the records that pass between steps."""
