"""Private directories and durable files."""

import os

import pytest

from atoll.errors import ConfigError
from atoll_supervisor.shell.files import private_directory, write_beside


def test_missing_directories_are_made_for_us_alone(tmp_path):
    """Every one that had to be made is 0700."""
    made = private_directory(tmp_path / "a" / "b")
    assert [path.stat().st_mode & 0o777 for path in (made, made.parent)] == [0o700, 0o700]


def test_an_open_directory_of_ours_is_closed(tmp_path):
    """Others lose the access they had."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(0o777)
    assert private_directory(tmp_path / "a").stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a directory away needs root")
@pytest.mark.parametrize("given_away", ["a", "a/b"])
def test_a_directory_of_somebody_else_is_refused(tmp_path, given_away):
    """Nor may the one above it be theirs, who could then swap ours."""
    private_directory(tmp_path / "a" / "b")
    os.chown(tmp_path / given_away, 65534, 65534)
    with pytest.raises(ConfigError, match="uid 65534"):
        private_directory(tmp_path / "a" / "b")


def test_a_symlink_or_a_file_is_refused(tmp_path):
    """A planted link does not become our directory."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").touch()
    for name in ("link", "file", "file/below"):
        with pytest.raises(ConfigError):
            private_directory(tmp_path / name)


def test_a_file_written_beside_is_private_and_leaves_the_old_one_alone(tmp_path):
    """Until it is renamed over it."""
    path = tmp_path / "x"
    path.write_text("old")
    fresh = write_beside(path, b"new")
    assert (path.read_text(), fresh.read_text()) == ("old", "new")
    assert fresh.stat().st_mode & 0o777 == 0o600
