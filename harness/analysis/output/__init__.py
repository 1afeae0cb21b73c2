"""The output of tables, verdicts and figures: layout, notes and style."""
