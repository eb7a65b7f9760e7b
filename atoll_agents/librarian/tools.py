"""A folder of texts, searched with SQLite's FTS5 (sqlite.org/fts5.html).

The folder is `ATOLL_LIBRARY`, else `library/` beside this file. Its index is a
cache in the state directory: made anew when it is missing or damaged, brought
up to date before each look, file by file. Documents are found by their names in
the index, never by a path that a model wrote, and symbolic links are not
followed, so nothing outside the folder can be read.
"""

import hashlib
import os
import re
import sqlite3
import stat
import textwrap
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from atoll.config.places import places_of

_SUFFIXES = frozenset({".md", ".rst", ".text", ".txt"})
_MAX_BYTES = 4 * 1024 * 1024
_MAX_LISTED = 200
_MAX_WORDS = 20
_PASSAGE_CHARS = 900
_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents
    (name TEXT PRIMARY KEY, mtime_ns INTEGER, size INTEGER, title TEXT, passages INTEGER);
CREATE VIRTUAL TABLE IF NOT EXISTS passages
    USING fts5(name UNINDEXED, number UNINDEXED, text, tokenize = 'porter unicode61');
"""

Count = Annotated[int, Meta(ge=1, le=10)]
Number = Annotated[int, Meta(ge=1)]
_Stamp = tuple[int, int]


def list_documents() -> str:
    """List the documents of the library with their titles."""
    with closing(_library()) as index:
        rows = index.execute("SELECT name, title, passages FROM documents ORDER BY name").fetchall()
    lines = [f"{name}: {title} ({_passages(count)})" for name, title, count in rows[:_MAX_LISTED]]
    more = [f"and {len(rows) - _MAX_LISTED} more"] if len(rows) > _MAX_LISTED else []
    return "\n".join(lines + more) or "the library is empty"


def search(query: str, limit: Count = 3) -> str:
    """Find the passages of the library that fit a question best.

    Args:
        query: the words to look for
        limit: how many passages to return
    """
    words = re.findall(r"\w+", query)[:_MAX_WORDS]
    if not words:
        return "the query has no word to look for"
    with closing(_library()) as index:
        rows = index.execute(
            "SELECT name, number, text FROM passages WHERE passages MATCH ? ORDER BY rank LIMIT ?",
            (" OR ".join(f'"{word}"' for word in words), limit),
        ).fetchall()
    return "\n\n".join(_quoted(*row) for row in rows) or f"nothing found for {query!r}"


def read_passage(document: str, number: Number = 1) -> str:
    """Read one passage of a document.

    Args:
        document: the document's name, as search and list_documents tell it
        number: which passage, from 1
    """
    with closing(_library()) as index:
        found = index.execute("SELECT passages FROM documents WHERE name = ?", (document,))
        count = found.fetchone()
        passage = index.execute(
            "SELECT name, number, text FROM passages WHERE name = ? AND number = ?",
            (document, number),
        ).fetchone()
    if count is None:
        return f"there is no document {document!r}; list_documents tells the names"
    return _quoted(*passage) if passage else f"{document} has {_passages(count[0])}"


def _quoted(name: str, number: int, text: str) -> str:
    return f"[{name}, passage {number}]\n{text}"


def _passages(count: int) -> str:
    return "1 passage" if count == 1 else f"{count} passages"


def _library() -> sqlite3.Connection:
    """The index, up to date with the folder."""
    root = Path(os.environ.get("ATOLL_LIBRARY") or Path(__file__).parent / "library").absolute()
    if not root.is_dir():
        raise NotADirectoryError(f"{root}: no such folder; ATOLL_LIBRARY names the library")
    index = _open(_index_path(root))
    _refresh(index, root)
    return index


def _index_path(root: Path) -> Path:
    key = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    return places_of(os.environ, os.getuid()).state / "librarian" / f"{key}.sqlite3"


def _open(path: Path) -> sqlite3.Connection:
    """Open the index; in memory when the state directory cannot be written to."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _connect(str(path))
    except (OSError, sqlite3.OperationalError):
        return _connect(":memory:")
    except sqlite3.DatabaseError:
        path.unlink(missing_ok=True)
        return _connect(str(path))


def _connect(database: str) -> sqlite3.Connection:
    index = sqlite3.connect(database, timeout=15, isolation_level=None)
    try:
        index.executescript(_SCHEMA)
    except sqlite3.Error:
        index.close()
        raise
    return index


def _refresh(index: sqlite3.Connection, root: Path) -> None:
    """Take in what is new or changed and forget what is gone, in one transaction."""
    rows = index.execute("SELECT name, mtime_ns, size FROM documents")
    known: dict[str, _Stamp] = {name: (mtime, size) for name, mtime, size in rows}
    found = dict(_files(root))
    if known == found:
        return
    index.execute("BEGIN IMMEDIATE")
    with index:
        for name in known.keys() - found.keys():
            _forget(index, name)
        for name, stamp in found.items():
            if known.get(name) != stamp:
                _take_in(index, root, name, stamp)


def _files(root: Path) -> Iterator[tuple[str, _Stamp]]:
    """Name and stamp of each text: regular files only, hidden ones and links left out."""
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(folder, name) for name in names):
            if path.suffix.lower() not in _SUFFIXES or path.name.startswith("."):
                continue
            info = path.lstat()
            if stat.S_ISREG(info.st_mode) and info.st_size <= _MAX_BYTES:
                yield path.relative_to(root).as_posix(), (info.st_mtime_ns, info.st_size)


def _forget(index: sqlite3.Connection, name: str) -> None:
    index.execute("DELETE FROM documents WHERE name = ?", (name,))
    index.execute("DELETE FROM passages WHERE name = ?", (name,))


def _take_in(index: sqlite3.Connection, root: Path, name: str, stamp: _Stamp) -> None:
    text = _read(root / name)
    passages = _split(text)
    title = next((line.strip("#= ") for line in text.splitlines() if line.strip("#= ")), name)
    _forget(index, name)
    index.execute(
        "INSERT INTO documents VALUES (?, ?, ?, ?, ?)", (name, *stamp, title[:120], len(passages))
    )
    index.executemany(
        "INSERT INTO passages VALUES (?, ?, ?)",
        [(name, number, passage) for number, passage in enumerate(passages, 1)],
    )


def _read(path: Path) -> str:
    """The text, or "" of a file that may not be read; no link that took its place is followed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        return file.read(_MAX_BYTES).decode("utf-8", "replace").replace("\0", "")


def _split(text: str) -> list[str]:
    """Paragraphs, short ones joined and long ones cut, of at most _PASSAGE_CHARS each."""
    passages: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        fits = [paragraph] if len(paragraph) <= _PASSAGE_CHARS else _cut(paragraph)
        for part in fits:
            if passages and len(passages[-1]) + len(part) + 2 <= _PASSAGE_CHARS:
                passages[-1] = f"{passages[-1]}\n\n{part}"
            elif part:
                passages.append(part)
    return passages


def _cut(paragraph: str) -> list[str]:
    return textwrap.wrap(paragraph, _PASSAGE_CHARS, break_on_hyphens=False)
