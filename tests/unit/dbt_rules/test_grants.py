"""What dbt makes of grants: the difference, and the one script for it."""

from __future__ import annotations

from cosmos_async.dbt_rules.grants import PRIVILEGE, change_between, current_grants, script

TEXTS = {
    "revoke": [f'revoke `{PRIVILEGE}` on table t from "', '", "', '"'],
    "grant": [f'grant `{PRIVILEGE}` on table t to "', '", "', '"'],
    "script": ["/* c */\n", ";\n", ";\n"],
}


def shown(*rows: tuple[str, str]) -> dict[str, object]:
    """Return BigQuery's answer to dbt's question; its columns may come in any order and case."""
    fields = [{"name": "PRIVILEGE_TYPE", "type": "STRING"}, {"name": "grantee", "type": "STRING"}]
    return {"schema": {"fields": fields}, "rows": [{"f": [{"v": value} for value in row]} for row in rows]}


def test_what_is_there_is_read_in_its_order() -> None:
    """Privileges in the order in which they first come; a table nobody was granted has no rows at all."""
    assert current_grants(shown(("b", "x"), ("a", "x"), ("b", "y"))) == {"b": ["x", "y"], "a": ["x"]}
    assert current_grants({"schema": shown()["schema"]}) == {}


def test_case_makes_no_difference() -> None:
    """Neither of a privilege nor of a grantee."""
    assert not change_between({"Viewer": ["user:A@x.y"]}, {"viewer": ["USER:a@X.y"]})


def test_what_is_too_much_goes_and_what_is_missing_comes() -> None:
    """In the words of the side that has them."""
    change = change_between({"Viewer": ["a", "B"], "Editor": ["a"]}, {"viewer": ["b", "C"], "Owner": ["d"]})

    assert (change.revoke, change.grant) == (
        {"viewer": ["C"], "Owner": ["d"]},
        {"Viewer": ["a"], "Editor": ["a"]},
    )
    assert str(change) == (
        "revoked viewer from C; revoked Owner from d; granted Viewer to a; granted Editor to a"
    )


def test_a_privilege_for_nobody_revokes_but_sends_no_statement_of_its_own() -> None:
    """`grants: {viewer: []}` takes what others have."""
    assert change_between({"viewer": []}, {"viewer": ["a"]}).revoke == {"viewer": ["a"]}
    assert not change_between({"viewer": []}, {})


def test_the_script_revokes_first() -> None:
    """One statement per privilege, as dbt's macros wrote them."""
    change = change_between({"Viewer": ["a", "b"]}, {"Owner": ["c"]})

    assert script(change, TEXTS) == (
        '/* c */\nrevoke `Owner` on table t from "c";\ngrant `Viewer` on table t to "a", "b";\n'
    )
