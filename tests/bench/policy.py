"""`./dev bench policy`: what a decision and a load cost, beside sudo.

Row 6 of doc/PROMISES.md: one decision, parse included, at 10, 1,000 and 10,000
rules, and the worst 64 KiB command; and of files, repositories and shells.
Then the load with the tests of the policy, and `sudo -l -U` over sudoers that
say the same; and `prove` and `diff` where every rule has changed.  It only
prints.
"""
import json
import os
import pathlib
import random
import resource
import statistics
import subprocess
import time

BUILD = pathlib.Path(os.environ["POSTERN_BUILD"])
WORK = pathlib.Path("/run/bench-policy")
SIZES = {10: 2, 1000: 2, 10000: 4}      # rules: microseconds that p99 may be
WORST_MS = 5
RUNS = int(os.environ.get("BENCH_RUNS", "11"))
HOSTKEY = "SHA256:Iqa3gjbrQfns01VnUq4pXClhTXeRLWlnVqBNps45L9U"

HEAD = f"""\
policy 1
issuer g {{ preset github; audience "bench" }}
type service = enum web api worker
program systemctl = /usr/bin/systemctl
"""


def rule(i, team=None):
    """Every tenth is about a program that all share, the others about their
    own; a team is an identity with a target and ten rules."""
    team = i // 10 if team is None else team
    own = f"/opt/app{i}/bin/deploy"
    line = (f"systemctl restart unit{i}" if i % 10 == 0 else
            f"{own} --ref=<int 1..9999> <service> [--dry-run]")
    return (f"allow r{i} for id{team} on t{team} {{ run {line}; "
            f"run {own} status <service>... }}\n")


def policy(n, crowd=False):
    text = HEAD
    for i in range(1 if crowd else n // 10):
        text += (f'identity id{i} from g {{ claim repository_id = "{i + 1}" '
                 f'}}\ntarget t{i} {{ ssh "app@host{i}:22"; hostkey '
                 f'ssh-ed25519 "{HOSTKEY}" }}\n')
    text += "".join(rule(i, 0 if crowd else None) for i in range(n))
    text += "deny never for * on * { run systemctl <any>... stop <any>... }\n"
    for i in range(0, n, 10):
        team = 0 if crowd else i // 10
        text += (f'test "rule {i}" as id{team} on t{team} {{ '
                 f'allow "systemctl restart unit{i}"; '
                 f'deny "systemctl restart unit{i} now"; '
                 f'deny "/opt/app{i}/bin/deploy status bad" }}\n')
    return text


def commands(rnd):
    """Half allowed, half not; what identity id0 asks of target t0."""
    out = []
    for _ in range(1000):
        own = f"/opt/app{rnd.randrange(1, 10)}/bin/deploy"
        out.append(rnd.choice((
            "systemctl restart unit0", f"{own} status web api",
            f"{own} --ref={rnd.randrange(1, 9999)} web",
            "systemctl restart unit1", f"{own} status 'web api'",
            "/usr/bin/systemctl --now stop web", "cat /etc/app.conf")))
    return "".join(c + "\n" for c in out)


def other_policy(n):
    """What is no command: each of n rules is about its own team's target."""
    text = HEAD
    for i in range(n // 10):
        text += (f'identity id{i} from g {{ claim repository_id = "{i + 1}" '
                 f'}}\ntarget t{i} {{ ssh "app@host{i}:22"; hostkey '
                 f'ssh-ed25519 "{HOSTKEY}" }}\n')
    for i in range(n):
        line = (f"read under /srv/app{i} by sftp", f"git read /srv/r{i}.git",
                "interactive")[i % 3]
        text += f"allow r{i} for id{i // 10} on t{i // 10} {{ {line} }}\n"
    return text


OTHERS = {
    "read": "@read /srv/app0/x\n@read /srv/app3/x/y\n@read /etc/passwd\n",
    "git": "@git /srv/r1.git\n@git /srv/r4.git\n@git /srv/r5.git\n",
    "interactive": "@shell\n",
}


def others():
    """The ratio is of the medians: 1,000 and 10,000 rules to 10."""
    took = {k: [] for k in OTHERS}
    for n in SIZES:
        (WORK / "p.postern").write_text(other_policy(n))
        for kind, lines in OTHERS.items():
            (WORK / "c.txt").write_text(lines)
            took[kind].append(statistics.median(
                decide(WORK / "p.postern", WORK / "c.txt", 200000)["median_ns"]
                for _ in range(3)))
    for kind, ns in took.items():
        print(f"{kind:12} {' / '.join(f'{t / 1e3:.2f}' for t in ns)} us at "
              f"{' / '.join(map(str, SIZES))} rules of such lines: "
              f"{ns[1] / ns[0]:.2f} x, {ns[2] / ns[0]:.2f} x", flush=True)


def sudoers(n):
    lines = ["root ALL=(ALL:ALL) ALL"]
    for i in range(n):
        own = f"/opt/app{i}/bin/deploy"
        first = (f"/usr/bin/systemctl restart unit{i}" if i % 10 == 0 else
                 f"{own} ^--ref\\=[0-9]+ (web|api|worker)( --dry-run)?$")
        lines.append(f"nobody ALL=(root) {first}, "
                     f"{own} ^status( (web|api|worker))+$")
    lines.append("nobody ALL=(root) !/usr/bin/systemctl * stop *")
    return "\n".join(lines) + "\n"


def sudo_ms(n):
    path = pathlib.Path("/etc/sudoers")
    path.write_text(sudoers(n))
    path.chmod(0o440)
    last = (n - 1) // 10 * 10
    cmd = ["sudo", "-l", "-U", "nobody", "/usr/bin/systemctl", "restart",
           f"unit{last}"]
    took = []
    for _ in range(RUNS):
        t0 = time.monotonic()
        subprocess.run(cmd, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=True)
        took.append((time.monotonic() - t0) * 1e3)
    return statistics.median(took)


def decide(policy_file, commands_file, samples, who="id0", on="t0"):
    out = subprocess.run(
        [BUILD / "tests/bench/decide", policy_file, commands_file, who, on,
         str(samples)], stdout=subprocess.PIPE, check=True).stdout
    return json.loads(out)


def worst_case():
    """Sixteen patterns that stay possible to the end, 64 KiB of words."""
    runs = "; ".join(f"run x <text 1..80>... <text 1..80>... z{i}"
                     for i in range(16))
    text = (HEAD + 'identity id0 from g { claim repository_id = "1" }\n'
            f'target t0 {{ ssh "app@10.0.0.1:22"; hostkey ssh-ed25519 '
            f'"{HOSTKEY}" }}\nallow w for id0 on t0 {{ {runs} }}\n')
    words = ["x"] + ["w" * 63] * 1022
    (WORK / "worst.postern").write_text(text)
    (WORK / "worst.txt").write_text(" ".join(words) + "\n")
    return decide(WORK / "worst.postern", WORK / "worst.txt", 300)


def median_of(policy_text, rnd):
    (WORK / "p.postern").write_text(policy_text)
    (WORK / "c.txt").write_text(commands(rnd))
    got = [decide(WORK / "p.postern", WORK / "c.txt", 200000)
           for _ in range(3)]
    return {k: statistics.median(g[k] for g in got) for k in got[0]}


def wide(n, top=100, crowd=False):
    """n rules about n programs, or about one, each with a number up to top."""
    first = "systemctl" if crowd else None
    text = HEAD + (
        'identity id0 from g { claim repository_id = "1" }\n'
        'target t0 { ssh "app@10.0.0.1:22"; hostkey ssh-ed25519 '
        f'"{HOSTKEY}" }}\ndefaults {{ limit duration 5m }}\n')
    return text + "".join(
        f"allow r{i} for id0 on t0 {{ run {first or f'/opt/app{i}/run'} "
        f"--unit=unit{i} -n <int 1..{top}> [--wait] }}\n" for i in range(n))


def cpu_of(*args):
    """Processor time of a tool, and its exit code."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    r = subprocess.run([BUILD / "cli/postern", "policy", *args],
                       stdout=subprocess.DEVNULL, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime -
            before.ru_stime, r.returncode)


def compare(n):
    """Two policies of n rules, all of which changed: as a ratio of what it
    takes to load the two, in processor time."""
    old, new = WORK / "old.postern", WORK / "new.postern"
    for crowd in (False, True):
        old.write_text(wide(n, crowd=crowd))
        loads = 2 * cpu_of("can", "--policy", old, "--as", "id0", "--on",
                           "nowhere")[0]
        line = f"{n} rules of {'one program' if crowd else 'as many'}:"
        for what, top, tool, code in (
                ("the same", 100, "prove", 0), ("narrower", 99, "prove", 0),
                ("wider", 101, "prove", 3), ("wider", 101, "diff", 3)):
            new.write_text(wide(n, top, crowd))
            took, said = cpu_of(tool, old, new)
            assert said == code, (what, tool, said)
            line += (f" {tool} {what} {took:.2f} s "
                     f"({took / loads:.1f} x the loads);")
        print(line, flush=True)


def met(value, most, unit):
    return f"<= {most} {unit} {'ok' if value <= most else 'MISS'}"


def main():
    WORK.mkdir(parents=True, exist_ok=True)
    compare(10000)
    rnd = random.Random(6)
    print("rules   decision median / p99   load with tests   sudo -l -U   "
          "one decision is", flush=True)
    for n in SIZES:
        m = median_of(policy(n), rnd)
        s = sudo_ms(n)
        print(f"{n:6} {m['median_ns'] / 1e3:9.2f} / "
              f"{m['p99_ns'] / 1e3:.2f} us {m['load_ns'] / 1e6:12.1f} ms "
              f"{s:14.1f} ms {s * 1e6 / m['median_ns']:10.0f} x faster "
              f"({100 * m['allowed'] / m['decided']:.0f} % allowed)   6 p99 "
              f"{met(m['p99_ns'] / 1e3, SIZES[n], 'us')}", flush=True)
    m = median_of(policy(1000, crowd=True), rnd)
    print(f"1,000 rules for one identity on one target: "
          f"{m['median_ns'] / 1e3:.2f} / {m['p99_ns'] / 1e3:.2f} us")
    others()
    w = worst_case()
    print(f"worst 64 KiB command: median {w['median_ns'] / 1e6:.2f} ms, "
          f"p99 {w['p99_ns'] / 1e6:.2f} ms   6 p99 "
          f"{met(w['p99_ns'] / 1e6, WORST_MS, 'ms')}")
    print("to reach with loads: 50 / 200 / 1500 ms")


main()
