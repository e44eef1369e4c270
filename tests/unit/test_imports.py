"""What importing this package costs and brings along."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cosmos_async

HERE = Path(cosmos_async.__file__).parents[1]
HEAVY = ("dbt", "google.cloud", "google.auth", "aiohttp", "gcloud", "requests")


def modules_after(code: str) -> set[str]:
    """Return what a fresh interpreter has imported after *code*."""
    script = f"import sys; before = set(sys.modules)\n{code}\nprint(*sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True, cwd=HERE
    )
    return set(done.stdout.splitlines()[-1].split())


def heavy(modules: set[str]) -> set[str]:
    """Return those that a DAG file must not pay for."""
    return {name for name in modules if any(name == root or name.startswith(f"{root}.") for root in HEAVY)}


def test_importing_the_package_imports_hardly_anything() -> None:
    """Not even Airflow: workers, triggerer and tools import it for its pure modules."""
    loaded = modules_after("import cosmos_async") - modules_after("import importlib, typing")

    assert {name.split(".")[0] for name in loaded} == {"cosmos_async"}


def test_a_dag_file_pays_for_no_client_and_no_dbt() -> None:
    """Beyond what Airflow itself imports."""
    airflow = modules_after("from cosmos_async.airflow.compat import DAG")
    ours = modules_after(
        "from cosmos_async import DbtDag, DbtTaskGroup, ProjectConfig, ProfileConfig, ExecutionConfig, RenderConfig\n"
        "from cosmos_async.profiles import GoogleCloudServiceAccountDictProfileMapping\n"
        "from cosmos_async.constants import TestBehavior"
    )

    assert heavy(ours - airflow) == set()


def imported_within_functions(path: Path) -> set[str]:
    """The modules of ours that a file imports as it is executed, and not for its types alone."""
    found: set[str] = set()
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            imports = [each for each in ast.walk(function) if isinstance(each, ast.ImportFrom)]
            found |= {str(each.module) for each in imports if str(each.module).startswith("cosmos_async.")}
    return found


def test_what_tasks_import_is_there_before_airflow_forks_them() -> None:
    """By the plugin, so that no task waits for it."""
    tasks = {
        module
        for path in (HERE / "cosmos_async/operators").glob("*.py")
        for module in imported_within_functions(path)
    }

    assert "cosmos_async.triggers.storage.documents" in tasks
    assert tasks - modules_after("import cosmos_async.airflow_plugin") == set()


def test_every_public_name_can_be_imported() -> None:
    """Names are found when they are first used; none may be misspelt."""
    for name in cosmos_async.__all__:
        assert getattr(cosmos_async, name) is not None
    assert set(cosmos_async.__all__) <= set(dir(cosmos_async))


def evaluated_unions(tree: ast.AST) -> Iterator[str]:
    """Types joined by ``|`` where Python evaluates them, which Python 3.9 cannot: anywhere but in annotations."""
    annotations = {
        id(part)
        for node in ast.walk(tree)
        for name in ("annotation", "returns")
        for annotation in [getattr(node, name, None)]
        if annotation is not None
        for part in ast.walk(annotation)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) and id(node) not in annotations:
            sides = (node.left, node.right)
            if any(isinstance(side, ast.Constant) and side.value is None for side in sides) or any(
                isinstance(side, ast.Name) and side.id in ("str", "bytes", "int", "float", "bool")
                for side in sides
            ):
                yield f"line {node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("Key = tuple[str, str | None]", ["line 1: str | None"]),
        ("isinstance(x, int | y)", ["line 1: int | y"]),
        ("x: str | None = a | b", []),
        ("def f(x: str | None) -> int | None: return x", []),
    ],
)
def test_unions_are_found(code: str, found: list[str]) -> None:
    """The one below can fail."""
    assert list(evaluated_unions(ast.parse(code))) == found


def test_the_oldest_python_can_import_every_module() -> None:
    """Airflow 2.8 to 2.11 run on Python 3.9, of which most tests do not."""
    modules = [*(HERE / "cosmos_async").rglob("*.py"), *(HERE / "triggers").rglob("*.py")]
    found = {str(path): list(evaluated_unions(ast.parse(path.read_text("utf-8")))) for path in modules}

    assert len(modules) > 300
    assert {path: unions for path, unions in found.items() if unions} == {}
