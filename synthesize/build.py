"""Command line that builds a C project: ``python -m synthesize.build DIR``."""

from __future__ import annotations

import sys

from synthesize.write.elf import main

if __name__ == "__main__":
    sys.exit(main())
