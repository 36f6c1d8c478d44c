"""Job certificates in postern-policy, with this test as the signer, audit, the
PAM module and the shells: what it asks, what it gives, and to whom a
certificate opens a connection."""
import base64
import hashlib
import os
import pathlib
import sys
import time

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import test_policy_process as pp  # noqa: E402
import wire as w  # noqa: E402
from test_policy_process import SOURCE, message, refused, run_body  # noqa: E402

pytestmark = pp.pytestmark
program, policy = pp.program, pp.policy
DENIED, USAGE, TEMPFAIL, IOERR = 77, 64, 75, 74
CA = ed25519.Ed25519PrivateKey.generate()


def raw(key):
    return key.public_key().public_bytes(
        serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def key_blob(key):
    return w.text("ssh-ed25519") + w.text(raw(key))


KEY = ed25519.Ed25519PrivateKey.generate()
LINE = "ssh-ed25519 " + base64.b64encode(key_blob(KEY)).decode() + " job\n"


def certificate(session, key=KEY, ca=CA, **more):
    """What the signer would make."""
    return w.job_certificate(session, raw(key), key_blob(ca), ca.sign, **more)


def info(blob, method="publickey ssh-ed25519-cert-v01@openssh.com "):
    return method + base64.b64encode(blob).decode() + "\n"


class Asked:
    """JOB_CERT, read."""

    def __init__(self, policy, timeout=20):
        m = self.m = w.expect(policy.signer, "JOB_CERT", timeout)
        self.session, self.commit, self.source = m.text(), m.text(), m.text()
        self.seconds = m.u32()
        self.identities = [m.text() for _ in range(m.u32())]
        self.key = m.bytes()
        m.end()
        self.policy = policy

    def answer(self, blob=None, result=0, more=0, reason="", **made):
        if blob is None:
            blob = b"" if result else certificate(self.session, **made)
        w.send(self.policy.signer, "JOB_CERT_MADE", w.u32(result) +
               w.text(blob) + w.u8(more) + w.text(reason), ident=self.m.id)
        return blob


def ask(m, handle, text=LINE):
    return m.shell(message("RUN", run_body(handle, text, kind=3)))


def given(policy, m, handle, **made):
    """A certificate, all the way; and its event."""
    conn = ask(m, handle)
    blob = Asked(policy).answer(**made)
    e = policy.heard("certificate.issue")
    got = w.expect(conn, "ANSWER")
    assert (got.u32(), got.text()) == (
        0, f"ssh-ed25519-cert-v01@openssh.com {base64.b64encode(blob).decode()}"
        f" postern-{e['session']}\n")
    return blob, e


@pytest.fixture
def logged_in(policy):
    return policy.login("postern")


def test_what_the_signer_is_asked(policy, logged_in):
    m, handle = logged_in
    conn = ask(m, handle)
    a = Asked(policy)
    assert (a.commit, a.source, a.seconds) == ("a" * 40, "", 900)
    assert a.identities == ["shop"] and a.key == key_blob(KEY)
    blob = a.answer(more=1)
    e = policy.heard("certificate.issue")
    assert e["session"] == a.session and e["user"] == "postern"
    assert int(e["serial"]) == w.serial_of(a.session)
    assert e["principals"] == "postern,web-1" and e["lifetime_s"] == 900
    assert e["key"] == "SHA256:" + base64.b64encode(hashlib.sha256(
        key_blob(KEY)).digest()).decode().rstrip("=")
    got = w.expect(conn, "ANSWER")
    assert got.u32() == 0 and base64.b64encode(blob).decode() in got.text()
    assert "more names" in got.text()       # on stderr
    assert w.receive(conn) is None


def test_5_nothing_is_given_before_it_is_written_down(policy, logged_in):
    m, handle = logged_in
    conn = ask(m, handle)
    blob = Asked(policy).answer()
    event = w.expect(policy.audit, "EVENT")
    w.silent(conn, 0.3)
    assert m.open("", info=info(blob))[0] == 0      # the session has it
    policy.heard("certificate.login")
    w.send(policy.audit, "EVENT_DONE", w.u32(9) + w.u64(0), ident=event.id)
    assert "ledger" in refused(conn, IOERR)
    assert m.open("", info=info(blob))[0] != 0      # and has it no more
    policy.heard("login.refused")


@pytest.mark.parametrize("made", [
    {"serial": 1}, {"key": ed25519.Ed25519PrivateKey.generate()},
    {"command": "'id'"}], ids=["serial", "key", "command"])
def test_5_what_was_not_asked_for_is_not_given(policy, logged_in, made):
    conn = ask(*logged_in)
    Asked(policy).answer(**made)
    assert "could not be made" in refused(conn, TEMPFAIL)
    w.silent(policy.audit, 0.1)


def test_the_signer_refuses_or_talks_nonsense(policy, logged_in):
    m, handle = logged_in
    conn = ask(m, handle)
    Asked(policy).answer(result=1, reason="no CA\x1b[m key")
    err = refused(conn, TEMPFAIL)
    assert "no CA" in err and "\x1b" not in err
    for blob in (b"", b"junk", certificate("0" * 25 + "1")[:-1]):
        conn = ask(m, handle)
        Asked(policy).answer(blob)
        refused(conn, TEMPFAIL)
    assert policy.alive()


def test_without_a_signer(policy, logged_in):
    """It dies under way; there is none; there is another one."""
    m, handle = logged_in
    conn = ask(m, handle)
    late = Asked(policy)
    policy.signer.close()
    assert "restarted" in refused(conn, TEMPFAIL)
    refused(ask(m, handle), TEMPFAIL)
    policy.signer = policy.link("signer")
    conn = ask(m, handle)
    Asked(policy)
    policy.signer = policy.link("signer")   # replaced before it answered
    refused(conn, TEMPFAIL)
    assert late.session and given(policy, m, handle)


@pytest.mark.parametrize("text, says", [
    ("", "nothing on standard input"), ("x", "not a public key"),
    ("-----BEGIN OPENSSH PRIVATE KEY-----\nSECRET", "private key"),
    (LINE + LINE, "more than one line")])
def test_7_what_is_no_key_is_repeated_nowhere(policy, logged_in, text, says):
    err = refused(ask(*logged_in, text), USAGE)
    assert says in err and "SECRET" not in err
    assert "SECRET" not in policy.log()
    w.silent(policy.signer, 0.1)


def test_login_is_a_word_of_posterns_alone(policy):
    m, handle = policy.login("web-1")
    refused(ask(m, handle), USAGE)
    w.silent(policy.signer, 0.1)


def test_4_a_certificate_opens_a_connection(policy, logged_in):
    m, handle = logged_in
    blob, issue = given(policy, m, handle)
    other = policy.monitor()
    result, new = other.open("", "web-1", "10.9.9.9", info=info(blob))
    assert result == 0 and len(new) == 32 and new != handle
    e = policy.heard("certificate.login")
    assert (e["session"], e["key"], e["user"], e["source"]) == (
        issue["session"], issue["key"], "web-1", "10.9.9.9")
    conn = other.shell(message("RUN", run_body(new, "systemctl stop web")))
    d = policy.heard("operation.decide")
    assert (d["session"], d["key"], d["source"]) == (
        issue["session"], issue["key"], "10.9.9.9")
    refused(conn, DENIED)
    # The handle is the other monitor's; the certificate's is not a token's.
    conn = m.shell(message("RUN", run_body(new, "systemctl stop web")))
    refused(conn, DENIED)
    w.silent(policy.audit, 0.1)
    assert other.close(new) == 0


BY_OTHERS = {
    "another's": lambda s, b: certificate(s),
    "ca": lambda s, b: certificate(s, ca=ed25519.Ed25519PrivateKey.generate()),
    "bit": lambda s, b: b[:-1] + bytes([b[-1] ^ 1]),
    "longer": lambda s, b: b + b"\0",
    "cut": lambda s, b: b[:-1],
    "empty": lambda s, b: b"",
    "junk": lambda s, b: b"junk",
}


@pytest.mark.parametrize("what", BY_OTHERS)
def test_5_only_that_very_certificate(policy, logged_in, what):
    m, handle = logged_in
    blob, e = given(policy, m, handle)
    assert m.open("", info=info(BY_OTHERS[what](e["session"], blob))) == (1, "")
    refusal = policy.heard("login.refused")
    assert refusal["user"] == "web-1" and refusal["reason"]


@pytest.mark.parametrize("text", [
    "", "keyboard-interactive/pam\n", "publickey ssh-ed25519 AAAA\n",
    "publickey", "publickey \n", "publickey  \n", "x" * 30000])
def test_no_certificate_is_shown(policy, logged_in, text):
    m, handle = logged_in
    assert m.open("", info=text) == (1, "")
    assert policy.heard("login.refused")["reason"] == \
        "sshd shows no certificate"


def test_the_form_of_what_sshd_shows(policy, logged_in):
    m, handle = logged_in
    blob, _ = given(policy, m, handle)
    good = info(blob)
    for bad in (good[:-1], good + "\n", good * 2, good + good[10:],
                good.replace("ssh-ed25519-cert", "ssh-rsa-cert"),
                good.replace("publickey ", "publickey  "),
                good.replace(" AAAA", " AAA")):
        assert m.open("", info=bad) == (1, ""), bad
        policy.heard("login.refused")
    assert m.open("", info=good)[0] == 0


@pytest.mark.parametrize("made, user, source, says", [
    ({}, "web-2", SOURCE, "user name"), ({}, "root+web-1", SOURCE, "user name"),
    ({}, "", SOURCE, "user name"),
    ({"source": "10.0.3.4"}, "web-1", "10.0.3.5", "source address"),
    ({"before": int(time.time()) - 1}, "web-1", SOURCE, "expired")])
def test_what_it_says_holds_here_too(policy, logged_in, made, user, source,
                                     says):
    """sshd has seen to all of this; policy does not rely on it."""
    m, handle = logged_in
    blob, _ = given(policy, m, handle, **made)
    assert m.open("", user, source, info=info(blob)) == (1, "")
    assert says in policy.heard("login.refused")["reason"]


def test_a_token_login_does_not_look_at_what_is_shown(policy):
    m, handle = policy.login("postern")
    blob, _ = given(policy, m, handle)
    _, pending, _ = policy.new("web-1")
    assert m.open("f" * 32, info=info(blob))[0] != 0
    assert m.open(pending, info=info(blob)) == (0, pending)


def test_10_certificates_are_bounded(policy, logged_in):
    m, handle = logged_in
    blobs = [given(policy, m, handle)[0] for _ in range(15)]
    first, second = ask(m, handle), ask(m, handle)  # one of the two too many
    err = refused(second, TEMPFAIL)
    assert "16 certificates" in err and "wait 1 s" not in err
    Asked(policy).answer()
    policy.heard("certificate.issue")
    assert w.expect(first, "ANSWER").u32() == 0
    refused(ask(m, handle), TEMPFAIL)
    assert m.open("", info=info(blobs[0]))[0] == 0


def test_a_job_that_leaves_meanwhile(policy, logged_in):
    """What nobody got opens nothing, and counts for nothing."""
    m, handle = logged_in
    conn = ask(m, handle)
    a = Asked(policy)
    conn.close()
    m.kill()    # its shell, and the monitor
    n, h2 = policy.login("postern", first=False)
    blob = a.answer()
    assert n.open("", info=info(blob))[0] != 0
    policy.heard("login.refused")
    assert given(policy, n, h2)


def test_without_an_identity(policy, logged_in):
    """The policy has another one now: what was given opens nothing, and no
    other is given."""
    m, handle = logged_in
    blob, _ = given(policy, m, handle)
    policy.write(pp.POLICY.replace('"7712345"', '"1"'))
    policy.reload(policy.path / "policy")
    policy.heard("policy.load")
    refused(ask(m, handle), DENIED)
    assert m.open("", info=info(blob)) == (1, "")
    assert "no identity" in policy.heard("login.refused")["reason"]


def test_settings(tmp_path, program):
    it = pp.Policy(program, tmp_path, "certificate-lifetime 2m\n"
                   "certificate-source same\nsession-max 60s\n")
    m, handle = it.login("postern")
    ask(m, handle)
    a = Asked(it)
    assert a.source == SOURCE and 50 <= a.seconds <= 60    # its session's end
    it.stop()


def test_9_certificates_are_taken_over(tmp_path, program):
    """The next policy process has the session, and what it was given."""
    rows = {}
    it = pp.Policy(program, tmp_path, rows=rows)
    m, handle = it.login("postern")
    blob, e = given(it, m, handle)
    assert m.open("", info=info(blob))[0] == 0
    it.heard("certificate.login")
    end = time.monotonic() + 20
    while len([k for k in rows if k[0] == "2"]) < 2:
        assert time.monotonic() < end
        time.sleep(0.01)
    it.proc.kill()
    it.proc.wait()
    m.kill()
    monitors, it.monitors = it.monitors, []
    it = pp.Policy(program, tmp_path, rows=rows)
    assert it.status()["sessions"] == 1     # without any connection
    n = it.monitor()
    result, new = n.open("", info=info(blob))
    assert result == 0 and it.heard("certificate.login")["session"] == \
        e["session"]
    conn = n.shell(message("RUN", run_body(new, "systemctl stop web")))
    assert it.heard("operation.decide")["key"] == e["key"]
    refused(conn, DENIED)
    assert monitors and it.stop() == 0
