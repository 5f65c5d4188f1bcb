# tools/trace on a small recorded dump: what it shows, and what it refuses.
import json
import os
import pathlib
import signal
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# 2 GHz: a tick is half a nanosecond. Text of others lies around and between the two traces.
DUMP = """\
a line of something else
seedvisor-trace: begin 2000000000 2 first
x 0 904 1000000 1002000 ffffffff81000010 memory write to GPA 0xd0000050
x 0 905 1003000 1007000 ffffffff81000020 cpuid
x 0 907 1009000 1010000 ffffffff81000030 halt
x 1 0 1000500 1001500 f000 port out 0x3f8, 1 bytes
d 12 1002100 kick 0
d 13 1002200 completion 64
d 14 1002300 interrupt 1
seedvisor-trace: end 7
seedvisor-result: 0
seedvisor-trace: begin 2000000000 1 second one
x 0 0 999000 999500 0 shutdown
seedvisor-trace: end 1
"""


def run(folder, text, *options):
    dump = folder / "dump"
    dump.write_text(text, encoding="ascii")
    return subprocess.run([ROOT / "tools/trace", *options, dump], capture_output=True, text=True,
                          check=False)


def test_text(tmp_path):
    done = run(tmp_path, DUMP)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "         0.250 second one vCPU 0 #0: shutdown at RIP 0x0; guest 0.250, hypervisor -",
        "         1.250 first vCPU 1 #0: port out 0x3f8, 1 bytes at RIP 0xf000; guest 0.500,"
        " hypervisor -",
        "         1.500 first vCPU 0 #904: memory write to GPA 0xd0000050 at RIP"
        " 0xffffffff81000010; guest 1.000, hypervisor 0.500",
        "         1.550 first device #12: kick 0",
        "         1.600 first device #13: completion 64",
        "         1.650 first device #14: interrupt 1",
        # 906 is missing: how long 905 took is not known.
        "         4.000 first vCPU 0 #905: cpuid at RIP 0xffffffff81000020; guest 2.000,"
        " hypervisor -",
        "         5.500 first vCPU 0 #907: halt at RIP 0xffffffff81000030; guest 0.500,"
        " hypervisor -",
    ]


def test_perfetto(tmp_path):
    output = tmp_path / "trace.json"
    done = run(tmp_path, DUMP, "--perfetto", "-o", output)
    assert done.returncode == 0
    assert done.stdout == ""
    trace = json.loads(output.read_text(encoding="utf-8"))
    events = trace["traceEvents"]
    names = {(event["pid"], event["tid"], event["name"]): event["args"]["name"]
             for event in events if event["ph"] == "M"}
    assert names == {
        (1, 0, "process_name"): "first", (1, 0, "thread_name"): "vCPU 0",
        (1, 1, "thread_name"): "vCPU 1", (1, 1000, "thread_name"): "devices",
        (2, 0, "process_name"): "second one", (2, 0, "thread_name"): "vCPU 0"}
    first = [event for event in events if event["pid"] == 1 and event["tid"] == 0
             and event["ph"] != "M"]
    assert first == [
        {"ph": "X", "name": "guest", "pid": 1, "tid": 0, "ts": 0.5, "cat": "guest", "dur": 1.0},
        {"ph": "X", "name": "memory", "pid": 1, "tid": 0, "ts": 1.5, "cat": "exit", "dur": 0.5,
         "args": {"number": 904, "rip": "0xffffffff81000010",
                  "detail": "write to GPA 0xd0000050"}},
        {"ph": "X", "name": "guest", "pid": 1, "tid": 0, "ts": 2.0, "cat": "guest", "dur": 2.0},
        {"ph": "i", "name": "cpuid", "pid": 1, "tid": 0, "ts": 4.0, "cat": "exit", "s": "t",
         "args": {"number": 905, "rip": "0xffffffff81000020"}},
        {"ph": "X", "name": "guest", "pid": 1, "tid": 0, "ts": 5.0, "cat": "guest", "dur": 0.5},
        {"ph": "i", "name": "halt", "pid": 1, "tid": 0, "ts": 5.5, "cat": "exit", "s": "t",
         "args": {"number": 907, "rip": "0xffffffff81000030"}}]
    devices = [event for event in events if event["tid"] == 1000 and event["ph"] != "M"]
    assert devices == [
        {"ph": "i", "name": kind, "pid": 1, "tid": 1000, "ts": time, "cat": "device", "s": "t",
         "args": {"number": number, "value": value}}
        for kind, time, number, value in (("kick", 1.55, 12, 0), ("completion", 1.6, 13, 64),
                                          ("interrupt", 1.65, 14, 1))]


@pytest.mark.parametrize("text, complaint", (
    ("seedvisor-result: 0\n", "no trace in it"),
    (DUMP.replace("end 7", "end 8"), ":10: 7 lines of 8"),
    (DUMP.replace("seedvisor-trace: end 7\n", ""), ":10: not a line of a trace: seedvisor-result"),
    (DUMP.replace("seedvisor-trace: end 1\n", ""), "guest second one has no end"),
    (DUMP.replace("kick 0", "kick"), ":7: not a line of a trace: d 12 1002100 kick"),
    (DUMP.replace("begin 2000000000 2", "begin 0 2"), ":2: the clock's frequency is 0"),
))
def test_damage_is_told(tmp_path, text, complaint):
    done = run(tmp_path, text)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert done.stdout == ""


def test_unfinished_trace_gives_way(tmp_path):
    """A guest that ends while the monitor writes its trace has it written anew."""
    done = run(tmp_path, DUMP.replace("seedvisor-trace: end 7\nseedvisor-result: 0\n", ""))
    assert done.returncode == 0
    assert ":10: the trace of guest first that began before this one is left out" in done.stderr
    assert done.stdout.splitlines() == [
        "         0.250 second one vCPU 0 #0: shutdown at RIP 0x0; guest 0.250, hypervisor -"]


def test_usage(tmp_path):
    assert run(tmp_path, DUMP, "--chrome").returncode == 3
    assert subprocess.run([ROOT / "tools/trace"], capture_output=True, check=False).returncode == 3
    missing = subprocess.run([ROOT / "tools/trace", tmp_path / "none"], capture_output=True,
                             text=True, check=False)
    assert missing.returncode == 1
    assert "No such file" in missing.stderr


def test_output_that_cannot_be_written(tmp_path):
    dump = tmp_path / "dump"
    dump.write_text(DUMP, encoding="ascii")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([ROOT / "tools/trace", dump], stdout=full, stderr=subprocess.PIPE,
                              text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "trace: [Errno 28] No space left on device\n")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([ROOT / "tools/trace", dump], stdout=writer, stderr=subprocess.PIPE,
                          text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_ctrl_c_leaves_no_traceback(tmp_path):
    os.mkfifo(tmp_path / "dump")
    with subprocess.Popen([ROOT / "tools/trace", tmp_path / "dump"], stderr=subprocess.PIPE,
                          text=True) as process:
        with open(tmp_path / "dump", "wb"):
            process.send_signal(signal.SIGINT)
            errors = process.communicate(timeout=30)[1]
    assert (process.returncode, errors) == (130, "trace: interrupted by SIGINT\n")
