"""Layers of machine-learning frameworks whose products are a unit's."""
