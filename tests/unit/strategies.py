"""
What plans can be made of that the stand-in can carry out, for properties.

They are about one table, ``p.shop.orders``; a mapping comes in any order, as projects write them.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from cosmos_async.dbt_rules.grants import PRIVILEGE
from cosmos_async.plan.model import CallOperation, JobOperation, NativeKind, NativeOperation, Step

ORDERS = {"project": "p", "dataset": "shop", "table": "orders"}
ORDERS_PATH = "projects/p/datasets/shop/tables/orders"

#: Names whose alphabetical order is not the one they are written in.
names = st.lists(st.sampled_from(["zone", "alpha", "mid", "Beta", "_last"]), min_size=1, unique=True)


def in_any_order(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Mappings of all these names, in every order."""
    return st.permutations(list(values)).flatmap(
        lambda order: st.fixed_dictionaries({name: values[name] for name in order})
    )


labels = names.map(lambda keys: {key.lower().strip("_"): f"of {key}" for key in keys})

queries = in_any_order(
    query=st.integers(0, 99).map(lambda number: f"insert into `p`.`shop`.`audit` values ({number})"),
    useLegacySql=st.just(False),
    queryParameters=names.map(
        lambda keys: [{"name": key, "parameterValue": {"value": key}, "parameterType": {}} for key in keys]
    ),
)

jobs = st.builds(
    lambda configuration: JobOperation("pre-hook", "p", "US", configuration),
    in_any_order(query=queries, labels=labels, jobTimeoutMs=st.just("60000")),
)

calls = st.builds(
    lambda body: CallOperation("describe", "PATCH", ORDERS_PATH, body),
    in_any_order(labels=labels, description=st.text(max_size=5), friendlyName=st.text(max_size=5)),
)

added = names.map(
    lambda keys: NativeOperation(
        NativeKind.ADD_COLUMNS,
        ORDERS,
        {
            "columns": {key: {"name": key, "type": "INTEGER", "mode": "NULLABLE"} for key in keys},
            "replacing": True,
        },
    )
)

described = names.map(
    lambda keys: NativeOperation(
        NativeKind.UPDATE_COLUMNS,
        ORDERS,
        {"columns": {key: {"description": f"The {key}."} for key in keys}, "checked": True},
    )
)


def _granting(privileges: list[str]) -> NativeOperation:
    template = {"project": "p", "location": "US", "configuration": {"query": {"query": "select grants"}}}
    return NativeOperation(
        NativeKind.GRANTS,
        ORDERS,
        {
            "grants": {privilege: ["a", "b"] for privilege in privileges},
            "show": template,
            "apply": {**template, "configuration": {"query": {"useLegacySql": False}}},
            "texts": {
                "revoke": [f"revoke {PRIVILEGE} from ", ",", ""],
                "grant": [f"grant {PRIVILEGE} to ", ",", ""],
                "script": ["", ";", ""],
            },
        },
    )


granted = names.map(_granting)

#: Whatever changes the warehouse.
operations: st.SearchStrategy[Step] = jobs | calls | added | described | granted
