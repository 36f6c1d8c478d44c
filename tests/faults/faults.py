"""`./dev faults [--sample | --count] [--again] [PROCESS[:PATH[:KIND]] …]`: the
Nth call of one kind fails in one process of a running bastion, N = 1, 2, 3 …
until the path goes through untouched.

Whatever fails: nothing is allowed that is denied; what reached a target is in
the ledger as allowed, with a recording, and what a job saw is in it; the job
gets its output, or a code and words; no process reads or writes where it must
not, none ends but as the manual says, none keeps a descriptor; and the next
job goes through, in the same process or in the one that took its place.

A cell is one process, path and kind.  Houses, each with a bastion of its own,
take cells from one list; what a cell came to is kept in faults.jsonl beside the
build's logs, and with the table at the end.  --again leaves out the cells that
are there without a failure.
"""
import argparse
import collections
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e"),
                str(HERE.parent / "broker")]

KINDS = {"alloc": 1, "files": 2, "write": 4, "send": 8, "socket": 16,
         "process": 32}
OURS = {64, 69, 74, 75, 77}
# Any fault there ends the login itself, as sshd says it.
LOGIN = OURS | {254, 255}
ASKED = {1, 69, 74, 75}     # the tool's
MOVED = {255}               # whatever sftp gave up with, and said
N_MAX = 5000
FAILURES_MAX = 8            # of one cell
# Each process and each kind that it has; a call that is not there any more is
# a failure.
SAMPLE = """
    pam:login:alloc:3 pam:login:send:2 pam:login:socket:3 pam:login:process:2
    nss:login:files:1
    shell:operation:alloc:2 shell:operation:files:2 shell:denied:write:1
    shell:operation:send:2 shell:operation:socket:8 shell:operation:process:3
    hop:operation:alloc:3 hop:input:files:2 hop:operation:write:2
    hop:operation:send:3 hop:operation:socket:9 hop:operation:process:5
    hop:files:write:3
    oidc:judge:alloc:20 oidc:judge:send:2 oidc:judge:socket:2
    oidc:judge:process:1
    policy:operation:alloc:9 policy:operation:files:5 policy:operation:send:6
    policy:operation:socket:4 policy:operation:process:4
    signer:operation:alloc:6 signer:operation:send:2 signer:operation:socket:1
    signer:operation:process:1
    audit:operation:alloc:7 audit:operation:files:5 audit:operation:write:3
    audit:operation:send:3 audit:operation:socket:2 audit:operation:process:2
    posternd:operation:alloc:2 posternd:death:files:1
    posternd:operation:send:1 posternd:operation:socket:2
    posternd:operation:process:3
    cli:query:alloc:7 cli:query:files:2 cli:query:send:3 cli:query:socket:1
    cli:query:process:2 cli:replay:write:1
""".split()
EACH = 10                   # faults between two looks at what costs most

# process: program, object, {path: codes that a fault there may give}
PROCESSES = {
    "pam": ("postern-sshd", "pam_postern.so", {
        "login": LOGIN, "badtoken": LOGIN, "certified": LOGIN}),
    "nss": ("postern-sshd", "libnss_postern.so.2", {"login": LOGIN}),
    "shell": ("postern-shell", "postern-shell", {
        "operation": OURS, "denied": OURS, "list": OURS, "files": MOVED}),
    "hop": ("postern-hop", "postern-hop", {
        "operation": OURS, "input": OURS, "files": MOVED}),
    "oidc": ("postern-oidc", "postern-oidc", {
        "judge": LOGIN, "refuse": LOGIN, "first": LOGIN, "stop": OURS}),
    "policy": ("postern-policy", "postern-policy", {
        "operation": OURS, "login": LOGIN, "denied": OURS, "list": OURS,
        "either": OURS, "files": MOVED, "certify": LOGIN, "certified": LOGIN,
        "control": LOGIN, "query": ASKED, "reload": LOGIN,
        "start": LOGIN, "stop": OURS}),
    "signer": ("postern-signer", "postern-signer", {
        "operation": OURS, "certify": LOGIN, "reload": LOGIN, "start": LOGIN,
        "stop": OURS, "files": MOVED}),
    "audit": ("postern-audit", "postern-audit", {
        "operation": OURS, "files": MOVED, "denied": OURS, "query": ASKED, "show": ASKED,
        "start": LOGIN, "stop": OURS}),
    "posternd": ("posternd", "posternd", {
        "operation": OURS, "reload": LOGIN, "death": OURS, "start": LOGIN,
        "stop": OURS, "upgrade": LOGIN}),
    "cli": ("postern", "postern", {
        "query": ASKED, "status": ASKED, "show": ASKED, "replay": ASKED,
        "check": ASKED, "explain": ASKED, "can": ASKED, "diff": ASKED | {4},
        "export": ASKED, "ca": ASKED}),
}
TOOL = set(PROCESSES["cli"][2])
# Those that end with an operation's output.
RUN = {"login", "certified", "operation", "denied", "list", "either", "input", "reload",
       "start", "stop", "death", "upgrade"}
OUTPUTS = {"list": b"1\n1\n2\n", "control": None}
# Those that leave other processes behind than there were.
ANEW = {"start", "first", "stop", "upgrade"}
# What each fault came to, as the table's columns.
ENDS = ("through", "refused", "by ssh", "untold", "failed")


def cells(args):
    if args.sample:
        yield from (x.rpartition(":")[0] for x in SAMPLE)
        return
    for process, (_, _, paths) in PROCESSES.items():
        for path in paths:
            for kind in KINDS:
                names = [process, path, kind]
                if not args.what or any(
                        w.split(":") == names[:w.count(":") + 1]
                        for w in args.what):
                    yield ":".join(names)


# -- in a house -------------------------------------------------------------

class Cell:
    """One process, path and kind on a bastion that lives on."""

    def __init__(self, bastion, name, args):
        self.b, self.name, self.args = bastion, name, args
        process, self.path, kind = name.split(":")
        program, obj, paths = PROCESSES[process]
        self.codes = paths[self.path]
        self.arm = (program, "" if args.deep else obj, KINDS[kind])
        self.process, self.kind = process, kind
        self.todo = getattr(bastion, self.path)
        self.before = getattr(bastion, f"before_{self.path}", lambda: None)
        self.ends = collections.Counter()
        self.restarts, self.left_out, self.failures = 0, 0, []

    def untouched(self):
        """The path without a fault, for what the tool then prints."""
        if self.path in TOOL and self.path not in self.b.baseline and \
                self.path != "query":
            self.before()
            self.b.baseline[self.path] = self.todo().out

    def through(self, r):
        """Its end is the one that it has without a fault."""
        if self.path in ("badtoken", "refuse"):
            return r.code == 255 and "opens no session here" in r.error
        if self.path == "denied":
            return r.code == 77 and "use the runbook" in r.error
        if self.path == "query":
            return r.code == 0 and r.out.startswith(b"{")
        if self.path == "status":
            return r.code == 0 and r.out != b""
        if self.path in TOOL:
            return r.code == 0 and r.out == self.b.baseline[self.path]
        if self.path == "certify":
            return r.code == 0 and r.out.startswith(b"ssh-ed25519-cert-v01@")
        if self.path == "control":
            return r.code == 0 and b"shop" in r.out
        return r.code == 0 and r.out == OUTPUTS.get(self.path, b"1\n2\n3\n")

    def end_of(self, r, what):
        """Which of ENDS; raises what must not be."""
        import bastion
        if self.through(r):
            return "through"
        if r.code not in self.codes:
            raise bastion.Failure(
                f"exit code {r.code}: {r.out!r} {r.error}")
        # 254: sshd puts on standard output why there is no session.
        if "postern:" in r.error or self.process == "cli" and r.error or \
                r.code == 254 and \
                r.out.startswith(b"postern: nothing was run"):
            return "refused"
        if r.code in (254, 255) and r.error.strip():
            return "by ssh"
        # Its very words did not get out: nobody else can say them.
        if what == "write" and self.process in ("shell", "hop", "cli"):
            return "untold"
        raise bastion.Failure(f"exit code {r.code} without a word: {r.error}")

    def one(self, n, again=False):
        """The Nth call fails; None when there is no such call."""
        b = self.b
        self.before()
        before = b.descriptors()
        begun = len(b.ledger.read().allowed)
        self.b.said()
        b.faults.arm(*self.arm, n)
        try:
            r = self.todo()
            if self.path not in TOOL or self.path == "query":
                b.quiet()
        finally:
            self.seen, what = b.faults.off()
            log = b.said()
            if self.path == "stop" and hasattr(b, "stopped"):
                self.seen, what = b.stopped
        b.sane(log, r.error)
        if self.args.verbose:
            print(f"  N={n} {what} ({b.faults.where(self.arm[1])}) → {r.code} {r.error.strip()}\n    " +
                  log.strip().replace("\n", "\n    "), file=sys.stderr,
                  flush=True)
        self.restarts += log.count("ALARM: postern-")
        if what is None:
            if self.through(r):
                return None
            self.end_of(r, what)
            if again:
                raise b.failure(f"untouched, and {r.code} {r.out!r} {r.error}")
            # The fault before it is still told: the ledger, say, is opened
            # again after a second.
            b.settle(self.next_job)
            return self.one(n, True)
        end = self.end_of(r, what)
        if self.path in RUN and r.code != 254:
            b.shown_is_recorded(r.out, begun)
        # What it broke for good the next one meets, too; what has to come back
        # is waited for.
        if self.path not in TOOL or self.path == "query":
            time.sleep(0.05)    # for one that is ending now
            if end != "through" and n % EACH == 0 or "ALARM: " in log or \
                    b.gone() or self.path not in ANEW and \
                    set(b.descriptors()) != set(before):
                b.settle(self.next_job)
        b.revive()
        self.restarts += b.falls
        b.falls = 0
        if self.path not in ANEW and (more := b.leaks(before)):
            raise b.failure(f"descriptors: {more}")
        return end

    def next_job(self):
        b = self.b
        if self.process in ("pam", "nss"):
            return b.login()
        if self.process == "oidc":
            return b.judge()
        if self.path == "query":    # an operation would make it longer
            return b.query()
        b.connect()
        return b.operation()

    def numbers(self):
        """Of a sample."""
        return [int(x.split(":")[3]) for x in SAMPLE
                if x.rpartition(":")[0] == self.name]

    def tried(self, n, say):
        """(end, place) of the Nth; None: there is no such call."""
        import bastion
        try:
            end = self.one(n)
            if n % EACH == 0 or end is None or self.args.sample:
                self.b.recorded()
            if end is None and self.args.sample:
                raise bastion.Failure("there is no such call any more")
        except Exception as e:      # what else fails is found, too
            what = self.b.faults.hit()
            if not isinstance(e, bastion.Failure):
                traceback.print_exc()
            self.b.faults.off()
            what = f"{what}: {self.b.faults.where(self.arm[1])}"
            self.failures.append((n, what, str(e)))
            say("failure", cell=self.name, n=n, what=what, why=str(e))
            self.b.anew()
            end = "failed"
        if end is not None:
            self.ends[end] += 1
        return end, self.b.faults.place()

    def all(self, say):
        """N = 1, 2, 3 …; the last that there is.  What was harmless EACH times
        in a row at one place of the code is a loop (memory that is wiped, say):
        the rest of it is left out, and its end is looked for by halves."""
        n, same, before = self.args.first, 0, None
        while n < N_MAX and len(self.failures) < FAILURES_MAX:
            now = self.tried(n, say)
            if now[0] is None:
                return n - 1
            same = same + 1 if now == before and now[0] == "through" else 0
            before = now
            if same >= EACH:
                n = self.loop_end(n, now, say)
                same = 0
            n += 1
            if n % 50 == 0:
                say("at", cell=self.name, n=n)
        return n

    def loop_end(self, n, now, say):
        """The last N in a row, from n on, whose call has the place of now."""
        step = 1
        while self.tried(n + step, say) == now:
            n += step
            self.left_out += step - 1
            step *= 2
        low, high = n, n + step
        while high - low > 1:
            middle = (low + high) // 2
            if self.tried(middle, say) == now:
                low = middle
            else:
                high = middle
        self.left_out += low - n
        return low

    def run(self, say):
        t0 = time.monotonic()
        self.untouched()
        if self.args.count:
            self.tried(1 << 40, say)
            last = self.seen
        elif self.args.sample:
            last = max(self.numbers())
            for n in self.numbers():
                self.tried(n, say)
        else:
            last = self.all(say)
        return {"cell": self.name, "faults": last, "ends": dict(self.ends),
                "restarts": self.restarts, "failures": self.failures,
                "left out": self.left_out,
                "seconds": round(time.monotonic() - t0)}


def house(args):
    """In a house: cells by stdin, what they came to by stdout."""
    import bastion

    def say(event, **what):
        print(json.dumps({"event": event} | what), file=out, flush=True)

    # What the house itself prints must not come between.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    b = bastion.Bastion()
    b.failure = bastion.Failure
    try:
        b.settle(b.login)
        b.all_open = {name: n for (_, name), n in b.descriptors().items()}
        b.connect()
        say("up")
        for line in sys.stdin:
            say("done", **Cell(b, line.strip(), args).run(say))
    finally:
        b.faults.off()
        b.disconnect()
        b.it.close()


# -- over the houses --------------------------------------------------------

class Houses:
    """Takes cells to houses, and prints what they came to."""

    def __init__(self, args, todo, log):
        self.args, self.todo, self.log = args, collections.deque(todo), log
        self.all, self.lock = len(self.todo), threading.Lock()
        self.results, self.t0 = [], time.monotonic()
        self.opening = threading.Lock()     # one installs at a time
        self.whole = not (args.count or args.sample or args.first > 1)

    def print(self, text):
        t = time.monotonic() - self.t0
        print(f"{t // 60:3.0f}:{t % 60:02.0f}  {text}", flush=True)

    def next(self):
        with self.lock:
            return self.todo.popleft() if self.todo else None

    def heard(self, e):
        with self.lock:
            if e["event"] == "failure":
                self.print(f"FAIL  {e['cell']} N={e['n']} ({e['what']}): "
                           f"{e['why'][:3000]}")
            elif e["event"] == "at":
                self.print(f"      {e['cell']} N={e['n']}")
            elif e["event"] == "done":
                self.results.append(e)
                ends = ", ".join(f"{n} {k}" for k, n in e["ends"].items())
                self.print(f"{len(self.results)} of {self.all}  {e['cell']}: "
                           f"{e['faults']} faults; {ends} "
                           f"({e['seconds']} s)")
                if self.whole:
                    with open(self.log, "a") as f:
                        f.write(json.dumps(e) + "\n")

    def serve(self, number):
        """One house after the other, until there is no cell."""
        while (cell := self.next()):
            self.house_of(number, cell)

    def house_of(self, number, cell):
        err = self.log.with_name(f"faults-house-{number}")
        with self.opening:
            with open(err, "ab") as f:
                p = subprocess.Popen(
                    ["tests/e2e/enter", "/usr/bin/python3",
                     "tests/faults/faults.py", "--house", *sys.argv[1:]],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=f,
                    text=True, preexec_fn=lambda: signal.signal(
                        signal.SIGINT, signal.SIG_IGN))
            line = p.stdout.readline()
        while line and cell:
            e = json.loads(line)
            if e["event"] in ("up", "done"):
                if e["event"] == "done":
                    self.heard(e)
                    cell = self.next()
                if cell:
                    p.stdin.write(cell + "\n")
                    p.stdin.flush()
            else:
                self.heard(e)
            if cell:
                line = p.stdout.readline()
        p.stdin.close()
        p.wait()
        if cell:    # the house fell in the middle of it
            self.heard({"event": "done", "cell": cell, "faults": 0, "ends": {
                "failed": 1}, "restarts": 0, "seconds": 0,
                "failures": [(0, None, f"the house fell, see {err}")]})

    def run(self):
        threads = [threading.Thread(target=self.serve, args=(i,), daemon=True)
                   for i in range(min(self.args.houses, self.all))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return self.results


def table(results):
    print(f"\n{'process':9} {'path':10} {'kind':8} {'N':>5}" +
          "".join(f" {e:>8}" for e in ENDS) +
          f" {'left out':>8} {'restarts':>8} {'s':>5}")
    sums = collections.Counter()
    for e in sorted(results, key=lambda e: order(e["cell"])):
        process, path, kind = e["cell"].split(":")
        print(f"{process:9} {path:10} {kind:8} {e['faults']:5}" + "".join(
            f" {e['ends'].get(k, 0) or '':>8}" for k in ENDS) +
            f" {e.get('left out') or '':>8} {e['restarts'] or '':>8}"
            f" {e['seconds']:5}")
        sums.update(e["ends"])
        sums["restarts"] += e["restarts"]
        sums["left out"] += e.get("left out", 0)
        sums["N"] += e["faults"]
        sums["s"] += e["seconds"]
    print(f"{'all':29} {sums['N']:5}" + "".join(
        f" {sums[k] or '':>8}" for k in ENDS) +
        f" {sums['left out'] or '':>8} {sums['restarts'] or '':>8}"
        f" {sums['s']:5}")
    for e in results:
        for n, what, why in e["failures"]:
            print(f"FAIL  {e['cell']} N={n} ({what}): "
                  f"{why.strip().splitlines()[0] if why.strip() else ''}")


def order(cell):
    process, path, kind = cell.split(":")
    return (list(PROCESSES).index(process),
            list(PROCESSES[process][2]).index(path), list(KINDS).index(kind))


def kept(log):
    """{cell: what it came to last}"""
    out = {}
    if log.exists():
        for line in log.read_text().splitlines():
            e = json.loads(line)
            out[e["cell"]] = e
    return out


def main():
    p = argparse.ArgumentParser(prog="./dev faults", description=__doc__)
    p.add_argument("--sample", action="store_true",
                   help="one of each kind in each process")
    p.add_argument("--count", action="store_true",
                   help="only counts the calls")
    p.add_argument("--again", action="store_true",
                   help="leaves out what the last runs did without a failure")
    p.add_argument("--deep", action="store_true",
                   help="calls of the libraries in the process, too")
    p.add_argument("--verbose", action="store_true")
    p.add_argument("--first", type=int, default=1, help="the first N")
    p.add_argument("--houses", type=int, default=2)
    p.add_argument("--house", action="store_true", help=argparse.SUPPRESS)
    p.add_argument("what", nargs="*", metavar="PROCESS[:PATH[:KIND]]")
    args = p.parse_args()
    if args.house:
        return house(args)
    log = pathlib.Path(os.environ["POSTERN_BUILD"]) / "log/faults.jsonl"
    todo, old = list(cells(args)), []
    if args.again:
        old = [e for c, e in kept(log).items()
               if c in todo and not e["failures"]]
        todo = [c for c in todo if c not in {e["cell"] for e in old}]
    if not todo and not old:
        p.error("no such cell")
    results = old + Houses(args, todo, log).run()
    table(results)
    failed = sum(len(e["failures"]) for e in results)
    good = sum(sum(e["ends"].values()) for e in results) - sum(
        e["ends"].get("failed", 0) for e in results)
    print(f"{good} faults passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
