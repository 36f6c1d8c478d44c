"""postern-hop against a real sshd."""
import contextlib
import fcntl
import os
import pathlib
import random
import re
import signal
import socket
import ssl
import struct
import subprocess
import termios
import time
import threading

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import stage as s


def sh(script):
    """A command as policy would quote it."""
    return "'/bin/sh' '-c' " + "'" + script.replace("'", "'\\''") + "'"


# -- how a command ends --------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 2, 63, 69, 77, 126, 127, 128, 200, 255])
def test_exit_code(hop, code):
    h = hop(sh(f"exit {code}"))
    assert h.finish() == ((0, code), b"", b"")
    facts = h.facts()
    assert facts["kind"] == "hop" and facts["exit"] == code
    assert "reason" not in facts and "signal" not in facts
    assert h.events()[1][-1][1:] == ["x", str(code)]


@pytest.mark.parametrize("number", [1, 2, 3, 6, 9, 11, 13, 14, 15, 10, 12])
def test_death_by_signal(hop, number):
    h = hop(sh(f"kill -{number} $$"))
    assert h.finish()[0] == (1, number)
    assert h.facts()["signal"] == number
    assert h.events()[1][-1][1:] == ["x", str(128 + number)]


def test_death_by_signal_without_a_name(hop):
    h = hop(sh("kill -16 $$"))  # SIGSTKFLT
    assert h.finish()[0] == (0, 255)


# -- bytes ---------------------------------------------------------------------


def test_streams_apart(hop):
    h = hop(sh("echo out; echo err >&2; exit 3"))
    assert h.finish() == ((0, 3), b"out\n", b"err\n")
    facts = h.facts()
    assert facts["bytes_out"] == 4
    assert facts["sha256_out"] == s.sha256(b"out\n")
    assert facts["sha256_err"] == s.sha256(b"err\n")
    assert sorted(h.text().split()) == ["err", "out"]


def test_stdin_passes(hop):
    h = hop(sh("cat"))
    assert h.finish(b"one\ntwo\n") == ((0, 0), b"one\ntwo\n", b"")
    facts = h.facts()
    assert (facts["bytes_in"], facts["sha256_in"]) == (8, s.sha256(b"one\ntwo\n"))


@pytest.mark.parametrize("flags,out,err", [
    ({"out_null": True}, b"", b"err\n"),
    ({"err_null": True}, b"out\n", b""),
    ({"out_null": True, "err_null": True}, b"", b""),
    ({"out_null": True, "err_to_out": True}, b"err\n", b""),
])
def test_redirections(hop, flags, out, err):
    h = hop(sh("echo out; echo err >&2"), **flags)
    assert h.finish() == ((0, 0), out, err)
    facts = h.facts()
    assert facts["sha256_out"] == s.sha256(out)
    assert facts["sha256_err"] == s.sha256(err)
    assert h.text().replace("\r\n", "\n").encode() == out + err


def test_err_to_out_keeps_all(hop):
    h = hop(sh("echo out; echo err >&2"), err_to_out=True)
    end, out, err = h.finish()
    assert end == (0, 0) and err == b""
    assert sorted(out.split()) == [b"err", b"out"]


def test_nulls_do_not_stop_the_target(hop):
    """Nobody reads what goes nowhere: the window must open all the same."""
    h = hop(sh("head -c 8000000 /dev/zero; head -c 8000000 /dev/zero >&2"),
            out_null=True, err_null=True)
    assert h.finish() == ((0, 0), b"", b"")
    h = hop(sh("head -c 8000000 /dev/zero & head -c 8000000 /dev/zero >&2; "
               "wait"), out_null=True)
    end, out, err = h.finish()
    assert end == (0, 0) and out == b"" and len(err) == 8000000


@pytest.mark.slow
def test_64_mib_both_ways(hop):
    data = random.Random(1).randbytes(64 << 20)
    h = hop(sh("cat"))
    end, out, err = h.finish(data, timeout=120)
    assert end == (0, 0) and err == b""
    want = s.sha256(data)
    assert s.sha256(out) == want
    facts = h.facts()
    assert facts["sha256_in"] == facts["sha256_out"] == want
    assert h.cast.stat().st_size < 1 << 20  # binary: not kept


def test_both_streams_full(hop):
    """Each stream is held back on its own; none is lost or swapped."""
    h = hop(sh("head -c 5000000 /dev/zero | tr '\\0' o & "
               "head -c 5000000 /dev/zero | tr '\\0' e >&2; wait"))
    end, out, err = h.finish()
    assert end == (0, 0)
    assert out == b"o" * 5000000 and err == b"e" * 5000000


def test_slow_reader_gets_all(hop):
    data = random.Random(2).randbytes(6 << 20)
    h = hop(sh("cat"))
    threading.Thread(target=h.write_all, args=(data,), daemon=True).start()
    time.sleep(1)  # window, pipes and our one packet are full by now
    got = []
    while True:
        piece = os.read(h.stdout, 30000)
        if not piece:
            break
        got.append(piece)
        if len(got) % 20 == 0:
            time.sleep(0.01)
    assert s.sha256(b"".join(got)) == s.sha256(data)
    assert h.ended() and h.facts()["sha256_out"] == s.sha256(data)


def test_reader_that_stops_does_not_stop_stdin(hop, tmp_path):
    """The target reads its input although its output waits for the job, and
    that costs the hop the channel's windows, no more."""
    seen = tmp_path / "seen"
    h = hop(sh(f"head -c 1500000 /dev/zero; cat | wc -c >{seen}; "
               "head -c 3000000 /dev/zero"))
    h.write_all(bytes(9 << 20))
    for _ in range(100):
        if seen.exists() and seen.read_text():
            break
        time.sleep(0.05)
    assert int(seen.read_text()) == 9 << 20
    assert s.private_kib(h.pid) < 6144 or "san" in s.HOP
    end, out, _ = h.finish(None)
    assert end == (0, 0) and len(out) == 4500000


# -- standard input ------------------------------------------------------------


def test_stdin_not_granted(hop):
    h = hop(sh("cat; echo end"), stdin=False)
    assert h.finish(b"secret")[:2] == ((0, 0), b"end\n")
    assert h.facts()["bytes_in"] == 0


def test_stdin_at_its_bound(hop):
    h = hop(sh("cat"), stdin_max=100000)
    data = b"x" * 100000
    assert h.finish(data) == ((0, 0), data, b"")


def test_stdin_over_its_bound(hop):
    h = hop(sh("wc -c; sleep 20"), stdin_max=100000)
    start = time.monotonic()
    end, out, err = h.finish(b"x" * 100001)
    assert time.monotonic() - start < 10
    assert end == (0, s.DENIED)
    assert err.startswith(b"postern: standard input is longer than the 100000")
    assert err.endswith(f"(operation {h.id})\n".encode())
    facts = h.facts()
    assert facts["bytes_in"] <= 100000 and facts["exit"] == 77
    assert "100000" in facts["reason"]


def test_stdin_that_breaks_off(hop):
    """Half of an input is not an input: the command is not told that it ends
    there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 0))
    h = hop(sh("cat; echo whole"), given=(theirs.detach(), ours.detach()))
    os.write(h.stdin, b"half\n")
    h.until(b"half\n")
    h.close_stdin()     # a reset, that is
    end, out, err = h.finish(None)
    assert end == (0, s.TEMPFAIL) and b"whole" not in out
    assert err.startswith(b"postern: stopped: standard input broke off: ")
    assert h.facts()["exit"] == 75


# -- limits ---------------------------------------------------------------------


@pytest.mark.parametrize("pty", [False, True])
def test_limit_duration(hop, pty):
    h = hop(sh("trap '' HUP; echo on; sleep 30"), duration=2, pty=pty)
    start = time.monotonic()
    end, _, err = h.finish(None)
    assert end == (0, s.DENIED)
    assert 1 < time.monotonic() - start < 15
    facts = h.facts()
    assert facts["exit"] == 77 and "limit duration" in facts["reason"]
    if not pty:
        assert b"postern: stopped after the 2 seconds" in err


def test_limit_duration_of_a_target_that_says_nothing(hop):
    # The handshake's own time is longer: the limit is of all of it.
    quiet = socket.create_server(("127.0.0.1", 0))
    h = hop(sh("true"), port=quiet.getsockname()[1], duration=1, handshake=30)
    end, _, err = h.finish(None)
    quiet.close()
    assert end == (0, s.DENIED) and b"limit duration" in err


@pytest.mark.parametrize("more", [0, 1])
def test_limit_output_to_the_byte(hop, more):
    # Both streams together, whatever comes in which order.
    h = hop(sh(f"head -c 60000 /dev/zero; head -c {40000 + more} /dev/zero "
               ">&2"), output_max=100000)
    end, out, err = h.finish(None)
    facts = h.facts()
    assert len(out) + err.count(b"\0") == 100000
    if not more:
        assert end == (0, 0) and not facts.get("reason")
        return
    assert end == (0, s.DENIED)
    assert b"postern: stopped after the 100000 bytes of output" in err
    assert "limit output" in facts["reason"]


def test_limit_output_of_a_flood(hop):
    h = hop(sh("yes"), output_max=3000000)
    end, out, err = h.finish(None)
    assert end == (0, s.DENIED) and len(out) == 3000000
    assert h.facts()["bytes_out"] == 3000000 and b"limit output" in err


# -- a terminal ----------------------------------------------------------------


def test_pty(hop):
    h = hop(sh("tty >/dev/null && stty size; echo $TERM; read x; echo got $x; "
               "exit 4"), pty=True, columns=100, rows=30)
    seen = h.until(b"xterm")
    assert b"30 100\r\n" in seen
    assert not termios.tcgetattr(h.master)[3] & (termios.ECHO | termios.ICANON)
    os.write(h.master, b"hello\r")
    end, out, _ = h.finish(None)
    assert end == (0, 4)
    text = h.text()
    assert "hello" in text and "got hello\r\n" in text
    head, events = h.events()
    assert (head["width"], head["height"]) == (100, 30)
    assert h.facts()["bytes_out"] == len("".join(
        e[2] for e in events if e[1] == "o"))


def test_pty_resize(hop):
    h = hop(sh("trap 'stty size' WINCH; echo ready; "
               "while :; do sleep 0.1; done"), pty=True)
    h.until(b"ready")
    fcntl.ioctl(h.master, termios.TIOCSWINSZ, struct.pack("HHHH", 41, 123,
                                                          0, 0))
    s.send(h.shell, s.RESIZED)
    h.until(b"41 123")
    os.close(h.master)
    h.stdin = h.stdout = None
    assert h.ended()
    assert ["r", "123x41"] in [e[1:] for e in h.events()[1]]


def test_pty_interrupt_key(hop):
    h = hop(sh("echo ready; sleep 30"), pty=True)
    h.until(b"ready")
    time.sleep(0.3)  # for the shell to wait for sleep
    os.write(h.master, b"\x03")
    end, _, _ = h.finish(None)
    assert end in ((1, 2), (0, 130))


def test_pty_not_in_the_certificate(hop):
    h = hop(sh("echo never"), pty=True, spec={"pty": None})
    end, out, _ = h.finish(None)
    assert end == (0, s.UNAVAILABLE)
    assert b"asking for a terminal" in out and out.endswith(b"\r\n")


def test_interrupt_while_connecting(hop):
    with silent() as port:
        h = hop(sh("true"), port=port)
        time.sleep(0.3)
        s.send(h.shell, s.SIGNAL, s.u32(2))
        assert h.finish()[0] == (1, 2)


# -- refusals ------------------------------------------------------------------


class silent:
    """A port that accepts and says nothing."""

    def __enter__(self):
        self.sock = socket.create_server(("127.0.0.1", 0))
        return self.sock.getsockname()[1]

    def __exit__(self, *_):
        self.sock.close()


def test_connection_refused(hop):
    with silent() as port:
        pass
    h = hop(sh("true"), port=port)
    end, out, err = h.finish()
    assert end == (0, s.UNAVAILABLE)
    assert re.fullmatch(rb"postern: web-1: cannot connect to 127\.0\.0\.1 port "
                        rb"\d+: Connection refused \(operation \w+\)\n", err)
    facts = h.facts()
    assert facts["exit"] == 69 and "Connection refused" in facts["reason"]
    assert h.text().replace("\r\n", "\n").encode() == err  # shown: recorded


def test_name_that_is_none(hop):
    h = hop(sh("true"), host="no-such-host.invalid", connect=4)
    end, _, err = h.finish()
    assert end == (0, s.UNAVAILABLE) and b"cannot resolve" in err


@contextlib.contextmanager
def name_servers(text, addresses):
    """This resolv.conf, and servers that take every question and answer
    none."""
    conf = pathlib.Path("/etc/resolv.conf")
    before = conf.read_text()
    socks = []
    try:
        for a in addresses:
            socks.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            socks[-1].bind((a, 53))
        conf.write_text(text)
        yield
    finally:
        conf.write_text(before)
        for x in socks:
            x.close()


def test_promise_10_name_servers_that_do_not_answer(hop):
    """Three servers, six domains, patience for minutes; the bound is ours."""
    three = ["127.0.0.7", "127.0.0.8", "127.0.0.9"]
    text = "".join(f"nameserver {a}\n" for a in three) + \
        "search a.test b.test c.test d.test e.test f.test\n" \
        "options timeout:30 attempts:5 ndots:3\n"
    with name_servers(text, three):
        start = time.monotonic()
        h = hop(sh("true"), host="web-1.nowhere.test", connect=2)
        end, _, err = h.finish()
        took = time.monotonic() - start
    assert end == (0, s.UNAVAILABLE)
    assert b"web-1: cannot resolve web-1.nowhere.test: no name server " \
        b"answered within 2 s" in err
    assert 1.9 < took < 6, took
    assert h.facts()["exit"] == 69


def test_connect_timeout(hop):
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    port = full.getsockname()[1]
    others = []
    for _ in range(4):  # the queue is full: further SYNs are dropped
        c = socket.socket()
        c.setblocking(False)
        c.connect_ex(("127.0.0.1", port))
        others.append(c)
    time.sleep(0.2)
    start = time.monotonic()
    h = hop(sh("true"), port=port, connect=1)
    end, _, err = h.finish()
    assert end == (0, s.UNAVAILABLE) and b"timed out" in err
    assert time.monotonic() - start < 4
    for c in [*others, full]:
        c.close()


def test_handshake_timeout(hop):
    with silent() as port:
        start = time.monotonic()
        h = hop(sh("true"), port=port, handshake=1)
        end, _, err = h.finish()
    assert end == (0, s.UNAVAILABLE)
    assert b"SSH timed out at key exchange" in err
    assert time.monotonic() - start < 4


def test_not_ssh(hop):
    server = socket.create_server(("127.0.0.1", 0))

    def answer():
        c, _ = server.accept()
        c.sendall(b"HTTP/1.1 400 \x1b[31mBad\r\n\r\n")
        c.close()
    threading.Thread(target=answer, daemon=True).start()
    h = hop(sh("true"), port=server.getsockname()[1])
    end, _, err = h.finish()
    assert end == (0, s.UNAVAILABLE)
    assert b"SSH failed at key exchange" in err and b"\x1b" not in err
    server.close()


def test_wrong_host_key(hop, sshd):
    kind, good = sshd.pin()
    bad = "SHA256:" + "A" * 43
    at = len(sshd.log.read_text())
    h = hop(sh("true"), pins=[(kind, bad)])
    end, _, err = h.finish()
    assert end == (0, s.UNAVAILABLE)
    assert f"wrong host key: expected {kind} {bad}, seen {kind} {good}; " \
        "nothing was sent to it".encode() in err
    time.sleep(0.3)
    log = sshd.log.read_text()[at:]
    assert "SSH2_MSG_NEWKEYS" in log or "rekey" in log
    assert "userauth-request" not in log and sshd.user not in \
        [w for line in log.splitlines() if "user" in line
         for w in line.split()]


def test_host_key_of_another_type(hop, sshd):
    """The right fingerprint under a wrong type is no pin."""
    h = hop(sh("true"), pins=[("ssh-ed25519", sshd.pin("ecdsa")[1])])
    assert h.finish()[0] == (0, s.UNAVAILABLE)
    h = hop(sh("true"), pins=[])
    assert h.run.wait(10) != 0  # no pin: not even tried


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_other_host_keys(hop, sshd, kind):
    h = hop(sh("echo ok"), pins=[sshd.pin(kind)])
    assert h.finish()[:2] == ((0, 0), b"ok\n")


def test_several_pins(hop, sshd):
    h = hop(sh("echo ok"), pins=[("ssh-ed25519", "SHA256:" + "B" * 43),
                                 sshd.pin("rsa"), sshd.pin()])
    assert h.finish()[:2] == ((0, 0), b"ok\n")


@pytest.mark.parametrize("spec", [
    {"principal": "root+web-2"},
    {"principal": "root"},
    {"source": "192.0.2.1/32"},
    {"after": 1000, "before": 2000},
])
def test_certificate_that_does_not_fit(hop, spec):
    h = hop(sh("true"), spec=spec)
    end, _, err = h.finish()
    assert end == (0, s.UNAVAILABLE)
    assert b"authentication refused by the target" in err


def test_certificate_is_what_was_asked_for(hop, sshd):
    at = len(sshd.log.read_text())
    h = hop(sh("true"), spec={"serial": 18446744073709551615,
                              "id": "op=1 id=x (serial 3)"})
    assert h.finish()[0] == (0, 0)
    log = sshd.log.read_text()[at:]
    assert "ID op=1 id=x (serial 3) (serial 18446744073709551615) CA ED25519" \
        in log
    assert h.requests == 1


def test_force_command_wins(hop):
    h = hop(sh("echo asked"), spec={"force": "echo forced"})
    assert h.finish()[:2] == ((0, 0), b"forced\n")


def test_signer_dies(hop):
    h = hop(sh("true"), signer="dies")
    end, _, err = h.finish()
    assert end == (0, s.TEMPFAIL) and b"postern: the signer" in err


def test_signer_refuses(hop):
    h = hop(sh("true"), signer="refuses")
    end, _, err = h.finish()
    assert end == (0, s.TEMPFAIL) and b"no such grant" in err


def test_signer_is_silent(hop):
    h = hop(sh("true"), signer="silent", handshake=1)
    end, _, err = h.finish()
    assert end == (0, s.TEMPFAIL) and b"the signer gave no certificate" in err


def test_recording_cannot_be_written(hop):
    h = hop(sh("echo never"), recording=os.open("/dev/full", os.O_WRONLY))
    end, out, err = h.finish()
    assert end == (0, s.IOERR) and out == b""
    assert err.startswith(b"postern: the recording cannot be written")


def test_recording_fills_up(hop, tmp_path):
    """Written before it is shown: what did not fit was not seen."""
    h = hop(sh("while printf '%0500d\\n' 1; do sleep 0.02; done"),
            wrap=["/usr/bin/prlimit", "--fsize=20000"])
    end, out, err = h.finish()
    assert end == (0, s.IOERR)
    assert b"postern: the recording cannot be written" in err
    assert 0 < len(out) <= h.cast.stat().st_size < 30000


# -- who leaves first ----------------------------------------------------------


def test_job_closes_early(hop):
    h = hop(sh("yes"))
    h.until(b"y\n")
    h.close_stdio()
    assert h.ended(5)
    facts = h.facts()
    assert "exit" not in facts and facts["reason"]


def test_job_dies_while_the_target_is_silent(hop):
    h = hop(sh("echo ready; sleep 60"))
    h.until(b"ready")
    h.close_stdio()
    assert h.ended(2)


def test_reader_that_never_reads_then_dies(hop, sshd):
    h = hop(sh("yes"))
    time.sleep(1)
    kib = s.private_kib(h.pid)
    assert h.run.poll() is None
    h.close_stdio()
    assert h.ended(5)
    assert kib < 8192 or "san" in s.HOP, kib


@s.memory
def test_promise_10_slow_reader_costs_little(hop):
    """libssh opens its window again with every read, whatever it still holds:
    a job that reads a little now and then must not make the hop grow."""
    h = hop(sh("yes"))
    most = 0
    for _ in range(40):
        os.read(h.stdout, 32768)
        time.sleep(0.05)
        most = max(most, s.private_kib(h.pid))
    h.close_stdio()
    assert h.ended(5)
    assert most < 2048, most


def test_shell_dies(hop):
    h = hop(sh("echo ready; sleep 60"))
    h.until(b"ready")
    h.shell.close()
    assert h.ended(2)


def test_job_leaves_while_connecting(hop):
    with silent() as port:
        h = hop(sh("true"), port=port)
        time.sleep(0.3)
        h.close_stdio()
        assert h.ended(2)


def test_end_of_stdin_is_not_the_end(hop):
    h = hop(sh("sleep 0.5; echo late"))
    assert h.finish(b"")[:2] == ((0, 0), b"late\n")


def test_policy_has_no_further_word(hop):
    h = hop(sh("echo ready; cat"))
    h.until(b"ready\n")
    s.send(h.control, s.HOP_RUN, s.s("x"))
    time.sleep(0.2)
    assert h.finish(b"still here")[:2] == ((0, 0), b"still here")


def test_promise_9_policy_dies(hop):
    h = hop(sh("echo ready; cat"))
    h.until(b"ready\n")
    h.control.close()
    time.sleep(0.2)
    assert h.finish(b"still here")[:2] == ((0, 0), b"still here")


@pytest.mark.parametrize("who", ["audit", "policy"])
def test_promise_2_not_for_long_without(hop, who):
    """30 s: what is shown until then is on record, and then it ends."""
    h = hop(sh("trap 'echo hup >&2' HUP; echo ready; sleep 60"),
            away=(who, 27))
    assert h.until(b"ready\n")
    time.sleep(1)
    assert h.run.poll() is None     # not before
    end, _, err = h.finish()
    assert end == (0, s.TEMPFAIL)
    assert f"postern-{who} has been away for 30 seconds".encode() in err
    assert "ready" in h.cast.read_text()


def test_promise_2_no_lease_no_operation(hop):
    h = hop("true", away=("audit", 31))
    end, out, err = h.finish()
    assert end == (0, s.TEMPFAIL) and b"away" in err and out == b""


RULE = ("ship", 0, 1, "/srv/app", 1 << 20, 1, 0)


@pytest.mark.parametrize("what, rules", [
    (0, [RULE]), (1, []), (2, []), (3, [RULE]), (1, [RULE] * 257),
    (1, [("Ship", *RULE[1:])]), (1, [("", *RULE[1:])]),
    (1, [("s" * 32, *RULE[1:])]), (1, [("ship", 2, *RULE[2:])]),
    (1, [("ship", 0, 2, *RULE[3:])]), (1, [(*RULE[:5], 2, 0)]),
    (1, [(*RULE[:6], 2)]), *((1, [("ship", 0, 0, path, 0, 0, 0)]) for path in (
        "", "srv", "//", "/srv/", "/srv//a", "/.", "/srv/..", "/srv/../a",
        "/" + "a" * 4095, "/srv\0"))])
def test_rules_for_files_are_read_strictly(hop, what, rules):
    h = hop("true", what=what, rules=rules)
    assert h.run.wait(20) != 0
    assert s.recv(h.shell) is None  # and so postern-shell says it: 75


@pytest.mark.parametrize("command", [
    "true", "scp -t /srv/app", "'scp' '-t' '--' '/srv/app'",
    "'/usr/bin/scp' '-t' '/srv/app'", "'/usr/bin/scp' '-t' '--' '/srv/../a'"])
def test_what_is_judged_as_scp_is_scp(hop, command):
    h = hop(command, what=2, rules=[RULE])
    assert h.run.wait(20) != 0
    assert s.recv(h.shell) is None


@pytest.mark.parametrize("rules", [
    [("a", 0, 0, "/", 0, 0, 0)], [("a", 0, 0, "/", 0, 0, 0)] * 256,
    [("a", 0, 0, "/" + "a" * 4094, 0, 0, 1)] * 20])
def test_as_many_rules_for_files_as_there_may_be(hop, rules):
    end, out, _ = hop("'/usr/bin/scp' '-f' '--' '/nonexistent'", what=2,
                      rules=rules).finish(b"\0")
    assert end == (0, 1) and b"No such file" in out


def test_policy_has_no_work(hop):
    control, theirs = s.seqpacket()
    lease = s.lease_of(hop.folder / "lease")

    def at_three():
        fds = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (theirs, lease)]
        for i, fd in enumerate(fds):
            os.dup2(fd, 3 + i)

    p = subprocess.Popen([s.HOP], env={}, stdin=subprocess.DEVNULL,
                         preexec_fn=at_three, pass_fds=(3, 4))
    theirs.close()
    control.close()
    assert p.wait(5) == 0


def test_target_dies(hop, tmp_path, ca):
    target = s.Sshd(tmp_path, ca)
    h = hop(sh("echo $PPID; sleep 60"), port=target.port, pins=[target.pin()])
    pid = int(h.until(b"\n"))
    os.kill(pid, signal.SIGKILL)
    end, _, err = h.finish()
    assert end == (0, s.UNAVAILABLE)
    assert b"the connection was lost before the command ended" in err
    target.stop()


def test_promise_10_a_target_that_hangs_is_noticed(hop):
    """sshd stopped: its host still answers, so TCP would never say so."""
    h = hop(sh("echo $PPID; sleep 60"), alive=1, alive_max=2)
    pid = int(h.until(b"\n"))
    os.kill(pid, signal.SIGSTOP)
    start = time.monotonic()
    try:
        end, _, err = h.finish()
    finally:
        os.kill(pid, signal.SIGKILL)
    assert end == (0, s.UNAVAILABLE)
    assert b"postern: web-1: no word from the target for 3 s" in err
    assert 2 < time.monotonic() - start < 15
    assert h.facts()["exit"] == 69


@pytest.mark.parametrize("alive, most", [(3, 1), (2, 3)])
def test_a_silent_command_is_no_silent_target(hop, sshd, alive, most):
    """Each question is asked, and each answer is taken."""
    at = len(sshd.log.read_text())
    h = hop(sh(f"sleep {4 * alive}; echo late"), alive=alive, alive_max=most)
    assert h.finish()[:2] == ((0, 0), b"late\n")
    asked = sshd.log.read_text()[at:].count("keepalive@openssh.com")
    assert asked >= 3


def test_a_job_that_does_not_read_makes_no_silent_target(hop):
    h = hop(sh("yes"), alive=2, alive_max=1)
    time.sleep(7)
    assert h.run.poll() is None
    h.until(b"y\n")
    h.close_stdio()
    assert h.ended(5)


def test_signal_is_passed_on(hop, sshd):
    """OpenSSH gives a forced command no signal, and says so in its log."""
    at = len(sshd.log.read_text())
    h = hop(sh("echo ready; cat"))
    h.until(b"ready")
    s.send(h.shell, s.SIGNAL, s.u32(15))
    s.send(h.shell, s.SIGNAL, s.u32(16))  # has no name: left out
    assert h.finish(b"x")[:2] == ((0, 0), b"x")
    assert "refusing to send signal TERM" in sshd.log.read_text()[at:]


def test_hop_leaves_with_its_job(hop):
    """The target's command loses its connection when the job goes."""
    h = hop(sh("trap 'kill 0' PIPE; echo $$; while :; do echo x; sleep 0.1; "
               "done"))
    pid = int(h.until(b"\n").split()[0])
    h.close_stdio()
    assert h.ended(3)
    for _ in range(50):
        if not os.path.exists(f"/proc/{pid}"):
            return
        time.sleep(0.1)
    raise AssertionError("the command still runs")


# -- what it must not do -------------------------------------------------------


def test_no_configuration_is_read(hop, tmp_path):
    """A ProxyCommand in a home directory is not run, and not even looked at."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    proof = tmp_path / "proof"
    (home / ".ssh/config").write_text(f"Host *\n ProxyCommand touch {proof}\n")
    trace = tmp_path / "trace"
    h = hop(sh("echo ok"), env={"HOME": str(home), "USER": "root",
                                    "ASAN_OPTIONS": "detect_leaks=0"},
            wrap=["/usr/bin/strace", "-f", "-o", str(trace), "-e",
                  "trace=open,openat,execve,connect,socket"])
    assert h.finish()[:2] == ((0, 0), b"ok\n")
    assert not proof.exists()
    calls = trace.read_text()
    assert str(home) not in calls and "/etc/ssh" not in calls
    assert calls.count("execve(") == 1
    at = calls.index("AF_INET")
    assert not re.search(r'open(at)?\((AT_FDCWD, )?"(?!/nonexistent)[^"]*".*'
                         r'= \d', calls[at:]), calls[at:]
    assert "AF_UNIX" not in calls


def public(seed):
    key = ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key()
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


@s.memory
def test_promise_7_key_is_wiped(hop):
    """No form of the private key is left in memory while the command runs.
    Not its text (a block that was freed lost its first 16 bytes), and no 32
    random bytes that give the public key that was certified."""
    h = hop(sh("echo ready; cat"))
    h.until(b"ready")
    text = b"".join(s.memory_of(h.pid))
    assert h.key in text or b"postern-hop" in text  # it was read at all
    assert b"BAAAAMwAAAAtzc2gtZWQyNTUxOQ" not in text
    assert b"none\0\0\0\0\0\0\0\1\0\0\0\x33\0\0\0\x0bssh-" not in text
    tried = 0
    for at in range(0, len(text) - 32, 4):
        seed = text[at:at + 32]
        if len(set(seed)) > 22:
            tried += 1
            assert public(seed) != h.key, at
    assert tried > 10
    h.finish(b"")


def test_promise_9_no_death_signal(hop):
    """The hop outlives whoever started it."""
    h = hop(sh("echo ready; cat"))
    h.until(b"ready")
    with open(f"/proc/{h.pid}/status") as f:
        status = f.read()
    assert "NoNewPrivs:\t1" in status
    h.finish(b"")


@s.memory
def test_memory_while_idle(hop):
    h = hop(sh("echo ready; cat"))
    h.until(b"ready")
    kib = s.private_kib(h.pid)
    h.finish(b"")
    # What libcrypto has to relocate grew with OpenSSL 3.5 (trixie: 1408).
    assert kib <= (1200 if ssl.OPENSSL_VERSION_INFO < (3, 5) else 1536), kib
