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


@pytest.mark.scenario("no-configuration")
def test_no_configuration(outcome):
    must_refuse(outcome, "no configuration: neither", r"\EFI\seedvisor\seedvisor.conf",
                "to mend it:", "not started")


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


@pytest.mark.scenario("mistakes")
def test_mistakes_in_the_configuration(outcome):
    must_refuse(outcome, "seedvisor.conf:1: [guest linux]: no kernel",
                "seedvisor.conf:2: kernal: no such key in [guest linux]; did you mean kernel?",
                'seedvisor.conf:3: memory = "lots": expected', "not started")
