"""That the emitted Verilog is its steps in a row, registers between them, and keeps the rules of streams."""

import random
import re
from collections.abc import Iterable, Sequence
from typing import Final

from ...hw import DotUnit, to_verilog
from ...synth.yosys import SynthesisError
from .gate_network import Network, network
from .leaves import register_name
from .solver import SolverAnswer, always, equal, unreachable
from .steps import Chain, StepNetlist

__all__ = ["check_composition", "check_stream", "data_ports", "pipeline"]

_LANES: Final = 2048
_CYCLES: Final = 40


def pipeline(
    unit: DotUnit,
    steps: Sequence[StepNetlist],
    ports: dict[str, int],
    name: str,
    factor: StepNetlist | None = None,
) -> str:
    """Return Verilog of steps in a row behind streams: the contract of `DotUnit`, written a second time.

    A register stands behind each step that the unit names. Everything moves unless a result waits in the
    spare register. What is valid is valid one register on after a move; an accumulating step takes what is
    valid, and gives something valid where that ends a sum.

    Args:
        unit: The unit, for its stages and ports.
        steps: The steps.
        ports: Width of each data port: see `data_ports`.
        name: Name of the module.
        factor: What takes g, and gives what a result is multiplied by. That goes beside the input, register
            by register, to the step that multiplies. None for nothing.
    """
    stages, accumulates = unit.stages, unit.spec.accumulates
    (result,) = steps[-1].outputs
    width = steps[-1].outputs[result]
    inputs = [f"input [{bits - 1}:0] i_{port}" for port, bits in ports.items()]
    live = {port: f"i_{port}" for port in ports if port not in ("c", "g")}
    lines: list[str] = []
    if not stages:
        head = [*inputs, f"output [{width - 1}:0] o_result"]
    else:
        head = ["input clk", "input rst", "input i_valid", "output i_ready"]
        head += ["input i_first", "input i_last"] if accumulates else []
        head += [*inputs, "output o_valid", "input o_ready", f"output [{width - 1}:0] o_result"]
        lines += ["reg spare_full;", f"reg [{width - 1}:0] spare;", "wire move = ~spare_full;"]
    valid, first, last, c = "i_valid", "i_first", "i_last", "i_c"
    g: dict[str, str] = {}
    if factor is not None:
        lines += [f"wire [{bits - 1}:0] read_{port};" for port, bits in factor.outputs.items()]
        g = {port: f"read_{port}" for port in factor.outputs}
        tied = {f"o_{port}": wire for port, wire in g.items()}
        lines.append(factor.instance("reader", {"i_g": "i_g"} | tied).rstrip())
    stage = 0
    for k, step in enumerate(steps):
        wires = {f"i_{port}": wire for port, wire in live.items()}
        if step.accumulates:
            lines.append(f"wire enable = move & {valid};")
            wires |= {"i_first": first, "i_enable": "enable"}
            wires |= {"i_c": c} if "c" in ports else {}
        if step.multiplies:
            wires |= {f"i_{port}": wire for port, wire in g.items()}
            g = {}
        for port, bits in step.outputs.items():
            lines.append(f"wire [{bits - 1}:0] step_{k}_{port};")
            wires[f"o_{port}"] = f"step_{k}_{port}"
        lines.append(step.instance(f"u{k}", wires).rstrip())
        live = {port: f"step_{k}_{port}" for port in step.outputs}
        if step.name not in unit.registers_after:
            continue
        before = f"{valid} & {last}" if step.accumulates else valid
        lines.append(f"reg valid_{stage}; always @(posedge clk) "
                     f"valid_{stage} <= rst ? 1'b0 : move ? {before} : valid_{stage};")  # fmt: skip
        valid = f"valid_{stage}"
        if step.accumulates:
            accumulates = False  # what comes behind needs no marks
        else:
            for port, bits in step.outputs.items():
                held = f"{port}_{stage}"
                lines.append(
                    f"reg [{bits - 1}:0] {held}; always @(posedge clk) if (move) {held} <= {live[port]};"
                )
                live[port] = held
            if accumulates:
                for mark, wire in (("first", first), ("last", last)):
                    held = f"{mark}_{stage}"
                    lines.append(f"reg {held}; always @(posedge clk) if (move) {held} <= {wire};")
                first, last = f"first_{stage}", f"last_{stage}"
                if "c" in ports:
                    held = f"c_{stage}"
                    lines.append(
                        f"reg [{ports['c'] - 1}:0] {held}; always @(posedge clk) if (move) {held} <= {c};"
                    )
                    c = held
        for port, wire in g.items():
            held = f"{port}_{stage}"
            bits = factor.outputs[port] if factor is not None else 0
            lines.append(f"reg [{bits - 1}:0] {held}; always @(posedge clk) if (move) {held} <= {wire};")
            g[port] = held
        stage += 1
    if stages:
        lines += [
            "assign i_ready = move;",
            f"assign o_valid = spare_full | {valid};",
            f"assign o_result = spare_full ? spare : {live[result]};",
            f"always @(posedge clk) if (move) spare <= {live[result]};",
            "always @(posedge clk) spare_full <= rst ? 1'b0 : o_valid & ~o_ready;",
        ]
    else:
        lines.append(f"assign o_result = {live[result]};")
    body = "".join(f"  {line}\n" for line in lines)
    return f"module {name}({', '.join(head)});\n{body}endmodule\n"


def data_ports(chain: Chain) -> dict[str, int]:
    """Return the width of each data port of a unit, by its name without ``i_``."""
    inputs = chain.steps[0].inputs
    ports = {port: inputs[port] for port in ("a", "b", "a_scale", "b_scale") if port in inputs}
    spec = chain.unit.spec
    return ports | ({"c": spec.c_format.bits} if spec.takes_c else {}) | ({"g": 32} if chain.factor else {})


def check_composition(
    chain: Chain, unit: DotUnit, *, text: str | None = None, seconds: float = 300
) -> SolverAnswer:
    """Prove that a unit's emitted Verilog is its steps in a row, register by register.

    Registers are paired by name and, where a name is another, by what they hold in a random simulation; that
    the pairs hold the same for ever is then proven: from equal contents and equal inputs follow equal outputs
    and equal next contents.

    Args:
        chain: The unit's steps.
        unit: The unit, at any number of stages.
        text: Its Verilog, if it is another than the emitted.
        seconds: How long the solver may take.

    Returns:
        The answer.

    Raises:
        SolverError: If there is none.
    """
    left = network({"unit.v": text or to_verilog(unit).text}, unit.name)
    row = pipeline(unit, chain.steps, data_ports(chain), "pipeline", chain.factor)
    right = network(
        {"steps.il": chain.rtlil, "pipeline.v": row},
        "pipeline",
        rename=register_name,
    )
    pairs = _pairs(left, right)
    if isinstance(pairs, SolverAnswer):
        return pairs
    if sorted(left.outputs) != sorted(right.outputs):
        return SolverAnswer(False, "SAT", f"outputs {sorted(set(left.outputs) ^ set(right.outputs))}")
    answer = equal(left, right, pairs, seconds=seconds)
    if answer.holds and "i_ready" in left.outputs:
        inputs, _ = left.cone(["i_ready"])
        if "o_ready" in inputs:
            return SolverAnswer(False, "SAT", "i_ready, which hangs on o_ready in the same cycle,")
    return answer


def _pairs(left: Network, right: Network) -> dict[str, str] | SolverAnswer:
    """Pair the registers of two networks, each bit of the one with one of the other."""
    if len(left.registers) != len(right.registers):
        return SolverAnswer(
            False, "SAT", f"number of registers, {len(left.registers)} and not {len(right.registers)},"
        )
    ours = _signatures(left)
    theirs = _signatures(right)
    by_name = {register_name(net): net for net in right.registers}
    pairs = {
        net: by_name[net] for net in left.registers if net in by_name and ours[net] == theirs[by_name[net]]
    }
    # Whole words first: bits that are always 0 look alike.
    there = {word: nets for nets in _by_word(right, pairs.values()) if (word := _trace_of(nets, theirs))}
    for nets in _by_word(left, pairs):
        partner = there.pop(_trace_of(nets, ours), None)
        if partner is not None:
            pairs |= {nets[k]: partner[k] for k in nets}
    left_over = [net for net in right.registers if net not in set(pairs.values())]
    for net in left.registers:
        if net in pairs:
            continue
        match = next((other for other in left_over if theirs[other] == ours[net]), None)
        if match is None:
            return SolverAnswer(False, "SAT", f"register {net}, which has no counterpart,")
        left_over.remove(match)
        pairs[net] = match
    return pairs


def _by_word(one: Network, without: Iterable[str]) -> list[dict[str, str]]:
    """Return the registers of a network word by word, without some: nets by their number in the word."""
    left_out = set(without)
    words: dict[str, dict[str, str]] = {}
    for net in one.registers:
        if net not in left_out:
            word, _, bit = net.partition("[")
            words.setdefault(word, {})[bit] = net
    return list(words.values())


def _trace_of(
    nets: dict[str, str], signatures: dict[str, tuple[int, ...]]
) -> frozenset[tuple[str, tuple[int, ...]]]:
    """Return what a word holds, bit by bit."""
    return frozenset((bit, signatures[net]) for bit, net in nets.items())


def _signatures(one: Network) -> dict[str, tuple[int, ...]]:
    """Return what each register holds over some cycles of random inputs, from zeros on."""
    draw = random.Random(1)
    ones = (1 << _LANES) - 1
    state = dict.fromkeys(one.registers, 0)
    inputs, function = one.function(list(one.registers.values()))
    traces: dict[str, list[int]] = {net: [] for net in state}
    for cycle in range(_CYCLES if state else 0):
        values = {bit: draw.getrandbits(_LANES) for bit in sorted(one.inputs) if bit not in state}
        if "rst" in values:
            values["rst"] &= draw.getrandbits(_LANES) & draw.getrandbits(_LANES)
            values["rst"] |= 0 if cycle else ones
        values |= state
        state = dict(zip(one.registers, function([values[net] for net in inputs], ones), strict=True))
        for net, value in state.items():
            traces[net].append(value)
    return {net: tuple(trace) for net, trace in traces.items()}


_TOKEN: Final = """
module token_step(input i_token, output o_token);
  assign o_token = i_token;
endmodule
module token_sum(input i_token, input i_first, input i_enable, input clk, input rst, output o_token);
  reg accumulator;
  always @(posedge clk) if (i_enable) accumulator <= i_token ^ (~i_first & accumulator);
  assign o_token = accumulator;
endmodule
"""


def _monitor(unit: DotUnit) -> str:
    """Return Verilog that watches streams of tokens and says whether every rule is kept.

    The pipeline moves in the cycles in which it is ready. One of them, any one, is watched: whether it took
    an input that asks for a result, and which. After `latency` moves, in the cycle of the next, a result must
    be offered if one was asked for and not otherwise; in a cycle without a move the one that was refused.
    """
    accumulates = unit.spec.accumulates
    marks = ".i_first(i_first), .i_last(i_last), " if accumulates else ""
    return f"""
module monitor(input clk, input rst, input i_valid, input i_first, input i_last, input i_token, input o_ready,
               input pick, output kept_valid, output kept_result, output held_back, output in_time,
               output in_order, output empty, output frees);
  wire i_ready, o_valid, o_token;
  pipeline dut(.clk(clk), .rst(rst), .i_valid(i_valid), .i_ready(i_ready), {marks}.i_token(i_token),
               .o_valid(o_valid), .o_ready(o_ready), .o_result(o_token));
  wire first = {"i_first" if accumulates else "1'b1"}, last = {"i_last" if accumulates else "1'b1"};
  wire take = i_valid & i_ready;
  // What the sum that is being taken should give: every token once, from its first on.
  reg sum, begun;
  wire following = i_token ^ (~first & sum);
  wire defined = first | begun;
  always @(posedge clk) begun <= rst ? 1'b0 : begun | (take & first);
  always @(posedge clk) if (take) sum <= following;
  // The move that is watched, and how many there were since.
  reg watching, asked, known, wanted;
  reg [4:0] moves;
  wire start = pick & ~watching & i_ready;
  wire due = watching & i_ready & moves == {unit.latency};
  always @(posedge clk) watching <= rst ? 1'b0 : start | (watching & ~due);
  always @(posedge clk) moves <= rst ? 5'd0 : start ? 5'd1 : moves + (watching & i_ready);
  always @(posedge clk) if (start) asked <= i_valid & last;
  always @(posedge clk) if (start) known <= defined;
  always @(posedge clk) if (start) wanted <= following;
  reg [4:0] age;
  always @(posedge clk) age <= rst ? 5'd0 : age == {unit.latency} ? age : age + i_ready;
  reg waited, held, accepted;
  always @(posedge clk) waited <= rst ? 1'b0 : o_valid & ~o_ready;
  always @(posedge clk) held <= o_token;
  always @(posedge clk) accepted <= rst ? 1'b0 : o_ready;
  assign kept_valid = ~waited | o_valid;
  assign kept_result = ~waited | o_token == held;
  assign held_back = i_ready | waited;
  assign in_time = ~due | o_valid == asked;
  assign in_order = ~(due & asked & known) | o_token == wanted;
  assign empty = age == {unit.latency} | ~i_ready | ~o_valid;
  assign frees = ~accepted | i_ready;
endmodule
"""


def check_stream(unit: DotUnit, *, text: str | None = None, seconds: float = 120) -> SolverAnswer:
    """Prove that a pipeline keeps the rules of its streams, whatever comes and whenever it is reset.

    The pipeline is the one of `check_composition`, with a bit for each input in the place of its numbers:
    what moves a pipeline does not look at these. The rules are those of `StreamRule`, and stricter where a
    proof can be: a result comes `latency` moves behind the input that asks for it, made of the tokens of its
    own sum, each of them once; the pipeline stands still only while a result is refused, and moves when it
    was accepted.

    Args:
        unit: The unit, with at least one stage.
        text: The pipeline's Verilog, if it is another.
        seconds: How long the solver may take.

    Returns:
        The answer.

    Raises:
        SolverError: If there is none.
    """
    steps = [
        StepNetlist(
            step,
            "token_sum" if step == "accumulate" else "token_step",
            {"token": 1},
            {"token": 1},
            step == "accumulate",
        )
        for step in unit.steps
    ]
    source = text or pipeline(unit, steps, {"token": 1}, "pipeline")
    try:
        made = network({"token.v": _TOKEN, "pipeline.v": source, "monitor.v": _monitor(unit)}, "monitor")
    except SynthesisError as error:
        raise ValueError(f"pipeline must be Verilog, not what Yosys refuses: {error}") from None
    control = re.compile(r"(^|\.)(valid_\d+|spare_full|begun|watching|moves|age|waited|accepted)(\[\d+\])?$")
    started = [net for net in made.registers if control.search(net)]
    # A cycle of reset is all it takes.
    reset = Network(list(made.inputs), [], {}, list(made.body))
    for net in started:
        reset.body += [f".names rst {made.registers[net]} cleared_{net}", "0- 1", "-0 1"]
    answer = always(reset, [f"cleared_{net}" for net in started], seconds=seconds)
    return answer if not answer.holds else unreachable(made, started, seconds=seconds)
