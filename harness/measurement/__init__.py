"""What is measured while a cell runs: time, memory, energy and allocations."""
