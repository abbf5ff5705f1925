"""The names of dot products' specifications: how they are made, and what they mean."""

import re
from typing import TYPE_CHECKING, Any, Final

from .aligned_sum import RESULTS, UNIT, ZERO_EXPONENT

if TYPE_CHECKING:  # a specification has its name from here
    from .spec import DotSpec

__all__ = ["FRACTION", "GUARD", "arguments_of", "name_of"]

GUARD: Final = 16
"""What `DotSpec.guard` is by default."""

FRACTION: Final = 35
"""What `DotSpec.fraction` is by default."""

# No format's name holds an "x", and no element's an "_".
_NAME: Final = re.compile(
    r"(?P<element>[a-z0-9]+)_(?P<scale>[a-z0-9_]+)"
    r"_n(?P<block_size>\d+)(?:_b(?P<blocks>\d+))?_(?P<accumulate>[a-z0-9]+)(?:_g(?P<guard>\d+))?"
    r"(?:_f(?P<fraction>\d+))?(?:_t(?P<term_size>\d+))?(?:_z(?P<zero_exponent>\d+))?"
    rf"(?:_(?P<result>{'|'.join(RESULTS)}))?(?P<takes_c>_c)?(?P<tensor_scale>_tensor)?"
)


def name_of(spec: "DotSpec") -> str:
    """Return what `DotSpec.name` does."""
    element = "x".join(dict.fromkeys(fmt.name for fmt in spec.elements))
    scale = "x".join(dict.fromkeys(fmt.name for fmt in spec.scales))
    blocks = f"_b{spec.blocks}" if spec.blocks != 1 else ""
    guard = f"_g{spec.guard}" if spec.guard != GUARD else ""
    fraction = f"_f{spec.fraction}" if spec.fraction != FRACTION else ""
    terms = f"_t{spec.term_size}" if spec.term_size != UNIT else ""
    terms += f"_z{-spec.zero_exponent}" if spec.zero_exponent != ZERO_EXPONENT else ""
    terms += f"_{spec.result}" if spec.result != "binary32" else ""
    terms += "_c" if spec.takes_c else ""
    terms += "_tensor" if spec.tensor_scale else ""
    return f"{element}_{scale}_n{spec.block_size}{blocks}_{spec.accumulate}{guard}{fraction}{terms}"


def arguments_of(name: str) -> dict[str, Any]:
    """Return the arguments of `DotSpec` that a name stands for.

    Raises:
        ValueError: If it is not a specification's name.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"specification must read like e2m1_ue5m3_n16_fp32, not {name!r}")
    part = match.groupdict()
    pairs = [part[kind].split("x") for kind in ("element", "scale")]
    if any(len(pair) > 2 for pair in pairs):
        raise ValueError(f"specification must read like e2m1_ue5m3_n16_fp32, not {name!r}")
    element, scale = ((pair[0], pair[-1]) for pair in pairs)
    return {
        "element": element,
        "scale": scale,
        "block_size": int(part["block_size"]),
        "blocks": int(part["blocks"] or 1),
        "accumulate": part["accumulate"],
        "guard": int(part["guard"] or GUARD),
        "fraction": int(part["fraction"] or FRACTION),
        "term_size": int(part["term_size"] or UNIT),
        "zero_exponent": -int(part["zero_exponent"] or -ZERO_EXPONENT),
        "result": part["result"] or "binary32",
        "takes_c": part["takes_c"] is not None,
        "tensor_scale": part["tensor_scale"] is not None,
    }
