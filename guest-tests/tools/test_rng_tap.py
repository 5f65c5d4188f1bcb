# tools/rng-tap on streams made here: whole ones, torn ones, and ones with gaps.
import fcntl
import os
import pathlib
import signal
import struct
import subprocess
import termios
import time
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


@pytest.mark.parametrize("end", (frame(2)[:100] + b"x" + frame(2)[101:], frame(2)[7:], b"reset"))
def test_what_follows_the_last_frame_must_be_one(tmp_path, end):
    status, collected, said = run(tmp_path, frame(0) + frame(1) + end)
    assert status == 1
    assert collected == words(0, 128)
    assert "what follows frame 1 is no whole frame, after 128 words" in said


def test_an_end_before_the_limit(tmp_path):
    status, collected, said = run(tmp_path, frame(0) + frame(1), "-n", "200")
    assert status == 1
    assert collected == words(0, 128)
    assert "rng-tap: 128 words, not 200\n" in said


def test_the_output_is_kept_until_there_are_words(tmp_path):
    (tmp_path / "out").write_bytes(words(0, 1000))
    assert run(tmp_path, b"a silent port")[:2] == (1, words(0, 1000))
    done = subprocess.run([ROOT / "tools/rng-tap", tmp_path / "mistyped", "-o", tmp_path / "out"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "mistyped" in done.stderr and "Traceback" not in done.stderr
    assert (tmp_path / "out").read_bytes() == words(0, 1000)
    assert run(tmp_path, frame(5))[:2] == (0, words(320, 64))


def test_the_output_is_not_the_input(tmp_path):
    capture = tmp_path / "cap.raw"
    capture.write_bytes(frame(0))
    done = subprocess.run([ROOT / "tools/rng-tap", "-o", capture, capture], capture_output=True,
                          text=True, check=False)
    assert (done.returncode, done.stderr) == (1, f"rng-tap: -o {capture}: this is the input\n")
    assert capture.read_bytes() == frame(0)


def unread(pipe):
    """How many bytes nobody has taken from it."""
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]


def sleeps(pid):
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    return stat.rpartition(")")[2].split()[0] == "S"


@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM))
@pytest.mark.parametrize("options, sent, status, said", (
    ((), frame(0) + frame(1) + frame(2)[:300], 0, ""),
    (("-n", "1000"), frame(0) + frame(1), 1, "rng-tap: 128 words, not 1000\n"),
))
def test_a_signal_ends_the_collection(tmp_path, number, options, sent, status, said):
    with subprocess.Popen([ROOT / "tools/rng-tap", "-", "-o", tmp_path / "out", *options],
                          stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdin.write(sent)
        process.stdin.flush()
        while unread(process.stdin) or not sleeps(process.pid):
            time.sleep(0.02)
        os.kill(process.pid, number)
        errors = process.communicate(timeout=30)[1].decode()
    assert process.returncode == status
    assert errors == ("rng-tap: 128 words, 0 gaps; tries of the source without a word: 0\n" + said)
    assert (tmp_path / "out").read_bytes() == words(0, 128)
