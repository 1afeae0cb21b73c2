"""One page per verb of the command line: `add_arguments(parser)` and `main(arguments) -> exit code`."""
