"""``pose78 report``: a network on the chip as one page."""

from __future__ import annotations

import re
from pathlib import Path

from common.arguments import Parser, to_file
from common.console import say
from common.files import check_writable
from common.texts import console, people


def main(arguments: list[str]) -> int:
    """Command line; 1 when it does not fit.

    Raises:
        UserError: the network cannot be read, or the page cannot be written.
    """
    parser = Parser(
        prog="pose78 report",
        description="Draw a network on the chip: its graph, where its memory and its cycles go, "
        "and what to change. Exit status 1: it does not fit.",
    )
    parser.add_argument("network", help="student of this package, or a file that pose78 check "
                        "takes")  # fmt: skip
    parser.add_argument("-o", "--output", type=to_file, default=Path("report.html"),
                        help="page to write (%(default)s)")  # fmt: skip
    parser.add_argument("--picture", type=Path, metavar="FILE",
                        help="show what the integer student finds in it")  # fmt: skip
    options = parser.parse_args(arguments)
    check_writable(options.output)
    from pose78.checking import check
    from pose78.shipped import shipped
    from synthesize.report import page, pieces

    verdict = check(shipped().get(options.network, options.network))
    if verdict.compiled is None:
        print(console(verdict.text()), end="")
        return 1
    known = pieces.Known(accuracy(options.network), *found_in(options.network, options.picture))
    say(str(page.write_report(verdict.compiled, options.output, known)))
    return 0


def accuracy(network: str) -> str:
    """What the model card of a student of this package says of its accuracy, as plain text.

    Empty where there is no card, or no such paragraph in it.
    """
    from pose78.shipped import CHECKPOINTS, shipped

    card = CHECKPOINTS / f"{network}.md"
    if network not in shipped() or not card.is_file():
        return ""
    text = card.read_text(encoding="utf-8")
    found = re.search(r"(?:## Accuracy\s+|\*\*Accuracy\.?\*\*\s)(.+?)(?:\n\n|\Z)", text, re.DOTALL)
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", found[1]) if found else ""
    plain = " ".join(re.sub(r"[`*]", "", plain).split())
    heads = re.findall(r"^\| *\|(.+)\|$", text, re.MULTILINE)
    shipped_row = re.findall(r"^\| *integer \(shipped\) *\|(.+)\|$", text, re.MULTILINE)
    if not (plain and heads and shipped_row):
        return plain
    cells = zip(heads[0].split("|"), shipped_row[0].split("|"), strict=True)
    figures = ", ".join(f"{head.strip()} {value.strip()}" for head, value in cells)
    return f"{plain} In percent: {figures}."


def found_in(network: str, picture: Path | None) -> tuple[bytes, str]:
    """A JPEG with what an integer student finds in a picture, and a caption.

    Raises:
        UserError: no picture, or no integer student of the pose task.
    """
    if picture is None:
        return b"", ""
    from ai8x_models.preprocess import read_picture
    from evalkit.host.stream.pictures import shown
    from pose78.estimator import load
    from pose78.results import drawing

    pixels = read_picture(picture)
    found = load(network).predict(pixels)
    scores = ", ".join(f"{person.score:.2f}" for person in found)
    caption = f"{people(len(found))} in {picture.name}" + (f", scores {scores}" if found else "")
    return shown(drawing(pixels, found)), caption
