# tools/mutate: which changes it makes, what it remembers of a run, and which survivors it knows.
import importlib.machinery
import importlib.util
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = """\
/* A comment: 1 + 1 == 2. */
#define NUMBER 3
static unsigned less(unsigned a, unsigned b)
{
    log("a < b");
    return a < b ? a : b - 1;
}
"""


@pytest.fixture(name="mutate", scope="module")
def fixture_mutate():
    loader = importlib.machinery.SourceFileLoader("mutate", str(ROOT / "tools/mutate"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("mutate", loader))
    loader.exec_module(module)
    return module


def test_changes(mutate, tmp_path):
    source = tmp_path / "less.c"
    source.write_text(SOURCE, encoding="utf-8")
    assert sorted(mutate.mutants_of(source)) == [
        (4, ""),
        (5, "    return a < b ? a : b + 1;"),
        (5, "    return a < b ? a : b - 2;"),
        (5, "    return a <= b ? a : b - 1;"),
    ]


def test_state(mutate, tmp_path):
    path = tmp_path / "state"
    killed, survivor, broken = (("a.c", "x", name, "1") for name in "yzw")
    state = mutate.State(path)
    assert state.settled(killed) is False
    state.keep(killed, True)
    state.keep(survivor, False)
    state.keep(broken, None)
    again = mutate.State(path)
    assert again.settled(killed) is True
    assert again.settled(survivor) is False
    assert again.settled(broken) is None
    again.keep(survivor, True)
    assert mutate.State(path).settled(survivor) is True


def test_state_outlives_moved_lines(mutate, tmp_path, monkeypatch):
    monkeypatch.setattr(mutate, "ROOT", tmp_path)
    source = tmp_path / "less.c"

    def keys():
        return [key for key, *_ in mutate.keyed(pathlib.Path("less.c"), mutate.mutants_of(source))]

    source.write_text("x = a == b;\nx = a == b;\n", encoding="utf-8")
    before = keys()
    assert before == [("less.c", "x = a == b;", "x = a != b;", "1"),
                      ("less.c", "x = a == b;", "x = a != b;", "2")]
    source.write_text("\n\nx = a == b;\n\nx = a == b;\n", encoding="utf-8")
    assert keys() == before


def test_explained(mutate, tmp_path):
    table = tmp_path / "table.md"
    table.write_text("| file | line | changed | why |\n| --- | --- | --- | --- |\n"
                     "| `virtio/mmio.c` | `a \\|= b;` | `a &= b;` | same |\n"
                     "| `virtio/none.c` | `a` | `b` | no such file |\n", encoding="utf-8")
    assert mutate.explained_in(table) == {("virtio/mmio.c", "a |= b;", "a &= b;")}


def test_no_judge(mutate, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["mutate", "virtio/mmio.c"])
    with pytest.raises(SystemExit):
        mutate.main()
    assert "--tests, --fuzz or both" in capsys.readouterr().err
