"""Directories that nobody else may put anything into."""

import os

import pytest

from atoll.adapters.private import private_directory
from atoll.errors import ConfigError


def test_missing_directories_are_made_for_us_alone(tmp_path):
    """Every one that had to be made is 0700."""
    made = private_directory(tmp_path / "a" / "b")
    assert [path.stat().st_mode & 0o777 for path in (made, made.parent)] == [0o700, 0o700]


@pytest.mark.parametrize("mode", [0o1777, 0o777, 0o775, 0o722])
def test_a_directory_that_others_may_write_to_is_refused_and_left_as_it_is(tmp_path, mode):
    """`--state-dir /tmp` as root must not lock everybody out of /tmp."""
    place = tmp_path / "a"
    place.mkdir()
    place.chmod(mode)
    with pytest.raises(ConfigError, match="others may write"):
        private_directory(place)
    assert place.stat().st_mode & 0o7777 == mode


def test_a_directory_that_others_may_only_read_is_taken_as_it_is(tmp_path):
    """A home or a checkout keeps its mode."""
    (tmp_path / "a").mkdir(mode=0o755)
    (tmp_path / "a").chmod(0o755)
    assert private_directory(tmp_path / "a").stat().st_mode & 0o777 == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a directory away needs root")
@pytest.mark.parametrize("given_away", ["a", "a/b"])
def test_a_directory_of_somebody_else_is_refused(tmp_path, given_away):
    """Nor may the one above it be theirs, who could then swap ours."""
    private_directory(tmp_path / "a" / "b")
    os.chown(tmp_path / given_away, 65534, 65534)
    with pytest.raises(ConfigError, match="uid 65534"):
        private_directory(tmp_path / "a" / "b")


def test_a_file_is_refused(tmp_path):
    """Also as the place to make a directory in."""
    (tmp_path / "file").touch()
    for name in ("file", "file/below"):
        with pytest.raises(ConfigError):
            private_directory(tmp_path / name)


def test_a_symlink_of_our_own_is_followed(tmp_path):
    """With DynamicUser= systemd makes /var/lib/atoll a symlink to private/atoll."""
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    assert private_directory(tmp_path / "link").is_dir()


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a link away needs root")
def test_a_symlink_of_somebody_else_is_refused(tmp_path):
    """A planted link does not become our directory."""
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    os.chown(tmp_path / "link", 65534, 65534, follow_symlinks=False)
    with pytest.raises(ConfigError, match="symlink of somebody else"):
        private_directory(tmp_path / "link")
