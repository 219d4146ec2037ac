"""The two receivers of the serial protocol, in Python and in C, on damaged streams."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.wire.protocol import MAGIC, MAX_PAYLOAD, Frame, Parser, encode
from tests.helpers.host_c import NATIVE, TEMPLATES, build, run

Receive = Callable[[bytes], list[Frame]]

payloads = st.binary(max_size=200) | st.just(MAGIC) | st.just(MAGIC * 3) | st.just(b"P7")
frames = st.builds(Frame, st.integers(0, 255), st.integers(0, 255), payloads)


def receive_in_python(stream: bytes) -> list[Frame]:
    parser = Parser()
    found: list[Frame] = []
    for start in range(0, len(stream), 97):
        found += parser.feed(stream[start : start + 97])
    return found + parser.finish()


def receiver_program() -> Path:
    common = TEMPLATES / "common"
    sources = (NATIVE / "receiver_main.c", common / "frame_receiver.c", common / "crc32.c")
    return build("receiver", sources, (common,))


def receive_in_c(stream: bytes) -> list[Frame]:
    out = run(receiver_program(), stream)
    found, at = [], 0
    while True:
        kind, sequence, length = struct.unpack_from("<BBH", out, at)
        payload = out[at + 4 : at + 4 + length]
        at += 4 + length
        if at == len(out):
            assert kind == 0xFF
            return found
        found.append(Frame(kind, sequence, payload))


def send_in_c(frames: list[Frame], piece: int) -> bytes:
    common = TEMPLATES / "common"
    sources = (NATIVE / "sender_main.c", common / "frame.c", common / "crc32.c")
    heads = [struct.pack("<BHB", frame.type, len(frame.payload), piece) for frame in frames]
    request = b"".join(head + f.payload for head, f in zip(heads, frames, strict=True))
    return run(build("sender", sources, (common,)), request)


RECEIVERS = pytest.mark.parametrize("receive", [receive_in_python, receive_in_c])


@given(st.lists(frames, max_size=6), st.integers(1, 50))
def test_frames_arrive_whatever_the_pieces(sent: list[Frame], piece: int) -> None:
    stream = b"".join(map(encode, sent))
    parser = Parser()
    found: list[Frame] = []
    for start in range(0, len(stream), piece):
        found += parser.feed(stream[start : start + piece])
    assert found == sent
    assert not parser.text
    assert parser.rejected == 0


@given(st.lists(frames | st.binary(max_size=20).filter(lambda b: 0xA5 not in b), max_size=6))
def test_text_and_frames_are_told_apart(parts: list[Frame | bytes]) -> None:
    parser = Parser()
    found = []
    for part in parts:
        found += parser.feed(part if isinstance(part, bytes) else encode(part))
    found += parser.finish()
    assert found == [part for part in parts if isinstance(part, Frame)]
    assert parser.text == b"".join(part for part in parts if isinstance(part, bytes))


@settings(max_examples=40, deadline=None)
@given(st.lists(frames, min_size=1, max_size=4), st.binary(max_size=40))
def test_both_receivers_agree(sent: list[Frame], noise: bytes) -> None:
    stream = noise + b"".join(encode(frame) + noise[::-1] for frame in sent)
    assert receive_in_c(stream) == receive_in_python(stream)


@RECEIVERS
def test_frame_behind_a_shortened_one_is_found(receive: Receive) -> None:
    first, second = Frame(1, 0, bytes(300)), Frame(2, 1, b"second")
    for kept in (3, 4, 9, 10, 11, 200, 313):
        assert receive(encode(first)[:kept] + encode(second)) == [second]


@RECEIVERS
def test_a_frame_inside_a_payload_is_never_taken_for_one(receive: Receive) -> None:
    inner = encode(Frame(9, 9, b"inner"))
    outer = encode(Frame(1, 0, inner + bytes(50) + inner))
    after = Frame(2, 1, b"after")
    assert outer.count(MAGIC) == 1
    stream = b""
    for at in range(4, len(outer)):
        byte = outer[at]
        for instead in (b"", bytes((byte, byte)), *(bytes((byte ^ 1 << k,)) for k in range(8))):
            damaged = outer[:at] + instead + outer[at + 1 :]
            if outer not in damaged:  # doubling the last byte does no harm
                stream += damaged + encode(after)
    assert receive(stream) == [after] * stream.count(encode(after))


@pytest.mark.parametrize(
    "text", [b"P78", b"xP78", b"P78\0", b"P78P78P78", b"PP78", b"P7P78\xa5", MAGIC * 5]
)
@RECEIVERS
def test_what_looks_like_a_magic_is_stuffed(receive: Receive, text: bytes) -> None:
    sent = [Frame(0x50, 0x37, text), Frame(0x38, 0xA5, b"x" + text + b"y")]
    stream = b"".join(map(encode, sent))
    assert stream.count(MAGIC) == 2
    assert receive(stream) == sent


@pytest.mark.parametrize("piece", [1, 2, 7, 255])
def test_the_firmware_sends_what_python_would(piece: int) -> None:
    source = random.Random(7)
    payloads = [b"", b"P78", b"P78P78", MAGIC * 9, b"xP7", b"PP78\0\0", source.randbytes(4096)]
    payloads += [bytes(source.choices(b"P78\xa5\0", k=200)) for _ in range(40)]
    frames = [Frame(source.choice(b"P78\1"), n, payload) for n, payload in enumerate(payloads)]
    assert send_in_c(frames, piece) == b"".join(map(encode, frames))


def test_a_check_that_ends_like_a_magic() -> None:
    number = 0xD14A533A  # chosen for its CRC
    frame = Frame(1, 0, struct.pack("<I", number))
    assert encode(frame).endswith(b"P78")
    after = Frame(2, 1, b"after")
    for receive in (receive_in_python, receive_in_c):
        assert receive(encode(frame)) == [frame]
        assert receive(encode(frame) + encode(after)) == [frame, after]
        assert receive(encode(frame) + b"\xa5" + encode(after)) == [frame, after]


@RECEIVERS
def test_a_frame_is_there_with_its_last_byte(receive: Receive) -> None:
    begun = encode(Frame(1, 0, bytes(4096)))[:2000]
    assert Parser().feed(begun + encode(Frame(2, 1, b"now"))) == [Frame(2, 1, b"now")]
    assert receive(begun + encode(Frame(2, 1, b"now"))) == [Frame(2, 1, b"now")]


@RECEIVERS
def test_too_long_a_payload_is_refused(receive: Receive) -> None:
    guarded = struct.pack("<BBH", 1, 0, MAX_PAYLOAD + 1)
    wrong = MAGIC + guarded + struct.pack("<H", zlib.crc32(guarded) & 0xFFFF)
    after = Frame(2, 0, b"after")
    assert receive(wrong + encode(after)) == [after]


def damage(data: bytearray, source: random.Random) -> None:
    """Drop, double or flip one byte."""
    at = source.randrange(len(data))
    kind = source.randrange(3)
    if kind == 0:
        del data[at]
    elif kind == 1:
        data.insert(at, data[at])
    else:
        data[at] ^= 1 << source.randrange(8)


def is_subsequence(part: list[Frame], whole: list[Frame]) -> bool:
    rest = iter(whole)
    return all(frame in rest for frame in part)


def check_damaged_stream(receive: Receive, seed: int, frames_sent: int) -> int:
    """Damage many frames; returns the number of bytes in damaged frames."""
    source = random.Random(seed)
    stream = bytearray()
    sent, whole = [], []
    tried = 0
    for number in range(frames_sent):
        payload = source.randbytes(source.choice((0, 5, 40, 300)))
        frame = Frame(source.randrange(256), number & 0xFF, payload)
        sent.append(frame)
        data = bytearray(encode(frame))
        if source.random() < 0.5:
            for _ in range(source.choice((1, 1, 2, 10))):
                damage(data, source)
        if encode(frame) in data:  # also with its last byte doubled, say
            whole.append(frame)
        else:
            tried += len(data)
        stream += data
    received = receive(bytes(stream))
    assert is_subsequence(received, sent)
    # A damaged frame may still arrive: when the byte it lost comes with the next frame.
    assert is_subsequence(whole, received)
    assert len(received) <= len(whole) + frames_sent // 1000
    return tried


@RECEIVERS
def test_nothing_is_accepted_that_was_not_sent(receive: Receive) -> None:
    """Every undamaged frame arrives, in order, and nothing else, over 1,000,000 damaged bytes."""
    assert sum(check_damaged_stream(receive, seed, 5000) for seed in range(5)) > 1_000_000


def test_parser_keeps_little_of_a_silent_line() -> None:
    parser = Parser()
    for _ in range(1000):
        parser.feed(b"x" * 1000)
    assert len(parser.text) == 1_000_000
    assert not parser.feed(encode(Frame(1, 2, b""))[:-1])
    assert parser.finish() == []
    assert parser.rejected == 1
