"""The house the end-to-end tests live in: small networks joined by a bridge,
a real HTTPS issuer, a real target sshd, Postern as it is installed, and a CI
job with stock ssh.  Runs inside the namespaces that `enter` made.

    job 10.91.0.4 ──┐                ┌── web-1 10.91.0.2 · web-2 10.91.0.3
 stranger 10.91.0.5 ┼─ bridge ─ bastion 10.91.0.1
  issuer 10.91.0.6 ─┘
"""
import base64
import contextlib
import ctypes
import dataclasses
import functools
import hashlib
import http.server
import itertools
import json
import os
import pathlib
import secrets
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

import datetime
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
import jwt

import shapes

TOP = pathlib.Path(os.environ.get("POSTERN_TOP", ".")).resolve()
PREFIX = pathlib.Path("/opt/postern")
ETC = PREFIX / "etc/postern"
STATE = PREFIX / "var/lib/postern"
RUN = PREFIX / "run/postern"
LIBEXEC = PREFIX / "libexec/postern"
WORK = pathlib.Path("/opt/house")
BIN = WORK / "bin"
SANITIZED = "san" in pathlib.Path(os.environ.get("POSTERN_BUILD", "")).name

NET = {
    "bastion": ["10.91.0.1"],
    "target": ["10.91.0.2", "10.91.0.3"],
    "job": ["10.91.0.4"],
    "stranger": ["10.91.0.5"],
    "issuer": ["10.91.0.6"],
}
GITHUB = "https://token.actions.githubusercontent.com"
ACME = "https://ci.acme.example"
FOREIGN = "https://ci.foreign.example"
# Issuers that only a name server knows, for test_issuer.
NAMED = [f"https://{n}.named.example" for n in (
    "steady", "flips", "both", "private", "late")]
AUDIENCE = "bastion.acme.example"
BASTION = "bastion.acme.example"

# -- processes ----------------------------------------------------------------


def run(*argv, check=True, **kw):
    """A command of the house itself; its output is in the error, if any."""
    kw.setdefault("stdin", subprocess.DEVNULL)
    p = subprocess.run([str(a) for a in argv], capture_output=True, text=True,
                       **kw)
    if check and p.returncode:
        raise RuntimeError(f"{shlex.join(map(str, argv))}: {p.returncode}\n"
                           f"{p.stdout}{p.stderr}")
    return p


def inside(netns, argv, user=None):
    """argv, run in a network namespace and as a user of the house."""
    cmd = ["nsenter", f"--net=/run/netns/{netns}"]
    if user:
        import pwd
        pw = pwd.getpwnam(user)
        cmd += [f"--setuid={pw.pw_uid}", f"--setgid={pw.pw_gid}"]
    return cmd + ["--"] + [str(a) for a in argv]


class Daemon:
    """A server that we start and stop, by its pid."""

    def __init__(self, name, argv, log, env=None):
        self.name, self.log = name, pathlib.Path(log)
        with open(self.log, "ab") as f:
            self.proc = subprocess.Popen(
                [str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=f,
                stderr=f, cwd="/", env=env, start_new_session=True)

    def text(self):
        return self.log.read_text(errors="replace")

    def alive(self):
        return self.proc.poll() is None

    def wait_for(self, what, timeout=60):
        """Until what() is true; the log is the explanation when it is not."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if what():
                return
            if not self.alive():
                break
            time.sleep(0.02)
        raise RuntimeError(f"{self.name} did not come up "
                           f"(exit {self.proc.poll()}):\n{self.text()}")

    def stop(self, sig=signal.SIGTERM, timeout=10):
        if self.alive():
            self.proc.send_signal(sig)
            try:
                self.proc.wait(timeout)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        return self.proc.returncode


# -- network and accounts -----------------------------------------------------

_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def in_netns(name):
    """This thread's sockets are made in that network namespace."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        if _libc.setns(there, 0):
            raise OSError(ctypes.get_errno(), "setns")
        yield
    finally:
        if _libc.setns(here, 0):
            os._exit(70)
        os.close(here)
        os.close(there)


def can_connect(netns, addr, port):
    with in_netns(netns):
        s = socket.socket()
    s.settimeout(1)
    try:
        return s.connect_ex((addr, port)) == 0
    finally:
        s.close()


_owed_by = itertools.cycle(range(16, 255))


@contextlib.contextmanager
def owing_nothing(netns="job"):
    """An address of that namespace whose logins have not failed yet: beyond a
    hundred bad tokens of late, those of one are a number in the ledger."""
    addr = f"10.91.0.{next(_owed_by)}"
    route = ("ip", "-n", netns, "route", "change", "10.91.0.0/24", "dev",
             "eth0", "src")
    run("ip", "-n", netns, "addr", "replace", f"{addr}/24", "dev", "eth0")
    run(*route, addr)
    try:
        yield addr
    finally:
        run(*route, NET[netns][0])


def make_network():
    run("ip", "link", "add", "br0", "type", "bridge")
    run("ip", "link", "set", "br0", "up")
    for name, addrs in NET.items():
        run("ip", "netns", "add", name)
        run("ip", "link", "add", f"v-{name}", "type", "veth",
            "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", f"v-{name}", "master", "br0", "up")
        run("ip", "-n", name, "link", "set", "lo", "up")
        for a in addrs:
            run("ip", "-n", name, "addr", "add", f"{a}/24", "dev", "eth0")
        run("ip", "-n", name, "link", "set", "eth0", "up")
    with open("/etc/hosts", "w") as f:
        f.write("127.0.0.1 localhost\n::1 localhost\n"
                f"10.91.0.1 {BASTION} bastion\n10.91.0.2 web-1.acme.example\n"
                "10.91.0.3 web-2.acme.example\n10.91.0.6 ")
        f.write(" ".join(n for n in issuer_hosts() if f"https://{n}"
                         not in NAMED))
        f.write("\n")
    # A bastion without DNS: what is not in hosts does not exist, at once.
    pathlib.Path("/etc/resolv.conf").write_text("")


HELPERS = {
    # What the tests run on targets, by absolute path.
    "exitwith": '#!/bin/sh\nexit "$1"\n',
    "diewith": '#!/bin/sh\necho before\nkill -"$1" $$\nsleep 5\n',
    "both": '#!/bin/sh\necho to stdout\necho to stderr >&2\n',
    "argv": '#!/bin/sh\nfor a do printf "<%s>\\n" "$a"; done\n',
    "myenv": '#!/bin/sh\nenv | sort\n',
    "showauth": '#!/bin/sh\ncat "$SSH_USER_AUTH"\n',
    "istty": '#!/bin/sh\ntest -t 0 && echo in; test -t 1 && echo out\n'
             'stty size 2>/dev/null\necho "TERM=$TERM"\n',
    "slow": '#!/bin/sh\ntrap "echo term; exit 9" TERM\necho started\n'
            'sleep "$1" & wait $!\necho done\n',
    "stream": '#!/bin/sh\ni=0\nwhile [ $i -lt "$2" ]; do i=$((i+1))\n'
              'echo "$1 $i"; sleep 0.1; done\n',
    "lines": '#!/bin/sh\nseq "$1"\n',
    # The terminal, if there is one, changes nothing of it.
    "plain": '#!/bin/sh\ntest ! -t 1 || stty raw -echo\ncat "$1"\n',
    "systemctl": '#!/bin/sh\necho "$1 $2"\nsleep 0.2\n'
                 'echo "$2 is up"\n',
    "migrate": '#!/bin/sh\nn=$(wc -l)\necho "$n statements applied"\n',
}


def make_accounts():
    """Logins of the targets and the job's own account, in the house's /etc."""
    (WORK / "home").mkdir()
    # bash executes a lone command in its own place, so that a death by signal
    # is the session's; dash would report it as an exit code.
    for name, shell in (("deploy", "bash"), ("other", "sh"), ("runner", "sh")):
        run("useradd", "-m", "-d", WORK / "home" / name, "-s",
            f"/bin/{shell}", "-p", "*", name)
    BIN.mkdir()
    for name, text in HELPERS.items():
        p = BIN / name
        p.write_text(text)
        p.chmod(0o755)


def ssh_keygen(path, comment="test"):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f",
        path)
    return path


def fingerprint(pub):
    blob = base64.b64decode(pathlib.Path(pub).read_text().split()[1])
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode()
    return "SHA256:" + digest.rstrip("=")


# -- the issuer ---------------------------------------------------------------


def _b64u(n, size=None):
    size = size or (n.bit_length() + 7) // 8
    return base64.urlsafe_b64encode(n.to_bytes(size, "big")).decode().strip("=")


class Key:
    def __init__(self, alg, kid):
        self.alg, self.kid = alg, kid
        if alg == "RS256":
            self.key = rsa.generate_private_key(65537, 2048)
        else:
            self.key = ec.generate_private_key(
                ec.SECP384R1() if alg == "ES384" else ec.SECP256R1())

    def jwk(self, zero=False):
        """zero: Java's BigInteger, with a sign byte in front of the modulus."""
        n = self.key.public_key().public_numbers()
        d = {"kid": self.kid, "alg": self.alg, "use": "sig"}
        if self.alg == "RS256":
            return d | {"kty": "RSA", "n": _b64u(n.n, 257 if zero else None),
                        "e": _b64u(n.e)}
        size = self.key.key_size // 8
        return d | {"kty": "EC", "crv": f"P-{size * 8}",
                    "x": _b64u(n.x, size), "y": _b64u(n.y, size)}


def issuer_hosts():
    """Every name that the issuers' server has."""
    urls = [GITHUB, ACME, FOREIGN, *NAMED]
    return sorted({u.split("/")[2] for u in urls} |
                  {s.host for s in shapes.SHAPES} |
                  {s.jwks_host for s in shapes.SHAPES if s.jwks_host})


class Issuer:
    """HTTPS with discovery and JWKS for three issuers: GitHub's name (RS256),
    a custom one (ES256) and one that no policy names.  Those of shapes.py are
    added by who needs them."""

    def __init__(self):
        self.keys = {
            GITHUB: Key("RS256", "gh-" + secrets.token_hex(16)),
            ACME: Key("ES256", "acme-1"),
            FOREIGN: Key("RS256", "foreign-1"),
        }
        self.shapes = {}
        self.beside = {}        # keys that an issuer has, too
        self.bearers = {}
        self.behave = None      # answers a request itself, if it says so
        self.requests = []
        self.minted = []
        self.ca_file = WORK / "issuer/ca.pem"
        self._certificates()
        self._serve()

    def _certificates(self):
        self.ca_file.parent.mkdir(parents=True)
        now = datetime.datetime.now(datetime.timezone.utc)

        def cert(cn, key, issuer_cn, issuer_key, ca, names=()):
            def name(n):
                return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, n)])
            b = (x509.CertificateBuilder().subject_name(name(cn))
                 .issuer_name(name(issuer_cn)).public_key(key.public_key())
                 .serial_number(x509.random_serial_number())
                 .not_valid_before(now - datetime.timedelta(hours=1))
                 .not_valid_after(now + datetime.timedelta(days=1))
                 .add_extension(x509.BasicConstraints(ca, None), True)
                 .add_extension(x509.SubjectKeyIdentifier.from_public_key(
                     key.public_key()), False)
                 .add_extension(
                     x509.AuthorityKeyIdentifier.from_issuer_public_key(
                         issuer_key.public_key()), False))
            if ca:  # or Python 3.13 does not take it
                b = b.add_extension(x509.KeyUsage(
                    False, False, False, False, False, True, True, False,
                    False), True)
            if names:
                b = b.add_extension(x509.SubjectAlternativeName(
                    [x509.DNSName(n) for n in names]), False)
            return b.sign(issuer_key, hashes.SHA256())

        ca_key = ec.generate_private_key(ec.SECP256R1())
        key = ec.generate_private_key(ec.SECP256R1())
        pem = serialization.Encoding.PEM
        self.ca_file.write_bytes(
            cert("house CA", ca_key, "house CA", ca_key, True)
            .public_bytes(pem))
        self._pem = WORK / "issuer/server.pem"
        self._pem.write_bytes(
            cert("issuer", key, "house CA", ca_key, False,
                 issuer_hosts()).public_bytes(pem) +
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8,
                              serialization.NoEncryption()))

    def _serve(self):
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                iss = "https://" + self.headers.get("Host", "").split(":")[0]
                issuer.requests.append((iss, self.path))
                if issuer.behave is not None and issuer.behave(self, iss):
                    return
                doc = issuer.asked(self) or issuer.document(iss, self.path)
                body = json.dumps(doc).encode()
                self.send_response(200 if doc else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass

        with in_netns("issuer"):
            self.server = Server((NET["issuer"][0], 443), Handler)
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(self._pem)
        self.server.socket = ctx.wrap_socket(
            self.server.socket, server_side=True,
            do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def asked(self, request):
        """What a CI system's own service answers to a job that shows its
        bearer: the token that self.bearers makes for the audience."""
        url = urllib.parse.urlsplit(request.path)
        if url.path != "/mint":
            return None
        kind, _, bearer = request.headers.get("Authorization", "").partition(
            " ")
        if kind != "bearer" or bearer not in self.bearers:
            return {"error": "no"}
        query = urllib.parse.parse_qs(url.query)
        token = self.bearers[bearer](query.get("audience", [None])[0])
        name = "value" if request.command == "GET" else "oidcToken"
        return {"count": len(token), name: token}

    def add(self, shape, key):
        """An issuer of that shape; GitHub's own is there and keeps its key."""
        if shape.iss not in self.keys:
            self.keys[shape.iss] = key
            self.shapes[shape.iss] = shape

    def shaped(self, url):
        """The document of one that was added."""
        for iss, s in self.shapes.items():
            where = f"https://{s.jwks_host}" if s.jwks_host else iss
            if url == iss + "/.well-known/openid-configuration":
                return {"issuer": iss, "jwks_uri": where + s.jwks,
                        "response_types_supported": ["id_token"],
                        "subject_types_supported": ["public"],
                        "id_token_signing_alg_values_supported": [s.alg]}
            if url == where + s.jwks:
                return {"keys": [k.jwk(s.zero) for k in (
                    self.keys[iss], *self.beside.get(iss, []))]}
        return None

    def document(self, iss, path):
        if (doc := self.shaped(iss + path)) is not None:
            return doc
        if iss not in self.keys:
            return None
        if path == "/.well-known/openid-configuration":
            return {"issuer": iss, "jwks_uri": iss + "/.well-known/jwks",
                    "subject_types_supported": ["public", "pairwise"],
                    "response_types_supported": ["id_token"],
                    "id_token_signing_alg_values_supported":
                        [self.keys[iss].alg],
                    "scopes_supported": ["openid"]}
        if path == "/.well-known/jwks":
            return {"keys": [self.keys[iss].jwk()]}
        return None

    def claims(self, iss=GITHUB, ttl=300, **changes):
        """What a GitHub job of acme/shop gets; None removes a claim."""
        now = int(time.time())
        repo, ref = "acme/shop", "refs/heads/main"
        wf = f"{repo}/.github/workflows/deploy.yml@{ref}"
        sha = "1f0c7a2e9b3d4c5f60718293a4b5c6d7e8f90a1b"
        c = {
            "jti": secrets.token_hex(18), "sub": f"repo:{repo}:environment:"
            "production", "aud": AUDIENCE, "ref": ref, "sha": sha,
            "repository": repo, "repository_owner": "acme",
            "repository_owner_id": "42", "run_id": "16512345678",
            "run_number": "1201", "run_attempt": "1",
            "repository_visibility": "private", "repository_id": "7712345",
            "actor_id": "583231", "actor": "octocat", "workflow": "Deploy",
            "head_ref": "", "base_ref": "", "event_name": "push",
            "ref_protected": "true", "ref_type": "branch",
            "workflow_ref": wf, "workflow_sha": sha, "job_workflow_ref": wf,
            "job_workflow_sha": sha, "environment": "production",
            "environment_node_id": "EN_kwDOB1QxZM6JXNQ",
            "runner_environment": "github-hosted",
            "repo_property_owner_team": "shop-backend",
            "repo_property_tier": "1",
            "check_run_id": "45512345678", "enterprise": "acme-enterprise",
            "enterprise_id": "91823",
            "iss": iss, "nbf": now - 600, "exp": now + ttl, "iat": now,
        }
        c.update(changes)
        return {k: v for k, v in c.items() if v is not None}

    def token(self, iss=GITHUB, key=None, headers=None, **changes):
        """A token; all that were made are in self.minted."""
        key = key or self.keys[iss]
        h = {"typ": "JWT", "alg": key.alg, "kid": key.kid}
        if key.alg == "RS256":
            h["x5t"] = "eS1iLW5vdC1hLXRodW1icHJpbnQ"
        self.minted.append(jwt.encode(
            self.claims(iss, **changes), key.key, algorithm=key.alg,
            headers=h | (headers or {})))
        return self.minted[-1]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


# -- a target -----------------------------------------------------------------


@functools.cache
def target_root():
    """What starts a target's sshd out of another system's root, if there is to
    be one: POSTERN_TARGET_ROOT.  Nothing is written there."""
    lower = os.environ.get("POSTERN_TARGET_ROOT")
    if not lower:
        return ()
    root, upper, work = (WORK / "root" / x for x in ("all", "upper", "work"))
    for d in (root, upper, work):
        d.mkdir(parents=True)
    run("mount", "-t", "overlay", "overlay", "-o",
        f"lowerdir={lower},upperdir={upper},workdir={work}", root)
    for d in ("opt", "proc", "tmp"):
        run("mount", "--bind", f"/{d}", root / d)
    run("mount", "--rbind", "/dev", root / "dev")
    run("mount", "-t", "tmpfs", "run", root / "run")
    (root / "run/sshd").mkdir()
    for f in ("passwd", "shadow", "group", "gshadow"):
        with open(root / "etc" / f, "a") as to:
            to.writelines(
                line for line in pathlib.Path("/etc", f).open()
                if line.split(":")[0] in ("deploy", "other"))
    return ("chroot", root)


@functools.cache
def target_knows(word):
    """Whether the targets' sshd has this option: releases differ."""
    key = ssh_keygen(WORK / "probe/host")
    known = run(*inside("target", [*target_root(), "/usr/sbin/sshd", "-T",
                                   "-f", "/dev/null", "-h", key])).stdout
    return f"\n{word.lower()} " in f"\n{known}"


class Target:
    """A stock sshd with its own host key, as an administrator sets it up from
    what `postern ca show --target` prints."""

    def __init__(self, name, addr, port=22, use_pam=True, also=(),
                 exempt=True):
        self.name, self.addr, self.port, self.also = name, addr, port, also
        self.exempt = exempt and target_knows("PerSourcePenalties")
        self.dir = WORK / "targets" / name
        self.hostkey = ssh_keygen(self.dir / "host")
        self.fingerprint = fingerprint(self.dir / "host.pub")
        self.ca_file = self.dir / "ca.pub"
        self.ca_file.touch()
        self.keys_file = self.dir / "authorized_keys"
        self.keys_file.touch()
        self.log = self.dir / "log"
        self.use_pam = use_pam
        self.daemon = None
        self.start()

    def config(self):
        return f"""\
Port {self.port}
ListenAddress {self.addr}
{"".join(f"ListenAddress {a}" for a in self.also)}
HostKey {self.hostkey}
PidFile none
LogLevel VERBOSE
UsePAM {"yes" if self.use_pam else "no"}
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
PrintMotd no
PrintLastLog no
MaxStartups 200
MaxSessions 20
ExposeAuthInfo yes
AuthorizedKeysFile {self.keys_file}
TrustedUserCAKeys {self.ca_file}
AuthorizedPrincipalsCommand /bin/echo %u+{self.name}
AuthorizedPrincipalsCommandUser nobody
Subsystem sftp internal-sftp
{"PerSourcePenaltyExemptList 10.91.0.1" if self.exempt else ""}
"""

    def trust(self, ca_text):
        """The CA's line out of what `postern ca show` prints."""
        self.ca_file.write_text("".join(
            line + "\n" for line in ca_text.splitlines()
            if line.startswith(("ssh-", "ecdsa-"))))
        assert self.ca_file.read_text(), ca_text

    def start(self):
        conf = self.dir / "sshd_config"
        conf.write_text(self.config())
        self.daemon = Daemon(f"sshd {self.name}", inside("target", [
            *target_root(), "/usr/sbin/sshd", "-D", "-e", "-f", conf]),
            self.log)
        self.daemon.wait_for(
            lambda: can_connect("target", self.addr, self.port))
        return self

    def settle(self, timeout=10):
        """Until all that was said to it so far is in its log.  sshd writes of
        a connection in a process of its own, late on a busy machine, also
        when whoever connected has long gone."""
        end = time.monotonic() + timeout
        with in_netns("target"):
            s = socket.create_connection((self.addr, self.port), 5)
        with s, contextlib.suppress(OSError):
            s.settimeout(timeout)
            s.recv(1)  # connections are accepted in order: all were
        pid = self.daemon.proc.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
        while children.read_text() and time.monotonic() < end:
            time.sleep(0.02)

    def mark(self):
        """Where the log ends now; since(mark) is what came after."""
        self.settle()
        return len(self.log.read_bytes())

    def since(self, mark):
        self.settle()
        return self.log.read_bytes()[mark:].decode(errors="replace")

    def reached(self, mark):
        """The bastion connected meanwhile; our own probes do not count."""
        return "Connection from 10.91.0.1 " in self.since(mark)

    def stop(self):
        if self.daemon:
            self.daemon.stop()
            self.daemon = None


# -- certificates, by a second hand -------------------------------------------


def _take(b, n):
    return b[:n], b[n:]


def _string(b):
    n, b = _take(b, 4)
    return _take(b, int.from_bytes(n, "big"))


def _wire(s):
    return len(s).to_bytes(4, "big") + s


@dataclasses.dataclass
class Certificate:
    """An Ed25519 user certificate (OpenSSH's PROTOCOL.certkeys)."""
    nonce: bytes
    key: bytes
    serial: int
    kind: int
    key_id: str
    principals: list
    after: int
    before: int
    critical: dict
    extensions: dict
    ca: bytes

    @classmethod
    def parse(cls, blob):
        name, b = _string(blob)
        assert name == b"ssh-ed25519-cert-v01@openssh.com"
        nonce, b = _string(b)
        key, b = _string(b)
        serial, b = _take(b, 8)
        kind, b = _take(b, 4)
        key_id, b = _string(b)
        names, b = _string(b)
        after, b = _take(b, 8)
        before, b = _take(b, 8)
        critical, b = _string(b)
        extensions, b = _string(b)
        reserved, b = _string(b)
        ca, b = _string(b)
        signature, b = _string(b)
        assert reserved == b"" and b == b""
        signed = blob[:len(blob) - len(signature) - 4]
        sig = _string(_string(signature)[1])[0]
        ed25519.Ed25519PublicKey.from_public_bytes(
            _string(_string(ca)[1])[0]).verify(sig, signed)
        principals = []
        while names:
            p, names = _string(names)
            principals.append(p.decode())
        num = [int.from_bytes(x, "big") for x in (serial, kind, after, before)]
        return cls(nonce, key, num[0], num[1], key_id.decode(), principals,
                   num[2], num[3], cls._options(critical),
                   cls._options(extensions), ca)

    @staticmethod
    def _options(b):
        out = {}
        while b:
            name, b = _string(b)
            value, b = _string(b)
            out[name.decode()] = _string(value)[0].decode() if value else ""
        return out

    def sign(self, ca_key):
        """The blob again, signed by the CA's private key."""
        def options(d):
            return b"".join(_wire(k.encode()) +
                            _wire(_wire(v.encode()) if v else b"")
                            for k, v in sorted(d.items()))
        b = (_wire(b"ssh-ed25519-cert-v01@openssh.com") + _wire(self.nonce) +
             _wire(self.key) + self.serial.to_bytes(8, "big") +
             self.kind.to_bytes(4, "big") + _wire(self.key_id.encode()) +
             _wire(b"".join(_wire(p.encode()) for p in self.principals)) +
             self.after.to_bytes(8, "big") + self.before.to_bytes(8, "big") +
             _wire(options(self.critical)) + _wire(options(self.extensions)) +
             _wire(b"") + _wire(self.ca))
        return b + _wire(_wire(b"ssh-ed25519") + _wire(ca_key.sign(b)))

    def kept(self, folder, ca_pem, **changes):
        """The same certificate for a key of our own: what a thief who kept a
        hop's key and certificate would hold.  Returns ssh's -i file."""
        folder.mkdir(parents=True, exist_ok=True)
        key = ed25519.Ed25519PrivateKey.generate()
        raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
        mine = dataclasses.replace(
            self, key=key.public_key().public_bytes(*raw), **changes)
        ca_key = serialization.load_pem_private_key(ca_pem, None)
        (folder / "k").write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption()))
        (folder / "k").chmod(0o600)
        (folder / "k-cert.pub").write_text(
            "ssh-ed25519-cert-v01@openssh.com " +
            base64.b64encode(mine.sign(ca_key)).decode() + "\n")
        return folder / "k"


# -- systemd's part -----------------------------------------------------------


class Unit:
    """An installed unit; what systemd would run."""

    def __init__(self, name):
        self.path = PREFIX / f"lib/systemd/system/{name}.service"
        self.values = {}
        for line in self.path.read_text().splitlines():
            if line and line[0] not in "#[":
                k, v = line.split("=", 1)
                self.values.setdefault(k, []).append(v)

    def lines(self, key, mainpid=0):
        return [[a.replace("$MAINPID", str(mainpid)) for a in shlex.split(v)]
                for v in self.values.get(key, [])]

    def get(self, key):
        (v,) = self.values[key]
        return v


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # A path: abstract names end at a network namespace.
        self.path = WORK / f"notify-{secrets.token_hex(4)}"
        self.sock.bind(str(self.path))
        self.sock.setblocking(False)
        self.heard = []

    def env(self):
        return os.environ | {"NOTIFY_SOCKET": str(self.path)}

    def told(self, line):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.heard += self.sock.recv(4096).decode().splitlines()
        return line in self.heard

    def forget(self):
        self.told("")
        self.heard = []


# -- the bastion --------------------------------------------------------------


class Bastion:
    """Postern as installed, with the settings of one small company."""

    def __init__(self, issuer, targets, policy="tests/e2e/acme.postern",
                 extra=None):
        self.issuer, self.targets = issuer, targets
        self.policy = TOP / policy
        self.daemon = self.sshd = None
        # What tests brought about, for test_zz_after: deaths by SIGSYS, and
        # operations that may have been cut (the fixture cuts).
        self.owned = 0
        self.cut = set()
        self.log = WORK / "posternd.log"
        self.sshd_log = WORK / "postern-sshd.log"
        self._install()
        self.write_policy()
        if extra:
            self.write_policy(extra, "extra.postern")
        self.postern("policy", "check")
        self.postern("ca", "init")
        for t in targets:
            t.trust(self.postern("ca", "show", "--target", t.name).stdout)

    def _install(self):
        """What the package's scripts do on a real host."""
        run(TOP / "packaging/accounts")
        shutil.copy(PREFIX / "share/postern/pam.d-postern-sshd",
                    "/etc/pam.d/postern-sshd")
        for folder in (ETC / "policy", STATE.parent, RUN.parent):
            folder.mkdir(parents=True, exist_ok=True)
        (ETC / "postern.conf").write_text(
            f"issuer-ca {self.issuer.ca_file}\n"
            f"issuer-address {NET['issuer'][0]}\nhandshake-timeout 8s\n"
            "server-alive-interval 5s\n")
        self.hostkey = ssh_keygen(ETC / "sshd/host_ed25519", "postern")

    def write_policy(self, text=None, name="main.postern"):
        if text is None:
            text = self.policy.read_text()
            for t in self.targets:
                text = text.replace(f"@{t.name}@", t.fingerprint)
            soon = datetime.date.today() + datetime.timedelta(days=10)
            text = text.replace("@SOON@", soon.isoformat())
        p = ETC / "policy" / name
        p.write_text(text)
        p.chmod(0o644)

    def start(self):
        self.start_posternd()
        self.start_sshd()

    def start_posternd(self, under=()):
        """As its unit says; under: a command that runs it."""
        unit, manager = Unit("postern"), Manager()
        for argv in unit.lines("ExecStartPre"):
            # "+" is the service manager's: with all rights
            run(*inside("bastion", [argv[0].lstrip("+"), *argv[1:]]))
        (argv,) = unit.lines("ExecStart")
        self.daemon = Daemon("posternd", inside("bastion", [*under, *argv]),
                             self.log, env=manager.env())
        self.manager = manager
        self.daemon.wait_for(lambda: manager.told("READY=1"))

    def start_sshd(self):
        unit, manager = Unit("postern-sshd"), Manager()
        (argv,) = unit.lines("ExecStart")
        argv = [a for a in argv if a != "-y"]   # its log is for the tests
        self.sshd = Daemon("postern-sshd", inside(
            "bastion", [*argv, "-l", "10.91.0.1", "-p", "22"]),
            self.sshd_log, env=manager.env())
        self.sshd.wait_for(lambda: can_connect("bastion", "10.91.0.1", 22))

    def reload(self):
        """After a change of the policy; returns what the daemon said."""
        at = self.log.stat().st_size
        self.manager.forget()
        (argv,) = Unit("postern").lines("ExecReload", self.daemon.proc.pid)
        run(*inside("bastion", argv), check=False)  # it may be refused
        self.daemon.wait_for(lambda: self.manager.told("READY=1"))
        return self.log.read_text()[at:]

    @contextlib.contextmanager
    def more_rules(self, text):
        """In force behind those of the policy, while the context lasts."""
        main = (ETC / "policy/main.postern").read_text()
        self.write_policy(main + text)
        try:
            assert "not accepted" not in self.reload()
            yield
        finally:
            self.write_policy(main)
            self.reload()

    def upgrade(self, timeout=60):
        """As the package does behind its unpacking; when all are new."""
        self.manager.forget()
        self.daemon.proc.send_signal(signal.SIGUSR2)
        self.daemon.wait_for(lambda: self.manager.told("READY=1"), timeout)
        assert self.manager.told("RELOADING=1")

    def stop(self):
        for d in (self.sshd, self.daemon):
            if d:
                d.stop()

    def postern(self, *args, check=True, **kw):
        return run(*inside("bastion", [PREFIX / "bin/postern", *args]),
                   check=check, **kw)

    def popen(self, *args):
        """The same, going on."""
        return subprocess.Popen(
            inside("bastion", [PREFIX / "bin/postern", *args]), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)

    def processes(self):
        """(pid, user, name) of all that is Postern's, oldest first."""
        import pwd
        out, listener = [], None
        for pid in sorted(int(p) for p in os.listdir("/proc") if p.isdigit()):
            with contextlib.suppress(OSError, KeyError, StopIteration):
                argv = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
                name = os.path.basename(argv.split(b"\0")[0].decode())
                if b"postern-sshd" in argv and b"[listener]" in argv:
                    name = "postern-sshd"
                    listener = pid
                # OpenSSH 9.8 and later: its children have another name
                if name.startswith("sshd-session: ") and int(pathlib.Path(
                        f"/proc/{pid}/stat").read_text().rpartition(")")[2]
                        .split()[1]) == listener:
                    name = name.replace("sshd-session", "postern-sshd", 1)
                if not name.startswith("postern"):
                    continue
                uid = next(int(x.split()[1]) for x in
                           open(f"/proc/{pid}/status")
                           if x.startswith("Uid:"))
                out.append((pid, pwd.getpwuid(uid).pw_name, name))
        return out

    def ledger(self):
        # The last one may be half written yet.
        text = (STATE / "ledger/ledger.jsonl").read_bytes()
        return [json.loads(line) for line in text.split(b"\n")[:-1]]

    def begun(self):
        """The operations that were let run."""
        return {e["operation"] for e in self.ledger()
                if e["event"] == "operation.decide" and e["verdict"] != "deny"}

    def told(self):
        """Until audit has written what policy told it before now: a job hears
        of its denial when policy has told audit, which writes the line before
        it answers what policy asks it next."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.postern("sessions", "--limit", "1", check=False, timeout=10)

    def mark(self, timeout=10):
        """The ledger's last number, when all that began has ended;
        events(mark) are those after it."""
        self.told()
        end = time.monotonic() + timeout
        while True:
            lines = self.ledger()
            ended = {e["operation"] for e in lines
                     if e["event"] == "operation.end"}
            if time.monotonic() > end or not [
                    e for e in lines if e["event"] == "operation.decide" and
                    e["verdict"] != "deny" and e["operation"] not in ended]:
                return lines[-1]["number"] if lines else 0
            time.sleep(0.02)

    def written(self, mark, kind=None):
        return [e for e in self.ledger()
                if e["number"] > mark and kind in (None, e["event"])]

    def events(self, mark, kind=None):
        """Those after mark, of what has ended."""
        self.told()
        return self.written(mark, kind)

    def some(self, mark, kind, n=1, timeout=30):
        """The events of that kind after mark, when there are n at least: who
        is refused may hear it before it is written."""
        end = time.monotonic() + timeout
        while True:
            found = self.written(mark, kind)
            if len(found) >= n:
                return found
            assert time.monotonic() < end, (kind, n, self.written(mark))
            time.sleep(0.02)

    def event(self, mark, kind, timeout=30):
        """The one event of that kind after mark; waits for it."""
        found = self.some(mark, kind, timeout=timeout)
        assert len(found) == 1, (kind, self.written(mark))
        return found[0]

    def recordings(self):
        return sorted((STATE / "recordings").glob("*/*.cast"))

    def recording(self, operation):
        (found,) = (STATE / "recordings").glob(f"*/{operation}.cast")
        return found


# -- the job ------------------------------------------------------------------

# The snippet that the manual gives to job authors; the token is in CI_TOKEN.
SNIPPET = """\
a=$(mktemp); cat >"$a" <<'S'
#!@SHELL@
case $1 in
*")"*")"*) exit 1 ;;
"("*"@@HOST@) token part "*:) n=${1##* }; n=${n%:} ;;
*) exit 1 ;;
esac
case $n in *[!0-9]*) exit 1 ;; esac
printf %s "$CI_TOKEN" | cut -c$((n*1000-999))-$((n*1000))
S
chmod 700 "$a"; export SSH_ASKPASS=$a SSH_ASKPASS_REQUIRE=force
ssh -o PreferredAuthentications=keyboard-interactive "$@"
r=$?; rm -f "$a"; exit $r
"""


@dataclasses.dataclass
class Result:
    code: int
    out: bytes
    err: bytes
    seconds: float

    @property
    def text(self):
        return self.out.decode()

    @property
    def error(self):
        return self.err.decode()


class Job:
    """A CI job: stock ssh, the askpass snippet, a token in its environment."""

    def __init__(self, issuer, netns="job", user="runner", host=BASTION):
        self.issuer, self.netns, self.user, self.host = (issuer, netns, user,
                                                         host)
        self.home = WORK / "home" / user
        (self.home / ".ssh").mkdir(exist_ok=True)

    def knows(self, pub, *names):
        """Adds a host key to the job's known_hosts."""
        kind, blob = pathlib.Path(pub).read_text().split()[:2]
        f = self.home / ".ssh/known_hosts"
        with open(f, "a") as fp:
            fp.write(f"{','.join(names)} {kind} {blob}\n")
        f.chmod(0o644)

    def env(self, **more):
        return {"HOME": str(self.home), "PATH": "/usr/bin:/bin",
                "TERM": "xterm-256color", "LANG": "C.UTF-8",
                "USER": self.user, "TMPDIR": "/tmp"} | more

    def popen(self, argv, env=None, **kw):
        kw.setdefault("stdin", subprocess.DEVNULL)
        kw.setdefault("stdout", subprocess.PIPE)
        kw.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen(inside(self.netns, argv, self.user),
                                env=env or self.env(), cwd="/",
                                start_new_session=True, **kw)

    @staticmethod
    def kill(p, sig=signal.SIGKILL):
        """The job's shell and its ssh."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(p.pid, sig)

    def run(self, argv, input=None, timeout=60, **kw):
        if input is not None:
            kw["stdin"] = subprocess.PIPE
        t0 = time.monotonic()
        with self.popen(argv, **kw) as p:
            try:
                out, err = p.communicate(input, timeout)
            except subprocess.TimeoutExpired:
                self.kill(p)
                out, err = p.communicate()
                raise RuntimeError(
                    f"{shlex.join(map(str, argv))}: no end after {timeout} s\n"
                    f"{(out or b'')[-2000:]!r}\n{(err or b'')[-2000:]!r}")
        return Result(p.returncode, out, err, time.monotonic() - t0)

    def argv(self, to, command=None, opts=(), shell=("/bin/sh",), host=None):
        host = host or self.host
        script = SNIPPET.replace("@SHELL@", " ".join(shell))
        script = script.replace("@HOST@", host)
        argv = [*shell, "-c", script, "job", *opts, f"{to}@{host}"]
        return argv + ([command] if command is not None else [])

    def ssh(self, to, command=None, token=None, **kw):
        """ssh TO@bastion COMMAND, the token handed over in parts."""
        if token is None:
            token = self.issuer.token()
        args = {k: kw.pop(k) for k in ("opts", "shell", "host") if k in kw}
        return self.run(self.argv(to, command, **args),
                        env=self.env(CI_TOKEN=token), **kw)


class House:
    """All of it, in the order in which it comes up."""

    def __init__(self):
        if os.environ.get("POSTERN_INSIDE") != "1":
            raise RuntimeError("run this by ./dev: it needs namespaces of its "
                               "own (tests/e2e/enter)")
        make_network()
        make_accounts()
        self.issuer = Issuer()
        self.started = []

    def open(self, extra=None, more=()):
        """Targets, the bastion, and a job that knows its host key; an extra
        policy file, and more targets that trust us."""
        self.web1 = self.target("web-1", "10.91.0.2", also=["127.0.0.1"])
        self.web2 = self.target("web-2", "10.91.0.3")
        self.plain1 = self.target("plain-1", "10.91.0.3", 2222, use_pam=False)
        # Same name in the policy, another key on the wire.
        self.wrong1 = self.target("wrong-1", "10.91.0.2", 2200)
        self.bastion = Bastion(self.issuer, [self.web1, self.web2,
                                             self.plain1, self.wrong1,
                                             *more], extra=extra)
        self.started.append(self.bastion)
        self.bastion.start()
        self.job = Job(self.issuer)
        self.job.knows(self.bastion.hostkey.with_suffix(".pub"), BASTION,
                       "bastion")

    @staticmethod
    def said():
        log = WORK / "posternd.log"
        return log.read_text()[-4000:] if log.exists() else ""

    def target(self, *args, **kw):
        t = Target(*args, **kw)
        self.started.append(t)
        return t

    def close(self):
        for it in reversed(self.started):
            it.stop()
        self.issuer.close()
