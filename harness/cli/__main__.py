"""Run the command line: `python -m harness.cli COMMAND`."""

import sys

from harness.cli.dispatch import main

if __name__ == "__main__":
    sys.exit(main())
