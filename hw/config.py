"""How a unit is built: its specification, and everything else that the hardware is made from."""

import functools
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Literal, Protocol, Self, TypeVar

from ..base.argument_checks import require_int
from ..model import DotSpec

if TYPE_CHECKING:
    from .dot_unit import DotUnit
    from .tile import DotArray

__all__ = [
    "FLOWS",
    "OPTIMISE",
    "PLAIN_NAME",
    "Flow",
    "Optimise",
    "PipelineConfig",
    "UnitConfig",
    "has_hardware",
    "keeps_carries",
    "least_stages",
    "require_hardware",
]

Optimise = Literal["area", "delay"]
OPTIMISE: Final[tuple[Optimise, ...]] = ("area", "delay")

Flow = Literal["stream", "valid", "enable"]
FLOWS: Final[tuple[Flow, ...]] = ("stream", "valid", "enable")

_MOST_ROWS: Final = 64

# A name's parts: what every configuration has, and what a `UnitConfig` has besides.
_PIPELINE: Final = (
    r"(?P<spec>.+)_s(?P<stages>\d+)"
    rf"(?:_(?P<flow>{'|'.join(FLOWS[1:])}))?(?:_(?P<optimise>{'|'.join(OPTIMISE[1:])}))?"
)
_TILE: Final = r"(?:array(?P<rows>\d+)x(?P<columns>\d+)_)?"
_SEGMENT: Final = r"(?:_segment(?P<segment>\d+))?"
_ORDER: Final = r"(?:_order(?P<order>\d+))?"
PLAIN_NAME: Final = _PIPELINE + _ORDER
"""The pattern of the name of a configuration that has nothing besides."""


class _Named(Protocol):
    """A specification."""

    @property
    def name(self) -> str: ...


Spec = TypeVar("Spec", bound=_Named)


@dataclass(frozen=True)
class PipelineConfig(ABC, Generic[Spec]):
    """How a pipeline is built, whatever it computes: what every configuration has in common.

    A configuration is checked when it is made, and `dataclasses.replace` checks what it changes. Two
    configurations that are equal make the same unit.

    Args:
        spec: What is computed.
        stages: Registers between input and output, from 0 to `max_stages`.
        optimise: ``area`` chooses the smallest form of each component, ``delay`` the fastest.
        flow: What moves the pipeline: ``stream``, ``valid`` or ``enable``, see `StreamUnit`. Without stages
            there is no pipeline, and it reads ``stream``.
        order: Seed of the order in which bits or elements enter trees: every order computes the same, through
            different wires.
    """

    _pattern: ClassVar[re.Pattern[str]] = re.compile(PLAIN_NAME)
    _spec_class: ClassVar[type[Any]]
    _example: ClassVar[str]

    spec: Spec
    _: KW_ONLY
    stages: int = 1
    optimise: Optimise = "area"
    flow: Flow = "stream"
    order: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.spec, self._spec_class):
            raise TypeError(f"spec must be a {self._spec_class.__name__}, not {self.spec!r}")
        self._check_spec()
        self._check_form()
        self._check_stages()

    @abstractmethod
    def _check_spec(self) -> None:
        """Raise ValueError for what the contract allows and no unit can be built of."""

    def _check_form(self) -> None:
        """Check all but `spec` and the number of stages."""
        for name in ("stages", "order"):
            object.__setattr__(self, name, require_int(name, getattr(self, name)))
        if self.optimise not in OPTIMISE:
            raise ValueError(f"optimise must be one of {', '.join(OPTIMISE)}, not {self.optimise!r}")
        if self.flow not in FLOWS:
            raise ValueError(f"flow must be one of {', '.join(FLOWS)}, not {self.flow!r}")
        if self.order < 0:
            raise ValueError(f"order must not be negative, not {self.order}")

    def _check_stages(self) -> None:
        """Check the number of stages, and drop a flow that has no effect."""
        least = self._least_stages
        if not least <= self.stages <= self.max_stages:
            raise ValueError(
                f"stages must be from {least} to {self.max_stages} for {self.spec.name}, not {self.stages}"
            )
        # One unit, one configuration: what has no effect must not tell two apart.
        if not self.stages:
            object.__setattr__(self, "flow", "stream")

    @property
    def _least_stages(self) -> int:
        """The fewest registers that such a unit can have."""
        return 0

    @property
    @abstractmethod
    def max_stages(self) -> int:
        """The most registers such a unit has places for: one behind each step of its datapath."""

    def with_stages(self, stages: int) -> Self:
        """Return the configuration that differs from this one in its stages alone."""
        return replace(self, stages=stages)

    @property
    def form(self) -> dict[str, Any]:
        """What every unit's constructor takes besides the specification, by name."""
        return {"stages": self.stages, "optimise": self.optimise, "flow": self.flow, "order": self.order}

    # Names.

    @property
    def _visible_name(self) -> str:
        """What is seen from outside: specification, stages and flow."""
        flow = "" if self.flow == "stream" else f"_{self.flow}"
        return f"{self.spec.name}_s{self.stages}{flow}"

    @property
    def _form_name(self) -> str:
        """What stands behind that, `order` aside, where it is not as by default."""
        return "" if self.optimise == "area" else f"_{self.optimise}"

    @property
    def name(self) -> str:
        """The stable short name, from which `parse` makes an equal configuration."""
        order = f"_order{self.order}" if self.order else ""
        return f"{self._visible_name}{self._form_name}{order}"

    def __str__(self) -> str:
        return self.name

    @property
    def module_name(self) -> str:
        """The name of the emitted module: ``blockdot_`` and the name, without form, segment and order.

        These change neither the ports nor the results.
        """
        return f"blockdot_{self._visible_name}"

    @classmethod
    def parse(cls, name: str) -> Self:
        """Return the configuration of that `name`.

        Raises:
            ValueError: If `name` is not a configuration's name, or a part of it is not allowed.
        """
        match = cls._pattern.fullmatch(name)
        if match is None:
            raise ValueError(f"unit must read like {cls._example}, not {name!r}")
        part: dict[str, Any] = match.groupdict()
        config = cls(
            cls._spec_class.parse(part["spec"]),
            stages=int(part["stages"]),
            optimise=part["optimise"] or OPTIMISE[0],
            flow=part["flow"] or FLOWS[0],
            order=int(part["order"] or 0),
            **cls._parse_more(part),
        )
        if config.name != name:
            raise ValueError(f"unit must be named {config.name}, not {name!r}")
        return config

    @classmethod
    def _parse_more(cls, part: Mapping[str, str | None]) -> dict[str, Any]:
        """Return the parameters that only this kind of configuration has, by the parts of a name."""
        assert "spec" in part
        return {}

    # Records.

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record, from which `from_dict` makes an equal configuration."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {"spec": self.spec.name}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Return the configuration that `to_dict` made a record of.

        Raises:
            TypeError: If a value is of the wrong kind.
            ValueError: If a key is missing or unknown, or a value is outside its domain.
        """
        names = [field.name for field in fields(cls)]
        if set(record) != set(names):
            raise ValueError(f"unit record must have the keys {', '.join(names)}, not {', '.join(record)}")
        return cls(**{**record, "spec": cls._spec_class.parse(record["spec"])})


def least_stages(spec: DotSpec) -> int:
    """Return the fewest stages that a unit can have: an accumulator is a register."""
    return int(spec.accumulates)


def keeps_carries(spec: DotSpec) -> bool:
    """Return whether the accumulator of a specification can keep carries behind a `segment`."""
    # As below, the hardware loads Amaranth.
    from .accumulate import ACCUMULATORS

    return ACCUMULATORS[spec.accumulate].keeps_carries


def has_hardware(spec: DotSpec) -> bool:
    """Return whether there is hardware of a specification."""
    return spec.has_scales or spec.term_size == 1


def require_hardware(spec: DotSpec) -> None:
    """Raise ValueError unless there is hardware of a specification."""
    if not has_hardware(spec):
        raise ValueError(f"spec must have scales or a term_size of 1 for hardware, not be {spec.name}")


@functools.cache
def _max_stages(spec: DotSpec, optimise: Optimise, segment: int | None) -> int:
    # The datapath loads Amaranth, which whoever only imports this module need not wait for.
    from .datapath import Datapath

    return len(Datapath(spec, optimise=optimise, order=0, segment=segment).steps)


@dataclass(frozen=True)
class UnitConfig(PipelineConfig[DotSpec]):
    """How a unit, or a tile of units, is built. What it computes is the specification alone.

    A configuration is checked when it is made, and `dataclasses.replace` checks what it changes. Two
    configurations that are equal make the same unit.

    Args:
        spec: What the unit computes.
        stages: Registers between input and output; the accumulator is one of them. From 0 (from 1 where
            the specification accumulates) to `max_stages`.
        optimise: ``area`` chooses the smallest form of each component, ``delay`` the fastest.
        flow: What moves the pipeline: ``stream``, ``valid`` or ``enable``, see `DotUnit`. Without stages
            there is no pipeline, and it reads ``stream``.
        order: Seed of the order in which bits enter the compressor trees: every order computes the same,
            through different wires.
        segment: With an accumulator that is ``exact``: bits behind which a carry is kept, see `DotUnit`.
            None for one carry that runs through.
        tile: Rows and columns of a tile, each from 1 to 64, see `DotArray`. None for one unit.

    Raises:
        TypeError: If a parameter is of the wrong kind.
        ValueError: If a parameter is outside its domain.
    """

    _pattern: ClassVar[re.Pattern[str]] = re.compile(_TILE + _PIPELINE + _SEGMENT + _ORDER)
    _spec_class: ClassVar[type[DotSpec]] = DotSpec
    _example: ClassVar[str] = "e2m1_ue5m3_n16_fp32_s1"

    _: KW_ONLY
    segment: int | None = None
    tile: tuple[int, int] | None = None

    def _check_spec(self) -> None:
        require_hardware(self.spec)

    def _check_form(self) -> None:
        super()._check_form()
        self._check_tile()
        if self.segment is None:
            return
        object.__setattr__(self, "segment", require_int("segment", self.segment))
        spec = self.spec
        if not keeps_carries(spec):
            raise ValueError(f"segment must be None for accumulate={spec.accumulate!r}, not {self.segment}")
        if not 1 <= self.segment < spec.accumulator_bits:
            raise ValueError(
                f"segment must be from 1 to {spec.accumulator_bits - 1} for {spec.name}, not {self.segment}"
            )

    def _check_tile(self) -> None:
        tile: object = self.tile
        if tile is None:
            return
        if not isinstance(tile, tuple | list) or len(tile) != 2:
            raise TypeError(f"tile must be None or a pair of rows and columns, not {tile!r}")
        sides = tuple(map(require_int, ("rows", "columns"), tile))
        for name, value in zip(("rows", "columns"), sides, strict=True):
            if not 1 <= value <= _MOST_ROWS:
                raise ValueError(f"{name} must be from 1 to {_MOST_ROWS}, not {value}")
        if self.spec.tensor_scale:
            raise ValueError(f"tile must be None for {self.spec.name}, whose results a unit multiplies")
        object.__setattr__(self, "tile", sides)

    @property
    def _least_stages(self) -> int:
        return least_stages(self.spec)

    @property
    def max_stages(self) -> int:
        """The most registers such a unit has places for: one behind each step of its datapath."""
        return _max_stages(self.spec, self.optimise, self.segment)

    # Names.

    @property
    def _visible_name(self) -> str:
        shape = "" if self.tile is None else "array{}x{}_".format(*self.tile)
        return f"{shape}{super()._visible_name}"

    @property
    def _form_name(self) -> str:
        segment = "" if self.segment is None else f"_segment{self.segment}"
        return f"{super()._form_name}{segment}"

    @property
    def name(self) -> str:
        """The stable short name: specification and stages, such as ``e2m1_ue5m3_n16_fp32_s1``.

        A tile's begins with ``array4x4_``. What is not as by default stands at the end, in this order: the
        flow (``_valid``), the form (``_delay``), ``_segment8`` and ``_order3``.
        """
        return super().name

    @classmethod
    def _parse_more(cls, part: Mapping[str, str | None]) -> dict[str, Any]:
        segment, rows, columns = part["segment"], part["rows"], part["columns"]
        return {
            "segment": None if segment is None else int(segment),
            "tile": None if rows is None or columns is None else (int(rows), int(columns)),
        }

    # Records.

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON record, from which `from_dict` makes an equal configuration."""
        return super().to_dict() | {"tile": None if self.tile is None else list(self.tile)}

    # The hardware.

    def build(self) -> "DotUnit | DotArray":
        """Return the unit: a `DotArray` of a tile, else a `DotUnit`."""
        from .dot_unit import DotUnit
        from .tile import DotArray

        return DotUnit.of(self) if self.tile is None else DotArray.of(self)
