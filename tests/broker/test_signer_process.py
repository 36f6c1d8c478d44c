"""postern-signer as a process, with this test as its parent, policy and the
hops.  Promise 5: it signs nothing that policy did not grant; one grant, one
certificate."""
import base64
import os
import pathlib
import pwd
import resource
import socket
import struct
import subprocess
import sys
import time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import wire as w  # noqa: E402

BUILD = pathlib.Path(os.environ.get("POSTERN_BUILD", "build")).resolve()
BUILT = BUILD / "broker/postern-signer"

pytestmark = pytest.mark.skipif(
    not os.environ.get("POSTERN_INSIDE") or not BUILT.exists(),
    reason="runs in tests/broker/floor.sh, over a build")

OPERATION = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
PIN = "hostkey ssh-ed25519 \"SHA256:Iqa3gjbrQfns01VnUq4pXClhTXeRLWlnVqBNps45L9U\""
POLICY = f"""policy 1
issuer github {{ preset github; audience "bastion.acme.example" }}
identity shop from github {{ claim repository_id = "7712345" }}
target web-1 {{ ssh "deploy@10.91.0.2:22"; {PIN}; login root }}
target plain-1 {{ ssh "deploy@10.91.0.3:22"; {PIN}; principals plain }}
target far-1 {{ ssh "deploy@10.91.0.4:22"; {PIN}; seen-from "198.51.100.7/32" }}
target six-1 {{ ssh "deploy@[2001:db8::2]:22"; {PIN} }}
target named-1 {{ ssh "deploy@web.acme.example:22"; {PIN} }}
target files-1 {{ ssh "deploy@10.91.0.8:22"; {PIN}; sftp /opt/sftp-server }}
target inner-1 {{ ssh "deploy@10.91.0.8:22"; {PIN}; sftp internal }}
target fish-1 {{ ssh "deploy@10.91.0.6:22"; {PIN}; shell fish }}
target csh-1 {{ ssh "deploy@10.91.0.6:22"; {PIN}; shell csh }}
target self-1 {{ ssh "deploy@127.0.0.1:22"; {PIN} }}
allow any for shop on * {{ run /usr/bin/true }}
"""
ADDRESSES = "127.0.0.1/32,10.91.0.1/32,192.0.2.9/32,::1/128,2001:db8::1/128"
COMMAND = "'/usr/bin/true' 'it'\\''s'"


@pytest.fixture(scope="module")
def program():
    return w.install(BUILT, "/opt/postern-signer")


@pytest.fixture(scope="module")
def ca():
    return ed25519.Ed25519PrivateKey.generate()


def write_policy(folder, text):
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    (folder / "a.postern").write_text(text)
    (folder / "a.postern").chmod(0o644)


class Signer(w.Child):
    def __init__(self, program, folder, ca, settings="", key=True, job=None,
                 **more):
        super().__init__(program, folder / "log",
                         pwd.getpwnam("_postern-sign").pw_uid, **more)
        self.policy_folder = folder / "policy"
        write_policy(self.policy_folder, POLICY)
        self.folder("policy", self.policy_folder)
        for name, private in (("target", ca if key else None), ("job", job)):
            if private is None:
                continue
            pem = folder / f"{name}.pem"
            pem.write_bytes(private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption()))
            pem.chmod(0o600)
            self.folder(pem.name, pem)
        self.policy = self.link("policy")
        self.go(settings, ADDRESSES)
        w.expect(self.policy, "CA_IS")

    def grant(self, **more):
        """Our end of the certificate socket that the grant came with."""
        hop, theirs = w.pair()
        w.send(self.policy, "GRANT", grant(**more), [theirs.fileno()])
        theirs.close()
        return hop

    def stop(self):
        """Policy has ended before, as posternd sees to."""
        self.policy.close()
        return super().stop()


def grant(operation=OPERATION, target="web-1", login="deploy",
          principal="deploy+web-1", command=COMMAND, pty=0, serial=4711,
          key_id="postern operation=" + OPERATION, what=0):
    return (w.text(operation) + w.text(target) + w.text(login) +
            w.text(principal) + w.text(command) + w.u8(pty) + w.u64(serial) +
            w.text(key_id) + w.u8(what))


def test_what_comes_before_go_waits_for_it(tmp_path, program, ca):
    """A sibling has its link before the process knows its policy, and before
    it is confined."""
    tmp_path.chmod(0o755)

    class Late(Signer):
        def go(self, settings="", addresses=""):
            self.hop = self.grant()
            w.send(self.hop, "CERT_REQUEST", w.text(KEY), ident=7)
            w.silent(self.hop, 0.5)
            return super().go(settings, addresses)

    it = Late(program, tmp_path, ca)
    m = w.expect(it.hop, "CERT")
    assert (m.id, m.u32()) == (7, 0)
    assert it.stop() == 0


@pytest.fixture
def signer(tmp_path, program, ca):
    tmp_path.chmod(0o755)
    it = Signer(program, tmp_path, ca)
    yield it
    if it.alive():
        assert it.stop() == 0
    else:
        it.stop()


KEY = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(
    serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def ask(hop, key=KEY, ident=7):
    """(result, blob, reason), or None when the signer has closed."""
    w.send(hop, "CERT_REQUEST", w.text(key), ident=ident)
    m = w.receive(hop)
    if m is None:
        return None
    assert (m.name, m.id, m.fds) == ("CERT", ident, [])
    out = m.u32(), m.bytes(), m.text()
    m.end()
    return out


class Fields:
    def __init__(self, data):
        self.data = data

    def take(self, n):
        assert n <= len(self.data)
        out, self.data = self.data[:n], self.data[n:]
        return out

    def string(self):
        return self.take(struct.unpack(">I", self.take(4))[0])

    def u64(self):
        return struct.unpack(">Q", self.take(8))[0]

    def pairs(self):
        inner, out = Fields(self.string()), {}
        while inner.data:
            name = inner.string().decode()
            value = inner.string()
            assert name not in out
            out[name] = Fields(value).string().decode() if value else ""
        return out


class Certificate:
    """PROTOCOL.certkeys, field by field, the signature checked."""

    def __init__(self, blob, ca):
        f = Fields(blob)
        self.kind = f.string().decode()
        self.nonce = f.string()
        # of RSA exponent and modulus, of ECDSA curve and point
        self.key = [f.string() for _ in range(1 if "25519" in self.kind else 2)]
        self.serial = f.u64()
        self.type = struct.unpack(">I", f.take(4))[0]
        self.key_id, principals = f.string().decode(), Fields(f.string())
        self.principals = []
        while principals.data:
            self.principals.append(principals.string().decode())
        self.after, self.before = f.u64(), f.u64()
        self.critical, self.extensions = f.pairs(), f.pairs()
        assert f.string() == b""
        key = Fields(f.string())
        assert key.string() == b"ssh-ed25519"
        assert key.string() == ca.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        signed = blob[:len(blob) - len(f.data)]
        sig = Fields(f.string())
        assert f.data == b""
        assert sig.string() == b"ssh-ed25519"
        try:
            ca.public_key().verify(sig.string(), signed)
        except InvalidSignature:
            pytest.fail("the signature is wrong")


def signed(hop, ca):
    result, blob, reason = ask(hop)
    assert (result, reason) == (0, "")
    return Certificate(blob, ca)


# -- what is signed -------------------------------------------------------------


def test_p5_certificate_is_exact(signer, ca):
    now = time.time()
    cert = signed(signer.grant(), ca)
    assert cert.kind == "ssh-ed25519-cert-v01@openssh.com"
    assert cert.key == [KEY] and len(cert.nonce) == 32
    assert (cert.type, cert.serial) == (1, 4711)
    assert cert.key_id == "postern operation=" + OPERATION
    assert cert.principals == ["deploy+web-1"]
    assert cert.critical == {"force-command": COMMAND,
                             "source-address": "10.91.0.1/32,192.0.2.9/32"}
    assert cert.extensions == {}
    assert cert.before - cert.after <= 121
    assert now - 62 <= cert.after <= now and now < cert.before <= now + 61


def test_certificate_as_openssh_reads_it(signer, tmp_path):
    _, blob, _ = ask(signer.grant(pty=1))
    path = tmp_path / "cert.pub"
    path.write_text("ssh-ed25519-cert-v01@openssh.com " +
                    base64.b64encode(blob).decode() + "\n")
    shown = subprocess.run(["ssh-keygen", "-L", "-f", path], check=True,
                           capture_output=True, text=True).stdout
    lines = [x.strip() for x in shown.splitlines()]
    assert "Type: ssh-ed25519-cert-v01@openssh.com user certificate" in lines
    assert "Serial: 4711" in lines
    assert f'Key ID: "postern operation={OPERATION}"' in lines
    at = lines.index("Principals:")
    assert lines[at + 1] == "deploy+web-1"
    assert lines[at + 2] == "Critical Options:"
    assert lines[-2:] == ["Extensions:", "permit-pty"]


@pytest.mark.parametrize("target, command", [
    ("web-1", "internal-sftp"), ("web-1", "internal-sftp -R"),
    ("inner-1", "internal-sftp"), ("inner-1", "internal-sftp -R"),
    ("files-1", "'/opt/sftp-server'"),
    ("web-1", "'/usr/bin/scp' '-t' '--' '/srv/app'"),
    ("web-1", "'/usr/bin/scp' '-r' '-p' '-d' '-t' '--' '/srv/a b'"),
    ("files-1", "'/usr/bin/scp' '-r' '-f' '--' '/srv/app'")])
def test_a_session_of_files(signer, ca, target, command):
    cert = signed(signer.grant(
        target=target, principal=f"deploy+{target}", command=command,
        what=2 if "/scp'" in command else 1), ca)
    assert cert.critical["force-command"] == command
    assert cert.extensions == {}


@pytest.mark.parametrize("pty", [0, 1])
def test_a_terminal_only_when_granted(signer, ca, pty):
    cert = signed(signer.grant(pty=pty), ca)
    assert cert.extensions == ({"permit-pty": ""} if pty else {})


def test_nonces_differ(signer, ca):
    assert signed(signer.grant(), ca).nonce != signed(signer.grant(), ca).nonce


@pytest.mark.parametrize("target, seen", [
    ("web-1", "10.91.0.1/32,192.0.2.9/32"),
    ("far-1", "198.51.100.7/32"),
    ("six-1", "2001:db8::1/128"),
    ("named-1", "10.91.0.1/32,192.0.2.9/32,2001:db8::1/128"),
    ("self-1", "127.0.0.1/32"),
])
def test_source_is_what_the_target_sees(signer, ca, target, seen):
    cert = signed(signer.grant(target=target, principal="deploy+" + target),
                  ca)
    assert cert.critical["source-address"] == seen


def test_source_by_settings(tmp_path, program, ca):
    tmp_path.chmod(0o755)
    it = Signer(program, tmp_path, ca, 'source-address "203.0.113.0/24"\n')
    assert signed(it.grant(), ca).critical["source-address"] == \
        "203.0.113.0/24"
    assert signed(it.grant(target="far-1", principal="deploy+far-1"),
                  ca).critical["source-address"] == "198.51.100.7/32"
    assert it.stop() == 0


@pytest.mark.parametrize("login, target, principal", [
    ("root", "web-1", "root+web-1"), ("deploy", "plain-1", "deploy")])
def test_principals(signer, ca, login, target, principal):
    cert = signed(signer.grant(login=login, target=target,
                               principal=principal), ca)
    assert cert.principals == [principal]


def test_the_longest_command(signer, ca):
    command = "'/usr/bin/true'" + " 'x'" * 1000 + " '" + "y" * 120000 + "'"
    assert signed(signer.grant(command=command),
                  ca).critical["force-command"] == command


# -- one grant, one certificate -------------------------------------------------


def test_p5_one_grant_one_certificate(signer, ca):
    hop = signer.grant()
    signed(hop, ca)
    try:
        assert ask(hop) is None
    except BrokenPipeError:
        pass        # closed before it could be asked again
    assert w.receive(hop) is None
    assert signer.alive()


def test_p5_two_requests_at_once(signer):
    hop, theirs = w.pair()
    for i in range(2):
        w.send(hop, "CERT_REQUEST", w.text(KEY), ident=i)
    w.send(signer.policy, "GRANT", grant(), [theirs.fileno()])
    theirs.close()
    assert w.expect(hop, "CERT").id == 0
    assert w.receive(hop) is None


def test_p5_no_grant_no_certificate(signer):
    """A socket that policy did not send is nobody's; the link to policy takes
    no request, and neither does a grant's socket take a grant."""
    hop = signer.grant()
    w.send(hop, "GRANT", grant(), [hop.fileno()])
    assert w.receive(hop) is None
    assert signer.alive()
    w.send(signer.policy, "CERT_REQUEST", w.text(KEY))
    assert signer.proc.wait(10) != 0


def test_a_refused_grant_is_spent_too(signer):
    hop = signer.grant(target="web-9", principal="deploy+web-9")
    assert ask(hop)[0] != 0
    assert w.receive(hop) is None


NOT_CANONICAL = [
    "", " ", "true", "/usr/bin/true", "'true' ", " 'true'", "'a'  'b'",
    "'a'\t'b'", "'a';'b'", "'a'|'b'", "'a' && 'b'", "'a'\n'b'", "'a'\n",
    "'a", "'a' b", "\"a\"", "'a'$(id)", "'a'`id`", "'a''b'", "'a'\\x",
    "'a\nb'", "'a' #", "'a'&", "'a'>'b'", "'a'\r", "'a\x80b'",
]


BOURNE = [b"'cd' '--' '/srv' && 'a'", b"'a' | 'b'"]


@pytest.mark.parametrize("command", BOURNE)
def test_folders_and_pipelines_for_bourne_shells(signer, ca, command):
    signed(signer.grant(command=command), ca)


@pytest.mark.parametrize("more, word", [
    ({"target": "web-9", "principal": "deploy+web-9"}, "no such target"),
    ({"target": ""}, "no such target"),
    ({"target": "WEB-1"}, "no such target"),
    ({"login": "other", "principal": "other+web-1"}, "no such login"),
    ({"login": ""}, "no such login"),
    ({"login": "root"}, "principal"),
    ({"principal": "root+web-1"}, "principal"),
    ({"principal": "deploy+plain-1"}, "principal"),
    ({"principal": "deploy"}, "principal"),
    ({"principal": ""}, "principal"),
    ({"principal": "deploy+web-1,root"}, "principal"),
    ({"target": "plain-1", "principal": "deploy+plain-1"}, "principal"),
    ({"serial": 0}, "serial"),
    *[({"what": 1, "command": c}, "canonical") for c in (
        "'internal-sftp'", "internal-sftp ", " internal-sftp",
        "internal-sftp -R ", "internal-sftp -R -d /", "internal-sftp;id",
        "Internal-sftp", "'/usr/lib/openssh/sftp-server'", "'id'", "id")],
    *[({"target": "files-1", "principal": "deploy+files-1", "what": 1,
        "command": c}, "canonical") for c in (
        "internal-sftp", "/opt/sftp-server", "'/opt/sftp-server' '-R'",
        "'/opt/sftp-serve'", "'id'")],
    ({"what": 1, "command": "internal-sftp", "pty": 1}, "canonical"),
    ({"what": 0, "command": "internal-sftp"}, "canonical"),
    *[({"what": 2, "command": c}, "canonical") for c in (
        "'scp' '-t' '--' '/srv/app'", "'/opt/scp' '-t' '--' '/srv/app'",
        "'/usr/bin/scp' '-t' '/srv/app'", "'/usr/bin/scp' '--' '/srv/app'",
        "'/usr/bin/scp' '-t' '-f' '--' '/srv/app'",
        "'/usr/bin/scp' '-p' '-r' '-t' '--' '/srv/app'",
        "'/usr/bin/scp' '-S' '-t' '--' '/srv/app'",
        "'/usr/bin/scp' '-t' '--' 'srv'", "'/usr/bin/scp' '-t' '--' '/'",
        "'/usr/bin/scp' '-t' '--' '/srv/../x'", "internal-sftp", "'id'",
        "'/usr/bin/scp' '-t' '--' '/a' '/b'",
        "'cd' '--' '/srv' && '/usr/bin/scp' '-t' '--' '/a'")],
    ({"what": 2, "pty": 1, "command": "'/usr/bin/scp' '-t' '--' '/a'"},
     "canonical"),
    ({"key_id": "a\nb"}, "could not be signed"),
    ({"key_id": "\x1b[31m"}, "could not be signed"),
    ({"key_id": ""}, "could not be signed"),
    *[({"command": c.encode("latin-1")}, "canonical") for c in NOT_CANONICAL],
    # what a shell of another family would read in its own way
    *[({"target": t, "principal": "deploy+" + t, "command": c}, "canonical")
      for t in ("fish-1", "csh-1") for c in BOURNE],
])
def test_p5_not_signed(signer, more, word):
    result, blob, reason = ask(signer.grant(**more))
    assert result != 0 and blob == b"" and word in reason
    assert signer.alive()


@pytest.mark.parametrize("body", [
    b"", w.text(b""), w.text(KEY[:-1]), w.text(KEY + b"x"), KEY,
    w.text(KEY) + b"x", w.u32(32), w.u32(2**32 - 1) + KEY], ids=len)
def test_a_bad_request_closes_its_socket_alone(signer, ca, body):
    hop = signer.grant()
    w.send(hop, "CERT_REQUEST", body)
    assert w.receive(hop) is None
    signed(signer.grant(), ca)


def test_a_hop_that_leaves_or_talks_nonsense(signer, ca):
    before = signer.settled()
    for data in (b"", b"x", b"\0\1\0\x56", struct.pack(">HHI", w.VERSION + 1, 86, 1)):
        hop = signer.grant()
        w.send_raw(hop, data)
        assert w.receive(hop) is None
    signer.grant().close()
    hop = signer.grant()
    w.send_raw(hop, struct.pack(">HHI", w.VERSION, 86, 1) + w.text(KEY),
               [hop.fileno()] * 20)
    assert w.receive(hop) is None
    signed(signer.grant(), ca)
    signer.settled(before)


# -- policy's side ----------------------------------------------------------------


@pytest.mark.parametrize("body", [
    b"", grant()[:-1], grant() + b"x", b"\xff\xff\xff\xff",
    grant(operation="x" * 27), grant(target="x" * 32), grant(login="x" * 32),
    grant(principal="x" * 64), grant(command="a\0b"), grant(key_id="x" * 700),
    grant(command="x" * 130001), grant(what=3), grant(what=255)],
    ids=lambda body: f"{len(body)}-{body[-1:].hex()}")
def test_a_malformed_grant_ends_the_signer(signer, body):
    """policy is not what it was: better no signer than one that goes on."""
    hop, theirs = w.pair()
    w.send(signer.policy, "GRANT", body, [theirs.fileno()])
    theirs.close()
    assert w.receive(hop) is None
    assert signer.proc.wait(10) == 1
    assert "what policy sent" in signer.log()


def test_a_grant_without_a_socket_ends_the_signer(signer):
    w.send(signer.policy, "GRANT", grant())
    assert signer.proc.wait(10) == 1


def test_p9_grants_outlive_policy(signer, ca):
    hop = signer.grant()
    signer.policy.close()
    signed(hop, ca)
    signer.policy = signer.link("policy")
    signed(signer.grant(), ca)


def test_p10_grants_are_bounded(tmp_path, program, ca):
    """1024 wait; one more is dropped, nothing breaks, and a place is free
    again once it is used.  The usual soft limit of descriptors is too low for
    that, so the process must raise its own."""
    tmp_path.chmod(0o755)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    it = Signer(program, tmp_path, ca, nofile=(1024, hard))
    hops = [it.grant() for _ in range(1024)]
    late = it.grant()
    assert w.receive(late) is None
    signed(hops[0], ca)
    signed(it.grant(), ca)
    signed(hops[1023], ca)
    for hop in hops:
        hop.close()
    it.logs("another is dropped")
    signed(it.grant(), ca)
    assert it.stop() == 0


# -- start and reload ---------------------------------------------------------------


def test_reload(signer, ca):
    write_policy(signer.policy_folder,
                 POLICY.replace("target web-1", "target web-2"))
    before = signer.grant()
    signer.reload(signer.policy_folder)
    hop = signer.grant(target="web-2", principal="deploy+web-2")
    signed(hop, ca)
    # What was granted under the old policy is checked under this one.
    assert "no such target" in ask(before)[2]


def test_a_broken_policy_leaves_the_running_one(signer, ca):
    write_policy(signer.policy_folder, "policy 1\nnonsense\n")
    signer.reload(signer.policy_folder)
    signer.logs("not accepted")
    signed(signer.grant(), ca)


def test_without_a_ca_nothing_is_signed(tmp_path, program, ca):
    tmp_path.chmod(0o755)
    it = Signer(program, tmp_path, ca, key=False)
    result, blob, reason = ask(it.grant())
    assert result != 0 and blob == b"" and "postern ca init" in reason
    assert it.stop() == 0


def test_p7_the_process_keeps_its_memory(signer):
    status = pathlib.Path(f"/proc/{signer.proc.pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    # Not dumpable: its files in /proc are root's.
    assert os.stat(f"/proc/{signer.proc.pid}/mem").st_uid == 0
    limits = pathlib.Path(f"/proc/{signer.proc.pid}/limits").read_text()
    core = [x for x in limits.splitlines() if x.startswith("Max core")][0]
    assert core.split()[4:6] == ["0", "0"]


@pytest.mark.parametrize("name, fds", [
    ("LISTEN", 1), ("READY", 0), ("GRANT", 1), ("GO", 0)])
def test_a_parent_that_is_not_what_it_was(signer, name, fds):
    null = os.open("/dev/null", os.O_RDONLY)
    w.send(signer.control, name, w.text("shell"), [null] * fds)
    os.close(null)
    assert signer.proc.wait(10) == 1


@pytest.mark.parametrize("how", ["stop", "orphan"])
def test_p9_ends_when_policy_has(signer, ca, how):
    """However long that takes: what it grants last is signed."""
    if how == "stop":
        w.send(signer.control, "STOP")
    else:
        signer.control.shutdown(socket.SHUT_RDWR)
    time.sleep(0.6)
    signed(signer.grant(), ca)
    hop = signer.grant()
    signer.policy.close()
    signed(hop, ca)
    assert signer.proc.wait(5) == 0


def test_p9_ends_with_the_link_before(signer, ca):
    """Policy has one to the next signer, and ends this one."""
    old = signer.policy
    signer.policy = signer.link("policy")
    w.send(signer.control, "STOP")
    old.close()
    signed(signer.grant(), ca)
    signer.policy.close()
    assert signer.proc.wait(5) == 0


def test_a_hops_connection_that_lingers_holds_nobody_up(signer, ca):
    """An owned hop has a connection to a target whose close would wait."""
    hop = signer.grant()
    keep = w.send_lingering(
        signer.proc, hop, (1).to_bytes(2, "big") +
        w.TYPES["CERT_REQUEST"].to_bytes(2, "big") + bytes(4) + w.text(KEY))
    began = time.monotonic()
    assert w.receive(hop) is None
    assert signed(signer.grant(), ca)
    assert time.monotonic() - began < 30
    keep.close()
