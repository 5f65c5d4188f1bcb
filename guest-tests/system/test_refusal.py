# What keeps Seedvisor from starting: each is named, with the way to mend it, before a guest runs.
import re

import pytest


def must_refuse(outcome, *texts):
    for text in texts:
        outcome.must_say(re.escape(text))
    outcome.must_not_say("entering the guest")
    outcome.must_end(2)


@pytest.mark.scenario("no-virtualization")
def test_no_virtualization(outcome, accel):
    missing = {"bochs": "missing: VMX (CPUID.1:ECX.VMX)",
               "tcg": "missing: SVM (CPUID.80000001H:ECX.SVM)"}
    must_refuse(outcome, missing[accel], "to mend it:", "not started")


@pytest.mark.scenario("no-nested-paging")
def test_no_nested_paging(outcome):
    must_refuse(outcome, "missing: nested paging (CPUID.8000000AH:EDX.NP)", "to mend it:",
                "not started")


@pytest.mark.scenario("no-rdseed")
def test_no_rdseed(outcome):
    must_refuse(outcome, "missing: RDSEED", "to mend it: use a processor with RDSEED",
                "not started")


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
    must_refuse(outcome, r"kernel = \EFI", "not started")


@pytest.mark.scenario("wrong-path")
def test_wrong_path(outcome):
    must_refuse(outcome, r"kernel = \boot\nowhere: there is no such file on the boot volume",
                "not started")


@pytest.mark.scenario("no-bzimage")
def test_kernel_of_no_known_kind(outcome):
    must_refuse(outcome, r"\initramfs.cpio is no kernel of a known kind: no bzImage,")


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
