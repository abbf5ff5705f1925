"""Faults in the source of dot-product units, where that multiplies results by a tensor scale."""

from typing import Final

from .source_fault import SourceFault

__all__ = ["TENSOR_SCALE_FAULTS"]

TENSOR_SCALE_FAULTS: Final = tuple(
    SourceFault(component, name, file, right, wrong)
    for file, faults in (
        (
            "leaves/binary32_product.py",
            (
                ("read_g", "a subnormal g is not moved", "shifted, zeros = normalise(m, fraction)",
                 "shifted, zeros = fraction, Const(0, 5)"),
                ("read_g", "zeros above a subnormal g count for nothing", "Mux(normal, field, -zeros)",
                 "field"),
                ("tensor_normalise", "a product of 2 and more is one below",
                 "Mux(high, placed[1:-1], placed[:-2])", "placed[:-2]"),
                ("tensor_normalise", "its exponent is not one more", "(self.exponent + high)",
                 "(self.exponent + 0)"),
                ("tensor_normalise", "its last bit is lost", "| (high & placed[0])", ""),
                ("tensor_normalise", "what is shifted out is lost", "lost | self.product", "self.product"),
                ("tensor_normalise", "what is below the kept bits is lost", "self.product[:lowest].any()",
                 "Const(0)"),
                ("tensor_normalise", "an exponent of 0 is a normal one",
                 "(self.exponent[-1] | ~self.exponent.any())", "self.exponent[-1]"),
                ("tensor_normalise", "no subnormal product becomes normal", "Mux(below, Cat(hidden), field",
                 "Mux(below, Const(0), field"),
            ),
        ),
        (
            "steps/tensor_scale.py",
            (
                ("tensor_read", "infinity times zero is infinite", "nan | g.nan | (g.infinite & reader.zero)",
                 "nan | g.nan"),
                ("tensor_read", "a sign of g counts for nothing", "reader.negative ^ g.negative",
                 "reader.negative"),
                ("tensor_read", "an infinite g is a number", "infinite: Value = g.infinite",
                 "infinite: Value = Const(0, 1)"),
                ("tensor_round", "a zero has no sign", "rounder.nonzero.eq(1)",
                 "rounder.nonzero.eq(before.field.any() | before.fraction.any())"),
            ),
        ),
        (
            "leaves/multiply.py",
            (
                ("tensor_tree", "minus a digit lacks one", "columns.put(place, high)", "pass"),
                ("tensor_tree", "two is one", "two = wire(m, (high ^ middle) & ~one,",
                 "two = wire(m, Const(0),"),
            ),
        ),
        (
            "pipeline.py",
            (("registers", "g overtakes its result", "and i < multiplied_at:", "and i < 0:"),),
        ),
    )
    for component, name, right, wrong in faults
)  # fmt: skip
"""They come besides those of every dot-product unit."""
