# tools/prove can fail: on a contract that does not hold, on one that is missing, on a stale list.
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = """\
/*@ requires 0 <= index < 4 && \\valid_read(table + (0 .. 3));
    assigns \\nothing;
    ensures inside: \\result == table[index]; */
int right(const int *table, int index)
{
    return table[index];
}

/*@ requires 0 <= index <= 4 && \\valid_read(table + (0 .. 3));
    assigns \\nothing;
    ensures small: \\result < 4; */
int wrong(const int *table, int index)
{
    return table[index];
}
"""

pytestmark = pytest.mark.skipif(shutil.which("frama-c") is None, reason="Frama-C is not installed")


def prove(directory, source, unproved="", options=()):
    """Exit status and lines of the proofs of `source`, with that list of known unproved ones."""
    path = directory / "sample.c"
    known = directory / "unproved"
    path.write_text(source, encoding="utf-8")
    known.write_text(unproved.format(path=path), encoding="utf-8")
    run = subprocess.run([ROOT / "tools/prove", "--timeout", "20", "--unproved", known,
                          "--work", directory.parent / "work", *options, path],
                         capture_output=True, text=True, check=False)
    print(run.stdout, run.stderr)
    return run.returncode, [line.strip() for line in run.stdout.splitlines()] + [run.stderr.strip()]


def test_wrong_contract_is_named(tmp_path):
    status, lines = prove(tmp_path, SOURCE)
    assert status == 1
    assert "right: 3 of 3" in lines
    assert "wrong: 1 of 3" in lines
    assert {line for line in lines if line.startswith("not proved")} == {
        "not proved: wrong_ensures_small", "not proved: wrong_assert_rte_mem_access"}
    assert any(line.startswith("proofs: 4 of 6 obligations proved") for line in lines)


def test_known_unproved_passes(tmp_path):
    status, lines = prove(tmp_path, SOURCE, "{path} wrong ensures_small # it does not hold\n"
                          "{path} wrong assert_rte_mem_access # nor does this\n")
    assert status == 0
    assert any(line.startswith("proofs: 4 of 6 obligations proved") for line in lines)


def test_stale_list_fails(tmp_path):
    right = SOURCE[:SOURCE.index("/*@ requires 0 <= index <= 4")]
    assert prove(tmp_path, right)[0] == 0
    status, lines = prove(tmp_path, right, "{path} right ensures_inside # hard\n")
    assert status == 1
    assert f"proved now, or gone: take it off {tmp_path}/unproved: right_ensures_inside" in lines


def test_list_without_reason_is_refused(tmp_path):
    status, lines = prove(tmp_path, SOURCE, "{path} wrong ensures_small\n")
    assert status == 1
    assert lines[-1] == f"{tmp_path}/unproved:1: not FILE FUNCTION OBLIGATION # REASON"


def test_function_without_contract_fails(tmp_path):
    bare = SOURCE[SOURCE.index("int right"):SOURCE.index("/*@ requires 0 <= index <= 4")]
    status, lines = prove(tmp_path, bare)
    assert status == 1
    assert "no contract, or none that says what it assigns: right" in lines


def test_source_that_does_not_parse(tmp_path):
    status, lines = prove(tmp_path, "int broken(void) { return; }}\n")
    assert status == 1
    assert "frama-c failed" in lines[-1]


def test_contradiction_is_named(tmp_path):
    vain = SOURCE.replace("0 <= index <= 4 &&", "index < 0 && 3 < index &&")
    assert prove(tmp_path, vain)[0] == 0
    status, lines = prove(tmp_path, vain, options=["--contradictions"])
    assert status == 1
    assert {line for line in lines if line.startswith("contradiction")} == {
        "contradiction: wrong_wp_smoke_default_requires"}
