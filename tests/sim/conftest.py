"""The fixtures that need faulty units."""

from faulty_units import asking, build_dir, faulty, looping, same

__all__ = ["asking", "build_dir", "faulty", "looping", "same"]
