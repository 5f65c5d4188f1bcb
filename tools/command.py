# What the developer's tools in Python share: their usage errors, and how they come to an end.
"""A tool's main() returns its exit status, or raises Failure; run() makes the rest of it."""

import argparse
import os
import signal
import subprocess
import sys

STATUS_USAGE = 3
STATUS_READER_GONE = 128 + signal.SIGPIPE
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Failure(Exception):
    """The tool cannot do it; the text says why, for the user. status: other than the tool's usual
    one."""

    def __init__(self, text, status=None):
        super().__init__(text)
        self.status = status


class Interrupted(BaseException):
    """A signal asks for the end; its number is the argument."""


class Usage(argparse.ArgumentParser):
    """An argument parser whose usage errors end with status 3."""

    def error(self, message):
        sys.stderr.write(f"{self.prog}: {message}\nTry: tools/{self.prog} --help\n")
        sys.exit(STATUS_USAGE)


class Uninterrupted:
    """A signal that comes meanwhile raises Interrupted at the end."""

    inside = False
    number = None

    def __enter__(self):
        Uninterrupted.inside = True

    def __exit__(self, *_):
        Uninterrupted.inside = False
        if Uninterrupted.number is not None:
            interrupt(Uninterrupted.number, None)


def interrupt(number, _):
    if Uninterrupted.inside:
        Uninterrupted.number = Uninterrupted.number or number
        return
    # Once: what is left is to clean up, which a second Ctrl-C must not leave half done.
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(number)


def call_program(command, **options):
    """Runs a program to its end, or, if this one is to end, to that: its status and its output."""
    process = None
    try:
        with Uninterrupted():  # or it could have begun, and nobody would know it
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT, text=True, errors="replace",
                                       **options)
        output = process.communicate()[0]
    except BaseException:
        if process is not None:
            process.kill()
            process.wait()
        raise
    return process.returncode, output


def flushed(main):
    """What main() returns, with all that it printed written out."""
    try:
        status = main()
    except SystemExit as end:
        status = end.code
    sys.stdout.flush()
    return status


def run(name, main, failed=1):
    """Runs a tool's main() to its end and returns the exit status, `failed` after a failure."""
    for number in SIGNALS:
        # nohup ignores SIGHUP, and means it.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, interrupt)
    # Whatever the locale; without a stdout at all, as if it were full.
    sys.stdout = sys.stdout or open("/dev/full", "w", encoding="utf-8")
    sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    try:
        return flushed(main)
    except Interrupted as error:
        text, status = f"interrupted by {signal.Signals(error.args[0]).name}", 128 + error.args[0]
    except BrokenPipeError:
        text, status = None, STATUS_READER_GONE
    except Failure as error:
        text, status = str(error), error.status or failed
    except OSError as error:
        text, status = str(error), failed
    if text is not None:
        sys.stderr.write(f"{name}: {text}\n")
    # The interpreter would try to write once more what could not be written.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return status
