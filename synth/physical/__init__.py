"""From a mapped netlist to a layout and its wires: geometry, placement, Steiner trees, clock tree, files."""
