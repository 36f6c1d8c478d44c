"""Terminals, signals, ends of input and output: the same things to a target's
sshd as it stands, and through the bastion.  What differs is named."""
import contextlib
import re
import socket
import time

import house as h
import paramiko
import pytest

WINCH = str(h.BIN / "winch")
SIZES = str(h.BIN / "sizes")
MODES = str(h.BIN / "modes")
READS = str(h.BIN / "reads")
CAT = "/usr/bin/cat"
RULES = f"""policy 1
allow terminal for shop on web-1 {{
    run {WINCH} with pty stdin
    run {SIZES} <int 1..500> <int 1..500> with pty
    run {MODES} with pty
    run {READS} with pty stdin
    run {CAT} with stdin
    run /opt/house/bin/slow <int 1..60> with pty stdin
    run /usr/bin/head -n <int 1..9> with stdin
    run /usr/bin/wc -l with stdin
}}
"""
# Tells its terminal's size when that has changed, and ends at a line.
PROGRAM = """#!/bin/bash
size=$(stty size)
echo "begins $size $TERM"
until read -r -t 0.2 line; do
    [ $? -gt 128 ] || exit 3
    was=$size size=$(stty size)
    [ "$size" = "$was" ] || echo "now $size"
done
echo "heard $line"
"""
# Asks for its terminal's size until it is that one; reads nothing.
ASKS = """#!/bin/bash
echo "begins $(stty size)"
until [ "$(stty size)" = "$1 $2" ]; do sleep 0.1; done
echo "now $(stty size)"
"""


def heard(channel, m):
    """paramiko drops exit-signal."""
    at = m.packet.tell()
    if m.get_text() == "exit-signal":
        m.get_boolean()
        channel.died_of = m.get_text()
    m.packet.seek(at)
    channel._handle_request(m)


@contextlib.contextmanager
def transport(address, user, login):
    with h.in_netns("job"):
        s = socket.create_connection((address, 22), 10)
    t = paramiko.Transport(s)
    try:
        table = t._channel_handler_table = dict(t._channel_handler_table)
        table[paramiko.common.MSG_CHANNEL_REQUEST] = heard
        t.start_client(timeout=30)
        login(t, user)
        yield t
    finally:
        t.close()


@pytest.fixture(scope="module")
def ways(up, bastion, tmp_path_factory):
    """One connection to the target, one through the bastion."""
    for name, text in ((WINCH, PROGRAM), (SIZES, ASKS), (MODES, "#!/bin/sh\nstty -a\n"),
                       (READS, "#!/bin/sh\necho ready\nexec cat\n")):
        with open(name, "w") as f:
            f.write(text)
        h.run("chmod", "755", name)
    bastion.write_policy(RULES, "terminal.postern")
    assert "not accepted" not in bastion.reload()
    mine = h.ssh_keygen(tmp_path_factory.mktemp("key") / "k")
    before = up.web1.keys_file.read_text()
    up.web1.keys_file.write_text(before + mine.with_suffix(
        ".pub").read_text())
    key = paramiko.Ed25519Key.from_private_key_file(str(mine))
    token = up.issuer.token()
    with transport("10.91.0.2", "deploy",
                   lambda t, user: t.auth_publickey(user, key)) as plain, \
        transport("10.91.0.1", "web-1", lambda t, user: t.auth_interactive(
            user, lambda title, text, prompts: [token for _ in prompts])) \
            as ours:
        yield {"plain": plain, "ours": ours}
    up.web1.keys_file.write_text(before)
    (h.ETC / "policy/terminal.postern").unlink()
    bastion.reload()


class Run:
    """A session channel, and all that comes of it."""

    def __init__(self, transport, command, pty=None):
        self.c = transport.open_session(timeout=30)
        self.c.settimeout(60)
        if pty:
            self.c.get_pty("xterm-256color", *pty)
        self.c.exec_command(command)
        self.out = b""

    def until(self, text, timeout=60):
        """What has come, when that text is in it."""
        end = time.monotonic() + timeout
        while text not in self.out:
            assert time.monotonic() < end, (text, self.out)
            data = self.c.recv(4096)
            assert data, (text, self.out)
            self.out += data
        return self.out

    def send(self, data):
        self.c.sendall(data)

    def eof(self):
        self.c.shutdown_write()

    def ask(self, name, *strings):
        """A channel request without an answer."""
        m = paramiko.Message()
        m.add_byte(paramiko.common.cMSG_CHANNEL_REQUEST)
        m.add_int(self.c.remote_chanid)
        m.add_string(name)
        m.add_boolean(False)
        for s in strings:
            m.add_string(s)
        self.c.transport._send_user_message(m)

    def end(self):
        """(exit status, signal, stdout, stderr)"""
        while True:
            data = self.c.recv(65536)
            if not data:
                break
            self.out += data
        err = self.c.makefile_stderr("rb").read()
        status = self.c.recv_exit_status()
        self.c.close()
        return status, getattr(self.c, "died_of", None), self.out, err


def both(ways, does):
    """What it is, the same both ways."""
    got = {name: does(t) for name, t in ways.items()}
    assert got["plain"] == got["ours"], got
    return got["ours"]


# -- how it ends -----------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 64, 77, 126, 127, 128, 130, 255])
def test_exit_status(ways, code):
    r = both(ways, lambda t: Run(t, f"/opt/house/bin/exitwith {code}").end())
    assert r == (code, None, b"", b"")


@pytest.mark.parametrize("sig", ["TERM", "KILL", "INT", "HUP", "PIPE"])
def test_death_by_signal(ways, sig):
    r = both(ways, lambda t: Run(t, f"/opt/house/bin/diewith {sig}").end())
    assert r[1:3] == (sig, b"before\n")


def test_both_streams(ways):
    r = both(ways, lambda t: Run(t, "/opt/house/bin/both").end())
    assert r == (0, None, b"to stdout\n", b"to stderr\n")


# -- input and its end -------------------------------------------------------------


def test_half_close(ways):
    """The input's end is not the output's."""
    def does(t):
        r = Run(t, "/usr/bin/wc -l")
        r.send(b"a\nb\n")
        r.eof()
        return r.end()
    assert both(ways, does) == (0, None, b"2\n", b"")


def test_an_input_that_ends_at_once(ways):
    def does(t):
        r = Run(t, CAT)
        r.eof()
        return r.end()
    assert both(ways, does) == (0, None, b"", b"")


def test_a_conversation(ways):
    """Nothing waits for a buffer to be full."""
    def does(t):
        r = Run(t, CAT)
        for word in (b"one\n", b"two", b"\0\xff\n"):
            r.send(word)
            r.until(word)
        r.eof()
        return r.end()
    assert both(ways, does) == (0, None, b"one\ntwo\0\xff\n", b"")


def test_a_command_that_does_not_read(ways):
    """It ends, whatever of its input nobody has read."""
    def does(t):
        r = Run(t, "/usr/bin/head -n 1")
        with contextlib.suppress(OSError):
            for _ in range(40):
                r.send(b"x\n" * 30000)
        return r.end()
    assert both(ways, does) == (0, None, b"x\n", b"")


def test_a_reader_that_leaves(up, ways, job, bastion, mark):
    """`| head`: the command writes, gets PIPE, and the client ends; as with
    plain ssh, whose own exit status this is."""
    key = job.home / "plain"
    key.unlink(missing_ok=True)
    h.ssh_keygen(key)
    h.run("chown", f"{job.user}:", key)
    before = up.web1.keys_file.read_text()
    up.web1.keys_file.write_text(before + key.with_suffix(".pub").read_text())
    job.knows(up.web1.hostkey.with_suffix(".pub"), "10.91.0.2")
    command = "/opt/house/bin/lines 1000000"
    plain = job.run(["bash", "-c", f"ssh -i {key} -o IdentitiesOnly=yes "
                     f"deploy@10.91.0.2 {command} | head -n 1; "
                     "echo ${PIPESTATUS[0]}"])
    up.web1.keys_file.write_text(before)
    token = up.issuer.token()
    argv = job.argv("web-1", command)
    ours = job.run(["bash", "-c", '"$@" | head -n 1; echo ${PIPESTATUS[0]}',
                    "x", *argv], env=job.env(CI_TOKEN=token))
    assert plain.text == ours.text == "1\n141\n"
    e = bastion.event(mark, "operation.end")
    assert e["state"] == "interrupted"


# -- terminals ---------------------------------------------------------------------


def test_size_and_its_changes(ways):
    def does(t):
        r = Run(t, WINCH, (91, 33))
        r.until(b"begins 33 91 xterm-256color\r\n")
        for columns, rows in ((120, 40), (20, 5), (500, 200)):
            r.c.resize_pty(columns, rows)
            r.until(f"now {rows} {columns}\r\n".encode())
        r.send(b"done\n")
        return r.end()
    status, sig, out, err = both(ways, does)
    assert (status, sig, err) == (0, None, b"")
    assert out.endswith(b"done\r\nheard done\r\n"), out


def test_size_without_input(ways):
    """The rule gives the terminal alone: its size changes all the same."""
    def does(t):
        r = Run(t, f"{SIZES} 40 120", (91, 33))
        r.until(b"begins 33 91\r\n")
        r.c.resize_pty(120, 40)
        return r.end()
    status, sig, out, err = both(ways, does)
    assert (status, sig, err) == (0, None, b"")
    assert out == b"begins 33 91\r\nnow 40 120\r\n", out


def reads(t):
    """A program that reads the terminal, and does by now."""
    r = Run(t, READS, (80, 24))
    r.until(b"ready\r\n")
    return r


@pytest.mark.parametrize("key, dies", [(b"\x03", 130), (b"\x1c", 131)])
def test_keys_that_are_signals(ways, key, dies):
    """Ctrl-C and Ctrl-\\ are the target's terminal's."""
    def does(t):
        r = reads(t)
        r.send(b"here\n")
        r.until(b"here\r\nhere\r\n")
        r.send(key)
        status, sig, out, _ = r.end()
        return (128 + {"INT": 2, "QUIT": 3}[sig] if sig else status), out
    status, out = both(ways, does)
    assert status == dies
    assert out.startswith(b"ready\r\nhere\r\nhere\r\n^")


def test_the_key_that_ends_input(ways):
    def does(t):
        r = reads(t)
        r.send(b"a\nb\n")
        r.until(b"b\r\n")
        r.send(b"\x04")
        status, sig, out, err = r.end()
        # the echo and the program write when they like
        return status, sig, sorted(out.split(b"\r\n")), err
    status, sig, out, err = both(ways, does)
    assert (status, sig, err) == (0, None, b"")
    assert out == [b"", b"a", b"a", b"b", b"b", b"ready"]


def test_modes(ways):
    """Those of a client that names none."""
    def does(t):
        status, _, out, _ = Run(t, MODES, (80, 24)).end()
        return status, re.sub(rb"line = \d+;", b"", out)
    status, out = both(ways, does)
    assert status == 0 and b"echo" in out and b"intr = ^C" in out


def test_bytes_of_a_terminal(ways):
    def does(t):
        r = reads(t)
        for text in ("ä€\n", "\x1b[31mred\x1b[0m\n", "\t|\n"):
            r.send(text.encode())
        r.send(b"\x04")
        return sorted(r.end()[2].split(b"\r\n"))
    assert "ä€".encode() in both(ways, does)


def test_no_terminal_without_a_rule(ways):
    t = ways["ours"]
    status, sig, out, err = Run(t, "/opt/house/bin/exitwith 3",
                                (80, 24)).end()
    assert (status, sig) == (77, None)
    assert b"no rule" in out + err and b"-t" in out + err, out + err


# -- what differs ------------------------------------------------------------------


def test_signals_by_request(ways, bastion):
    """sshd sends none to a forced command, and a command of a certificate is
    one, on the bastion as on the target (doc/decisions/0013-hanging-up.md)."""
    got = {}
    for name, t in ways.items():
        r = Run(t, "/opt/house/bin/slow 2")
        r.until(b"started\n")
        r.ask("signal", "TERM")
        got[name] = r.end()
    assert got["plain"][:3] == (9, None, b"started\nterm\n")
    assert got["ours"] == (0, None, b"started\ndone\n", b"")


def test_a_size_that_is_none(ways):
    """A terminal of no size becomes one of 80 by 24: programs divide by it."""
    got = {name: Run(t, "/opt/house/bin/istty", (0, 0)).end()[2]
           for name, t in ways.items()}
    assert b"0 0" in got["plain"]
    assert b"24 80" in got["ours"]
