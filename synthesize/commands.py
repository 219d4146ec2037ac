"""The compiler's commands: compile, check, show, limits, networks and others."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.arguments import Parser, to_folder, whole
from common.console import program, say
from common.errors import UserError
from common.files import write_file
from common.incoming import read_array
from synthesize.ai8x import compare, description, shipped
from synthesize.ai8x import options as official_options
from synthesize.chip import measured
from synthesize.compiler import Compiled, compile_graph, compile_network
from synthesize.graph import cut
from synthesize.legal import limits_page
from synthesize.place.reserved import Reserved, starting_at
from synthesize.read import checkpoint
from synthesize.read.yaml import language
from synthesize.report import page, table, text
from synthesize.write import project, two_networks

MAX_SHOWN = 10


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (0 good, 1 differences).

    Raises:
        UserError: the network cannot be read, compiled or written.
    """
    options = _parser().parse_args(arguments)
    return int(options.run(options))


def _parser() -> argparse.ArgumentParser:
    prog = program("python -m synthesize").removesuffix(" compile")
    parser = Parser(prog=prog, description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    compile_ = commands.add_parser("compile", help="write a C project, or compare with a trace")
    _add_network(compile_)
    compile_.add_argument("--out", type=to_folder, metavar="DIR", help="folder of the C project")
    compile_.add_argument(
        "--against",
        type=Path,
        metavar="TRACE.npz",
        help="compare the final state, exit 1 if unlike",
    )
    compile_.add_argument(
        "--application",
        default="known-answer",
        choices=sorted(project.APPLICATIONS),
        help="program around the network (default: %(default)s)",
    )
    compile_.add_argument(
        "--second",
        type=Path,
        metavar="CHECKPOINT",
        help="another network, resident beside the first one: a project that runs both in turn",
    )
    compile_.add_argument(
        "--second-sample", type=Path, metavar="INPUT.npy", help="one input of the second network"
    )
    compile_.add_argument(
        "--softmax",
        action="store_true",
        help="known-answer program of a classifier: also tell the class and the shares",
    )
    compile_.add_argument("--quiet", action="store_true", help="do not print the table")
    official_options.refuse_by_name(compile_)
    compile_.set_defaults(run=_compile, untrained=False)
    check = commands.add_parser(
        "check", help="say whether a network fits (the checkpoint may be missing)"
    )
    _add_network(check)
    check.set_defaults(run=_check, untrained=True)
    show_ = commands.add_parser("show", help="print graph and placement as text")
    _add_network(show_)
    show_.set_defaults(run=_show, untrained=True)
    for name, source, what in (
        ("limits", limits_page.documentation, "limits"),
        ("keys", language.documentation, "keys of network descriptions"),
        ("measured", measured.documentation, "times of real chips"),
        ("options", official_options.documentation, "options of ai8x-synthesis"),
    ):
        document = commands.add_parser(name, help=f"print the {what} as a page of documentation")
        document.set_defaults(run=_print, source=source)
    networks = commands.add_parser(
        "networks", help="write the descriptions of the shipped students"
    )
    networks.add_argument(
        "--out", type=to_folder, default=shipped.NETWORKS, metavar="DIR", help="(%(default)s)"
    )
    networks.set_defaults(run=_networks)
    return parser


def _add_network(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "network",
        nargs="+",
        metavar="[NETWORK.yaml] CHECKPOINT",
        help="network description (optional for our own students) and integer checkpoint, or one "
        "quantised ONNX model",
    )
    parser.add_argument("--sample", type=Path, metavar="INPUT.npy", help="one input, CHW integers")
    parser.add_argument(
        "--weight-start",
        type=whole(0),
        default=0,
        metavar="N",
        help="leave the kernel words in front of this one to another network",
    )
    parser.add_argument(
        "--bias-start",
        type=whole(0),
        default=0,
        metavar="N",
        help="leave the bias bytes in front of this one, in every quadrant, to another network",
    )
    parser.add_argument(
        "--fifo",
        action="store_true",
        help="send the input through the FIFOs although nothing streams (placements by hand)",
    )
    parser.add_argument(
        "--stop-after",
        default="",
        metavar="LAYER",
        help="leave out what comes after this layer (name, or number from 0), and output it",
    )
    parser.add_argument(
        "--trust-placement",
        action="store_true",
        help="compile a hand-written placement although it overwrites or misses data",
    )


def _load(options: argparse.Namespace, trust: bool = False) -> tuple[Compiled, np.ndarray | None]:
    sample = None if options.sample is None else read_sample(options.sample)
    reserved = starting_at(options.weight_start, options.bias_start)
    compiled = _compile_named(options, reserved, sample, trust)
    _warn(compiled)
    return compiled, sample


def _compile_named(
    options: argparse.Namespace, reserved: Reserved, sample: np.ndarray | None, trust: bool = False
) -> Compiled:
    """Compile the network that the command line names, beside what is reserved."""
    if len(options.network) > 2:
        raise UserError("give at most a network description and a checkpoint")
    *descriptions, path = options.network
    untrained = str(path).endswith((".yaml", ".yml"))
    if untrained:
        descriptions = [*descriptions, path]
    if str(path).endswith(".onnx"):
        if descriptions:
            raise UserError(f"{path}: an ONNX model describes itself; leave {descriptions[0]} out")
        from synthesize.read.onnx import network as onnx_network  # other networks start sooner

        read = onnx_network.load(path)
        graph = read.graph
        if options.stop_after:
            graph, _ = cut.stop_after(graph, None, options.stop_after)
        return compile_graph(graph, read.notes, reserved)
    return compile_network(
        None if untrained else checkpoint.load(path, lenient=bool(descriptions)),
        descriptions[0] if descriptions else None,
        None if sample is None else sample.shape,
        trust_placement=trust or options.trust_placement,
        reserved=reserved,
        trained=not options.untrained,
        fifo=options.fifo,
        stop_after=options.stop_after,
    )


def _warn(compiled: Compiled) -> None:
    for warning in compiled.warnings:
        say(f"warning: {warning}", sys.stderr)


def read_sample(path: Path) -> np.ndarray:
    """Load a sample input.

    Raises:
        UserError: missing file, not .npy, or not integers.
    """
    try:
        sample = read_array(Path(path))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: not a readable .npy file ({error}); save the input as .npy"
        ) from error
    if not isinstance(sample, np.ndarray) or sample.dtype.kind not in "iu":
        raise UserError(f"{path}: a sample holds integers of -128 to 127 [channels, rows, columns]")
    return sample


def _compile(options: argparse.Namespace) -> int:
    if options.out is None and options.against is None:
        raise UserError("nothing to do; give --out DIR, --against TRACE.npz or both")
    if options.second is not None:
        return _compile_pair(options)
    if options.softmax and options.application != "known-answer":
        raise UserError("--softmax goes with --application known-answer; leave one of them out")
    if options.application in project.PAIRS:
        raise UserError(f"--application {options.application} needs another network; give --second")
    compiled, sample = _load(options, trust=options.against is not None)
    if options.against is not None and not _compare(compiled, sample, options.against):
        return 1
    if options.out is not None:
        sample = project.example(compiled.program, sample, options.application)
        expected = compiled.known_answer(sample)
        project.write_project(
            compiled.program,
            sample,
            expected,
            options.out,
            options.application,
            table.output_units(compiled),
            beside=lambda folder: _write_reports(compiled, sample, folder),
            softmax=options.softmax,
        )
    if not options.quiet:
        print(table.table(compiled), end="")
    return 0


def _write_reports(compiled: Compiled, sample: np.ndarray, folder: Path) -> None:
    """What people and other tools read beside the C files."""
    page.write_report(compiled, folder / "report.html")
    write_file(folder / "table.txt", table.table(compiled))
    _write_description(compiled, sample, folder)
    write_file(folder / "report.json", table.to_json(compiled))


_PAIRED = {"known-answer": "two-networks", "frame-injection": "frame-injection-3d"} | {
    name: name for name in project.PAIRS
}
"""Application of one network -> that of two."""


def _compile_pair(options: argparse.Namespace) -> int:
    """Write a project of two networks, and their tables."""
    if options.against is not None or options.out is None:
        raise UserError("--second needs --out DIR and does not go with --against")
    application = _PAIRED.get(options.application)
    if application is None:
        raise UserError(
            f"--second does not go with --application {options.application}; choose "
            "two-networks or frame-injection"
        )
    given = [None if path is None else read_sample(path) for path in
             (options.sample, options.second_sample)]  # fmt: skip
    pair = two_networks.compile_pair(
        lambda reserved: _compile_named(options, reserved, given[0]),
        lambda reserved: compile_network(checkpoint.load(options.second), reserved=reserved),
    )
    both = (pair.first, pair.second)
    first, second = (
        project.example(compiled.program, sample, known)
        for compiled, sample, known in zip(both, given, (application, "two-networks"), strict=True)
    )
    units = (table.output_units(pair.first), table.output_units(pair.second))

    def write_reports(folder: Path) -> None:
        for name, compiled in zip(("second.json", "report.json"), reversed(both), strict=True):
            write_file(folder / name, table.to_json(compiled))

    two_networks.write_project(
        pair,
        (first, second),
        options.out,
        units,
        application,
        beside=write_reports,
    )
    for compiled in both:
        _warn(compiled)
        if not options.quiet:
            print(table.table(compiled))
    return 0


def _write_description(compiled: Compiled, sample: np.ndarray, out: Path) -> None:
    """Add the placement as ai8x-synthesis YAML, where that language can express it."""
    try:
        description.write(out, compiled.legal, compiled.placement, sample)
    except UserError as error:
        say(f"warning: no {description.YAML_NAME} written: {error}", sys.stderr)


def _compare(compiled: Compiled, sample: np.ndarray | None, path: Path) -> bool:
    theirs = compare.state_of_trace(compare.read_trace(path))
    ours = compare.state_of_program(compiled.program, sample)
    found, explained = compare.explain(compare.differences(ours, theirs), compiled)
    for reason, count in explained.items():
        print(f"{count} differences of a known kind: {reason}")
    if not found:
        say(f"same final state as {path}: {len(ours.words)} words, {len(ours.kernels)} kernels")
        return True
    say(f"{len(found)} differences from {path}; the first:", sys.stderr)
    for difference in found[:MAX_SHOWN]:
        say(f"  {difference}", sys.stderr)
    return False


def _check(options: argparse.Namespace) -> int:
    compiled, _ = _load(options)
    print(table.table(compiled), end="")
    print("fits")
    return 0


def _show(options: argparse.Namespace) -> int:
    compiled, _ = _load(options)
    print(text.text(compiled), end="")
    return 0


def _print(options: argparse.Namespace) -> int:
    print(options.source(), end="")
    return 0


def _networks(options: argparse.Namespace) -> int:
    for path in shipped.write_all(options.out):
        say(str(path))
    return 0
