"""
Change the run's hooks in the text of a ``dbt_project.yml``, and nothing else of it.

Everything else stays as it is written: dbt 2 reads YAML 1.2, in which ``NO`` and ``12:30`` are strings, and what is read and
written by PyYAML, which reads YAML 1.1, would be another project.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

from cosmos_async.dbt_rules.yaml_text import dump


def with_run_hooks(text: str, rewrite: Mapping[str, Callable[[str], str]]) -> str:
    """
    Return a project file with other hooks of the run.

    Args:
        text: The file.
        rewrite: Returns what stands in a hook's place, by when hooks are run; an empty one is no hook.

    Raises:
        yaml.YAMLError: It is no YAML.
        ValueError: Something else in it would change, as an anchor in a hook stands for it.
    """
    found = {key: (begin, end) for key, begin, end in _entries(text) if key in rewrite}
    if not found:
        return text
    document, changed = yaml.safe_load(text), text
    for key, (begin, end) in sorted(found.items(), key=lambda entry: entry[1], reverse=True):
        hooks = [hook for hook in map(rewrite[key], _texts(document[key])) if hook]
        changed = f"{changed[:begin]}: {dump(hooks, flow=True)}{changed[end:]}"
    try:
        same = _without(changed, rewrite) == _without(text, rewrite)
    except yaml.YAMLError:  # an alias whose anchor is gone
        same = False
    if not same:
        raise ValueError("something else in the file depends on them")
    return changed


def _entries(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield each key of the file's mapping, and where in the text what belongs to it begins and ends, behind the key."""
    events: list[Any] = list(yaml.parse(text, Loader=yaml.SafeLoader))
    at = next((at for at, event in enumerate(events) if isinstance(event, yaml.NodeEvent)), len(events))
    if at == len(events) or not isinstance(events[at], yaml.MappingStartEvent):
        return
    at += 1
    while not isinstance(events[at], yaml.MappingEndEvent):
        value = _behind(events, at)
        end = _behind(events, value)
        if isinstance(events[at], yaml.ScalarEvent):
            yield events[at].value, events[at].end_mark.index, events[end - 1].end_mark.index
        at = end


def _behind(events: list[Any], at: int) -> int:
    """Return which event comes behind the node that begins with this one."""
    depth = 0
    while True:
        depth += isinstance(events[at], yaml.CollectionStartEvent)
        depth -= isinstance(events[at], yaml.CollectionEndEvent)
        at += 1
        if not depth:
            return at


def _without(text: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = yaml.load(text, Loader=yaml.BaseLoader)
    return {key: value for key, value in document.items() if key not in keys}


def _texts(hooks: Any) -> list[str]:
    """Return hooks of a project file: dbt takes one or several, each as a text or as ``{sql: ...}``."""
    listed = hooks if isinstance(hooks, list) else [hooks]
    return [str(hook.get("sql") or "") if isinstance(hook, dict) else str(hook or "") for hook in listed]
