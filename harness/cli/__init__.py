"""The command line: arguments, one command a file, and records as text."""
