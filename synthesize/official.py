"""Command line that runs the public generator: ``python -m synthesize.official DIR``."""

from __future__ import annotations

import sys

from synthesize.ai8x.generator import main

if __name__ == "__main__":
    sys.exit(main())
