"""How components are put into one another, so that the emitted hierarchy is the described one.

Amaranth flattens a design to nets before it emits it, and a component's ports then come out as whatever
nets cross its border. Here each component is emitted by itself, with the ports it declares, and its
parent refers to it by name; equal components share one module. In simulation nothing differs: the
components are plain submodules.
"""

import re
from typing import Any, Final

from amaranth.back import rtlil
from amaranth.hdl import Fragment, Instance, Module
from amaranth.lib import wiring

__all__ = ["Emitter", "place"]

_ATTRIBUTE: Final = re.compile(r"^ *attribute .*\n", re.MULTILINE)
_PORT: Final = re.compile(r"^(  wire .*\b(?:input|output) )(\d+)( +(?:signed +)?\\(\S+))$", re.MULTILINE)


class Emitter:
    """Stands where Amaranth expects a platform, and collects the components to emit.

    Args:
        prefix: What the names of all modules begin with.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._parameters: dict[str, dict[str, Any]] = {}
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
            self._texts.append(self.convert(component, module))
        return module

    def convert(self, component: wiring.Component, module: str, ports: tuple[str, ...] = ()) -> str:
        """Return one module of RTLIL, its ports in the order of `ports` or, without, of the signature."""
        names = ports or tuple(component.signature.members)
        order = {name: i for i, name in enumerate(names, start=1)}
        text = rtlil.convert(component, name=module, platform=self, emit_src=False)
        return _PORT.sub(lambda port: f"{port[1]}{order[port[4]]}{port[3]}", _ATTRIBUTE.sub("", text))

    @property
    def modules(self) -> str:
        """The RTLIL of every collected component, each before those that contain it."""
        return "".join(self._texts)


def place(m: Module, platform: object, name: str, component: wiring.Component) -> None:
    """Add `component` to `m` as the submodule `name`.

    Args:
        m: The parent.
        platform: What the parent's ``elaborate`` was given: under an `Emitter`, an instance of the
            component's own module is added in its place.
        name: Name of the submodule.
        component: The component; the parent drives its inputs and reads its outputs in either case.
    """
    if not isinstance(platform, Emitter):
        m.submodules[name] = component
        return
    module = platform.module_name(component, name)
    ports: dict[str, Any] = {}
    for port, member in component.signature.members.items():
        signal = getattr(component, port)
        signal.name = f"{name}_{port}"  # as the parent's wire
        ports[f"{'i' if member.flow is wiring.In else 'o'}_{port}"] = signal
    m.submodules[name] = Instance(module, **ports)
