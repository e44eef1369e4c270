"""Hooks of the run are changed in a project file, and all else stays as it is written."""

from __future__ import annotations

import pytest
import yaml

from cosmos_async.dbt.endpoint.project_file import with_run_hooks

PROJECT = """\
# The shop.
name: shop
vars: {country: NO, code: 00123, at: 12:30, since: 2024-01-01T00:00:00, none: }
on-run-end: {hooks}
models: {shop: {no: {+schema: norway}}}
"""
HOOKS = ["'{{ tell() }}'", "\n- '{{ tell() }}'", "\n  - sql: '{{ tell() }}'", "|\n  {{ tell() }}"]


def _gone(hook: str) -> str:
    return ""


@pytest.mark.parametrize("hooks", HOOKS)
def test_all_but_the_hooks_stays_as_it_is_written(hooks: str) -> None:
    """dbt 2 takes for strings what PyYAML takes for something else."""
    text = PROJECT.replace("{hooks}", hooks)

    changed = with_run_hooks(text, {"on-run-end": _gone})

    assert yaml.safe_load(changed)["on-run-end"] == []
    lines = [line for line in text.splitlines() if "tell" not in line and "on-run-end" not in line]
    assert [line for line in changed.splitlines() if line and "on-run-end" not in line] == lines


def test_a_hook_is_rewritten() -> None:
    text = PROJECT.replace("{hooks}", "['{{ tell() }}', select 1, '']")

    changed = with_run_hooks(
        text, {"on-run-end": lambda hook: f'{{% set é = "1" %}}\n{hook}' if hook else ""}
    )

    assert yaml.safe_load(changed)["on-run-end"] == [
        '{% set é = "1" %}\n{{ tell() }}',
        '{% set é = "1" %}\nselect 1',
    ]


def test_a_file_may_be_json() -> None:
    text = '{"name": "shop", "on-run-start": "select 1", "vars": {"code": "00123"}}'

    changed = with_run_hooks(text, {"on-run-start": _gone})

    assert yaml.safe_load(changed) == {"name": "shop", "on-run-start": [], "vars": {"code": "00123"}}


def test_hooks_may_be_those_of_the_other_end() -> None:
    text = "name: shop\non-run-start: &told ['{{ tell() }}']\non-run-end: *told\nvars: {a: 1}\n"

    assert yaml.safe_load(with_run_hooks(text, {"on-run-end": _gone}))["on-run-start"] == ["{{ tell() }}"]
    both = with_run_hooks(text, {"on-run-start": _gone, "on-run-end": _gone})
    assert yaml.safe_load(both) == {"name": "shop", "on-run-start": [], "on-run-end": [], "vars": {"a": 1}}


def test_what_cannot_be_taken_out_alone_is_an_error() -> None:
    text = "name: shop\non-run-start: &told ['{{ tell() }}']\nvars: {told: *told}\n"

    with pytest.raises(ValueError, match="depends on them"):
        with_run_hooks(text, {"on-run-start": _gone})


@pytest.mark.parametrize("text", ["name: shop\n", "", "- a\n", "name: on-run-end\nvars: {on-run-end: x}\n"])
def test_a_file_without_hooks_stays(text: str) -> None:
    assert with_run_hooks(text, {"on-run-end": _gone}) == text
