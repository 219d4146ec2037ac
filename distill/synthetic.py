"""The older name of ``python -m distill.people.synthetic``."""

import sys

from distill.people.synthetic import main

if __name__ == "__main__":
    sys.exit(main())
