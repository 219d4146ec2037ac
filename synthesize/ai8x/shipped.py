"""Network descriptions of the shipped students, as the compiler writes them: ``networks/``."""

from __future__ import annotations

from pathlib import Path

from common.errors import UserError
from common.files import write_file
from synthesize.ai8x import description
from synthesize.compiler import compile_network
from synthesize.read import checkpoint

REPOSITORY = Path(__file__).resolve().parents[2]
CHECKPOINTS = REPOSITORY / "ai8x_models" / "checkpoints"
NETWORKS = REPOSITORY / "networks"
SUFFIX = "-q.pth.tar"


def students(checkpoints: Path = CHECKPOINTS) -> dict[str, Path]:
    """Return the integer checkpoints of a folder, by the name of the student.

    Raises:
        UserError: the folder holds none.
    """
    found = {
        path.name.removesuffix(SUFFIX): path for path in sorted(checkpoints.glob(f"*{SUFFIX}"))
    }
    if not found:
        raise UserError(f"{checkpoints}: no NAME{SUFFIX} there; name a folder of integer students")
    return found


def text_of(path: Path) -> str:
    """Return the description (YAML) of a student, placed by search.

    Raises:
        UserError: the checkpoint cannot be compiled.
    """
    compiled = compile_network(checkpoint.load(path))
    return description.to_yaml(compiled.legal, compiled.placement)


def write_all(folder: Path = NETWORKS, checkpoints: Path = CHECKPOINTS) -> list[Path]:
    """Write ``NAME.yaml`` for every student; all are compiled before the first is written.

    Raises:
        UserError: a student cannot be compiled, or the folder cannot be written.
    """
    texts = {name: text_of(path) for name, path in students(checkpoints).items()}
    paths = {folder / f"{name}.yaml": text for name, text in texts.items()}
    for path, text in paths.items():
        write_file(path, text)
    return list(paths)
