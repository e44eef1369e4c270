"""Which dbt is recorded, and what is said of those that nobody has tried."""

from __future__ import annotations

from collections.abc import Mapping

Version = tuple[int, int]

#: The oldest and the newest that this version is tested with.
TESTED: dict[str, tuple[Version, Version]] = {
    "dbt-core": ((1, 9), (1, 12)),
    "dbt-bigquery": ((1, 9), (1, 12)),
}


def refusal(found: Mapping[str, str]) -> str | None:
    """Return why a dbt cannot be recorded, None if it can; *found* are its packages' versions."""
    for package, (oldest, _) in TESTED.items():
        version = _version(found[package])
        if version[0] > 1:
            return (
                f"{package} {found[package]} is dbt 2, which has no Python that its plans could be recorded in. "
                f"{_way_out()}"
            )
        if version < oldest:
            return f"{package} {found[package]} is too old to be recorded. {_way_out()}"
    return None


def warning(found: Mapping[str, str]) -> str | None:
    """Return what to say of a dbt that is newer than those that were tried."""
    newer = [
        f"{package} {found[package]}"
        for package, (_, newest) in TESTED.items()
        if _version(found[package]) > newest
    ]
    if not newer:
        return None
    return (
        f"Warning: {' and '.join(newer)} is newer than what this version of cosmos-async is tested with "
        f"({_tested()}). It is recorded all the same; what is not known here is left to real dbt. "
        "To be on the safe side, pin the tested versions."
    )


def _way_out() -> str:
    return f"Install {_tested()} for this project; newer versions of dbt 1 run with a warning."


def _tested() -> str:
    return " and ".join(
        f"{package} {oldest[0]}.{oldest[1]} to {newest[0]}.{newest[1]}"
        for package, (oldest, newest) in TESTED.items()
    )


def _version(text: str) -> Version:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)
