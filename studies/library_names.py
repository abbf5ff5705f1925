"""What pages and pictures call a cell library."""

__all__ = ["short_library_name"]


def short_library_name(library: str) -> str:
    """Return a library's name up to its corner, and without what stands for several files."""
    return library.split("__")[0].rstrip("_*")
