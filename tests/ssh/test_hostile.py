"""The hop against a target that has the right key and means harm: an SSH
server of our own (paramiko), which says yes to everybody and then sends what
no sshd would."""
import contextlib
import socket
import threading
import time

import paramiko
import pytest
from paramiko.auth_handler import AuthHandler

import stage as s

MEMORY_KIB = 16 * 1024  # of a hop; idle it has about one megabyte


def everybody(auth, _):
    auth.authenticated = True
    done = paramiko.Message()
    done.add_byte(bytes([52]))
    auth.transport._send_message(done)


class Yes(paramiko.ServerInterface):
    def __init__(self, target):
        self.target = target

    def check_channel_request(self, kind, number):
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel, command):
        threading.Thread(target=self.target.harm, args=(channel,),
                         daemon=True).start()
        return True


class Hostile:
    """Sends the message that make(channel number) gives, again and again."""

    def __init__(self, sshd, make):
        self.make, self.sent, self.over = make, 0, False
        self.key = paramiko.Ed25519Key.from_private_key_file(
            str(sshd.folder / "ed25519"))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            self.transport = paramiko.Transport(self.listener.accept()[0])
            self.transport.add_server_key(self.key)
            self.transport.start_server(threading.Event(), Yes(self))

    def harm(self, channel):
        time.sleep(0.1)  # after the answer to the request
        with contextlib.suppress(Exception):
            while not self.over and self.transport.is_active():
                self.transport._send_message(self.make(channel.remote_chanid))
                self.sent += 1

    def close(self):
        self.over = True
        self.listener.close()
        self.transport.close()


@pytest.fixture
def hostile(sshd, monkeypatch):
    # paramiko 2 hands these the handler, too; paramiko 3 the message alone.
    monkeypatch.setattr(AuthHandler, "_handler_table", property(lambda auth: {
        5: lambda *args: auth._parse_service_request(args[-1]),
        50: lambda *args: everybody(auth, args[-1])}))
    made = []

    def make(message):
        made.append(Hostile(sshd, message))
        return made[-1]
    yield make
    for it in made:
        it.close()


def message(kind, *parts):
    m = paramiko.Message()
    m.add_byte(bytes([kind]))
    for p in parts:
        (m.add_boolean if isinstance(p, bool) else
         m.add_int if isinstance(p, int) else m.add_string)(p)
    return m


FLOODS = {
    "channels": lambda n: message(90, "forwarded-tcpip", 1, 1 << 20, 30000,
                                  "a" * 20000, 1, "b" * 10000, 2),
    "requests": lambda n: message(98, n, "env", False, "A" * 15000,
                                  "B" * 15000),
    "requests that want an answer": lambda n: message(98, n, "exec", True,
                                                      "A" * 30000),
    "global requests": lambda n: message(80, "tcpip-forward", False,
                                         "A" * 30000, 1),
    "packets to ignore": lambda n: message(2, "A" * 30000),
}


@s.memory
@pytest.mark.parametrize("flood", FLOODS)
def test_what_a_target_asks_of_us_is_not_kept(hop, hostile, flood):
    target = hostile(FLOODS[flood])
    h = hop("true", port=target.port)
    end = time.monotonic() + 30
    while target.sent < 1500 and not h.ended(0.05):
        assert time.monotonic() < end, target.sent
        assert s.private_kib(h.pid) < MEMORY_KIB
    assert target.sent > 500


@s.memory
def test_memory_has_an_end(hop):
    h = hop("echo here; sleep 60")
    h.until(b"here")
    with open(f"/proc/{h.pid}/limits") as f:
        (line,) = [x for x in f if x.startswith("Max data size")]
    assert line.split()[3] == str(64 << 20)
