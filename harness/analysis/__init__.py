"""Records -> numbers, verdicts, tables and figures. Nothing here trains, and nothing knows a method or a task."""
