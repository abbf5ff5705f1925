"""Things by name."""

import re

import pytest
from blockdot.base.registry import Registry


def fruit() -> Registry[int]:
    registry = Registry[int]("fruit")
    registry.register("pear", 1)
    registry.register("fig", 2)
    return registry


def test_things_are_found_by_name_and_listed_in_the_order_in_which_they_came():
    registry = fruit()
    assert (registry["pear"], registry["fig"]) == (1, 2)
    assert list(registry) == ["pear", "fig"]
    assert "fig" in registry
    assert "apple" not in registry
    assert ["fig"] not in registry


@pytest.mark.parametrize("name", ["apple", ["fig"], None])
def test_a_name_that_is_not_known_is_told_with_those_that_are(name: str):
    message = f"fruit must be one of pear, fig, not {name!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fruit()[name]


def test_a_name_is_given_once():
    registry = fruit()
    with pytest.raises(ValueError, match=r"^fruit must have a new name, not 'fig'$"):
        registry.register("fig", 3)
    assert registry["fig"] == 2
    registry.unregister("fig")
    assert list(registry) == ["pear"]
    with pytest.raises(ValueError, match=r"^fruit must be one of pear, not 'fig'$"):
        registry.unregister("fig")
