"""What repeats in the page of a report, as HTML: what is filled in is escaped (markupsafe)."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

HEADS = (
    *("Input", "Output", "Bits", "Weights, B", "Biases, B", "Kernel words", "Passes"),
    *("Processors", "Offset in", "Offset out"),
)
"""Of the columns of the table of layers, behind name and operation."""

_CARD = Markup(
    '\n<div class="card"><div class="what">{what}</div><div class="value">{value}{unit}</div>'
    '<div class="of">{of}</div>{meter}</div>'
)
_UNIT = Markup(" <small>{}</small>")
_METER = Markup('<div class="meter"><i style="width:{}%"></i></div>')
_WARNING = Markup('<li class="warning">{}</li>')
_ADVICE = Markup("<li>{about}{sentence}.</li>")
_ABOUT = Markup("{names} ({percent}&nbsp;% of all cycles): ")
_NAME = Markup("<b>{}</b>")
_NOTHING = Markup("<li>Nothing stands out.</li>")
_SEEN = Markup("\n<section><h2>What it sees</h2>{accuracy}{picture}</section>")
_ACCURACY = Markup("<p>{}</p>")
_PHOTOGRAPH = Markup(
    '<figure><img src="data:image/jpeg;base64,{jpeg}" alt="{caption}">'
    '<figcaption class="note">{caption}</figcaption></figure>'
)
_TIME = Markup(
    '\n<tr><td class="left">{chip}{name}</td><td style="width:45%"><div class="bar">'
    '<i style="width:{bar}%;background:{colour}"></i>'
    '<b style="width:{least}%;background:{colour}"></b></div></td>'
    "<td>{cycles}</td><td>{milliseconds}</td><td>{percent} %</td><td>{rate}</td></tr>"
)
_PICTURE = Markup(
    '\n<section class="long"><h2>{title}</h2><p class="note">{note}</p>'
    '<figure class="scroll">{svg}</figure></section>'
)
_HEAD = Markup("<th>{}</th>")
_LAYER = Markup(
    '\n<tr><td class="left">{chip}{name}</td><td class="left">{operation}</td>{cells}</tr>'
)
_CELL = Markup('<td data-head="{head}">{cell}</td>')
_CHIP = Markup('<span class="chip" style="background:{}"></span>')
_NONE = Markup("")

_NOTES = {
    "weights": (
        "Weight memory",
        "Every processor holds the kernels for the channels it reads; a layer starts at the same "
        "word in all of them. What is empty is free.",
    ),
    "data": (
        "Data memory over time",
        "Which tensor lies where while each layer runs. A tensor stays from the layer that writes "
        "it to the last that reads it; outputs stay to the end.",
    ),
    "graph": (
        "Network as it runs on the chip",
        "After the exact rewrites; one box per hardware layer, with the size of its output and "
        "the bits of its weights.",
    ),
}
"""Titles of the pictures and what stands under them, in order."""


@dataclass(frozen=True)
class Known:
    """What is known of a network beside what the compiler made.

    Attributes:
        accuracy: a few sentences, plain text.
        jpeg: a picture with what the network found in it; empty where there is none.
        caption: of that picture, plain text.
    """

    accuracy: str = ""
    jpeg: bytes = b""
    caption: str = ""


def cards(entries: Iterable[Mapping[str, Any]]) -> Markup:
    """Figures in large print; some have a ``share`` of a limit."""
    return _NONE.join(
        _CARD.format(
            what=card["what"],
            value=card["value"],
            unit=_UNIT.format(card["unit"]) if card["unit"] else "",
            of=card["of"],
            meter="" if card["share"] is None else _METER.format(card["filled"]),
        )
        for card in entries
    )


def advice(warnings: Sequence[str], entries: Sequence[Mapping[str, Any]]) -> Markup:
    """Warnings, then sentences about some layers or the whole network."""
    said = [_WARNING.format(warning) for warning in warnings]
    for entry in entries:
        names = Markup(", ").join(_NAME.format(layer) for layer in entry["layers"])
        about = _ABOUT.format(names=names, percent=entry["percent"]) if names else ""
        said.append(_ADVICE.format(about=about, sentence=entry["sentence"]))
    return _NONE.join(said or [_NOTHING])


def seen(known: Known) -> Markup:
    """What the network sees; empty where nothing is known."""
    if not known.accuracy and not known.jpeg:
        return _NONE
    jpeg = base64.b64encode(known.jpeg).decode("ascii")
    return _SEEN.format(
        accuracy=_ACCURACY.format(known.accuracy) if known.accuracy else "",
        picture=_PHOTOGRAPH.format(jpeg=jpeg, caption=known.caption) if jpeg else "",
    )


def pictures(drawn: Mapping[str, str]) -> Markup:
    """SVG by name, whose texts are escaped where they are drawn."""
    return _NONE.join(
        _PICTURE.format(title=title, note=note, svg=Markup(drawn[name]))
        for name, (title, note) in _NOTES.items()
    )


def times(layers: Iterable[Mapping[str, Any]]) -> Markup:
    """Rows of the table of cycles."""
    return _NONE.join(_TIME.format(chip=_CHIP.format(x["colour"]), **x) for x in layers)


def heads() -> Markup:
    """Heads of the table of layers, behind name and operation."""
    return _NONE.join(map(_HEAD.format, HEADS))


def rows(layers: Iterable[Mapping[str, Any]]) -> Markup:
    """Rows of the table of layers."""
    return _NONE.join(
        _LAYER.format(
            chip=_CHIP.format(layer["colour"]),
            name=layer["name"],
            operation=layer["operation"],
            cells=_NONE.join(
                _CELL.format(head=head, cell=cell)
                for head, cell in zip(HEADS, layer["cells"], strict=True)
            ),
        )
        for layer in layers
    )
