"""YAML that dbt 1, which reads YAML 1.1 (PyYAML), and dbt 2, which reads YAML 1.2 (``dbt-yaml``), read alike."""

from __future__ import annotations

import re
from typing import Any

import yaml

#: A number in YAML 1.2 that is a string in YAML 1.1 begins so, such as ``12345e6`` and ``0o14``.
_LIKE_A_NUMBER = re.compile(r"[-+.]?\d")


class _Dumper(yaml.SafeDumper):
    """Quotes each string that any of the two might take for a number."""


def _string(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "'" if _LIKE_A_NUMBER.match(value) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _string)


def dump(document: Any, *, flow: bool = False, sort_keys: bool = False) -> str:
    """
    Return a document as YAML.

    Args:
        document: Strings, numbers, dates, lists and mappings.
        flow: In one line, as one writes it on a command line.
        sort_keys: By their names instead of in their order.

    Raises:
        yaml.representer.RepresenterError: A value is of a kind that YAML does not know.
    """
    options: dict[str, Any] = {"sort_keys": sort_keys, "default_flow_style": flow, "width": float("inf")}
    return str(yaml.dump(document, Dumper=_Dumper, **options))
