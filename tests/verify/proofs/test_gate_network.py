"""Parts of a description, of which gates are made once, hold what their tables say in every instance."""

import pytest
from blockdot.model import formats
from blockdot.verify.proofs.description_text import DescriptionModule, scale_rows, verilog_table
from blockdot.verify.proofs.gate_network import network


@pytest.mark.parametrize("name", ["e5m2", "ue8m0"])
def test_a_table_is_the_same_in_every_instance(name):
    fmt = formats.get(name)
    codes, width = 1 << fmt.bits, 12
    table = {code: field << 3 | s for code, (s, field) in scale_rows(fmt).items()}
    m = DescriptionModule({"a": 2 * fmt.bits}, {"low": width, "high": width}, clocked=False)
    text = verilog_table("of", fmt.bits, width, table, default=4095)
    m.add_part(
        f"module table(input [{fmt.bits - 1}:0] code, output [{width - 1}:0] row);\n"
        f"{text}assign row = of(code);\nendmodule\n"
    )
    for k, which in enumerate(("low", "high")):
        m.add(f"wire [{width - 1}:0] row_{which};")
        m.add(f"table t{k} (.code(i_a[{fmt.bits * k} +: {fmt.bits}]), .row(row_{which}));")
        m.give(which, f"row_{which}")
    made = network({"description.v": str(m)}, "description")
    # Every code at the one, and its inverse at the other.
    ones = (1 << codes) - 1
    columns = [sum((code >> k & 1) << code for code in range(codes)) for k in range(fmt.bits)]
    values = {f"i_a[{k}]": column for k, column in enumerate(columns)}
    values |= {f"i_a[{fmt.bits + k}]": ones ^ column for k, column in enumerate(columns)}
    inputs, function = made.function([*made.word("o_low"), *made.word("o_high")])
    bits = function([values[net] for net in inputs], ones)
    for first, flipped in ((0, 0), (width, codes - 1)):
        words = [
            sum((column >> code & 1) << k for k, column in enumerate(bits[first : first + width]))
            for code in range(codes)
        ]
        assert words == [table.get(code ^ flipped, 4095) for code in range(codes)]
    # Else every code is compared with all of them.
    plain = DescriptionModule(m.inputs, m.outputs, clocked=False)
    plain.add(text)
    for k, which in enumerate(m.outputs):
        plain.give(which, f"of(i_a[{fmt.bits * k} +: {fmt.bits}])")
    assert len(network({"description.v": str(plain)}, "description").gates) > 30 * len(made.gates)
