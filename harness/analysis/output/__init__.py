"""How tables, verdicts and figures are printed: layout, notes and style."""
