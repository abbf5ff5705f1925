"""A part of a page that is made of stored results, between two marks, each a line of its own."""

__all__ = ["with_part"]


def with_part(page: str, name: str, begin: str, end: str, text: str) -> str:
    """Return a page with the part between its marks made anew.

    Args:
        page: The page.
        name: Its name.
        begin: The mark before the part.
        end: The mark behind it.
        text: What stands between them, without empty lines around it.

    Raises:
        ValueError: If the page does not have the two marks, once each and in order.
    """
    before, found, rest = page.partition(f"{begin}\n")
    _, closed, after = rest.partition(f"{end}\n")
    if not found or not closed or begin in rest or end in after:
        raise ValueError(f"{name} must have {begin} and {end} once each, in this order")
    return f"{before}{found}\n{text}\n{closed}{after}"
