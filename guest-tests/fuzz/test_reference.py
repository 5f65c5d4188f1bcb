# The comparison of the device with the reference model can fail: its corpus alone, without any
# search, finds each of these faults in the device.
import importlib.machinery
import importlib.util
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FAULTS = [  # source, right, wrong
    ("virtio/split.c", "(count > queue->size)", "(count >= queue->size)"),
    ("virtio/split.c", "- 1) < completed", "- 1) <= completed"),
    ("virtio/split.c", "RING_IDX, (uint16_t)(queue->next_used + 1)", "RING_IDX, 1"),
    ("virtio/packed.c", "passed < completed", "passed <= completed"),
    ("virtio/packed.c", "- queue->next_used > queue->size", "- queue->next_used >= queue->size"),
    ("virtio/packed.c", "position / queue->size % 2 == 0", "true"),
    ("virtio/queue.c", "chain->count > chain->readable", "false"),
    ("virtio/queue.c", "length % DESCRIPTOR_SIZE != 0", "false"),
    ("virtio/mmio.c", "mmio->page[STATUS / 4] = mmio->status;", ""),
    ("virtio/mmio.c", "mmio->config_changed = true;", ""),
    ("virtio/mmio.c", "mmio->features_beyond = false;", ""),
]


@pytest.fixture(name="mutate", scope="module")
def fixture_mutate():
    """tools/mutate as a module, and the fuzzer's objects."""
    loader = importlib.machinery.SourceFileLoader("mutate", str(ROOT / "tools/mutate"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("mutate", loader))
    loader.exec_module(module)
    subprocess.run(["make", "-s", "build/fuzz/fuzz_reference"], cwd=ROOT, check=True)
    return module


def found(mutate, path, text, folder):
    source = folder / path.name
    source.write_text(text, encoding="utf-8")
    assert mutate.compiles("clang", mutate.FUZZ_FLAGS, source, folder / "fault.o")
    return mutate.corpus_kills("reference", folder / "fault.o", folder / "fault")


def test_no_fault(mutate, tmp_path):
    path = ROOT / "virtio/queue.c"
    assert not found(mutate, path, path.read_text(encoding="utf-8"), tmp_path)


@pytest.mark.parametrize("source, right, wrong", FAULTS)
def test_fault(mutate, tmp_path, source, right, wrong):
    text = (ROOT / source).read_text(encoding="utf-8")
    assert right in text
    assert found(mutate, ROOT / source, text.replace(right, wrong, 1), tmp_path)
