"""
A part of an earlier invocation: some of its nodes, run or recorded alone, with the project as it was parsed then.

It runs in dbt's own interpreter, for what records nodes anew and for what runs them. dbt is
given the whole invocation's arguments, and so ``selected_resources``, ``--defer`` and ``invocation_args_dict`` mean
what they mean there. Then its queue is narrowed to the nodes in the way of ``dbt retry``. No selector could do that:
names of tests repeat, ``fqn:`` takes folders along, and a model brings its unit tests. The hooks of the run
(on-run-start, on-run-end) belong to the whole run and are left out.
"""

# mypy: disable-error-code=import-not-found
from __future__ import annotations

import datetime
import json
import os
import zlib
from dataclasses import dataclass
from typing import Any, NoReturn

from .common import need, pin_invocation

#: What of a parsed project serves only to parse it again: contents of files, values of environment variables.
NOT_KEPT = ("files", "env_vars")
#: The exit code where the parsed project cannot be used here, so that dbt has to parse it; nothing has been done.
UNUSABLE = 75
_DAMAGED = (zlib.error, ValueError, TypeError, LookupError)
_PROJECT = "dbt_project.yml"
_CATALOGS = "catalogs.yml"


@dataclass(frozen=True)
class Part:
    """
    Which nodes, of which invocation.

    Args:
        unique_ids: The nodes.
        invocation_id: What the run's jobs carry as a label; None leaves dbt's own.
        started_at: The run's ``run_started_at``: UTC, ISO 8601; None leaves dbt's own.
        dbt_version: The dbt that parsed the project.
        parsed: The file that :func:`keep` wrote; None means that dbt parses the project.
        anew: Whether dbt parses the project all the same, and takes only what it knew of the warehouse from the file.
    """

    unique_ids: tuple[str, ...]
    invocation_id: str | None = None
    started_at: str | None = None
    dbt_version: str | None = None
    parsed: str | None = None
    anew: bool = False

    @classmethod
    def read(cls, path: str) -> Part:
        """Return the part that a JSON file describes."""
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
        return cls(tuple(document.pop("unique_ids")), **document)

    def narrow(self) -> None:
        """Make dbt part of the invocation, and its graph tasks run these nodes alone, without the run's hooks."""
        pin_invocation(self.invocation_id, self.started_at)
        _narrow(frozenset(self.unique_ids))
        if self.parsed is None:
            return
        try:
            relations = _kept(self.parsed)["relations"]
        except _DAMAGED:
            return  # what is wrong with the file, who asks for the project says
        _remember_relations(relations)

    def manifest(self) -> Any:
        """
        Return the project as it was parsed, for dbt to use; None where it was not kept.

        Raises:
            SystemExit: It cannot be used here; the code is :data:`UNUSABLE`.
        """
        from dbt.version import __version__

        if self.parsed is None or self.anew:
            return None
        if self.dbt_version != __version__:
            _give_up(
                f"dbt {self.dbt_version} parsed it for this run, and dbt {__version__} is installed here"
            )
        try:
            return _load(self.parsed)
        except _DAMAGED as error:
            _give_up(f"{type(error).__name__}: {error}")


def keep(config: Any, flags: Any, path: str, relations: Any) -> None:
    """
    Keep the project as dbt has just parsed it; where that is not possible, it will be parsed again.

    Args:
        config: dbt's RuntimeConfig.
        flags: dbt's flags.
        path: The file to write.
        relations: What dbt's cache knew at the run's beginning (``start``) and at its end (``end``), each as
            :func:`relations_of` returns it, and the relations of which only the run itself can tell (``open``).
    """
    import msgpack

    parsed = os.path.join(config.project_target_path, "partial_parse.msgpack")
    # With a manifest at hand dbt does not register catalogs; with a path of its own for the parsed project, the one
    # that we see may be an old one.
    if os.path.exists(os.path.join(config.project_root, _CATALOGS)) or flags.PARTIAL_PARSE_FILE_PATH:
        return
    # With a folder of packages that is not the working copy's, another machine may have other packages in it.
    if not os.path.isfile(parsed) or os.path.isabs(config.packages_install_path):
        return
    with open(parsed, "rb") as file:
        document = msgpack.unpackb(file.read(), strict_map_key=False)
    for name in NOT_KEPT:
        document[name] = {}
    packages = os.path.join(config.project_root, config.packages_install_path)
    kept = {
        "manifest": msgpack.packb(document),
        "relations": relations,
        "packages": {
            os.path.relpath(os.path.join(folder, _PROJECT), config.project_root): _text(folder)
            for folder in (os.path.join(packages, name) for name in _names(packages))
            if os.path.isfile(os.path.join(folder, _PROJECT))
        },
    }
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb") as file:
        file.write(zlib.compress(msgpack.packb(kept), 1))
    os.replace(temporary, path)


def relations_of(adapter: Any) -> list[list[Any]]:
    """Return what dbt's cache knows: project, dataset, name and type of each relation."""
    with adapter.cache.lock:
        known = [cached.inner for cached in adapter.cache.relations.values()]
    return [[one.database, one.schema, one.identifier, one.type and str(one.type.value)] for one in known]


def _remember_relations(kept: dict[str, Any]) -> None:
    """
    Let dbt know of the warehouse what it knew in the run's own process, instead of what is there by now.

    dbt lists a dataset when the run begins. Of what comes and goes later it knows only what its nodes tell it: what a
    hook's SQL makes is not there for ``get_relation`` until the next run.
    """
    from dbt.task.runnable import GraphRunnableTask

    need(GraphRunnableTask, "populate_adapter_cache")
    populate = GraphRunnableTask.populate_adapter_cache

    def populating(task: Any, adapter: Any, *args: Any, **kwargs: Any) -> None:
        populate(task, adapter, *args, **kwargs)
        _restore(adapter, kept)

    GraphRunnableTask.populate_adapter_cache = populating


def _restore(adapter: Any, kept: dict[str, Any]) -> None:
    start, end = ({tuple(one[:3]): one[3] for one in kept[name]} for name in ("start", "end"))
    schemas = {tuple(schema) for schema in kept["schemas"]}
    with adapter.cache.lock:
        found = [cached.inner for cached in adapter.cache.relations.values()]
    now = {(one.database, one.schema, one.identifier): one for one in found}
    unforetold = {tuple(path) for path in kept["open"]}
    for path, relation in now.items():
        # Neither was it there, nor has a node told dbt of it.
        listed = tuple(part.lower() for part in path[:2]) in schemas
        if listed and path not in unforetold and path not in start and path not in end:
            adapter.cache_dropped(relation)
    for path, kind in start.items():
        database, schema, identifier = path
        # What no node has told dbt of a change is to dbt as it was.
        if path in unforetold or end.get(path, "") != kind or (database, schema) not in adapter.cache:
            continue
        if path in now and (now[path].type and str(now[path].type.value)) == kind:
            continue
        if path in now:
            adapter.cache_dropped(now[path])
        adapter.cache_added(
            adapter.Relation.create(
                database=database,
                schema=schema,
                identifier=identifier,
                quote_policy={"schema": True, "identifier": True},
                type=kind,
            )
        )


def _kept(path: str) -> Any:
    import msgpack

    with open(path, "rb") as file:
        return msgpack.unpackb(zlib.decompress(file.read()))


def _load(path: str) -> Any:
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.manifest import extended_mashumuro_decoder

    kept = _kept(path)
    manifest = Manifest.from_msgpack(kept["manifest"], decoder=extended_mashumuro_decoder)
    _renew(manifest.metadata)
    manifest.build_flat_graph()
    # Packages give their variables while a node is compiled; all the rest of them is in the manifest.
    root = os.environ.get("DBT_PROJECT_DIR", os.curdir)
    for name, text in kept["packages"].items():
        project = os.path.join(root, name)
        if not os.path.isdir(os.path.dirname(project)):
            os.makedirs(os.path.dirname(project))
            with open(project, "w", encoding="utf-8") as file:
                file.write(text)
    return manifest


def _renew(metadata: Any) -> None:
    """Let a project that was parsed before say of itself what one says that is parsed now, as dbt's partial parsing does."""
    import dbt_common.invocation as invocation

    now = datetime.datetime.now(datetime.timezone.utc)
    started_at = invocation.get_invocation_started_at()
    for name, value in {
        "generated_at": now.replace(tzinfo=None),
        "invocation_id": invocation.get_invocation_id(),
        "invocation_started_at": started_at,
        "run_started_at": started_at and started_at.replace(tzinfo=datetime.timezone.utc),
    }.items():
        if hasattr(metadata, name):  # which of them there are, depends on dbt's version
            setattr(metadata, name, value)


def _give_up(why: str) -> NoReturn:
    # What dbt's process prints is the task's log.
    print(f"[cosmos-async] The project is parsed again: {why}.", flush=True)  # noqa: T201
    raise SystemExit(UNUSABLE)


def _names(folder: str) -> list[str]:
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def _text(folder: str) -> str:
    with open(os.path.join(folder, _PROJECT), encoding="utf-8") as file:
        return file.read()


def _ephemerals(task: Any, unique_ids: frozenset[str]) -> set[str]:
    """Return the ephemeral models that nodes read, and those that these read."""
    found: set[str] = set()
    waiting = list(unique_ids)
    while waiting:
        for parent in task.graph.graph.predecessors(waiting.pop()):
            node = task.manifest.nodes.get(parent)
            if node is not None and node.is_ephemeral_model and parent not in found:
                found.add(parent)
                waiting.append(parent)
    return found


def _narrow(unique_ids: frozenset[str]) -> None:
    from dbt.artifacts.schemas.results import RunStatus
    from dbt.exceptions import DbtRuntimeError
    from dbt.graph import GraphQueue
    from dbt.task import runnable
    from dbt.task.build import BuildTask
    from dbt.task.run import RunTask
    from dbt.task.runnable import GraphRunnableTask

    need(GraphRunnableTask, "get_graph_queue")
    need(RunTask, "before_run", "safe_run_hooks")
    need(BuildTask, "get_graph_queue", "build_model_to_unit_test_map")
    need(runnable, "write_manifest")
    # Setup has kept it for the run. Writing it again is the dearest thing that dbt does for one node of a large project.
    runnable.write_manifest = lambda *_, **__: None

    def narrowed(original: Any) -> Any:
        def get_graph_queue(self: Any) -> Any:
            selected = original(
                self
            ).get_selected_nodes()  # it also tells the project what the whole run selects
            gone = sorted(unique_ids.difference(self.graph.nodes()))
            if gone:
                raise DbtRuntimeError(
                    f"{gone[0]} is not in this project any more. Clear the setup task, so that the run is planned anew."
                )
            if isinstance(self, BuildTask):
                # A unit test is a node of the queue now, and a model brings none.
                self.selected_unit_tests = set()
                self.model_to_unit_test_map = {}
            # Without them, dbt would blame a node for an ephemeral model that does not compile.
            taken = unique_ids.union(_ephemerals(self, unique_ids).intersection(selected))
            return GraphQueue(self.graph.get_subset_graph(taken).graph, self.manifest, set(taken))

        return get_graph_queue

    before_run = RunTask.before_run

    def before_run_with_schemas(self: Any, adapter: Any, selected_uids: Any) -> Any:
        # A unit test makes a table in the schema of its model, which dbt makes for the model beside it.
        tests = [self.manifest.unit_tests[one] for one in unique_ids if one in self.manifest.unit_tests]
        models = [model for test in tests for model in test.depends_on.nodes]
        return before_run(self, adapter, frozenset(selected_uids).union(models))

    for task in (GraphRunnableTask, BuildTask):
        task.get_graph_queue = narrowed(task.__dict__["get_graph_queue"])
    RunTask.before_run = before_run_with_schemas
    RunTask.safe_run_hooks = lambda *_, **__: RunStatus.Success
