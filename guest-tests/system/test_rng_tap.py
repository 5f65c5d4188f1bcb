# tools/rng-tap on streams made here: whole ones, torn ones, and ones with gaps.
import pathlib
import struct
import subprocess
import zlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def word(number):
    return (number * 0x9E3779B97F4A7C15 + 12345) % (1 << 64)


def frame(number, failures=0):
    body = struct.pack("<II", number, failures)
    body += b"".join(struct.pack("<Q", word(64 * number + i)) for i in range(64))
    return b"SVT1" + body + struct.pack("<I", zlib.crc32(body))


def words(first, count):
    return b"".join(struct.pack("<Q", word(first + i)) for i in range(count))


def run(tmp_path, stream, *options):
    """The exit status, the words collected, and what was said."""
    (tmp_path / "in").write_bytes(stream)
    done = subprocess.run([ROOT / "tools/rng-tap", tmp_path / "in", "-o", tmp_path / "out",
                           *options], stderr=subprocess.PIPE, text=True, check=False)
    return done.returncode, (tmp_path / "out").read_bytes(), done.stderr


def test_whole_stream(tmp_path):
    stream = b"".join(frame(i, 7 * i) for i in range(300))
    assert run(tmp_path, stream) == (0, words(0, 64 * 300), "rng-tap: 19200 words, 0 gaps; tries of"
                                     " the source without a word: 2093\n")


def test_torn_beginning_and_end(tmp_path):
    stream = frame(4)[100:] + frame(5) + frame(6) + frame(7)[:500]
    status, collected, _ = run(tmp_path, stream)
    assert status == 0
    assert collected == words(64 * 5, 128)


def test_limit(tmp_path):
    status, collected, _ = run(tmp_path, frame(0) + frame(1) + frame(2), "-n", "100")
    assert status == 0
    assert collected == words(0, 100)


@pytest.mark.parametrize("broken", (b"", frame(1)[:300], frame(1)[:20] + b"x" + frame(1)[21:]))
def test_gap_ends_the_collection(tmp_path, broken):
    stream = frame(0) + broken + frame(2) + frame(3)
    status, collected, said = run(tmp_path, stream)
    assert status == 1
    assert collected == words(0, 64)
    assert "frame 2 follows frame 0, after 64 words" in said
    status, collected, said = run(tmp_path, stream, "--gaps")
    assert status == 1
    assert collected == words(0, 64) + words(128, 128)
    assert "192 words, 1 gaps" in said


def test_nothing_to_collect(tmp_path):
    assert run(tmp_path, b"SVT1" * 1000)[0] == 1
    assert run(tmp_path, b"")[0] == 1
