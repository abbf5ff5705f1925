"""Faster ways to the same numbers: tables, and loops compiled by numba."""
