"""
Every argument of Cosmos, given to both packages: of the configuration, of ``operator_args``, of ``meta.cosmos`` and of operators.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import cosmos

import cosmos_async
from tests.probe import samples
from tests.probe.judge import BADLY, CLEARLY, IGNORED, MISSING, SAME, TOLD, Row, Seen, see, verdict
from tests.probe.samples import ENUMS, LEFT_OUT, SHOP
from tests.probe.snapshot import Snapshot, of_tasks, told

MANIFEST = Path(__file__).parents[1] / "unit" / "shop_manifest.json"
DBT = Path(__file__).parents[2] / ".venvs" / "dbt-1.12" / "bin" / "dbt"  # where a manifest alone does not do
NODE = "model.corner_shop.stg_orders"  # whose meta is varied
CONFIGS = {
    "ProjectConfig": samples.PROJECT,
    "ProfileConfig": samples.PROFILE,
    "ExecutionConfig": samples.EXECUTION,
    "RenderConfig": samples.RENDER,
}
COMMANDS = ("Build", "Clone", "Compile", "LS", "Run", "RunOperation", "Seed", "Snapshot", "Source", "Test")


class NoSample(Exception):
    """An argument of Cosmos is not in ``samples``."""


def _config(package: ModuleType, which: str, **changes: Any) -> Any:
    mapping = importlib.import_module(
        f"{package.__name__}.profiles"
    ).GoogleCloudServiceAccountDictProfileMapping
    given: dict[str, dict[str, Any]] = {
        "ProjectConfig": {"dbt_project_path": SHOP, "manifest_path": MANIFEST},
        "ProfileConfig": {
            "profile_name": "corner_shop",
            "target_name": "dev",
            "profile_mapping": mapping(conn_id="c", profile_args={"project": "p", "dataset": "d"}),
        },
        "ExecutionConfig": {
            "execution_mode": package.ExecutionMode.AIRFLOW_ASYNC,
            "async_py_requirements": ["dbt-bigquery"],
            "dbt_executable_path": DBT,
        },
        "RenderConfig": {"load_method": package.LoadMode.DBT_MANIFEST},
    }
    return getattr(package, which)(**{**given[which], **changes})


def _dag(package: ModuleType, configs: dict[str, Any] | None = None, **kwargs: Any) -> Snapshot:
    made = {which: _config(package, which) for which in CONFIGS if which not in (configs or {})}
    names = {which: which.replace("Config", "_config").lower() for which in CONFIGS}
    dag = package.DbtDag(
        dag_id="shop",
        start_date=datetime(2026, 1, 1),
        schedule=None,
        **{names[which]: value for which, value in {**made, **(configs or {})}.items()},
        **kwargs,
    )
    return of_tasks(dag.tasks)


def _both(make: Callable[[ModuleType], Snapshot], bases: dict[ModuleType, Snapshot]) -> tuple[Seen, Seen]:
    theirs, ours = (see(partial(make, package), bases[package]) for package in (cosmos, cosmos_async))
    return theirs, ours


def bases() -> dict[ModuleType, Snapshot]:
    """Return the DAG that all others are compared with, in each package."""
    return {package: _dag(package) for package in (cosmos, cosmos_async)}


def of_configs(bases: dict[ModuleType, Snapshot]) -> Iterator[Row]:
    """Yield a row for each value of each argument of the configuration classes."""
    for which, values in CONFIGS.items():
        for word in _arguments(getattr(cosmos, which)):
            if (which, word) in ENUMS:
                yield from _of_enum(which, word, bases)
                continue
            if word == "node_converters":
                yield from _of_converters(bases)
                continue
            for value in _samples(which, word, values):
                # A place may be named only once.
                more = (
                    {"ProjectConfig": _config_of_manifest}
                    if word == "dbt_project_path" and which != "ProjectConfig"
                    else {}
                )

                def make(
                    package: ModuleType,
                    which: str = which,
                    word: str = word,
                    value: Any = value,
                    more: Any = more,
                ) -> Snapshot:
                    configs = {name: function(package) for name, function in more.items()}
                    return _dag(package, {**configs, which: _config(package, which, **{word: value})})

                yield Row(which, word, told(value), *verdict(word, *_both(make, bases)))


def _config_of_manifest(package: ModuleType) -> Any:
    return package.ProjectConfig(manifest_path=MANIFEST, project_name="shop")


def _of_converters(bases: dict[ModuleType, Snapshot]) -> Iterator[Row]:
    for kind in cosmos.DbtResourceType:

        def make(package: ModuleType, name: str = kind.name) -> Snapshot:
            converters = {package.DbtResourceType[name]: samples.converted}
            return _dag(
                package, {"RenderConfig": _config(package, "RenderConfig", node_converters=converters)}
            )

        if kind.name not in cosmos_async.DbtResourceType.__members__:
            yield Row(
                "RenderConfig", "node_converters", kind.value, MISSING, f"no DbtResourceType.{kind.name}"
            )
            continue
        yield Row(
            "RenderConfig", "node_converters", kind.value, *verdict("node_converters", *_both(make, bases))
        )


def _of_enum(which: str, word: str, bases: dict[ModuleType, Snapshot]) -> Iterator[Row]:
    enum = ENUMS[which, word]
    for member in getattr(cosmos, enum):

        def make(package: ModuleType, value: Any) -> Snapshot:
            return _dag(package, {which: _config(package, which, **{word: value})})

        if member.name not in getattr(cosmos_async, enum).__members__:
            yield Row(which, word, member.name, MISSING, f"no {enum}.{member.name}")
            continue
        theirs, ours = (
            see(partial(make, package, getattr(package, enum)[member.name]), bases[package])
            for package in (cosmos, cosmos_async)
        )
        yield Row(which, word, member.name, *verdict(word, theirs, ours))
        text = see(partial(make, cosmos_async, member.value), bases[cosmos_async])
        yield Row(which, word, f"{member.value!r}", *_like(word, ours, text))
        foreign = see(partial(make, cosmos_async, member), bases[cosmos_async])
        yield Row(which, word, f"{member.name} of cosmos", *_like(word, ours, foreign))


def _like(word: str, own: Seen, other: Seen) -> tuple[str, str]:
    """Judge another spelling of a value, which is to do what the member does."""
    if other.error is not None:
        from cosmos_async.exceptions import CosmosAsyncError

        line = f"{type(other.error).__name__}: {' '.join(str(other.error).split())[:300]}"
        if own.error is not None and str(own.error) == str(other.error):
            return SAME, "refused as the member is"
        return (
            CLEARLY if isinstance(other.error, CosmosAsyncError) and word in str(other.error) else BADLY
        ), line
    if own.error is not None:
        return IGNORED, "accepted, although the member is refused"
    return (SAME, "") if own.change == other.change else (IGNORED, "does not do what the member does")


def _operator_words() -> dict[str, list[Any]]:
    """Return the values of all words that Cosmos' operators take."""
    from airflow.sdk import BaseOperator
    from cosmos.operators import base, local, virtualenv

    found: set[str] = set()
    for module in (base, local, virtualenv):
        for value in vars(module).values():
            if (
                inspect.isclass(value)
                and value.__module__ == module.__name__
                and "Dbt" in value.__name__
                and "Docs" not in value.__name__
            ):
                found |= set(_arguments(value))
    known = {**samples.AIRFLOW, **samples.DBT, **samples.JOB}
    words = sorted({*found, *samples.JOB, *_arguments(BaseOperator)})
    unknown = [word for word in words if word not in known]
    if unknown:
        raise NoSample(
            f"Arguments of operators have no values in tests/probe/samples.py: {', '.join(unknown)}."
        )
    return {word: known[word] for word in words}


def of_operator_args(bases: dict[ModuleType, Snapshot]) -> Iterator[Row]:
    """Yield a row for each word of ``operator_args``, and for one that nobody knows."""
    for word, values in {**_operator_words(), "retires": [7]}.items():
        for value in values:

            def make(package: ModuleType, word: str = word, value: Any = value) -> Snapshot:
                return _dag(package, operator_args={word: value})

            yield Row("operator_args", word, told(value), *verdict(word, *_both(make, bases)))


def of_meta(bases: dict[ModuleType, Snapshot]) -> Iterator[Row]:
    """Yield a row for each word of a model's ``meta.cosmos``, and of its ``operator_kwargs`` as far as YAML can say it."""
    cases = [
        (word, value, {"operator_kwargs": {word: value}})
        for word, values in _operator_words().items()
        for value in values
    ]
    cases += [("profile_config", "another", {"profile_config": {"profile_name": "another"}})]
    with tempfile.TemporaryDirectory() as folder:
        for number, (word, value, settings) in enumerate(cases):
            document = json.loads(MANIFEST.read_text())
            document["nodes"][NODE]["config"]["meta"] = {"cosmos": settings}
            try:
                text = json.dumps(document)
            except TypeError:
                continue
            path = Path(folder) / f"{number}.json"
            path.write_text(text)

            def make(package: ModuleType, path: Path = path) -> Snapshot:
                return _dag(package, {"ProjectConfig": _config(package, "ProjectConfig", manifest_path=path)})

            group = "meta.cosmos.operator_kwargs" if "operator_kwargs" in settings else "meta.cosmos"
            yield Row(group, word, told(value), *verdict(word, *_both(make, bases)))


def of_dags(bases: dict[ModuleType, Snapshot]) -> Iterator[Row]:
    """Yield a row for each argument of ``DbtDag`` itself that is not a configuration."""
    for word in inspect.signature(
        importlib.import_module("cosmos.converter").DbtToAirflowConverter.__init__
    ).parameters:
        if word in LEFT_OUT or word.endswith("_config") or word == "operator_args":
            continue

        def make(package: ModuleType, word: str = word) -> Snapshot:
            return _dag(package, **{word: samples.called})

        yield Row("DbtDag and DbtTaskGroup", word, "<called>", *verdict(word, *_both(make, bases)))


def of_operators() -> Iterator[Row]:
    """Yield a row for each argument of each operator that runs dbt by itself."""
    for command in COMMANDS:
        name = f"Dbt{command}LocalOperator"
        required = {"macro_name": "clean"} if command == "RunOperation" else {}

        def operator(
            package: ModuleType, name: str = name, required: Any = required, **words: Any
        ) -> Snapshot:
            made = getattr(importlib.import_module(f"{package.__name__}.operators.local"), name)
            given = {
                "project_dir": str(SHOP),
                "profile_config": _config(package, "ProfileConfig"),
                **required,
                **words,
            }
            return of_tasks([made(task_id="t", **given)])

        plain = {package: operator(package) for package in (cosmos, cosmos_async)}
        for word, values in samples.DBT.items():
            for value in values:
                theirs, ours = (
                    see(
                        lambda package=package, word=word, value=value: operator(package, **{word: value}),
                        plain[package],
                    )  # type: ignore[misc]
                    for package in (cosmos, cosmos_async)
                )
                if (
                    word in ("args", "macro_name", "full_refresh", "on_warning_callback", "log_format")
                    and not theirs.change
                ):
                    continue  # of other commands
                yield Row(f"operators.local.{name}", word, told(value), *verdict(word, theirs, ours))


def of_settings(bases: dict[ModuleType, Snapshot]) -> Iterator[Row]:
    """Yield a row for each setting of section ``[cosmos]``: is it understood here, or said to have no effect?"""
    from cosmos_async import settings
    from cosmos_async.exceptions import ConfigError

    source = inspect.getsource(importlib.import_module("cosmos.settings"))
    for name in sorted(set(re.findall(r'"cosmos",\s*"(\w+)"', source))):
        variable = f"AIRFLOW__COSMOS__{name.upper()}"
        for value in ("True", "False", "gs://bucket/own"):
            if value[0] in "TF" and name.endswith(("path", "dir", "conn_id")):
                continue
            before = _told_settings(settings)
            os.environ[variable] = value
            try:
                changed = _told_settings(settings) != before
                seen = see(partial(_dag, cosmos_async), bases[cosmos_async])
            finally:
                del os.environ[variable]
            if seen.error is not None:
                clear = isinstance(seen.error, ConfigError) and name in str(seen.error)
                row = (CLEARLY if clear else BADLY, f"{type(seen.error).__name__}: {seen.error}")
            elif changed or seen.change:
                row = (SAME, "")
            elif said := next((text for text in seen.heard if name in text), None):
                row = (TOLD, said)
            else:
                continue
            yield Row("Settings", name, value, *row)
            break
        else:
            yield Row("Settings", name, "", IGNORED, "nothing here reads it")


def _told_settings(settings: ModuleType) -> dict[str, str]:
    """Return what the code finds for each of its settings; some have another name in Cosmos as well."""
    told = {}
    for name, function in inspect.getmembers(settings, inspect.isfunction):
        if function.__module__ == settings.__name__ and not name.startswith("_"):
            try:
                told[name] = str(function())
            except Exception as error:
                told[name] = str(error)
    return told


def _arguments(made: Any) -> list[str]:
    signature = inspect.signature(made if dataclasses.is_dataclass(made) else made.__init__)
    return [
        name
        for name, parameter in signature.parameters.items()
        if name not in LEFT_OUT and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    ]


def _samples(which: str, word: str, values: dict[str, list[Any]]) -> list[Any]:
    if word not in values:
        raise NoSample(f"{which}({word}=...) has no value in tests/probe/samples.py.")
    return values[word]
