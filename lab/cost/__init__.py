"""What a unit costs: area, delay, energy and FPGA resources, compared with error bars."""
