"""The older name of ``python -m distill.people.bench``."""

import sys

from distill.people.bench import main

if __name__ == "__main__":
    sys.exit(main())
