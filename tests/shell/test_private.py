"""Runtime folders are ours alone."""

import os
from pathlib import Path

import pytest

from atoll.adapters.private import private_folder
from atoll.errors import ConfigError


def test_a_folder_is_made_private(tmp_path: Path):
    folder = private_folder(tmp_path / "a" / "b")
    assert folder.stat().st_mode & 0o777 == 0o700


def test_our_own_open_folder_is_closed(tmp_path: Path):
    (tmp_path / "a").mkdir(mode=0o755)
    assert private_folder(tmp_path / "a").stat().st_mode & 0o777 == 0o700


def test_a_link_is_refused(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(ConfigError, match="is not a folder"):
        private_folder(tmp_path / "link")


def test_a_file_in_its_place_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be made|is not a folder"):
        private_folder(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path):
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 12345, 12345)
    with pytest.raises(ConfigError, match="belongs to another user"):
        private_folder(tmp_path / "theirs")
    with pytest.raises(ConfigError, match="belongs to another user"):
        private_folder(tmp_path / "theirs" / "below")
