"""Whose hardware has changed since the answer was measured: what the page says of its own figures."""

from .answer_rows import AnswerRow

__all__ = ["change_sentences"]


def change_sentences(stored: AnswerRow) -> list[str]:
    """Return a sentence for each accumulation whose figures are of hardware before a change."""
    marks: dict[str, dict[str, list[bool]]] = {}
    for row in stored["rows"]:
        of_library = marks.setdefault(row["accumulate"], {}).setdefault(row["library"], [])
        of_library.append(row.get("changed", False))
    sentences: list[str] = []
    for accumulate, libraries in marks.items():
        where = [
            f"`{name}`" if all(changed) else f"`{name}` ({sum(changed)} of {len(changed)} units)"
            for name, changed in libraries.items()
            if any(changed)
        ]
        if where:
            sentences.append(
                f"**The hardware of `{accumulate}` has changed since it was measured on {', '.join(where)}.**"
                " The figures are of the units before; [the ledger](ledger.md) has those of today on the "
                "built-in library."
            )
    return sentences
