"""What dbt is given as YAML means the same in YAML 1.1 and 1.2."""

from __future__ import annotations

from datetime import date

import pytest
import yaml

from cosmos_async.dbt_rules.yaml_text import dump


@pytest.mark.parametrize(
    "text", ["12345e6", "0o14", "00123", "1_000", "-1e3", ".5e1", "12:30", "NO", "true", "~", ""]
)
def test_a_string_that_may_look_like_something_else_is_quoted(text: str) -> None:
    written = dump({"sha": text}, flow=True)

    assert written in (f"{{sha: '{text}'}}\n", f'{{sha: "{text}"}}\n')
    assert yaml.safe_load(written) == {"sha": text}


def test_all_else_is_as_short_as_ever() -> None:
    values = {"zone": "EU", "n": 12, "at": date(2024, 1, 31), "all": ["a", None, True]}

    assert (
        dump(values, flow=True, sort_keys=True) == "{all: [a, null, true], at: 2024-01-31, n: 12, zone: EU}\n"
    )
    assert list(yaml.safe_load(dump(values))) == list(values)
