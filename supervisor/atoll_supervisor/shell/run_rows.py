"""The tables of runs in `atoll.db`: statements, and nothing else.

`run` is what lists show, `run_plan` what was asked, `run_progress` where it
stands, `run_step` and `run_event` what came of it. Every function that writes is
one transaction, and writing the same again is no error.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import suppress

import msgspec
from msgspec.structs import replace

from atoll.config.names import slug_of, without_tag
from atoll_supervisor.core.runs.events import Outcome, Told
from atoll_supervisor.core.runs.records import (
    Batch,
    IdempotencyKey,
    Known,
    Page,
    Plan,
    Progress,
    Run,
    Status,
    Step,
    Wanted,
)
from atoll_supervisor.core.runs.view import RunRow, ended_at, rfc3339, row_of, status_of

PRUNED_AT_ONCE = 500
"""Runs that one call of `prune` deletes at most, so that no commit takes long."""

_INSERT = """
insert into run (id, agent, status, batch, item, ended, row) values (?, ?, ?, ?, ?, ?, ?)
"""
_UPDATE = "update run set status = ?, ended = ?, row = ? where id = ?"
_OPEN = "select seq, id, row from run where ended is null"
_LOST = "update run set status = 'failed', ended = ?, row = ? where seq = ?"
_PROGRESS = "insert or replace into run_progress (seq, progress) values (?, ?)"
_STEP = "insert or ignore into run_step (seq, position, step) values (?, ?, ?)"
_EVENT = "insert or ignore into run_event (seq, id, event) values (?, ?, ?)"
_SEQ = "select seq from run where id = ?"
_RUN = """
select run.seq, plan, progress from run join run_plan using (seq) join run_progress using (seq)
"""
_LIST = "select seq, row from run where seq < :before{} order by seq desc limit :limit"
_LISTS = {
    (False, False): _LIST.format(""),
    (True, False): _LIST.format(" and status = :status"),
    (False, True): _LIST.format(" and agent = :agent"),
    (True, True): _LIST.format(" and status = :status and agent = :agent"),
}
"""By whether a status and an agent are asked for."""
_OLD = """
select seq, id, batch from run where ended is not null and (ended < ? or seq <= coalesce(
    (select seq from run order by seq desc limit 1 offset ?), 0))
    and seq not in (select seq from run_webhook) order by seq limit ?
"""
"""Not those whose end is still to be told."""
_ANY_OF = "select 1 from run where batch <> '' and batch = ? limit 1"
_NEWEST = 2**62
_SPOILT = (msgspec.MsgspecError, UnicodeDecodeError, TypeError, RecursionError)
"""What comes of reading a row that a failing disk has spoilt."""

_encode = msgspec.json.Encoder().encode
_plans = msgspec.json.Decoder(Plan)
_progress = msgspec.json.Decoder(Progress)
_steps = msgspec.json.Decoder(Step)
_events = msgspec.json.Decoder(Told)
_batches = msgspec.json.Decoder(Batch)
_rows = msgspec.json.Decoder(RunRow)


def accept(
    db: sqlite3.Connection,
    outcomes: Sequence[Outcome],
    key: IdempotencyKey | None,
    batch: Batch | None,
) -> Known | None:
    """Keep new runs, unless the key says that they are there already."""
    db.execute("begin immediate")
    if key is not None and (known := _known(db, key)) is not None:
        db.execute("rollback")
        return known
    for outcome in outcomes:
        _insert(db, outcome.run, outcome.told)
    if batch is not None:
        db.execute("insert into run_batch values (?, ?)", (batch.batch_id, _text(batch)))
    if key is not None:
        target = batch.batch_id if batch is not None else outcomes[0].run.plan.run_id
        db.execute("insert into run_key values (?, ?, ?)", (key.key, key.digest, target))
    db.execute("commit")
    return None


def save(db: sqlite3.Connection, run: Run, told: Sequence[Told], all_told: Sequence[Told]) -> None:
    """Keep what came of an event; a run that is not there, in a new file, is kept whole."""
    db.execute("begin immediate")
    row = (*_state(run), run.plan.run_id)
    if db.execute(_UPDATE, row).rowcount:
        (seq,) = db.execute(_SEQ, (run.plan.run_id,)).fetchone()
        _put(db, seq, run, run.steps[-1:], told)
    else:
        _insert(db, run, all_told)
    db.execute("commit")


def load(db: sqlite3.Connection, run_id: str) -> Run | None:
    """One run."""
    found = db.execute(f"{_RUN} where id = ?", (run_id,)).fetchone()
    return None if found is None else _run(db, *found)


def unfinished(db: sqlite3.Connection, now: float) -> list[Run]:
    """Every run that has not ended, oldest first; one that cannot be read has ended now.

    Left as it is it would be shown as running for ever.
    """
    found = db.execute(f"{_RUN} where ended is null order by run.seq").fetchall()
    runs = _runs(db, found)
    for seq, run_id, row in db.execute(_OPEN).fetchall():
        if seq not in runs:
            db.execute(_LOST, (now, _lost(run_id, row, now), seq))
    return list(runs.values())


def events(db: sqlite3.Connection, run_id: str, after: int) -> list[Told]:
    """What was told of a run after an id; without those that cannot be read."""
    query = "select event from run_event where seq = (select seq from run where id = ?) and id > ?"
    found: list[Told] = []
    for (row,) in db.execute(f"{query} order by id", (run_id, after)):
        with suppress(*_SPOILT):
            found.append(_events.decode(row))
    return found


def page(db: sqlite3.Connection, wanted: Wanted) -> Page:
    """A list of runs."""
    query = _LISTS[wanted.status is not None, wanted.agent is not None]
    given = {
        "before": wanted.before or _NEWEST,
        "limit": wanted.limit,
        "status": wanted.status,
        "agent": slug_of(without_tag(wanted.agent or "")),
    }
    found = db.execute(query, given).fetchall()
    following = found[-1][0] if found and len(found) == wanted.limit else None
    return Page(tuple(row for _, row in found), following)


def load_batch(db: sqlite3.Connection, batch_id: str) -> tuple[Batch, list[Run]] | None:
    """A batch with its runs, in the order in which they were given, without their steps."""
    found = db.execute("select batch from run_batch where id = ?", (batch_id,)).fetchone()
    if found is None:
        return None
    rows = db.execute(f"{_RUN} where batch <> '' and batch = ? order by item", (batch_id,))
    runs = [Run(plan=_plans.decode(plan), progress=_progress.decode(at)) for _, plan, at in rows]
    return _batches.decode(found[0]), runs


def delete(db: sqlite3.Connection, run_id: str) -> bool:
    """Forget a run that has ended; whether there was one."""
    query = "select seq, id, batch from run where id = ? and ended is not null"
    return _delete(db, db.execute(query, (run_id,)).fetchall()) > 0


def prune(db: sqlite3.Connection, oldest: float, most: int) -> bool:
    """Forget some of what ended before `oldest` or is over `most`; whether there may be more."""
    found = db.execute(_OLD, (oldest, max(0, most), PRUNED_AT_ONCE)).fetchall()
    return _delete(db, found) >= PRUNED_AT_ONCE


def untold(db: sqlite3.Connection) -> list[str]:
    """The ids of the runs whose end their webhook has not heard of, oldest first."""
    found = db.execute("select id from run join run_webhook using (seq) order by run.seq")
    return [id.decode(errors="replace") for (id,) in found]


def heard(db: sqlite3.Connection, run_id: str) -> None:
    """The webhook of a run has been told, or is given up."""
    db.execute("delete from run_webhook where seq = (select seq from run where id = ?)", (run_id,))


def _known(db: sqlite3.Connection, key: IdempotencyKey) -> Known | None:
    query = "select target, digest from run_key where key = ?"
    found = db.execute(query, (key.key,)).fetchone()
    if found is None:
        return None
    target, digest = found
    return Known(target.decode(), digest.decode() == key.digest)


def _insert(db: sqlite3.Connection, run: Run, told: Sequence[Told]) -> None:
    plan = run.plan
    status, ended, row = _state(run)
    slug = slug_of(without_tag(plan.agent))
    made = db.execute(_INSERT, (plan.run_id, slug, status, plan.batch, plan.item, ended, row))
    seq = made.lastrowid or 0
    db.execute("insert into run_plan values (?, ?)", (seq, _text(plan)))
    _put(db, seq, run, run.steps, told)


def _put(
    db: sqlite3.Connection, seq: int, run: Run, steps: Sequence[Step], told: Sequence[Told]
) -> None:
    db.execute(_PROGRESS, (seq, _text(run.progress)))
    db.executemany(_STEP, ((seq, step.position, _text(step)) for step in steps))
    db.executemany(_EVENT, ((seq, one.id, _text(one)) for one in told))
    if run.is_final and run.plan.webhook is not None:
        db.execute("insert or ignore into run_webhook values (?)", (seq,))


def _state(run: Run) -> tuple[Status, float | None, str]:
    return status_of(run.phase), ended_at(run.phase), _text(row_of(run))


def _run(db: sqlite3.Connection, seq: int, plan: bytes, progress: bytes) -> Run:
    query = "select step from run_step where seq = ? order by position"
    steps = tuple(_steps.decode(row) for (row,) in db.execute(query, (seq,)))
    return Run(plan=_plans.decode(plan), progress=_progress.decode(progress), steps=steps)


def _runs(db: sqlite3.Connection, found: Sequence[tuple[int, bytes, bytes]]) -> dict[int, Run]:
    """All that can be read: one run that a failing disk has spoilt does not hold up the others."""
    runs: dict[int, Run] = {}
    for row in found:
        with suppress(*_SPOILT):
            runs[row[0]] = _run(db, *row)
    return runs


def _lost(run_id: bytes, row: bytes, now: float) -> str:
    """The row of a run that cannot be read; of what it said before, as much as can be."""
    try:
        before = _rows.decode(row)
    except _SPOILT:
        before = RunRow(
            run_id=run_id.decode(errors="replace"), status="failed", started_at=rfc3339(now),
            completed_at=None, error=None, reason=None, agent_name="", kind="agent", steps=0,
            batch_id=None,
        )  # fmt: skip
    error = "what was kept of it cannot be read"
    ended = rfc3339(now)
    return _text(
        replace(before, status="failed", completed_at=ended, error=error, reason="internal")
    )


def _delete(db: sqlite3.Connection, found: Sequence[tuple[int, bytes, bytes]]) -> int:
    db.execute("begin immediate")
    for table in ("run", "run_plan", "run_progress", "run_step", "run_event", "run_webhook"):
        db.executemany(f"delete from {table} where seq = ?", ((seq,) for seq, _, _ in found))  # noqa: S608  our own names
    ids = [id.decode(errors="replace") for _, id, _ in found]
    batches = {batch.decode(errors="replace") for _, _, batch in found if batch}
    empty = [id for id in batches if not db.execute(_ANY_OF, (id,)).fetchone()]
    db.executemany("delete from run_batch where id = ?", ((id,) for id in empty))
    db.executemany("delete from run_key where target = ?", ((id,) for id in (*ids, *empty)))
    db.execute("commit")
    return len(found)


def _text(value: object) -> str:
    return _encode(value).decode()
