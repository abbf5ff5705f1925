"""That the descriptions in a row are the contract: their results against the model's."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...hw import DotUnit
from ...hw.config import least_stages
from ...model import DotSpec
from ...sim.random_stimulus import random
from ...sim.stimulus import Stimulus
from ..coverage.directed import directed
from .descriptions import describe
from .gate_network import Network, network
from .pipeline import data_ports, pipeline
from .solver import SolverAnswer
from .steps import Chain, StepNetlist

__all__ = ["check_contract", "grouped"]


def grouped(steps: Sequence[StepNetlist]) -> list[list[StepNetlist]]:
    """Return the steps as they are described: normalising and rounding together, the others alone."""
    groups: list[list[StepNetlist]] = []
    for step in steps:
        if step.name in ("round", "tensor_round"):
            groups[-1].append(step)
        else:
            groups.append([step])
    return groups


def _described(chain: Chain, unit: DotUnit) -> Network:
    texts: dict[str, str] = {}
    steps: list[StepNetlist] = []
    groups = grouped(chain.steps)
    if chain.factor is not None:
        # Beside the others: nothing is in a row with it.
        groups.insert(0, [chain.factor])
    for k, group in enumerate(groups):
        following = groups[k + 1][0] if k + 1 < len(groups) else None
        module = f"described_{k}"
        text = describe(unit.spec, group, following, segment=unit.segment).text
        texts[f"{module}.v"] = text.replace("module description(", f"module {module}(", 1)
        steps.append(
            StepNetlist(
                group[-1].name,
                module,
                group[0].inputs,
                group[-1].outputs,
                group[0].accumulates,
                group[0].takes,
                group[-1].gives,
                group[0].multiplies,
            )
        )
    factor = steps.pop(0) if chain.factor is not None else None
    row = pipeline(unit, steps, data_ports(chain), "pipeline", factor)
    return network(texts | {"pipeline.v": row}, "pipeline")


def check_contract(chain: Chain, spec: DotSpec, *, random_inputs: int = 4000) -> tuple[SolverAnswer, int]:
    """Run the descriptions, one behind the other, on directed and random inputs, against the model.

    Args:
        chain: The unit's steps, for the widths between them.
        spec: What it computes.
        random_inputs: How many random inputs follow the directed ones.

    Returns:
        The answer, and how many results were compared.
    """
    unit = DotUnit.of(chain.unit.config.with_stages(least_stages(spec)))
    described = _described(chain, unit)
    compared = 0
    for stimulus in (directed(spec), random(spec, random_inputs, seed=0)):
        seen = _simulate(described, stimulus, stages=unit.stages)
        expected = stimulus.expected()
        start = stimulus.undefined_count
        compared += len(expected) - start
        for k in range(start, len(expected)):
            if seen[k] != expected[k]:
                method = f"simulation, {compared} results"
                return SolverAnswer(
                    False, method, f"result {k}, {seen[k]:#010x} and not {expected[k]:#010x},"
                ), compared
    return SolverAnswer(True, f"simulation, {compared} results"), compared


def _columns(words: npt.NDArray[np.uint8], name: str, width: int) -> dict[str, npt.NDArray[np.uint8]]:
    bits = np.unpackbits(words, axis=1, bitorder="little")[:, :width]
    return {(name if width == 1 else f"{name}[{k}]"): bits[:, k] for k in range(width)}


def _packed(bits: npt.NDArray[np.uint8]) -> int:
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")


def _simulate(one: Network, stimulus: Stimulus, *, stages: int) -> npt.NDArray[np.uint32]:
    """Return the results of a stimulus: its sums side by side, one bit of each in every word."""
    starts = np.flatnonzero(stimulus.first) if stages else np.arange(stimulus.vectors)
    if not len(starts) or starts[0]:
        starts = np.concatenate([[0], starts])
    ends = np.append(starts[1:], stimulus.vectors)
    columns: dict[str, npt.NDArray[np.uint8]] = {}
    for name, words in stimulus.words().items():
        width = sum(bit == name or bit.startswith(f"{name}[") for bit in one.inputs)
        octets = np.ascontiguousarray(words).view(np.uint8).reshape(stimulus.vectors, -1)
        columns |= _columns(octets, name, width)
    results = np.zeros(stimulus.vectors, np.uint32)
    ones = (1 << len(starts)) - 1
    outputs = one.word("o_result")
    state = dict.fromkeys(one.registers, 0)
    inputs, function = one.function([*outputs, *one.registers.values()])
    for cycle in range(int((ends - starts).max()) + bool(stages)):
        at = np.minimum(starts + cycle, ends - 1)
        live = (starts + cycle < ends).astype(np.uint8)
        values: dict[str, int] = {"rst": 0, "o_ready": ones, "i_valid": _packed(live), "i_last": ones}
        values["i_first"] = ones if cycle == 0 else 0
        values |= {bit: _packed(column[at]) for bit, column in columns.items()}
        values |= state
        answers = function([values[net] for net in inputs], ones)
        state = dict(zip(one.registers, answers[len(outputs) :], strict=True))
        came = starts + cycle - bool(stages)
        good = (came >= starts) & (came < ends)
        table = np.array(
            [
                np.unpackbits(
                    np.frombuffer(word.to_bytes(-(-len(starts) // 8), "little"), np.uint8),
                    bitorder="little",
                )[: len(starts)]
                for word in answers[: len(outputs)]
            ]
        ).astype(np.uint32)
        places = np.arange(len(outputs), dtype=np.uint32)[:, np.newaxis]
        results[came[good]] = (table << places).sum(0, dtype=np.uint32)[good]
    return results[stimulus.last] if stages else results
