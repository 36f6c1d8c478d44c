"""`./dev bench record`: what recording costs.

First other recorders, each around the same `cat` on a pseudo-terminal of this
machine, beside the bare terminal.  Then row 5 of doc/PROMISES.md: `ssh -tt` through
Postern beside `ssh -tt -J`, and beside a hop that records nothing; and the
same without a terminal.  Medians of one interleaved run, ratios of rates; it
only prints."""
import os
import pathlib
import pty
import shutil
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
os.environ.setdefault("BENCH_MIB", "32")
import bench  # noqa: E402
import house as h  # noqa: E402

RUNS = int(os.environ.get("BENCH_RUNS", "5"))
MIB = bench.BULK_MIB
BULK = "/opt/house/bulk"
bench.POLICY += """
allow bench-pty for shop on web-1 {{ run cat /opt/house/bulk with pty }}
"""


def drained(argv, env=None):
    """Seconds until all that argv shows on a terminal has been read."""
    t0 = time.monotonic()
    pid, fd = pty.fork()
    if pid == 0:
        os.execvpe(argv[0], [str(a) for a in argv], env or os.environ)
    size, said = 0, b""
    while True:
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        size += len(data)
        said = data[-300:]
    os.close(fd)
    status = os.waitpid(pid, 0)[1]
    took = time.monotonic() - t0
    if status or size < MIB << 20:
        raise SystemExit(f"{argv[0]}: status {status}, {size} bytes shown: {said!r}")
    return took


def recorders(tmp):
    """Of those that are installed."""
    cat = f"cat {BULK}"
    ways = {
        "bare terminal": ["cat", BULK],
        "script": ["script", "-qc", cat, tmp / "script"],
        "script with timing": ["script", "-q", "-T", tmp / "timing", "-O",
                               tmp / "script2", "-c", cat],
        "ttyrec": ["ttyrec", "-e", cat, tmp / "ttyrec"],
        "tlog-rec": ["tlog-rec", "--writer=file", f"--file-path={tmp}/tlog",
                     "cat", BULK],
        "sudo's I/O log": ["sudo", "-n", "cat", BULK],
        "asciinema": ["asciinema", "rec", "-q", "--overwrite", "-c", cat,
                      tmp / "cast"],
    }
    pathlib.Path("/etc/sudoers").write_text(
        "root ALL=(ALL) NOPASSWD: ALL\nDefaults log_output, use_pty, "
        f"iolog_dir={tmp}/sudo\n")
    pathlib.Path("/etc/sudoers").chmod(0o440)
    return {k: v for k, v in ways.items() if shutil.which(v[0])}


def tlog_needs():
    """A name of this host that can be looked up, and a file that others keep:
    without either tlog-rec does not begin."""
    with open("/etc/hosts", "a") as f:
        f.write(f"127.0.0.1 {socket.gethostname()}.house.example "
                f"{socket.gethostname()}\n")
    pathlib.Path("/run/utmp").touch()


def able(ways, env):
    """Without those that will not run in here."""
    for k, v in list(ways.items()):
        try:
            drained(v, env)
        except SystemExit as e:
            print(f"    {k:<24} not measured: {str(e)[:200]}")
            del ways[k]
    return ways


def local(tmp):
    env = os.environ | {"SHELL": "/bin/sh", "HOME": str(tmp)}
    tlog_needs()
    ways = able(recorders(tmp), env)
    t = bench.Bench.interleaved(
        {k: lambda v=v: drained(v, env) for k, v in ways.items()}, RUNS,
        "recorders")
    bare = t["bare terminal"]
    for k, s in t.items():
        print(f"    {k:<24} {MIB / s:7.1f} MiB/s  {bare / s:5.2f} x bare",
              flush=True)


class Hop:
    """The hop that is installed, and one that records nothing."""

    def __init__(self):
        self.path = h.LIBEXEC / "postern-hop"
        self.own = self.path.read_bytes()
        self.bare = (pathlib.Path(os.environ["POSTERN_BUILD"]) /
                     "tests/bench/hop_unrecorded").read_bytes()

    def put(self, data):
        new = self.path.with_suffix(".new")
        new.write_bytes(data)
        new.chmod(0o755)
        new.rename(self.path)


def through(b, hop):
    """Row 5, and the same without a terminal."""
    def with_hop(data, go):
        def run():
            hop.put(data)
            return go()
        return run

    def tty(argv):
        env = b.job.env(CI_TOKEN=b.it.issuer.token(),
                        SSH_ASKPASS=str(b.job.home / "askpass"),
                        SSH_ASKPASS_REQUIRE="force")
        return drained(h.inside("job", argv, "runner"), env)

    cat = f"cat {BULK}"
    b.postern("web-1", cat)     # makes the askpass

    def by_postern():
        return tty(["ssh", "-tt", "-o", "LogLevel=QUIET", "-o",
                    "PreferredAuthentications=keyboard-interactive",
                    f"web-1@{h.BASTION}", cat])
    t = b.interleaved({
        "j": lambda: tty(["ssh", "-F", b.config, "-o", "LogLevel=QUIET",
                          "-tt", "-J", "jump", "web", cat]),
        "p": with_hop(hop.own, by_postern),
        "u": with_hop(hop.bare, by_postern),
        "pipe": with_hop(hop.own, b.postern("web-1", cat)),
        "pipe-u": with_hop(hop.bare, b.postern("web-1", cat)),
        "pipe-j": b.jumped("web", cat),
    }, RUNS, "through Postern")
    rate = {k: MIB / s for k, s in t.items()}
    for a, x, what, against, goal in (
            ("p", "j", "terminal, recorded", "ssh -tt -J", 0.95),
            ("p", "u", "terminal, recorded", "unrecorded", 0.9),
            ("pipe", "pipe-j", "no terminal, recorded", "ssh -J", 1.15),
            ("pipe", "pipe-u", "no terminal, recorded", "unrecorded", 0.9)):
        bench.row(5 if a == "p" else 4, what, against, rate[a] / rate[x], goal,
                  f"{rate[a]:.0f} MiB/s, {against} {rate[x]:.0f}, {MIB} MiB, "
                  f"n = {RUNS}", lower_is_better=False)


def main():
    b = bench.Bench()
    hop = Hop()
    tmp = h.WORK / "record"
    tmp.mkdir()
    try:
        local(tmp)
        through(b, hop)
    finally:
        hop.put(hop.own)
        b.it.close()


if __name__ == "__main__":
    main()
