"""The older name of the command line: ``python -m distill.tasks`` is ``python -m distill``."""

import sys

from distill.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
