"""
Copies of the checkout's projects as dbt 2 accepts them: they are written for dbt 1.9, too.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

#: Keys of a test in YAML that are not arguments of its macro (dbt-core 2.0.0-alpha.4).
_CONFIGS = {
    "alias", "database", "enabled", "error_if", "fail_calc", "group", "limit", "meta", "schema", "severity",
    "store_failures", "store_failures_as", "tags", "warn_if", "where",
}  # fmt: skip
_OTHERS = {"arguments", "column_name", "config", "description", "name", "test_name"}


def copy_for_dbt_2(source: Path, target: Path) -> Path:
    """Copy a project, with the arguments and configs of its tests where dbt 2 wants them; return *target*."""
    leftovers = shutil.ignore_patterns("target", "logs", "dbt_packages", ".user.yml")
    shutil.copytree(source, target, ignore=leftovers)
    for path in target.rglob("*.y*ml"):
        if path.name in ("profiles.yml", "packages.yml"):
            continue
        text = path.read_text()
        if "tests:" in text:
            path.write_text(yaml.safe_dump(_migrated(yaml.safe_load(text)), sort_keys=False, width=1000))
    return target


def _migrated(part: Any) -> Any:
    if isinstance(part, list):
        return [_migrated(each) for each in part]
    if not isinstance(part, dict):
        return part
    return {
        key: [_test(each) for each in value]
        if key in ("tests", "data_tests") and isinstance(value, list)
        else _migrated(value)
        for key, value in part.items()
    }


def _test(test: Any) -> Any:
    """Move the arguments of one generic test below `arguments`, and its configs below `config`."""
    if not isinstance(test, dict):
        return test
    if len(test) == 1:
        ((name, told),) = test.items()
        return {name: _sorted(told)} if isinstance(told, dict) else test
    return _sorted(test)


def _sorted(told: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in told.items() if key in _OTHERS}
    configs = {key: value for key, value in told.items() if key in _CONFIGS}
    arguments = {key: value for key, value in told.items() if key not in _OTHERS | _CONFIGS}
    if configs:
        kept["config"] = {**configs, **told.get("config", {})}
    if arguments:
        kept["arguments"] = {**told.get("arguments", {}), **arguments}
    return kept
