"""
Arguments of Cosmos' local operators that have no meaning for ours: which are harmless, which are refused, and the way out.
"""

from __future__ import annotations

import warnings
from typing import Any

from cosmos_async.exceptions import ConfigError, ConfigWarning

_NOTHING: tuple[Any, ...] = (None, False, "", [], {}, ())  # what Cosmos takes for "not set"
_PROFILE = "profile_config says it"
_ENVIRONMENT = "an environment made from py_requirements is kept by what is in it"

#: The values that lose nothing when they are ignored, and what to do instead of others.
_WORDS: dict[str, tuple[tuple[Any, ...], str]] = {
    "cache_dir": (_NOTHING, "Set AIRFLOW__COSMOS_ASYNC__CACHE_DIR"),
    "cancel_query_on_kill": ((True,), "Leave it out: dbt always cancels its queries"),
    "conn_id": (_NOTHING, _PROFILE),
    "db_name": (_NOTHING, _PROFILE),
    "dbt_runner_callbacks": (_NOTHING, "Leave it out: dbt is a process of its own"),
    "extra_context": (_NOTHING, "Give the callback what it needs in callback_args"),
    "is_virtualenv_dir_temporary": (_NOTHING, _ENVIRONMENT),
    "log_format": (_NOTHING, 'Use dbt_cmd_flags=["--log-format", ...]'),
    "manifest_filepath": (_NOTHING, "Leave it out: dbt reads the project itself"),
    "output_encoding": (("utf-8", "utf8", "UTF-8"), "Leave it out: dbt writes UTF-8"),
    "pip_install_options": (_NOTHING, "Set variables of pip or uv, such as PIP_INDEX_URL, for the worker"),
    "profile_args": (_NOTHING, _PROFILE),
    "py_system_site_packages": (_NOTHING, _ENVIRONMENT),
    "schema": (_NOTHING, _PROFILE),
    "target_name": (_NOTHING, _PROFILE),
}

#: What a task does less than it would in Cosmos, where the author asks for it.
_LESS = {
    "emit_datasets": "name what the command builds in outlets, Airflow's own argument",
    "should_store_compiled_sql": "should_upload_compiled_sql keeps it beside the task's artifacts",
}

#: About how Cosmos does what is always done here, or needs not be done.
_WITHOUT_EFFECT = frozenset({"copy_dbt_packages", "invocation_mode"})


def without_words_of_cosmos(kwargs: dict[str, Any], task_id: object) -> dict[str, Any]:
    """
    Return the arguments of an operator without those that only Cosmos' operators know.

    Args:
        kwargs: The arguments.
        task_id: The task's, for errors.

    Raises:
        ConfigError: One of them cannot be honoured.
    """
    for name, (harmless, way_out) in _WORDS.items():
        if name in kwargs and kwargs[name] not in harmless:
            raise ConfigError(
                f"task {task_id} has {name}={kwargs[name]!r}, which is not supported: {way_out}."
            )
    for name, instead in _LESS.items():
        if kwargs.get(name):
            warnings.warn(
                f"task {task_id}: {name}={kwargs[name]!r} has no effect; {instead}.",
                ConfigWarning,
                stacklevel=4,
            )
    ignored = {*_WORDS, *_LESS, *_WITHOUT_EFFECT}
    return {name: value for name, value in kwargs.items() if name not in ignored}
