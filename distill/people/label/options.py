"""Command lines of labelling, ``label`` and ``merge``."""

from __future__ import annotations

import argparse
from pathlib import Path

from common.arguments import Parser, to_file
from common.console import program, say


def _parser(verb: str, purpose: str) -> argparse.ArgumentParser:
    return Parser(prog=program(f"python -m distill pose {verb}"), description=purpose)


def label(arguments: list[str]) -> int:
    """``PICTURES --networks FILE.onnx ... --out LABELS.json``."""
    parser = _parser("label", "Label a folder of pictures by pretrained networks.")
    parser.add_argument("pictures", type=Path, help="folder of pictures, with the folders in it")
    parser.add_argument(
        "--networks", type=Path, nargs="+", required=True, metavar="FILE.onnx",
        help="finders of people, and one network that looks again at each",
    )  # fmt: skip
    parser.add_argument("--out", type=to_file, required=True, help="COCO keypoint file to write")
    parser.add_argument(
        "--annotations", type=Path,
        help="ground truth (COCO keypoint file) to keep and to add to; its pictures are looked at",
    )  # fmt: skip
    parser.add_argument("--shard", default="1/1", help="which part of how many, 3/16 (1/1)")
    parser.add_argument(
        "--drop-empty", action="store_true", help="leave pictures without anybody out of the file"
    )
    options = parser.parse_args(arguments)
    from distill.people.label.run import Request, Shard  # torch: only once there is work
    from distill.people.label.run import label as labelled

    request = Request(
        options.pictures, tuple(options.networks), options.out, options.annotations,
        Shard.parse(options.shard), options.drop_empty,
    )  # fmt: skip
    say(f"{options.out}: {labelled(request)}")
    return 0


def merge(arguments: list[str]) -> int:
    """``LABELS.json SHARD.json ...``."""
    parser = _parser("merge", "Put all shards of a labelling run together.")
    parser.add_argument("out", type=to_file, help="COCO keypoint file to write")
    parser.add_argument("shards", type=Path, nargs="+", help="all shards of one run")
    options = parser.parse_args(arguments)
    from distill.people.label.result import merge as merged
    from distill.people.label.result import summary, write_labels

    content = merged(options.shards)
    write_labels(content, options.out)
    say(f"{options.out}: {summary(content)}")
    return 0
