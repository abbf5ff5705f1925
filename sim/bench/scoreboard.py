"""What a unit must give, as the model computes it from what was seen on its input ports."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...model import DequantizerSpec, DotSpec, QuantizerSpec
from ...model.specifications import Specification
from ..dequantizer_stimulus import DequantizerStimulus
from ..quantizer_stimulus import QuantizerStimulus
from ..serial_stimulus import SerialStimulus
from ..stream_rules import as_number
from ..unit_stimulus import Codes, UnitStimulus

__all__ = ["BlockScoreboard", "CodePort", "Scoreboard", "SumScoreboard", "scoreboard_for"]


@dataclass(frozen=True)
class CodePort:
    """A data port: codes side by side, the first one lowest.

    Attributes:
        name: Its name, among those of `Ports`.
        bits: Width of a code.
        shape: How the codes are shaped.
        dtype: What holds a code.
    """

    name: str
    bits: int
    shape: tuple[int, ...]
    dtype: npt.DTypeLike

    def codes(self, word: int) -> Codes:
        """Return the codes in the port's bits."""
        mask = (1 << self.bits) - 1
        codes = [word >> self.bits * k & mask for k in range(int(np.prod(self.shape)))]
        return np.array(codes, self.dtype).reshape(self.shape)


class Scoreboard(ABC):
    """What must come, as the model computes it from what was taken.

    Args:
        inputs: The data ports of the unit's input stream.
        results: Names of the ports of a result, in order.
        sums: Whether inputs say that they start a sum, and that they ask for its result.

    Attributes:
        inputs: The same.
        results: The same.
        sums: The same.
        compared: Results that were compared.
        undefined: Results of sums that nothing had started since reset, of which any bits will do.
    """

    def __init__(self, inputs: tuple[CodePort, ...], results: tuple[str, ...], *, sums: bool = False) -> None:
        self.inputs = inputs
        self.results = results
        self.sums = sums
        self.compared = 0
        self.undefined = 0
        self._expected: deque[int | None] = deque()

    @property
    def owed(self) -> int:
        """Results that the unit has still to give."""
        return len(self._expected)

    def reset(self) -> None:
        """Forget what was taken."""
        self._expected.clear()

    @abstractmethod
    def take(self, codes: tuple[Codes, ...], *, first: bool = True, last: bool = True) -> None:
        """Note an input that was taken.

        Args:
            codes: What each of `inputs` showed.
            first: Whether it starts a sum.
            last: Whether it asks for a result.
        """

    def give(self, bits: int | None) -> None:
        """Compare a result.

        Args:
            bits: Its bits as `Response` has them, as one number, the first word lowest; None where one was
                neither 0 nor 1.

        Raises:
            AssertionError: If none is owed, or the model computes another.
        """
        assert self._expected, f"result must follow an input that asks for it, not come unasked with {bits}"
        expected = self._expected.popleft()
        if expected is None:
            self.undefined += 1
            return
        number = self.compared
        assert bits is not None, f"result {number} must be {expected:#010x}, not undefined"
        assert bits == expected, f"result {number} must be {expected:#010x}, not {bits:#010x}"
        self.compared += 1


class SumScoreboard(Scoreboard):
    """What a dot-product unit must give.

    An input is codes of a and b, shape (blocks, N), and of their scales, shape (blocks,); and the bits of C
    or of g, shape (), where the specification takes one.

    Args:
        spec: What the unit computes.
    """

    def __init__(self, spec: DotSpec) -> None:
        # Where there are no scales, there is no such port.
        shapes = [(spec.blocks, spec.block_size)] * 2 + [(spec.blocks,)] * 2
        names = ("i_a", "i_b", "i_a_scale", "i_b_scale")
        ports = [
            CodePort(name, fmt.bits, shape, fmt.dtype)
            for name, fmt, shape in zip(names, spec.elements + spec.scales, shapes, strict=True)
        ]
        if spec.takes_c:
            ports.append(CodePort("i_c", 32, (), np.uint32))
        if spec.tensor_scale:
            ports.append(CodePort("i_g", 32, (), np.uint32))
        super().__init__(tuple(ports), ("o_result",), sums=spec.accumulates)
        self._spec = spec
        self._sum: list[tuple[Codes, ...]] | None = None

    def reset(self) -> None:
        """Forget what was taken."""
        super().reset()
        self._sum = None

    def take(self, codes: tuple[Codes, ...], *, first: bool = True, last: bool = True) -> None:
        """Note an input that was taken, see `Scoreboard`."""
        if first:
            self._sum = []
        if self._sum is not None:
            self._sum.append(codes)
        if last:
            self._expected.append(None if self._sum is None else self._bits(self._sum))

    def _bits(self, groups: list[tuple[Codes, ...]]) -> int:
        codes = [np.stack(part) for part in zip(*groups, strict=True)]
        # Of what sums start at, only that of their first input counts; of what results are multiplied by,
        # only that of their last one. Without sums, each group has one.
        counts = np.s_[-1] if self._spec.accumulates else np.s_[:]
        counts = np.s_[0] if self._spec.takes_c else counts
        result = self._spec.result_bits(*codes[:4], *(part[counts] for part in codes[4:]))
        return int(result.reshape(-1)[-1])


class BlockScoreboard(Scoreboard):
    """What a quantizer or a dequantizer must give.

    Args:
        spec: What the unit computes.
        serial: Whether it is a quantizer that takes a number a cycle. Its results are known, and owed, from
            the last number of their block on.
    """

    def __init__(self, spec: QuantizerSpec | DequantizerSpec, *, serial: bool = False) -> None:
        self._spec = spec
        self._serial = serial
        self._block: list[tuple[Codes, ...]] = []
        super().__init__(tuple(self._ports()), self._outputs())

    def _ports(self) -> Iterator[CodePort]:
        spec, lanes = self._spec, (self._spec.block_size,)
        if isinstance(spec, DequantizerSpec):
            yield CodePort("i_codes", spec.element_format.bits, lanes, spec.element_format.dtype)
            yield CodePort("i_scale", spec.scale_format.bits, (), spec.scale_format.dtype)
            return
        form = spec.input_format
        yield CodePort("i_x", form.bits, () if self._serial else lanes, form.dtype)
        if spec.stochastic:
            yield CodePort("i_random", spec.random_bits, lanes, np.uint16)
        if spec.tensor_scale:
            yield CodePort("i_g", 32, (), np.uint32)

    def _outputs(self) -> tuple[str, ...]:
        if isinstance(self._spec, DequantizerSpec):
            return ("o_x",)
        return ("o_code", "o_scale", "o_last") if self._serial else ("o_codes", "o_scale")

    def reset(self) -> None:
        """Forget what was taken."""
        super().reset()
        self._block = []

    def take(self, codes: tuple[Codes, ...], *, first: bool = True, last: bool = True) -> None:
        """Note an input that was taken, see `Scoreboard`; each asks for a result."""
        del first, last
        self._block.append(codes)
        if len(self._block) == (self._spec.block_size if self._serial else 1):
            parts = [np.stack(part) for part in zip(*self._block, strict=True)]
            self._expected += map(as_number, self._stimulus(parts).expected())
            self._block = []

    def _stimulus(self, parts: list[Codes]) -> UnitStimulus:
        """Return the inputs as a stimulus, which knows their results."""
        spec = self._spec
        if isinstance(spec, DequantizerSpec):
            return DequantizerStimulus(spec=spec, codes=parts[0], scales=parts[1])
        if self._serial:
            return SerialStimulus(spec=spec, x=parts[0])
        shown = dict(zip((port.name for port in self.inputs), parts, strict=True))
        g = shown.get("i_g")
        return QuantizerStimulus(
            spec=spec,
            x=shown["i_x"],
            random=shown.get("i_random"),
            g=None if g is None else g.view(np.float32),
        )


def scoreboard_for(spec: Specification, *, serial: bool = False) -> Scoreboard:
    """Return the scoreboard of a unit of any kind.

    Args:
        spec: What the unit computes.
        serial: Whether it is a quantizer that takes a number a cycle.

    Raises:
        ValueError: If it is to be serial, and is no quantizer.
    """
    if serial and not isinstance(spec, QuantizerSpec):
        raise ValueError(f"serial must be False for {spec.name}, which is no quantizer")
    return SumScoreboard(spec) if isinstance(spec, DotSpec) else BlockScoreboard(spec, serial=serial)
