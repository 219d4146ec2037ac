"""Command lines of labelling, ``label`` and ``merge``; nothing is loaded before one runs."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_label(parser: argparse.ArgumentParser) -> None:
    """Options of ``label``."""
    parser.add_argument("pictures", type=Path, help="folder of pictures, with the folders in it")
    parser.add_argument(
        "--networks", type=Path, nargs="+", required=True, metavar="FILE.onnx",
        help="finders of people, and one network that looks again at each",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="COCO keypoint file to write")
    parser.add_argument(
        "--annotations", type=Path,
        help="ground truth (COCO keypoint file) to keep and to add to; its pictures are looked at",
    )  # fmt: skip
    parser.add_argument("--shard", default="1/1", help="which part of how many, 3/16 (1/1)")
    parser.add_argument(
        "--drop-empty", action="store_true", help="leave pictures without anybody out of the file"
    )


def run_label(options: argparse.Namespace) -> int:
    """Label a folder."""
    from distill.people.label.run import Request, Shard, label

    request = Request(
        options.pictures, tuple(options.networks), options.out, options.annotations,
        Shard.parse(options.shard), options.drop_empty,
    )  # fmt: skip
    print(f"{options.out}: {label(request)}")
    return 0


def add_merge(parser: argparse.ArgumentParser) -> None:
    """Options of ``merge``."""
    parser.add_argument("out", type=Path, help="COCO keypoint file to write")
    parser.add_argument("shards", type=Path, nargs="+", help="all shards of one run")


def run_merge(options: argparse.Namespace) -> int:
    """Put shards together."""
    from distill.people.label.result import merge, summary, write_labels

    content = merge(options.shards)
    write_labels(content, options.out)
    print(f"{options.out}: {summary(content)}")
    return 0
