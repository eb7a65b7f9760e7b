"""Every message survives the packet, and no bytes break its reading."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll_supervisor.keeper import protocol as p
from atoll_supervisor.keeper.channel import hear
from atoll_supervisor.keeper.packets import Garbage, decode_command, decode_state, encode

TEXT = st.text(max_size=20)  # hypothesis leaves lone surrogates out unless asked
ODD = st.text(st.characters(), max_size=20)
WHOLE = st.integers(-(2**53), 2**53)
SECONDS = st.floats(0, 1e9)
NAMES = st.dictionaries(TEXT, TEXT, max_size=3)

COMMANDS = st.one_of(
    st.builds(p.Hello, WHOLE, WHOLE),
    st.builds(p.Listen, TEXT, TEXT, st.integers(0, 65_535)),
    st.builds(p.Close, TEXT),
    st.builds(p.Watch, TEXT),
    st.builds(
        p.Launch,
        TEXT,
        WHOLE,
        st.sampled_from(["fork", "exec"]),
        st.lists(ODD, max_size=3),
        NAMES,
        TEXT,
        TEXT,
        st.booleans(),
        st.dictionaries(TEXT, SECONDS, max_size=3),
        ODD,
    ),
    st.builds(p.Signal, TEXT, WHOLE, st.sampled_from(["term", "kill"])),
    st.builds(p.Forget, TEXT, WHOLE),
    st.builds(p.Preload, WHOLE, TEXT, st.lists(TEXT, max_size=3), NAMES, TEXT, TEXT),
    st.builds(p.Remember, TEXT, ODD),
    st.builds(p.Pass, TEXT),
    st.builds(p.Leave),
)
STATES = st.one_of(
    st.builds(p.Welcome, WHOLE, WHOLE, SECONDS),
    st.builds(p.Held, TEXT, TEXT, WHOLE, st.booleans(), WHOLE, st.booleans()),
    st.builds(p.Remembered, TEXT, ODD),
    st.builds(
        p.Process,
        TEXT,
        WHOLE,
        st.sampled_from(["launching", "starting", "serving", "gone"]),
        code=st.none() | WHOLE,
        signal=st.none() | TEXT,
        reason=ODD,
        limits=NAMES,
        memo=ODD,
        silent=SECONDS,
        since=SECONDS,
        active=SECONDS,
        pid=WHOLE,
        port=WHOLE,
        in_flight=WHOLE,
        lag_ms=WHOLE,
    ),
    st.builds(
        p.Template, st.sampled_from(["none", "starting", "ready", "failed"]), WHOLE, TEXT, WHOLE
    ),
    st.builds(p.Synced),
)
JSON = st.recursive(
    st.none() | st.booleans() | WHOLE | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
)


@given(COMMANDS)
def test_a_command_comes_out_as_it_went_in(command: p.Command):
    assert decode_command(encode(command)) == command


@given(STATES)
def test_a_state_comes_out_as_it_went_in(state: p.State):
    packet = encode(state)
    packet.decode()
    assert decode_state(packet) == state


@given(st.binary(max_size=200))
def test_no_bytes_break_anything(packet: bytes):
    """Garbage is all that is ever raised, and a channel raises nothing."""
    hear(packet)
    for decode in (decode_command, decode_state):
        try:
            decode(packet)
        except Garbage:
            continue


@given(COMMANDS, st.data())
def test_a_field_of_the_wrong_type_is_garbage(command: p.Command, data: st.DataObject):
    """What gets through has the types that the protocol says."""
    if not command._fields:
        return
    name = data.draw(st.sampled_from(command._fields))
    value = data.draw(JSON)
    fields = {"op": type(command).__name__.lower()} | command._asdict() | {name: value}
    try:
        read = decode_command(json.dumps(fields).encode())
    except Garbage:
        return
    assert type(getattr(read, name)) in {type(getattr(command, name)), int, float}


@pytest.mark.parametrize("packet", [b"[" * 100_000, b'{"op":"hello","pid":' + b"9" * 5000 + b"}"])
def test_what_breaks_the_json_reader_is_garbage(packet: bytes):
    with pytest.raises(Garbage):
        decode_command(packet)
