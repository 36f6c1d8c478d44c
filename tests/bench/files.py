"""`./dev bench files`: files through Postern beside `ssh -J`, in one
interleaved run: 1 GiB by scp, up and down, and 10,000 files of 4 KiB by sftp,
up and down.  Job certificates here, keys there; medians, ratios.  What was
copied is compared.  It only prints.
"""
import filecmp
import os
import shutil

import bench
import house as h

RUNS = int(os.environ.get("BENCH_FILES_RUNS", "5"))
MIB = int(os.environ.get("BENCH_MIB", "1024"))
MANY = int(os.environ.get("BENCH_MANY", "10000"))
AREA = h.WORK / "moved"
TARGET = "/opt/house/moved"

bench.BULK_MIB = 1
bench.POLICY += """
allow files for shop on web-1 {{
    read under /opt/house/moved by sftp
    write under /opt/house/moved by sftp
}}
"""


class Files(bench.Bench):
    def __init__(self):
        super().__init__()
        self.local = self.job.home / "files"
        for d in (AREA, self.local, self.local / "many", AREA / "many"):
            d.mkdir(parents=True, exist_ok=True)
        for f in (AREA / "big", self.local / "big"):
            with open(f, "wb") as fp:
                for _ in range(MIB):
                    fp.write(os.urandom(1 << 20))
        for i in range(MANY):
            (self.local / f"many/{i:05}").write_bytes(os.urandom(4096))
            (AREA / f"many/{i:05}").write_bytes(os.urandom(4096))
        h.run("chown", "-R", "deploy:", AREA)
        h.run("chown", "-R", "runner:", self.local)
        self.batch = self.local / "batch"

    def login(self):
        """The key, and the options that go with its certificate."""
        self.certified("web-1", "/usr/bin/true")()
        return ["-i", str(self.job.home / "cert/k"), "-o", "BatchMode=yes",
                "-o", "IdentitiesOnly=yes", "-o",
                "PubkeyAcceptedAlgorithms=*-cert-*"]

    def both(self, program, args):
        """The same words to either; HOST: in them is the target."""
        def argv(opts, host):
            return [program, *opts, *(a.replace("HOST", host)
                                      for a in args(host))]

        cert = self.login()
        return {
            "j": lambda: self.timed(argv(["-q", "-F", str(self.config), "-J",
                                          "jump"], "web")),
            "p": lambda: self.timed(argv(["-q", *cert],
                                         f"web-1@{h.BASTION}"))}

    def compare(self, what, program, args, goal, pairs):
        ways = self.both(program, args)
        t = self.interleaved(ways, RUNS, what)
        for a, b in pairs():
            assert filecmp.cmp(a, b, shallow=False), (a, b)
        bench.row("", what, "ssh -J", t["j"] / t["p"], goal,
                  f"{t['p']:.2f} s, -J {t['j']:.2f}, n = {RUNS}",
                  lower_is_better=False)

    def sftp(self, what, lines, goal, pairs):
        """A batch, which is written beforehand."""
        self.batch.write_text(lines)
        self.batch.chmod(0o644)
        self.compare(what, "sftp", lambda host: ["-b", str(self.batch),
                                                 "HOST"], goal, pairs)


def main():
    b = Files()
    try:
        big, many = b.local / "big", b.local / "many"
        size = f"{MIB} MiB"
        b.compare(f"{size} up by scp", "scp",
                  lambda host: [str(big), f"HOST:{TARGET}/up"], 1.0,
                  lambda: [(big, AREA / "up")])
        (AREA / "up").unlink()
        b.compare(f"{size} down by scp", "scp",
                  lambda host: [f"HOST:{TARGET}/big", f"{b.local}/down"], 1.0,
                  lambda: [(AREA / "big", b.local / "down")])
        (b.local / "down").unlink()
        b.sftp(f"{MANY} files of 4 KiB up by sftp",
               f"cd {TARGET}\nlcd {b.local}\nput -r many up\n", 0.9,
               lambda: [(f, AREA / "up" / f.name) for f in many.iterdir()])
        shutil.rmtree(AREA / "up")
        b.sftp(f"{MANY} files of 4 KiB down by sftp",
               f"cd {TARGET}\nlcd {b.local}\nget -r many down\n", 0.9,
               lambda: [(f, b.local / "down" / f.name)
                        for f in (AREA / "many").iterdir()])
    finally:
        shutil.rmtree(b.local, ignore_errors=True)
        shutil.rmtree(AREA, ignore_errors=True)
        b.it.close()


if __name__ == "__main__":
    main()
