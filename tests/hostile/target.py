#!/usr/bin/python3
"""A target that means harm: an SSH server that lies, stalls and floods, to see
what a bastion makes of it.  See README.md.

    target.py --list
    target.py CASE... --port 2222 --key FILE --job 'ssh hostile@bastion true'
"""
import argparse
import contextlib
import os
import pathlib
import select
import shlex
import socket
import struct
import subprocess
import sys
import threading
import time

import paramiko
from paramiko.auth_handler import AuthHandler

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from kit import (Failed, Skip, Table, kexinit, main,  # noqa: E402
                 message, need, packet)
import kit as k  # noqa: E402

# What must come of it, as the job sees it:
REFUSED = "refused"  # an exit code that is not 0, and words
ENDS = "ends"        # it ends, in whatever way
RUNS = "runs"        # the oddity is harmless: exit code 0 and the output
HANGUP = "hangup"    # it may last; when the job leaves, so does the bastion
NONZERO = "nonzero"  # an exit code that is not 0; words are not due

cases = Table()


class Server:
    """One case, listening."""

    def __init__(self, case, args):
        self.case, self.args = case, args
        self.over = threading.Event()
        self.reached = threading.Event()  # the bastion connected
        self.left = threading.Event()     # and its connection is over
        self.shown = threading.Event()    # output is under way
        self.wrong = []                   # what the bastion did and must not
        self.sent = 0
        self.key = load_key(args.key)
        self.listener = socket.create_server((args.address, args.port))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                s, _ = self.listener.accept()
                self.reached.set()
                threading.Thread(target=self.one, args=(s,),
                                 daemon=True).start()

    def one(self, sock):
        try:
            self.case.run(self, sock)
        except (OSError, EOFError, paramiko.SSHException):
            pass
        finally:
            self.left.set()
            with contextlib.suppress(OSError):
                sock.close()

    def close(self):
        self.over.set()
        with contextlib.suppress(OSError):  # accept holds on to it, else
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    # -- what cases are made of ------------------------------------------------

    def hold(self, sock):
        """Says nothing more, until the other end leaves."""
        k.drain(sock, time.monotonic() + self.args.limit + 60)

    def pour(self, sock, piece, limit=256 << 20):
        """The same bytes again and again."""
        while not self.over.is_set() and self.sent < limit:
            sock.sendall(piece)
            self.sent += len(piece)

    def plain(self, sock, *payloads):
        """Version and messages in the clear."""
        sock.sendall(k.VERSION)
        for p in payloads:
            sock.sendall(packet(p))

    def ssh(self, sock, auth=None, channel=None, execute=None, harm=None,
            key=None, before=None):
        """A whole server.  auth, channel, execute: called at that stage in
        place of saying yes; harm(transport, channel): when it runs."""
        t = Transport(self, sock)
        t.hostile = {"auth": auth, "channel": channel, "execute": execute,
                     "harm": harm}
        t.auth_handler = Auth(t)
        t.add_server_key(key or self.key)
        if before:
            before(t)
        t.start_server(threading.Event(), Yes(self, t))
        while t.is_alive() and not self.over.is_set():
            t.join(0.1)
        t.close()


class Transport(paramiko.Transport):
    def __init__(self, server, sock):
        super().__init__(sock)
        self.server = server
        self.daemon = True

    def say(self, kind, *parts):
        self._send_message(message(kind, *parts))

    def flood(self, make, n=None):
        """make() again and again."""
        i = 0
        while not self.server.over.is_set() and self.is_active() and \
                (n is None or i < n):
            self._send_message(make())
            i += 1
        return i


class Auth(AuthHandler):
    """Everybody is who he says, unless the case has another idea."""

    def service(self, m):
        if self.transport.hostile["auth"] is None or \
                not self.transport.hostile["auth"](self.transport, "service",
                                                   m):
            self.transport.say(k.SERVICE_ACCEPT, "ssh-userauth")

    def request(self, m):
        user, service, method = m.get_text(), m.get_text(), m.get_text()
        del user, service
        if method in ("password", "keyboard-interactive", "hostbased"):
            self.transport.server.wrong.append(
                f"it tried {method} on the target")
        if self.transport.hostile["auth"] is None or \
                not self.transport.hostile["auth"](self.transport, method, m):
            self.authenticated = True
            self.transport.say(k.USERAUTH_SUCCESS)

    @property
    def _handler_table(self):
        # paramiko 2 hands these the handler, too; paramiko 3 the message alone.
        return {k.SERVICE_REQUEST: lambda *args: self.service(args[-1]),
                k.USERAUTH_REQUEST: lambda *args: self.request(args[-1])}


class Yes(paramiko.ServerInterface):
    def __init__(self, server, transport):
        self.server, self.transport = server, transport

    def check_channel_request(self, kind, number):
        f = self.transport.hostile["channel"]
        if f and f(self.transport, number):
            return paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        return paramiko.OPEN_SUCCEEDED

    def check_channel_pty_request(self, *_):
        return True

    def check_channel_exec_request(self, channel, command):
        f = self.transport.hostile["execute"]
        if f and f(self.transport, channel):
            return False
        threading.Thread(target=self.run, args=(channel,),
                         daemon=True).start()
        return True

    def run(self, channel):
        time.sleep(0.1)  # after the answer to the request
        with contextlib.suppress(Exception):
            self.transport.hostile["harm"](self.transport, channel)


def load_key(path):
    with open(path) as f:
        kind = f.readline()
    if "OPENSSH" not in kind:
        raise SystemExit(f"{path}: not a private key of ssh-keygen")
    return paramiko.Ed25519Key.from_private_key_file(path)


def good_end(t, channel, code=0, text=b"hello\n"):
    """What a well-behaved server does."""
    n = channel.remote_chanid
    if text:
        t.say(k.DATA, n, text)
    t.say(k.EOF, n)
    t.say(k.CHANNEL_REQUEST, n, "exit-status", False, code)
    t.say(k.CLOSE, n)


def running(what, expect, slow=False, **more):
    """A case that begins when the command runs: f(server, t, channel)."""
    def put(f):
        def run(server, sock):
            server.ssh(sock, harm=lambda t, c: f(server, t, c))
        cases.add(what, slow, name=f.__name__.replace("_", "-"),
                  expect=expect, **more)(run)
        return f
    return put


def stall(t, *_):
    """Says nothing more, until the other end leaves."""
    hup = select.poll()
    hup.register(t.sock, select.POLLRDHUP)
    while not t.server.over.is_set() and not hup.poll(200):
        pass


# -- before keys --------------------------------------------------------------


@cases.add("accepts and says nothing", slow=True, expect=REFUSED)
def banner_none(s, sock):
    s.hold(sock)


@cases.add("closes as soon as it accepted", expect=REFUSED)
def closes_at_once(s, sock):
    pass


@cases.add("half a version line, then silence", slow=True, expect=REFUSED)
def banner_half(s, sock):
    sock.sendall(b"SSH-2.0-")
    s.hold(sock)


@cases.add("a version line of 10 MB", expect=REFUSED)
def banner_10mb(s, sock):
    sock.sendall(b"SSH-2.0-")
    s.pour(sock, b"A" * 65536, 10 << 20)
    s.hold(sock)


@cases.add("lines before the version, without end", slow=True, expect=REFUSED)
def banner_lines(s, sock):
    s.pour(sock, b"welcome to the machine\r\n" * 1000)
    s.hold(sock)


@cases.add("random bytes in place of a version", slow=True, expect=REFUSED)
def banner_garbage(s, sock):
    sock.sendall(os.urandom(4096))
    s.hold(sock)


@cases.add("speaks the protocol of 1995", expect=REFUSED)
def banner_ssh1(s, sock):
    sock.sendall(b"SSH-1.5-old\r\n")
    s.hold(sock)


@cases.add("a version with terminal escapes, then a disconnect with more",
           expect=REFUSED)
def banner_escapes(s, sock):
    sock.sendall(b"SSH-2.0-" + k.ESCAPES.encode()[:100] + b"\r\n")
    sock.sendall(packet(message(k.DISCONNECT, 2, k.ESCAPES, "").asbytes()))
    s.hold(sock)


@cases.add("a version, then silence", slow=True, expect=REFUSED)
def kexinit_stall(s, sock):
    s.plain(sock)
    s.hold(sock)


@cases.add("a KEXINIT of random bytes", expect=REFUSED)
def kexinit_garbage(s, sock):
    s.plain(sock, b"\x14" + os.urandom(400))
    s.hold(sock)


@cases.add("a packet that claims to have 4 GB", expect=REFUSED)
def kexinit_huge_length(s, sock):
    sock.sendall(k.VERSION + packet(kexinit(), length=0xfffffff0))
    s.pour(sock, bytes(65536), 64 << 20)
    s.hold(sock)


@cases.add("a packet of length 0", expect=REFUSED)
def kexinit_zero_length(s, sock):
    sock.sendall(k.VERSION + packet(kexinit(), length=0))
    s.hold(sock)


@cases.add("no algorithm in common", expect=REFUSED)
def kexinit_nothing_common(s, sock):
    s.plain(sock, kexinit(kex="none@hostile", ciphers="none"))
    s.hold(sock)


@cases.add("compression or nothing, for a bomb", expect=REFUSED)
def compression_bomb(s, sock):
    s.plain(sock, kexinit(compression="zlib"))
    s.hold(sock)


@cases.add("algorithm lists of 30 KB each", expect=REFUSED)
def kexinit_huge_lists(s, sock):
    s.plain(sock, kexinit(kex="x" * 30000, hostkeys="y" * 3000))
    s.hold(sock)


@cases.add("closes in the middle of KEXINIT", expect=REFUSED)
def kexinit_cut(s, sock):
    sock.sendall(k.VERSION + packet(kexinit())[:100])


@cases.add("KEXINIT, then silence", slow=True, expect=REFUSED)
def kex_reply_stall(s, sock):
    s.plain(sock, kexinit())
    s.hold(sock)


@cases.add("packets to ignore, without end, before keys", slow=True,
           expect=REFUSED)
def ignore_flood_before_keys(s, sock):
    s.plain(sock)
    s.pour(sock, packet(message(k.IGNORE, "A" * 30000).asbytes()))
    s.hold(sock)


@cases.add("disconnects before keys, with escapes as the reason",
           expect=REFUSED)
def disconnect_escapes(s, sock):
    s.plain(sock, message(k.DISCONNECT, 2, k.ESCAPES, "").asbytes())
    s.hold(sock)


# -- keys ---------------------------------------------------------------------


def never_authenticates(t, method, m):
    if method not in ("service",):
        t.server.wrong.append("it authenticated to a wrong host key")
    return False


@cases.add("the right type of host key, but another one", expect=REFUSED)
def hostkey_changed(s, sock):
    from cryptography.hazmat.primitives import serialization as ser
    from cryptography.hazmat.primitives.asymmetric import ed25519
    import io
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        ser.Encoding.PEM, ser.PrivateFormat.OpenSSH, ser.NoEncryption())
    s.ssh(sock, auth=never_authenticates,
          key=paramiko.Ed25519Key.from_private_key(io.StringIO(pem.decode())))


@cases.add("a host key of another type than the pinned one", expect=REFUSED)
def hostkey_other_type(s, sock):
    s.ssh(sock, auth=never_authenticates, key=paramiko.ECDSAKey.generate())


class Forger:
    """The pinned public key without its private part."""

    def __init__(self, key):
        self.key = key

    def __getattr__(self, name):
        return getattr(self.key, name)

    def sign_ssh_data(self, data, algorithm=None):
        return self.key.sign_ssh_data(b"something else")


@cases.add("the pinned host key, and a signature that it did not make",
           expect=REFUSED)
def hostkey_forged(s, sock):
    s.ssh(sock, auth=never_authenticates, key=Forger(s.key))


# -- authentication -----------------------------------------------------------


@cases.add("never answers the request for authentication", slow=True,
           expect=REFUSED)
def service_stall(s, sock):
    s.ssh(sock, auth=lambda t, method, m: method == "service")


@cases.add("never answers who it is", slow=True, expect=REFUSED)
def auth_stall(s, sock):
    s.ssh(sock, auth=lambda t, method, m: method != "service")


@cases.add("says yes before anybody asked, then goes on as usual",
           expect=ENDS)
def auth_unasked_success(s, sock):
    def early(t, method, m):
        if method == "service":
            t.auth_handler.authenticated = True
            t.say(k.SERVICE_ACCEPT, "ssh-userauth")
            t.say(k.USERAUTH_SUCCESS)
            return True
        return True
    s.ssh(sock, auth=early, harm=lambda t, c: good_end(t, c))


def refusing(*methods, partial=False, times=1000):
    def auth(t, method, m):
        if method == "service":
            return False
        t.tries = getattr(t, "tries", 0) + 1
        if t.tries > times:
            t.server.wrong.append(f"it tried to log in {t.tries} times")
        t.say(k.USERAUTH_FAILURE, ",".join(methods), partial)
        return True
    return auth


@cases.add("takes passwords only", expect=REFUSED)
def auth_wants_password(s, sock):
    s.ssh(sock, auth=refusing("password"))


@cases.add("takes answers to questions only", expect=REFUSED)
def auth_wants_answers(s, sock):
    s.ssh(sock, auth=refusing("keyboard-interactive"))


@cases.add("refuses, and offers the same way for ever", expect=REFUSED)
def auth_refuses_for_ever(s, sock):
    s.ssh(sock, auth=refusing("publickey", times=20))


@cases.add("partial success for ever", expect=REFUSED)
def auth_partial_for_ever(s, sock):
    s.ssh(sock, auth=refusing("publickey", partial=True, times=20))


@cases.add("asks for a password in answer to a key", slow=True, expect=REFUSED)
def auth_asks_questions(s, sock):
    def ask(t, method, m):
        if method == "service":
            return False
        t.say(k.USERAUTH_INFO_REQUEST, "login", k.ESCAPES, "", 1,
              "Password: ", False)
        return True
    s.ssh(sock, auth=ask)


@cases.add("greets with terminal escapes, then refuses", expect=REFUSED)
def auth_banner_escapes(s, sock):
    def greet(t, method, m):
        if method == "service":
            return False
        t.say(k.USERAUTH_BANNER, k.ESCAPES, "")
        t.say(k.USERAUTH_FAILURE, "password", False)
        return True
    s.ssh(sock, auth=greet)


@cases.add("greets without end", slow=True, expect=REFUSED)
def auth_banner_flood(s, sock):
    def greet(t, method, m):
        if method == "service":
            return False
        threading.Thread(target=t.flood, daemon=True, args=(
            lambda: message(k.USERAUTH_BANNER, "A" * 30000, ""),)).start()
        return True
    s.ssh(sock, auth=greet)


# -- channel and command ------------------------------------------------------


@cases.add("never answers the request for a channel", slow=True, expect=REFUSED)
def channel_stall(s, sock):
    s.ssh(sock, channel=stall)


@cases.add("refuses the channel, with escapes as the reason", expect=REFUSED)
def channel_refused_escapes(s, sock):
    def refuse(t, number):
        t.say(k.CHANNEL_OPEN_FAILURE, number, 2, k.ESCAPES, "")
        stall(t)
    s.ssh(sock, channel=refuse)


@cases.add("confirms a channel that nobody asked for", slow=True,
           expect=REFUSED)
def channel_wrong_number(s, sock):
    def confirm(t, number):
        t.say(k.CHANNEL_OPEN_OK, 4242, 0, 1 << 20, 32768)
        stall(t)
    s.ssh(sock, channel=confirm)


@cases.add("a channel with packets of 0 bytes at most", slow=True, expect=ENDS)
def channel_no_packets(s, sock):
    def confirm(t, number):
        t.say(k.CHANNEL_OPEN_OK, number, 0, 0, 0)
        stall(t)
    s.ssh(sock, channel=confirm)


@cases.add("never answers the command", slow=True, expect=REFUSED)
def exec_stall(s, sock):
    s.ssh(sock, execute=stall)


@cases.add("refuses the command", expect=REFUSED)
def exec_refused(s, sock):
    s.ssh(sock, execute=lambda t, c: True)


@cases.add("disconnects in place of an answer to the command",
           expect=REFUSED)
def exec_disconnect(s, sock):
    def leave(t, c):
        t.say(k.DISCONNECT, 2, k.ESCAPES, "")
        stall(t)
    s.ssh(sock, execute=leave)


# -- while it runs ------------------------------------------------------------


@running("behaves (so that the others mean something)", RUNS)
def good(s, t, c):
    good_end(t, c)


@running("output that never ends, for a job that reads slowly", HANGUP)
def output_flood(s, t, c):
    s.shown.set()
    while not s.over.is_set():
        c.sendall(b"A" * 30000)


@running("more output than the window has room for", ENDS)
def window_exceeded(s, t, c):
    t.flood(lambda: message(k.DATA, c.remote_chanid, "A" * 32000), 4000)
    good_end(t, c)


@running("a packet of output larger than agreed", ENDS)
def packet_too_large(s, t, c):
    t.say(k.DATA, c.remote_chanid, "A" * 200000)
    good_end(t, c)


@running("output of no bytes, without end", HANGUP)
def zero_length_flood(s, t, c):
    s.shown.set()
    t.flood(lambda: message(k.DATA, c.remote_chanid, ""))


@running("closes the connection in the middle of the output", REFUSED)
def closes_mid_output(s, t, c):
    t.say(k.DATA, c.remote_chanid, "half a li")
    time.sleep(0.1)
    t.sock.close()


@running("resets the connection in the middle of the output", REFUSED)
def resets_mid_output(s, t, c):
    t.say(k.DATA, c.remote_chanid, "half a li")
    time.sleep(0.1)
    t.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                      struct.pack("ii", 1, 0))
    t.sock.close()


@running("disconnects in the middle of the output, with escapes", REFUSED)
def disconnects_mid_output(s, t, c):
    t.say(k.DATA, c.remote_chanid, "half a li")
    t.say(k.DISCONNECT, 11, k.ESCAPES, "")


@running("stands still in the middle of the output", HANGUP)
def stalls_mid_output(s, t, c):
    t.say(k.DATA, c.remote_chanid, "half a li")
    s.shown.set()
    stall(t)


@running("the command ended, but the channel never closes", HANGUP)
def never_closes(s, t, c):
    t.say(k.DATA, c.remote_chanid, "hello\n")
    t.say(k.CHANNEL_REQUEST, c.remote_chanid, "exit-status", False, 0)
    s.shown.set()
    stall(t)


@running("no exit status", REFUSED)
def exit_status_missing(s, t, c):
    t.say(k.EOF, c.remote_chanid)
    t.say(k.CLOSE, c.remote_chanid)


@running("an exit status of 7, then one of 9", NONZERO)
def exit_status_twice(s, t, c):
    for code in (7, 9):
        t.say(k.CHANNEL_REQUEST, c.remote_chanid, "exit-status", False, code)
    t.say(k.CLOSE, c.remote_chanid)


@running("an exit status of 4294967295", NONZERO)
def exit_status_huge(s, t, c):
    good_end(t, c, 0xffffffff)


@running("an exit status in 2 bytes", NONZERO)
def exit_status_cut(s, t, c):
    m = message(k.CHANNEL_REQUEST, c.remote_chanid, "exit-status", False)
    m.add_bytes(b"\0\0")
    t._send_message(m)
    t.say(k.CLOSE, c.remote_chanid)


@running("death by a signal whose name and text are escapes", NONZERO)
def exit_signal_escapes(s, t, c):
    t.say(k.CHANNEL_REQUEST, c.remote_chanid, "exit-signal", False,
          k.ESCAPES, False, k.ESCAPES, "")
    t.say(k.CLOSE, c.remote_chanid)


@running("output after the end of output", ENDS)
def data_after_eof(s, t, c):
    t.say(k.EOF, c.remote_chanid)
    t.flood(lambda: message(k.DATA, c.remote_chanid, "late\n"), 100)
    good_end(t, c)


@running("output after the channel's end", ENDS)
def data_after_close(s, t, c):
    good_end(t, c)
    t.flood(lambda: message(k.DATA, c.remote_chanid, "late\n"), 100)


@running("output on a channel that does not exist", ENDS)
def data_wrong_channel(s, t, c):
    t.flood(lambda: message(k.DATA, 4242, "whose?\n"), 10)
    good_end(t, c)


@running("output of kinds that nobody knows", ENDS)
def extended_data_unknown(s, t, c):
    for kind in (0, 2, 7, 0xffffffff):
        t.say(k.EXTENDED_DATA, c.remote_chanid, kind, "what?\n")
    good_end(t, c)


@running("opens channels towards the bastion, of every kind", ENDS)
def opens_channels(s, t, c):
    seen = t._handler_table = dict(t._handler_table)

    def confirmed(*_):
        s.wrong.append("it let the target open a channel towards it")
    seen[k.CHANNEL_OPEN_OK] = confirmed
    t._channel_handler_table = dict(t._channel_handler_table)
    t._channel_handler_table.pop(k.CHANNEL_OPEN_OK, None)
    for i, kind in enumerate(("session", "forwarded-tcpip", "x11",
                              "auth-agent@openssh.com", "direct-tcpip",
                              "forwarded-streamlocal@openssh.com")):
        more = {"x11": ("10.0.0.1", 6000), "session": (),
                "auth-agent@openssh.com": ()}.get(
                    kind, ("127.0.0.1", 22, "127.0.0.1", 1))
        t.say(k.CHANNEL_OPEN, kind, 100 + i, 1 << 20, 32768, *more)
    time.sleep(0.5)
    good_end(t, c)


@running("opens channels towards the bastion, without end", HANGUP)
def opens_channels_flood(s, t, c):
    s.shown.set()
    t.flood(lambda: message(k.CHANNEL_OPEN, "forwarded-tcpip", 1, 1 << 20,
                            30000, "a" * 20000, 1, "b" * 10000, 2))


@running("global requests that want answers, without end", HANGUP)
def global_request_flood(s, t, c):
    s.shown.set()
    t.flood(lambda: message(k.GLOBAL_REQUEST, "keepalive@openssh.com", True))


@running("asks the bastion to listen for it", ENDS)
def wants_forwarding(s, t, c):
    t.say(k.GLOBAL_REQUEST, "tcpip-forward", True, "0.0.0.0", 4711)
    t.say(k.GLOBAL_REQUEST, "streamlocal-forward@openssh.com", True,
          "/tmp/hostile")
    t.say(k.CHANNEL_REQUEST, c.remote_chanid, "exec", True, "id")
    t.say(k.CHANNEL_REQUEST, c.remote_chanid, "auth-agent-req@openssh.com",
          True)
    time.sleep(0.3)
    good_end(t, c)


@running("requests on the channel that want answers, without end", HANGUP)
def channel_request_flood(s, t, c):
    s.shown.set()
    t.flood(lambda: message(k.CHANNEL_REQUEST, c.remote_chanid, "exec", True,
                            "A" * 30000))


@running("packets to ignore, without end", HANGUP)
def ignore_flood(s, t, c):
    s.shown.set()
    t.flood(lambda: message(k.IGNORE, "A" * 30000))


@running("debug messages with escapes, always to be shown", ENDS)
def debug_escapes(s, t, c):
    t.flood(lambda: message(k.DEBUG, True, k.ESCAPES, ""), 100)
    good_end(t, c)


@running("new keys again and again", HANGUP)
def rekey_storm(s, t, c):
    s.shown.set()
    while not s.over.is_set() and t.is_active():
        with contextlib.suppress(paramiko.SSHException):
            t.renegotiate_keys()


@running("starts a key exchange and never ends it", HANGUP)
def rekey_stall(s, t, c):
    s.shown.set()
    t._send_message(paramiko.Message(kexinit()))
    stall(t)


@running("random bytes where a packet should be", REFUSED)
def garbage_after_keys(s, t, c):
    t.sock.sendall(os.urandom(300000))
    stall(t)


@running("a packet whose authentication code is wrong", REFUSED)
def bad_mac(s, t, c):
    whole = t.packetizer.write_all
    t.packetizer.write_all = lambda out: whole(
        out[:-1] + bytes([out[-1] ^ 1]))
    t.say(k.DATA, c.remote_chanid, "not from me\n")
    stall(t)


@running("messages of numbers that nobody gave", ENDS)
def unknown_messages(s, t, c):
    for kind in (8, 40, 70, 110, 150, 200, 255):
        t.say(kind, "what?")
    good_end(t, c)


@running("messages that only a client may send", ENDS)
def client_messages(s, t, c):
    t.say(k.SERVICE_REQUEST, "ssh-userauth")
    t.say(k.USERAUTH_REQUEST, "root", "ssh-connection", "none")
    good_end(t, c)


@running("says that authentication succeeded, again", ENDS)
def auth_success_again(s, t, c):
    t.flood(lambda: message(k.USERAUTH_SUCCESS), 20)
    good_end(t, c)


@running("more window than there can be", ENDS)
def window_overflow(s, t, c):
    t.flood(lambda: message(k.WINDOW_ADJUST, c.remote_chanid, 0xffffffff),
            50)
    good_end(t, c)


@running("strings that say they are longer than their packet", ENDS)
def strings_too_long(s, t, c):
    for kind in (k.DATA, k.CHANNEL_REQUEST, k.GLOBAL_REQUEST,
                 k.CHANNEL_OPEN, k.DEBUG):
        m = message(kind, c.remote_chanid)
        m.add_bytes(struct.pack(">I", 0xfffffff0) + b"short")
        t._send_message(m)
    good_end(t, c)


# -- judging ------------------------------------------------------------------


def rss_kib(name):
    """The largest resident size among the processes of that name."""
    most = 0
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            argv0 = (p / "cmdline").read_bytes().split(b"\0")[0].decode()
            if os.path.basename(argv0) == name:
                for line in (p / "status").read_text().splitlines():
                    if line.startswith("RssAnon"):
                        most = max(most, int(line.split()[1]))
    return most


class Job:
    """The command that makes the bastion connect here."""

    def __init__(self, args):
        self.args, self.rss, self.out, self.err = args, 0, [], []
        self.proc = subprocess.Popen(
            shlex.split(args.job), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True)
        self.readers = [threading.Thread(target=self.read, daemon=True,
                                         args=a) for a in (
            (self.proc.stdout, self.out), (self.proc.stderr, self.err))]
        for r in self.readers:
            r.start()

    @staticmethod
    def read(f, into):
        while data := f.read1(65536):
            if sum(map(len, into)) < 1 << 20:
                into.append(data)

    def wait(self, seconds, event=None):
        """Until it ends or event is set; memory is looked at meanwhile."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.proc.poll() is None and \
                not (event and event.is_set()):
            if self.args.memory:
                name, most = self.args.memory.split(":")
                self.rss = max(self.rss, rss_kib(name))
                need(self.rss <= int(most),
                     f"{name} took {self.rss} KiB, more than {most}")
            time.sleep(0.05)
        return self.proc.poll()

    def end(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.proc.pid, 9)
        self.proc.wait()
        for r in self.readers:
            r.join(5)

    def said(self):
        return b"".join(self.err).decode(errors="replace")


def judge(case, args, server, job):
    limit = args.limit
    if case.expect == HANGUP:
        job.wait(limit, server.shown)
        need(server.shown.is_set(), "the command never began to run: " +
             job.said()[-400:])
        if job.wait(1.0) is None:  # it lasts, as it may
            job.end()
    else:
        need(job.wait(limit) is not None, f"no end after {limit} s")
    code = job.proc.poll()
    job.end()
    said, out = job.said(), b"".join(job.out).decode(errors="replace")
    need(server.reached.is_set(), f"the bastion never came here: {said}")
    need(not server.wrong, "; ".join(server.wrong))
    k.no_escapes(said, "what the job is told")
    if case.expect in (REFUSED, NONZERO):
        need(code != 0, "exit code 0 for a command that did not end well")
    if case.expect == REFUSED:
        need(said.strip(), "nothing was said")
    if case.expect == RUNS:
        need((code, out) == (0, "hello\n"),
             f"exit code {code}, {out!r} shown; {said}")
    need(server.left.wait(limit), "the bastion keeps its connection to the "
         "target after the job's end")
    return {"code": code, "said": said.strip()[-300:], "memory": job.rss}


def run(case, args):
    server = Server(case, args)
    try:
        if not args.job:
            print(f"{case.name}: {case.what}; port {args.port}, until ^C",
                  file=sys.stderr)
            server.over.wait()
            raise Skip("without --job there is nothing to judge")
        job = Job(args)
        try:
            return judge(case, args, server, job)
        finally:
            job.end()
    except KeyboardInterrupt:
        raise Failed("interrupted") from None
    finally:
        server.close()


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--address", default="0.0.0.0", help="to listen on")
    p.add_argument("--port", type=int, default=2222)
    p.add_argument("--key", help="the Ed25519 host key (ssh-keygen) that the "
                   "bastion has pinned")
    p.add_argument("--job", help="a command that makes the bastion run "
                   "something on this target; without it only serve")
    p.add_argument("--limit", type=float, default=60, help="seconds in which "
                   "the bastion must be done")
    p.add_argument("--memory", metavar="NAME:KIB", help="processes of that "
                   "name on this machine may not take more")
    if not {"--list", "-h", "--help"} & set(sys.argv) and \
            "--key" not in sys.argv:
        p.error("--key is needed")
    import logging
    logging.getLogger("paramiko").addHandler(logging.NullHandler())
    logging.getLogger("paramiko").propagate = False
    code = main(cases, p, run)
    sys.stdout.flush()
    os._exit(code)  # threads that stall for ever are no reason to stay
