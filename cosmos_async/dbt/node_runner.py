"""
Run real dbt for exactly one node of an earlier invocation, inside dbt's own interpreter.

``<dbt's python> node_runner.py --node NODE.json -- <the invocation's own dbt arguments>``, where NODE.json holds
``unique_id`` and perhaps ``invocation_id`` and ``started_at`` of the invocation this node belongs to.

dbt is given the whole invocation's arguments, and so ``selected_resources``, ``--defer`` and ``invocation_args_dict``
mean what they mean there. Then its queue is narrowed to the node in the way of ``dbt retry``. No selector could do
that: names of tests repeat, ``fqn:`` takes folders along, and a model brings its unit tests. The hooks of the run
(on-run-start, on-run-end) belong to the whole run and are left out.
"""

# mypy: disable-error-code=import-not-found
from __future__ import annotations

import importlib.util
import json
import os
import sys
from typing import Any


def load_inside() -> Any:
    """Return the module beside this file, without its folder on ``sys.path``."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inside.py")
    spec = importlib.util.spec_from_file_location("cosmos_async_inside", path)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    module.leave_script_folder()
    return module


def main(arguments: list[str]) -> None:
    """Run the one node that the command line names, and exit as dbt does."""
    inside = load_inside()
    path, dbt_arguments = inside.split(arguments, "--node")
    with open(path, encoding="utf-8") as file:
        node = json.load(file)
    inside.follow_parent()
    inside.pin_invocation(node.get("invocation_id"), node.get("started_at"))
    narrow(inside, node["unique_id"])
    inside.run_dbt(dbt_arguments)


def narrow(inside: Any, unique_id: str) -> None:
    """Make dbt's graph tasks run *unique_id* alone, without the run's hooks."""
    from dbt.artifacts.schemas.results import RunStatus
    from dbt.exceptions import DbtRuntimeError
    from dbt.graph import GraphQueue
    from dbt.task.build import BuildTask
    from dbt.task.run import RunTask
    from dbt.task.runnable import GraphRunnableTask

    inside.need(GraphRunnableTask, "get_graph_queue")
    inside.need(RunTask, "before_run", "safe_run_hooks")
    inside.need(BuildTask, "get_graph_queue", "build_model_to_unit_test_map")

    def narrowed(original: Any) -> Any:
        def get_graph_queue(self: Any) -> Any:
            original(self)  # it also tells the project what the whole run selects
            if unique_id not in self.graph.nodes():
                raise DbtRuntimeError(
                    f"{unique_id} is not in this project any more. Clear the setup task, so that the run is planned anew."
                )
            if isinstance(self, BuildTask):
                # A unit test is a node of the queue now, and a model brings none.
                self.selected_unit_tests = set()
                self.model_to_unit_test_map = {}
            graph = self.graph.get_subset_graph({unique_id})
            return GraphQueue(graph.graph, self.manifest, {unique_id})

        return get_graph_queue

    before_run = RunTask.before_run

    def before_run_with_schemas(self: Any, adapter: Any, selected_uids: Any) -> Any:
        # A unit test makes a table in the schema of its model, which dbt makes for the model beside it.
        unit_test = self.manifest.unit_tests.get(unique_id)
        models = unit_test.depends_on.nodes if unit_test is not None else ()
        return before_run(self, adapter, frozenset(selected_uids).union(models))

    for task in (GraphRunnableTask, BuildTask):
        task.get_graph_queue = narrowed(task.__dict__["get_graph_queue"])
    RunTask.before_run = before_run_with_schemas
    RunTask.safe_run_hooks = lambda self, adapter, hook_type, extra_context: RunStatus.Success


if __name__ == "__main__":
    main(sys.argv[1:])
