"""Code on the pages: what makes DAGs makes them, what is data can be read, and commands are there."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

import cosmos_async
import cosmos_async.profiles
from cosmos_async.airflow.compat import AIRFLOW_VERSION, DAG
from cosmos_async.airflow.provider import get_provider_info
from cosmos_async.cli import main
from cosmos_async.dag.dbt_dag import DbtDag
from cosmos_async.dag.renderer import Renderer
from cosmos_async.graph.dbt_ls import Answer
from tests.unit.docs.pages import DOCS, PAGES, ROOT, SKETCH, Block, blocks

#: What a fence may say; anything else is a typing error, or needs a test of its own here.
WORDS = {"python", "shell", "yaml", "ini", "dockerfile", "sql", "text", "{eval-rst}", "{toctree}"}
#: An import, and where Airflow 2 has what is imported.
OF_AIRFLOW_2 = re.compile(r"from \S+ import (\w+)  # Airflow 2: (\S+)")
#: Other people's programs in shell blocks.
PROGRAMS = {"airflow", "dbt", "export", "gcloud", "pip", "python3"}
MADE_UP_PROFILES = """\
shop: {target: prod, outputs: {prod: {type: bigquery, method: oauth, project: acme-prod, dataset: shop}}}
"""


def of(word: str) -> list[Block]:
    """Return the blocks of one language."""
    return [block for block in blocks() if block.word == word]


def test_every_block_says_what_it_is() -> None:
    """Else nobody looks at it."""
    assert [f"{block}: {block.word!r}" for block in blocks() if block.word not in WORDS] == []
    assert len(of("python")) > 20


# -- Python


def test_few_blocks_are_sketches() -> None:
    """A sketch is not run, so it may be wrong."""
    sketches = [str(block) for block in of("python") if block.text.startswith(SKETCH)]

    assert len(sketches) <= 1, sketches


@pytest.fixture
def names(
    tmp_path: Path, shop: Path, manifest: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """What code on a page may use, as `docs/index.md` says; dbt is answered for by the manifest of the tests' project."""
    project = tmp_path / "shop"
    shutil.copytree(shop, project)
    (project / "profiles.yml").write_text(MADE_UP_PROFILES)
    (project / "target").mkdir()
    shutil.copy(Path(__file__).parents[1] / "shop_manifest.json", project / "target" / "manifest.json")
    selected = frozenset((*manifest["nodes"], *manifest["sources"]))
    monkeypatch.setattr("cosmos_async.graph.load.ask", lambda *args, **kwargs: Answer(selected, manifest))
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    found: dict[str, Any] = {"__file__": str(tmp_path / "dag.py"), "__name__": "dag"}
    for module in (cosmos_async, cosmos_async.profiles):
        found.update({name: getattr(module, name) for name in module.__all__ if not name.startswith("_")})
    mapping = found["GoogleCloudOauthProfileMapping"]("gcp", {"project": "acme-prod", "dataset": "shop"})
    return {
        **found,
        "Path": Path,
        "datetime": datetime,
        "timedelta": timedelta,
        "project": found["ProjectConfig"](project),
        "profile": found["ProfileConfig"]("shop", "prod", profile_mapping=mapping),
        "execution": found["ExecutionConfig"](dbt_executable_path="/opt/dbt/bin/dbt"),
    }


def needs(text: str) -> str | None:
    """Return why code cannot be run by this Airflow."""
    if "airflow.sdk" in text and AIRFLOW_VERSION < (3, 0):
        return "it is for Airflow 3"
    return None


def runnable(page: Path) -> list[Block]:
    """Return the Python of a page that is meant to run."""
    return [block for block in blocks(page) if block.word == "python" and not block.text.startswith(SKETCH)]


@pytest.mark.parametrize(
    "page", [page for page in (ROOT / "README.md", *PAGES) if runnable(page)], ids=lambda page: page.stem
)
def test_code_runs(page: Path, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A page's blocks one after the other, as a DAG file would be imported: no dbt, no connection, no network."""
    rendered: list[DAG] = []
    render = Renderer.render

    def noted(self: Renderer) -> dict[str, Any]:
        rendered.append(self.dag)
        return render(self)

    monkeypatch.setattr(Renderer, "render", noted)
    run = [block for block in runnable(page) if not needs(block.text)]
    carry_out(run, names)

    wanted = sum(len(re.findall(r"\bDbt(?:Dag|TaskGroup)\(", block.text)) for block in run)
    assert len(rendered) >= wanted
    for dag in rendered:
        assert [task for task in dag.task_ids if task.endswith("orders.run") or "build" in task], dag.dag_id


def carry_out(run: list[Block], names: dict[str, Any]) -> dict[str, Any]:
    """Execute blocks one after the other, and return what they have defined."""
    for block in run:
        text = block.text if AIRFLOW_VERSION >= (3, 0) else OF_AIRFLOW_2.sub(r"from \2 import \1", block.text)
        # Lines are counted as on the page.
        exec(compile("\n" * (block.line - 1) + text, str(block.page), "exec"), names)
    return names


def test_the_mappings_of_the_page_make_profiles(
    names: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are made to be copied."""
    monkeypatch.setenv("BRANCH", "b7")
    monkeypatch.setenv(
        "AIRFLOW_CONN_GCP", json.dumps({"conn_type": "google_cloud_platform", "extra": {"project": "p"}})
    )
    found = carry_out(runnable(DOCS / "profiles.md"), names)

    branch = found["BranchProfileMapping"]("gcp", {"dataset": "shop"})
    assert branch.mock_profile["dataset"] == "shop_b7"
    assert branch.profile["dataset"] == "shop_b7"
    key = {"project_id": "p", "private_key_id": "1", "private_key": "secret", "client_email": "a@p"}
    extra = {"project": "p", "team": "blue", "keyfile_dict": key}
    monkeypatch.setenv("AIRFLOW_CONN_GCP", json.dumps({"conn_type": "google_cloud_platform", "extra": extra}))
    output, env = found["TeamProfileMapping"]("gcp", {"threads": 4}).resolve()
    assert (output["dataset"], output["priority"], output["threads"]) == ("team_blue", "batch", 4)
    assert "secret" in env.values()
    assert "secret" not in str(output)


def test_the_first_dag_of_the_pages_is_complete(names: dict[str, Any]) -> None:
    """Somebody copies it into a file of its own: it imports what it uses."""
    for page in (ROOT / "README.md", DOCS / "start.md"):
        alone = {name: names[name] for name in ("__file__", "__name__")}
        exec(compile(runnable(page)[0].text, str(page), "exec"), alone)
        dag = alone["shop"]
        assert isinstance(dag, DbtDag)
        assert len(dag.task_ids) > 20
        words = runnable(page)[0].text.lower()
        # Airflow's heuristic, core.might_contain_dag.
        assert "dag" in words
        assert "airflow" in words


# -- data


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_yaml_can_be_read(block: Block) -> None:
    """And says something."""
    assert isinstance(yaml.safe_load(block.text), dict)


@pytest.mark.parametrize("block", of("ini"), ids=str)
def test_airflow_cfg_can_be_read(block: Block) -> None:
    """Its options are ours."""
    config = configparser.ConfigParser(interpolation=None)
    config.read_string(block.text)

    assert set(config["cosmos_async"]) <= set(get_provider_info()["config"]["cosmos_async"]["options"])


def test_settings_that_are_named_are_there() -> None:
    """In code and in prose: a variable of Airflow with a typing error has no effect, and nobody says so."""
    options = get_provider_info()["config"]["cosmos_async"]["options"]
    known = {f"AIRFLOW__COSMOS_ASYNC__{name.upper()}" for name in options}
    named = {
        (page.name, name)
        for page in (ROOT / "README.md", *PAGES)
        for name in re.findall(r"AIRFLOW__COSMOS_ASYNC__[A-Z0-9_]+", page.read_text(encoding="utf-8"))
    }

    assert len(named) > 10
    assert {(page, name) for page, name in named if name not in known} == set()


# -- commands


def commands(block: Block) -> list[list[str]]:
    """Return the commands of a shell block as lists of words, without comments and variables before them."""
    found = []
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"\w+=\S*", words[0]):
            words = words[1:]
        if words:
            found.append(words)
    return found


def targets() -> set[str]:
    """Return what `make` can be asked for."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z0-9-]+):.*## ", makefile, re.MULTILINE))


@pytest.mark.parametrize("block", of("shell"), ids=str)
def test_commands_are_there(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets of the Makefile, and commands of ours with their options."""
    asked: list[list[str]] = []
    monkeypatch.setattr("cosmos_async.cli.plan.run", lambda options, further: asked.append(further) or 0)
    for words in commands(block):
        name = Path(words[0]).name
        if name == "make":
            called = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
            assert set(called) <= targets(), words
        elif name == "cosmos-async":
            assert main.main(words[1:]) == 0, words
        else:
            assert name in PROGRAMS, words


def test_make_targets_that_are_named_are_there() -> None:
    """In prose as well."""
    pages = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES)
    named = {
        (page.name, name)
        for page in pages
        for name in re.findall(r"`(?:[A-Z]+=\S+ )*make ([a-z0-9-]+)", page.read_text(encoding="utf-8"))
    }

    assert len(named) > 10
    assert {(page, name) for page, name in named if name not in targets()} == set()
