"""`./dev kill [N [SEED [WHAT,…]]]`: twenty operations run all the time, and N
times each process is killed, N times the broker is reloaded, restarted,
upgraded and replaced, at random moments; and N times any of these, close on
each other's heels.  After each round the targets' logs, the ledger, the
recordings and what the clients printed are held against each other:

- each certificate that a target accepted is an operation of the ledger, with
  its decision and a recording (promise 2);
- what a client printed is the beginning of what its recordings hold, and a
  recording is what audit measured (promise 9: no shown byte is missing);
- so is what a person in a broker shell saw, of the shell's recording and of its
  lines', put together as they are replayed (killshell.py);
- nothing that ran is cut, but by the death of its own hop or its own job; of a
  reload, an upgrade and a replacement no job and no session knows;
- each operation that began has one end, each session one line of each kind;
- after each moment jobs log in and run again, and nobody does anything for it;
- `postern verify` finds nothing wrong afterwards, nor in copies of the state
  that were taken at random moments, as any program for backups takes them.
"""
import collections
import contextlib
import dataclasses
import os
import pathlib
import random
import select
import shutil
import signal
import statistics
import sys
import threading
import time

import house as h
import killcheck
import killshell

WORKERS = 24    # so that about 20 operations run: some are logging in
JOBS_OF_TOKEN = 5
KINDS = ("stream",) * 11 + ("shell",) * 3 + ("list",) * 2 + ("pty", "bulk") + \
    ("files",) * 2
RULES = f"""
allow carry for shop on web-1 {{ write under {killcheck.AREA} by sftp }}
"""
PARTS = {"list": 2, "shell": killshell.LINES}
RATE = 1600     # Kbit/s of a file: ten of a job's lines a second
CHILDREN = ("postern-oidc", "postern-policy", "postern-signer",
            "postern-audit")
# One operation's.  A broker shell is a postern-shell that has its terminal.
OWN = ("postern-hop", "postern-shell", "broker-shell", "sshd-monitor")
VICTIMS = CHILDREN + OWN + ("posternd", "postern-sshd")
GENTLE = ("reload", "upgrade", "replace")
DEEDS = GENTLE + ("restart",)
ROUNDS = VICTIMS + DEEDS + ("mixed",)
# posternd waits longer after each death of a child; a new one begins anew, so
# that twenty operations run at each moment, and not those few that found the
# broker between two deaths.  A mixed round has the long waits.
DEATHS_OF_POSTERND = 3
BACK_S = 60     # until jobs log in and run again


class Load:
    """Jobs that come again and again; what each has printed."""
    count = 0   # over all rounds: their numbers tell them apart

    def __init__(self, house, rng):
        self.house, self.stopping = house, threading.Event()
        self.lock, self.rng, self.jobs = threading.Lock(), rng, []
        self.threads = [threading.Thread(target=self.work, daemon=True)
                        for _ in range(WORKERS)]
        for t in self.threads:
            t.start()

    def next(self):
        with self.lock:
            Load.count += 1
            kind = self.rng.choice(KINDS)
            parts = [self.rng.randint(5, 50) for _ in range(
                PARTS.get(kind, 1))]    # lines; 0.1 s each
            self.jobs.append(killcheck.Job(Load.count, kind, parts))
            return self.jobs[-1]

    def work(self):
        ssh, token, used = self.house.job, None, 0
        while not self.stopping.is_set():
            # Several jobs join one session, and sessions-max is not reached.
            if used % JOBS_OF_TOKEN == 0:
                token = ssh.issuer.token(ttl=120)
            used += 1
            job = self.next()
            if job.kind == "shell":
                killshell.person(ssh, job)
                continue
            try:
                r = self.moved(job, token) if job.kind == "files" else \
                    ssh.ssh("web-1", job.command(), token=token, timeout=150,
                            opts=["-tt"] if job.kind == "pty" else [])
                job.out, job.err, job.code = r.out, r.err, r.code
                if r.code == 255:   # no login: not at once again
                    self.stopping.wait(1)
            except RuntimeError as e:
                job.code, job.err = "hangs", str(e).encode()

    def moved(self, job, token):
        """A file by stock sftp, as fast as the others' lines come."""
        ssh = self.house.job
        here = ssh.home / f"moved-{job.number}"
        here.write_text(job.expected())
        script = h.SNIPPET.replace("\nssh -o", "\nsftp -o").replace(
            "@SHELL@", "/bin/sh").replace("@HOST@", ssh.host)
        try:
            return ssh.run(
                ["/bin/sh", "-c", script, "job", "-o", "BatchMode=no", "-l",
                 str(RATE), "-b", "-", f"web-1@{ssh.host}"],
                input=f"put {here} {job.there()}\n".encode(),
                env=ssh.env(CI_TOKEN=token), timeout=150)
        finally:
            here.unlink()

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join(200)


class Tail:
    """Whether jobs log in and begin again, from here on."""

    def __init__(self, bastion):
        self.files = [(f, f.stat().st_size, words) for f, words in (
            (bastion.sshd_log, b"Accepted keyboard-interactive"),
            (h.STATE / "ledger/ledger.jsonl", b'"verdict":"allow"'))]

    def serves(self):
        for f, at, words in self.files:
            with open(f, "rb") as fp:
                fp.seek(at)
                if words not in fp.read():
                    return False
        return True


class Copies(threading.Thread):
    """Of the state, in the order that doc/LEDGER.md names, at random moments
    until it is told to stop; each is verified as soon as it is there."""

    def __init__(self, bastion, rng):
        super().__init__(daemon=True)
        self.bastion, self.rng = bastion, rng
        self.n, self.faults = 0, []
        self.stopping = threading.Event()
        self.folder = h.WORK / "copy"
        self.start()

    def run(self):
        while not self.stopping.wait(self.rng.uniform(1, 6)):
            self.copy()
            found = killcheck.verified(self.bastion, self.folder)
            self.n += 1
            if found:
                self.faults.append(f"a copy of the state: {found}")
                if len(self.faults) == 1:
                    shutil.copytree(self.folder, h.WORK / "bad-copy")

    def copy(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "ledger/tree").mkdir(parents=True)
        for part in ("ledger/tree/checkpoint", "ledger/tree/tile",
                     "ledger/ledger.jsonl", "recordings"):
            # Files come and go meanwhile: what is not there is not copied.
            h.run("cp", "-a", h.STATE / part, self.folder / part, check=False)

    def stop(self):
        self.stopping.set()
        self.join()
        shutil.rmtree(self.folder, ignore_errors=True)


class Dead(Exception):
    """Something did not come back."""


class Havoc:
    def __init__(self, house, rng):
        self.bastion, self.rng = house.bastion, rng
        self.kills = collections.Counter()
        self.back, self.running = [], []

    def pids(self, name):
        return [p for p, _, n in self.bastion.processes() if n == name or
                (name == "sshd-monitor" and n.endswith(" [priv]")) or
                (name == "broker-shell" and n == "postern-shell" and
                 killshell.has_terminal(p))]

    def whole(self):
        """Those of posternd's children that must be there, once each."""
        pid = self.bastion.daemon.proc.pid
        names = collections.Counter()
        with contextlib.suppress(OSError):
            for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children") \
                    .read_text().split():
                with contextlib.suppress(OSError):
                    argv = pathlib.Path(f"/proc/{p}/cmdline").read_bytes()
                    names[os.path.basename(argv.split(b"\0")[0].decode())] += 1
        return [f"{n}: {names[n]} of 1" for n in CHILDREN if names[n] != 1]

    def wait_back(self, tail, what):
        begin = time.monotonic()
        while not tail.serves() or self.whole():
            if time.monotonic() > begin + BACK_S:
                raise Dead(f"not back {BACK_S} s after {what}: there are "
                           f"{self.whole()}, jobs run: {tail.serves()}")
            time.sleep(0.04)
        return time.monotonic() - begin

    def strike(self, name):
        """SIGKILL to one of that name; there is one, sooner or later."""
        end = time.monotonic() + BACK_S
        while True:
            pids = self.pids(name)
            with contextlib.suppress(ProcessLookupError):
                if pids and kill(self.rng.choice(pids)):
                    return
            if time.monotonic() > end:
                raise Dead(f"there is no {name}")
            time.sleep(0.02)

    def do(self, what):
        b = self.bastion
        self.kills[what] += 1
        if what == "posternd":
            b.daemon.stop(signal.SIGKILL)
            b.start_posternd()      # Restart=always
        elif what == "restart":
            b.daemon.stop(timeout=30)
            b.start_posternd()
        elif what == "postern-sshd":
            b.sshd.stop(signal.SIGKILL)
            b.start_sshd()          # Restart=on-failure
        elif what == "reload":
            b.daemon.proc.send_signal(signal.SIGHUP)
        elif what in ("upgrade", "replace"):
            if what == "replace":
                replace_binaries()
            b.daemon.proc.send_signal(signal.SIGUSR2)
        else:
            self.strike(what)

    def under_load(self):
        """What the moment before has cost runs again, or most of it."""
        end = time.monotonic() + 10
        while len(self.pids("postern-hop")) < WORKERS // 2 and \
                time.monotonic() < end:
            time.sleep(0.1)

    def moment(self, what):
        """At a random moment, under load; until jobs run again."""
        self.under_load()
        time.sleep(self.rng.uniform(0, 0.7))
        self.running.append(len(self.pids("postern-hop")))
        tail = Tail(self.bastion)
        if what in ("upgrade", "replace"):
            self.bastion.manager.forget()
        begin = time.monotonic()
        self.do(what)
        if what in ("upgrade", "replace"):
            self.bastion.daemon.wait_for(
                lambda: self.bastion.manager.told("READY=1"), BACK_S)
        self.wait_back(tail, what)
        self.back.append(time.monotonic() - begin)
        if what in CHILDREN and len(self.back) % DEATHS_OF_POSTERND == 0:
            tail = Tail(self.bastion)
            self.do("restart")
            self.wait_back(tail, "a restart")

    def blow(self):
        """Any of them, and nobody waits for the one before."""
        time.sleep(self.rng.uniform(0, 0.7))
        self.running.append(len(self.pids("postern-hop")))
        self.do(self.rng.choice(VICTIMS + DEEDS))

    def round(self, name, moments, say):
        self.wait_back(Tail(self.bastion), "the beginning")
        self.under_load()
        for i in range(moments):
            if name == "mixed":
                self.blow()
            else:
                self.moment(name)
            if (i + 1) % 25 == 0:
                say(f"  {name}: {i + 1} of {moments} moments")
        if name == "mixed":
            self.back.append(self.wait_back(Tail(self.bastion), name))


def kill(pid):
    """And it is dead: on a busy machine that takes its time, and a second
    signal to it would be no second death."""
    fd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        return select.select([fd], [], [], BACK_S)[0]
    finally:
        os.close(fd)


def replace_binaries():
    """As dpkg unpacks: beside, then renamed over."""
    for folder in (h.PREFIX / "sbin", h.LIBEXEC):
        for f in folder.iterdir():
            new = f.with_name(f.name + ".dpkg-new")
            new.write_bytes(f.read_bytes())
            new.chmod(f.stat().st_mode & 0o7777)
            os.rename(new, f)


@dataclasses.dataclass
class Row:
    """A round's line in the table."""
    name: str
    moments: int
    running: str
    jobs: int
    operations: int
    interrupted: int
    cut: int
    bytes: int
    missing: int
    unrecorded: int
    copies: int
    back: str
    faults: list = dataclasses.field(repr=False)

    HEAD = (f"{'':15}{'moments':>8}{'running':>9}{'jobs':>6}{'opera-':>7}"
            f"{'inter-':>8}{'cut':>5}{'shown':>9}{'missing':>8}{'unre-':>7}"
            f"{'copies':>7}{'back after, s':>15}\n"
            f"{'':15}{'':>8}{'min/med':>9}{'':>6}{'tions':>7}{'rupted':>8}"
            f"{'':>5}{'bytes':>9}{'bytes':>8}{'corded':>7}{'':>7}"
            f"{'med/longest':>15}")

    def __str__(self):
        return (f"{self.name:15}{self.moments:8}{self.running:>9}{self.jobs:6}"
                f"{self.operations:7}{self.interrupted:8}{self.cut:5}"
                f"{self.bytes:9}{self.missing:8}{self.unrecorded:7}"
                f"{self.copies:7}{self.back:>15}"
                f"{f'  {len(self.faults)} FAULTS' if self.faults else ''}")


def left_behind(it, house):
    """Hops, and commands on the target, that nobody waits for any more."""
    end = time.monotonic() + 60
    while it.pids("postern-hop"):
        if time.monotonic() > end:
            yield f"hops are left: {it.pids('postern-hop')}"
            break
        time.sleep(0.1)
    if house.job.ssh("web-1", "/usr/bin/true").code != 0:
        yield "a job does not run, in quiet"


def one_round(house, name, moments, seed, say):
    """Havoc of one kind, and everything that must hold afterwards."""
    # A house that others had before may have what they broke on purpose.
    own = not killcheck.verified(house.bastion, h.STATE)
    bastion, rng = house.bastion, random.Random(f"{seed} {name}")
    mark, at, faults = bastion.mark(), house.web1.mark(), []
    load, it = Load(house, rng), Havoc(house, random.Random(rng.random()))
    copies = Copies(bastion, random.Random(rng.random())) if own else None
    try:
        it.round(name, moments, say)
    except (Dead, RuntimeError) as e:   # a daemon that does not come up
        faults.append(str(e))
    finally:
        load.stop()
        if copies:
            copies.stop()
            faults += copies.faults
    faults += [f"job {j.number} does not end" for j in load.jobs
               if j.code is None]
    faults += left_behind(it, house)
    lines, left = killcheck.settle(bastion, mark, 20 if faults else 120)
    check = killcheck.Check(bastion, lines, load.jobs)
    check.targets(house.web1.since(at))
    check.shown_is_recorded()
    check.moved_is_told()
    check.sealed()
    check.ledger(left)
    if own:
        check.verified()
    if name in CHILDREN + ("posternd",):
        check.alarms({name: it.kills[name]})
    cut = check.cut(sum(it.kills[w] for w in OWN))
    if name in GENTLE:
        check.nobody_noticed()
    codes = collections.Counter(str(j.code) for j in load.jobs)
    say(f"  {name}: {killshell.tally(load.jobs)}")
    say(f"  {name}: exit codes "
        f"{', '.join(f'{n} × {c}' for c, n in codes.most_common())}; "
        f"{', '.join(f'{n} {s}' for s, n in check.states.most_common())}")
    running, back = it.running or [0], it.back or [0]
    return Row(name, len(it.running),
               f"{min(running)}/{statistics.median(running):.0f}",
               len(load.jobs), len(check.decided),
               check.states["interrupted"], cut, check.shown, check.missing,
               check.unrecorded, copies.n if copies else 0,
               f"{statistics.median(back):.1f}/{max(back):.1f}",
               faults + check.faults)


def keep_evidence(house, name):
    """What a fault is understood from; the house goes with its namespaces."""
    to = pathlib.Path(os.environ["POSTERN_BUILD"], "log", f"kill-{name}")
    to.mkdir(parents=True, exist_ok=True)
    for f in (house.bastion.log, house.bastion.sshd_log,
              h.STATE / "ledger/ledger.jsonl"):
        shutil.copy(f, to / f.name)
    shutil.copy(house.web1.log, to / "target.log")
    shutil.copytree(h.STATE / "recordings", to / "recordings",
                    dirs_exist_ok=True)
    return to


def havoc(house, moments, seed, what=ROUNDS, say=print):
    """All rounds; answers whether each was without a fault."""
    rows, begin = [], time.monotonic()
    killcheck.AREA.mkdir(exist_ok=True)
    shutil.chown(killcheck.AREA, "deploy")
    for name in what:
        t0 = time.monotonic()
        with house.bastion.more_rules(RULES):
            rows.append(one_round(house, name, moments, seed, say))
        say(f"{rows[-1]}  ({time.monotonic() - t0:.0f} s)")
        if rows[-1].faults:
            say(f"  {name}: logs, ledger and recordings are in "
                f"{keep_evidence(house, name)}")
            for f in rows[-1].faults[:20]:
                say(f"  FAULT {f.strip()}")
            if len(rows[-1].faults) > 20:
                say(f"  … and {len(rows[-1].faults) - 20} more")
    say(f"\nseed {seed}, {time.monotonic() - begin:.0f} s\n{Row.HEAD}")
    for r in rows:
        say(r)
    bad = sum(len(r.faults) for r in rows)
    say(f"{sum(r.moments for r in rows)} moments, "
        f"{sum(r.operations for r in rows)} operations, {bad} faults")
    return bad == 0


def main():
    moments = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else \
        random.SystemRandom().randrange(1 << 32)
    what = sys.argv[3].split(",") if len(sys.argv) > 3 else ROUNDS
    if not set(what) <= set(ROUNDS):
        sys.exit(f"kill: what is one of {' '.join(ROUNDS)}")

    def say(x):
        print(x, flush=True)

    say(f"seed {seed}; {moments} moments each of {' '.join(what)}")
    house = h.House()
    try:
        house.open()
        return 0 if havoc(house, moments, seed, what, say) else 1
    finally:
        house.close()


if __name__ == "__main__":
    sys.exit(main())
