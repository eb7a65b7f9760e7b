"""Files of the daemon that must survive a crash."""

from atoll_supervisor.shell.files import write_beside


def test_a_file_written_beside_is_private_and_leaves_the_old_one_alone(tmp_path):
    """Until it is renamed over it."""
    path = tmp_path / "x"
    path.write_text("old")
    fresh = write_beside(path, b"new")
    assert (path.read_text(), fresh.read_text()) == ("old", "new")
    assert fresh.stat().st_mode & 0o777 == 0o600
