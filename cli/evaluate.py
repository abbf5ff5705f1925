"""``blockdot evaluate``: what quantized operands do to a language model's perplexity."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer

from ..base.processors import processors
from ..base.whole_files import write_whole
from ..lab.language.arithmetic import LEFT_ALONE, OPERANDS, Arithmetic
from ..lab.language.windows import SEGMENT, TextWindows, check_segments, cut_windows
from ..lab.reports.evaluation_page import evaluation_page
from ..lab.reports.records import RECORDS, plain_json, write_records
from ..model.accumulate import ACCUMULATIONS
from ..model.quantize import Method
from .console import console, progress_bar
from .evaluated_text import installed_model, model_record, notes_on, read_text, text_record
from .evaluation_choices import EvaluationChoices, left_alone_of, operands_of
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
from .print_evaluation import print_evaluation
from .requested_unit import require_apart, require_effect, require_preset_alone

if TYPE_CHECKING:
    from ..lab.language.model import LanguageModel

__all__ = ["evaluate"]

_PAGE: Final = ".html"


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
    if seed < 0:
        raise ValueError(f"seed must be at least 0, not {seed}")
    chosen = EvaluationChoices(
        element=element,
        scale=scale,
        block_size=block_size,
        methods=expand_methods(method),
        rounding=rounding,
        tensor_scales=(False, True) if compare_tensor_scale else (tensor_scale,),
        recipe=recipe,
        operands=operands_of(operands),
        # `Arithmetic` refuses what is none.
        activation_methods=cast(
            "list[Method | None]", expand_methods(activation_method) if activation_method else [None]
        ),
        accumulates=accumulate,
        blocks=blocks,
        guard=guard,
        fraction=fraction,
        narrows=narrow or (0,),
        left_alone=left_alone_of(leave),
    )
    given = given_options(context)
    if preset:
        require_preset_alone(given, "--recipe")
    else:
        require_effect(accumulate or ["none"], given)
        _require_sums(accumulate or ["none"], given)
    require_apart(given, "--compare-tensor-scale", ("--tensor-scale",), "which it says itself")
    require_apart(given, "--recipe", ("--tensor-scale", "--compare-tensor-scale"), "which it says itself")
    require_apart(
        given, "--simulate", ("--layers", "--output", "--json", "--cluster"), "as it evaluates nothing"
    )
    sweep = chosen.of_presets(preset) if preset else chosen.ways()
    path = model or installed_model()
    # A worker of a cluster works elsewhere.
    language_model, tokenizer = open_model(path if cluster is None else path.absolute())
    read = read_text(text, tokenizer, tokens)
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
        model_record(language_model, installed=model is None),
        text_record(read, windows),
        tuple(map(EvaluatedWay, sweep, found[: len(sweep)])),
        segment,
        tuple(notes_on(language_model, installed=model is None)),
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
    print_evaluation(report)
    for path in outputs:
        console().print(f"wrote {path}", soft_wrap=True)


def _require_sums(accumulates: Sequence[str], given: Collection[str]) -> None:
    """Refuse blocks that no unit takes at once, as every product is one of float32."""
    if "--blocks" in given and set(accumulates) == {"none"}:
        units = " or ".join(name for name in ACCUMULATIONS if name != "none")
        raise ValueError(f"--blocks must go with --accumulate {units}, not with none")


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
