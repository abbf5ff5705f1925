"""What ``blockdot evaluate`` prints: perplexities, and one way against another."""

from typing import TYPE_CHECKING

from .console import ResultTable, console, table

if TYPE_CHECKING:
    from ..lab.language.report import EvaluationReport

__all__ = ["print_evaluation"]


def print_evaluation(report: "EvaluationReport") -> None:
    """Print a report, with the table of layers if there are any."""
    out = console()
    model, text = report.model, report.text
    out.print(
        f"model: {model['name']}, {model['architecture']}, {model['layers']} layers of width "
        f"{model['width']}, matrices stored as {', '.join(model['stored_as'])}",
        soft_wrap=True,
    )
    out.print(
        f"text: {text['source']}; {text['tokens']} tokens in {text['windows']} windows of {text['window']}, "
        f"each {text['stride']} further on; {text['scored']} scored, {text['left_out']} at the end left out",
        soft_wrap=True,
    )
    alone = report.ways[-1].arithmetic.left_alone
    out.print(
        f"left in float32: {', '.join(alone) or 'nothing'}; and attention's own products", soft_wrap=True
    )
    made = table("Perplexity", "way", "perplexity>", "against not quantized>")
    for way, compared in zip(report.ways, report.against_unquantized, strict=True):
        made.add_row(way.arithmetic.label, f"{way.perplexity:.3f}", compared.text() if compared else "")
    out.print(made)
    comparisons = report.comparisons
    if comparisons:
        made = table("Perplexity of one way against another", "way", "against", "difference>", keys=2)
        for before, one in zip((comparisons[0], *comparisons), comparisons, strict=False):
            if one.differs != before.differs:
                made.add_section()
            made.add_row(one.after.arithmetic.label, one.before.arithmetic.label, one.text())
        out.print(made)
    if report.layers:
        out.print(_layer_table(report))
    segments = len(report.segments(report.ways[0]))
    out.print(
        f"In brackets: intervals of 95 % over {segments} segments of the text; ~ marks a difference that "
        "cannot be told from none.",
        soft_wrap=True,
    )
    for note in report.notes:
        out.print(note, soft_wrap=True)


def _layer_table(report: "EvaluationReport") -> ResultTable:
    """Return what each layer makes of it that is quantized alone."""
    heads = ("sigma>", "subnormal scales>", "zero scales>", "error>", "perplexity>", "against not quantized>")
    made = table("One layer quantized alone", "way", "layer", *heads, keys=2)
    before = None
    for layer in report.layers:
        row, error = layer.row(), layer.errors.error
        if before not in (None, row["way"]):
            made.add_section()
        made.add_row(
            "" if row["way"] == before else row["way"],
            layer.name,
            f"{layer.errors.sigma:.4g}",
            f"{error.subnormal_blocks:.2%}",
            f"{error.zero_blocks:.2%}",
            f"{error.mse:.5f}",
            f"{layer.way.perplexity:.3f}",
            layer.change.text(),
        )
        before = row["way"]
    return made
