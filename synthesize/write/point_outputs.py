"""What the firmware's point reader has to know of a network: its maps, its table of visibility."""

from __future__ import annotations

from synthesize.program.program import Program


def defines(program: Program) -> list[str]:
    """Lines of ``network.h``: which points the maps are of, what a peak says of visibility."""
    points = program.points
    if points is None:
        return ["#define POINT_OUTPUTS 0"]
    table = ", ".join(f"{value}u" for value in points.visibility())
    return [
        "#define POINT_OUTPUTS 1",
        f"#define POINT_STRIDE {program.input_shape[1] // program.outputs[0].shape[1]}u",
        f"#define POINT_PLACES {{{', '.join(f'{place}u' for place in points.places)}}}",
        f"#define POINT_VISIBILITY {{{table}}}",
    ]
