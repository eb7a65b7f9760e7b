"""The librarian's tools over real folders and a real FTS5 index."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from atoll_agents.librarian import tools

SHIPPED = Path(tools.__file__).parent / "library"


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "library"
    folder.mkdir()
    (folder / "whales.md").write_text("# Whales\n\nThe blue whale is the largest animal.\n")
    (folder / "bees.txt").write_text("Bees\n\nA bee visits a thousand flowers a day.\n")
    monkeypatch.setenv("ATOLL_LIBRARY", str(folder))
    monkeypatch.setenv("ATOLL_STATE_DIR", str(tmp_path / "state"))
    return folder


def index_file(library: Path) -> Path:
    (found,) = (library.parent / "state/librarian").glob("*.sqlite3")
    return found


def test_documents_are_listed_with_titles(library: Path) -> None:
    assert tools.list_documents() == "bees.txt: Bees (1 passage)\nwhales.md: Whales (1 passage)"


def test_search_finds_by_word_stem_and_names_the_passage(library: Path) -> None:
    assert tools.search("flower").startswith("[bees.txt, passage 1]\n")


def test_the_best_passage_comes_first(library: Path) -> None:
    (library / "notes.md").write_text("A whale was seen.")
    assert tools.search("largest whale", limit=1).startswith("[whales.md")


def test_a_limit_bounds_the_passages(library: Path) -> None:
    for number in range(5):
        (library / f"{number}.md").write_text("whale")
    assert tools.search("whale", limit=2).count("passage 1]") == 2


@pytest.mark.parametrize(
    "query", ['"', "whale OR", "NEAR(", "a* ^b -c", "name:whale", "'; DROP", "("]
)
def test_query_syntax_of_fts5_is_plain_words_here(library: Path, query: str) -> None:
    """Nothing a model writes is an operator, and nothing raises."""
    assert tools.search(query)


def test_a_query_without_words_says_so(library: Path) -> None:
    assert tools.search(" ?! ") == "the query has no word to look for"


def test_nothing_found_says_so(library: Path) -> None:
    assert tools.search("zebra") == "nothing found for 'zebra'"


def test_read_passage_returns_the_text(library: Path) -> None:
    assert "largest animal" in tools.read_passage("whales.md")


def test_a_passage_that_is_not_there_tells_how_many_are(library: Path) -> None:
    assert tools.read_passage("whales.md", 2) == "whales.md has 1 passage"


@pytest.mark.parametrize(
    "name", ["../secret.md", "/etc/passwd", "./whales.md", "", "link.md", "sub/../whales.md"]
)
def test_no_path_leads_out_of_the_library(library: Path, name: str) -> None:
    secret = library.parent / "secret.md"
    secret.write_text("the secret")
    (library / "link.md").symlink_to(secret)
    assert tools.read_passage(name).startswith("there is no document ")
    assert tools.search("secret") == "nothing found for 'secret'"


def test_a_linked_folder_is_not_followed(library: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.md").write_text("the secret")
    (library / "inside").symlink_to(outside)
    assert tools.search("secret") == "nothing found for 'secret'"


def test_hidden_files_pipes_and_other_types_are_left_out(library: Path) -> None:
    (library / ".env.md").write_text("hidden")
    (library / ".git").mkdir()
    (library / ".git/notes.md").write_text("hidden")
    (library / "picture.png").write_text("hidden")
    os.mkfifo(library / "pipe.txt")
    assert tools.search("hidden") == "nothing found for 'hidden'"


def test_a_changed_file_counts_from_the_next_question_on(library: Path) -> None:
    assert "flowers" in tools.search("bee")
    (library / "bees.txt").write_text("Bees make honey, says the second edition.")
    assert "honey" in tools.search("bees")
    assert tools.search("flowers") == "nothing found for 'flowers'"


def test_new_and_deleted_files_count_from_the_next_question_on(library: Path) -> None:
    tools.list_documents()
    (library / "deep").mkdir()
    (library / "deep/fish.md").write_text("# Fish")
    (library / "bees.txt").unlink()
    assert tools.list_documents().splitlines() == [
        "deep/fish.md: Fish (1 passage)",
        "whales.md: Whales (1 passage)",
    ]


def test_only_changed_files_are_read_again(library: Path) -> None:
    """A text altered behind an unchanged time stamp and size keeps its indexed passages."""
    tools.list_documents()
    before = (library / "bees.txt").stat()
    (library / "bees.txt").write_text("x" * before.st_size)
    os.utime(library / "bees.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "flowers" in tools.search("bee")


def test_a_damaged_index_is_made_anew(library: Path) -> None:
    tools.list_documents()
    index_file(library).write_bytes(b"this is no database at all, not even nearly" * 50)
    assert "Whales" in tools.list_documents()


def test_a_state_directory_that_cannot_be_made_costs_only_the_cache(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATOLL_STATE_DIR", "/dev/null/state")
    assert "Whales" in tools.list_documents()


def test_the_index_is_private(library: Path) -> None:
    tools.list_documents()
    assert index_file(library).parent.stat().st_mode & 0o077 == 0


def test_a_text_that_is_not_utf8_and_an_empty_one_do_no_harm(library: Path) -> None:
    (library / "latin.txt").write_bytes(b"caf\xe9 au lait\0")
    (library / "empty.txt").write_bytes(b"")
    assert "au lait" in tools.search("lait")
    assert tools.read_passage("empty.txt") == "empty.txt has 0 passages"


def test_a_file_that_vanishes_or_becomes_a_link_reads_as_empty(library: Path) -> None:
    link = library / "link.md"
    link.symlink_to(library / "bees.txt")
    assert tools._read(link) == ""
    assert tools._read(library / "gone.md") == ""


def test_a_missing_library_says_what_names_it(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATOLL_LIBRARY", str(library / "gone"))
    with pytest.raises(NotADirectoryError, match="ATOLL_LIBRARY names the library"):
        tools.list_documents()


def test_many_questions_at_once_build_one_index(library: Path) -> None:
    """Tools run in threads, and two processes of one agent may live during a restart."""
    for number in range(30):
        (library / f"{number}.md").write_text(f"# Text {number}\n\nwhale")
    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(lambda _: tools.list_documents(), range(16)))
    assert len(answers) == 1
    assert len(answers.pop().splitlines()) == 32


def test_passages_join_short_paragraphs_and_cut_long_ones() -> None:
    short, long = "one two three", "word " * 1000
    assert tools._split(f"{short}\n\n{short}") == [f"{short}\n\n{short}"]
    parts = tools._split(f"{short}\n\n{long}")
    assert all(len(part) <= 900 for part in parts)
    assert " ".join(parts).split() == f"{short} {long}".split()


def test_the_shipped_library_answers_the_question_of_the_readme(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ATOLL_LIBRARY")
    assert tools.search("What happens when an agent crashes?", limit=1).startswith("[crashes.md")
    assert len(tools.list_documents().splitlines()) == len(list(SHIPPED.iterdir()))
