# The bare guest's cases, each by its name, and the three ways in which it is booted.
import pathlib
import re

import pytest

SOURCES = pathlib.Path(__file__).resolve().parents[1] / "bare"


def cases(*kinds):
    """The names that the guest's tables give to cases of these kinds, such as CASE_SMP."""
    pattern = re.compile(r"\b(" + "|".join(kinds) + r")\((\w+)")
    names = [name for source in sorted(SOURCES.glob("case_*.c"))
             for _, name in pattern.findall(source.read_text(encoding="utf-8"))]
    assert names
    return names


ANYWHERE = cases("CASE_ANYWHERE")
MODERN = ANYWHERE + cases("CASE", "CASE_WITH", "CASE_SMP", "CASE_SMP_WITH")
LEGACY = ANYWHERE + cases("CASE_LEGACY")


def must_pass(outcome, case):
    outcome.must_not_say(rf"^not ok {case}:.*")
    outcome.must_say(rf"^ok {case}$")


@pytest.mark.scenario("bare-trapped")
@pytest.mark.parametrize("case", MODERN)
def test_with_trapped_registers(outcome, case):
    must_pass(outcome, case)


@pytest.mark.scenario("bare-mapped")
@pytest.mark.parametrize("case", MODERN)
def test_with_mapped_registers(outcome, case):
    must_pass(outcome, case)


@pytest.mark.scenario("bare-legacy")
@pytest.mark.parametrize("case", LEGACY)
def test_legacy(outcome, case):
    must_pass(outcome, case)


@pytest.mark.scenario("bare-trapped", "bare-mapped", "bare-legacy")
def test_good_end(outcomes):
    for outcome in outcomes:
        outcome.must_say(r"^bare: [1-9]\d* ok, 0 not ok, ")
        outcome.must_say('guest "bare" ended: debug exit 0x0$')
        outcome.must_end(0)


@pytest.mark.scenario("bare-flat")
def test_flat_guest_whose_result_is_bad(outcome):
    """Its command line and module are not what its cases expect: two of them fail, and the run."""
    wrong = ("boot_command_line", "boot_module")
    for case in ANYWHERE:
        if case in wrong:
            outcome.must_say(rf"^not ok {case}: guest-tests/bare/case_boot.c:\d+: ")
        else:
            must_pass(outcome, case)
    outcome.must_say(r"^bare: [1-9]\d* ok, 2 not ok, ")
    outcome.must_say('guest "bare" ended: debug exit 0x2$')
    outcome.must_end(1)


@pytest.mark.scenario("pvh")
def test_linux_by_pvh(outcome):
    outcome.must_say(r"^seedvisor-guest: check: [1-9]\d* ok, 0 not ok$")
    outcome.must_end(0)
