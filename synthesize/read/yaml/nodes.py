"""YAML with line numbers: strict reading for network descriptions.

Duplicate keys, keys that are no text, anchors that refer to themselves, enormous files and
anything but plain scalars, lists and mappings are refused with file and line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from common.errors import UserError
from common.incoming import Unfit, need_file, read_bytes, yaml_line, yaml_problem
from common.texts import shown
from synthesize.graph.ir import Where

MAX_BYTES = 256_000
"""The longest description of the public generator's has 45,900."""
MAX_ITEMS = 20_000
MAX_DEPTH = 12
MAX_NUMBER = 40
"""Characters of a number; a mask of 64 bits takes 21."""


_TEXT = "tag:yaml.org,2002:str"


@dataclass(frozen=True)
class Item:
    """A YAML value with its place; ``value`` is a scalar, list of items or dict of items."""

    value: Any
    where: Where

    def plain(self) -> Any:
        """Return the value without places."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value


def read(path: str | Path) -> Item:
    """Read a YAML file.

    Raises:
        UserError: the file is missing, too large, not YAML, or holds duplicate keys.
    """
    path = Path(path)
    need_file(path)
    try:
        return parse(read_bytes(path, MAX_BYTES).decode("utf-8"), str(path))
    except Unfit as error:
        raise UserError(f"{path}: {error}; this is no network description") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text file in UTF-8") from error


def parse(text: str, name: str) -> Item:
    """Parse YAML text; ``name`` appears in error messages.

    Raises:
        UserError: as :func:`read`.
    """
    loader: Any = None
    try:
        loader = _Loader(text, name)
        node = loader.get_single_node()
        if node is None:
            raise UserError(f"{name}: the file is empty")
        return _Builder(name, loader).item(node, 0)
    except UserError:
        raise
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        line = yaml_line(error)
        place = f"{name}:{line}" if line else name
        raise UserError(f"{place}: not valid YAML ({yaml_problem(error)})") from error
    except RecursionError as error:
        raise UserError(f"{name}: nested too deeply for a network description") from error
    finally:
        if loader is not None:
            loader.dispose()


class _Loader(yaml.SafeLoader):
    """Counts while it reads, so that hostile text is refused before it is read to its end."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self.name = name
        self.count = self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """As PyYAML's, within the limits."""
        self.count += 1
        self.depth += 1
        if self.count > MAX_ITEMS or self.depth > MAX_DEPTH + 1:
            where = Where(self.name, self.peek_event().start_mark.line + 1)
            raise UserError(f"{where}: nested too deeply or too long for a network description")
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Builder:
    """Turns YAML nodes into items, counting them so that aliases cannot explode."""

    def __init__(self, name: str, loader: Any) -> None:
        self.name = name
        self.loader = loader
        self.count = 0

    def item(self, node: yaml.Node, depth: int) -> Item:
        where = Where(self.name, node.start_mark.line + 1)
        self.count += 1
        if depth > MAX_DEPTH or self.count > MAX_ITEMS:
            raise UserError(f"{where}: nested too deeply or too long for a network description")
        if isinstance(node, yaml.MappingNode):
            return Item(self.mapping(node, depth), where)
        if isinstance(node, yaml.SequenceNode):
            return Item([self.item(child, depth + 1) for child in node.value], where)
        return Item(self.scalar(node, where), where)

    def mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Item]:
        result: dict[str, Item] = {}
        for key_node, value_node in node.value:
            where = Where(self.name, key_node.start_mark.line + 1)
            key = self.scalar(key_node, where) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                raise UserError(f"{where}: a key must be plain text")
            if key in result:
                first = result[key].where.line
                raise UserError(
                    f"{where}: the key {shown(key)} is given twice (first in line {first}); keep "
                    "one"
                )
            item = self.item(value_node, depth + 1)
            result[key] = Item(item.value, where)
        return result

    def scalar(self, node: yaml.Node, where: Where) -> Any:
        if len(node.value) > MAX_NUMBER and node.tag != _TEXT:
            raise UserError(
                f"{where}: a number of {len(node.value)} characters; the longest there is has "
                f"{MAX_NUMBER}"
            )
        try:
            value = self.loader.construct_object(node)
        except (ValueError, OverflowError, LookupError, AttributeError) as error:  # an untrue tag
            raise UserError(f"{where}: not a readable value ({yaml_problem(error)})") from error
        if value is None:
            return "none"
        if not isinstance(value, (str, int, float, bool)):
            raise UserError(f"{where}: expected a number, a word or true/false")
        return value
