"""`./dev faults [--sample] [PROCESS[:PATH[:KIND]] …]`: the Nth call of one kind
fails in one process of a running bastion, N = 1, 2, 3 … until the path goes
through untouched.

Whatever fails, the job gets its output or one of our refusals; what reached a
target is in the ledger as allowed, with a recording; no process reads or
writes where it must not; none keeps a descriptor; and the next operation goes
through, in the same process or in the one that took its place.
"""
import argparse
import collections
import contextlib
import json
import mmap
import os
import pathlib
import re
import shutil
import signal
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
import house as h  # noqa: E402

KINDS = {"alloc": 1, "files": 2, "write": 4, "send": 8, "socket": 16,
         "process": 32}
PAGE = h.WORK / "faults"   # postern-sshd has a /run of its own
LAYOUT = "=32s32sIIqQQ32s"  # struct page of inject.c
COMMAND = "/opt/house/bin/exitwith 3"
OURS = {64, 69, 74, 75, 77}
# Any fault there ends the login itself, as sshd says it.
LOGIN = OURS | {254, 255}
SAMPLE = [1, 3, 10, 30]     # of each kind, in the first path
N_MAX = 3000


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
                           0, b"")
        self.map[:len(page)] = page
        self.map[64:68] = struct.pack("=I", kind)  # last: now it counts

    def off(self):
        """(calls that were counted, what failed or None)"""
        self.map[64:68] = bytes(4)
        *_, seen, hits, what = struct.unpack_from(LAYOUT, self.map)
        return seen, what.rstrip(b"\0").decode() if hits else None


class Failure(Exception):
    pass


class Bastion:
    """The bastion under test, and what must hold whatever happens to it."""

    def __init__(self):
        self.it = it = h.House()
        self.faults = Faults()
        it.open()
        self.bastion, self.job, self.web = it.bastion, it.job, it.web1
        self.master, self.sock = None, "/tmp/faults.mux"
        self.log_at = self.sshd_at = 0
        self.mute = False

    # -- what is done ---------------------------------------------------------

    def login(self):
        """One operation with a login of its own."""
        return self.job.ssh("web-1", COMMAND, timeout=90)

    def operation(self):
        """One operation on a connection that stands."""
        if self.master is None or self.master.poll() is not None:
            self.connect()
        r = self.job.run(["ssh", "-S", self.sock, "-o", "ControlMaster=no",
                          f"web-1@{h.BASTION}", COMMAND], timeout=90)
        if r.code != 3:     # perhaps the session is lost
            self.disconnect()
        return r

    def connect(self):
        self.disconnect()
        end = time.monotonic() + 30
        while not os.path.exists(self.sock):
            if self.master is None or self.master.poll() is not None:
                self.master = self.job.popen(
                    self.job.argv("web-1", opts=("-N", "-M", "-S", self.sock)),
                    env=self.job.env(CI_TOKEN=self.job.issuer.token()))
            if time.monotonic() > end:
                raise Failure("no connection stands")
            time.sleep(0.05)
        if self.operation().code != 3:
            raise Failure("the connection is of no use")

    def disconnect(self):
        if self.master is not None:
            self.job.kill(self.master)
            self.master.communicate()
            self.master = None
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.sock)

    def query(self):
        p = self.bastion.postern("sessions", "--limit", "5", "--json",
                                 check=False)
        return h.Result(p.returncode, p.stdout.encode(), p.stderr.encode(), 0)

    def reload(self):
        """The policy once more; the answer is the next operation's."""
        lines = len(self.bastion.log.read_text().split("policy "))
        self.bastion.daemon.proc.send_signal(signal.SIGHUP)
        end = time.monotonic() + 1
        while time.monotonic() < end and \
                len(self.bastion.log.read_text().split("policy ")) == lines:
            time.sleep(0.02)
        return self.login()

    def start(self):
        """All of it anew, sshd apart."""
        self.bastion.daemon.stop()
        end = time.monotonic() + 60
        while True:
            mark = self.bastion.log.stat().st_size
            self.bastion.daemon = h.Daemon("posternd", h.inside(
                "bastion", [h.PREFIX / "sbin/posternd"]), self.bastion.log)
            try:
                self.bastion.daemon.wait_for(
                    lambda: "ready" in self.bastion.log.read_text()[mark:], 10)
                break
            except RuntimeError:    # it fell, or its one word was lost
                self.bastion.daemon.stop()
                if time.monotonic() > end:
                    raise
        return self.login()

    # -- what must hold -------------------------------------------------------

    def said(self):
        """What was logged since the last call."""
        out = []
        for path, at in ((self.bastion.log, "log_at"),
                         (self.bastion.sshd_log, "sshd_at")):
            data = path.read_bytes()
            out.append(data[getattr(self, at):].decode(errors="replace"))
            setattr(self, at, len(data))
        return "".join(out)

    def descriptors(self):
        """{(pid, name): number} of the processes that stay."""
        out = {}
        for pid, _, name in self.bastion.processes():
            if name in ("posternd", "postern-oidc", "postern-policy",
                        "postern-signer", "postern-audit"):
                with contextlib.suppress(OSError):
                    out[pid, name] = len(os.listdir(f"/proc/{pid}/fd"))
        return out

    def settle(self):
        """The next operation goes through; then all is quiet."""
        end = time.monotonic() + 120    # an issuer is not asked again at once
        while (r := self.login()).code != 3:
            if time.monotonic() > end:
                raise Failure(f"nothing works any more: {r.code} {r.error} "
                              f"{self.bastion.ledger()[-1]}")
            time.sleep(0.1)
        self.quiet()

    def quiet(self):
        """Nothing runs, and what began has its end."""
        end = time.monotonic() + 30
        while any(n in ("postern-hop", "postern-shell")
                  for _, _, n in self.bastion.processes()):
            if time.monotonic() > end:
                raise Failure("a hop or a shell stays")
            time.sleep(0.02)
        while (open_ := self.unfinished()):
            if time.monotonic() > end:
                raise Failure(f"no end in the ledger: {open_}")
            time.sleep(0.05)

    def unfinished(self):
        lines = self.bastion.ledger()
        ended = {e["operation"] for e in lines if e["event"] == "operation.end"}
        return [e["operation"] for e in lines if e["event"] ==
                "operation.decide" and e["verdict"] == "allow" and
                e["operation"] not in ended]

    def leaks(self, before):
        """Who has more descriptors than before; waits for what closes late."""
        end = time.monotonic() + 15
        while True:
            now = self.descriptors()
            more = [f"{k[1]} {before[k]} → {n}" for k, n in now.items()
                    if k in before and n > before[k]]
            if not more or time.monotonic() > end:
                return more
            time.sleep(0.05)

    def recorded(self, since):
        """What the target ran was allowed, and has its recording."""
        for op in set(re.findall(r"ID \"?postern operation=([0-9A-Z]{26})",
                                 since)):
            decided = [e for e in self.bastion.ledger()
                       if e["event"] == "operation.decide" and
                       e["operation"] == op]
            if [e["verdict"] for e in decided] != ["allow"]:
                raise Failure(f"{op} reached the target undecided")
            if not self.bastion.recording(op).stat().st_size:
                raise Failure(f"{op} reached the target unrecorded")

    def answered(self, r, allowed, done, log):
        if done(r):
            return
        if r.code not in allowed:
            raise Failure(f"exit code {r.code}: {r.out!r} {r.error}")
        # A job that was accepted has let its shell go: when the hop falls
        # then, or the shell, there is nobody left to say so but the log.
        if r.code in OURS and "postern:" not in r.error and not (
                r.code == 75 and (self.mute or "postern-hop:" in log or
                                  "start of operation" in log or
                                  "a hop could not" in log)):
            raise Failure(f"exit code {r.code} without a word: {r.error}")

    def sane(self, log):
        for word in ("AddressSanitizer", "runtime error", "died (signal 11)",
                     "died (signal 6)", "free():", "malloc():"):
            if word in log:
                raise Failure(log[max(0, log.index(word) - 200):][:4000])


def operated(r):
    return r.code == 3


def listed(r):
    return r.code == 0 and r.out.startswith(b"{")


# process: program, object, {path: codes that a fault there may give}
HOP = {"operation": OURS | {255}}
PROCESSES = {
    "pam": ("postern-sshd", "pam_postern.so", {"login": LOGIN}),
    "nss": ("postern-sshd", "libnss_postern.so.2", {"login": LOGIN}),
    "shell": ("postern-shell", "postern-shell", HOP),
    "hop": ("postern-hop", "postern-hop", HOP),
    "oidc": ("postern-oidc", "postern-oidc", {"login": LOGIN, "start": LOGIN}),
    "policy": ("postern-policy", "postern-policy", {
        "login": LOGIN, "reload": LOGIN, "query": {1, 69, 75}, "start": LOGIN}),
    "signer": ("postern-signer", "postern-signer", {
        "operation": OURS, "reload": LOGIN, "start": LOGIN}),
    "audit": ("postern-audit", "postern-audit", {
        "operation": OURS, "query": {1, 69, 75}, "start": LOGIN}),
    "posternd": ("posternd", "posternd", {
        "operation": OURS, "reload": LOGIN, "start": LOGIN}),
    "cli": ("postern", "postern", {"query": {1, 69, 74, 75}}),
}


class Run:
    def __init__(self, args):
        self.b, self.args, self.failed, self.runs = Bastion(), args, 0, 0
        self.found = []

    def wanted(self, *where):
        return not self.args.what or any(
            w.split(":") == list(where)[:len(w.split(":"))]
            for w in self.args.what)

    def all(self):
        self.b.settle()
        for process, (program, obj, paths) in PROCESSES.items():
            for path, codes in paths.items():
                if self.args.sample and path != next(iter(paths)):
                    continue
                for kind in KINDS:
                    if self.wanted(process, path, kind):
                        self.loop(process, program, obj, path, kind, codes)

    def numbers(self):
        return SAMPLE if self.args.sample else range(self.args.first, N_MAX)

    def loop(self, process, program, obj, path, kind, codes):
        b, t0 = self.b, time.monotonic()
        # Which faults led to which ends.
        ends = collections.Counter()
        b.mute = process == "shell"
        self.arm = (program, obj if not self.args.deep else "", KINDS[kind])
        todo = getattr(b, path)
        done = listed if path == "query" else operated
        last = 0
        for n in self.numbers():
            try:
                code, what = self.one(n, todo, codes, done)
            except Failure as e:
                self.failed += 1
                self.found.append((process, path, kind, n))
                what = b.faults.off()[1]
                print(f"FAIL  {process}:{path}:{kind} N={n} ({what}): {e}",
                      flush=True)
                code = "FAIL"
                b.disconnect()
                b.said()
            if what is None and code != "FAIL":
                break       # it went through untouched
            last = n
            ends[code] += 1
            self.runs += 1
        print(f"{process}:{path}:{kind}: {last} faults; " + ", ".join(
            f"{n} × {c}" for c, n in sorted(ends.items(), key=str)) +
            f" ({time.monotonic() - t0:.0f} s)", flush=True)

    def one(self, n, todo, codes, done):
        b = self.b
        if todo == b.operation and (b.master is None or
                                    b.master.poll() is not None):
            b.connect()
        before = b.descriptors()
        at = b.web.mark()
        b.said()
        b.faults.arm(*self.arm, n)
        try:
            r = todo()
        except (RuntimeError, Failure) as e:
            raise Failure(e) from e
        finally:
            _, what = b.faults.off()
        log = b.said()
        b.sane(log)
        if self.args.verbose:
            print(f"  N={n} {what} → {r.code} {r.error.strip()}\n    " +
                  log.strip().replace("\n", "\n    "), flush=True)
        b.answered(r, codes, done, log)
        if what is not None and not done(r):
            b.settle()
        b.quiet()
        b.sane(b.said())
        b.recorded(b.web.since(at))
        if todo != b.start:
            if more := b.leaks(before):
                raise Failure(f"descriptors: {more}")
        return r.code, what


def main():
    p = argparse.ArgumentParser(prog="./dev faults", description=__doc__)
    p.add_argument("--sample", action="store_true", help="a few of each kind")
    p.add_argument("--deep", action="store_true",
                   help="calls of the libraries in the process, too")
    p.add_argument("--verbose", action="store_true")
    p.add_argument("--first", type=int, default=1, help="the first N")
    p.add_argument("what", nargs="*", metavar="PROCESS[:PATH[:KIND]]")
    run = Run(p.parse_args())
    try:
        run.all()
    finally:
        run.b.faults.off()
        run.b.disconnect()
        run.b.it.close()
    print(json.dumps(run.found) if run.found else "nothing found")
    print(f"{run.runs} faults, {run.failed} failed")
    return run.failed != 0


if __name__ == "__main__":
    sys.exit(main())
