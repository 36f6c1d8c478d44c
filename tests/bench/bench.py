"""`./dev bench`: Postern beside `ssh -J`, in one interleaved run.

Rows of doc/PROMISES.md: 1 a first operation by token, 2 the same by a job's
certificate, 3 both at 40 ms round trip between job and bastion, 4 bulk with
recording on, 8 memory of one running operation.  Same target sshd for both, a stock sshd in
the bastion's namespace for -J; medians, ratios.  It only prints.
"""
import os
import pathlib
import random
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
import house as h  # noqa: E402
import link  # noqa: E402

LATENCY_RUNS = int(os.environ.get("BENCH_RUNS", "21"))
BULK_RUNS = int(os.environ.get("BENCH_BULK_RUNS", "7"))
BULK_MIB = int(os.environ.get("BENCH_MIB", "512"))
FAR_MS = 20     # each way
GCM = "aes128-gcm@openssh.com"

POLICY = """\
policy 1
target gcm-1 {{ ssh "deploy@10.91.0.2:2201"; hostkey ssh-ed25519 "{gcm}" }}
allow bench for shop on web-1 gcm-1 {{
    run cat /opt/house/bulk
    run /opt/house/bin/lines <int 1..100000000>
    run /usr/bin/true
}}
"""


class GcmTarget(h.Target):
    def config(self):
        return super().config() + f"Ciphers {GCM}\n"


class Jump(h.Target):
    """The stock bastion: an sshd in the bastion's network."""

    def start(self):
        conf = self.dir / "sshd_config"
        conf.write_text(self.config().replace("ExposeAuthInfo yes\n", ""))
        self.daemon = h.Daemon("sshd jump", h.inside("bastion", [
            "/usr/sbin/sshd", "-D", "-e", "-f", conf]), self.log)
        self.daemon.wait_for(
            lambda: h.can_connect("bastion", self.addr, self.port))


def make_bulk():
    """Log-like text, in memory."""
    rnd = random.Random(1)
    block = "".join(
        f"2026-11-24T20:{i % 60:02}:{rnd.randrange(60):02}Z web-1 shop[{i}]: "
        f"GET /items/{rnd.randrange(10**6)} 200 {rnd.randrange(10**5)} us\n"
        for i in range(12000)).encode()
    block = block[:1 << 19]
    with open(h.WORK / "bulk", "wb") as f:
        for _ in range(BULK_MIB << 1):
            f.write(block)


class Bench:
    def __init__(self):
        self.it = it = h.House()
        make_bulk()
        self.gcm1 = GcmTarget("gcm-1", "10.91.0.2", 2201)
        self.jump = Jump("jump", "10.91.0.1", 2222)
        it.started += [self.gcm1, self.jump]
        it.open(extra=POLICY.format(gcm=self.gcm1.fingerprint),
                more=[self.gcm1])
        self.job = it.job
        key = h.ssh_keygen(it.job.home / ".ssh/id_bench")
        for f in (key, key.with_suffix(".pub")):
            h.run("chown", "runner:", f)
        pub = key.with_suffix(".pub").read_text()
        for t in (it.web1, self.gcm1, self.jump):
            t.keys_file.write_text(pub)
            it.job.knows(t.dir / "host.pub", t.addr if t.port == 22 else
                         f"[{t.addr}]:{t.port}")
        self.config = it.job.home / "bench_config"
        self.config.write_text(f"""\
Host jump
    HostName {self.jump.addr}
    Port {self.jump.port}
Host web
    HostName {it.web1.addr}
Host gcm jumpgcm
    Ciphers {GCM}
Host gcm
    HostName {self.gcm1.addr}
    Port {self.gcm1.port}
Host jumpgcm
    HostName {self.jump.addr}
    Port {self.jump.port}
Host *
    User deploy
    IdentityFile {key}
    IdentitiesOnly yes
    BatchMode yes
""")

    def timed(self, argv, env=None):
        t0 = time.monotonic()
        p = subprocess.run(h.inside("job", argv, "runner"),
                           env=env or self.job.env(), cwd="/",
                           stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                           stdout=subprocess.DEVNULL)
        took = time.monotonic() - t0
        if p.returncode:
            raise SystemExit(f"{argv}: {p.returncode}\n{p.stderr.decode()}")
        return took

    def jumped(self, to, command, via="jump"):
        return lambda: self.timed(["ssh", "-F", self.config, "-J", via, to,
                                   command])

    def direct(self, to, command):
        return lambda: self.timed(["ssh", "-F", self.config, to, command])

    def postern(self, to, command, opts=()):
        # The askpass is written beforehand: the job's shell is not timed.
        ask = self.job.home / "askpass"
        if not ask.exists():
            ask.write_text(h.SNIPPET.split("<<'S'\n")[1].split("S\n")[0]
                           .replace("@SHELL@", "/bin/sh")
                           .replace("@HOST@", h.BASTION))
            ask.chmod(0o755)

        def go():
            env = self.job.env(CI_TOKEN=self.it.issuer.token(),
                               SSH_ASKPASS=str(ask),
                               SSH_ASKPASS_REQUIRE="force")
            return self.timed(["ssh", "-o", "PreferredAuthentications="
                               "keyboard-interactive", *opts,
                               f"{to}@{h.BASTION}", command], env)
        return go

    def certified(self, to, command):
        """By a certificate that the job got beforehand."""
        key = self.job.home / "cert/k"
        cert = key.with_name("k-cert.pub")
        if not key.exists():
            h.ssh_keygen(key)
            h.run("chown", "-R", "runner:", key.parent)

        def go():
            # One is good for fifteen minutes, on a slow machine not enough.
            if not cert.exists() or time.time() - cert.stat().st_mtime > 600:
                r = self.job.ssh("postern", "login",
                                 input=key.with_suffix(".pub").read_bytes())
                assert r.code == 0, r.error
                cert.write_bytes(r.out)
            # Or it offers the key by itself first, one question for nothing.
            return self.timed(["ssh", "-i", key, "-o", "IdentitiesOnly=yes",
                               "-o", "BatchMode=yes", "-o",
                               "PubkeyAcceptedAlgorithms=*-cert-*",
                               f"{to}@{h.BASTION}", command])
        return go

    @staticmethod
    def interleaved(ways, runs, what):
        """Each way `runs` times, shuffled, after one to warm up."""
        times = {name: [] for name in ways}
        for n in range(runs + 1):
            order = list(ways)
            random.shuffle(order)
            for name in order:
                t = ways[name]()
                if n:
                    times[name].append(t)
            if sys.stderr.isatty():
                print(f"\r{what}: {n}/{runs} ", end="", file=sys.stderr)
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr)
        return {k: statistics.median(v) for k, v in times.items()}

    def memory(self, command, seconds, to="web-1"):
        """Most memory of their own that hop and postern-shell had together, KiB:
        anonymous pages.  They are all that is Private_Dirty where programs lie
        on a disk; here those lie on a tmpfs, where code that is only read is
        dirty, too."""
        most, stop_at = 0, time.monotonic() + seconds
        p = subprocess.Popen(
            h.inside("job", self.job.argv(to, command), "runner"),
            env=self.job.env(CI_TOKEN=self.it.issuer.token()), cwd="/",
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            start_new_session=True)
        while time.monotonic() < stop_at and p.poll() is None:
            total, names = 0, set()
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    exe = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
                    if exe not in ("postern-hop", "postern-shell"):
                        continue
                    with open(f"/proc/{pid}/smaps_rollup") as f:
                        total += sum(int(x.split()[1]) for x in f
                                     if x.startswith("Anonymous:"))
                    names.add(exe)
                except OSError:
                    continue
            if len(names) == 2:
                most = max(most, total)
            time.sleep(0.05)
        if p.poll() is None:
            os.killpg(p.pid, 15)
        p.wait()
        return most


def far(b, near):
    """At a distance; and how many times something went there and back, which
    is what the distance costs."""
    with link.Far(FAR_MS):
        t = b.interleaved({
            "j": b.jumped("web", "true"),
            "p": b.postern("web-1", "/usr/bin/true"),
            "c": b.certified("web-1", "/usr/bin/true"),
        }, LATENCY_RUNS, "far")
    trips = {k: (t[k] - near[k]) * 1000 / (2 * FAR_MS) for k in t}
    for k, what, goal in (("p", "by token", 0.65),
                          ("c", "by job certificate", 0.55)):
        row(3, f"{2 * FAR_MS} ms round trip, {what}", "ssh -J", t[k] / t["j"],
            goal, f"{t[k] * 1000:.0f} ms, -J {t['j'] * 1000:.0f}; "
            f"{trips[k]:.1f} round trips, -J {trips['j']:.1f}, n = "
            f"{LATENCY_RUNS}")


def row(number, what, against, ratio, goal, detail, lower_is_better=True):
    good = ratio <= goal if lower_is_better else ratio >= goal
    print(f"{number:>2}  {what:<44} {ratio:5.2f} x {against:<12} "
          f"{'<=' if lower_is_better else '>='} {goal:<4} "
          f"{'ok  ' if good else 'MISS'} {detail}", flush=True)


def main():
    b = Bench()
    try:
        cpus = len(os.sched_getaffinity(0))
        print(f"medians, interleaved; client, bastion and target on {cpus} "
              "cores", flush=True)
        t = b.interleaved({
            "j": b.jumped("web", "true"),
            "d": b.direct("web", "true"),
            "p": b.postern("web-1", "/usr/bin/true"),
            "c": b.certified("web-1", "/usr/bin/true"),
        }, LATENCY_RUNS, "latency")
        row(1, "first operation by token (3 parts), `true`", "ssh -J",
            t["p"] / t["j"], 0.62, f"{t['p'] * 1000:.0f} ms, -J "
            f"{t['j'] * 1000:.0f}, direct {t['d'] * 1000:.0f}, n = "
            f"{LATENCY_RUNS}")
        for against, name, goal in (("j", "ssh -J", 0.56),
                                    ("d", "direct ssh", 1.0)):
            row(2, "the same by job certificate", name, t["c"] / t[against],
                goal, f"{t['c'] * 1000:.0f} ms, {name} "
                f"{t[against] * 1000:.0f}, n = {LATENCY_RUNS}")
        far(b, t)
        t = b.interleaved({
            "j": b.jumped("web", "cat /opt/house/bulk"),
            "p": b.postern("web-1", "cat /opt/house/bulk"),
            "jg": b.jumped("gcm", "cat /opt/house/bulk", via="jumpgcm"),
            "pg": b.postern("gcm-1", "cat /opt/house/bulk",
                            ("-c", GCM)),
        }, BULK_RUNS, "bulk")
        for p, j, what, goal in (("p", "j", "default ciphers", 1.15),
                                 ("pg", "jg", "aes128-gcm, both legs", 1.0)):
            row(4, f"bulk, recorded, {what}", "ssh -J", t[j] / t[p], goal,
                f"{BULK_MIB / t[p]:.0f} MiB/s, -J {BULK_MIB / t[j]:.0f}, "
                f"{BULK_MIB} MiB, n = {BULK_RUNS}", lower_is_better=False)
        for what, command, seconds, goal in (
                ("idle", "/opt/house/bin/slow 20", 3, 1.3),
                ("in bulk", "/opt/house/bin/lines 100000000", 5, 1.6)):
            mib = b.memory(command, seconds) / 1024
            row(8, f"hop + postern-shell, written to, {what}", "1 MiB", mib,
                goal, f"{mib:.2f} MiB")
    finally:
        b.it.close()


if __name__ == "__main__":
    main()
