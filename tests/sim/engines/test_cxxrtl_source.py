import re

import pytest
from blockdot.hw import DotUnit, to_cxxrtl
from blockdot.model import DotSpec
from blockdot.sim.engines.cxxrtl_source import CutLengths, divide

UNIT = DotUnit(DotSpec(scale="ue4m3", block_size=2, accumulate="exact"), stages=2)


def module(assignment: str) -> str:
    return (
        "\tbool eval(performer *performer = nullptr) override;\n"
        "bool p_x::eval(performer *performer) {\n\tbool converged = true;\n"
        f"{assignment}\n"
        "\treturn converged;\n}\n"
    )


def test_every_statement_stays_in_its_order():
    source = to_cxxrtl(UNIT)
    cut = divide(source, CutLengths(function=1000, chain=10_000, operand=1_000_000))
    assert cut.count("__attribute__((noinline)) void") > 5

    def statements(text: str) -> list[str]:
        body = text[text.index("::eval") :]
        return [
            line
            for line in body.splitlines()
            if line.startswith("\t")
            and not line.startswith(("\tvalue<", "\tbool", "\teval_", "\treturn", "\t//"))
        ]

    assert statements(cut) == statements(source)
    # Every local has become a member, and each is there once.
    locals_ = [line for line in source[source.index("::eval") :].splitlines() if line.startswith("\tvalue<")]
    assert locals_
    for line in locals_:
        assert cut[: cut.index("::eval")].count(f"{line}\n") == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "int main() {}\n",
        # What a hierarchy would look like: the cells have a say in whether the logic has settled.
        "\tbool eval(performer *performer = nullptr) override;\n"
        "bool p_x::eval(performer *performer) {\n\tbool converged = true;\n"
        "\tconverged &= cell.eval();\n\treturn converged;\n}\n",
    ],
)
def test_what_it_does_not_know_is_left_alone(text):
    assert divide(text) == text


def parts(text: str) -> list[str]:
    """The expressions of the parts, each of which is a member as wide as what it takes."""
    found = re.findall(r"^\tpart_(\d+) = (.*);$", text, re.MULTILINE)
    assert [int(number) for number, _ in found] == list(range(len(found)))
    for number, expression in found:
        assert f"\tvalue<std::decay_t<decltype({expression})>::bits> part_{number};\n" in text
    return [expression for _, expression in found]


def test_a_long_concatenation_is_taken_apart():
    long = "p_a.slice<3>().concat(value<1>{0u}).concat(p_b.slice<2, 1>()).concat(p_c).val()"
    cut = divide(module(f"\tp_y = and_uu<7>({long}, p_z);"), CutLengths(chain=2))
    assert parts(cut) == ["p_a.slice<3>().concat(value<1>{0u})", "p_b.slice<2, 1>().concat(p_c)"]
    assert "\tp_y = and_uu<7>(part_0.concat(part_1).val(), p_z);\n" in cut


def test_so_is_one_inside_another():
    inner = "p_b.concat(p_c).concat(p_d).val()"
    cut = divide(module(f"\tp_y = p_a.concat({inner}).concat(p_e).val();"), CutLengths(chain=2))
    assert parts(cut) == ["p_b.concat(p_c)", "p_a.concat(part_0.concat(p_d).val())"]
    assert "\tp_y = part_1.concat(p_e).val();\n" in cut


def test_a_long_operand_gets_a_name():
    chosen = "(p_s ? or_uu<2>(p_b, p_c) : p_d.slice<3,2>().val())"
    cut = divide(
        module(f"\tp_y = and_uu<2>(p_a.repeat<2>().val(), {chosen}).concat(p_e).val();"),
        CutLengths(operand=14),
    )
    assert parts(cut) == [
        "or_uu<2>(p_b, p_c)",
        "(p_s ? part_0 : p_d.slice<3,2>().val())",
        "and_uu<2>(p_a.repeat<2>().val(), part_1)",
    ]
    assert "\tp_y = part_2.concat(p_e).val();\n" in cut


def test_the_operands_of_a_register_are_worked_out_before_the_clock_is_asked():
    cut = divide(
        module("\tif (posedge_p_clk) {\n\t\tp_r.next = not_u<1>(and_uu<1>(p_a, p_b));\n\t}"),
        CutLengths(operand=10),
    )
    assert (
        "\tpart_0 = and_uu<1>(p_a, p_b);\n"
        "\tpart_1 = not_u<1>(part_0);\n"
        "\tif (posedge_p_clk) {\n\t\tp_r.next = part_1;\n\t}\n"
    ) in cut


def test_a_short_one_is_left_alone():
    line = "\tp_y = p_a.concat(p_b).val();"
    assert f"{line}\n" in divide(module(line))


def test_a_parenthesis_left_open_is_an_error():
    with pytest.raises(ValueError, match=r"^parenthesis must be closed, not left open in '\(p_b'$"):
        divide(module("\tp_y = p_a.concat(p_b"))
