"""Functional coverage: what a test should have met, and stimulus that meets it."""
