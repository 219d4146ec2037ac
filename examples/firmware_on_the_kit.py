"""Compile a student, build its firmware and run that on the virtual kit.

Needs a C compiler for ARM and the extra ``kit`` (``pose78 doctor`` says whether they are there).
"""

import tempfile
from pathlib import Path

import pose78

with tempfile.TemporaryDirectory() as folder:
    image = pose78.compile("lift", Path(folder) / "project")
    kit = pose78.Kit(image)
    kit.run_until()  # it goes to sleep when it is done
    print(kit.uart_text())
    print("outputs:", [list(maps.shape) for maps in kit.maps()])
