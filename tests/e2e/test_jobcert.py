"""Job certificates: the token once, then plain public-key login by stock
clients, until the session is over."""
import base64
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import time

import house as h
import pytest

RESTART = "systemctl restart web"
DONE = (0, "restart web\nweb is up\n")
DENIED, USAGE, TEMPFAIL = 77, 64, 75
REFUSED = 255           # by sshd, before anybody of ours hears of it
UNOPENED = 254          # by PAM, when sshd would have let it in
QUIET = ["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"]


class Key:
    """A job's own throw-away key, and the certificate for it."""

    def __init__(self, job, kind="ed25519", *more, session=None):
        self.job = job
        self.folder = job.home / f"k-{os.urandom(4).hex()}"
        r = job.run(["sh", "-c", f"umask 077; mkdir {self.folder} && ssh-keygen "
                     f"-q -t {kind} {' '.join(more)} -N '' -C job -f "
                     f"{self.folder}/k"], timeout=600)  # primes take luck
        assert r.code == 0, r.error
        self.private, self.public = self.folder / "k", self.folder / "k.pub"
        self.line = self.public.read_bytes()
        self.fingerprint = h.fingerprint(self.public)

    def put(self, text):
        """What the job's shell does with what `login` printed."""
        cert = self.folder / "k-cert.pub"
        cert.write_bytes(text)
        shutil.chown(cert, self.job.user)
        return self

    def login(self, token=None):
        r = self.job.ssh("postern", "login", token=token, input=self.line)
        assert r.code == 0, r.error
        assert r.err == b"", r.error
        return self.put(r.out)

    def cert(self):
        return h.Certificate.parse(base64.b64decode(
            (self.folder / "k-cert.pub").read_text().split()[1]))

    def argv(self, to, command=None, opts=(), host=None):
        return ["ssh", *QUIET, "-i", self.private, *opts,
                f"{to}@{host or self.job.host}",
                *([] if command is None else [command])]

    def ssh(self, to, command=None, opts=(), job=None, **kw):
        return (job or self.job).run(self.argv(to, command, opts), **kw)


@pytest.fixture(scope="module")
def key(job):
    """One that has a certificate, for all tests that only use it."""
    return Key(job).login()


def opened(bastion, mark):
    """Nobody was given a session meanwhile."""
    return [e for e in bastion.events(mark)
            if e["event"] in ("session.open", "certificate.login")]


# -- getting one ------------------------------------------------------------------


def test_login_prints_one_line_and_it_is_written_down(bastion, job, mark):
    k = Key(job)
    token = job.issuer.token()
    r = job.ssh("postern", "login", token=token, input=k.line)
    assert (r.code, r.err) == (0, b""), r.error
    kind, blob, comment = r.text.rstrip("\n").split(" ")
    assert r.text.count("\n") == 1
    assert kind == "ssh-ed25519-cert-v01@openssh.com"
    cert = h.Certificate.parse(base64.b64decode(blob))
    issue = bastion.event(mark, "certificate.issue")
    session = bastion.event(mark, "session.open")["session"]
    assert issue["session"] == session and comment == f"postern-{session}"
    assert cert.key_id == (f"postern session={session} identity=shop commit="
                           f"{issue['commit']}")
    assert (str(cert.serial), cert.key_id) == (str(issue["serial"]),
                                               issue["key_id"])
    assert ",".join(cert.principals) == issue["principals"]
    assert {"postern", "web-1", "deploy+web-1", "other+web-1", "web-2",
            "plain-1"} <= set(cert.principals)
    assert "root+web-1" not in cert.principals
    assert issue["key"] == k.fingerprint and issue["lifetime_s"] == 900
    assert issue["user"] == "postern" and issue["source"] == "10.91.0.4"
    assert cert.critical == {} and cert.extensions == {"permit-pty": ""}
    assert 890 < cert.before - time.time() <= 900
    # By the CA for jobs, and not by the one that targets trust.
    ca = bastion.postern("ca", "show", "--job").stdout.split()
    assert cert.ca == base64.b64decode(ca[1])
    assert ca[1] not in bastion.postern("ca", "show").stdout


@pytest.mark.parametrize("given, says", [
    (b"", "nothing on standard input"), (b"\n\n", "nothing on standard input"),
    (b"-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0c2VjcmV0\n",
     "private key"),
    (b"hello\n", "not a public key"), (b"\x00\x01", "no text"),
    (b"ssh-ed25519 AAAA x\n", "damaged"), (b"x" * 20000, "16 KiB"),
    (2, "more than one line")],
    ids=["nothing", "blank", "private", "garbage", "binary", "damaged", "long",
         "two"])
def test_what_is_no_public_key(bastion, job, mark, given, says):
    if given == 2:
        given = Key(job).line * 2
    r = job.ssh("postern", "login", input=given)
    assert (r.code, r.out) == (USAGE, b""), r.error
    last = r.error.rstrip().splitlines()[-1]
    assert last.startswith("postern: ") and says in last, r.error
    assert "login < key.pub" in last
    assert not bastion.events(mark, "certificate.issue")
    # What was sent is nowhere, a private key least of all.
    for f in (h.WORK / "posternd.log", h.WORK / "postern-sshd.log",
              h.STATE / "ledger/ledger.jsonl"):
        assert b"c2VjcmV0c2VjcmV0" not in f.read_bytes(), f
        assert b"PRIVATE KEY" not in f.read_bytes(), f


def test_login_by_hand_says_how(job):
    for opts, words in ((["-tt"], "login"), ([], "login now")):
        r = job.ssh("postern", words, opts=opts)
        assert r.code == USAGE
        assert b"login" in r.out + r.err
    assert "login < key.pub" in job.ssh("postern", "help").text


@pytest.mark.parametrize("kind", [
    ("ecdsa", "-b", "256"), ("ecdsa", "-b", "521"), ("rsa", "-b", "2048")],
    ids=lambda k: k[0] + k[2])
def test_keys_of_other_kinds(job, kind):
    k = Key(job, *kind).login()
    r = k.ssh("web-1", RESTART)
    assert (r.code, r.text) == DONE, r.error


def test_weak_keys_get_none(job):
    r = job.ssh("postern", "login", input=Key(job, "rsa", "-b", "1024").line)
    assert r.code == USAGE and "2048" in r.error


# -- using it ---------------------------------------------------------------------


def test_five_targets_in_a_row(bastion, job, mark):
    """One token, one session; five connections that ask for nothing."""
    k = Key(job).login()
    for to, command, out in (
            ("web-1", RESTART, DONE[1]), ("web-2", RESTART, DONE[1]),
            ("plain-1", RESTART, DONE[1]),
            ("other+web-1", "/usr/bin/whoami", "other\n"),
            ("deploy+web-1", "/opt/house/bin/lines 1", "1\n")):
        r = k.ssh(to, command)
        assert (r.code, r.text) == (0, out), (to, r.error)
    logins = bastion.events(mark, "certificate.login")
    assert [e["user"] for e in logins] == [
        "web-1", "web-2", "plain-1", "other+web-1", "deploy+web-1"]
    decided = bastion.events(mark, "operation.decide")
    issue = bastion.event(mark, "certificate.issue")
    for e in logins + decided:
        assert (e["session"], e["key"], e["source"]) == (
            issue["session"], k.fingerprint, "10.91.0.4")
        for name in ("identity", "commit", "actor", "run", "workflow"):
            assert e[name] == issue[name]
    assert len(decided) == 5 and len(bastion.events(mark, "session.open")) == 1
    assert {str(e["serial"]) for e in logins} == {str(issue["serial"])}


def test_by_token_there_is_no_key_in_the_line(bastion, job, mark):
    assert job.ssh("web-1", RESTART).code == 0
    assert "key" not in bastion.event(mark, "operation.decide")


def test_as_ansible_connects(bastion, job, key, mark):
    """Its ssh options, word for word, one connection for all tasks."""
    path = job.home / f"a-{os.urandom(4).hex()}"
    opts = ["-C", "-o", "ControlMaster=auto", "-o", "ControlPersist=60s",
            "-o", "KbdInteractiveAuthentication=no", "-o",
            "PreferredAuthentications=gssapi-with-mic,gssapi-keyex,hostbased,"
            "publickey", "-o", "PasswordAuthentication=no", "-o",
            "ConnectTimeout=10", "-o", f"ControlPath={path}"]
    try:
        for i in range(3):
            r = key.ssh("web-1", f"/opt/house/bin/lines {i + 1}", opts)
            assert (r.code, r.out.count(b"\n")) == (0, i + 1), r.error
        r = key.ssh("web-1", "/opt/house/bin/istty", [*opts, "-tt"])
        assert r.code == 0 and b"in" in r.out, r.error
    finally:
        job.run(["ssh", "-o", f"ControlPath={path}", "-O", "exit",
                 f"web-1@{job.host}"])
    assert len(bastion.events(mark, "certificate.login")) == 1
    assert len(bastion.events(mark, "operation.decide")) == 4


def test_paramiko(up, job, key):
    paramiko = pytest.importorskip("paramiko")
    k = paramiko.Ed25519Key.from_private_key_file(str(key.private))
    k.load_certificate(str(key.folder / "k-cert.pub"))
    with h.in_netns("job"):
        s = socket.create_connection(("10.91.0.1", 22), 10)
    t = paramiko.Transport(s)
    try:
        t.start_client(timeout=30)
        t.auth_publickey("web-1", k)
        c = t.open_session(timeout=30)
        c.exec_command(RESTART)
        assert c.makefile("rb").read().decode() == DONE[1]
        assert c.recv_exit_status() == 0
    finally:
        t.close()


def test_plink(bastion, job, key, mark):
    """PuTTY from 0.78 on takes certificates, inside a .ppk."""
    if not shutil.which("puttygen"):
        pytest.skip("putty-tools are not installed")
    ppk = key.folder / "k.ppk"
    r = job.run(["puttygen", key.private, "-O", "private", "-o", ppk,
                 "--certificate", key.folder / "k-cert.pub"])
    assert r.code == 0, r.error
    pin = h.fingerprint(bastion.hostkey.with_suffix(".pub"))
    r = job.run(["plink", "-ssh", "-batch", "-hostkey", pin, "-i", ppk,
                 f"web-1@{job.host}", RESTART])
    assert (r.code, r.text) == DONE, r.error
    assert bastion.event(mark, "certificate.login")["key"] == key.fingerprint


def test_whoami_and_the_next_certificate(bastion, job, key, mark):
    """`postern` is one of the names: a job that takes longer gets another one
    before the first is over, of the same session."""
    r = key.ssh("postern", "whoami")
    assert r.code == 0 and "acme/shop" in r.text, r.error
    other = Key(job)
    r = key.ssh("postern", "login", input=other.line)
    assert r.code == 0, r.error
    r = other.put(r.out).ssh("web-1", RESTART)
    assert (r.code, r.text) == DONE, r.error
    issue = bastion.event(mark, "certificate.issue")
    assert issue["key"] == other.fingerprint != key.fingerprint
    assert other.cert().serial == key.cert().serial


WAYS = {
    "exec": ("web-1", "systemctl stop web", {}),
    "allowed": ("web-1", RESTART, {}),
    "list": ("web-1", f"{RESTART} && systemctl stop web", {}),
    "here-document": ("web-1", None, {"input": b"systemctl stop web\n"}),
    "pty": ("web-1", RESTART, {"opts": ["-tt"]}),
    "subsystem": ("web-1", "sftp", {"opts": ["-s"]}),
    "shell": ("web-1", None, {}),
    "syntax": ("web-1", "echo $(id)", {}),
    "login": ("other+web-1", RESTART, {}),
    "stdin": ("web-1", "/usr/bin/wc -c", {"input": b"abc"}),
    "control": ("postern", "nothing", {}),
}


@pytest.mark.parametrize("way", WAYS)
def test_4_certificate_logins_have_the_same_decisions(bastion, job, key, way):
    """Code, texts but for the operation's id, and the line in the ledger."""
    to, command, more = WAYS[way]
    said = []
    for run in (job.ssh, key.ssh):
        mark = bastion.mark()
        r = run(to, command, **more)
        bastion.mark()  # a denial is told while its line is on the way
        lines = [{k: e.get(k) for k in ("verdict", "rule", "reason", "identity",
                                        "command", "login", "pty", "stdin")}
                 for e in bastion.events(mark, "operation.decide")]
        text = [re.sub("[0-9A-Z]{26}", "ID", line)
                for line in (r.out + r.err).decode().splitlines()
                if "closed" not in line]
        said.append((r.code, text, lines))
    assert said[0] == said[1]


def test_4_forwardings_are_off(up, job, key):
    mark = up.web1.mark()
    r = key.ssh("web-1", opts=["-W", "10.91.0.2:22"])
    assert r.code != 0 and b"SSH-2.0" not in r.out
    assert not up.web1.reached(mark)


def test_from_another_address(bastion, key, mark):
    """Without certificate-source the key is enough, and the ledger says where
    it came from."""
    stranger = h.Job(bastion.issuer, netns="stranger")
    r = key.ssh("web-1", RESTART, job=stranger)
    assert (r.code, r.text) == DONE, r.error
    assert bastion.event(mark, "certificate.login")["source"] == "10.91.0.5"
    assert bastion.event(mark, "operation.decide")["source"] == "10.91.0.5"


def test_9_certificates_outlive_policy(bastion, job, key, mark):
    """Its row comes back with its session's."""
    assert key.ssh("web-1", RESTART).code == 0
    (pid,) = [p for p, _, n in bastion.processes() if n == "postern-policy"]
    os.kill(pid, signal.SIGKILL)
    r = key.ssh("web-1", RESTART)
    assert (r.code, r.text) == DONE, r.error


# -- not using it -----------------------------------------------------------------


def by_hand(bastion, key, name, signer="job", **changes):
    """The certificate again for a key of the test's, with something changed;
    returns the argv of an ssh with it.  The test has the CA's key."""
    folder = key.folder / name
    pem = (h.ETC / f"ca/{signer}.pem").read_bytes()
    private = key.cert().kept(folder, pem, **changes)
    for f in (folder, private, private.with_name("k-cert.pub")):
        shutil.chown(f, key.job.user)
    return ["ssh", *QUIET, "-i", private, f"web-1@{key.job.host}", RESTART]


@pytest.fixture
def logged(bastion):
    """sshd's own refusals are in its log alone; postern-sshd-start(8) says
    which words to look for there."""
    at = bastion.sshd_log.stat().st_size

    def logged(*words):
        end = time.monotonic() + 30
        while (missing := [w for w in words if w.encode() not in
                           bastion.sshd_log.read_bytes()[at:]]):
            assert time.monotonic() < end, missing
            time.sleep(0.05)
    return logged


DENIED_BY_SSHD = "Permission denied (publickey,keyboard-interactive)"


@pytest.mark.parametrize("name", ["root+web-1", "nosuch", "root", "runner",
                                  "_postern-job"])
def test_other_names(bastion, key, mark, logged, name):
    r = key.ssh(name, RESTART)
    assert (r.code, r.out) == (REFUSED, b""), r.error
    assert DENIED_BY_SSHD in r.error
    assert not opened(bastion, mark)
    if name in ("root+web-1", "nosuch"):
        logged("Certificate invalid: name is not a listed principal",
               f"Failed publickey for {name} from 10.91.0.4",
               key.cert().key_id)


def test_a_key_without_its_certificate(bastion, job, mark):
    k = Key(job)
    r = k.ssh("web-1", RESTART)
    assert (r.code, r.out) == (REFUSED, b"")
    assert not opened(bastion, mark)


@pytest.mark.parametrize("words, after, before", [
    ("expired", 0, -1), ("not yet valid", 600, 900)],
    ids=lambda v: v if isinstance(v, str) else "")
def test_expired(bastion, key, mark, logged, words, after, before):
    now = int(time.time())
    r = key.job.run(by_hand(bastion, key, f"at{after}", after=after and
                            now + after, before=now + before))
    assert (r.code, r.out) == (REFUSED, b"")
    assert DENIED_BY_SSHD in r.error
    assert not opened(bastion, mark)
    logged(f"Certificate invalid: {words}", "Failed publickey for web-1 from",
           key.cert().key_id)


def test_by_another_ca(bastion, key, mark, logged):
    """Somebody's own, and the one that signs operations."""
    theirs = h.ssh_keygen(h.WORK / "foreign-ca")
    cert = key.folder / "k-cert.pub"
    good = cert.read_bytes()
    try:
        h.run("ssh-keygen", "-q", "-s", theirs, "-I", "x", "-n", "web-1",
              key.public)
        r = key.ssh("web-1", RESTART)
        assert (r.code, r.out) == (REFUSED, b"")
        logged("Failed publickey for web-1 from 10.91.0.4",
               f"CA ED25519 {h.fingerprint(theirs.with_suffix('.pub'))}")
    finally:
        key.put(good)
    ca = base64.b64decode(bastion.postern("ca", "show").stdout.split()[1])
    r = key.job.run(by_hand(bastion, key, "by-target", "target", ca=ca))
    assert (r.code, r.out) == (REFUSED, b"")
    assert not opened(bastion, mark)


def test_5_one_that_no_session_was_given(bastion, key, mark):
    """Signed by the right CA, for a key of another's: whoever has the CA key
    can make it, and it opens nothing of a live session's."""
    r = key.job.run(by_hand(bastion, key, "made"))
    assert r.code == UNOPENED
    assert r.text.startswith("postern: nothing was run: this certificate")
    e = bastion.event(mark, "login.refused")
    assert e["reason"] == "no live session was given this certificate"
    assert (e["user"], e["source"]) == ("web-1", "10.91.0.4")
    assert e["session"] in key.cert().key_id and e["key"] != key.fingerprint
    assert not opened(bastion, mark)


def test_identity_that_matches_no_more(bastion, key, mark):
    """A policy without it revokes what it was given; with it again it is good
    as before."""
    good = (h.ETC / "policy/main.postern").read_text()
    try:
        bastion.write_policy(good.replace('"7712345"\n    claim ref           = '
                                          '"refs/heads/main"', '"1"\n    claim '
                                          'ref = "refs/heads/main"'))
        bastion.reload()
        r = key.ssh("web-1", RESTART)
        assert r.code == UNOPENED, r.error
        assert "matches no identity" in bastion.event(
            mark, "login.refused")["reason"]
    finally:
        bastion.write_policy()
        bastion.reload()
    assert key.ssh("web-1", RESTART).code == 0


def test_10_certificates_of_a_session_are_bounded(bastion, job, mark):
    """16 at a time; the 17th is refused and says when there is room."""
    k = Key(job).login()
    path = job.home / f"b-{os.urandom(4).hex()}"
    opts = ["-o", "ControlMaster=auto", "-o", "ControlPersist=30s", "-o",
            f"ControlPath={path}"]
    try:
        for _ in range(15):
            r = k.ssh("postern", "login", opts, input=k.line)
            assert r.code == 0, r.error
        r = k.ssh("postern", "login", opts, input=k.line)
        assert (r.code, r.out) == (TEMPFAIL, b"")
        assert "16 certificates" in r.error and "wait" in r.error, r.error
    finally:
        job.run(["ssh", "-o", f"ControlPath={path}", "-O", "exit",
                 f"postern@{job.host}"])
    assert len(bastion.events(mark, "certificate.issue")) == 16
    # Each is good, the last one, too.
    assert k.ssh("web-1", RESTART).code == 0


def test_10_the_largest_certificate(bastion, job):
    """As many names as it holds, each as long as names get, and the largest
    key: it passes sshd, PAM and policy whole, and stderr says what is left
    out."""
    pin = bastion.targets[0].fingerprint
    login = "l" * 31
    names = [f"t{i:03}-" + "x" * 26 for i in range(300)]
    extra = "policy 1\n" + "".join(
        f'target {n} {{ ssh "deploy@10.91.0.2:22"; hostkey ssh-ed25519 '
        f'"{pin}"; login {login} }}\n' for n in names)
    extra += f"allow many for shop on {' '.join(f'{login}+{n}' for n in names)}"
    extra += " { run /usr/bin/true }\n"
    k = Key(job, "rsa", "-b", "8192")
    try:
        bastion.write_policy(extra, "many.postern")
        bastion.reload()
        r = job.ssh("postern", "login", input=k.line)
        assert r.code == 0 and "more names" in r.error, r.error
        assert len(r.out) > 20000
        r = k.put(r.out).ssh("web-1", RESTART)
        assert (r.code, r.text) == DONE, r.error
    finally:
        (h.ETC / "policy/many.postern").unlink()
        bastion.reload()


def test_7_nothing_of_the_jobs_is_kept(bastion, job, key):
    """Neither private key nor token, and not the CA's key either."""
    secrets = [x for f in (key.private, h.ETC / "ca/job.pem")
               for x in f.read_text().splitlines() if "-----" not in x]
    secrets += [t.split(".")[2] for t in job.issuer.minted[-40:]]
    for f in [h.WORK / "posternd.log", h.WORK / "postern-sshd.log",
              *(p for p in h.STATE.rglob("*") if p.is_file())]:
        data = f.read_bytes()
        for s in secrets:
            assert s.encode() not in data, f
    for pid, _, name in bastion.processes():
        with contextlib.suppress(OSError):
            env = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
            argv = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
            for s in secrets:
                assert s.encode() not in env + argv, name


# -- the end of a session, and settings -------------------------------------------


@contextlib.contextmanager
def settings(bastion, more):
    """posternd, started anew with other settings, and as it was afterwards."""
    conf = h.ETC / "postern.conf"
    good = conf.read_text()

    def restart(text):
        bastion.daemon.stop()
        conf.write_text(text)
        bastion.start_posternd()
    restart(good + more)
    try:
        yield
    finally:
        restart(good)


def test_short_lives_and_one_address(bastion, job, logged):
    """certificate-lifetime, certificate-source: what expired, and what comes
    from elsewhere, is refused by sshd."""
    with settings(bastion, "certificate-lifetime 8s\ncertificate-source same\n"):
        k = Key(job).login()
        cert = k.cert()
        assert cert.critical == {"source-address": "10.91.0.4"}
        assert 0 < cert.before - time.time() <= 8
        stranger = h.Job(bastion.issuer, netns="stranger")
        mark = bastion.mark()
        r = k.ssh("web-1", RESTART, job=stranger)
        assert (r.code, r.out) == (REFUSED, b""), r.error
        logged("not from a permitted source address (10.91.0.5)")
        assert not opened(bastion, mark)
        r = k.ssh("web-1", RESTART)
        assert (r.code, r.text) == DONE or time.time() >= cert.before, r.error
        time.sleep(max(0, cert.before - time.time() + 1))
        mark = bastion.mark()
        r = k.ssh("web-1", RESTART)
        assert (r.code, r.out) == (REFUSED, b""), r.error
        assert not opened(bastion, mark)


def test_after_its_session(bastion, job):
    """A bastion that has lost its sessions knows the certificate no more; the
    session has its end in the ledger, and the login its reason."""
    k = Key(job).login()
    assert k.ssh("web-1", RESTART).code == 0
    session = k.cert().key_id.split("session=")[1].split(" ")[0]
    bastion.daemon.stop()
    for f in (h.STATE / "store").glob("kept.db*"):
        f.unlink()
    mark = json.loads((h.STATE / "ledger/ledger.jsonl").read_text()
                      .splitlines()[-1])["number"]
    bastion.start_posternd()
    r = k.ssh("web-1", RESTART)
    assert r.code == UNOPENED and b"session is over" in r.out
    e = bastion.event(mark, "login.refused")
    assert (e["session"], e["key"]) == (session, k.fingerprint)
    assert session in [e["session"]
                       for e in bastion.events(mark, "session.close")]
