"""The claims on single steps, each against its description."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from ...model import DotSpec
from .descriptions import Description, describe
from .gate_network import Network, network
from .solver import SolverAnswer, always, everywhere
from .steps import Chain, StepNetlist

__all__ = ["check_leaf", "leaf_network", "register_name", "settled"]


# Amaranth names a register that is a port of something after the port.
_REGISTERS: Final = {
    "accumulate_a_normal": "accumulator_normal",
    "o_result": "accumulator",
    "o_window": "accumulator",
    "o_carries": "accumulator_carries",
    "o_start": "accumulator_c",
    "o_nan": "accumulator_nan",
    "o_infinite": "accumulator_infinite",
    "o_sum_magnitude": "accumulator",
    "o_sum_negative": "accumulator_negative",
    "o_sum_exponent": "accumulator_exponent",
}


def register_name(net: str) -> str:
    """Return the name that a bit of a register has in every netlist: without instances and ports."""
    word, bracket, bit = net.rpartition(".")[2].partition("[")
    return _REGISTERS.get(word, word) + bracket + bit


def _ports(steps: Sequence[StepNetlist]) -> tuple[dict[str, int], dict[str, int]]:
    return steps[0].inputs, steps[-1].outputs


def _top(steps: Sequence[StepNetlist], description: Description) -> str:
    """Return Verilog that has steps and their description side by side, and says where they agree."""
    inputs, outputs = _ports(steps)
    clocked = steps[0].accumulates
    ports = [f"input [{width - 1}:0] i_{name}" for name, width in inputs.items()]
    ports += ["input clk", "input rst"] if clocked else []
    ports += [f"output ok_{name}" for name in outputs]
    ports += ["output allowed", *(f"output care_{name}" for name in description.cares)]
    ports += [f"output ok_claim_{name}" for name in description.claims]
    lines: list[str] = []
    wires = {f"i_{name}": f"i_{name}" for name in inputs}
    for k, step in enumerate(steps):
        given = {f"o_{name}": f"step_{k}_{name}" for name in step.outputs}
        lines += [f"  wire [{step.outputs[name] - 1}:0] step_{k}_{name};\n" for name in step.outputs]
        lines.append("  " + step.instance(f"u{k}", wires | given))
        wires = {f"i_{name}": f"step_{k}_{name}" for name in step.outputs}
    last = len(steps) - 1
    lines += [f"  wire [{width - 1}:0] told_{name};\n" for name, width in outputs.items()]
    told = [f".i_{name}(i_{name})" for name in inputs] + [f".o_{name}(told_{name})" for name in outputs]
    told += [".clk(clk)", ".rst(rst)"] if clocked else []
    told += [".allowed(allowed)", *(f".care_{name}(care_{name})" for name in description.cares)]
    told += [f".claim_{name}(claim_{name})" for name in description.claims]
    lines += [f"  wire claim_{name};\n" for name in description.claims]
    lines.append(f"  description told ({', '.join(told)});\n")
    for name in outputs:
        care = f" | ~care_{name}" if name in description.cares else ""
        lines.append(f"  assign ok_{name} = ~allowed{care} | step_{last}_{name} == told_{name};\n")
    lines += [f"  assign ok_claim_{name} = ~allowed | claim_{name};\n" for name in description.claims]
    return f"module leaf({', '.join(ports)});\n{''.join(lines)}endmodule\n"


def leaf_network(chain: Chain, steps: Sequence[StepNetlist], description: Description) -> Network:
    """Return the network whose outputs ``ok_x`` are 1 where steps give what their description says.

    A register of the steps and the one of that name in the description hold the same; that they then take the
    same is one more output.
    """
    made = network(
        {"steps.il": chain.rtlil, "description.v": description.text, "leaf.v": _top(steps, description)},
        "leaf",
        rename=register_name,
    )
    of_steps, told = (
        {register_name(net): taken for net, taken in made.registers.items() if net.startswith(f"{instance}.")}
        for instance in ("u0", "told")
    )
    if of_steps.keys() != told.keys():
        raise ValueError(f"registers must be those described, {sorted(told)}, not {sorted(of_steps)}")
    words: dict[str, list[str]] = {}
    for bit, taken in of_steps.items():
        word = bit.partition("[")[0]
        same = f"same_{bit}"
        made.body += [f".names {taken} {told[bit]} {same}", "00 1", "11 1"]
        words.setdefault(word, []).append(same)
    for word, bits in words.items():
        every = f"every_{word}"
        made.body += [f".names {' '.join(bits)} {every}", "1" * len(bits) + " 1"]
        care = f"care_{word}" if word in description.cares else None
        inputs = ["allowed", every, *([care] if care else [])]
        made.body += [f".names {' '.join(inputs)} ok_state_{word}"]
        made.body += ["0-- 1", "-1- 1", "--0 1"] if care else ["0- 1", "-1 1"]
        made.outputs.append(f"ok_state_{word}")
    return made


def _cases(question: Network, register: str) -> Iterator[Network]:
    """Yield the network for each place of a register's leading one, and for zero; itself where it has none.

    One of these is so, whatever the register holds: the bits above that place are zero, and that one is set.
    """
    bits = [bit for bit in question.inputs if bit.rpartition(".")[2].partition("[")[0] == register]
    if not register or not bits:
        yield question
        return
    bits.sort(key=lambda bit: int(bit.rpartition("[")[2].rstrip("]")))
    for leading in range(-1, len(bits)):
        fixed = {bit: k == leading for k, bit in enumerate(bits) if k >= leading}
        body = [line for bit, one in fixed.items() for line in (f".names {bit}", *("1" for _ in range(one)))]
        yield replace(
            question,
            inputs=[bit for bit in question.inputs if bit not in fixed],
            body=[*question.body, *body],
        )


@functools.lru_cache(maxsize=1)
def _question(chain: Chain, rtlil: str, spec: DotSpec, names: tuple[str, ...]) -> tuple[Network, str]:
    """Return the network of steps and their description, and what cases it has; two claims may share it."""
    assert rtlil == chain.rtlil
    steps = [chain[name] for name in names]
    place = chain.steps.index(steps[-1]) + 1 if steps[-1] in chain.steps else len(chain.steps)
    following = chain.steps[place] if place < len(chain.steps) else None
    description = describe(spec, steps, following, segment=chain.unit.segment)
    return leaf_network(chain, steps, description), description.leading


def check_leaf(
    chain: Chain, spec: DotSpec, names: Sequence[str], *, only: Sequence[str] = (), seconds: float = 300
) -> SolverAnswer:
    """Prove that steps give what their description says, for every input that can occur.

    Args:
        chain: The unit's steps.
        spec: What it computes.
        names: Names of the steps, in a row.
        only: Beginnings of the names of the outputs to look at; all of them where it is empty.
        seconds: How long the solver may take; over each case, where a description says that there are some.

    Returns:
        The answer.

    Raises:
        SolverError: If there is none.
    """
    question, leading = _question(chain, chain.rtlil, spec, tuple(names))
    outputs = [bit for bit in question.outputs if bit.startswith("ok_")]
    if only:
        outputs = [bit for bit in outputs if bit.removeprefix("ok_").startswith(tuple(only))]
    return settled(question, outputs, leading=leading, seconds=seconds)


def settled(
    question: Network, outputs: Sequence[str], *, leading: str = "", seconds: float = 300
) -> SolverAnswer:
    """Say whether outputs are 1 for every input: those of few inputs by trying all, the others by a solver.

    Args:
        question: The network.
        outputs: The outputs.
        leading: An input, or register, the place of whose leading one is asked for case by case; empty for
            none.
        seconds: How long the solver may take; over each case, where there are some.

    Returns:
        The answer.

    Raises:
        SolverError: If there is none.
    """
    methods: list[str] = []
    rest: list[str] = []
    for bit in outputs:
        answer = everywhere(question, [bit])
        if answer is None:
            rest.append(bit)
        elif not answer.holds:
            return answer
        else:
            methods.append(answer.method)
    if rest:
        for case in _cases(question, leading):
            answer = always(case, rest, seconds=seconds)
            if not answer.holds:
                return answer
            methods.append(answer.method)
    if rest and leading:
        return SolverAnswer(True, f"{methods[-1]}, case by case")
    if rest:
        return SolverAnswer(True, methods[-1])
    return SolverAnswer(True, max(methods, key=lambda method: (len(method), method)))
