# What keeps Seedvisor from starting: each is named, with the way to mend it, before a guest runs.
import re

import pytest


def must_refuse(outcome, *texts):
    for text in texts:
        outcome.must_say(re.escape(text))
    outcome.must_not_say("leaving the firmware")
    outcome.must_end(2)


@pytest.mark.scenario("no-virtualization")
def test_no_virtualization(outcome, accel):
    missing = {"bochs": "missing: VMX (CPUID.1:ECX.VMX)",
               "tcg": "missing: SVM (CPUID.80000001H:ECX.SVM)"}
    must_refuse(outcome, missing[accel], "to mend it:", "not started")


@pytest.mark.scenario("no-nested-paging")
def test_no_nested_paging(outcome):
    must_refuse(outcome, "missing: nested paging (CPUID.8000000AH:EDX.NP)",
                "to mend it: use an AMD processor since Zen (2017), or with rng = rdrand since",
                "not started")


@pytest.mark.scenario("no-nx")
def test_no_execute_switched_off(outcome):
    must_refuse(outcome, "missing: no-execute pages (CPUID.80000001H:EDX.NX)",
                'to mend it: switch "Execute Disable Bit"', "not started")


@pytest.mark.scenario("no-rdseed")
def test_no_rdseed(outcome):
    must_refuse(outcome, "missing: RDSEED", "to mend it: use a processor with RDSEED",
                "AMD since Zen (2017); or rng = rdrand", "not started")


@pytest.mark.scenario("no-random")
def test_neither_is_offered_for_the_other(outcome):
    must_refuse(outcome, "missing: RDSEED", "missing: RDRAND", "not started")
    outcome.must_say(r"use a processor with RDSEED: .*, AMD since Zen \(2017\)$")
    outcome.must_say(r"use a processor with RDRAND: .*, AMD since Excavator \(2015\)$")


@pytest.mark.scenario("bad-rdseed")
def test_processor_whose_rdseed_is_known_to_be_bad(outcome):
    must_refuse(outcome, "entropy: RDSEED of AMD family 0x17 model 0x47 stepping 0, microcode",
                ": it always returns all ones as success", "missing: an RDSEED that works",
                "to mend it: set rng = rdrand, egd or none", "not started")


@pytest.mark.scenario("old-microcode")
def test_processor_with_old_microcode_is_noted(outcome):
    """Not refused: what ends this run is that there is no kernel."""
    must_refuse(outcome, "model 0x44 stepping 0, microcode 0xb404034: its 16-bit and 32-bit forms "
                "return 0 as success too often (AMD-SB-7055", "to mend it: update the firmware",
                "there is no such file on the boot volume")


@pytest.mark.scenario("no-configuration")
def test_no_configuration(outcome):
    must_refuse(outcome, "no configuration: neither", r"\EFI\seedvisor\seedvisor.conf",
                "to mend it:", "not started")


@pytest.mark.scenario("empty-configuration")
def test_empty_configuration(outcome):
    must_refuse(outcome, r"\EFI\seedvisor\seedvisor.conf cannot be read, or is empty", "not started")


@pytest.mark.scenario("folder")
def test_kernel_that_is_a_folder(outcome):
    must_refuse(outcome, r"kernel = \EFI: it is a folder", "to mend it: give the path of a file",
                "not started")


@pytest.mark.scenario("wrong-path")
def test_wrong_path(outcome):
    must_refuse(outcome, r"kernel = \boot\nowhere: there is no such file on the boot volume",
                "to mend it: copy it there", "not started")


@pytest.mark.scenario("no-bzimage")
def test_kernel_of_no_known_kind(outcome):
    must_refuse(outcome, r"\initramfs.cpio is no kernel of a known kind: no bzImage,",
                "to mend it: give kernel = the whole file of a kernel, not compressed",
                "cannot start: 1 missing or wrong", "not started")


@pytest.mark.scenario("wrong-files")
def test_every_guest_s_files_are_judged(outcome):
    unknown = "is no kernel of a known kind"
    for guest, finding, remedy in (
            ("packed", r"kernel = \packed " + unknown, "give kernel = the whole file"),
            ("text", r"kernel = \module.txt " + unknown, "give kernel = the whole file"),
            ("shorter", r"kernel = \shorter " + unknown, "give kernel = the whole file"),
            ("short", r"kernel = \short is no bzImage: it has only 600 bytes",
             "give kernel = the whole file"),
            ("cut", r"kernel = \cut is cut off: it has 1000000 bytes and its header says ",
             "give kernel = the whole file"),
            ("elf", r"kernel = \cut.elf is cut off: it has 50000 bytes",
             "give kernel = the whole file"),
            ("multiboot", r"kernel = \vmlinuz has no Multiboot header", "leave boot = out"),
            ("pvh", r"kernel = \vmlinuz is no ELF file with a PVH entry", "leave boot = out"),
            ("small", r"kernel = \vmlinuz needs 68 MiB of memory to start, and memory = 16M",
             "raise memory = of this guest"),
            ("initrd", r"initrd = \initramfs.cpio needs 5 MiB of memory, and of memory = 70M the "
             "kernel leaves 2 MiB", "raise memory = of this guest"),
            ("flat", r"kernel = \large needs 16 MiB of memory, and of memory = 16M 15 MiB are left",
             "raise memory = of this guest"),
            ("modules", r"kernel = \vmlinuz is booted by Linux's own protocol, which has no modules",
             "leave modules = out")):
        outcome.must_say(re.escape(f'guest "{guest}": {finding}') +
                         r".*\n.*to mend it: " + re.escape(remedy))
    outcome.must_not_say('guest "good": (?!reading)')
    must_refuse(outcome, "cannot start: 12 missing or wrong, see above", "not started")


@pytest.mark.scenario("many-mistakes")
def test_all_mistakes_are_told_at_once(outcome):
    must_refuse(outcome, "missing: memory: the guests need 2192 MiB in all",
                'missing: CPUs: guest "linux" has CPU 5 in cpus =',
                'missing: CPUs: guest "bare" has CPU 7 in cpus =',
                r'guest "linux": initrd = \nowhere: there is no such file on the boot volume',
                r'guest "bare": kernel = \..\bare.elf: the firmware takes no such path',
                'to mend it: give the path from the top of the boot volume, without ".."',
                r'guest "bare": modules = \EFI: it is a folder',
                r'guest "bare": modules = \empty: it is empty',
                'guest "linux": memory = 2048M: the machine has no free piece of 2048 MiB',
                "cannot start: 8 missing or wrong, see above", "not started")


@pytest.mark.scenario("no-such-cpu")
def test_pinned_to_a_cpu_that_is_not_there(outcome):
    must_refuse(outcome, 'missing: CPUs: guest "linux" has CPU 5 in cpus =, the machine has 2 CPUs',
                "to mend it: name CPUs from 0 to 1", "not started")


@pytest.mark.scenario("no-memory")
def test_too_little_memory(outcome):
    must_refuse(outcome, "missing: memory: the guests need 2064 MiB in all", "to mend it:",
                "not started")


@pytest.mark.scenario("no-free-piece")
def test_memory_in_too_small_pieces(outcome):
    must_refuse(outcome, "memory = 2560M: the machine has no free piece of 2560 MiB",
                "to mend it:", "not started")


@pytest.mark.scenario("mistakes")
def test_mistakes_in_the_configuration(outcome):
    must_refuse(outcome, "seedvisor.conf:1: [guest linux]: no kernel",
                "seedvisor.conf:2: kernal: no such key in [guest linux]; did you mean kernel?",
                'seedvisor.conf:3: memory = "lots": expected', "not started")
