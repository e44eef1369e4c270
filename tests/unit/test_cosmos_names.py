"""
What can be imported from Cosmos is here as well, or is refused in one sentence; Python's own questions are not disturbed.
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
import pickle
import subprocess
import sys

import pytest

import cosmos_async
from cosmos_async.cosmos_names import ForeignNames, why_not


def imported(statement: str) -> dict[str, object]:
    """Return the names that an import statement brings."""
    names: dict[str, object] = {}
    exec(statement, names)
    return names


@pytest.mark.parametrize(
    ("place", "name", "home"),
    [
        ("cosmos_async.airflow.dag", "DbtDag", "cosmos_async.dag.dbt_dag"),
        ("cosmos_async.airflow.task_group", "DbtTaskGroup", "cosmos_async.dag.dbt_dag"),
        ("cosmos_async.profiles.bigquery.oauth", "GoogleCloudOauthProfileMapping", "cosmos_async.profiles"),
        ("cosmos_async", "DbtRunOperationLocalOperator", "cosmos_async.operators.local"),
    ],
)
def test_names_are_where_cosmos_has_them(place: str, name: str, home: str) -> None:
    """And the same object as where they live here."""
    assert imported(f"from {place} import {name}")[name] is getattr(importlib.import_module(home), name)


@pytest.mark.parametrize(
    ("statement", "path", "words"),
    [
        ("from cosmos_async import DbtRunKubernetesOperator", "DbtRunKubernetesOperator", "in containers"),
        ("import cosmos_async.operators.docker", "operators.docker", "in containers"),
        (
            "from cosmos_async.operators.docker import DbtRunDockerOperator",
            "operators.docker",
            "in containers",
        ),
        (
            "from cosmos_async.operators import DbtDocsS3Operator",
            "operators.DbtDocsS3Operator",
            "DbtDocsGCSOperator",
        ),
        ("from cosmos_async import cache", "cache", "cache_dir"),
        (
            "from cosmos_async.profiles import TrinoLDAPProfileMapping",
            "profiles.TrinoLDAPProfileMapping",
            "BigQuery",
        ),
        ("from cosmos_async.dbt.graph import DbtNode, DbtGraph", "dbt.graph.DbtGraph", "inside"),
        ("from cosmos_async.constants import DBT_BINARY_NAME", "constants.DBT_BINARY_NAME", "inside"),
        ("import cosmos_async.converter", "converter", "DbtTaskGroup"),
    ],
)
def test_what_is_not_here_is_refused_in_one_sentence(statement: str, path: str, words: str) -> None:
    """It names what was asked for, the reason, Cosmos' own, and that both can be installed."""
    with pytest.raises(ImportError) as refused:
        imported(statement)

    told = str(refused.value)
    assert told.startswith(f"cosmos_async has no {path}, because ")
    assert words in told
    assert told.endswith(
        f"import it from Cosmos (cosmos.{path}), as both packages can be installed together."
    )
    assert told.count(". ") == 0


def test_a_misspelt_name_is_pythons_own_error() -> None:
    """Not ours to explain, in a package or a plain module."""
    with pytest.raises(ImportError, match=r"cannot import name 'DbtDagg' from 'cosmos_async'"):
        imported("from cosmos_async import DbtDagg")
    with pytest.raises(
        ImportError, match=r"cannot import name 'ExecutionModes' from 'cosmos_async.constants'"
    ):
        imported("from cosmos_async.constants import ExecutionModes")
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'cosmos_async.converters'"):
        imported("import cosmos_async.converters")


def test_attributes_that_are_not_there_are_attribute_errors() -> None:
    """``hasattr``, ``getattr`` with a default, mocks and collectors of doctests ask for whatever they like."""
    assert not hasattr(cosmos_async, "DbtRunKubernetesOperator")
    assert getattr(cosmos_async, "DbtRunKubernetesOperator", None) is None
    assert not hasattr(cosmos_async.constants, "DBT_BINARY_NAME")
    assert not hasattr(cosmos_async, "__wrapped__")
    with pytest.raises(AttributeError, match="in containers"):
        _ = cosmos_async.DbtRunKubernetesOperator


def test_submodules_are_attributes_without_being_imported() -> None:
    """As ``cosmos.constants`` is after ``import cosmos``."""
    script = (
        "import cosmos_async; print(cosmos_async.constants.LoadMode.DBT_LS.value, cosmos_async.io.__name__)"
    )

    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True
    )

    assert told.stdout.split() == ["dbt_ls", "cosmos_async.io"]


def test_a_star_brings_what_is_public() -> None:
    """No more and no less."""
    names = imported("from cosmos_async import *")

    assert set(cosmos_async.__all__) <= set(names)


def test_what_is_pickled_comes_back() -> None:
    """Modules that are asked like packages are modules all the same."""
    mode = cosmos_async.ExecutionMode.AIRFLOW_ASYNC

    assert pickle.loads(pickle.dumps(mode)) is mode
    assert copy.deepcopy(cosmos_async.DbtDag) is cosmos_async.DbtDag


def test_other_packages_are_not_looked_at() -> None:
    """The finder is asked after Python's own, is there once, and knows of one package."""
    importlib.reload(sys.modules["cosmos_async.cosmos_names"])

    names = [getattr(finder, "__name__", type(finder).__name__) for finder in sys.meta_path]

    assert names.count("ForeignNames") == 1
    assert names.index("ForeignNames") > names.index("PathFinder")
    assert importlib.util.find_spec("cosmos_of_nobody") is None
    assert ForeignNames.find_spec("cosmos.operators.kubernetes") is None


def test_a_wrong_setting_is_what_cosmos_calls_it() -> None:
    """``except CosmosValueError`` and ``except ValueError`` go on catching it."""
    from cosmos_async.config import CosmosConfigException
    from cosmos_async.exceptions import CosmosValueError

    with pytest.raises(CosmosValueError) as raised:
        cosmos_async.ProjectConfig(manifest_path="manifest.json")

    assert isinstance(raised.value, ValueError)
    assert CosmosConfigException is CosmosValueError


def test_what_is_here_is_not_refused() -> None:
    """The table would never be asked, and would mislead its reader."""
    for module in ("config", "operators", "operators.local", "profiles", "exceptions", "io"):
        public = importlib.import_module(f"cosmos_async.{module}").__all__ if module != "exceptions" else ()
        assert [name for name in public if why_not(f"{module}.{name}")] == []
        assert why_not(module) is None
    assert [name for name in cosmos_async.__all__ if why_not(name)] == []
