"""The token file: made once, ours alone, compared in constant time."""

import os

import pytest

from atoll.errors import ConfigError
from atoll_supervisor.shell.token import ensure_token, matches, read_token


def test_a_token_is_made_once(tmp_path):
    """256 bits, 0600 in a 0700 directory, the same ever after."""
    path = tmp_path / "state" / "token"
    token = ensure_token(path)
    assert len(token) >= 43
    assert ensure_token(path) == read_token(path) == token
    assert path.stat().st_mode & 0o7777 == 0o600
    assert path.parent.stat().st_mode & 0o7777 == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["token"]


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_the_umask_does_not_matter(tmp_path, umask):
    """Neither wider nor narrower than 0600 (attacks.md S48)."""
    (tmp_path / "state").mkdir(mode=0o700)
    before = os.umask(umask)
    try:
        ensure_token(tmp_path / "state" / "token")
    finally:
        os.umask(before)
    assert (tmp_path / "state" / "token").stat().st_mode & 0o777 == 0o600


def test_a_planted_symlink_is_not_followed(tmp_path):
    """Neither written through nor read through (attacks.md S48)."""
    path, victim = tmp_path / "token", tmp_path / "victim"
    path.symlink_to(victim)
    with pytest.raises(ConfigError, match="cannot read the token"):
        ensure_token(path)
    assert not victim.exists()
    victim.write_text("guessable")
    victim.chmod(0o600)
    with pytest.raises(ConfigError, match="cannot read the token"):
        read_token(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_token_that_others_can_touch_is_refused(tmp_path, mode):
    """The error names the command that mends it."""
    path = tmp_path / "token"
    ensure_token(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_token(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away needs root")
def test_a_token_of_another_user_is_refused(tmp_path):
    """Who owns it can change it."""
    path = tmp_path / "token"
    ensure_token(path)
    os.chown(path, 65534, 65534)
    with pytest.raises(ConfigError, match="belongs to uid 65534"):
        read_token(path)


def test_no_token(tmp_path):
    """Missing, empty, or not a file: an error for people each time."""
    path = tmp_path / "token"
    with pytest.raises(ConfigError, match="atoll up"):
        read_token(path)
    path.touch(mode=0o600)
    with pytest.raises(ConfigError, match="empty"):
        read_token(path)
    path.unlink()
    os.mkfifo(path, 0o600)
    with pytest.raises(ConfigError, match="not a regular file"):
        read_token(path)


@pytest.mark.parametrize("presented", ["", "x", "tokeN", "token ", "tökén"])
def test_only_the_token_matches(presented):
    """Any other text, of any length and alphabet, does not."""
    assert not matches("token", presented)
    assert matches("token", "token")
