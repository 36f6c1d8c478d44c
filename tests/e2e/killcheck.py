"""What must hold after processes died under load: the targets' logs, the
ledger, the recordings and what the clients printed are held against each
other.  Used by kill.py; every finding is a line of text, not the end of it.
"""
import collections
import contextlib
import hashlib
import json
import os
import pathlib
import re
import stat
import time

import house as h
import killshell

AREA = h.WORK / "killed"    # on the target
LINE = 20_000   # bytes of a file for each of a job's lines
ACCEPTED = re.compile(r'Accepted publickey for .* ID postern '
                      r'operation=(\w+) .*\(serial (\d+)\)')
NUMBER = re.compile(r"/(?:stream|lines) (\d+)")
BULK = 20000    # `lines N` above this is a job's number, too


def said(text):
    """What a job was shown, without what terminals and postern-shell add."""
    return text.decode().replace("\r\n", "\n").partition("postern: ")[0]


class Job:
    """One run of stock ssh: what it asked for, and what came of it."""

    def __init__(self, number, kind, parts):
        self.number, self.kind, self.parts = number, kind, parts
        self.code, self.out, self.err = None, b"", b""

    def command(self):
        if self.kind == "bulk":
            return f"/opt/house/bin/lines {self.number + BULK}"
        return " && ".join(f"/opt/house/bin/stream {self.number} {n}"
                           for n in self.parts)

    def there(self):
        """Where its file is."""
        return AREA / str(self.number)

    def expected(self):
        if self.kind == "files":
            return f"{self.number:07} and\n" * (self.parts[0] * LINE // 12)
        if self.kind == "bulk":
            return "".join(f"{i + 1}\n" for i in range(self.number + BULK))
        return "".join(f"{self.number} {i + 1}\n" for n in self.parts
                       for i in range(n))


def recorded(bastion, operation):
    """What its recording shows of standard output."""
    out = []
    text = bastion.recording(operation).read_text()
    for line in text.splitlines(True)[1:]:
        if line.endswith("\n"):     # a crash may cut the last one
            event = json.loads(line)
            if event[1] == "o":
                out.append(event[2])
    return said("".join(out).encode())


def settle(bastion, mark, timeout=120):
    """The ledger's new lines, when all that began has ended; and what has
    not."""
    end = time.monotonic() + timeout
    while True:
        lines = bastion.events(mark)
        begun = {e["operation"] for e in lines
                 if e["event"] == "operation.decide" and
                 e["verdict"] == "allow"}
        left = begun - {e["operation"] for e in lines
                        if e["event"] == "operation.end"}
        if not left or time.monotonic() > end:
            return lines, left
        time.sleep(0.2)


def verified(bastion, folder):
    """What `postern verify` finds wrong; None."""
    r = bastion.postern("verify", folder, check=False)
    return None if r.returncode == 0 else \
        f"verify: {r.returncode}: {r.stdout}{r.stderr}".strip()


class Check:
    """The facts of one round of havoc, and what is wrong with them."""

    def __init__(self, bastion, lines, jobs):
        self.bastion, self.lines, self.jobs = bastion, lines, jobs
        self.decided = {e["operation"]: e for e in lines if e["event"] ==
                        "operation.decide" and e["verdict"] == "allow"}
        self.ends = {e["operation"]: e for e in lines
                     if e["event"] == "operation.end"}
        self.states = collections.Counter(
            e["state"] for e in self.ends.values())
        self.accepted = set()
        self.shown = self.missing = self.unrecorded = 0
        self.faults = []

    def fault(self, text):
        self.faults.append(text)

    def targets(self, text):
        """Promise 2: what a target's sshd let in was decided and recorded."""
        for operation, serial in ACCEPTED.findall(text):
            self.accepted.add(operation)
            e = self.decided.get(operation)
            if e is None:
                self.unrecorded += 1
                self.fault(f"{operation} ran without a decision")
                continue
            if int(e["serial"]) != int(serial):
                self.fault(f"{operation} ran with another certificate")
            if not self.has_recording(operation):
                self.unrecorded += 1
                self.fault(f"{operation} ran and has no recording")

    def has_recording(self, operation):
        with contextlib.suppress(ValueError):
            return self.bastion.recording(operation)

    def shown_is_recorded(self):
        """Promise 9: what a client printed is the beginning of what the
        recordings of its operations hold."""
        of_job = collections.defaultdict(list)
        for e in self.decided.values():
            m = NUMBER.search(e.get("command", ""))
            if m:
                n = int(m[1])
                if "/lines " in e["command"]:
                    n -= BULK
                of_job[n].append((int(e.get("position", 1)), e["operation"]))
        for job in self.jobs:
            if job.kind == "files":
                continue
            if job.kind == "shell":
                killshell.check(self, job)
                continue
            self.job(job, [o for _, o in sorted(of_job[job.number])])

    def manifest(self):
        """{path: its line} of all files that were moved."""
        lines = {}
        for o, e in self.decided.items():
            if e.get("by") != "sftp" or not self.has_recording(o):
                continue
            side = self.bastion.recording(o).with_suffix(".json")
            for text in side.read_text().splitlines(True):
                if text.endswith("\n"):     # a crash may cut the last one
                    line = json.loads(text)
                    if line["kind"] == "file" and line["verb"] == "put" and \
                            line["result"] != "begun":
                        lines[line["path"]] = line
        return lines

    def moved_is_told(self):
        """A file that its job was told is there is whole, and in a manifest
        with its digest; of any other there is its beginning."""
        lines = self.manifest()
        for job in self.jobs:
            if job.kind != "files":
                continue
            if job.code == "hangs":
                self.fault(f"job {job.number} hangs: {job.err[-300:]}")
            there, sent = job.there(), job.expected().encode()
            have = there.read_bytes() if there.exists() else b""
            there.unlink(missing_ok=True)
            self.shown += len(have)
            if not sent.startswith(have):
                self.fault(f"job {job.number}: what is there was not sent")
            line = lines.get(str(there), {})
            whole = hashlib.sha256(sent).hexdigest()
            if line.get("result") == "done" and (
                    have != sent or line.get("sha256") != whole):
                self.fault(f"job {job.number}: {line}, and there are "
                           f"{len(have)} of {len(sent)} bytes")
            if job.code == 0 and line.get("result") != "done":
                self.missing += len(sent)
                self.fault(f"job {job.number} moved its file, and its manifest "
                           f"says {line}")

    def job(self, job, operations):
        if job.code == "hangs":
            self.fault(f"job {job.number} hangs: {job.err.decode()[-300:]}")
        out = said(job.out)
        if not job.expected().startswith(out):
            self.fault(f"job {job.number} was shown what its command did not "
                       f"say: {out[-200:]!r}")
        if job.code == 0 and out != job.expected():
            self.fault(f"job {job.number} ended well with {len(out)} of "
                       f"{len(job.expected())} bytes")
        if not out:
            return
        self.shown += len(out)
        # Of a list some may not have begun.
        begun = [o for o in operations if self.has_recording(o)]
        if not begun:
            self.unrecorded += 1
            self.fault(f"job {job.number} was shown {len(out)} bytes without a "
                       "recording")
            return
        kept = "".join(recorded(self.bastion, o) for o in begun)
        held = len(os.path.commonprefix([kept, out]))
        if held < len(out):
            self.missing += len(out) - held
            self.fault(f"{' '.join(begun)}: {len(out) - held} bytes that "
                       f"were shown are not recorded: {out[held:][:80]!r}")

    def sealed(self):
        """What audit measured is what lies there, and nobody writes it."""
        for operation, e in self.ends.items():
            if "recording_sha256" not in e:
                continue    # it never began
            f = self.has_recording(operation)
            if not f:
                self.fault(f"{operation}: its recording is gone")
                continue
            if hashlib.sha256(f.read_bytes()).hexdigest() != \
                    e["recording_sha256"]:
                self.fault(f"{operation}: its recording is not what the "
                           "ledger says")
            if stat.S_IMODE(f.stat().st_mode) & 0o222:
                self.fault(f"{operation}: its recording can be written")

    def verified(self):
        """All of it, from the beginning, is as it was signed."""
        found = verified(self.bastion, h.STATE)
        if found:
            self.fault(found)

    def ledger(self, left):
        """No gap, nothing twice, nothing without its beginning or end."""
        for o in left:
            self.fault(f"{o} has no end")
        every = self.bastion.ledger()
        if [e["number"] for e in every] != list(range(1, len(every) + 1)):
            self.fault("the ledger's numbers have a gap")
        for kind, key in (("operation.end", "operation"),
                          ("operation.decide", "operation"),
                          ("session.open", "session"),
                          ("session.close", "session")):
            count = collections.Counter(e[key] for e in self.lines
                                        if e["event"] == kind)
            for k, n in count.items():
                if n > 1:
                    self.fault(f"{kind} of {k}: {n} times")
        opened = {e["session"] for e in every if e["event"] == "session.open"}
        for s in {e["session"] for e in self.lines if "session" in e} - opened:
            self.fault(f"session {s} was never opened")
        closed = set()
        for e in every:
            if e["event"] == "session.close":
                closed.add(e["session"])
            elif e["event"] == "operation.decide" and \
                    e.get("session") in closed:
                self.fault(f"{e['operation']} began in a session that is "
                           "closed")
        known = {e["operation"] for e in every
                 if e["event"] == "operation.decide"}
        for o in set(self.ends) - known:
            self.fault(f"{o} ended and never began")

    def alarms(self, kills):
        """Each death of a child is told in the ledger."""
        for name, n in kills.items():
            told = 0
            for e in self.lines:
                if (e["event"] == "alarm" and
                        name in (e["process"], f"postern-{e['process']}")):
                    m = re.match(r"died (\d+) times", e["reason"])
                    told += int(m[1]) if m else 1
            if told < n:
                self.fault(f"{n} deaths of {name}, {told} in the ledger")

    def cut(self, may):
        """Operations that a target ran and that did not end as they should;
        as many as hops and jobs were killed may be."""
        cut = [o for o in self.accepted & set(self.ends)
               if self.ends[o]["state"] != "complete" or
               self.ends[o].get("exit") != 0]
        if len(cut) > may:
            self.fault(f"{len(cut)} running operations were cut, by {may} "
                       "kills of theirs: " + " ".join(
                           f"{o} ({self.ends[o].get('reason')})"
                           for o in cut[:5]))
        return len(cut)

    def nobody_noticed(self):
        """Of a reload or an upgrade: no job, and no session."""
        for j in self.jobs:
            # A list has no state that outlives policy (decision 0012).
            if j.code != 0 and not (j.kind in ("list", "shell") and
                                    j.code == 75):
                self.fault(f"job {j.number} ({j.kind}) ended with {j.code}: "
                           f"{j.err.decode()[-200:]}")
        for e in self.lines:
            if e["event"] == "session.close" and "reason" in e:
                self.fault(f"session {e['session']} was lost: {e['reason']}")
