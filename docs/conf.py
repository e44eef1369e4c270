"""How Sphinx makes the pages: Markdown stays Markdown, the reference comes from docstrings, and nothing is fetched."""

from __future__ import annotations

from cosmos_async import __version__

project = "cosmos-async"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"cosmos-async {__version__}"
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False

# Links such as `once.md#secrets` are those that a code host follows, too.
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
maximum_signature_line_length = 60  # beyond it each argument has a line of its own

# `make docs` looks for the target of each reference. Those of other packages would need the network.
nitpick_ignore_regex = [
    ("py:.*", r"(airflow|collections|dataclasses|datetime|pathlib|typing)(\..+)?"),
    ("py:.*", r"(Airflow\w+|BaseOperator|DAG|Path|TaskGroup)"),
]
