"""The bastion whose calls fail: what is done to it, and what must hold whatever
fails.  One method for each path; what a path's name is preceded by `before_`
runs untouched."""
import contextlib
import json
import mmap
import os
import pathlib
import re
import shutil
import signal
import struct
import time

import house as h
import wire

PAGE = h.WORK / "faults"   # postern-sshd has a /run of its own
LAYOUT = "=32s32sIIqQQ32sQ"  # struct page of inject.c
COMMAND = "/opt/house/bin/lines 3"
OUTPUT = b"1\n2\n3\n"
CLAIMS = {"iss", "aud", "sub", "exp", "iat", "nbf", "jti", "repository",
          "repository_id", "ref", "environment", "run_id", "actor", "sha"}
FILES = h.WORK / "moved"    # on the target
RULES = f"""
allow carry for shop on web-1 {{
    write under {FILES} by sftp
    read under {FILES} by sftp
}}
"""
DAEMONS = ("posternd", "postern-oidc", "postern-policy", "postern-signer",
           "postern-audit")
# Words of a process that went another way than the documented one.
INSANE = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error|"
                    r"died \(signal (?!9\b)|free\(\):|malloc\(\):|"
                    r"Assertion|stack smashing|buffer overflow detected")


class Failure(Exception):
    pass


class Faults:
    """The page that inject.c reads."""

    def __init__(self):
        PAGE.write_bytes(bytes(4096))
        PAGE.chmod(0o666)
        with open(PAGE, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 4096)
        lib = h.WORK / "inject.so"
        shutil.copy(pathlib.Path(os.environ["POSTERN_BUILD"]) /
                    "tests/faults/.libs/inject.so", lib)
        lib.chmod(0o755)
        pathlib.Path("/etc/ld.so.preload").write_text(f"{lib}\n")

    def arm(self, program, obj, kind, n):
        self.off()
        page = struct.pack(LAYOUT, program.encode(), obj.encode(), 0, 0, n, 0,
                           0, b"", 0)
        self.map[:len(page)] = page
        self.map[64:68] = struct.pack("=I", kind)  # last: now it counts

    def hit(self):
        """What failed, or None."""
        *_, hits, what, _ = struct.unpack_from(LAYOUT, self.map)
        return what.rstrip(b"\0").decode() if hits else None

    def place(self):
        """Tells one call in the code from another."""
        return struct.unpack_from(LAYOUT, self.map)[-2:]

    def where(self, obj):
        """The functions around the call that failed, innermost first."""
        at = struct.unpack_from(LAYOUT, self.map)[-1]
        file = next(iter(h.PREFIX.rglob(obj)), None) if obj else None
        if not at or file is None:
            return ""
        lines = h.run("addr2line", "-ifs", "-e", file, hex(at - 1),
                      check=False).stdout.split("\n")
        return ", ".join(f"{f} {line}" for f, line in
                         zip(lines[::2], lines[1::2]))

    def off(self):
        """(calls that were counted, what failed or None)"""
        self.map[64:68] = bytes(4)
        return struct.unpack_from(LAYOUT, self.map)[5], self.hit()


class Ledger:
    """The ledger, each line read once."""

    def __init__(self):
        self.path, self.at = h.STATE / "ledger/ledger.jsonl", 0
        self.verdicts, self.open, self.last = {}, set(), None
        self.allowed = []       # in order

    def read(self):
        with open(self.path, "rb") as f:
            f.seek(self.at)
            data = f.read()
        data = data[:data.rfind(b"\n") + 1]
        self.at += len(data)
        for line in data.splitlines():
            e = self.last = json.loads(line)
            if e["event"] == "operation.decide":
                self.verdicts.setdefault(e["operation"], []).append(
                    e["verdict"])
                if e["verdict"] == "allow":
                    self.open.add(e["operation"])
                    self.allowed.append(e["operation"])
            elif e["event"] == "operation.end":
                self.open.discard(e["operation"])
        return self


class Bastion:
    def __init__(self):
        self.it = it = h.House()
        self.faults = Faults()
        it.open()
        self.bastion, self.job, self.web = it.bastion, it.job, it.web1
        self.bastion.write_policy(
            (h.ETC / "policy/main.postern").read_text() + RULES)
        if "not accepted" in self.bastion.reload():
            raise Failure("the policy is not accepted")
        os.makedirs(FILES, exist_ok=True)
        shutil.chown(FILES, "deploy")
        self.master, self.sock = None, f"{h.WORK}/home/runner/mux"
        self.ledger, self.target_at = Ledger(), 0
        self.all_open = {}      # name: descriptors, see leaks
        self.log_at = self.sshd_at = 0
        self.baseline = {}
        self.falls = 0      # posternd's own

    # -- paths ------------------------------------------------------------

    def token(self, ttl=60, **changes):
        """One that ends soon, with what the policy asks for: each claim is a
        dozen calls, and each session one more that a new process takes over."""
        c = self.job.issuer.claims()
        drop = {k: None for k in c if k not in CLAIMS}
        return self.job.issuer.token(ttl=ttl, **(drop | changes))

    def ssh(self, user, command, **changes):
        return self.job.ssh(user, command, token=self.token(**changes),
                            opts=("-o", "NumberOfPasswordPrompts=1"),
                            timeout=90)

    def login(self):
        """One operation with a login of its own."""
        return self.ssh("web-1", COMMAND)

    def badtoken(self):
        return self.ssh("web-1", COMMAND, aud="elsewhere")

    def ask_oidc(self, **changes):
        """As the PAM module does, without the ssh around it; the answer as the
        module gives it."""
        try:
            with wire.connect(h.RUN / "pam.sock") as s:
                wire.send(s, "LOGIN", wire.text("web-1") +
                          wire.text("10.91.0.4") +
                          wire.text(self.token(20, **changes)) + wire.u32(1) +
                          wire.text(""))
                m = wire.receive(s)
        except OSError as e:
            return h.Result(255, b"", f"postern: not judged: {e}".encode(), 0)
        if m is None:
            return h.Result(255, b"", b"postern: not judged", 0)
        if m.u32():
            return h.Result(255, b"", b"postern: opens no session here", 0)
        return h.Result(0, OUTPUT, b"", 0)

    def judge(self):
        return self.ask_oidc()

    def refuse(self):
        return self.ask_oidc(aud="elsewhere")

    def control(self):
        return self.ssh("postern", "whoami")

    def certify(self):
        """`login` on the control surface: a certificate for the job's key."""
        key = self.job.home / "faults/k"
        if not key.exists():
            h.ssh_keygen(key)
            h.run("chown", "-R", "runner:", key.parent)
        return self.job.ssh("postern", "login", token=self.token(),
                            opts=("-o", "NumberOfPasswordPrompts=1"),
                            timeout=90,
                            input=key.with_suffix(".pub").read_bytes())

    def certified(self):
        """One operation with a login by certificate."""
        key = self.job.home / "faults/k"
        r = self.job.run(["ssh", "-i", key, "-o", "IdentitiesOnly=yes", "-o",
                          "BatchMode=yes", f"web-1@{h.BASTION}", COMMAND],
                         timeout=90)
        if r.code == 254:   # its session may be lost
            self.certificate.unlink(missing_ok=True)
        return r

    @property
    def certificate(self):
        return self.job.home / "faults/k-cert.pub"

    def before_certified(self):
        if not self.certificate.exists() or \
                time.time() - self.certificate.stat().st_mtime > 600:
            if (r := self.certify()).code != 0:
                raise Failure(f"no certificate: {r.code} {r.error}")
            self.certificate.write_bytes(r.out)
            self.quiet()

    def over_mux(self, command, **kw):
        """On a connection that stands."""
        if self.master is None or self.master.poll() is not None:
            self.connect()
        r = self.job.run(["ssh", "-S", self.sock, "-o", "ControlMaster=no",
                          f"web-1@{h.BASTION}", command], timeout=90, **kw)
        # The connection is lost, or its session is over: a new policy that it
        # could not be held against, say.
        if r.code == 255 or "has no session here" in r.error:
            self.disconnect()
        return r

    def operation(self):
        return self.over_mux(COMMAND)

    def files(self):
        """There by SFTP, and back."""
        r = self.job.run(["sh", "-c", f"""
            cd $(mktemp -d {h.WORK}/home/runner/f.XXXXXX) || exit 1
            printf '1\\n2\\n3\\n' >out
            printf 'put out {FILES}/f\\nget {FILES}/f back\\n' |
                sftp -q -o ControlPath={self.sock} -o ControlMaster=no -b - \
                web-1@{h.BASTION} >said 2>&1 ||
                {{ cat said >&2; exit 255; }}
            cat back
            rm -r "$PWD" """], timeout=90)
        if r.code == 255:
            self.disconnect()
        return r

    before_operation = before_denied = before_list = before_either = \
        before_input = before_files = lambda self: self.connect()

    def denied(self):
        return self.over_mux("systemctl stop web")

    def list(self):
        return self.over_mux("/opt/house/bin/lines 1 && "
                             "/opt/house/bin/lines 2")

    def either(self):
        return self.over_mux(f"{COMMAND} || /opt/house/bin/lines 2")

    def input(self):
        return self.over_mux("cat", input=OUTPUT)

    def connect(self):
        if self.master is not None and self.master.poll() is None:
            return
        self.disconnect()
        end = time.monotonic() + 120
        while not os.path.exists(self.sock):
            if self.master is None or self.master.poll() is not None:
                self.disconnect()
                self.master = self.job.popen(
                    self.job.argv("web-1", opts=("-N", "-M", "-S", self.sock)),
                    env=self.job.env(CI_TOKEN=self.token(300)))
            if time.monotonic() > end:
                raise Failure("no connection stands")
            time.sleep(0.05)
        if (r := self.over_mux(COMMAND)).code != 0: # and policy knows it
            raise Failure(f"the connection is of no use: {r.code} {r.error}")
        self.quiet()

    def disconnect(self):
        if self.master is not None:
            self.job.kill(self.master)
            self.master.communicate()
            self.master = None
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.sock)

    def postern(self, *args):
        p = self.bastion.postern(*args, check=False, timeout=60)
        return h.Result(p.returncode, p.stdout.encode(), p.stderr.encode(), 0)

    def query(self):
        return self.postern("sessions", "--limit", "5", "--json")

    def status(self):
        return self.postern("status")

    def check(self):
        return self.postern("policy", "check")

    def explain(self):
        return self.postern("policy", "explain", "--as", "shop", "--on",
                            "web-1", "--", "systemctl", "restart", "web")

    def can(self):
        return self.postern("policy", "can", "--as", "shop", "--json")

    def diff(self):
        main = str(h.ETC / "policy/main.postern")
        return self.postern("policy", "diff", main, main)

    def export(self):
        return self.postern("policy", "export", "--json")

    def ca(self):
        return self.postern("ca", "show", "--target", "web-1")

    def show(self):
        return self.postern("show", self.shown)

    def replay(self):
        return self.postern("replay", "--speed", "1000", self.shown)

    def before_show(self):
        """One operation that does not change."""
        if not hasattr(self, "shown"):
            if self.login().code != 0:
                raise Failure("no operation to show")
            self.quiet()
            self.shown = self.ledger.read().last["operation"]

    before_replay = before_show

    def anew(self):
        """After a failure: the next one is not to be the last one's."""
        self.disconnect()
        self.bastion.daemon.stop(timeout=25)
        self.launch()
        if not self.hear(b"ready", 30):
            raise Failure("posternd does not start any more")
        self.said()

    def gone(self):
        return self.bastion.daemon.proc.poll() is not None

    def revive(self):
        """systemd's part: a posternd that ended, and said why, is started."""
        code = self.bastion.daemon.proc.poll()
        if code is None:
            return
        self.fell(code)
        self.launch()
        if not self.hear(b"ready", 30):
            raise Failure("posternd does not start again")

    def fell(self, code):
        """1, and a last word."""
        if code != 1:
            raise Failure(f"posternd ended with {code}")
        last = self.bastion.log.read_bytes().rstrip().rsplit(b"\n", 8)
        if not any(x.startswith(b"posternd: ") and b": ready" not in x
                   for x in last[1:]):
            raise Failure("posternd fell without a word")
        self.falls += 1

    def hear(self, word, timeout):
        """Until the broker has logged a line that ends with `word`."""
        end = time.monotonic() + timeout
        want = re.compile(rb"^posternd: (?:.*: )?" + word + rb"$|^postern-"
                          rb"policy: policy " + word, re.M)
        while not want.search(self.bastion.log.read_bytes(), self.heard):
            if time.monotonic() > end or \
                    self.bastion.daemon.proc.poll() is not None:
                return False
            time.sleep(0.02)
        return True

    def before_reload(self):
        self.connect()
        self.heard = self.bastion.log.stat().st_size

    def reload(self):
        """The policy once more; the answer is the next operation's."""
        self.bastion.daemon.proc.send_signal(signal.SIGHUP)
        end = time.monotonic() + 1
        while time.monotonic() < end and b"policy " not in \
                self.bastion.log.read_bytes()[self.heard:]:
            time.sleep(0.02)
        return self.operation()

    def before_start(self):
        self.connect()
        self.bastion.daemon.stop()

    def launch(self):
        self.heard = self.bastion.log.stat().st_size
        self.bastion.daemon = h.Daemon("posternd", h.inside(
            "bastion", [h.PREFIX / "sbin/posternd"]), self.bastion.log)

    def start(self):
        """All of it anew, sshd apart; what falls is started again, as systemd
        does it."""
        end = time.monotonic() + 90
        while True:
            self.launch()
            if self.hear(b"ready", 15):
                break
            if (code := self.bastion.daemon.proc.poll()) is not None:
                self.fell(code)
            self.bastion.daemon.stop()
            if time.monotonic() > end:
                raise Failure("posternd does not start any more")
        return self.operation()

    before_first = before_start

    def first(self):
        """The first token that a new oidc sees: it has no keys yet."""
        r = self.start()
        return self.judge() if r.code == 0 else r

    def stop(self):
        """Down, and up again untouched."""
        t0 = time.monotonic()
        code = self.bastion.daemon.stop(timeout=25)
        took = time.monotonic() - t0
        if code not in (0, 1):
            raise Failure(f"posternd ended with {code} after {took:.0f} s")
        self.stopped = self.faults.off()
        self.launch()
        if not self.hear(b"ready", 30):
            raise Failure("posternd does not start after its stop")
        return self.operation()

    before_stop = before_death = before_upgrade = before_operation

    def death(self):
        """One child is killed; posternd puts another into its place."""
        self.heard = self.bastion.log.stat().st_size
        for pid, _, name in self.bastion.processes():
            if name == "postern-signer":
                os.kill(pid, signal.SIGKILL)
        self.whole()
        return self.operation()

    def upgrade(self):
        self.heard = self.bastion.log.stat().st_size
        self.bastion.daemon.proc.send_signal(signal.SIGUSR2)
        self.hear(rb"(?:upgraded|.*goes on.*)", 20)
        if self.bastion.daemon.proc.poll() is not None:
            return self.start()     # as systemd does
        return self.operation()

    def whole(self):
        end = time.monotonic() + 30
        while {n for _, _, n in self.bastion.processes()} < set(DAEMONS):
            if time.monotonic() > end or \
                    self.bastion.daemon.proc.poll() is not None:
                return
            time.sleep(0.02)

    # -- what must hold ---------------------------------------------------

    def said(self):
        """What was logged since the last call."""
        out = []
        for path, at in ((self.bastion.log, "log_at"),
                         (self.bastion.sshd_log, "sshd_at")):
            with open(path, "rb") as f:
                f.seek(getattr(self, at))
                data = f.read()
            out.append(data.decode(errors="replace"))
            setattr(self, at, getattr(self, at) + len(data))
        return "".join(out)

    def descriptors(self):
        """{(pid, name): number} of the processes that stay."""
        out = {}
        for pid, _, name in self.bastion.processes():
            if name in DAEMONS:
                with contextlib.suppress(OSError):
                    out[pid, name] = len(os.listdir(f"/proc/{pid}/fd"))
        return out

    def settle(self, again):
        """The next job goes through; then all is quiet."""
        end = time.monotonic() + 120    # an issuer is not asked again at once
        self.revive()
        self.whole()
        while (r := again()).code != 0:
            if time.monotonic() > end:
                raise Failure(f"nothing works any more: {r.code} {r.error} "
                              f"{self.ledger.read().last}")
            time.sleep(0.1)
        self.quiet()

    def quiet(self):
        """Nothing runs, and what began has its end."""
        end = time.monotonic() + 60
        self.revive()       # without audit nothing has an end
        while any(n in ("postern-hop", "postern-shell")
                  for _, _, n in self.bastion.processes()):
            if time.monotonic() > end:
                raise Failure("a hop or a shell stays")
            time.sleep(0.02)
        while self.ledger.read().open:
            self.revive()
            if time.monotonic() > end:
                open_, self.ledger.open = self.ledger.open, set()
                raise Failure(f"no end in the ledger: {open_}")
            time.sleep(0.03)

    def leaks(self, before):
        """Who has more descriptors than before, and than when all is open:
        after a fault audit opens its ledger again when it needs it.  Waits for
        what closes late."""
        end = time.monotonic() + 15
        while True:
            now = self.descriptors()
            more = [f"{k[1]} {before[k]} → {n}" for k, n in now.items()
                    if k in before and
                    n > max(before[k], self.all_open.get(k[1], 0))]
            if not more or time.monotonic() > end:
                return more
            time.sleep(0.05)

    def recorded(self):
        """What the target ran since the last call was allowed, and has its
        recording; what a job was not granted never reached it."""
        log = self.web.since(self.target_at)
        self.target_at += len(log.encode())
        self.ledger.read()
        for op in set(re.findall(r"ID \"?postern operation=([0-9A-Z]{26})",
                                 log)):
            if self.ledger.verdicts.get(op) != ["allow"]:
                raise Failure(f"{op} reached the target: "
                              f"{self.ledger.verdicts.get(op)}")
            if not self.bastion.recording(op).stat().st_size:
                raise Failure(f"{op} reached the target unrecorded")

    def shown_is_recorded(self, out, since):
        """What the job saw is in the recordings of its operations."""
        ops = self.ledger.read().allowed[since:]
        have = ""
        for op in ops:      # one that was not begun has none
            for f in (h.STATE / "recordings").glob(f"*/{op}.cast"):
                have += "".join(
                    json.loads(line)[2]
                    for line in f.read_text().splitlines(True)[1:]
                    if line.endswith("\n") and json.loads(line)[1] == "o")
        if not have.replace("\r\n", "\n").encode().startswith(out):
            raise Failure(f"shown and not recorded: {out!r}, {have!r}, {ops}")

    @staticmethod
    def sane(*texts):
        for text in texts:
            if m := INSANE.search(text):
                raise Failure(text[max(0, m.start() - 300):][:5000])
