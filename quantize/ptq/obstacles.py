"""Everything that stands between a network and the chip, said at once."""

from __future__ import annotations

from ai8x_models.students import StudentSpec
from common.errors import UserError
from quantize.ptq.net import Net
from synthesize.chip.limits import MAX_CHANNELS
from synthesize.legal import rewrites
from synthesize.legal.rules import violations
from synthesize.place.bits import allocate, graph_of


class UnfitNetwork(UserError):
    """A network that holds things the chip does not have; the message lists them all."""

    listed = True


def trouble(net: Net, spec: StudentSpec) -> str | None:
    """The complete list of obstacles, and whether memory would suffice without them.

    Args:
        net: after fusing; its obstacles name what no rewrite could express.
        spec: its layers, with the nearest thing in place of every obstacle.

    Returns:
        Lines of text, None when nothing stands in the way.
    """
    lines = [str(obstacle) for obstacle in net.obstacles]
    wide = too_wide(spec)
    lines += wide + [rule for rule in _broken_rules(spec) if not _of(wide, rule)]
    if not lines:
        return None
    head = f"{len(lines)} thing{'s' * (len(lines) > 1)} that the chip does not have:"
    avoidable = [obstacle for obstacle in net.obstacles if obstacle.avoidable]
    if avoidable:
        lines.append(
            f"(--approximate replaces {len(avoidable)} of them by the nearest and measures it)"
        )
    return "\n  ".join([head, *lines, _memory(spec)])


def unfinished(net: Net, reason: str) -> str:
    """The list for a network that cannot be laid out even with the nearest things in place."""
    lines = [*map(str, net.obstacles), reason]
    head = f"{len(lines)} things that the chip does not have:"
    return "\n  ".join(
        [head, *lines, "Whether it would fit cannot be told before these are solved."]
    )


def nothing(net: Net) -> str:
    """What is said of a network of which no layer is left: also what it was made of."""
    said = "it holds no layers; nothing of it runs on the chip"
    if not net.obstacles and not net.notes:
        return said
    lines = [*map(str, net.obstacles), *net.notes]
    return "\n  ".join([f"{said}:", *lines])


def too_wide(spec: StudentSpec) -> list[str]:
    """Linear layers of more than the chip has; a student cannot be built with one."""
    return [
        f"layer {layer.name}: a linear layer of {layer.in_channels} inputs and "
        f"{layer.out_channels} outputs, the chip has at most {MAX_CHANNELS} of either; nearest: "
        "pool further in front of it, or a narrower layer"
        for layer in spec.layers
        if layer.op == "linear" and max(layer.in_channels, layer.out_channels) > MAX_CHANNELS
    ]


def _of(wide: list[str], rule: str) -> bool:
    """Whether a broken rule is about a layer that is known to be too wide."""
    return any(f"{line.partition(':')[0]}:" in rule for line in wide)


def _broken_rules(spec: StudentSpec) -> list[str]:
    """Sentences of all rules that the legal form of the network breaks."""
    try:
        graph = graph_of(spec.name, spec.describe())
        return violations(rewrites.legalise(graph, check=False))
    except UserError as error:
        return [str(error)]


def _memory(spec: StudentSpec) -> str:
    """Whether the network would fit if all that were solved."""
    names = [layer.name for layer in spec.layers if layer.weighted]
    try:
        graph = graph_of(spec.name, spec.describe())
        for widths in ((8,), (8, 4, 2)):
            try:
                costs = {name: {b: float(8 - b) for b in widths} for name in names}
                found = allocate(graph, costs)
            except UserError:
                continue
            bits = sorted(set(found.bits.values()), reverse=True)
            at = f" at {' and '.join(map(str, bits))} bits" if bits else ""
            return (
                f"If these were solved, it would fit: {found.fullest} of 768 kernel words{at}, "
                f"{found.cycles:,} cycles."
            )
        allocate(graph, costs)
    except UserError as error:
        return f"If these were solved, it would still not fit: {error}."
    raise AssertionError("the last width was refused before")
