"""What a tuned model does on other rows than those of its test: tables and tests, one file for each question."""
