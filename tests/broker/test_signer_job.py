"""postern-signer and the certificates of jobs, with this test as its policy.
Promise 5: whatever policy asks for, it signs these in one shape, for the names
that its own reading of the rules gives those identities."""
import base64
import pathlib
import struct
import subprocess
import sys
import time

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import test_signer_process as ts  # noqa: E402
import wire as w  # noqa: E402

pytestmark = ts.pytestmark
program, ca = ts.program, ts.ca

SESSION = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
SERIAL = 0x4C61EFB99302BD5B     # the last 64 bits of that
COMMIT = "1f0c7a2e9b3d4c5f60718293a4b5c6d7e8f90a1b"
POLICY = ts.POLICY.replace("allow any for shop on *", """
identity ops from github { claim repository_id = "8" }
identity idle from github { claim repository_id = "9" }
allow fix for ops on root+web-1 { run /usr/bin/id }
allow any for shop on @web""").replace(
    "login root }}", "login root }}").replace(
    "login root }", "login root; group web }").replace(
    "principals plain }", "principals plain; group web }")


def pub(key):
    """The SSH blob of a key's public half."""
    line = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return base64.b64decode(line.split()[1])


KEY = ed25519.Ed25519PrivateKey.generate()


@pytest.fixture(scope="module")
def job():
    return ed25519.Ed25519PrivateKey.generate()


@pytest.fixture
def signer(tmp_path, program, ca, job, monkeypatch):
    tmp_path.chmod(0o755)
    monkeypatch.setattr(ts, "POLICY", POLICY)
    it = ts.Signer(program, tmp_path, ca, job=job)
    yield it
    if it.alive():
        assert it.stop() == 0
    else:
        it.stop()


def body(session=SESSION, commit=COMMIT, source="", seconds=900,
         identities=("shop",), blob=None):
    return (w.text(session) + w.text(commit) + w.text(source) +
            w.u32(seconds) + w.u32(len(identities)) +
            b"".join(w.text(i) for i in identities) +
            w.text(pub(KEY) if blob is None else blob))


def ask(signer, ident=7, **more):
    """(result, blob, more, reason)"""
    w.send(signer.policy, "JOB_CERT", body(**more), ident=ident)
    m = w.expect(signer.policy, "JOB_CERT_MADE")
    assert (m.id, m.fds) == (ident, [])
    out = m.u32(), m.bytes(), m.u8(), m.text()
    m.end()
    assert (out[0] == 0) == (out[3] == "") == (out[1] != b"")
    return out


def signed(signer, job, **more):
    return ts.Certificate(ask(signer, **more)[1], job)


def test_p5_job_certificate_is_exact(signer, job):
    now = time.time()
    cert = signed(signer, job)
    assert cert.kind == "ssh-ed25519-cert-v01@openssh.com"
    assert cert.key == [pub(KEY)[-32:]] and len(cert.nonce) == 32
    assert (cert.type, cert.serial) == (1, SERIAL)
    assert cert.key_id == (f"postern session={SESSION} identity=shop "
                           f"commit={COMMIT}")
    assert cert.principals == ["postern", "web-1", "deploy+web-1", "plain-1",
                               "deploy+plain-1"]
    assert cert.critical == {} and cert.extensions == {"permit-pty": ""}
    assert now - 61 <= cert.after <= now
    assert now + 899 <= cert.before <= now + 901


def test_as_openssh_reads_it(signer, tmp_path):
    (tmp_path / "cert.pub").write_text(
        "ssh-ed25519-cert-v01@openssh.com " +
        base64.b64encode(ask(signer, source="10.91.0.4")[1]).decode() + "\n")
    shown = subprocess.run(["ssh-keygen", "-L", "-f", tmp_path / "cert.pub"],
                           check=True, capture_output=True, text=True).stdout
    lines = [x.strip() for x in shown.splitlines()]
    assert f"Serial: {SERIAL}" in lines
    assert "source-address 10.91.0.4" in lines
    assert lines[-2:] == ["Extensions:", "permit-pty"]


@pytest.mark.parametrize("key", [
    ec.generate_private_key(ec.SECP256R1()),
    ec.generate_private_key(ec.SECP384R1()),
    ec.generate_private_key(ec.SECP521R1()),
    rsa.generate_private_key(65537, 2048)], ids=["256", "384", "521", "rsa"])
def test_keys_of_jobs(signer, job, key):
    cert = signed(signer, job, blob=pub(key))
    kind, blob = cert.kind.removesuffix("-cert-v01@openssh.com"), pub(key)
    assert blob == b"".join(struct.pack(">I", len(x)) + x
                            for x in [kind.encode(), *cert.key])


@pytest.mark.parametrize("blob", [
    b"", b"x" * 51, pub(KEY)[:-1], pub(KEY) + b"x",
    pub(rsa.generate_private_key(65537, 1024)),
    pub(KEY).replace(b"ssh-ed25519", b"ssh-ed25518"),
], ids=["none", "junk", "short", "long", "weak", "kind"])
def test_p5_what_is_no_key(signer, blob):
    result, _, _, reason = ask(signer, blob=blob)
    assert result != 0 and "the key" in reason and signer.alive()


@pytest.mark.parametrize("asked, names", [
    (["ops"], ["postern", "root+web-1"]),
    (["idle"], ["postern"]),
    (["shop", "ops"], ["postern", "web-1", "deploy+web-1", "root+web-1",
                       "plain-1", "deploy+plain-1"]),
    (["ops", "ops"], ["postern", "root+web-1"])])
def test_p5_names_are_those_of_the_rules(signer, job, asked, names):
    cert = signed(signer, job, identities=asked)
    assert cert.principals == names
    assert f" identity={asked[0]} " in cert.key_id


def test_p5_limits(signer, job):
    for wrong, says in (
            ({"seconds": 0}, "lifetime"), ({"seconds": 901}, "lifetime"),
            ({"seconds": 2**32 - 1}, "lifetime"),
            ({"identities": []}, "no identity"),
            ({"identities": ["nobody"]}, "no such identity"),
            ({"identities": ["shop", "nobody"]}, "no such identity"),
            ({"source": "10.0.0.0/8"}, "one address"),
            ({"source": "10.0.0.1,10.0.0.2"}, "one address"),
            ({"source": "example.org"}, "could not be signed"),
            ({"session": "0" * 26}, "could not be signed"),
            ({"session": "x"}, "could not be signed")):
        result, _, _, reason = ask(signer, **wrong)
        assert result != 0 and says in reason, wrong
    cert = signed(signer, job, seconds=1, source="2001:db8::4")
    assert cert.before - cert.after == 61
    assert cert.critical == {"source-address": "2001:db8::4"}


@pytest.mark.parametrize("commit", ["", "a b", "x\ny", "\x1b[m", "y" * 101])
def test_p8_commits_that_are_none(signer, job, commit):
    assert signed(signer, job, commit=commit).key_id == \
        f"postern session={SESSION} identity=shop"


def test_p10_identities_are_bounded(signer, job):
    assert signed(signer, job, identities=["shop"] * 256)
    w.send(signer.policy, "JOB_CERT", body(identities=["shop"] * 257))
    assert signer.proc.wait(10) != 0


def test_p10_names_are_bounded(signer, job):
    """256 principals are what sshd reads; where there are more, the first ones
    are in the certificate, and policy hears that there are more."""
    many = "".join(f'target t-{i} {{ ssh "deploy@10.0.0.1:22"; {ts.PIN}; '
                   "group web }\n" for i in range(253))
    ts.write_policy(signer.policy_folder, POLICY + many)
    signer.reload(signer.policy_folder)
    _, blob, more, _ = ask(signer)
    names = ts.Certificate(blob, job).principals
    # all the targets, but no second name for each
    assert len(names) == len(set(names)) == 256 and more == 0
    assert names[:3] == ["postern", "web-1", "plain-1"]
    ts.write_policy(signer.policy_folder, POLICY + many + many.replace(
        " t-", " u-"))
    signer.reload(signer.policy_folder)
    _, blob, more, _ = ask(signer)
    names = ts.Certificate(blob, job).principals
    assert len(names) == 256 and more == 1 and names[-1] == "t-252"


def test_p5_each_key_signs_its_own(signer, ca, job):
    """Operations by the one, jobs by the other."""
    assert ts.signed(signer.grant(), ca).principals == ["deploy+web-1"]
    assert signed(signer, job).serial == SERIAL


def test_without_that_key(tmp_path, program, ca):
    tmp_path.chmod(0o755)
    it = ts.Signer(program, tmp_path, ca)
    result, _, _, reason = ask(it)
    assert result != 0 and "postern ca init" in reason
    ts.signed(it.grant(), ca)
    assert it.stop() == 0


def test_one_answer_each(signer, job):
    for i in range(3):
        w.send(signer.policy, "JOB_CERT", body(), ident=i)
    for i in range(3):
        assert w.expect(signer.policy, "JOB_CERT_MADE").id == i
    w.silent(signer.policy, 0.2)
