"""
The operators that run real dbt know Cosmos' words: each is honoured, harmless, or refused by name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cosmos_async.config import ProfileConfig
from cosmos_async.dbt.command import dbt_arguments
from cosmos_async.exceptions import ConfigError, ConfigWarning
from cosmos_async.operators import local
from cosmos_async.operators.virtualenv import DbtSeedVirtualenvOperator


@pytest.fixture
def make(shop: Path, profile: ProfileConfig) -> Any:
    """Make an operator for the project."""

    def operator(command: str = "Run", **words: Any) -> Any:
        made = getattr(local, f"Dbt{command}LocalOperator")
        return made(task_id="t", project_dir=shop, profile_config=profile, **words)

    return operator


def command_line(operator: Any) -> list[str]:
    """Return dbt's arguments, without the profile's."""
    words = dbt_arguments(operator._invocation(), tuple(operator.base_cmd), extra=operator.add_cmd_flags())
    at = words.index("--profile")
    return words[:at] + words[at + 4 :]


@pytest.mark.parametrize(
    ("command", "words", "line"),
    [
        ("Run", {}, ["run"]),
        ("Source", {}, ["source", "freshness"]),
        ("Docs", {"dbt_cmd_flags": ["--static"]}, ["docs", "generate", "--static"]),
        ("Build", {"full_refresh": "True", "fail_fast": True}, ["build", "--full-refresh", "--fail-fast"]),
        ("Run", {"models": "orders"}, ["run", "--select", "orders"]),
        ("Test", {"indirect_selection": "cautious"}, ["test", "--indirect-selection", "cautious"]),
        ("Run", {"partial_parse": False, "warn_error": True}, ["--warn-error", "--no-partial-parse", "run"]),
        ("Run", {"quiet": True, "no_version_check": True}, ["--no-version-check", "--quiet", "run"]),
        (
            "RunOperation",
            {"macro_name": "shop.clean", "args": {"days": 3}},
            ["run-operation", "shop.clean", "--args", "{days: 3}"],
        ),
    ],
)
def test_words_of_cosmos_reach_dbt(make: Any, command: str, words: dict[str, Any], line: list[str]) -> None:
    """In places that dbt understands."""
    assert command_line(make(command, **words)) == line


@pytest.mark.parametrize(
    ("word", "value", "way_out"),
    [
        ("schema", "another", "profile_config"),
        ("cancel_query_on_kill", False, "always cancels"),
        ("manifest_filepath", "/tmp/manifest.json", "reads the project itself"),
        ("pip_install_options", ["--pre"], "PIP_INDEX_URL"),
        ("dbt_runner_callbacks", [print], "process of its own"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(make: Any, word: str, value: Any, way_out: str) -> None:
    """With the way out."""
    with pytest.raises(ConfigError, match=rf"task t has {word}=.*{way_out}"):
        make(**{word: value})


@pytest.mark.parametrize(
    ("word", "way_out"), [("emit_datasets", "outlets"), ("should_store_compiled_sql", "artifacts")]
)
def test_what_a_task_does_less_than_in_cosmos_is_said(make: Any, word: str, way_out: str) -> None:
    """The command runs all the same."""
    with pytest.warns(ConfigWarning, match=f"task t: {word}=True has no effect; .*{way_out}"):
        make(**{word: True})


def test_what_says_what_is_so_anyway_is_harmless(make: Any) -> None:
    """Cosmos' own defaults, written out."""
    make(
        schema=None,
        cancel_query_on_kill=True,
        emit_datasets=False,
        copy_dbt_packages=True,
        invocation_mode="x",
    )


def test_select_and_models_are_one_thing(make: Any) -> None:
    """Both would be one too many."""
    with pytest.raises(ConfigError, match="select beside models"):
        make(select="a", models="b")


def test_callbacks_may_be_anybodys(make: Any) -> None:
    """A callback is also the path of a function; one that is not there is an error that says how to write it."""
    told: list[Any] = []
    operator = make(callback=["unittest.mock.Mock", lambda folder, **more: told.append((folder, more))])
    operator.should_upload_compiled_sql = False

    operator.after_dbt(Path("/nowhere"), {"ti": None}, failed=False)

    assert told == [("/nowhere", {"context": {"ti": None}})]
    with pytest.raises(ConfigError, match=r"callback 'shop.upload' cannot be imported"):
        make(callback="shop.upload").after_dbt(Path("/nowhere"), {}, failed=False)


def test_operators_of_virtual_environments_are_the_same(shop: Path, profile: ProfileConfig) -> None:
    """Each can be given requirements."""
    seed = DbtSeedVirtualenvOperator(
        task_id="t", project_dir=shop, profile_config=profile, py_requirements=["dbt-bigquery"]
    )

    assert isinstance(seed, local.DbtSeedLocalOperator)
    assert seed._invocation().execution_config.async_py_requirements == ["dbt-bigquery"]


def test_a_macros_arguments_are_templates(make: Any) -> None:
    """And so is its name."""
    operator = make("RunOperation", macro_name="{{ name }}", args={"day": "{{ ds }}"})

    operator.render_template_fields({"name": "clean", "ds": "2026-01-01"})

    assert (operator.macro_name, operator.args) == ("clean", {"day": "2026-01-01"})
