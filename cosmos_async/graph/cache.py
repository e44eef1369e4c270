"""
The cache of graphs between two imports of a DAG file.

Two steps. A look at every file's size and time (no reading) finds a *reference*, which knows the files' content digest
and the environment variables they read; these, together with everything else the answer depends on, find the graph.
A file touched but not changed costs one reading of the project, not a run of dbt. Files are written beside and moved
into place, so that readers never see half of one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cosmos_async import settings
from cosmos_async.exceptions import ConfigError
from cosmos_async.plan.ids import digest

# Neither the user's work nor an input of dbt's parser.
SKIPPED_FOLDERS = frozenset({"target", "logs", "__pycache__", "node_modules"})

# Only their names matter to the graph, and they may be large.
_CONTENT_IGNORED = (".csv", ".parquet", ".png", ".jpg", ".svg")

_ENV_VAR = re.compile(rb"env_var\(\s*\\?[\"']([A-Za-z_][A-Za-z0-9_]*)")

_KEPT_FOR = 30 * 24 * 3600  # seconds; what is still in use is then made again


@dataclass(frozen=True)
class FileStat:
    """What can be known of a file without reading it."""

    path: str  #: as it is opened
    name: str  #: as it goes into a key: relative, so that a project may move
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Content:
    """What was read in the files of a project."""

    graph: str  #: digest of what its graph depends on
    whole: str  #: digest of all contents
    env: list[str]  #: the environment variables that the files read, sorted

    @classmethod
    def load(cls, document: dict[str, Any] | None) -> Content | None:
        """Return what is kept in *document*, None where that is something else or of another release."""
        try:
            return cls(**document) if document is not None else None
        except TypeError:
            return None


def scan(project_dir: Path) -> list[FileStat]:
    """Return every file of a dbt project that may matter to its graph, installed packages included."""
    found: list[FileStat] = []
    folders = [(str(project_dir), "")]
    while folders:
        folder, prefix = folders.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith(".") or name in SKIPPED_FOLDERS:
                    continue
                if entry.is_dir():
                    is_venv = os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))
                    if not is_venv:
                        folders.append((entry.path, f"{prefix}{name}/"))
                elif entry.is_file():  # not a link to nowhere
                    stat = entry.stat()
                    found.append(FileStat(entry.path, prefix + name, stat.st_size, stat.st_mtime_ns))
    return sorted(found, key=lambda file: file.name)


def stat_of(path: Path) -> FileStat:
    """Return what *path* looks like from outside."""
    stat = path.stat()
    return FileStat(str(path), path.name, stat.st_size, stat.st_mtime_ns)


def env_names(content: bytes) -> set[str]:
    """Return the environment variables that *content* reads through dbt's ``env_var``."""
    return {name.decode() for name in _ENV_VAR.findall(content)}


class GraphCache:
    """
    Kept graphs in a folder of this machine.

    Args:
        directory: Made when something is kept.
        private: Refuse the folder if it is another user's (for places where anybody may make one).
    """

    def __init__(self, directory: Path, *, private: bool = False) -> None:
        self.directory = directory
        self._private = private

    def key(self, question: Any, files: list[FileStat], environ: Mapping[str, str]) -> str:
        """
        Return the name under which the answer to *question* is kept.

        Args:
            question: Everything but files and environment that the answer depends on; JSON-able.
            files: The files it depends on.
            environ: The environment that dbt will see.
        """
        known = self._content(files)
        asked = json.dumps(question, sort_keys=True, default=str)
        names = {name for name in environ if name.startswith("DBT_")} | env_names(asked.encode())
        seen = json.dumps({name: environ.get(name) for name in sorted(names.union(known.env))})
        return digest(asked, known.graph, seen)

    def version(self, files: list[FileStat]) -> str:
        """Return a digest of the names and contents of *files*: the same on every machine, wherever and since when they lie."""
        return self._content(files).whole

    def get(self, key: str) -> dict[str, Any] | None:
        """Return what is kept under *key*, or None."""
        return self._read(self.directory / f"{key}.json")

    def put(self, key: str, document: dict[str, Any]) -> None:
        """Keep *document* under *key*, and forget what is old."""
        self._write(self.directory / f"{key}.json", document)
        oldest = time.time() - _KEPT_FOR
        with os.scandir(self.directory) as entries:
            for entry in entries:
                if entry.is_file() and entry.stat().st_mtime < oldest:
                    Path(entry.path).unlink(missing_ok=True)  # another process may be faster

    def _content(self, files: list[FileStat]) -> Content:
        look = digest(*(part for file in files for part in (file.path, file.size, file.mtime_ns)))
        reference = self.directory / f"{look}.ref"
        known = Content.load(self._read(reference))
        if known is not None:
            return known
        graph = hashlib.sha256()
        lines: list[str] = []
        names: set[str] = set()
        for file in files:
            content = Path(file.path).read_bytes()
            of_file = hashlib.sha256(content)
            # The order of folders beside the project depends on where they lie; that of the lines does not.
            lines.append(f"{file.name}:{of_file.hexdigest()}")
            graph.update(f"{len(file.name)}:{file.name}".encode())
            if file.name.endswith(_CONTENT_IGNORED):
                continue
            graph.update(of_file.digest())
            names |= env_names(content)
        found = Content(graph.hexdigest(), digest(*sorted(lines)), sorted(names))
        self._write(reference, asdict(found))
        return found

    def _read(self, path: Path) -> dict[str, Any] | None:
        try:
            document = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            return None  # a damaged entry is as good as none; it is written anew
        return document if isinstance(document, dict) else None

    def _write(self, path: Path, document: dict[str, Any]) -> None:
        make_folder(self.directory, private=self._private)
        descriptor, temporary = tempfile.mkstemp(dir=self.directory, prefix=".new-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(document, file, separators=(",", ":"))
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise


@contextmanager
def open_cache() -> Iterator[GraphCache]:
    """
    Open the graphs of this machine that are kept, or where nothing is to be kept, a place for them that is deleted.

    Raises:
        ConfigError: The folder for them cannot be used.
    """
    if settings.enable_cache():
        root = settings.cache_dir()
        make_folder(root, private=root.parent == Path(tempfile.gettempdir()))
        yield GraphCache(root / "graphs")
        return
    with tempfile.TemporaryDirectory(prefix="cosmos_async-") as root_name:
        yield GraphCache(Path(root_name) / "graphs")


def make_folder(path: Path, *, private: bool = False) -> None:
    """
    Make *path* and its parents, readable by this user alone.

    Raises:
        ConfigError: It cannot be made, or must be *private* and belongs to somebody else.
    """
    way_out = "Set [cosmos_async] cache_dir to a folder that this user may write to."
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = path.stat().st_uid
    except OSError as error:
        raise ConfigError(f"The cache folder {path} cannot be made ({error.strerror}). {way_out}") from error
    if private and owner != os.getuid():
        raise ConfigError(f"The cache folder {path} belongs to another user (id {owner}). {way_out}")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the file *path* against every other process of this machine; a dead one holds nothing."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
