"""`./dev kill [N [SEED]]`: processes die at random moments while twenty
operations run, and the broker is reloaded, upgraded and replaced.  Afterwards
the targets' logs, the ledger, the recordings and what the clients printed are
held against each other:

- each certificate that a target accepted is an operation of the ledger, with
  its decision and a recording (promise 2);
- what a client printed is the beginning of what its recording holds
  (promise 9: no shown byte is missing);
- each operation that began has one end, each session one line of each kind;
- afterwards everything works, and nobody has to do anything for it.
"""
import collections
import json
import os
import random
import re
import signal
import sys
import threading
import time

import house as h

WORKERS = 20
JOBS_OF_TOKEN = 5
LINES = 25      # of one operation; 0.1 s each
VICTIMS = ("postern-oidc", "postern-policy", "postern-signer", "postern-audit",
           "postern-hop", "postern-shell", "posternd")
DEEDS = ("reload", "upgrade", "replace")
ACCEPTED = re.compile(r'Accepted publickey for .* ID postern '
                      r'operation=(\w+) .*\(serial (\d+)\)')


class Load:
    """Jobs that come again and again; what each has printed."""

    def __init__(self, house):
        self.house, self.stopping = house, threading.Event()
        self.lock, self.count = threading.Lock(), 0
        self.printed = {}       # number of the run: (exit code, stdout, stderr)
        self.threads = [threading.Thread(target=self.work, daemon=True)
                        for _ in range(WORKERS)]
        for t in self.threads:
            t.start()

    def work(self):
        job, token, used = self.house.job, None, 0
        while not self.stopping.is_set():
            with self.lock:
                self.count += 1
                number = self.count
            # Several jobs join one session, and sessions-max is not reached.
            if used % JOBS_OF_TOKEN == 0:
                token = job.issuer.token(ttl=120)
            used += 1
            try:
                r = job.ssh("web-1", f"/opt/house/bin/stream {number} {LINES}",
                            token=token, timeout=150)
                self.printed[number] = (r.code, r.out, r.err)
            except RuntimeError as e:   # it hangs: said in the sum
                self.printed[number] = ("hangs", b"", str(e).encode())

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join(200)
            assert not t.is_alive(), "a job does not end"


class Havoc:
    def __init__(self, house, rng, say=print):
        self.house, self.bastion = house, house.bastion
        self.rng, self.say = rng, say
        self.done = collections.Counter()
        self.slowest = collections.Counter()

    def pids(self, name):
        return [p for p, _, n in self.bastion.processes() if n == name]

    def wait(self, what, why, timeout=60):
        begin = time.monotonic()
        while not what():
            assert time.monotonic() < begin + timeout, \
                f"{why}\n{self.bastion.ledger()[-5:]}\n{self.house.said()}"
            time.sleep(0.02)
        return time.monotonic() - begin

    def whole(self):
        return all(self.pids(n) for n in VICTIMS[:4])

    def one(self, what):
        """At a random moment; until all processes are there again."""
        time.sleep(self.rng.uniform(0, 0.7))
        if what in DEEDS:
            if what == "replace":
                replace_binaries()
            {"reload": self.bastion.reload}.get(what, self.bastion.upgrade)()
        elif what == "posternd":
            self.bastion.daemon.stop(signal.SIGKILL)
            self.bastion.start_posternd()   # Restart=always
        else:
            self.wait(lambda: self.pids(what), f"there is no {what}")
            try:
                os.kill(self.rng.choice(self.pids(what)), signal.SIGKILL)
            except (ProcessLookupError, IndexError):
                return      # it ended by itself; another moment counts
        took = self.wait(self.whole, f"not whole again after {what}")
        self.done[what] += 1
        self.slowest[what] = max(self.slowest[what], took)

    def run(self, moments, what):
        plan = [w for w in what for _ in range(moments)]
        self.rng.shuffle(plan)
        for i, w in enumerate(plan):
            self.one(w)
            if (i + 1) % 20 == 0:
                self.say(f"  {i + 1} of {len(plan)} moments", flush=True)


def replace_binaries():
    """As dpkg unpacks: beside, then renamed over."""
    for folder in (h.PREFIX / "sbin", h.LIBEXEC):
        for f in folder.iterdir():
            new = f.with_name(f.name + ".dpkg-new")
            new.write_bytes(f.read_bytes())
            new.chmod(f.stat().st_mode & 0o7777)
            os.rename(new, f)


def recorded(bastion, operation):
    """What its recording shows of standard output."""
    text = bastion.recording(operation).read_text()
    out = []
    for line in text.splitlines(True)[1:]:
        if line.endswith("\n"):     # a crash may cut the last one
            event = json.loads(line)
            if event[1] == "o":
                out.append(event[2])
    return "".join(out).replace("\r\n", "\n")


def settle(bastion, mark, timeout=120):
    """All that began has ended."""
    end = time.monotonic() + timeout
    while True:
        lines = bastion.events(mark)
        begun = {e["operation"] for e in lines
                 if e["event"] == "operation.decide" and
                 e["verdict"] == "allow"}
        ended = {e["operation"] for e in lines if e["event"] ==
                 "operation.end"}
        if begun <= ended:
            return lines
        assert time.monotonic() < end, f"no end of {begun - ended}"
        time.sleep(0.2)


def check_targets(house, marks, decided, bastion):
    n = 0
    for target, at in marks.items():
        for operation, serial in ACCEPTED.findall(target.since(at)):
            assert operation in decided, f"{operation} ran unrecorded"
            e = decided[operation]
            assert int(e["serial"]) == int(serial)
            assert bastion.recording(operation).exists()
            n += 1
    return n


def check_shown(bastion, decided, printed):
    """What clients saw, against the recordings; answers the bytes compared."""
    by_number, seen = {}, 0
    for e in decided.values():
        m = re.search(r"/stream (\d+) ", e.get("command", ""))
        if m:
            by_number.setdefault(int(m[1]), []).append(e["operation"])
    for number, (code, out, err) in printed.items():
        assert code != "hangs", err.decode()
        lines = out.decode().splitlines(True)
        assert all(x == f"{number} {i + 1}\n" for i, x in
                   enumerate(lines[:-1])), (number, lines[:3])
        if code == 0:
            assert len(lines) == LINES, (number, len(lines), err)
        if not out:
            continue
        (operation,) = by_number[number]
        kept = recorded(bastion, operation)
        assert kept.startswith(out.decode()), (operation, out, kept)
        seen += len(out)
    return seen


def check_ledger(bastion, lines, decided):
    all_lines = bastion.ledger()
    assert [e["number"] for e in all_lines] == \
        list(range(1, len(all_lines) + 1))
    for kind, key in (("operation.end", "operation"),
                      ("operation.decide", "operation"),
                      ("session.open", "session"),
                      ("session.close", "session")):
        count = collections.Counter(e[key] for e in lines
                                    if e["event"] == kind)
        twice = [k for k, n in count.items() if n > 1]
        assert not twice, f"{kind} twice: {twice}"
    opened = {e["session"] for e in all_lines if e["event"] == "session.open"}
    named = {e["session"] for e in lines if "session" in e}
    assert named <= opened, f"never opened: {named - opened}"
    assert {e["operation"] for e in lines if e["event"] == "operation.end"} \
        <= set(decided)


def havoc(house, moments, seed, what=VICTIMS + DEEDS, say=print):
    """The whole of it; answers the sum as text."""
    bastion, rng = house.bastion, random.Random(seed)
    mark = bastion.mark()
    marks = {house.web1: house.web1.mark()}
    begin = time.monotonic()
    load, it = Load(house), Havoc(house, rng, say)
    try:
        it.run(moments, what)
    finally:
        load.stop()
    it.wait(lambda: not it.pids("postern-hop"), "hops are left", 60)
    it.wait(lambda: house.job.ssh("web-1", "/usr/bin/true").code == 0,
            "it does not work again")
    lines = settle(bastion, mark)
    decided = {e["operation"]: e for e in lines
               if e["event"] == "operation.decide" and e["verdict"] == "allow"}
    accepted = check_targets(house, marks, decided, bastion)
    shown = check_shown(bastion, decided, load.printed)
    check_ledger(bastion, lines, decided)
    codes = collections.Counter(c for c, _, _ in load.printed.values())
    states = collections.Counter(e["state"] for e in lines
                                 if e["event"] == "operation.end")
    return "\n".join([
        f"seed {seed}, {time.monotonic() - begin:.0f} s: "
        f"{sum(it.done.values())} moments "
        f"({', '.join(f'{n} {w}' for w, n in sorted(it.done.items()))})",
        f"{len(load.printed)} jobs, exit codes {dict(codes.most_common())}",
        f"{accepted} certificates accepted, each with decision and recording; "
        f"{len(decided)} operations: {dict(states)}",
        f"{shown} bytes printed by clients, all of them in their recordings",
        "slowest to be whole again: " + ", ".join(
            f"{w} {s:.1f} s" for w, s in it.slowest.most_common(3))])


def main():
    moments = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else \
        random.SystemRandom().randrange(1 << 32)
    what = sys.argv[3].split(",") if len(sys.argv) > 3 else VICTIMS + DEEDS
    print(f"seed {seed}", flush=True)
    house = h.House()
    try:
        house.open()
        print(havoc(house, moments, seed, what))
    finally:
        house.close()
        if sys.exc_info()[0]:
            print(house.said())


if __name__ == "__main__":
    main()
