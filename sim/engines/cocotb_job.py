"""What `cocotb_engine` hands to the player inside the simulator, and what it gets back."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...base.whole_files import whole_file
from ..stream_rules import RESET_CYCLES, Limits, Payload, Response, RunOutcome, StreamRule

__all__ = ["ANSWER_VARIABLE", "JOB_VARIABLE", "PlayJob", "read_answer", "write_answer"]

JOB_VARIABLE: Final = "BLOCKDOT_JOB"
"""Environment variable with the path of the job that the bench is to play."""

ANSWER_VARIABLE: Final = "BLOCKDOT_ANSWER"
"""Environment variable with the path to which the bench is to write the answer."""


@dataclass(frozen=True, kw_only=True)
class PlayJob:
    """What to play, as it is handed over in an .npz file.

    Attributes:
        stages: Register stages of the unit.
        shown: What each input port shows.
        results: Widths of the result ports, by name.
        last: For each vector, whether it asks for a result.
        offer: Whether an input is offered, per cycle.
        accept: Whether a result is accepted, per cycle.
        undefined: How many results, the first ones, may hold undefined bits.
        limits: How long to wait.
    """

    stages: int
    shown: list[Payload]
    results: dict[str, int]
    last: npt.NDArray[np.bool_]
    offer: npt.NDArray[np.bool_]
    accept: npt.NDArray[np.bool_]
    undefined: int
    limits: Limits

    def write(self, path: Path) -> None:
        """Write the job to a file."""
        octets: dict[str, Any] = {
            f"payload_{payload.port}": np.frombuffer(
                b"".join(value.to_bytes(-(-payload.width // 8), "little") for value in payload.values),
                np.uint8,
            ).reshape(len(payload.values), -1)
            for payload in self.shown
        }
        np.savez(
            path,
            stages=self.stages,
            widths=[payload.width for payload in self.shown],
            result_names=list(self.results),
            result_widths=list(self.results.values()),
            last=self.last,
            offer=self.offer,
            accept=self.accept,
            undefined=self.undefined,
            patience=self.limits.patience,
            drain=self.limits.drain,
            **octets,
        )

    @classmethod
    def read(cls, path: Path) -> "PlayJob":
        """Read a job from a file."""
        with np.load(path) as file:
            names = [name for name in file.files if name.startswith("payload_")]
            return cls(
                stages=int(file["stages"]),
                shown=[
                    Payload(
                        name.removeprefix("payload_"),
                        int(width),
                        [int.from_bytes(row.tobytes(), "little") for row in file[name]],
                    )
                    for name, width in zip(names, file["widths"], strict=True)
                ],
                results={
                    str(name): int(width)
                    for name, width in zip(file["result_names"], file["result_widths"], strict=True)
                },
                last=file["last"],
                offer=file["offer"],
                accept=file["accept"],
                undefined=int(file["undefined"]),
                limits=Limits(patience=int(file["patience"]), drain=int(file["drain"])),
            )

    @property
    def result_words(self) -> int:
        """32-bit words of a result, each of its ports beginning with one of its own."""
        return sum(-(-width // 32) for width in self.results.values())

    @property
    def most_cycles(self) -> int:
        """More cycles than the run can take: each transfer may wait for as long as patience lasts."""
        transfers = len(self.last) + int(self.last.sum())
        return RESET_CYCLES + (transfers + 1) * (self.limits.patience + 1) + self.limits.drain + 1


def write_answer(path: Path, outcome: RunOutcome, response: Response) -> None:
    """Write how a run ended and what the unit answered, whole or not at all."""
    with whole_file(path) as file:
        np.savez(
            file,
            outcome=[outcome.rule, outcome.held, outcome.seen],
            results=response.results,
            result_cycles=response.result_cycles,
            input_cycles=response.input_cycles,
            cycles=response.cycles,
        )


def read_answer(path: Path) -> tuple[RunOutcome, Response]:
    """Read what `write_answer` wrote."""
    with np.load(path) as file:
        rule, held, seen = (int(x) for x in file["outcome"])
        return RunOutcome(rule=StreamRule(rule), held=held, seen=seen), Response(
            results=file["results"],
            result_cycles=file["result_cycles"],
            input_cycles=file["input_cycles"],
            cycles=int(file["cycles"]),
        )
