"""
dbt 2 as a program: its command line for a part of an invocation, with a profile and a project that are changed for it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import yaml

from cosmos_async.dbt.command import dbt_arguments, merged_vars
from cosmos_async.dbt.endpoint.project_file import with_run_hooks
from cosmos_async.dbt.endpoint.run_hooks import END, START
from cosmos_async.dbt.endpoint.server import GOOGLE
from cosmos_async.dbt.invocation import DbtInvocation
from cosmos_async.dbt.options import anchored
from cosmos_async.dbt.process import Finished
from cosmos_async.dbt.project.working_copy import by_both_names
from cosmos_async.dbt.session import Dbt
from cosmos_async.dbt_rules.yaml_text import dump
from cosmos_async.exceptions import ConfigError, DbtError, ProjectError
from cosmos_async.profiles.templates import rendered

Json = dict[str, Any]
STARTED_AT = "DBT_RUN_STARTED_AT"  # pins ``run_started_at`` (``dbt-loader/src/loader.rs``)
_TESTS = ("test", "unit_test")
_PROXIES = ("NO_PROXY", "no_proxy")


@dataclass(frozen=True)
class Listed:
    """What an invocation is about."""

    selected: frozenset[str]  #: unique ids
    manifest: Json


class Program:
    """
    Runs dbt 2.

    Args:
        dbt: Opened for the invocation; it is dbt 2.
    """

    def __init__(self, dbt: Dbt) -> None:
        assert dbt.program is not None
        self._program = dbt.program
        self._dbt = dbt

    def listed(self, select: Sequence[str] | None = None) -> Listed:
        """
        Ask dbt what the invocation selects. It asks BigQuery nothing, and runs no hook.

        Args:
            select: Other terms than the invocation's; no test comes along with what they select.

        Raises:
            DbtError: dbt refused; its own words are in the message.
        """
        invocation = replace(
            self._dbt.invocation,
            full_refresh=False,
            fail_fast=False,
            threads=None,
            event_time_start=None,
            event_time_end=None,
            dbt_cmd_flags=None,
        )
        alone: tuple[str, ...] = ()
        if select is not None:
            invocation = _selecting(invocation, select)
            alone = ("--indirect-selection", "empty")
        output = ("--output", "json", "--output-keys", "unique_id")
        arguments = self._anchored(
            dbt_arguments(invocation, ("ls",), indirect_selection=not alone, extra=(*alone, *output))
        )
        lines: list[str] = []
        with self._heard_by(lines.append):
            finished = self.run(arguments)
        if finished.exit_code != 0:
            raise self._dbt.failure(arguments, finished)
        selected = {json.loads(line)["unique_id"] for line in lines if line.startswith('{"unique_id"')}
        return Listed(frozenset(selected), self.artifact("manifest.json"))

    def build(
        self,
        nodes: Iterable[Mapping[str, Any]],
        extra: Sequence[str],
        *,
        of: Iterable[Mapping[str, Any]] = (),
        env: Mapping[str, str] | None = None,
    ) -> Finished:
        """
        Run ``dbt build`` for some nodes of the invocation and no others.

        Args:
            nodes: Their entries in the manifest.
            extra: dbt's further options.
            of: As for :meth:`arguments`.
            env: Variables in place of those of the working copy.
        """
        return self.run(self.arguments(nodes, extra, of=of), env)

    def arguments(
        self,
        nodes: Iterable[Mapping[str, Any]],
        extra: Sequence[str],
        *,
        of: Iterable[Mapping[str, Any]] = (),
    ) -> list[str]:
        """
        Return the arguments of ``dbt build`` for some nodes of the invocation and no others.

        Args:
            nodes: Their entries in the manifest.
            extra: dbt's further options.
            of: All of the project's nodes, where they are known: which makes it shorter.
        """
        select, exclude = terms(nodes, of)
        invocation = _selecting(self._dbt.invocation, select, exclude)
        found = dbt_arguments(invocation, ("build",), indirect_selection=False)
        return self._anchored([*found, "--indirect-selection", "empty", *extra])

    def command(self, command: Sequence[str]) -> list[str]:
        """Return the arguments of another of dbt's commands, for the same profile and target."""
        profile = self._dbt.invocation.profile_config
        return [*command, "--profile", profile.profile_name, "--target", profile.target_name]

    def run(self, arguments: Sequence[str], env: Mapping[str, str] | None = None) -> Finished:
        """Run dbt with this command line."""
        workspace = self._dbt.workspace
        return self._dbt.processes.run(
            self._program.command(arguments),
            cwd=workspace.project_dir,
            env=self._program.environment({**workspace.env, **(env or {})}),
            secrets=workspace.secrets,
        )

    def artifact(self, name: str) -> Json:
        """
        Return a file that dbt has written to its target folder.

        Raises:
            DbtError: It has not.
        """
        path = self._dbt.workspace.target_path / name
        if not path.is_file():
            raise DbtError(f"dbt has written no {name}.")
        found: Json = json.loads(path.read_bytes())
        return found

    def _anchored(self, arguments: list[str]) -> list[str]:
        return anchored(arguments, self._dbt.workspace.source)

    @contextmanager
    def _heard_by(self, on_line: Any) -> Iterator[None]:
        before, self._dbt.processes.on_line = self._dbt.processes.on_line, on_line
        try:
            yield
        finally:
            self._dbt.processes.on_line = before

    @contextmanager
    def quiet(self) -> Iterator[list[str]]:
        """Keep dbt's lines to ourselves: what it says of nodes that are only planned is not so."""
        lines: list[str] = []
        with self._heard_by(lines.append):
            yield lines


def _selecting(
    invocation: DbtInvocation, select: Sequence[str], exclude: Sequence[str] = ()
) -> DbtInvocation:
    return replace(
        invocation,
        select=list(select),
        exclude=list(exclude) or None,
        selector=None,
        exclude_resource_types=(),
    )


def terms(nodes: Iterable[Mapping[str, Any]], of: Iterable[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """
    Return what selects some nodes and no others, and what is excluded from that, in few terms.

    dbt 2 compares each term with each node, which with thousands of both takes longer than all else. With a node that is
    excluded it leaves out the node's tests as well, so none is but tests.

    Args:
        nodes: Those that are selected.
        of: All there are; none means that it is not known.
    """
    wanted = {node["unique_id"]: node for node in nodes}
    others: dict[str, list[Mapping[str, Any]]] = {}
    for node in of:
        others.setdefault(node["resource_type"], [])
        if node["unique_id"] not in wanted:
            others[node["resource_type"]].append(node)
    select, exclude = [], []
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for node in wanted.values():
        kinds.setdefault(node["resource_type"], []).append(node)
    for kind, found in kinds.items():
        if kind in others and (not others[kind] or (kind in _TESTS and len(others[kind]) < len(found))):
            select.append(f"resource_type:{kind}")
            exclude += [selector_of(node) for node in others[kind]]
        else:
            select += [selector_of(node) for node in found]
    return select, exclude


def selector_of(node: Mapping[str, Any]) -> str:
    """Return what selects a node alone: its path in the project, its file and its kind, as names may begin alike."""
    return f"fqn:{'.'.join(node['fqn'])},resource_type:{node['resource_type']}"


def profile_output(dbt: Dbt) -> Json:
    """Return the profile's target as it stands in the working copy's ``profiles.yml``, its templates not rendered."""
    profile = dbt.invocation.profile_config
    document = yaml.safe_load((dbt.workspace.profiles_dir / "profiles.yml").read_text(encoding="utf-8"))
    output: Json = document[profile.profile_name]["outputs"][profile.target_name]
    return output


def setting(dbt: Dbt, name: str) -> str:
    """Return a setting of the profile's target, its template rendered; empty where it has none."""
    invocation = dbt.invocation
    variables = merged_vars(invocation.project_config.dbt_vars, invocation.vars)
    value = str(profile_output(dbt).get(name) or "")
    return rendered(value, variables, dbt.workspace.env, f"The profile's {name}")


def project_of(dbt: Dbt) -> str:
    """
    Return the project that the profile names.

    Raises:
        ConfigError: It names none.
    """
    found = setting(dbt, "project") or setting(dbt, "database")
    if not found:
        raise ConfigError("The profile names no project. With dbt 2 it has to.")
    return found


def root_of(dbt: Dbt) -> str:
    """Return the root of the BigQuery API that the profile's requests go to."""
    return dbt.endpoint or setting(dbt, "api_endpoint") or GOOGLE


def write_profile(
    dbt: Dbt, endpoint: str, *, without: Collection[str] = (), more: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """
    Write the profile once more, with another ``api_endpoint``, and return the variables by which dbt finds it.

    Args:
        dbt: Opened.
        endpoint: The address.
        without: Settings of the target to leave out.
        more: Settings to put there.
    """
    profile = dbt.invocation.profile_config
    document = yaml.safe_load((dbt.workspace.profiles_dir / "profiles.yml").read_text(encoding="utf-8"))
    outputs = document[profile.profile_name]["outputs"]
    kept = {name: value for name, value in outputs[profile.target_name].items() if name not in without}
    outputs[profile.target_name] = {**kept, **(more or {}), "api_endpoint": endpoint}
    folder = dbt.workspace.target_path.parent / "cosmos_async_profiles"
    folder.mkdir(mode=0o700, exist_ok=True)
    file = folder / "profiles.yml"
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
        stream.write(dump(document))
    env = by_both_names({"DBT_PROFILES_DIR": str(folder)})
    for name in _PROXIES:  # what is on this machine needs no proxy
        named = dbt.workspace.env.get(name)
        env[name] = f"{named},127.0.0.1" if named else "127.0.0.1"
    return env


def remove_run_hooks(dbt: Dbt, when: Collection[str] = (START, END)) -> None:
    """
    Take hooks of the run out of the working copy, those of packages too: dbt 2 has no option to leave them out.

    Args:
        dbt: Opened.
        when: Which of them.

    Raises:
        ProjectError: A project file cannot be changed, as it is not ours.
    """
    rewrite_run_hooks(dbt, dict.fromkeys(when, lambda _: ""))


def rewrite_run_hooks(dbt: Dbt, rewrite: Mapping[str, Callable[[str], str]]) -> None:
    """
    Change hooks of the run in the working copy, those of packages too.

    Args:
        dbt: Opened.
        rewrite: Returns what stands in a hook's place, by when hooks are run; an empty one is no hook.

    Raises:
        ProjectError: A project file cannot be changed.
    """
    workspace = dbt.workspace
    files = [workspace.project_dir / "dbt_project.yml", *workspace.packages_dir.glob("*/dbt_project.yml")]
    for file in files:
        text = file.read_text(encoding="utf-8")
        try:
            changed = with_run_hooks(text, rewrite)
        except (yaml.YAMLError, ValueError) as error:
            raise ProjectError(
                f"{workspace.original(str(file))} has hooks of the run, which a part of a run must not repeat, and they cannot be "
                f"taken out of it: {error}. Write them as plain texts, without anchors that stand for something elsewhere."
            ) from error
        if changed == text:
            continue
        if not file.resolve().is_relative_to(workspace.tree.resolve()):
            raise ProjectError(
                f"{workspace.original(str(file))} has hooks of the run, which a part of a run must not repeat, and dbt 2 can "
                "only be kept from that in a copy of the file. Let packages-install-path be a folder of the project."
            )
        file.unlink()
        file.write_text(changed, encoding="utf-8")
