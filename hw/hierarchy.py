"""How components are put into one another, so that the emitted hierarchy is the described one.

Amaranth flattens a design to nets before it emits it, and a component's ports then come out as whatever
nets cross its border. Here each component is emitted by itself, with the ports it declares, and its
parent refers to it by name; equal components share one module. Where a component has registers, its module
has the ports ``clk`` and, if any of them is reset, ``rst`` as well. In simulation nothing differs: the
components are plain submodules.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from amaranth.back import rtlil
from amaranth.hdl import ClockSignal, Elaboratable, Fragment, Instance, Module, ResetSignal, Signal
from amaranth.lib import wiring

__all__ = ["Emitter", "add_submodule", "emitted_module"]

_ATTRIBUTE: Final = re.compile(r"^ *attribute .*\n", re.MULTILINE)
_PORT: Final = re.compile(r"^(  wire .*\b(?:input|output) )(\d+)( +(?:signed +)?\\(\S+))$", re.MULTILINE)
_RESET: Final = re.compile(r"\\rst\b")
_RESET_PORT: Final = re.compile(r"^  wire .*\\rst$\n", re.MULTILINE)


class Emitter:
    """Stands where Amaranth expects a platform, and collects the components to emit.

    Args:
        prefix: What the names of all modules begin with.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._parameters: dict[str, dict[str, Any]] = {}
        self._domain_ports: dict[str, list[str]] = {}
        self._texts: list[str] = []

    def module_name(self, component: wiring.Component, name: str) -> str:
        """Emit `component` unless an equal one was, and return its module's name.

        ``product_0`` to ``product_15`` share the module ``PREFIX_product``; a component of that name with
        other parameters gets a number.
        """
        # What the constructor kept, and the shapes of the ports, tell one component from another.
        parameters = {"class": type(component), "signature": component.signature} | {
            key: value
            for key, value in vars(component).items()
            if not key.startswith("_") and key not in component.signature.members
        }
        base = f"{self.prefix}_{re.sub(r'_[0-9]+$', '', name)}"
        module, number = base, 1
        while self._parameters.get(module, parameters) != parameters:
            number += 1
            module = f"{base}_v{number}"
        if module in self._parameters:
            Fragment.get(component, self)  # or Amaranth would report it as never used
        else:
            self._parameters[module] = parameters
            text = self.convert(component, module)
            self._domain_ports[module] = [
                port[4] for port in _PORT.finditer(text) if port[4] not in component.signature.members
            ]
            self._texts.append(text)
        return module

    def domain_ports(self, module: str) -> dict[str, Any]:
        """Return what an instance of a module has to be given besides what its signature names."""
        drivers = {"clk": ClockSignal, "rst": ResetSignal}
        return {f"i_{port}": drivers[port]() for port in self._domain_ports[module]}

    def convert(self, component: wiring.Component, module: str, ports: tuple[str, ...] = ()) -> str:
        """Return one module of RTLIL, its ports in the order of `ports`.

        Without those, ``clk`` and ``rst`` come before the ports of the signature.
        """
        text = emitted_module(component, module, self)
        if "rst" not in ports and len(_RESET.findall(text)) == 1:
            text = _RESET_PORT.sub("", text)  # Amaranth gives a clock domain one, whether it is used or not
        names = ports or ("clk", "rst", *component.signature.members)
        there = {port[4] for port in _PORT.finditer(text)}
        order = {name: i for i, name in enumerate((name for name in names if name in there), start=1)}
        return _PORT.sub(lambda port: f"{port[1]}{order[port[4]]}{port[3]}", text)

    @property
    def summaries(self) -> dict[str, str]:
        """What each collected component does, by its module's name: its docstring's first line."""
        found: dict[str, str] = {}
        for module, parameters in self._parameters.items():
            # A class without one has None, and so has every class where Python runs with -OO.
            summary, _, _ = (parameters["class"].__doc__ or "").strip().partition("\n")
            found[module] = summary.replace("`", "")
        return found

    @property
    def modules(self) -> str:
        """The RTLIL of every collected component, each before those that contain it."""
        return "".join(self._texts)


def emitted_module(
    unit: Elaboratable, name: str, platform: Emitter, ports: Sequence[Signal] | None = None
) -> str:
    """Return one module of RTLIL, without attributes, and without the components that `platform` collects.

    Args:
        unit: What the module does.
        name: Its name.
        platform: What collects the components inside.
        ports: Its ports; those of a component's signature where there are none.
    """
    text = rtlil.convert(unit, name=name, platform=platform, ports=ports, emit_src=False)
    return _ATTRIBUTE.sub("", text)


def add_submodule(m: Module, platform: object, name: str, component: wiring.Component) -> None:
    """Add `component` to `m` as the submodule `name`.

    Args:
        m: The parent.
        platform: What the parent's ``elaborate`` was given: under an `Emitter`, an instance of the
            component's own module is added in its place.
        name: Name of the submodule.
        component: The component; the parent drives its inputs and reads its outputs in either case.
    """
    if not isinstance(platform, Emitter):
        # The stubs' Component lacks `elaborate`, which every component has.
        m.submodules[name] = component  # pyright: ignore[reportArgumentType]
        return
    module = platform.module_name(component, name)
    ports = platform.domain_ports(module)
    for port, member in component.signature.members.items():
        signal = getattr(component, port)
        signal.name = f"{name}_{port}"  # as the parent's wire
        ports[f"{'i' if member.flow is wiring.In else 'o'}_{port}"] = signal
    m.submodules[name] = Instance(module, **ports)
