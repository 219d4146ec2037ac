"""Rules of the house that a machine can check, one test for each wall (docs/house.md)."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.helpers.places import REPOSITORY

ROOMS = ("pose78", "common", "ai8x_models", "distill", "quantize", "synthesize", "evalkit")
TASKS = ("pose", "grey", "lift", "own")
MAX_LINES = 60

BELOW_DISTILL = ("ai8x_models", "quantize", "synthesize.chip")

# What each room may import of the others, beside the ground floor; the longest prefix counts.
ALLOWED: dict[str, tuple[str, ...]] = {
    "common": (),
    "ai8x_models": ("ai8x_models", "synthesize.chip"),
    "distill": ("distill", "ai8x_models", "quantize", "synthesize.chip"),
    # A task imports people and engine, people imports engine, nothing goes the other way, and no
    # task imports another (docs/adr/0016).
    "distill.engine": ("distill.engine", *BELOW_DISTILL),
    "distill.people": ("distill.people", "distill.engine", *BELOW_DISTILL),
    "distill.tasks": ("distill.tasks.__main__", "distill.__main__", "distill.engine.task"),
    **{
        f"distill.tasks.{task}": (
            f"distill.tasks.{task}",
            "distill.people",
            "distill.engine",
            *BELOW_DISTILL,
        )
        for task in TASKS
    },
    "quantize": (
        "quantize",
        "ai8x_models",
        "synthesize.chip",
        "synthesize.legal",
        "synthesize.read.onnx.model",
        "synthesize.place.bits",
    ),
    # How the outputs are read goes from the checkpoint into the firmware.
    "synthesize": ("synthesize", "ai8x_models.point_maps", "ai8x_models.thresholds"),
    "synthesize.chip": ("synthesize.chip",),
    # The check of a placement shares nothing with search or registers (docs/adr/0017).
    "synthesize.place.verify": (
        "synthesize.chip",
        "synthesize.graph.ir",
        "synthesize.place.placement",
        "synthesize.place.verify",
    ),
    # The host and the viewer read the skeleton and the fitting of pictures; the hardware is behind
    # the wall (docs/adr/0002).
    "evalkit": (
        "evalkit",
        "synthesize.chip",
        "ai8x_models.maps",
        "ai8x_models.skeleton",
        "ai8x_models.preprocess",
        "ai8x_models.follow",
    ),
    "evalkit.hardware": ("evalkit.hardware", "synthesize.chip"),
    # The front door leads everywhere; nobody imports it.
    "pose78": ("pose78", "ai8x_models", "synthesize", "quantize", "evalkit", "distill"),
}

# Rooms and single files of the compiler, the lowest floor first. Imports go down; rooms of one
# floor do not know each other.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("chip",),
    ("graph",),
    ("read", "legal"),
    ("place",),
    ("program",),
    ("compiler",),
    ("write", "report", "ai8x"),
    ("commands",),
    ("__main__", "build", "official"),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

# Folders of tests that belong to no single room: many rooms together, measurements, C programs.
OF_MANY_ROOMS = ("bench", "e2e", "golden", "helpers", "native")


@dataclass(frozen=True)
class Module:
    """One Python file: dotted name, and source text."""

    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax."""
        return ast.parse(self.text)

    def imports(self, *, on_loading: bool = False) -> set[str]:
        """What it imports, ``package.module.name`` in full; only when it is loaded, if asked."""
        found = set()
        for node in _loaded(self.tree) if on_loading else ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name}: relative import: write the full name"
                # `from synthesize import chip` names a module too.
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
        return found


def _loaded(tree: ast.AST) -> Iterator[ast.AST]:
    """Statements that run when a module is loaded: not in functions, not for the type checker."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        yield node
        yield from _loaded(node)


def read(folder: str) -> dict[str, Module]:
    """The modules below a folder of the repository, by dotted name."""
    found = {}
    for path in sorted((REPOSITORY / folder).rglob("*.py")):
        name = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        name = name.removesuffix(".__init__")
        found[name] = Module(name, path.read_text(encoding="utf-8"))
    return found


@cache
def house() -> dict[str, Module]:
    """Every module of the product."""
    return {name: module for room in ROOMS for name, module in read(room).items()}


def under(name: str, *prefixes: str) -> bool:
    """Whether a name is one of the modules, or lies in one of the packages."""
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def below(*prefixes: str) -> list[Module]:
    """The modules of these packages."""
    found = [module for name, module in house().items() if under(name, *prefixes)]
    assert found, f"there is no {' or '.join(prefixes)} any more"
    return found


def none(faults: Iterable[str]) -> None:
    """Fail with all faults, one a line."""
    found = sorted(faults)
    assert not found, "\n" + "\n".join(found)


def through_walls(modules: Iterable[Module]) -> Iterator[str]:
    """Imports that ALLOWED does not allow."""
    for module in modules:
        own = max((prefix for prefix in ALLOWED if under(module.name, prefix)), key=len)
        for name in module.imports():
            if under(name, *ROOMS) and not under(name, "common", *ALLOWED[own]):
                yield f"{module.name} may not import {name}"


def upwards(modules: Iterable[Module]) -> Iterator[str]:
    """Imports within the compiler that do not go down."""
    for module in modules:
        room = module.name.split(".")[1]
        if room not in FLOOR:
            yield f"synthesize/{room} has no floor: name it in FLOORS"
            continue
        for name in module.imports():
            other = name.split(".")[1] if under(name, "synthesize") else room
            if other != room and FLOOR.get(other, len(FLOORS)) >= FLOOR[room]:
                yield f"{module.name} may not import {name}"


def target(name: str, modules: Iterable[str]) -> str:
    """The module that ``package.module.name`` loads; '' for one that is not ours."""
    known = set(modules)
    return next((part for part in (name, name.rpartition(".")[0]) if part in known), "")


def test_rooms_import_what_they_may() -> None:
    none(through_walls(house().values()))


def test_imports_of_the_compiler_go_down() -> None:
    none(upwards(module for module in below("synthesize") if module.name != "synthesize"))


def test_the_compiler_package_itself_imports_nothing() -> None:
    none(house()["synthesize"].imports())


def test_chip_facts_need_the_standard_library_only() -> None:
    none(
        f"{module.name} may not import {name}"
        for module in below("synthesize.chip")
        for name in module.imports()
        if name.split(".")[0] not in (*sys.stdlib_module_names, "synthesize", "common")
    )


def test_torch_is_not_loaded_with_the_compiler_or_the_kit() -> None:
    none(
        f"{module.name} may import torch in functions only"
        for module in below("synthesize", "evalkit")
        if any(under(name, "torch") for name in module.imports(on_loading=True))
    )


def test_no_module_needs_itself_to_be_loaded() -> None:
    modules = house()
    arrows = {
        name: {target(other, modules) for other in module.imports(on_loading=True)} - {"", name}
        for name, module in modules.items()
    }
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_functions_stay_short() -> None:
    faults = []
    for module in house().values():
        for node in ast.walk(module.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MAX_LINES:
                    faults.append(f"{module.name}.{node.name}: {length} lines")
    none(faults)


def test_only_the_ground_floor_replaces_files() -> None:
    none(
        f"{module.name}:{node.lineno}: write through common.files"
        for module in house().values()
        if not under(module.name, "common")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute)
        and ast.unparse(node) in ("os.replace", "os.rename", "shutil.move")
    )


def test_only_the_ground_floor_says_what_a_user_did_wrong() -> None:
    none(
        f"{module.name}:{node.lineno}: raise UserError under common.console.command_line"
        for module in house().values()
        if not under(module.name, "common")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and str(node.value).startswith("error: ")
    )


TOOLS = ("tests.helpers", "tests.bench", "tests.fuzz", "tests.kills", "tests.supply")


def test_tests_import_no_tests() -> None:
    none(
        f"{module.name} may not import {name}: put what both need into tests/helpers"
        for module in read("tests").values()
        for name in module.imports()
        if under(name, "tests") and not under(name, *TOOLS)
    )


def test_every_test_module_has_one_name() -> None:
    """A folder without ``__init__.py`` makes its files top-level modules as well."""
    none(
        f"{folder.relative_to(REPOSITORY)} has no __init__.py"
        for folder in {path.parent for path in (REPOSITORY / "tests").rglob("*.py")}
        if not (folder / "__init__.py").is_file()
    )


def test_folders_of_tests_mirror_the_rooms() -> None:
    tests = REPOSITORY / "tests"
    folders = {path.parent.relative_to(tests) for path in tests.rglob("test_*.py")}
    none(
        f"tests/{folder} has no room {folder}"
        for folder in folders
        if folder.parts and folder.parts[0] not in OF_MANY_ROOMS
        if not list((REPOSITORY / folder).glob("*.py"))
    )


@pytest.mark.parametrize(
    ("name", "line", "fault"),
    [
        ("evalkit.hardware.x", "from synthesize.place import search", "synthesize.place.search"),
        ("evalkit.host.x", "def f():\n    import synthesize.compiler", "synthesize.compiler"),
        ("distill.tasks.pose.x", "from distill.tasks.grey import recipe", "tasks.grey.recipe"),
        ("distill.engine.x", "from distill.people import crops", "distill.people.crops"),
        ("synthesize.place.verify.x", "from synthesize.place import rings", "place.rings"),
        ("ai8x_models.x", "import quantize", "quantize"),
        ("common.x", "from synthesize.chip import limits", "synthesize.chip.limits"),
    ],
)
def test_the_check_sees_a_hole_in_a_wall(name: str, line: str, fault: str) -> None:
    (said,) = through_walls([Module(name, line)])
    assert said.startswith(f"{name} may not import ")
    assert said.endswith(fault)


def test_the_check_sees_an_import_that_goes_up() -> None:
    wrong = Module("synthesize.graph.x", "from synthesize.place import search")
    beside = Module("synthesize.read.x", "from synthesize.legal import rules")
    assert len(list(upwards([wrong, beside]))) == 2
    assert not list(upwards([Module("synthesize.place.x", "from synthesize.graph import ir")]))
