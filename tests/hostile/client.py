#!/usr/bin/python3
"""A job that means harm: an SSH client that lies, floods and asks for what
nobody granted, to see what a bastion makes of it.  See README.md.

    client.py --list
    CI_TOKEN=… client.py CASE... --host bastion --user web-1 --command true
"""
import argparse
import contextlib
import os
import pathlib
import socket
import struct
import sys
import threading
import time

import paramiko

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from kit import (Failed, Skip, Table, kexinit, main,  # noqa: E402
                 message, need, packet)
import kit as k  # noqa: E402

cases = Table()
GONE = (paramiko.SSHException, EOFError, OSError)


class Bastion:
    """Who is under test, and how to get in the honest way."""

    def __init__(self, args):
        self.args = args
        self.token = os.environ.get("CI_TOKEN", "")
        self.open = []

    def socket(self):
        s = socket.create_connection((self.args.host, self.args.port), 20)
        self.open.append(s)
        return s

    def close(self):
        for s in self.open:
            with contextlib.suppress(OSError):
                s.close()

    def transport(self):
        t = paramiko.Transport(self.socket())
        t.banner_timeout = t.auth_timeout = 60
        t.start_client(timeout=60)
        return t

    def login(self, user=None, answer=None):
        """A connection that is logged in by token."""
        if not self.token:
            raise Skip("CI_TOKEN is not set")
        t = self.transport()
        t.auth_interactive(
            self.args.user if user is None else user,
            lambda title, text, prompts: [answer(p) if answer else self.token
                                          for p, _ in prompts])
        return t

    def refused(self, user=None, answer=None, why="it got in"):
        try:
            t = self.login(user, answer)
        except (*GONE, ValueError):
            return
        t.close()
        raise Failed(why)

    def still_there(self):
        """Whatever came before, the next job is served."""
        t = self.login()
        try:
            code, out, err = finish(ask(t, self.args.command))
            need(code == 0, f"afterwards an honest job got {code}: {err}")
        finally:
            t.close()


def channel(t):
    c = t.open_session(timeout=60)
    c.settimeout(60)
    return c


def ask(t, command):
    c = channel(t)
    c.exec_command(command)
    return c


def finish(c):
    """(code, output, errors) of a channel that runs something."""
    out, err = [], []
    reader = threading.Thread(target=lambda: err.append(
        c.makefile_stderr("rb").read()), daemon=True)
    reader.start()
    out = c.makefile("rb").read(1 << 20)
    reader.join(60)
    need(c.status_event.wait(60), "no exit status")
    return c.exit_status, out, b"".join(err).decode(errors="replace")


def denied(b, command):
    """It is refused, in words that drive no terminal."""
    t = b.login()
    try:
        code, out, err = finish(ask(t, command))
    finally:
        t.close()
    need(code != 0, "exit code 0")
    need(out == b"", f"output: {out[:200]!r}")
    need(err.strip(), "nothing was said")
    k.no_escapes(err, "what the job is told")
    return {"code": code, "said": err.strip()[-200:]}


def raw(t, kind, *parts):
    t._send_message(message(kind, *parts))


def closes(sock, seconds=90):
    need(k.drain(sock, time.monotonic() + seconds),
         f"the connection is still open after {seconds} s")


# -- before keys --------------------------------------------------------------


@cases.add("connects and says nothing", slow=True)
def silent(b):
    closes(b.socket(), 300)


@cases.add("a version, then silence", slow=True)
def version_stall(b):
    s = b.socket()
    s.sendall(k.VERSION)
    closes(s, 300)


@cases.add("a version line of 10 MB")
def banner_10mb(b):
    s = b.socket()
    with contextlib.suppress(OSError):
        for _ in range(160):
            s.sendall(b"A" * 65536)
    closes(s)


@cases.add("random bytes in place of a version")
def banner_garbage(b):
    s = b.socket()
    with contextlib.suppress(OSError):
        s.sendall(os.urandom(100000))
    closes(s)


@cases.add("speaks HTTP")
def banner_http(b):
    s = b.socket()
    s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    closes(s)


@cases.add("a KEXINIT of random bytes")
def kexinit_garbage(b):
    s = b.socket()
    s.sendall(k.VERSION + packet(b"\x14" + os.urandom(400)))
    closes(s)


@cases.add("a packet that claims to have 4 GB")
def kexinit_huge_length(b):
    s = b.socket()
    s.sendall(k.VERSION + packet(kexinit(), length=0xfffffff0))
    closes(s)


@cases.add("no algorithm in common")
def kexinit_nothing_common(b):
    s = b.socket()
    s.sendall(k.VERSION + packet(kexinit(kex="none@hostile")))
    closes(s)


@cases.add("closes after each step up to the keys")
def leaves_early(b):
    for said in (b"", b"SSH-2.", k.VERSION, k.VERSION + packet(kexinit()),
                 k.VERSION + packet(kexinit())[:50]):
        s = b.socket()
        s.sendall(said)
        s.close()
    b.transport().close()


@cases.add("closes between the parts of a token")
def leaves_amid_the_token(b):
    for n in range(3):
        left = []

        def answer(prompt, n=n, left=left):
            left.append(prompt)
            if len(left) > n:
                raise EOFError
            return "A" * 1000
        b.refused(answer=answer)


@cases.add("60 connections that say nothing, all at once")
def connection_flood(b):
    held = []
    for _ in range(60):
        with contextlib.suppress(OSError):
            held.append(b.socket())
    need(held, "not one connection")
    for s in held:
        s.close()


# -- logging in ---------------------------------------------------------------


@cases.add("asks to be let in by no method at all")
def auth_none(b):
    t = b.transport()
    with contextlib.suppress(paramiko.BadAuthenticationType):
        t.auth_none(b.args.user)
    need(not t.is_authenticated(), "it got in")


@cases.add("a password in place of a token")
def auth_password(b):
    t = b.transport()
    with contextlib.suppress(*GONE):
        t.auth_password(b.args.user, b.token or "x", fallback=False)
    need(not t.is_authenticated(), "it got in")


@cases.add("a key that nobody knows")
def auth_unknown_key(b):
    t = b.transport()
    with contextlib.suppress(*GONE):
        t.auth_publickey(b.args.user, paramiko.ECDSAKey.generate())
    need(not t.is_authenticated(), "it got in")


@cases.add("a service other than the shell")
def auth_odd_service(b):
    t = b.transport()
    raw(t, k.SERVICE_REQUEST, "ssh-connection")
    t.join(60)
    need(not t.is_active(), "the connection stays")


@cases.add("opens a channel before it has logged in")
def channel_before_login(b):
    t = b.transport()
    raw(t, k.SERVICE_REQUEST, "ssh-userauth")
    raw(t, k.CHANNEL_OPEN, "session", 0, 1 << 20, 32768)
    raw(t, k.CHANNEL_REQUEST, 0, "exec", True, b.args.command)
    t.join(60)
    need(not t.is_active(), "the connection stays")


@cases.add("says itself that it succeeded")
def success_by_client(b):
    t = b.transport()
    raw(t, k.SERVICE_REQUEST, "ssh-userauth")
    raw(t, k.USERAUTH_SUCCESS)
    raw(t, k.CHANNEL_OPEN, "session", 0, 1 << 20, 32768)
    t.join(60)
    need(not t.is_active(), "the connection stays")


def token_case(name, what, answer):
    def run(b):
        n = []

        def each(prompt):
            n.append(prompt)
            need(len(n) < 100, "it asks without end")
            return answer(b.token, len(n))
        b.refused(answer=each)
    cases.add(what, name=name)(run)


token_case("token-cut", "cut at 1023 bytes, as OpenSSH does",
           lambda t, n: t[:1023])
token_case("token-twice", "the same part for every question",
           lambda t, n: t[:1000])
token_case("token-empty", "nothing", lambda t, n: "")
token_case("token-16k", "16 KiB and one byte", lambda t, n: "A" * 16385)
token_case("token-endless", "full parts without end",
           lambda t, n: f"{n:01000}")
token_case("token-10mb", "10 MB in one answer", lambda t, n: "A" * 10_000_000)
token_case("token-nul", "a NUL and the token", lambda t, n: "\0" + t)
token_case("token-newline", "the token and a newline, twice",
           lambda t, n: t + "\n" + t + "\n")
token_case("token-not-utf8", "bytes that are no text",
           lambda t, n: b"\xff\xfe" * 400)
token_case("token-dots", "dots", lambda t, n: "." * 900)
token_case("token-unsigned", "the token without its signature",
           lambda t, n: t.rsplit(".", 1)[0] + ".")
token_case("token-none", "the token with algorithm none",
           lambda t, n: "eyJhbGciOiJub25lIn0." + ".".join(
               t.split(".")[1:2]) + ".")
token_case("token-flipped", "the token with a letter changed",
           lambda t, n: t[:-20] + ("A" if t[-20] != "A" else "B") + t[-19:])


@cases.add("two answers to one question")
def token_two_answers(b):
    t = b.transport()
    with contextlib.suppress(*GONE):
        t.auth_interactive(b.args.user, lambda title, text, prompts:
                           [b.token] * (len(prompts) + 1))
    need(not t.is_authenticated(), "it got in")


@cases.add("wrong tokens, until somebody stops it")
def token_guessing(b):
    t = b.transport()
    for n in range(60):
        try:
            t.auth_interactive(b.args.user, lambda title, text, prompts:
                               [f"x.{n}.y" for _ in prompts])
        except paramiko.AuthenticationException:
            if not t.is_active():
                return
        except GONE:
            return
        need(not t.is_authenticated(), "it got in")
    raise Failed("60 wrong tokens in one connection")


USERS = {
    "uppercase": "WEB-1", "nul": "web-1\0x", "newline": "web-1\nroot",
    "4-kib": "a" * 4096, "root": "root", "plus": "+", "plus-target": "+web-1",
    "plus-twice": "a+b+c", "postern-plus": "postern+web-1", "empty": "",
    "path": "../../etc/passwd", "slash": "x/web-1", "colon": "x:web-1",
    "dash": "-oProxyCommand=id", "percent": "%h%n%s", "dollar": "$(id)",
    "space": "web 1", "escapes": k.ESCAPES, "not-utf8": b"\xff\xfe",
    "comma": "web-1,root", "at": "web-1@other", "wildcard": "web-*",
}


def user_case(name, user):
    def run(b):
        """Not let in, or told that there is no such target."""
        try:
            t = b.login(user)
        except (*GONE, ValueError):
            return None
        try:
            code, out, err = finish(ask(t, b.args.command))
        except GONE:
            return None
        finally:
            t.close()
        need(code != 0, "the command ran")
        k.no_escapes(err, "what the job is told")
        return {"code": code, "said": err.strip()[-200:]}
    cases.add(f"a good token for the user name {user[:40]!r}",
              name=f"user-{name}")(run)


for _name, _user in USERS.items():
    user_case(_name, _user)


# -- channels -----------------------------------------------------------------


@cases.add("200 variables, LD_PRELOAD among them, then the command")
def env_flood(b):
    t = b.login()
    c = channel(t)
    for i in range(200):
        raw(t, k.CHANNEL_REQUEST, c.remote_chanid, "env", False,
            "LD_PRELOAD" if i == 0 else f"POSTERN_{i}", "A" * 10000)
    c.exec_command(b.args.command)
    need(finish(c)[0] == 0, "the command failed")
    t.close()


@cases.add("LD_PRELOAD, with a wish for an answer")
def env_refused(b):
    t = b.login()
    c = channel(t)
    try:
        c.set_environment_variable("LD_PRELOAD", "/tmp/x.so")
        c.update_environment({})
        raw(t, k.CHANNEL_REQUEST, c.remote_chanid, "env", True, "LD_PRELOAD",
            "/tmp/x.so")
        c._event_pending()
        c._wait_for_event()
    except paramiko.SSHException:
        return
    finally:
        t.close()
    raise Failed("it took the variable")


def pty(t, c, term="xterm", cols=80, rows=24, modes=b"\0"):
    raw(t, k.CHANNEL_REQUEST, c.remote_chanid, "pty-req", False, term, cols,
        rows, 0xffffffff, 0xffffffff, modes)


def pty_case(name, what, **how):
    def run(b):
        t = b.login()
        c = channel(t)
        pty(t, c, **how)
        try:
            c.exec_command(b.args.command)
            code, out, err = finish(c)  # runs, or is refused; it ends
        except GONE:
            return {}
        finally:
            t.close()
        return {"code": code}
    cases.add(what, name=name)(run)


pty_case("pty-huge", "a terminal of 4 billion columns", cols=0xffffffff,
         rows=0xffffffff)
pty_case("pty-zero", "a terminal of no columns", cols=0, rows=0)
pty_case("pty-modes", "60 KB of terminal modes",
         modes=b"".join(struct.pack(">BI", 1 + i % 159, 0xffffffff)
                        for i in range(12000)))
pty_case("pty-modes-cut", "terminal modes that end in the middle",
         modes=b"\x01\0\0")
pty_case("pty-term-escapes", "a TERM of escapes", term=k.ESCAPES)
pty_case("pty-term-path", "a TERM that is a path", term="../../../tmp/x")
pty_case("pty-term-long", "a TERM of 30 KB", term="x" * 30000)


@cases.add("10,000 new sizes of a terminal that it does not have")
def window_change_flood(b):
    t = b.login()
    c = channel(t)
    c.exec_command(b.args.command)
    # When the command is over, a bastion may end this as one likes.
    with contextlib.suppress(*GONE, Failed):
        for i in range(10000):
            raw(t, k.CHANNEL_REQUEST, c.remote_chanid, "window-change", False,
                i, i, 0, 0)
        finish(c)
    t.close()


@cases.add("signals, with names that are none")
def signals(b):
    t = b.login()
    c = ask(t, b.args.command)
    for name in ("KILL", "STOP", "SEGV", k.ESCAPES, "", "A" * 30000):
        raw(t, k.CHANNEL_REQUEST, c.remote_chanid, "signal", False, name)
    need(c.status_event.wait(60), "no end")
    t.close()


@cases.add("a second command on the same channel")
def exec_twice(b):
    t = b.login()
    c = ask(t, b.args.command)
    try:
        c.exec_command("id")
        second = True
    except GONE:
        second = False
    need(not second, "the second command was taken")
    t.close()


@cases.add("a shell, then a command, on the same channel")
def shell_then_exec(b):
    t = b.login()
    c = channel(t)
    c.invoke_shell()
    try:
        c.exec_command(b.args.command)
    except GONE:
        return
    finally:
        t.close()
    raise Failed("the second request was taken")


@cases.add("a shell without a terminal, fed with commands")
def shell_fed(b):
    t = b.login()
    c = channel(t)
    c.invoke_shell()
    with contextlib.suppress(OSError):
        c.sendall(b"id\n" * 1000)
        c.shutdown_write()
    code, out, err = finish(c)
    t.close()
    need(code != 0 and b"uid=" not in out, f"{code}: {out[:100]!r}")
    need(err.strip(), "nothing was said")


@cases.add("200 channels at once")
def many_channels(b):
    t = b.login()
    held = []  # paramiko closes what nobody holds
    try:
        while len(held) < 200:
            held.append(t.open_session(timeout=20))
    except GONE:
        return {"channels": len(held)}
    finally:
        t.close()
    raise Failed("200 channels were opened")


SUBSYSTEMS = ["", "nosuch", "netconf", "../sftp", "sftp\0x", "sftp -v",
              k.ESCAPES, "A" * 30000, "postern", "sftp;id"]


@cases.add("subsystems that are none")
def subsystems(b):
    for name in SUBSYSTEMS:
        t = b.login()  # some names end the connection
        try:
            c = channel(t)
            c.invoke_subsystem(name)
            need(finish(c)[0] != 0, f"subsystem {name!r} ran")
        except GONE:
            pass
        finally:
            t.close()


@cases.add("file transfer, which no rule grants")
def subsystem_sftp(b):
    t = b.login()
    try:
        paramiko.SFTPClient.from_transport(t).listdir("/")
    except GONE:
        return
    finally:
        t.close()
    raise Failed("it lists files")


# -- beside commands ----------------------------------------------------------


def opening(name, what, kind, *more):
    def run(b):
        t = b.login()
        answer = {}
        done = threading.Event()

        def got(kind):
            def f(*_):
                answer["kind"] = kind
                done.set()
            return f
        # paramiko 2 hands these the transport, too; paramiko 3 the message
        # alone.
        t._handler_table = dict(t._handler_table) | {
            k.CHANNEL_OPEN_OK: got("open"),
            k.CHANNEL_OPEN_FAILURE: got("refused")}
        raw(t, k.CHANNEL_OPEN, kind, 77, 1 << 20, 32768, *more)
        done.wait(60)
        t.close()
        need(answer.get("kind") != "open", f"{kind} was opened")
        need(answer, f"{kind} was not answered")
    cases.add(what, name=name)(run)


opening("direct-tcpip", "through the bastion to a port", "direct-tcpip",
        "127.0.0.1", 22, "127.0.0.1", 1)
opening("direct-tcpip-metadata", "to the cloud's metadata", "direct-tcpip",
        "169.254.169.254", 80, "127.0.0.1", 1)
opening("direct-streamlocal", "to a socket on the bastion",
        "direct-streamlocal@openssh.com", "/run/postern/ctl.sock", "", 0)
opening("tunnel", "a network device", "tun@openssh.com", 1, 0x7fffffff)
opening("x11-channel", "an X11 channel", "x11", "127.0.0.1", 6000)
opening("agent-channel", "an agent channel", "auth-agent@openssh.com")
opening("forwarded-tcpip", "a connection that came to us",
        "forwarded-tcpip", "127.0.0.1", 1, "127.0.0.1", 2)
opening("unknown-channel", "a channel with escapes as its kind", k.ESCAPES)


def asking(name, what, kind, *more):
    def run(b):
        t = b.login()
        try:
            t.completion_event = threading.Event()
            raw(t, k.GLOBAL_REQUEST, kind, True, *more)
            t.completion_event.wait(60)
            got = t.global_response
        finally:
            t.close()
        need(got is None, f"{kind} was granted")
    cases.add(what, name=name)(run)


asking("tcpip-forward", "listen on a port", "tcpip-forward", "", 4711)
asking("tcpip-forward-any", "listen on any port", "tcpip-forward", "0.0.0.0",
       0)
asking("streamlocal-forward", "listen on a socket",
       "streamlocal-forward@openssh.com", "/tmp/hostile.sock")
asking("global-unknown", "a request with escapes as its name", k.ESCAPES)


def beside(name, what, kind, *more):
    def run(b):
        t = b.login()
        c = channel(t)
        c._event_pending()
        raw(t, k.CHANNEL_REQUEST, c.remote_chanid, kind, True, *more)
        try:
            c._wait_for_event()
            granted = True
        except GONE:
            granted = False
        t.close()
        need(not granted, f"{kind} was granted")
    cases.add(what, name=name)(run)


beside("agent", "its own agent on the bastion", "auth-agent-req@openssh.com")
beside("x11", "its own screen on the bastion", "x11-req", False,
       "MIT-MAGIC-COOKIE-1", "00" * 16, 0)
beside("request-unknown", "a request that nobody knows", "hostile@hostile",
       "x" * 10000)


@cases.add("20,000 global requests without a wish for an answer")
def global_request_flood(b):
    t = b.login()
    for _ in range(20000):
        if not t.is_active():
            break
        raw(t, k.GLOBAL_REQUEST, "hostile@hostile", False, "A" * 100)
    t.close()


# -- commands -----------------------------------------------------------------


def command_case(name, what, command):
    cases.add(what, name=name)(lambda b: denied(b, command(b.args.command)))


command_case("exec-64-kib", "a command of 64 KiB and one byte",
             lambda c: "a" * 65537)
command_case("exec-200-kb", "a command of 200 KB", lambda c: "a " * 100000)
command_case("exec-bidi", "a command that reads otherwise than it is",
             lambda c: "rm \u202e/ fr-\u202c x")
command_case("exec-escapes", "a command of terminal escapes",
             lambda c: "x" + k.ESCAPES)
command_case("exec-newline", "a second line", lambda c: c + "\nid")
command_case("exec-semicolon", "a second command", lambda c: c + "; id")
command_case("exec-substitution", "a command within the command",
             lambda c: c + " $(id)")
command_case("exec-backtick", "the same, the old way", lambda c: c + " `id`")
command_case("exec-pipe", "a pipe into a shell", lambda c: c + " | sh")
command_case("exec-redirect", "into a file", lambda c: c + " > /tmp/hostile")
command_case("exec-unclosed", "a quote that does not close",
             lambda c: c + " 'x")
command_case("exec-not-utf8", "a command that is no text",
             lambda c: b"\xff\xfe\xfd")
command_case("exec-blank", "a command of blanks", lambda c: "   ")
command_case("exec-word", "the broker's own word", lambda c: "postern")
command_case("exec-internal", "sshd's own file server",
             lambda c: "internal-sftp")
command_case("exec-many-words", "70,000 words", lambda c: "a " * 32000)


def dropped_case(name, what, command):
    """Refused, be it by the end of the connection."""
    def run(b):
        try:
            return denied(b, command(b.args.command))
        except GONE:
            return {}
    cases.add(what, name=name)(run)


dropped_case("exec-10mb", "a command of 10 MB", lambda c: "a" * 10_000_000)
dropped_case("exec-empty", "an empty command", lambda c: "")
dropped_case("exec-nul", "a command with a NUL, and another behind it",
             lambda c: "id\0" + c)


# -- while it runs ------------------------------------------------------------


@cases.add("ends its input before it has a command")
def eof_before_exec(b):
    t = b.login()
    c = channel(t)
    c.shutdown_write()
    with contextlib.suppress(*GONE):  # sshd takes it for the channel's end
        c.exec_command(b.args.command)
        finish(c)
    t.close()


@cases.add("input before there is a command")
def data_before_exec(b):
    t = b.login()
    c = channel(t)
    for _ in range(60):
        raw(t, k.DATA, c.remote_chanid, "id\n" * 5000)
    with contextlib.suppress(*GONE):
        c.exec_command(b.args.command)
        need(b"uid=" not in finish(c)[1], "its input was a command")
    t.close()


@cases.add("one byte of input at a time, for three seconds")
def slow_writer(b):
    t = b.login()
    c = ask(t, b.args.command)
    with contextlib.suppress(OSError):
        for _ in range(30):
            c.sendall(b"x")
            time.sleep(0.1)
        c.shutdown_write()
    with contextlib.suppress(*GONE):
        finish(c)
    t.close()


@cases.add("never reads, then leaves")
def never_reads(b):
    t = b.login()
    c = t.open_session(window_size=1, max_packet_size=32768, timeout=60)
    c.exec_command(b.args.bulk or b.args.command)
    time.sleep(3)
    t.sock.close()
    t.close()


@cases.add("leaves in the middle of the output")
def leaves_mid_output(b):
    t = b.login()
    c = ask(t, b.args.bulk or b.args.command)
    with contextlib.suppress(OSError):
        c.recv(1)
    t.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                      struct.pack("ii", 1, 0))
    t.sock.close()
    t.close()


@cases.add("leaves before the command is answered")
def leaves_after_exec(b):
    t = b.login()
    c = channel(t)
    raw(t, k.CHANNEL_REQUEST, c.remote_chanid, "exec", True, b.args.command)
    time.sleep(0.01)
    t.sock.close()
    t.close()


@cases.add("closes the channel before the command is answered")
def closes_channel(b):
    t = b.login()
    for _ in range(5):
        c = channel(t)
        raw(t, k.CHANNEL_REQUEST, c.remote_chanid, "exec", True,
            b.args.command)
        c.close()
    time.sleep(0.5)
    t.close()


@cases.add("more input than the window has room for")
def window_exceeded(b):
    t = b.login()
    c = ask(t, b.args.command)
    for _ in range(400):
        if not t.is_active():
            break
        with contextlib.suppress(*GONE):
            raw(t, k.DATA, c.remote_chanid, "A" * 30000)
    t.close()


@cases.add("input on a channel that does not exist")
def data_wrong_channel(b):
    t = b.login()
    raw(t, k.DATA, 4242, "whose?")
    t.join(20)
    t.close()


@cases.add("input of no bytes, 20,000 times")
def zero_length_flood(b):
    t = b.login()
    c = ask(t, b.args.command)
    for _ in range(20000):
        if not t.is_active():
            break
        with contextlib.suppress(*GONE):
            raw(t, k.DATA, c.remote_chanid, "")
    t.close()


@cases.add("packets to ignore, 100 MB")
def ignore_flood(b):
    t = b.login()
    for _ in range(3300):
        if not t.is_active():
            break
        raw(t, k.IGNORE, "A" * 30000)
    need(finish(ask(t, b.args.command))[0] == 0, "the command failed")
    t.close()


@cases.add("new keys, ten times in a row")
def rekey_storm(b):
    t = b.login()
    with contextlib.suppress(*GONE):
        for _ in range(10):
            t.renegotiate_keys()
        need(finish(ask(t, b.args.command))[0] == 0, "the command failed")
    t.close()


@cases.add("random bytes where a packet should be")
def garbage_after_keys(b):
    t = b.login()
    with contextlib.suppress(OSError):
        t.sock.sendall(os.urandom(300000))
    t.join(60)
    need(not t.is_active(), "the connection stays")


@cases.add("messages of numbers that nobody gave")
def unknown_messages(b):
    t = b.login()
    for kind in (8, 40, 70, 110, 150, 200, 255):
        raw(t, kind, "what?")
    t.join(5)
    t.close()


@cases.add("logs in again as somebody else, within the session")
def login_again(b):
    t = b.login()
    raw(t, k.USERAUTH_REQUEST, "root", "ssh-connection", "none")
    c = channel(t)
    c.exec_command(b.args.command)
    with contextlib.suppress(*GONE):
        code, out, err = finish(c)
        need(b"root" not in out, "it is somebody else now")
    t.close()


# -- judging ------------------------------------------------------------------


def run(case, args):
    for again in (True, False):
        b = Bastion(args)
        try:
            facts = case.run(b)
            break
        except paramiko.SSHException as e:
            # Once: what paramiko could not decipher is no answer.
            if not again or "Invalid packet blocking" not in str(e):
                raise
        finally:
            b.close()
    b = Bastion(args)
    try:
        b.still_there()
    finally:
        b.close()
    return facts


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, epilog="the token is in "
                                "the environment, as CI_TOKEN")
    p.add_argument("--host", default="localhost")
    p.add_argument("--port", type=int, default=22)
    p.add_argument("--user", default="target", help="whom an honest job "
                   "logs in as")
    p.add_argument("--command", default="true", help="what an honest job may "
                   "run, with exit code 0 and without input")
    p.add_argument("--bulk", help="and one with much output, if there is one")
    import logging
    logging.getLogger("paramiko").addHandler(logging.NullHandler())
    logging.getLogger("paramiko").propagate = False
    socket.setdefaulttimeout(120)
    code = main(cases, p, run)
    sys.stdout.flush()
    os._exit(code)
