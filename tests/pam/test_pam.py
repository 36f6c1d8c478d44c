"""pam_postern.so, loaded through libpam as sshd does, with a conversation and
a broker of the test's own: what every function returns in every case, what is
asked, what is said, and what is sent."""
import ctypes
import os
import pathlib
import socket
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "shell"))
import wire  # noqa: E402

BUILD = pathlib.Path(os.environ.get("POSTERN_BUILD", "build")).resolve()
MODULE = BUILD / "pam/.libs/pam_postern.so"

pytestmark = pytest.mark.skipif(not MODULE.exists(), reason="not built")

SUCCESS, SERVICE_ERR, PERM_DENIED, AUTH_ERR, SESSION_ERR = 0, 3, 6, 7, 14
CONV_ERR = 19
PROMPT_ECHO_OFF, ERROR_MSG = 1, 3
RHOST = 4
REFUSAL = (b"postern: this token opens no session here; check its audience, "
           b"issuer and lifetime (the reason is in the bastion's ledger)")
UNJUDGED = (b"postern: this bastion cannot judge tokens just now, so no session "
            b"was opened; try again in a minute, and tell the bastion's admin "
            b"if it stays so")
UNOPENED = (b"postern: nothing was run: this connection got no session here; "
            b"log in again, and tell the bastion's admin if it stays so (the "
            b"reason is in the bastion's log)")
UNKNOWN = (b"postern: nothing was run: this certificate opens no session here; "
           b"its session is over, or it is for another name or address; get a "
           b"new one with a token: ssh postern@BASTION login < key.pub (the "
           b"reason is in the bastion's ledger)")
JUNK = b"\b\n\r\x7fINCORRECT"


class Msg(ctypes.Structure):
    _fields_ = [("style", ctypes.c_int), ("msg", ctypes.c_char_p)]


class Resp(ctypes.Structure):
    _fields_ = [("resp", ctypes.c_void_p), ("retcode", ctypes.c_int)]


CONV = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.POINTER(Msg)),
    ctypes.POINTER(ctypes.POINTER(Resp)), ctypes.c_void_p)


class Conv(ctypes.Structure):
    _fields_ = [("conv", CONV), ("data", ctypes.c_void_p)]


libc = ctypes.CDLL(None)
libc.calloc.restype = ctypes.c_void_p
libpam = ctypes.CDLL("libpam.so.0")
libpam.pam_getenv.restype = ctypes.c_char_p


class Pam:
    """One PAM handle.  answers: the parts, in order; None breaks off."""

    def __init__(self, folder, options="", user="web-1", rhost="192.0.2.7",
                 answers=()):
        self.answers, self.prompts, self.said = list(answers), [], []
        (folder / "postern-test").write_text("".join(
            f"{kind} required {MODULE} run={folder} {options}\n"
            for kind in ("auth", "account", "session", "password")))
        self.conv = Conv(CONV(self._converse), None)
        self.handle = ctypes.c_void_p()
        assert libpam.pam_start_confdir(
            b"postern-test", user.encode(), ctypes.byref(self.conv),
            str(folder).encode(), ctypes.byref(self.handle)) == SUCCESS
        if rhost is not None:
            assert libpam.pam_set_item(self.handle, RHOST,
                                       rhost.encode()) == SUCCESS

    def _converse(self, count, messages, responses, _):
        assert count == 1
        m = messages[0][0]
        resp = ctypes.cast(libc.calloc(1, ctypes.sizeof(Resp)),
                           ctypes.POINTER(Resp))
        responses[0] = resp
        if m.style == PROMPT_ECHO_OFF:
            self.prompts.append(m.msg)
            answer = self.answers.pop(0) if self.answers else b""
            if answer is None:
                return CONV_ERR
            p = libc.calloc(1, len(answer) + 1)
            ctypes.memmove(p, answer, len(answer))
            resp[0].resp = p
        else:
            assert m.style == ERROR_MSG
            self.said.append(m.msg)
        return SUCCESS

    def __getattr__(self, name):
        f = getattr(libpam, "pam_" + name)
        return lambda *a: f(self.handle, *a)

    def session(self):
        return self.getenv(b"POSTERN_SESSION")


@pytest.fixture
def broker(tmp_path):
    b = wire.Broker(tmp_path)
    yield b
    b.close()


def fresh(n, start=0):
    return bytes(33 + (i * 7 + i // 90) % 90 for i in range(start, start + n))


# -- authenticate -------------------------------------------------------------

GOOD = [
    [fresh(1000), fresh(1000, 1000), fresh(51, 2000)],
    [fresh(2050)],
    [fresh(5)],
    [fresh(1000), b""],
    [fresh(16384)],
    [fresh(1000, 1000 * i) for i in range(15)] + [fresh(999, 15000)],
]


@pytest.mark.parametrize("parts", GOOD, ids=lambda p: f"{len(p)}x{len(p[0])}")
def test_let_in(broker, tmp_path, parts):
    p = Pam(tmp_path, answers=parts + [b"not asked"])
    assert p.authenticate(0) == SUCCESS
    assert p.prompts == [b"token part %d:" % (n + 1)
                         for n in range(len(parts))]
    assert p.said == []
    assert p.session() == broker.HANDLE.encode()
    (m,) = broker.heard
    assert (m.type, m.user, m.source) == (wire.LOGIN, b"web-1", b"192.0.2.7")
    assert (m.token, m.parts, m.trouble) == (b"".join(parts), len(parts), b"")
    assert p.setcred(2) == SUCCESS and p.acct_mgmt(0) == SUCCESS


BAD = {
    "empty": ([b""], b"the first part is empty"),
    "cut": ([fresh(1023), fresh(1023), b""], b"a part has 1023 bytes"),
    "cut, last": ([fresh(1000), fresh(1023), b""], b"a part has 1023 bytes"),
    "same": ([fresh(1000)] * 2 + [b""], b"a part is the same"),
    "same, on and on": ([fresh(1000)] * 20, b"a part is the same"),
    "junk": ([(JUNK * 99)[:1000], (JUNK * 99)[:51]], b"sshd refuses this"),
    "junk, whole": ([(JUNK * 200)[:2050]], b"sshd refuses this user name"),
    "too long": ([fresh(16385)], b"the token is longer than 16 KiB"),
    "too many": ([fresh(1000, 1000 * i) for i in range(20)],
                 b"the token has more than 16 parts"),
}


@pytest.mark.parametrize("name", BAD)
def test_trouble(broker, tmp_path, name):
    """oidc is asked as always, without a token; its yes would not help."""
    parts, trouble = BAD[name]
    p = Pam(tmp_path, "floor=0", answers=parts)
    assert p.authenticate(0) == AUTH_ERR
    assert p.said == [REFUSAL] and p.session() is None
    (m,) = broker.heard
    assert m.trouble.startswith(trouble) and m.token == b""
    assert m.parts == len(p.prompts) == min(len(parts), 16)


@pytest.mark.parametrize("user", ["Web-1", "a+b+c", "_x", "x" * 500, "a\nb"])
def test_name_that_is_none(broker, tmp_path, user):
    p = Pam(tmp_path, "floor=0", user=user, answers=[fresh(5)])
    assert p.authenticate(0) == AUTH_ERR
    (m,) = broker.heard
    assert m.user == user.encode()[:63] and m.token == b""
    assert m.trouble == b"the user name is not TARGET or LOGIN+TARGET"


@pytest.mark.parametrize("handle", [
    "", "0", wire.Broker.HANDLE[1:], wire.Broker.HANDLE + "0",
    wire.Broker.HANDLE.upper(), "g" * 32, "a" * 31 + "\n", "A" * 200])
def test_yes_without_a_handle(broker, tmp_path, handle):
    broker.login = lambda m: (0, handle)
    p = Pam(tmp_path, "floor=0", answers=[fresh(5)])
    assert p.authenticate(0) == AUTH_ERR and p.session() is None


@pytest.mark.parametrize("result", [1, 13, 0xffffffff])
def test_no(broker, tmp_path, result):
    broker.login = lambda m: (result, broker.HANDLE)
    p = Pam(tmp_path, "floor=0", answers=[fresh(5)])
    assert p.authenticate(0) == AUTH_ERR
    assert p.said == [REFUSAL] and p.session() is None


ODD = {
    "end of file": b"",
    "wrong type": b"\0\1\0\x33\0\0\0\0" + wire.number(0) +
                  wire.string(wire.Broker.HANDLE),
    "wrong version": b"\0\2\0\x21\0\0\0\0" + wire.number(0) +
                     wire.string(wire.Broker.HANDLE),
    "wrong id": b"\0\1\0\x21\0\0\0\1" + wire.number(0) +
                wire.string(wire.Broker.HANDLE),
    "leftover": b"\0\1\0\x21\0\0\0\0" + wire.number(0) +
                wire.string(wire.Broker.HANDLE) + b"\0",
    "no fields": b"\0\1\0\x21\0\0\0\0",
    "half a field": b"\0\1\0\x21\0\0\0\0" + wire.number(0) + b"\0\0\0\x20abc",
}


@pytest.mark.parametrize("name", ODD)
def test_answer_that_is_none(tmp_path, name):
    def handle(conn):
        wire.receive(conn)
        if ODD[name]:
            conn.sendall(ODD[name])
    x = wire.Listener(tmp_path / "pam.sock", handle)
    p = Pam(tmp_path, "floor=0", answers=[fresh(5)])
    assert p.authenticate(0) == AUTH_ERR
    assert p.said == [UNJUDGED] and p.session() is None
    x.close()


def took(f):
    t = time.monotonic()
    return f(), time.monotonic() - t


def test_oidc_absent(tmp_path):
    p = Pam(tmp_path, "floor=250", answers=[fresh(5)])
    r, t = took(lambda: p.authenticate(0))
    assert r == AUTH_ERR and 0.248 <= t < 2 and p.said == [UNJUDGED]


def test_oidc_stalled(tmp_path):
    x = wire.Listener(tmp_path / "pam.sock", lambda conn: time.sleep(3))
    p = Pam(tmp_path, "deadline=300 floor=0", answers=[fresh(5)])
    r, t = took(lambda: p.authenticate(0))
    assert r == AUTH_ERR and 0.29 <= t < 2 and p.said == [UNJUDGED]
    x.close()


def test_oidc_does_not_accept(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.bind(str(tmp_path / "pam.sock"))
        s.listen(0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as filler:
            filler.connect(str(tmp_path / "pam.sock"))
            p = Pam(tmp_path, "deadline=300 floor=0", answers=[fresh(5)])
            r, t = took(lambda: p.authenticate(0))
    assert r == AUTH_ERR and 0.29 <= t < 2


@pytest.mark.parametrize("answers", [
    [fresh(5)], [b""], [fresh(1023), b""], [JUNK]], ids=repr)
def test_refusals_take_the_same_time(broker, tmp_path, answers):
    broker.login = lambda m: (1, "")
    p = Pam(tmp_path, answers=answers)
    r, t = took(lambda: p.authenticate(0))
    assert r == AUTH_ERR and 0.298 <= t < 1


def test_success_does_not_wait(broker, tmp_path):
    p = Pam(tmp_path, "floor=5000", answers=[fresh(5)])
    r, t = took(lambda: p.authenticate(0))
    assert r == SUCCESS and t < 2


@pytest.mark.parametrize("parts", [[None], [fresh(1000), None]], ids=len)
def test_nobody_answers(broker, tmp_path, parts):
    p = Pam(tmp_path, "floor=0", answers=parts)
    assert p.authenticate(0) == AUTH_ERR
    assert broker.heard == []


# -- account, session, password -----------------------------------------------


def test_account(broker, tmp_path):
    p = Pam(tmp_path)
    assert p.acct_mgmt(0) == SUCCESS  # a certificate login: gated later
    for text in (b"", b"x", broker.HANDLE.encode() + b"0"):
        assert p.putenv(b"POSTERN_SESSION=" + text) == SUCCESS
        assert p.acct_mgmt(0) == PERM_DENIED
    assert p.putenv(b"POSTERN_SESSION=" + broker.HANDLE.encode()) == SUCCESS
    assert p.acct_mgmt(0) == SUCCESS
    assert broker.heard == [] and p.said == []


def pid_of(pidfd):
    info = pathlib.Path(f"/proc/self/fdinfo/{pidfd}").read_text()
    return int(info.split("Pid:")[1].split()[0])


@pytest.mark.parametrize("handle, info", [
    (wire.Broker.HANDLE, b"keyboard-interactive/pam\n"),
    ("", b"publickey ssh-ed25519-cert-v01@openssh.com " + b"A" * 29000),
    ("", None)], ids=["token", "certificate", "nothing"])
def test_open_and_close(broker, tmp_path, handle, info):
    p = Pam(tmp_path)
    if handle:
        p.putenv(b"POSTERN_SESSION=" + handle.encode())
    if info is not None:
        p.putenv(b"SSH_AUTH_INFO_0=" + info)
    assert p.open_session(0) == SUCCESS
    assert p.session() == broker.SECOND.encode()
    (m,) = broker.heard
    assert m.type == wire.SESSION_OPEN
    assert (m.handle, m.user, m.source) == (handle.encode(), b"web-1",
                                            b"192.0.2.7")
    assert m.auth_info == (info or b"")
    assert len(m.fds) == 1 and pid_of(m.fds[0]) == os.getpid()
    os.close(m.fds[0])
    assert p.close_session(0) == SUCCESS
    assert broker.heard[1].type == wire.SESSION_CLOSE
    assert broker.heard[1].handle == broker.SECOND.encode()
    assert p.said == []


def test_open_refused(broker, tmp_path):
    p = Pam(tmp_path)
    p.putenv(b"POSTERN_SESSION=" + broker.HANDLE.encode())
    for answer in ((1, broker.SECOND), (0, ""), (0, "x" * 32)):
        broker.open = lambda m, a=answer: a
        assert p.open_session(0) == SESSION_ERR
        assert p.session() == broker.HANDLE.encode()
    p.putenv(b"POSTERN_SESSION=foreign")
    assert p.open_session(0) == SESSION_ERR
    assert len(broker.heard) == 3
    assert p.said == [UNOPENED] * 4


def test_open_with_a_certificate_that_does_not_fit(broker, tmp_path):
    p = Pam(tmp_path)
    p.putenv(b"SSH_AUTH_INFO_0=" + b"A" * 40000)
    assert p.open_session(0) == SESSION_ERR
    assert broker.heard == [] and p.said == [UNOPENED]


def test_a_certificate_that_opens_nothing(broker, tmp_path):
    """Policy's no has other words than a policy that is not there."""
    p = Pam(tmp_path)
    p.putenv(b"SSH_AUTH_INFO_0=publickey ssh-ed25519-cert-v01@openssh.com A\n")
    broker.open = lambda m: (1, "")
    assert p.open_session(0) == SESSION_ERR
    assert p.said == [UNKNOWN] and p.session() is None
    broker.open = lambda m: (0, "x")
    assert p.open_session(0) == SESSION_ERR
    assert p.said == [UNKNOWN, UNOPENED]


def test_policy_absent(tmp_path):
    p = Pam(tmp_path)
    assert p.open_session(0) == SESSION_ERR
    assert p.close_session(0) == SESSION_ERR
    assert p.said == [UNOPENED]


def test_close_does_not_hang(tmp_path):
    x = wire.Listener(tmp_path / "session.sock", lambda conn: time.sleep(5))
    p = Pam(tmp_path, "deadline=25000")
    r, t = took(lambda: p.close_session(0))
    assert r == SESSION_ERR and t < 3.5
    x.close()


def test_password(broker, tmp_path):
    assert Pam(tmp_path).chauthtok(0) == PERM_DENIED


@pytest.mark.parametrize("option", ["debug", "floor=x", "deadline=1",
                                    "run=relative"])
def test_bad_option(broker, tmp_path, option):
    p = Pam(tmp_path, option, answers=[fresh(5)])
    for f in (p.authenticate, p.acct_mgmt, p.open_session, p.close_session):
        assert f(0) == SERVICE_ERR
    assert p.prompts == [] and broker.heard == []


def test_no_source(broker, tmp_path):
    p = Pam(tmp_path, rhost=None, answers=[fresh(5)])
    assert p.authenticate(0) == SUCCESS
    assert broker.heard[0].source == b""


def test_no_descriptor_is_left(broker, tmp_path):
    def count():
        for _ in range(100):  # the broker's threads close theirs
            n = len(os.listdir("/proc/self/fd"))
            if n <= before:
                return n
            time.sleep(0.01)
        return n
    before = len(os.listdir("/proc/self/fd"))
    for answers in ([fresh(5)], [b""], [None]):
        p = Pam(tmp_path, "floor=0", answers=answers)
        p.authenticate(0)
        p.open_session(0)
        p.close_session(0)
        p.end(0)
    for m in broker.all(wire.SESSION_OPEN):
        for fd in m.fds:
            os.close(fd)
    assert count() == before
