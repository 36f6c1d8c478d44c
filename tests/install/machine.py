"""A Debian with a real systemd in namespaces of its own, and what a test does
in it.  Roots are made once by debootstrap and kept; each machine is a copy."""
import contextlib
import os
import pathlib
import re
import shlex
import subprocess
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
ROOTS = pathlib.Path(os.environ.get("POSTERN_ROOTS",
                                    "/var/cache/postern-roots"))
BASE = ("ca-certificates,systemd-sysv,dbus,openssh-server,iproute2,procps,"
        "passwd")


def run(*argv, check=True, **kw):
    kw.setdefault("stdin", subprocess.DEVNULL)
    p = subprocess.run([str(a) for a in argv], text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **kw)
    if check and p.returncode:
        raise RuntimeError(f"{shlex.join(map(str, argv))}: {p.returncode}\n"
                           f"{p.stdout[-6000:]}")
    return p.stdout


def wait_for(what, timeout=120):
    end = time.monotonic() + timeout
    while not (got := what()):
        if time.monotonic() > end:
            raise RuntimeError(f"waited {timeout} s in vain")
        time.sleep(0.1)
    return got


def in_root(root, command):
    """A command in a root as it lies there, with the host's network."""
    keep = {k: v for k, v in os.environ.items() if k.endswith("_proxy")}
    return run("unshare", "--mount", "--pid", "--fork", "--kill-child",
               "--propagation", "private", "--", "sh", "-euc", '''
        mount --bind "$0" "$0"
        mount -t proc proc "$0/proc"
        mount --rbind /dev "$0/dev"
        cp -L /etc/resolv.conf /etc/hosts "$0/etc/" || :
        exec chroot "$0" sh -euc "$1"''', root, command,
               env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
                    "LC_ALL": "C.UTF-8",
                    "DEBIAN_FRONTEND": "noninteractive", **keep})


def mirror():
    for f in (*pathlib.Path("/etc/apt/sources.list.d").glob("*.sources"),
              pathlib.Path("/etc/apt/sources.list")):
        if f.exists() and (m := re.search(
                r"^(?:URIs: |deb (?:\[.*?\] )?)(\S+)", f.read_text(), re.M)):
            return m[1]
    raise RuntimeError("no mirror in the host's sources of apt")


def make_root(suite, kind, packages):
    """A cached root that has these packages."""
    root, mark = ROOTS / f"{suite}-{kind}", ROOTS / f"{suite}-{kind}.packages"
    want = " ".join(sorted(packages))
    if mark.exists() and mark.read_text() == want:
        return root
    print(f"making the root {root} (a few minutes, once)", flush=True)
    if not (root / "etc/debian_version").exists():
        run("debootstrap", "--variant=minbase", f"--include={BASE}", suite,
            root, mirror())
    run("cp", "-r", "/etc/apt/apt.conf.d/.", root / "etc/apt/apt.conf.d/")
    guard = root / "usr/sbin/policy-rc.d"
    guard.write_text("#!/bin/sh\nexit 101\n")
    guard.chmod(0o755)
    in_root(root, "apt-get update -q && apt-get install -q -y "
            f"--no-install-recommends {want}")
    guard.unlink()
    mark.write_text(want)
    return root


class Machine:
    def __init__(self, root):
        self.dir = tempfile.TemporaryDirectory(prefix="postern-machine-")
        self.boot = subprocess.Popen(
            [TOP / "tests/install/boot", root, self.dir.name],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        children = pathlib.Path(
            f"/proc/{self.boot.pid}/task/{self.boot.pid}/children")

        def init():
            with contextlib.suppress(OSError, ValueError, IndexError):
                pid = int(children.read_text().split()[0])
                name = pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
                return pid if name in ("systemd", "init") else None
        self.pid = wait_for(init)
        wait_for(lambda: self.sh("systemctl is-system-running", check=False)
                 .strip() in ("running", "degraded"))

    def argv(self, command, user=None):
        argv = ["nsenter", "-t", self.pid, "-m", "-p", "-n", "-i", "-u", "-C",
                "--", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME=/root", "LC_ALL=C.UTF-8",
                "DEBIAN_FRONTEND=noninteractive"]
        if user:
            argv += ["setpriv", f"--reuid={user}", "--regid", user,
                     "--init-groups", "env", f"HOME=/home/{user}"]
        return [str(a) for a in argv] + ["sh", "-c", command]

    def sh(self, command, user=None, check=True, cd="/"):
        return run(*self.argv(f"cd {cd} && {command}", user), check=check)

    def code(self, command, user=None):
        return subprocess.run(self.argv(command, user), capture_output=True,
                              stdin=subprocess.DEVNULL, check=False).returncode

    def popen(self, command, user=None):
        return subprocess.Popen(self.argv(command, user), text=True,
                                stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)

    def write(self, path, text, mode="644"):
        p = subprocess.run(self.argv(
            f"mkdir -p $(dirname {path}) && cat >{path} && "
            f"chmod {mode} {path}"), input=text, text=True, check=True)
        return p.returncode

    def bring(self, files, to):
        """Files of the host, into the machine."""
        self.sh(f"rm -rf {to}; mkdir -p {to}")
        for f in files:
            with open(f, "rb") as src:
                subprocess.run(self.argv(
                    f"cat >{to}/{shlex.quote(pathlib.Path(f).name)}"),
                    stdin=src, check=True)

    def state(self):
        """Everything of the host that is none of Postern's business: all of
        /etc, where the linker and PAM and systemd look, open ports."""
        out = {}
        for line in self.sh(
                "cd / && find etc usr/lib/*-linux-gnu/security "
                "usr/share/pam-configs root home \\( -type f -o -type l \\) "
                "-printf '%p %m %U:%G %l\\n' | sort; "
                "find etc root home -type f ! -name '*-' -exec sha256sum {} +"
                ).splitlines():
            first, _, rest = line.partition(" ")
            if re.fullmatch(r"[0-9a-f]{64}", first):
                out["sha " + rest.strip()] = first
            else:
                out[first] = rest
        for f in ("passwd", "group", "shadow", "gshadow"):
            out.pop(f"sha etc/{f}", None)
            for line in self.sh(f"cat /etc/{f}").splitlines():
                out[f"{f} {line.split(':')[0]}"] = line
        for line in self.sh("ss -Hltn | awk '{print $4}' | sort -u"
                            ).splitlines():
            out["port " + line] = "listens"
        for line in self.sh("systemctl list-unit-files --no-legend "
                            "--no-pager").splitlines():
            out["unit " + line.split()[0]] = line.split()[1]
        out["ssh.service"] = self.sh("systemctl show -p MainPID,ActiveState,"
                                     "NRestarts ssh.service")
        return out

    def close(self):
        self.boot.kill()
        self.boot.wait()
        self.dir.cleanup()


def changes(before, after):
    return {k: (before.get(k), after.get(k))
            for k in sorted(before.keys() | after.keys())
            if before.get(k) != after.get(k)}


