"""
Enum members by value: what an author may write where a configuration class asks for one of :mod:`cosmos_async.constants`.

A member, its value as a string, or the member of the same name that another package (Cosmos) has for it. A shared
module of a deployment can therefore serve DAGs of both packages, and nothing is compared by identity with a member
that only looks the same.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

from cosmos_async.exceptions import ConfigError

Choice = TypeVar("Choice", bound=Enum)


def choice(kind: type[Choice], value: object, setting: str) -> Choice:
    """
    Return the member of *kind* that *value* means.

    Args:
        kind: One of the enums of :mod:`cosmos_async.constants`.
        value: A member of it, a value or a name of one, or a member of an enum with the same name.
        setting: What the author has set, such as ``RenderConfig.test_behavior``.

    Raises:
        ConfigError: It means none of them.
    """
    if isinstance(value, kind):
        return value
    meant = value
    # Cosmos builds one of its enums with aenum, so its members are not Python's Enum.
    if type(value).__name__ == kind.__name__:
        meant = getattr(value, "value", value)
    if isinstance(meant, str):
        word = meant.strip().lower()
        for member in kind:
            if word in (member.value, member.name.lower()):
                return member
    raise ConfigError(
        f"{setting} is {value!r}. Set it to one of {', '.join(f'{kind.__name__}.{one.name}' for one in kind)}."
    )
