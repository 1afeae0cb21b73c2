"""From records to estimates: one table of cells, the chosen learning rates, intervals, tests and comparisons."""
