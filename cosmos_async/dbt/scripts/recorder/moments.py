"""
What a template uses that is another thing in the next run: the clock, chance, the invocation, ``graph``.

A plan that used nothing of it is made of what can be compared: files, options, variables, the warehouse. Each use is noticed
where Jinja looks a name, an attribute or a filter up, so it does not matter in which macro, package or text it stands.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Mapping
from typing import Any

from ..common import need
from ..recording.journal import GRAPH, RUN, WHOLE_CONTEXT
from .session import Recording
from .shared_memory import CHANGES, SharedMemory

#: Names in dbt's contexts, and how a person is told of them.
NAMES = {
    "run_started_at": "run_started_at",
    "invocation_id": "invocation_id",
    "invocation_args_dict": "invocation_args_dict",
    "thread_id": "thread_id",
    "graph": GRAPH,
    "lipsum": "chance",
    "otel_trace_id": "otel_trace_id",
    "otel_span_id": "otel_span_id",
}
#: Names in dbt's contexts (1.9 to 1.12) that are the same in each run, or whose answers guards repeat.
SAME = frozenset(
    """
    _sql_results adapter adapter_macro api column compiled_code config context_macro_stack database dbt_metadata_envs
    dbt_version defer_relation diff_of_two_dicts doc env env_var exceptions execute flags fromjson fromyaml function
    load_agate_table load_result local_md5 log metric model modules post_hooks pre_hooks print project_name ref render
    return schema selected_resources set set_strict source source_node sql sql_now store_raw_result store_result
    submit_python_job target this tojson toyaml try_or_compiler_error validation var write zip zip_strict
    """.split()  # noqa: SIM905
)
#: Of the classes of ``modules.datetime``.
_CLOCK = frozenset(("now", "utcnow", "today"))
#: Of a mapping: what gives all of its values without naming them.
_WHOLE = frozenset(("get", "items", "values", "copy", "pop"))
_WATCHED = frozenset((*NAMES, *_CLOCK, *_WHOLE, *CHANGES))
#: Filters that show a mapping as a whole.
_OF_WHOLE = ("items", "dictsort", "xmlattr", "string", "list", "pprint", "tojson", "urlencode")


class Moments:
    """
    Notices what differs from run to run, by the node that is being compiled or executed.

    What is used while the project is parsed dbt keeps for the next run (partial parsing), but only where the next run finds
    what was parsed. So a run that parses and meets such a use serves itself alone; the next one, which parses nothing, does not.
    """

    def __init__(self, recording: Recording) -> None:
        self._journal = recording.journal
        self._node = recording.context.node
        new = names_of_dbt() - SAME - NAMES.keys()
        self._names = {
            **NAMES,
            **{name: f"{name}, which is new in dbt and may be another in each run" for name in new},
        }
        self._watched = _WATCHED | new
        self._memory = SharedMemory(self._journal, self._node, used=self._used)

    def install(self) -> None:
        """Put everything in place."""
        self._resolved()
        self._attributes()
        self._filters()
        self._environment()
        self._compiling()
        self._memory.install()

    def _used(self, what: str) -> None:
        unique_id, compiled = self._node(), self._journal.doing("compiling")
        if unique_id != RUN or self._journal.doing("phase") is not None:
            self._journal.use(unique_id, what)
            if compiled is not None:
                # An ephemeral model is compiled once, for the first node that reads it.
                self._journal.use(compiled, what)
        elif self._journal.doing("parsing"):
            self._journal.use_once(f"while the project is parsed, it uses {what}")
        else:
            self._journal.use_once(f"its profile, its selectors or its comments on queries use {what}")

    def _compiling(self) -> None:
        """Tell what is parsed, and which node is compiled."""
        from dbt.compilation import Compiler
        from dbt.parser.manifest import ManifestLoader

        need(Compiler, "_compile_code")
        need(ManifestLoader, "get_full_manifest")
        compile_code, load, journal = (
            Compiler._compile_code,
            ManifestLoader.get_full_manifest.__func__,
            self._journal,
        )

        @functools.wraps(compile_code)
        def compiling(compiler: Any, node: Any, *args: Any, **kwargs: Any) -> Any:
            with journal.while_doing(compiling=node.unique_id):
                return compile_code(compiler, node, *args, **kwargs)

        @functools.wraps(load)
        def loading(loader: Any, *args: Any, **kwargs: Any) -> Any:
            with journal.while_doing(parsing=True):
                return load(loader, *args, **kwargs)

        Compiler._compile_code = compiling
        ManifestLoader.get_full_manifest = classmethod(loading)

    def _resolved(self) -> None:
        from jinja2.environment import Environment
        from jinja2.runtime import Context

        need(Context, "resolve_or_missing")
        need(Environment, "context_class")
        used, names, memory = self._used, self._names, self._memory

        class Noticing(Context):
            def resolve_or_missing(self, key: str) -> Any:
                if key in names:
                    used(names[key])
                found = super().resolve_or_missing(key)
                if key == "graph":
                    memory.graph = found
                return found

        Environment.context_class = Noticing

    def _attributes(self) -> None:
        from jinja2.sandbox import SandboxedEnvironment

        need(SandboxedEnvironment, "getattr", "getitem")

        def noticing(original: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(original)
            def looking(environment: Any, owner: Any, name: Any) -> Any:
                if isinstance(name, str) and name in self._watched:
                    self._looks(owner, name)
                return original(environment, owner, name)

            return looking

        SandboxedEnvironment.getattr = noticing(SandboxedEnvironment.getattr)  # type: ignore[method-assign]
        SandboxedEnvironment.getitem = noticing(SandboxedEnvironment.getitem)  # type: ignore[method-assign]

    def _looks(self, owner: Any, name: str) -> None:
        if name in _CLOCK:
            kind = owner if isinstance(owner, type) else type(owner)
            if issubclass(kind, datetime.date) and not self._journal.doing("naming"):
                self._used(f"the clock ({kind.__name__}.{name})")
        elif _is_context(owner):
            if name in _WHOLE or name in self._names:
                self._used(WHOLE_CONTEXT if name in _WHOLE else self._names[name])
            if name == "graph":
                self._memory.graph = owner["graph"]
        elif name in CHANGES:
            self._memory.is_changed(owner)

    def _filters(self) -> None:
        from jinja2.filters import FILTERS
        from jinja2.utils import pass_context

        draw = FILTERS["random"]

        @pass_context
        def noticing(context: Any, values: Any) -> Any:
            self._used("chance (the filter random)")
            return draw(context, values)

        FILTERS["random"] = noticing
        attribute = FILTERS["attr"]  # which does not ask the environment before Jinja 3.1.6

        @functools.wraps(attribute)
        def looking(environment: Any, owner: Any, name: Any) -> Any:
            if isinstance(name, str) and name in self._watched:
                self._looks(owner, name)
            return attribute(environment, owner, name)

        FILTERS["attr"] = looking
        for name in _OF_WHOLE:
            if name in FILTERS:
                FILTERS[name] = self._of_context(FILTERS[name])

    def _of_context(self, original: Any) -> Any:
        @functools.wraps(original)  # with the marks by which Jinja knows what to pass first
        def noticing(*args: Any, **kwargs: Any) -> Any:
            if any(map(_is_context, args)):
                self._used(WHOLE_CONTEXT)
            return original(*args, **kwargs)

        return noticing

    def _environment(self) -> None:
        """Keep the names of the environment variables that are read; a parsed project knows those of its parsing."""
        from dbt_common.context import InvocationContext

        need(InvocationContext, "env")
        read = self._journal.environment

        class Noticing(dict):  # type: ignore[type-arg]
            def __contains__(self, name: object) -> bool:
                read.add(str(name))
                return super().__contains__(name)

            def __getitem__(self, name: str) -> str:
                read.add(name)
                return str(super().__getitem__(name))

            def get(self, name: str, default: Any = None) -> Any:
                read.add(name)
                return super().get(name, default)

        def keep(context: Any, env: Any) -> None:
            vars(context)["_env"] = Noticing(env)

        # dbt makes a context of its own without variables, and then gives it them.
        InvocationContext._env = property(lambda context: vars(context)["_env"], keep)


def names_of_dbt() -> set[str]:
    """Return the names that this dbt puts into its contexts, besides macros and packages."""
    import dbt.context.docs
    import dbt.context.providers  # noqa: F401
    from dbt.context.base import BaseContext

    found: set[str] = set()
    kinds: list[type] = [BaseContext]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        need(kind, "_context_members_", "_context_attrs_")
        found |= {*kind._context_members_, *kind._context_attrs_}  # type: ignore[attr-defined]
    return found


def _is_context(value: Any) -> bool:
    """Return whether a template has got hold of one of dbt's contexts: ``context`` or ``builtins``."""
    # A dict, and in dbt 1.12 a chain of them.
    return isinstance(value, Mapping) and "run_started_at" in value


def why_once(task: Any) -> str | None:
    """
    Return why the plan of a run can serve no other one, where that is so for the run as a whole.

    Args:
        task: dbt's, when its run begins.
    """
    from dbt.flags import get_flags
    from dbt.plugins import get_plugin_manager

    if get_plugin_manager(task.config.project_name).hooks:
        return "a plugin of dbt has a part in the project"
    flags = get_flags()
    if getattr(flags, "SAMPLE", None):
        return "--sample depends on the time of the run"
    if not flags.PARTIAL_PARSE:
        return "partial parsing is off, so dbt reads the project anew in each run"
    if getattr(flags, "USE_V2_PARSER", False):  # since dbt 1.12
        return "dbt 2 parses the project (--use-v2-parser), which reads it anew in each run"
    options = flags.WARN_ERROR_OPTIONS
    strict = flags.WARN_ERROR or any(getattr(options, name, None) for name in ("include", "error"))
    if strict and any(getattr(node, "deprecation_date", None) for node in task.manifest.nodes.values()):
        return "a model has a deprecation_date, and warnings are errors"
    return None
