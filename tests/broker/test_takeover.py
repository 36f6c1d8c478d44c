"""postern-policy dies, and the next one takes over: what comes back from audit,
and how it could be cheated."""
import contextlib
import hashlib
import hmac
import os
import signal
import struct
import time

import pytest

import test_policy_process as pp
import wire as w
from test_policy_process import DENIED, TEMPFAIL, answer, message, refused, run_body

pytestmark = pp.pytestmark
program = pp.program
dummies, dummy = pp.dummies, pp.dummy
ALLOWED = "systemctl restart web"


class Lives:
    """One policy after the other, with audit's rows and the sshd monitors that
    stay."""

    def __init__(self, program, folder):
        self.program, self.folder, self.rows = program, folder, {}
        self.monitors, self.now = [], None

    def start(self, **more):
        self.now = pp.Policy(self.program, self.folder, rows=self.rows, **more)
        return self.now

    def end(self):
        """As SIGKILL and the crash of a host's neighbour end it."""
        self.monitors += self.now.monitors
        self.now.monitors = []
        self.now.proc.kill()
        self.now.proc.wait()

    def next(self, **more):
        self.end()
        return self.start(**more)

    def login(self, **more):
        m, handle = self.now.login(**more)
        self.kept("2/")
        end = time.monotonic() + 20
        # The row of the pending connection becomes that of the open one.
        while self.rows[self.row("2/")][1][-12:-8] == bytes(4):
            assert time.monotonic() < end
            time.sleep(0.01)
        return m, handle

    def kept(self, prefix, n=1):
        """audit has n rows of that kind."""
        end = time.monotonic() + 20
        while len([k for k in self.rows if k.startswith(prefix)]) != n:
            assert time.monotonic() < end, list(self.rows)
            time.sleep(0.01)

    def row(self, prefix):
        (key,) = [k for k in self.rows if k.startswith(prefix)]
        return key

    def forge(self, key, change):
        """The row with another content, under the right MAC."""
        until, value = self.rows[key]
        body = change(value[32:])
        secret = (self.folder / "key").read_bytes()
        mac = hmac.digest(secret, key.encode() + b"\0" + body, hashlib.sha256)
        self.rows[key] = (until, mac + body)


@pytest.fixture
def lives(tmp_path, program):
    it = Lives(program, tmp_path)
    it.start()
    yield it
    for m in it.monitors:
        m.kill()
    it.now.stop()


def denied(policy, m, handle, command="id"):
    """The session is there: a decision was made for it."""
    refused(m.shell(message("RUN", run_body(handle, command))), DENIED)
    return policy.heard("operation.decide")


def nobody(m, handle):
    """Nor does it look like a denial where it may have been lost."""
    code, out, err = answer(m.shell(message("RUN", run_body(handle,
                                                            ALLOWED))))
    assert out == "" and (code, "no session here" in err,
                          "does not know this connection" in err) in (
        (DENIED, True, False), (TEMPFAIL, False, True))
    return code


def test_p9_a_session_outlives_its_policy(lives, dummy, tmp_path):
    m, handle = lives.login()
    before = denied(lives.now, m, handle)
    policy = lives.next()
    assert policy.status()["sessions"] == 1
    # The same session, on the same connection; and it can still run.
    assert denied(policy, m, handle)["session"] == before["session"]
    pp.launch(policy, m, handle, ALLOWED, dummy, tmp_path)
    # The same token joins it from the same address.
    result, again, _ = policy.new(opened=True)
    other = policy.monitor()
    assert result == 0 and other.open(again) == (0, again)
    assert denied(policy, other, again)["session"] == before["session"]
    assert other.close(again) == 0
    # The monitor's end is its end, seen by the new one.
    os.kill(dummy, signal.SIGKILL)
    policy.wait_status(operations=0)
    m.kill()
    lives.kept("2/", 0)


def test_p9_between_the_token_and_the_connection(lives):
    """PAM has the handle, and opens it with the next policy."""
    result, handle, _ = lives.now.new()
    assert result == 0
    lives.kept("2/")
    policy = lives.next()
    m = policy.monitor()
    assert m.open(handle, "web-2") == (1, "")
    assert m.open(handle, source="10.9.9.9") == (1, "")
    assert m.open(handle) == (0, handle)
    assert policy.heard("session.open")["user"] == "web-1"
    denied(policy, m, handle)
    assert m.open(handle) == (1, "")    # once
    # As it is open, it is the monitor's in the life after that.
    end = time.monotonic() + 20
    while lives.rows[lives.row("2/")][1][-12:-8] == bytes(4):
        assert time.monotonic() < end
        time.sleep(0.01)
    denied(lives.next(), m, handle)


def test_p9_a_session_whose_line_is_not_written(lives):
    """Its row does not say that it is; the next policy writes it before a line
    that names the session."""
    handle = lives.now.new()[1]
    m = lives.now.monitor()
    assert m.open(handle) == (0, handle)
    e = w.expect(lives.now.audit, "EVENT")
    lives.kept("1/")
    at = session_times(lives.rows[lives.row("1/")][1][32:]) + 17

    def opened():
        return lives.rows[lives.row("1/")][1][32 + at]

    end = time.monotonic() + 20
    while opened() != 1:
        assert time.monotonic() < end
        time.sleep(0.01)
    w.send(lives.now.audit, "EVENT_DONE", w.u32(1) + w.u64(0), ident=e.id)
    while opened() != 0:
        assert time.monotonic() < end
        time.sleep(0.01)
    policy = lives.next()
    refused(m.shell(message("RUN", run_body(handle, "id"))), DENIED)
    assert policy.heard("session.open")["user"] == "web-1"
    policy.heard("operation.decide")


def test_p9_a_line_that_died_with_audit_is_written_at_once(lives):
    """Also when the next audit's link came before the end of the last one."""
    policy = lives.now
    handle = policy.new()[1]
    m = policy.monitor()
    assert m.open(handle) == (0, handle)
    w.expect(policy.audit, "EVENT")
    old, policy.audit = policy.audit, policy.link("audit")
    w.silent(policy.audit)
    old.close()
    begin = time.monotonic()
    assert policy.heard("session.open")["session"]
    assert time.monotonic() < begin + 5     # and not some time later


def test_p9_policy_dies_again_and_again(lives):
    m, handle = lives.login()
    for _ in range(4):
        policy = lives.next()
        denied(policy, m, handle)
    m.kill()


def test_p9_a_running_operation_is_counted(lives, dummy, tmp_path):
    m, handle = lives.login()
    pp.launch(lives.now, m, handle, ALLOWED, dummy, tmp_path)
    lives.kept("3/")
    policy = lives.next(settings="operations-max 1\n")
    assert policy.status()["operations"] == 1
    assert "operations-max" in refused(m.shell(message(
        "RUN", run_body(handle, ALLOWED))), 75)
    os.kill(dummy, signal.SIGKILL)
    policy.wait_status(operations=0)
    lives.kept("3/", 0)


def test_p9_what_was_lost_is_no_denial(lives):
    """Of a connection that is older than this policy nobody knows whether it
    was a session: the job is to come again, not to look at its rights."""
    lives.start()
    m, handle = lives.login()
    lives.rows.clear()
    time.sleep(0.05)    # older, as the kernel counts: in hundredths
    policy = lives.next()
    time.sleep(0.05)
    assert nobody(m, handle) == TEMPFAIL
    assert nobody(policy.monitor(), handle) == DENIED
    w.silent(policy.control)


def test_p9_who_left_meanwhile_is_gone(lives):
    """The token has expired and the monitor died while there was no policy:
    the new one writes the end, once."""
    m, handle = lives.login()
    lives.forge(lives.row("1/"), expired)
    lives.end()
    m.kill()
    policy = lives.start()
    e = policy.heard("session.close")
    assert len(e["session"]) == 26 and e["identity"] == "shop"
    policy.wait_status(sessions=0)
    assert lives.rows == {}


def expired(body):
    """A session's row whose token could open connections until 1 ms."""
    at = session_times(body)
    return body[:at] + struct.pack(">Q", 1) + body[at + 8:]


def session_times(body):
    """Where `until` stands: behind the version and five strings."""
    at = 1
    for _ in range(5):
        at += 4 + struct.unpack(">I", body[at:at + 4])[0]
    return at


def test_p9_session_max_counts_on(lives):
    """A restart gives no session more time than it had."""
    m, handle = lives.login()
    at = session_times(lives.rows[lives.row("1/")][1][32:])
    lives.forge(lives.row("1/"), lambda b: b[:at + 8] + struct.pack(">Q", 1) +
                b[at + 16:])
    policy = lives.next()
    nobody(m, handle)
    # The token that opened it opens no other; one that nobody was told of may.
    result, none, why = policy.new(opened=True)
    assert (result, none) == (1, "") and "is over" in why, why
    assert policy.new()[0] == 0
    assert policy.status()["sessions"] == 2


def test_p9_another_process_with_the_monitors_pid(lives):
    m, handle = lives.login()
    # The start time is the last field.
    lives.forge(lives.row("2/"), lambda b: b[:-8] + struct.pack(
        ">Q", struct.unpack(">Q", b[-8:])[0] + 1))
    lives.next()
    nobody(m, handle)
    lives.kept("2/", 0)


def test_p9_another_process_with_the_hops_pid(lives, dummy, tmp_path):
    m, handle = lives.login()
    pp.launch(lives.now, m, handle, ALLOWED, dummy, tmp_path)
    lives.kept("3/")
    lives.forge(lives.row("3/"), lambda b: b[:-8] + struct.pack(
        ">Q", struct.unpack(">Q", b[-8:])[0] + 1))
    assert lives.next().status()["operations"] == 0
    lives.kept("3/", 0)


@pytest.mark.parametrize("how", ["a byte", "a swap", "another boot", "short",
                                 "a version", "left over"])
def test_p5_audit_cannot_make_up_a_session(lives, how):
    """Whoever owns audit has the rows, and not the key."""
    m, handle = lives.login()
    key = lives.row("1/")
    until, value = lives.rows[key]
    lives.end()
    if how == "a byte":
        lives.rows[key] = (until, value[:-1] + bytes([value[-1] ^ 1]))
    elif how == "a swap":
        del lives.rows[key]
        lives.rows["1/" + "0" * 26] = (until, value)
    elif how == "another boot":
        (lives.folder / "key").write_bytes(os.urandom(32))
    elif how == "short":
        lives.rows[key] = (until, value[:16])
    elif how == "a version":
        lives.forge(key, lambda b: b"\x63" + b[1:])
    else:
        lives.forge(key, lambda b: b + b"x")
    policy = lives.start()
    nobody(m, handle)
    assert policy.status()["sessions"] == 0
    # What is worth nothing is forgotten; audit closes it in the ledger.
    lives.kept("1/", 0)
    lives.kept("2/", 0)
    assert policy.keeper.settled >= 1


def test_p9_nobody_is_served_before_the_sessions_are_there(lives):
    m, handle = lives.login()
    lives.end()
    page, w.Keeper.own = w.Keeper.own, lambda self, m: m.name == "RECALL"
    try:
        with pytest.raises(TimeoutError):
            child_without_rows(lives)
    finally:
        w.Keeper.own = page
    lives.now.proc.kill()
    lives.now.proc.wait()
    denied(lives.start(), m, handle)


def child_without_rows(lives):
    """Its start, up to READY, which does not come; nor does an answer."""
    class Mute(pp.Policy):
        def go(self, settings="", addresses="10.91.0.1/32"):
            lives.now = self
            w.send(self.control, "GO", w.text(settings) + w.text(addresses))
            with contextlib.closing(w.connect(self.path / "ctl.sock")) as s:
                w.send(s, "STATUS", ident=9)
                w.receive(s, timeout=1)
    Mute(lives.program, lives.folder, rows=lives.rows)


def test_p2_a_session_that_ends_without_audit_is_closed_later(lives):
    m, handle = lives.login()
    lives.forge(lives.row("1/"), expired)
    policy = lives.next()
    policy.audit.close()
    policy.wait_status(audit=False)
    m.kill()
    policy.wait_status(sessions=0)
    lives.kept("1/")    # not forgotten yet: there was nobody to tell
    policy.audit = policy.link("audit")
    lives.kept("1/", 0)
    end = time.monotonic() + 20
    while policy.keeper.settled == 0:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_p9_what_audit_lost_is_told_again(lives):
    """audit dies with a session's lines unread: the next one gets them."""
    policy = lives.now
    own, w.Keeper.own = w.Keeper.own, lambda self, m: m.name == "KEEP" or \
        own(self, m)
    try:
        m, handle = policy.login()
    finally:
        w.Keeper.own = own
    assert lives.rows == {}
    policy.audit.close()
    policy.wait_status(audit=False)
    policy.audit = policy.link("audit")
    lives.kept("1/")
    lives.kept("2/")
    denied(lives.next(), m, handle)


def test_a_reload_of_the_policy_between_two_lives(lives):
    """What a session may is what the policy of now says."""
    m, handle = lives.login()
    policy = lives.next(policy=pp.POLICY.replace("7712345", "7712346"))
    assert "identity" not in denied(policy, m, handle, ALLOWED)


def test_p9_many_pages(lives):
    """More rows than one answer holds, in the order in which they need each
    other."""
    handles = []
    for i in range(30):
        m, handle = lives.now.login(token=f"{i:064x}")
        handles.append((m, handle))
    lives.kept("2/", 30)
    policy = lives.next()
    assert policy.status()["sessions"] == 30
    denied(policy, *handles[0])
    denied(policy, *handles[-1])
    # Another connection's handle is as worthless as before.
    nobody(handles[3][0], handles[4][1])
