"""The command line: arguments, one command a file, and the printing of records."""
