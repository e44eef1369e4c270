"""
What dbt 2 does not take of a profile is refused, and what it does not look at is said.
"""

from __future__ import annotations

from typing import Any

import pytest

from cosmos_async.exceptions import ProfileError
from cosmos_async.profiles import RenderedProfile
from cosmos_async.profiles.for_dbt_2 import KEY_FIELDS, ignored_by_dbt_2, refuse_for_dbt_2


def profile(**output: Any) -> RenderedProfile:
    return RenderedProfile("shop", "dev", {"type": "bigquery", **output})


@pytest.mark.parametrize("name", KEY_FIELDS)
def test_a_key_without_one_of_its_fields_is_refused(name: str):
    """
    dbt 2 says it only when it connects.
    """
    key = {field: "{{ env_var('X') }}" for field in KEY_FIELDS if field != name}

    with pytest.raises(ProfileError, match=rf"target 'dev' of profile 'shop' lacks {name}\. .* keyfile_dict"):
        refuse_for_dbt_2(profile(keyfile_json=key))


def test_a_whole_key_and_no_key_are_fine():
    """
    A key may also be text, which dbt 2 reads itself.
    """
    refuse_for_dbt_2(profile(keyfile_json=dict.fromkeys(KEY_FIELDS, "x")))
    refuse_for_dbt_2(profile(keyfile_json="e30="))
    refuse_for_dbt_2(profile(method="oauth"))


@pytest.mark.parametrize("endpoint", ["localhost:9050", "https://proxy.example/bigquery", "ftp://x"])
def test_an_endpoint_with_a_path_is_refused(endpoint: str):
    """
    dbt 2 takes hosts alone.
    """
    with pytest.raises(ProfileError, match=r"api_endpoint .* is not one that dbt 2 takes"):
        refuse_for_dbt_2(profile(api_endpoint=endpoint))


def test_an_endpoint_of_its_own_is_fine():
    """
    As is one that a variable names.
    """
    for endpoint in ("https://bigquery.example", "http://127.0.0.1:9050/", "{{ env_var('X') }}"):
        refuse_for_dbt_2(profile(api_endpoint=endpoint))


def test_limits_that_dbt_2_drops_are_told():
    """
    A run that costs more than was allowed must not come as a surprise.
    """
    warnings = ignored_by_dbt_2(profile(maximum_bytes_billed=10, priority="batch"))

    assert len(warnings) == 2
    assert "maximum_bytes_billed 10" in warnings[0]
    assert "priority 'batch'" in warnings[1]
    assert ignored_by_dbt_2(profile(priority="interactive", threads=4)) == []
