# An Entropy Gathering Daemon for the system tests, which can misbehave: for the machine's COM2.
"""What it does is a word:

  good        answers with this machine's randomness
  late        the same, after ten seconds of silence that start with the first request
  faulty      each kind of misbehaviour in turn between good answers: none, half an answer, a count
              that is too large, bytes that nobody asked for, no bytes, a lost connection
  stuck       answers with the same eight bytes again and again
"""

import os
import socket
import threading
import time

READ_NONBLOCKING = 1
LATE_SECONDS = 10
MISBEHAVIOUR = ("silence", "half", "count", "excess", "empty", "hang-up")
# So many good answers come between two kinds of misbehaviour.
GOOD_BETWEEN = 40


class EgdServer:
    """Listens on a port of its own while it is entered as a context; connections come in turn."""

    def __init__(self, behaviour):
        self.behaviour = behaviour
        self.begin = None
        self.answers = 0
        self.stopping = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(0.2)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        self.thread.join()
        self.listener.close()

    def serve(self):
        while not self.stopping:
            try:
                connection, _ = self.listener.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(0.2)
                try:
                    while not self.stopping and self.serve_one(connection):
                        pass
                except OSError:
                    pass

    def receive(self, connection):
        """One byte, or None at the connection's end."""
        while not self.stopping:
            # The machine sends byte by byte, and each waits for the one before to be acknowledged.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            try:
                data = connection.recv(1)
            except TimeoutError:
                continue
            return data[0] if data else None
        return None

    def serve_one(self, connection):
        """Answers one request; False when the connection is over."""
        command = self.receive(connection)
        wanted = self.receive(connection) if command == READ_NONBLOCKING else None
        if wanted is None:
            return command is not None
        answer = self.answer(wanted)
        if answer is None:
            return False
        connection.sendall(answer)
        return True

    def answer(self, wanted):
        """The bytes of an answer; None: the connection is to be cut."""
        self.answers += 1
        self.begin = self.begin or time.monotonic()
        good = bytes([wanted]) + os.urandom(wanted)
        if self.behaviour == "stuck":
            return bytes([wanted]) + (b"\x11\x22\x33\x44\x55\x66\x77\x88" * 32)[:wanted]
        if self.behaviour == "late" and time.monotonic() < self.begin + LATE_SECONDS:
            return b""
        if self.behaviour == "faulty" and self.answers % GOOD_BETWEEN == 0:
            return self.wrong(good)
        return good

    def wrong(self, good):
        kind = MISBEHAVIOUR[self.answers // GOOD_BETWEEN % len(MISBEHAVIOUR)]
        return {"silence": b"", "half": good[:len(good) // 2], "count": b"\xff" + good,
                "excess": good + b"excess", "empty": b"\x00", "hang-up": None}[kind]
