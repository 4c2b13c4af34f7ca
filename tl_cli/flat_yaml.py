"""A YAML file of lines like ``epochs: 10``, read as that and nothing more.

It may come from anybody: a few aliases can stand for more than any memory holds, a tag names what
is to be built, and of a key that stands twice one value would be lost without a word. None of that
has a use here, so all of it is refused, with its line. Knows nothing of what the keys mean.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_cli.errors import TLError
from tl_cli.store import reading

if TYPE_CHECKING:
    import yaml

MOST = 200_000  # bytes; a configuration has one or two thousand
PLAIN = [f"tag:yaml.org,2002:{kind}" for kind in ("map", "str", "int", "float", "bool", "null")]
LINE = "one setting a line, like `epochs: 10`"


def read(file: Path) -> dict[str, str]:
    """Return the file's keys and values as texts, for whoever knows their types.

    Raises TLError where it is not there, cannot be read, or is anything but such lines.
    """
    import yaml

    try:
        root = _root(reading.text_of(file, MOST))
    except FileNotFoundError:
        raise TLError(f"config file not found: {file}") from None
    except (yaml.YAMLError, OSError, ValueError, RecursionError) as error:
        raise TLError(f"the config file {file} cannot be read: {_reason(error)}", LINE) from error
    if root is None or not root.value:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise TLError(f"the config file {file} must hold lines like `epochs: 10`")
    return _values(file, root)


def _root(text: str) -> Any:
    """Return the node that a text is. Raises ValueError where there is more than lines.

    Told by the first event that does not belong there: nesting takes the parser time beyond bounds.
    """
    import yaml

    depth = 0
    for event in yaml.parse(text, yaml.BaseLoader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"line {_line(event)}: *{event.anchor} is an alias")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > 1:
            raise ValueError(f"line {_line(event)}: a list or mapping where one value belongs")
    return yaml.compose(text, yaml.BaseLoader)


def _values(file: Path, root: yaml.MappingNode) -> dict[str, str]:
    values: dict[str, str] = {}
    for key, value in root.value:
        tag = next((node.tag for node in (root, key, value) if node.tag not in PLAIN), "")
        wrong = f"{key.value[:60]!r} stands there twice" if key.value in values else ""
        if wrong or tag:
            wrong = wrong or f"the tag {tag[:60]!r} is not followed"
            raise TLError(f"the config file {file}, line {_line(key)}: {wrong}", LINE)
        values[key.value] = value.value
    return values


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _reason(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    said = getattr(error, "strerror", None) or str(error)
    return " ".join(said.split())[:300]
