"""Does an edited student fit the chip, and how fast is it? It need not be trained.

``pose78 check examples/does_it_fit.py`` asks the same on the command line.
"""

from dataclasses import replace

import pose78
from ai8x_models.spec.student import SPECS

lift = SPECS["lift"]
hidden = replace(lift.layers[1], out_channels=48)
last = replace(lift.layers[2], in_channels=48)
NARROWER = replace(lift, name="narrower", layers=(lift.layers[0], hidden, last))

if __name__ == "__main__":
    verdict = pose78.check(NARROWER)
    print(verdict.text(), end="")
    print(f"{verdict.name}: {verdict.milliseconds} ms, fits: {verdict.fits}")
