"""`./dev carry [MIB [MANY]]`: what each client moves, both ways: nothing, one
file of MIB (1024) MiB, MANY (10000) small ones, a tree, the rest of a file, and
a file of which the connection is cut in the middle.  What arrived is compared,
and what manifest and ledger say of it; a table tells it.

scp, scp -O, sftp in a batch and by hand, sshfs, paramiko, psftp and curl; what
is not installed is left out, and said.  What a client cannot do is a `-`.
"""
import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import house as h
from test_jobcert import QUIET, Key

AREA = pathlib.Path(f"/tmp/postern-carry-{os.urandom(4).hex()}")    # the target's
RULES = f"""
identity carrier from github {{ claim repository_id = "7712345"; claim ref = "refs/heads/carry" }}
allow carry for carrier on web-1 {{
    write under {AREA} by sftp scp-legacy
    read under {AREA} by sftp scp-legacy
}}
"""
CASES = ("empty", "big", "many", "tree", "resumed", "cut")
MANY_TREE = 60
END_S = int(os.environ.get("POSTERN_CARRY_S", "3600"))


def digest(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def random_file(path, size):
    with open(path, "wb") as f:
        for at in range(0, size, 1 << 20):
            f.write(os.urandom(min(1 << 20, size - at)))


def names(folder):
    return sorted(p.relative_to(folder) for p in folder.rglob("*")
                  if p.is_file())


def covered(ranges):
    """How far they reach from 0 on, in whatever order and parts they came."""
    at = 0
    for begin, end in sorted(ranges):
        if begin > at:
            break
        at = max(at, end)
    return at


class Client:
    """One program; each method is (argv, standard input), or None where it
    cannot do that."""
    name = "?"
    in_order = True     # a file is read from its beginning to its end
    daemon = None       # a word of what goes on behind it

    def __init__(self, it):
        self.it, self.job, self.key = it, it.job, it.key
        self.at = f"web-1@{self.job.host}"
        self.ssh = [*QUIET, "-i", self.key.private]

    def there(self):
        return True

    def put(self, what, to):
        raise NotImplementedError

    def get(self, what, to):
        raise NotImplementedError

    def put_tree(self, what, to):
        return None

    def get_tree(self, what, to):
        return None

    def put_rest(self, what, to):
        return None

    def get_rest(self, what, to):
        return None

    def run(self, deed):
        argv, lines = deed
        return self.job.run(argv, input=lines.encode(), timeout=END_S)


class Scp(Client):
    name = "scp"
    more = ()

    def put(self, what, to):
        return ["scp", *self.more, *self.ssh, what, f"{self.at}:{to}"], ""

    def get(self, what, to):
        return ["scp", *self.more, *self.ssh, f"{self.at}:{what}", to], ""

    def put_tree(self, what, to):
        argv, lines = self.put(what, to)
        return ["scp", "-r", *argv[1:]], lines

    def get_tree(self, what, to):
        argv, lines = self.get(what, to)
        return ["scp", "-r", *argv[1:]], lines


class ScpO(Scp):
    name = "scp -O"
    more = ("-O",)


class Sftp(Client):
    name = "sftp -b"

    def lines(self, text):
        return ["sftp", *self.ssh, "-b", "-", self.at], text

    def put(self, what, to):
        return self.lines(f"put {what} {to}\n")

    def get(self, what, to):
        return self.lines(f"get {what} {to}\n")

    def put_tree(self, what, to):
        return self.lines(f"put -r {what} {to}\n")

    def get_tree(self, what, to):
        return self.lines(f"get -r {what} {to}\n")

    def put_rest(self, what, to):
        return self.lines(f"reput {what} {to}\n")

    def get_rest(self, what, to):
        return self.lines(f"reget {what} {to}\n")


class SftpByHand(Sftp):
    """With a terminal, and an end by `bye`."""
    name = "sftp"

    def lines(self, text):
        inner = " ".join(map(str, ["sftp", *self.ssh, self.at]))
        return ["script", "-qec", inner, "/dev/null"], text + "bye\n"


class Psftp(Sftp):
    name = "psftp"

    def there(self):
        return shutil.which("puttygen") and shutil.which("psftp")

    def lines(self, text):
        ppk, script = self.key.folder / "k.ppk", self.key.folder / "script"
        if not ppk.exists():
            r = self.job.run(["puttygen", self.key.private, "-O", "private",
                              "-o", ppk, "--certificate",
                              self.key.folder / "k-cert.pub"])
            assert r.code == 0, r.error
        script.write_text(text + "quit\n")
        pin = h.fingerprint(self.it.bastion.hostkey.with_suffix(".pub"))
        return ["psftp", "-batch", "-hostkey", pin, "-i", ppk, "-b", script,
                self.at], ""


class Curl(Client):
    """By token, a connection for each file; trees it has none."""
    name = "curl"

    def there(self):
        return "sftp" in h.run("curl", "--version").stdout

    def curl(self, *args):
        pin = h.fingerprint(self.it.bastion.hostkey.with_suffix(".pub"))
        token = self.job.issuer.token(ref="refs/heads/carry")
        return ["curl", "-sS", "--hostpubsha256", pin.removeprefix("SHA256:"),
                "-K", "-", *args], f'user = "web-1:{token}"\n'

    def put(self, what, to):
        return self.curl("-T", what, f"sftp://{self.job.host}{to}")

    def get(self, what, to):
        return self.curl("-o", to, f"sftp://{self.job.host}{what}")

    def get_rest(self, what, to):
        return self.curl("-C", "-", "-o", to, f"sftp://{self.job.host}{what}")

    def put_rest(self, what, to):
        return self.curl("-C", str(to.stat().st_size), "-T", what,
                         f"sftp://{self.job.host}{to}")


class Sshfs(Client):
    """cp, over what is mounted for it alone.  It reads ahead, and of an empty
    file nothing."""
    name = "sshfs"
    in_order = False
    daemon = "mounted"

    def there(self):
        return shutil.which("sshfs") and os.path.exists("/dev/fuse")

    def mounted(self, text):
        there = self.it.local / "mounted"
        there.mkdir(exist_ok=True)
        return ["unshare", "-m", "sh", "-ec", f"""
            sshfs -o BatchMode=yes,IdentitiesOnly=yes,IdentityFile={self.key.private} \\
                -o UserKnownHostsFile={self.job.home}/.ssh/known_hosts \\
                {self.at}:{AREA} {there}
            r=0; ( {text.replace(str(AREA), str(there))} ) || r=$?
            umount {there}
            exit $r"""], ""

    def run(self, deed):
        argv, _ = deed      # who mounts is root
        p = subprocess.run(h.inside("job", argv), env=self.job.env(),
                           capture_output=True, timeout=END_S, check=False)
        return h.Result(p.returncode, p.stdout, p.stderr, 0)

    def put(self, what, to):
        return self.mounted(f"cp {what} {to}")

    get = put

    def put_tree(self, what, to):
        return self.mounted(f"cp -r {what} {to}")

    get_tree = put_tree

    def put_rest(self, what, to):
        return self.mounted(f"tail -c +$(($(stat -c %s {to}) + 1)) {what} "
                            f">>{to}")

    get_rest = put_rest


PARAMIKO = """
import os, socket, sys, paramiko
host, user, key, cert, how, what, to = sys.argv[1:]
k = paramiko.Ed25519Key.from_private_key_file(key)
k.load_certificate(cert)
t = paramiko.Transport(socket.create_connection((host, 22), 30))
t.start_client(timeout=30)
t.auth_publickey(user, k)
c = paramiko.SFTPClient.from_transport(t)
if how == "put":
    c.put(what, to)
elif how == "get":
    c.get(what, to)
elif how == "puttree":
    for folder, _, files in os.walk(what):
        there = os.path.normpath(os.path.join(to, os.path.relpath(folder, what)))
        c.mkdir(there)
        for f in files:
            c.put(os.path.join(folder, f), f"{there}/{f}")
elif how == "gettree":
    def down(what, to):
        os.mkdir(to)
        for a in c.listdir_attr(what):
            deed = down if a.st_mode & 0o40000 else c.get
            deed(f"{what}/{a.filename}", f"{to}/{a.filename}")
    down(what, to)
elif how == "putrest":
    with open(what, "rb") as f, c.open(to, "ab") as g:
        f.seek(c.stat(to).st_size)
        while d := f.read(1 << 20):
            g.write(d)
elif how == "getrest":
    with c.open(what, "rb") as f, open(to, "ab") as g:
        f.seek(g.tell())
        while d := f.read(1 << 20):
            g.write(d)
t.close()
"""


class Paramiko(Client):
    """It asks for all of a file ahead, and for some of it twice."""
    name = "paramiko"
    in_order = False

    def there(self):
        return h.run("/usr/bin/python3", "-c", "import paramiko",
                     check=False).returncode == 0

    def deed(self, how, what, to):
        return ["/usr/bin/python3", "-c", PARAMIKO, h.BASTION, "web-1",
                self.key.private, self.key.folder / "k-cert.pub", how, what,
                to], ""

    def put(self, what, to):
        return self.deed("put", what, to)

    def get(self, what, to):
        return self.deed("get", what, to)

    def put_tree(self, what, to):
        return self.deed("puttree", what, to)

    def get_tree(self, what, to):
        return self.deed("gettree", what, to)

    def put_rest(self, what, to):
        return self.deed("putrest", what, to)

    def get_rest(self, what, to):
        return self.deed("getrest", what, to)


CLIENTS = (Scp, ScpO, Sftp, SftpByHand, Sshfs, Paramiko, Psftp, Curl)


class Wrong(Exception):
    pass


@dataclasses.dataclass
class Case:
    """One thing that is moved: where it is on either side."""
    here: pathlib.Path
    there: pathlib.Path
    up: bool


class Carry:
    def __init__(self, house, mib, many, say=print):
        self.bastion, self.job, self.say = house.bastion, house.job, say
        self.mib, self.many = mib, many
        self.local = self.job.home / "carry"
        self.key = Key(self.job).login(
            self.job.issuer.token(ref="refs/heads/carry"))
        self.sums = {}

    def __enter__(self):
        for folder in (self.local, AREA):
            shutil.rmtree(folder, ignore_errors=True)
            (folder / "many").mkdir(parents=True)
            (folder / "tree/a/b").mkdir(parents=True)
            (folder / "empty").touch()
            random_file(folder / "big", (self.mib << 20) + 1)
            random_file(folder / "middle", 3_000_001)
            for i in range(self.many):
                (folder / f"many/{i:05}").write_bytes(os.urandom(i % 4096))
            for i in range(MANY_TREE):
                (folder / f"tree/a/f {i}").write_bytes(os.urandom(i * 100))
            (folder / "tree/a/b/last").write_text("last\n")
        self.own()
        return self

    def __exit__(self, *_):
        for folder in (self.local, AREA):
            shutil.rmtree(folder, ignore_errors=True)

    def own(self):
        h.run("chown", "-R", f"{self.job.user}:", self.local)
        h.run("chown", "-R", "deploy:", AREA)

    def manifest(self, mark):
        """{path: line} of what was moved since mark, when all is over."""
        end = time.monotonic() + 60
        while True:
            events = self.bastion.events(mark)
            begun = {e["operation"] for e in events
                     if e["event"] == "operation.decide"}
            over = {e["operation"] for e in events
                    if e["event"] == "operation.end"}
            if begun and begun == over:
                break
            if time.monotonic() > end:
                raise Wrong("an operation has no end in the ledger")
            time.sleep(0.1)
        lines = {}
        for o in sorted(begun):
            side = self.bastion.recording(o).with_suffix(".json")
            for text in side.read_text().splitlines():
                line = json.loads(text)
                if line["kind"] == "file" and \
                        line["verb"] in ("put", "get") and \
                        line["result"] != "begun":
                    # scp -O may mean either of two paths; see decision 0024.
                    for path in (line["path"], line.get("to")):
                        lines[line["verb"], path] = line
        return lines

    def told(self, lines, verb, there, whole=True, in_order=True):
        """The manifest has it, with the digest of what is there, or that all
        of it passed."""
        line, size = lines.get((verb, str(there))), there.stat().st_size
        if not in_order and verb == "get" and whole:
            if size > 0 and (line is None or line["bytes"] < size or not (
                    "sha256" in line or "more" in line or
                    covered(line["ranges"]) == size)):
                raise Wrong(f"the manifest says of reading {there}: {line}")
            return
        if line is None or line["result"] != "done":
            raise Wrong(f"the manifest says of {verb} {there}: {line}")
        if whole and line.get("sha256") != digest(there):
            raise Wrong(f"another digest in the manifest: {line}")
        if not whole and "sha256" in line:
            raise Wrong(f"a digest of half a file: {line}")

    def moved(self, client, deed, pairs, verb, whole=True):
        """Does it, compares; pairs of (here, there) that must be equal."""
        mark = self.bastion.mark()
        r = client.run(deed)
        if r.code != 0:
            raise Wrong(f"exit {r.code}: {r.out[-300:]!r} {r.error[-600:]}")
        lines = self.manifest(mark)
        for here, there in pairs():
            if digest(here) != digest(there):
                raise Wrong(f"{here} and {there} are not the same")
            self.told(lines, verb, there, whole, client.in_order)

    # -- cases ------------------------------------------------------------

    def one(self, client, name):
        up, down = AREA / "up", self.local / "down"
        self.moved(client, client.put(self.local / name, up),
                   lambda: [(self.local / name, up)], "put")
        self.moved(client, client.get(AREA / name, down),
                   lambda: [(down, AREA / name)], "get")

    def empty(self, client):
        self.one(client, "empty")

    def big(self, client):
        self.one(client, "big")

    def folder(self, client, name):
        up, down = AREA / "up", self.local / "down"
        deed = client.put_tree(self.local / name, up)
        if deed is None:
            return False

        def pairs(here, there, of):
            if names(here) != names(there):
                raise Wrong(f"{len(names(there))} of {len(names(here))}")
            return [(here / n, there / n) for n in names(of)]

        self.moved(client, deed, lambda: pairs(
            self.local / name, up, up), "put")
        self.moved(client, client.get_tree(AREA / name, down), lambda: pairs(
            down, AREA / name, down), "get")
        return True

    def many_files(self, client):
        return self.folder(client, "many")

    def tree(self, client):
        return self.folder(client, "tree")

    def resumed(self, client):
        up, down = AREA / "up", self.local / "down"
        for part, of in ((up, self.local), (down, AREA)):
            part.write_bytes((of / "middle").read_bytes()[:1_000_000])
        self.own()
        deed = client.put_rest(self.local / "middle", up)
        if deed is None:
            return False
        self.moved(client, deed, lambda: [(self.local / "middle", up)], "put",
                   False)
        self.moved(client, client.get_rest(AREA / "middle", down),
                   lambda: [(down, AREA / "middle")], "get", False)
        return True

    def cut(self, client):
        """Killed when some of it is there: what is there was sent, and the
        manifest calls it cut."""
        up, mark = AREA / "up", self.bastion.mark()
        argv, lines = client.put(self.local / "big", up)
        user = None if isinstance(client, Sshfs) else self.job.user
        with subprocess.Popen(
                h.inside("job", argv, user), env=self.job.env(), cwd="/",
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, start_new_session=True) as p:
            p.stdin.write(lines.encode())
            p.stdin.close()
            end = time.monotonic() + 60
            while not up.exists() or up.stat().st_size < 1 << 20:
                if p.poll() is not None or time.monotonic() > end:
                    raise Wrong(f"ended before it was cut: {p.poll()}")
                time.sleep(0.002)
            self.kill(p.pid, client.daemon)
        line = self.manifest(mark).get(("put", str(up)))
        if line is None or line["result"] != "cut" or "sha256" in line:
            raise Wrong(f"the manifest says of what was cut: {line}")
        with open(up, "rb") as a, open(self.local / "big", "rb") as b:
            while d := a.read(1 << 20):
                if b.read(len(d)) != d:
                    raise Wrong("what is there was not sent")
        return True

    @staticmethod
    def kill(pid, daemon):
        """All that it started: the terminal's too, which are a session of
        their own."""
        todo = [pid]
        for p in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if daemon and daemon.encode() in p.read_bytes():
                    todo.append(int(p.parent.name))
        for p in todo:
            with contextlib.suppress(OSError):
                todo += map(int, pathlib.Path(
                    f"/proc/{p}/task/{p}/children").read_text().split())
        for p in todo:
            with contextlib.suppress(ProcessLookupError):
                os.kill(p, signal.SIGKILL)

    def case(self, client, name):
        deed = getattr(self, {"many": "many_files"}.get(name, name))
        t0 = time.monotonic()
        try:
            done = deed(client) is not False
        except (Wrong, RuntimeError, OSError, subprocess.SubprocessError) as e:
            self.say(f"  FAULT {client.name}, {name}: {e}")
            return "FAULT"
        finally:
            for p in (AREA / "up", self.local / "down"):
                if p.is_dir():
                    shutil.rmtree(p)
                p.unlink(missing_ok=True)
        return f"{time.monotonic() - t0:.1f} s" if done else "-"

    def all(self, clients=CLIENTS, cases=CASES):
        """Prints the table; answers whether nothing was wrong."""
        rows, good = [], True
        for kind in clients:
            client = kind(self)
            if not client.there():
                rows.append(f"{client.name:10}not installed")
                continue
            was = [self.case(client, c) for c in cases]
            good = good and "FAULT" not in was
            rows.append(f"{client.name:10}" + "".join(f"{w:>11}" for w in was))
            self.say(rows[-1])
        self.say(f"\n{self.mib} MiB, {self.many} small files; both ways\n"
                 f"{'':10}" + "".join(f"{c:>11}" for c in cases))
        for row in rows:
            self.say(row)
        return good


def main():
    mib = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    many = int(sys.argv[2]) if len(sys.argv) > 2 else 10000

    def say(x):
        print(x, flush=True)

    house = h.House()
    try:
        house.open()
        with house.bastion.more_rules(RULES), \
                Carry(house, mib, many, say) as it:
            return 0 if it.all() else 1
    finally:
        house.close()


if __name__ == "__main__":
    sys.exit(main())
