"""
What dbt makes of a name in ``profiles.yml`` or ``dbt_project.yml`` that is written with variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cosmos_async.exceptions import ProfileError


def rendered(text: str, variables: Mapping[str, Any], environ: Mapping[str, str], what: str) -> str:
    """
    Return *text* with its Jinja rendered.

    Args:
        text: As it stands in the file; ``env_var`` and ``var`` are known.
        variables: dbt's ``--vars``.
        environ: The environment.
        what: What it is, for the error: the beginning of a sentence.

    Raises:
        ProfileError: It asks for a variable that is not set, or cannot be rendered.
    """
    if "{" not in text:
        return text
    import jinja2

    def looked_up(values: Mapping[str, Any]) -> Any:
        def look_up(name: str, default: Any = None) -> Any:
            value = values.get(name, default)
            if value is None:
                raise ProfileError(f"{what} is {text}, and {name} is not set.")
            return value

        return look_up

    try:
        template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(text)
        return str(template.render(env_var=looked_up(environ), var=looked_up(variables)))
    except jinja2.TemplateError as error:
        raise ProfileError(f"{what} is {text}, which cannot be rendered: {error.message}") from error
