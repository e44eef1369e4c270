"""What the planner has to know of a dbt node."""

from __future__ import annotations

from typing import Any

from .freshness import describe_freshness


def describe(node: Any, result: Any) -> dict[str, Any]:
    """Return a node and what became of it as JSON values."""
    config = node.config
    depends_on = getattr(node, "depends_on", None)
    response = getattr(result, "adapter_response", None) or {}
    relational = getattr(node, "relation_name", None) and getattr(node, "database", None)
    described = {
        "unique_id": node.unique_id,
        "resource_type": str(node.resource_type.value),
        "name": node.name,
        "alias": getattr(node, "alias", None),
        "fqn": list(node.fqn),
        "package_name": node.package_name,
        "file": node.original_file_path,
        "language": getattr(node, "language", None),
        "materialized": getattr(config, "materialized", None),
        "ephemeral": bool(getattr(node, "is_ephemeral_model", False)),
        "relation": [node.database, node.schema, getattr(node, "alias", None) or node.name]
        if relational
        else None,
        "compiled_code": getattr(node, "compiled_code", None),
        "depends_on": [str(parent) for parent in getattr(depends_on, "nodes", None) or []],
        "attached_node": getattr(node, "attached_node", None),
        "status": str(getattr(result.status, "value", result.status)),
        "message": result.message,
        "adapter_response": {
            name: value for name, value in response.items() if not name.startswith("bytes_")
        },
        "main_job": response.get("job_id"),
    }
    if described["resource_type"] == "test":
        described["test"] = {
            "severity": config.severity,
            "warn_if": config.warn_if,
            "error_if": config.error_if,
            "fail_calc": config.fail_calc,
            "store_failures": config.store_failures,
            "store_failures_as": getattr(config, "store_failures_as", None),
        }
    if described["resource_type"] == "source":
        described.update(describe_freshness(node))
    return described


def describe_run(config: Any, flags: Any) -> dict[str, Any]:
    """Return what all nodes of a run share."""
    credentials = config.credentials
    options = getattr(flags, "WARN_ERROR_OPTIONS", None)
    return {
        "project_name": config.project_name,
        "profile_name": config.profile_name,
        "target_name": config.target_name,
        "project": credentials.database,
        "execution_project": getattr(credentials, "execution_project", None) or credentials.database,
        "dataset": credentials.schema,
        "location": getattr(credentials, "location", None),
        "endpoint": getattr(credentials, "api_endpoint", None),
        "threads": config.threads,
        "full_refresh": bool(getattr(flags, "FULL_REFRESH", False)),
        "hooks_needed": bool(getattr(flags, "SKIP_NODES_IF_ON_RUN_START_FAILS", False)),
        "fail_fast": bool(getattr(flags, "FAIL_FAST", False)),
        # A warning of a test fails: with --warn-error, or where its options name the event.
        "warn_error": bool(
            getattr(flags, "WARN_ERROR", False) or (options is not None and options.includes("LogTestResult"))
        ),
    }
