"""The ways from a netlist to gates: Yosys's passes for every netlist, then one of several scripts of abc's.

Yosys's own ``synth`` is not used: it runs ``abc -fast`` first, which takes long and loses the structure that
was asked for.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Literal

__all__ = [
    "ADDERS_VERSION",
    "AREA_RECIPES",
    "COARSE_PASSES",
    "DELAY_RECIPES",
    "FLOW_VERSION",
    "RECIPES",
    "Goal",
    "Recipe",
    "choose",
    "unvaried",
]

FLOW_VERSION: Final = 4
"""Goes up with every change to the passes or to what is made of their results; part of the cache's key."""

ADDERS_VERSION: Final = 1
"""Goes up with every change to how adder cells are used; part of the cache's key of recipes that use them."""

Goal = Literal["area", "delay"]

COARSE_PASSES: Final = (
    "proc",
    "flatten -noscopeinfo",
    "opt_expr",
    "opt_clean",
    "opt -nodffe -nosdff",
    "wreduce",
    "peepopt",
    "opt_clean",
    "alumacc",
    "share",
    "opt",
    "memory -nomap",
    "opt_clean",
    "opt -fast -full",
    "memory_map",
    "opt -full",
    "techmap",
    "opt -fast",
    "opt_clean -purge",
    "setattr -unset init w:*",
    # The flip-flops that dfflibmap has cells for in a common library: plain ones, and those with a reset.
    "dfflegalize -cell $_DFF_P_ x -cell $_DFF_PN?_ x",
    "dfflibmap {liberty}",
    "opt_clean -purge",
)
"""Yosys's passes for every netlist, before abc; ``{liberty}`` stands for the library's files."""


@dataclass(frozen=True)
class Recipe:
    """One way through abc.

    Attributes:
        name: Its name.
        goal: What it is for.
        script: abc's commands, with a semicolon between them; the last is ``stime -p``. Where it has
            ``{target}``, options for a delay target are put there.
        target: The delay to make the gates fit, in ps; None for the least that there is.
        adders: Whether full and half adders are mapped to the library's adder cells: see `adder_netlist`.
    """

    name: str
    goal: Goal
    script: str
    target: int | None = None
    adders: bool = False

    def __post_init__(self) -> None:
        # It becomes a file's name and part of a Yosys command.
        if not re.fullmatch(r"\w+", self.name):
            raise ValueError(f"recipe name must be letters, digits and underscores, not {self.name!r}")

    @property
    def commands(self) -> str:
        """What abc is told, one command a line."""
        target = "" if self.target is None else f"-D {self.target}"
        return self.script.format(target=target).replace(";", "\n") + "\n"

    @property
    def key(self) -> str:
        """All that what comes of it hangs on."""
        return f"{self.commands}adders {ADDERS_VERSION}\n" if self.adders else self.commands

    def with_adders(self) -> "Recipe":
        """Return the recipe with adders mapped to the library's adder cells."""
        return self if self.adders else replace(self, name=f"{self.name}{_ADDERS}", adders=True)

    def at(self, target_ps: float) -> "Recipe":
        """Return the recipe with a delay target; of the targets within a picosecond there is one.

        Raises:
            ValueError: If its script takes none.
        """
        if "{target}" not in self.script:
            raise ValueError(f"recipe must take a delay target, not {self.name!r}")
        target = max(1, round(target_ps))
        return replace(self, name=f"{self.name}_{target}", target=target)

    def varied(self, seed: int) -> "Recipe":
        """Return the recipe behind steps that rewrite the gates without changing what they compute.

        Seed 0 has no such step, every other one to three of them, drawn at random: what comes out differs as
        it does between netlists that are wired differently, also where a netlist has no order to choose.
        """
        if not seed:
            return self
        generator = random.Random(seed)
        steps = generator.choices(_REWRITES, k=generator.randint(1, 3))
        script = self.script.replace(_FIRST, _FIRST + "".join(f"{step}; " for step in steps), 1)
        return replace(self, name=f"{self.name}{_VARIED}{seed}", script=script)


def unvaried(name: str) -> str:
    """Return the name of the recipe that a recipe is a variation of: of one that is none, its own."""
    return name.partition(_VARIED)[0]


_FIRST: Final = "strash; "
_VARIED: Final = "_v"
_ADDERS: Final = "_adders"
_REWRITES: Final = (
    "balance", "rewrite", "refactor", "resub", "rewrite -z", "refactor -z", "resub -z",
)  # fmt: skip
_TAIL: Final = "topo; upsize {target}; dnsize {target}; stime -p"
# Sizing takes most of a recipe's time, and most of that the last percent of delay.
_SHORT_TAIL: Final = "topo; upsize -J 10 {target}; dnsize {target}; stime -p"

RECIPES: Final[Mapping[str, Recipe]] = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            Recipe(
                "a1",
                "area",
                "strash; ifraig; scorr; dc2; dc2; dc2; strash; dch -f; amap -m; topo; stime -p",
            ),
            Recipe("a2", "area", "strash; dch -f; amap -m; topo; stime -p"),
            Recipe(
                "a4",
                "area",
                "strash; ifraig; scorr; dc2; dc2; strash; &get -n; &dch -f; &nf -R 1000 -F 20; &put; topo; "
                "stime -p",
            ),
            # The smallest gates, then sized: between area and delay.
            Recipe("s1", "delay", f"strash; dch -f; amap -m; buffer -c -N 8; {_TAIL}"),
            Recipe("d1", "delay", f"strash; &get -n; &dch -f; &nf; &put; buffer -c -N 8; {_TAIL}"),
            Recipe("d0", "delay", f"strash; &get -n; &dch -f; &nf; &put; buffer -c -N 8; {_SHORT_TAIL}"),
            Recipe(
                "d2",
                "delay",
                "strash; ifraig; scorr; dc2; strash; &get -n; &st; &if -g -K 6; &dch; &nf; &put; "
                f"buffer -c -N 8; {_TAIL}",
            ),
            Recipe(
                "d6",
                "delay",
                "strash; ifraig; scorr; dc2; strash; &get -n; &st; &if -g -K 6; &synch2; &nf; &put; "
                f"buffer -c -N 6; {_TAIL}",
            ),
        )
    }
)
"""The recipes by name: those named a are for area, the others for delay."""

AREA_RECIPES: Final = tuple(name for name, recipe in RECIPES.items() if recipe.goal == "area")
"""Names of the recipes for area."""

DELAY_RECIPES: Final = tuple(name for name, recipe in RECIPES.items() if recipe.goal == "delay")
"""Names of the recipes for delay."""


def choose(names: Sequence[str | Recipe]) -> list[Recipe]:
    """Return recipes by their names.

    Raises:
        ValueError: If there is no such recipe, one is there twice, or there is none.
    """
    chosen: dict[str, Recipe] = {}
    for entry in names:
        if isinstance(entry, str) and entry not in RECIPES:
            raise ValueError(f"recipe must be one of {', '.join(RECIPES)}, not {entry!r}")
        recipe = RECIPES[entry] if isinstance(entry, str) else entry
        if recipe.name in chosen:
            raise ValueError(f"recipes must differ in name, not be {recipe.name!r} twice")
        chosen[recipe.name] = recipe
    if not chosen:
        raise ValueError("recipes must be at least one, not none")
    return list(chosen.values())
