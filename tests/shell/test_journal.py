"""fleet.toml survives crashes, full disks and strangers."""

import pytest

from atoll.errors import ConfigError
from atoll_supervisor.shell.journal import FleetRecord, Journal, UnitRecord

FIRST = FleetRecord(units={"a": UnitRecord(port=8100), "b": UnitRecord(port=8101)})
SECOND = FleetRecord(
    units={"a": UnitRecord(port=8100, desired="stopped"), "c-1": UnitRecord(desired="stopped")}
)


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "fleet.toml")


def test_a_first_start_knows_nothing(journal):
    """No file is no fault."""
    assert journal.load().record == FleetRecord()
    assert journal.load().warnings == ()


def test_what_was_saved_is_loaded(journal):
    """Ports and desired states come back, and the previous generation stands beside."""
    assert journal.save(FIRST)
    assert journal.save(SECOND)
    assert journal.load().record == SECOND
    assert Journal(journal.previous).load().record == FIRST
    assert sorted(path.name for path in journal.path.parent.iterdir()) == [
        "fleet.toml",
        "fleet.toml.1",
    ]
    assert journal.path.stat().st_mode & 0o777 == 0o600


def test_a_file_cut_at_any_byte_gives_the_previous_generation(journal):
    """Never an empty fleet, never half of one, always with a warning (faults.md row 22)."""
    journal.save(FIRST)
    journal.save(SECOND)
    whole, old = journal.path.read_bytes(), journal.previous.read_bytes()
    for length in range(len(whole) - 1):  # the last byte is only a line end
        journal.path.write_bytes(whole[:length])
        journal.previous.write_bytes(old)
        recovered = journal.load()
        assert recovered.record == FIRST, length
        assert "fleet.toml.broken-1" in recovered.warnings[0]
        broken = journal.path.with_name("fleet.toml.broken-1")
        assert broken.read_bytes() == whole[:length]
        broken.unlink()


def test_a_flipped_bit_never_changes_the_fleet_unnoticed(journal):
    """The meaning is checked: each flip gives the new fleet as it was, or the previous one."""
    journal.save(FIRST)
    journal.save(SECOND)
    whole, old = journal.path.read_bytes(), journal.previous.read_bytes()
    for at in range(len(whole)):
        journal.path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        journal.previous.write_bytes(old)
        assert journal.load().record in (FIRST, SECOND), at


@pytest.mark.parametrize("content", [b"", b"\xff\0", b"x = 1\n", b"[units]\n", b"version = 1\n"])
def test_foreign_content_is_kept_aside(journal, content):
    """Whatever it is, it is not overwritten, and every one gets a place of its own."""
    for _ in range(3):
        journal.path.write_bytes(content)
        assert journal.load().record == FleetRecord()
    kept = sorted(journal.path.parent.glob("fleet.toml.broken-*"))
    assert [path.read_bytes() for path in kept] == [content] * 3


def test_a_directory_in_its_place(journal):
    """Also this is moved aside, and saving works again."""
    journal.save(FIRST)
    journal.save(SECOND)
    journal.path.unlink()
    journal.path.mkdir()
    assert journal.load().record == FIRST
    assert journal.save(SECOND)
    assert journal.load().record == SECOND


def test_both_generations_broken(journal):
    """Two warnings, and a fleet that starts from nothing."""
    journal.path.write_text("{")
    journal.previous.write_text("{")
    assert len(journal.load().warnings) == 2


def test_a_newer_format_is_refused_and_left_alone(journal):
    """A downgrade must not eat the state (faults.md row 44)."""
    journal.path.write_text('version = 2\nchecksum = ""\n')
    with pytest.raises(ConfigError, match="newer ATOLL"):
        journal.load()
    assert journal.path.read_text().startswith("version = 2")


def test_a_failed_save_keeps_the_old_state_and_says_why(journal, tmp_path):
    """A disk that refuses is a degraded flag, not an end (faults.md row 19)."""
    journal.save(FIRST)
    moved = tmp_path.with_name(tmp_path.name + "-away")
    tmp_path.rename(moved)
    assert not journal.save(SECOND)
    assert "cannot write" in journal.degraded
    moved.rename(tmp_path)
    assert journal.load().record == FIRST
    assert journal.save(SECOND)
    assert journal.degraded == ""


def test_a_full_disk_leaves_nothing_behind(journal, monkeypatch):
    """ENOSPC in the middle of the file: no half file, no temporary one."""
    import resource

    journal.save(FIRST)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    saved = journal.save(SECOND)
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not saved
    assert [path.name for path in journal.path.parent.iterdir()] == ["fleet.toml"]
    assert journal.load().record == FIRST
