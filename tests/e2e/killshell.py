"""A person in a broker shell while processes die: lines that come as they are
asked for, and what he was shown against the shell's recording and those of its
lines, put together as `postern replay` puts them."""
import contextlib
import json
import os
import re
import subprocess
import time

LINES = 4
PROMPT = re.compile(rb"as \S+> (?:\x1b\[\S*)?$")
PROMPT_ANY = re.compile(rb"as \S+> ")
WORDS = re.compile(r"\s*postern: ")
WAIT_S = 150
PTS = range(136, 144)    # major numbers of terminals


def has_terminal(pid):
    """Any other postern-shell has let go of it."""
    with contextlib.suppress(OSError):
        # By its number: its name is another where /dev is another.
        return os.major(os.stat(f"/proc/{pid}/fd/0").st_rdev) in PTS
    return False


def run_of(number):
    """The claim by which the shell's session is found."""
    return f"kill-{number}"


def lines_of(job):
    """What is typed: the job's commands, and the way out."""
    for n in job.parts:
        yield f"/opt/house/bin/stream {job.number} {n}\n"
    yield "exit\n"


def person(ssh, job):
    """ssh -tt; each line when there is a prompt for it."""
    token = ssh.issuer.token(ttl=120, run_id=run_of(job.number))
    p = ssh.popen(ssh.argv("web-1", opts=["-tt"]), stdin=subprocess.PIPE,
                  env=ssh.env(CI_TOKEN=token))
    os.set_blocking(p.stdout.fileno(), False)
    end, todo, asked = time.monotonic() + WAIT_S, lines_of(job), 0
    try:
        while p.poll() is None and time.monotonic() < end:
            more = p.stdout.read()
            job.out += more or b""
            if PROMPT.search(job.out[asked:]):
                asked = len(job.out)
                p.stdin.write(next(todo, "exit\n").encode())
                p.stdin.flush()
            elif not more:
                time.sleep(0.02)
    except BrokenPipeError:
        pass
    try:
        job.code = p.wait(max(1, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        ssh.kill(p)
        job.code = "hangs"
    os.set_blocking(p.stdout.fileno(), True)
    job.out += p.stdout.read()
    job.err = p.stderr.read()
    with contextlib.suppress(BrokenPipeError):
        p.stdin.close()
    p.wait()


def tally(jobs):
    """That there were some, and that they were shown something."""
    outs = [j.out for j in jobs if j.kind == "shell"]
    return (f"{len(outs)} broker shells, {sum(map(len, outs))} bytes shown, "
            f"{sum(len(PROMPT_ANY.findall(o)) for o in outs)} prompts")


def together(bastion, shell):
    """What the recordings show of it, as one."""
    r = bastion.postern("replay", "--cast", "--idle", "0", shell, check=False)
    if r.returncode != 0:
        return f"replay: {r.returncode}: {r.stderr}"
    return "".join(e[2] for e in map(json.loads, r.stdout.splitlines()[1:])
                   if e[1] == "o")


def check(it, job):
    """Nothing that he was shown is missing; it is a killcheck.Check."""
    if job.code == "hangs":
        it.fault(f"shell {job.number} hangs: {job.out[-300:]}")
    out = job.out.decode(errors="replace")
    shells = [o for o, e in it.decided.items() if e.get("by") == "shell" and
              e.get("run") == run_of(job.number)]
    if not shells:
        if "> " in out:
            it.unrecorded += 1
            it.fault(f"shell {job.number} was shown {out[-200:]!r} and has no "
                     "recording")
        return
    it.shown += len(out)
    kept = together(it.bastion, shells[0])
    held = len(os.path.commonprefix([kept, out]))
    # Why it is over is told when nothing can be written any more.
    if held < len(out) and not WORDS.match(out[held:]):
        it.missing += len(out) - held
        it.fault(f"shell {job.number}, {shells[0]}: of {len(out)} characters "
                 f"{len(out) - held} are not recorded: "
                 f"{out[max(0, held - 60):held]!r} and then "
                 f"{out[held:][:200]!r}, not {kept[held:][:200]!r}")
