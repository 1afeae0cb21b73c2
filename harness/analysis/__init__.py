"""From records to estimates, verdicts, tables and figures. Nothing here trains or knows a method's name."""
