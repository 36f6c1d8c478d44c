"""The rpm on a root of its own: contents, scripts, needs, and the tools run out
of it."""
import os
import re
import sys

import build
import machine as m

from debian import POLICY, Issuer


class Rpm:
    """The rpm on a root of its own: contents, scripts, needs, the tools."""

    def __init__(self, _):
        self.dir = build.build("host", "1")
        self.root = m.make_root("bookworm", "target",
                                {*m.BASE.split(","), "python3"})

    def contents(self):
        names = {"postern", "postern-audit", "libpam-postern",
                 "libnss-postern"}
        rpms = sorted(self.dir.glob("*.rpm"))
        assert {m.run("rpm", "-qp", "--qf", "%{NAME}", r)
                for r in rpms} == names
        said = {}
        for r in rpms:
            name = m.run("rpm", "-qp", "--qf", "%{NAME}", r)
            deb, = self.dir.glob(f"{name}_*.deb")
            have = set(m.run("rpm", "-qlp", r).split("\n")) - {""}
            files = {f for f in have if not f.startswith((
                "/usr/share/doc/", "/usr/share/licenses/"))}
            want = {x.split()[-1][1:] for x in m.run(
                "sh", "-c", f"dpkg-deb --fsys-tarfile {deb} | tar -tv"
                ).splitlines() if not x.startswith("d")}
            want = {re.sub(r"/lib/[^/]*-linux-gnu/", "/lib64/", w)
                    .replace("zsh/vendor-completions", "zsh/site-functions")
                    for w in want if not w.startswith((
                        "/usr/share/doc/", "/usr/share/lintian/"))}
            assert want <= files, (name, want - files)
            extra = {f for f in files - want
                     if not f.startswith("/usr/lib/.build-id")}
            assert extra <= {
                "/etc/postern", "/etc/postern/policy", "/var/lib/postern",
                "/usr/libexec/postern", "/usr/lib64/postern",
                "/usr/share/postern", "/usr/share/postern/ci",
                "/usr/share/postern/ci/github"}, (name, extra)
            said[name] = len(files)
        return str(said)

    def scripts(self):
        rpm, = self.dir.glob("postern-0*.rpm")
        text = m.run("rpm", "-qp", "--scripts", "--triggers", rpm)
        for word in ("systemd-sysusers", "postern-upgraded note",
                     "postern-upgraded\n", "postern-upgraded sshd"):
            assert word in text, (word, text)
        assert "restart" not in text and "rm -rf" not in text
        config = m.run("rpm", "-qp", "--configfiles", rpm).split()
        assert config == ["/etc/pam.d/postern-sshd",
                          "/etc/postern/postern.conf"], config
        needs = m.run("rpm", "-qp", "--requires", rpm)
        for n in ("openssh-server", "openssh-clients", "systemd", "util-linux",
                  "postern-audit", "libpam-postern", "libnss-postern"):
            assert n in needs, needs
        modes = m.run("rpm", "-qp", "--qf",
                      "[%{FILENAMES} %{FILEMODES:perms}\n]", rpm)
        assert "postern-shell -rwx--x--x" in modes

    def tools(self):
        """rpm --root into a copy, and the command line out of it."""
        work = build.OUT / "rpmroot"
        m.run("rm", "-rf", work)
        m.run("cp", "-a", self.root, work)
        for r in sorted(self.dir.glob("*.rpm")):
            m.run("rpm", "--root", work, "--initdb")
            m.run("rpm", "--root", work, "-i", "--nodeps", "--noscripts", r)
        self.libraries(work)
        policy = work / "tmp/a.postern"
        policy.write_text(POLICY.replace(
            "@FINGERPRINT@",
            "SHA256:Iqa3gjbrQfns01VnUq4pXClhTXeRLWlnVqBNps45L9U"))
        (work / "etc/postern/keys").mkdir()
        (work / "etc/postern/keys/ci.json").write_text(Issuer().keys())
        run = lambda c: m.in_root(work, c)          # noqa: E731
        assert "its tests pass" in run("postern policy check /tmp/a.postern")
        said = run("postern policy explain --policy /tmp/a.postern --as shop "
                   "--on web-1 -- systemctl restart web")
        assert "allow" in said, said
        self.evidence(work, run)
        assert m.run("rpm", "--root", work, "-qa").count("postern") == 4
        m.run("rpm", "--root", work, "-e", "--noscripts", *build.POSTERN)
        assert not (work / "usr/bin/postern").exists()
        m.run("rm", "-rf", work)

    def libraries(self, work):
        """Whatever the rpm's programs load of this host, where it is."""
        programs = [work / "usr/bin/postern", work / "usr/sbin/posternd",
                    *(work / "usr/libexec/postern").iterdir()]
        said = m.run("ldd", *(p for p in programs if p.is_file() and
                              p.read_bytes()[:4] == b"\x7fELF"))
        m.run("cp", "--dereference", "--parents",
              *sorted(set(re.findall(r"=> (/\S+) ", said))), work)
        m.in_root(work, "ldconfig")

    def evidence(self, work, run):
        """verify over a store of another bastion, and replay out of it: by a
        posternd of the rpm that has it for its state."""
        state = work / "var/lib/postern"
        m.run("rm", "-rf", state)
        m.run(sys.executable, "-B", "-c", "import pathlib, sys, tamper; "
              "tamper.make(pathlib.Path(sys.argv[1]), 80)", state,
              env=os.environ | {"POSTERN_BUILD": str(m.TOP / "build"),
                                "PYTHONPATH": str(m.TOP / "tests/broker")})
        said = run("postern verify /var/lib/postern")
        assert said.startswith("well: 80 lines, 80 of them signed"), said
        operation = next(p for p in state.glob("recordings/*/*.cast")
                         if '"hi ' in p.read_text()).stem
        said = run(f"""
            systemd-sysusers postern.conf
            mkdir -p /etc/postern/policy /run/postern
            cp /tmp/a.postern /etc/postern/policy/
            postern ca init >/dev/null
            chown -R _postern-audit:postern-auditor /var/lib/postern/*
            posternd 2>/tmp/log & pid=$!
            n=0
            until grep -q '^posternd: ready' /tmp/log; do
                n=$((n + 1)); [ $n -lt 600 ] || {{ cat /tmp/log; exit 1; }}
                sleep 0.1
            done
            postern replay --speed 1000 {operation}
            kill $pid; wait $pid""")
        assert re.search(r"hi \d", said), said

    STEPS = (contents, scripts, tools)
