"""The packages on a Debian with a real systemd, as an administrator meets them:
install, first target, a job of stock ssh, upgrade and downgrade under what
runs, remove, purge, install again."""
import base64
import json
import os
import re
import secrets
import time

from cryptography.hazmat.primitives.asymmetric import ec
import jwt

import machine as m

from build import POSTERN, packages

ACCOUNTS = {"_postern-oidc", "_postern-policy", "_postern-sign",
            "_postern-audit", "_postern-hop", "_postern-job", "postern-job",
            "_postern-anchor", "postern-admin", "postern-auditor"}
ISSUER = "https://ci.acme.example"
POLICY = """policy 1
issuer ci {
    preset custom; url "%s"; audience "bastion"; algorithms ES256
    keys-file "/etc/postern/keys/ci.json"
}
identity shop from ci { claim repo = "7712345" }
target web-1 {
    ssh "deploy@10.91.0.2:2200"
    hostkey ssh-ed25519 "@FINGERPRINT@"
}
program systemctl = /usr/local/bin/systemctl
program slow = /usr/local/bin/slow
type service = enum web api worker
allow deploy for shop on web-1 {
    run systemctl (restart | reload) <service>
    run slow <int 1..200>
    write under /srv/in by sftp max 500MiB
}
""" % ISSUER
ASKPASS = """#!/bin/sh
n=${1##* }; n=${n%:}
printf %s "$CI_TOKEN" | cut -c$((n * 1000 - 999))-$((n * 1000))
"""
OPTIONS = "-o UserKnownHostsFile=/opt/known "
SSH = ("ssh -p 2222 " + OPTIONS +
       "-o PreferredAuthentications=keyboard-interactive ")
BY_KEY = (OPTIONS + "-i /opt/job/k -o IdentitiesOnly=yes -o BatchMode=yes ")
SCP_KBIT = 3200             # a second; 400 kB


def guide():
    """The commands in the boxes of doc/ADMIN.md, in their order."""
    boxes = re.findall(r"^```\n(.*?)^```",
                       (m.TOP / "doc/ADMIN.md").read_text(), re.M | re.S)
    return [line for box in boxes
            for line in box.replace("\\\n", "").splitlines()]


def unwarned(out):
    """apt and dpkg warned of nothing but that a downgrade is one, and that the
    folder of PAM's modules, which another package knows by its other name, is
    not theirs to remove."""
    said = [x for x in out.splitlines() if "warning" in x.lower() and
            "warning: downgrading" not in x and
            "/security' not empty so not removed" not in x]
    assert said == [], out


class Issuer:
    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())

    def keys(self):
        n = self.key.public_key().public_numbers()

        def b64(x):
            return base64.urlsafe_b64encode(
                x.to_bytes(32, "big")).decode().rstrip("=")
        return json.dumps({"keys": [{
            "kty": "EC", "crv": "P-256", "x": b64(n.x), "y": b64(n.y),
            "kid": "1", "alg": "ES256", "use": "sig"}]})

    def token(self):
        now = int(time.time())
        return jwt.encode(
            {"iss": ISSUER, "aud": "bastion", "sub": "shop", "iat": now,
             "nbf": now, "exp": now + 280, "jti": secrets.token_hex(12),
             "repo": "7712345"}, self.key, algorithm="ES256",
            headers={"kid": "1"})


class Debian:
    """One suite's story; each step is a method that ends or raises."""

    def __init__(self, suite):
        self.suite, self.issuer = suite, Issuer()
        self.old, self.new = packages(suite)
        needs = set()
        for deb in self.old:
            for d in m.run("dpkg-deb", "-f", deb, "Depends").split(","):
                n = re.split(r"[\s(|]", d.strip())[0]
                if n and n not in POSTERN:
                    needs.add(n)
        root = m.make_root(suite, "clean", needs | set(m.BASE.split(",")))
        self.m = m.Machine(root)

    def ready(self):
        """The host as it was before: people, an sshd, a job and a target."""
        self.m.sh("useradd -m -s /bin/sh -p '*' deploy; "
                  "useradd -m -s /bin/sh -p '*' runner; useradd -m ada; "
                  "systemctl restart ssh.service; mkdir -p /opt/target")
        # A target is another sshd of the same machine, set up before.
        self.m.sh("ssh-keygen -q -t ed25519 -N '' -f /opt/target/host")
        self.m.write("/usr/local/bin/systemctl",
                     "#!/bin/sh\necho \"$1 $2: done\"\n", "755")
        self.m.write("/usr/local/bin/slow", "#!/bin/sh\necho started\n"
                     "sleep \"$1\"\necho done\n", "755")
        self.m.write("/opt/askpass", ASKPASS, "755")
        self.m.write("/usr/local/sbin/keep", "#!/bin/sh\n"
                     "exec logger -t anchor-kept\n", "755")
        self.before = self.m.state()

    def apt(self, debs, more=""):
        self.m.bring(debs, "/root/debs")
        out = self.m.sh(f"apt-get install -q -y {more} "
                        "--no-install-recommends /root/debs/*.deb; "
                        "rm -r /root/debs")
        unwarned(out)
        return out

    def foreign(self):
        """What has changed since, but for what is Postern's own."""
        own = re.compile(
            r"(sha )?etc/(postern/|pam\.d/postern-sshd$)|"
            r"(sha )?usr/lib/[^/]*/security/pam_postern\.so|"
            r"unit postern(-sshd)?\.service$|"
            r"(passwd|group|shadow|gshadow) (" + "|".join(ACCOUNTS) + ")$|"
            r"etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|"
            r"etc/(\.pwd\.lock|ld\.so\.cache)$|"
            r"root/\.")
        return {k: v for k, v in
                m.changes(self.before, self.m.state()).items()
                if not own.match(k)}

    def install(self):
        """By the guide's own first line."""
        self.guide = guide()
        self.m.bring(self.old, "/root/debs")
        line = self.guide.pop(0)
        assert line.startswith("apt-get install ./"), line
        self.m.sh(f"cd /root/debs && {line} -q -y "
                  "--no-install-recommends && rm -r /root/debs")
        seen = self.foreign()
        assert seen == {}, seen
        assert self.m.sh("systemctl is-enabled postern postern-sshd",
                         check=False).split() == ["disabled"] * 2
        self.m.sh("systemd-sysusers --cat-config >/dev/null; "
                  "getent passwd _postern-job; test ! -e /run/postern/pam.sock")
        assert self.m.code("getent passwd web-1") != 0
        assert self.m.code("id web-1") != 0

    def start(self):
        """The first target, as doc/ADMIN.md has it; then rules of our own."""
        print_ = self.m.sh(
            "ssh-keygen -lf /opt/target/host.pub").split()[1]
        self.m.write("/opt/target/config", """
ListenAddress 10.91.0.2:2200
HostKey /opt/target/host
PidFile none
UsePAM no
AuthorizedKeysFile none
TrustedUserCAKeys /opt/target/ca.pub
AuthorizedPrincipalsCommand /bin/echo %u+web-1
AuthorizedPrincipalsCommandUser nobody
Subsystem sftp internal-sftp
""")
        # The host's own sshd listens everywhere; the target is beside it.
        self.m.sh("touch /opt/target/ca.pub; "
                  "install -d -o deploy /srv/in; install -d -o runner /opt/job; "
                  "systemd-run -q --unit=target /usr/sbin/sshd -D -e "
                  "-f /opt/target/config")
        m.wait_for(lambda: self.m.code("ss -Hltn sport = 2200 | grep -q .")
                   == 0)
        setup = self.guide.pop(0)
        assert setup.startswith("postern setup --target web-1"), setup
        setup = setup.replace("@10.0.3.11", "@10.91.0.2:2200")
        # Nobody is there to be asked: it shows the key, and writes nothing.
        out = self.m.sh(setup + "; echo rc $?")
        assert print_ in out and out.endswith("rc 1\n"), out
        assert self.m.code("ls /etc/postern/ca/* "
                           "/etc/postern/policy/*") != 0
        line = self.guide.pop(0)
        assert line.startswith("ssh-keygen -lf /etc/ssh/"), line
        out = self.m.sh(f"{setup} --hostkey {print_}")
        said = self.follow("postern ca show --target")
        assert said in out, (out, said)
        self.m.write("/opt/target/ca.pub", "".join(
            x + "\n" for x in said.splitlines()
            if x.startswith("ssh-ed25519")))
        assert "allow" in self.follow("postern policy explain")
        self.m.write("/etc/postern/keys/ci.json", self.issuer.keys())
        self.m.write("/etc/postern/policy/main.postern",
                     POLICY.replace("@FINGERPRINT@", print_))
        self.m.sh("rm /etc/postern/policy/first.postern; echo "
                  "anchor-command /usr/local/sbin/keep "
                  ">>/etc/postern/postern.conf")
        self.follow("systemctl enable --now")
        self.follow("postern status")
        m.wait_for(lambda: self.m.code("ss -Hltn sport = 2222 | grep -q .")
                   == 0)
        self.m.sh("systemctl is-active postern postern-sshd")
        key = self.m.sh("cat /etc/postern/sshd/host_ed25519.pub").split()
        self.m.write("/opt/known",
                     f"[10.91.0.1]:2222 {key[0]} {key[1]}\n")
        # The machine has no network: what hangs on one is left out.
        line = self.guide.pop(0)
        assert line == "postern doctor", line
        return self.m.sh("postern doctor --offline; echo rc $?")

    def follow(self, until):
        """The guide's lines, up to one that begins so; what that one says."""
        while True:
            line = self.guide.pop(0)
            out = self.m.sh(line)
            if line.startswith(until):
                return out

    def job(self, command, more="", user="web-1"):
        return (f"SSH_ASKPASS=/opt/askpass SSH_ASKPASS_REQUIRE=force "
                f"CI_TOKEN={self.issuer.token()} {SSH} {more} "
                f"{user}@10.91.0.1 {command}")

    def see(self):
        """What the guide has a job do, and who looks at it."""
        line = self.guide.pop(0)
        assert line.startswith("ssh -p 2222 web-1@"), line
        command = line.split(" ", 4)[4]
        assert self.m.sh(self.job(command), "runner") == \
            "restart web: done\n"
        assert command in self.follow("postern sessions")
        assert self.guide == [], self.guide

    def works(self):
        out = self.m.sh(self.job("systemctl restart web"), "runner")
        assert out == "restart web: done\n", out
        assert self.m.code(self.job("systemctl stop web"), "runner") == 77
        assert "systemctl restart web" in self.m.sh("postern sessions")
        out = self.m.sh("id web-1; getent passwd web-1", check=False)
        assert "web-1" not in out or "no such user" in out, out

    def others(self):
        """An auditor looks, and changes nothing; the checkpoint goes where an
        account of its own takes it."""
        self.m.sh("usermod -a -G postern-auditor ada")
        try:
            assert "systemctl restart web" in self.m.sh("postern sessions",
                                                        "ada")
            assert self.m.code("postern kill --all", "ada") != 0
            assert self.m.code("ls /var/lib/postern/recordings", "ada") != 0
        finally:
            self.m.sh("gpasswd -d ada postern-auditor")
        kept = m.wait_for(lambda: self.m.sh(
            "journalctl --no-pager -o json -t anchor-kept | tail -n 1"))
        assert json.loads(kept)["_UID"] == self.m.sh(
            "id -u _postern-anchor").strip(), kept

    def entries(self, *match):
        return [json.loads(x) for x in self.m.sh(
            "journalctl --no-pager -o json -u postern " + " ".join(match)
        ).splitlines()]

    def journal(self):
        """Lines have fields: of which process, how bad, of which operation."""
        ready, = [e for e in self.entries("SYSLOG_IDENTIFIER=posternd")
                  if e["MESSAGE"] == "ready"]
        assert ready["PRIORITY"] == "6", ready
        assert self.entries("SYSLOG_IDENTIFIER=postern-audit")
        # A hop that does not end when it is told to is something to log.
        p = self.m.popen(self.job("slow 100"), "runner")
        assert p.stdout.readline() == "started\n"
        hop, = self.processes()["postern-hop"]
        self.m.sh(f"kill -STOP {hop}; postern kill --all")
        said, = m.wait_for(lambda: [
            e for e in self.entries("SYSLOG_IDENTIFIER=postern-policy")
            if "does not end, and is killed" in e["MESSAGE"]])
        assert said["PRIORITY"] == "3", said
        assert said["POSTERN_OPERATION"] in said["MESSAGE"], said
        self.entries("POSTERN_OPERATION=" + said["POSTERN_OPERATION"])
        p.wait(60)

    def rights(self):
        """What the running processes may: root's part and sshd."""
        def caps(pid):
            return int(self.m.sh(f"sed -n 's/^CapPrm:.//p' /proc/{pid}/status"
                                 ), 16)
        posternd = caps(self.processes()["posternd"])
        assert posternd == 1 << 5 | 1 << 6 | 1 << 7, hex(posternd)
        sshd = caps(self.m.sh("systemctl show -p MainPID --value "
                              "postern-sshd").strip())
        # SYS_ADMIN, SETPCAP; and what others may not read.
        assert not sshd & (1 << 21 | 1 << 8 | 1 << 1), hex(sshd)
        # It may still give a terminal away, which no rule has here.
        out = self.m.sh(self.job("systemctl restart web", "-tt"), "runner",
                        check=False)
        assert "but no terminal: leave out ssh's -t" in out, out

    def processes(self):
        """Names and pids of the broker's processes."""
        pid = self.m.sh("systemctl show -p MainPID --value postern").strip()
        out = {"posternd": pid}
        for p in self.m.sh(f"cat /proc/{pid}/task/{pid}/children").split():
            name = os.path.basename(self.m.sh(
                f"tr '\\0' '\\n' </proc/{p}/cmdline | head -n 1",
                check=False).strip())
            if name == "postern-hop":
                out.setdefault(name, set()).add(p)
            else:
                out[name] = p
        return out

    def certified(self):
        """A session by job certificate, and how to log in by it."""
        self.m.sh("rm -f k k.pub k-cert.pub && "
                  "ssh-keygen -q -t ed25519 -N '' -f k && "
                  + self.job("login <k.pub >k-cert.pub", user="postern"),
                  "runner", cd="/opt/job")
        return f"ssh -p 2222 {BY_KEY} web-1@10.91.0.1 "

    def scp(self, seconds):
        """A file that takes that long to go over, on its way."""
        self.m.sh(f"rm -f /srv/in/big; head -c {seconds * SCP_KBIT * 125} "
                  "/dev/urandom >/opt/job/big; "
                  "chown runner /opt/job/big")
        p = self.m.popen(
            f"scp -q -P 2222 -l {SCP_KBIT} {BY_KEY} /opt/job/big "
            "web-1@10.91.0.1:/srv/in/big", "runner")
        m.wait_for(lambda: self.m.code("test -s /srv/in/big") == 0)
        return p

    def exchanged(self, debs, seconds, more=""):
        """Packages over the others, whose messages they do not understand, under
        a running operation, an open connection, a session by job certificate
        with an operation of its own, and a running scp: nothing is cut, and
        everything is new behind it."""
        master = self.m.popen(self.job(
            "", "-N -o ControlMaster=yes -o ControlPath=/home/runner/cm"),
            "runner")
        m.wait_for(lambda: self.m.code("test -S /home/runner/cm") == 0)
        mux = (SSH + "-o BatchMode=yes -o ControlPath=/home/runner/cm "
               "web-1@10.91.0.1 ")
        self.m.sh(mux + "systemctl restart web", "runner")
        by_key = self.certified()
        run = {"operation": self.m.popen(mux + f"slow {seconds}", "runner"),
               "by certificate": self.m.popen(by_key + f"slow {seconds}",
                                              "runner")}
        for p in run.values():
            assert p.stdout.readline() == "started\n"
        run["scp"] = self.scp(seconds)
        before = self.processes()
        t0 = time.monotonic()
        out = self.apt(debs, more)
        took = time.monotonic() - t0
        assert "posternd goes on as the new program" in out, out
        after = self.processes()
        for name, p in run.items():
            assert p.poll() is None, f"{name} was cut, or had ended"
        assert after["posternd"] == before["posternd"]
        assert after["postern-hop"] == before["postern-hop"]
        assert len(after["postern-hop"]) == 3, after
        for name in ("postern-oidc", "postern-policy", "postern-signer",
                     "postern-audit"):
            assert after[name] != before[name], name
        # The connection that was open goes on, so does the certificate's
        # session, and so do others.
        for way in (mux, by_key):
            assert self.m.sh(way + "systemctl reload api", "runner") == \
                "reload api: done\n"
        self.works()
        for name, p in run.items():
            rest, _ = p.communicate(timeout=seconds + 120)
            assert (p.returncode, rest) == \
                (0, "" if name == "scp" else "done\n"), (name, p.returncode,
                                                         rest)
        self.m.sh("cmp /opt/job/big /srv/in/big")
        self.m.sh("ssh -O exit -o ControlPath=/home/runner/cm -p 2222 "
                  "web-1@10.91.0.1", "runner", check=False)
        master.wait(60)
        log = self.m.sh("journalctl -u postern --no-pager -o cat")
        assert "ALARM" not in log, log
        assert "another version of the messages" in log, log
        version = self.m.sh("dpkg-query -W -f '${Version}' postern")
        assert debs[0].name.split("_")[1] == version
        seen = self.foreign_but_units()
        assert seen == {}, seen
        return f"{took:.0f} s"

    def foreign_but_units(self):
        return {k: v for k, v in self.foreign().items() if not re.search(
            r"multi-user\.target\.wants/postern|port 0\.0\.0\.0:2222|"
            r"port \[::\]:2222|port 10\.91\.0\.2:2200|unit (target|run-)", k)}

    def upgrade(self):
        return self.exchanged(self.new, 60)

    def downgrade(self):
        return self.exchanged(self.old, 60, "--allow-downgrades")

    def drill(self):
        """The outage drill of the guide for admins, under an operation."""
        box, = [b for b in re.findall(
            r"^```sh\n(.*?)^```", (m.TOP / "doc/GUIDE-ADMIN.md").read_text(),
            re.M | re.S) if "--signal=KILL" in b]
        p = self.m.popen(self.job("slow 15"), "runner")
        assert p.stdout.readline() == "started\n"
        for line in box.splitlines():
            self.m.sh(line, check=line.startswith("systemctl kill"))
        m.wait_for(lambda: self.m.code("systemctl is-active postern") == 0)
        rest, _ = p.communicate(timeout=120)
        assert (p.returncode, rest) == (0, "done\n"), (p.returncode, rest)
        assert self.entries("-p alert", "SYSLOG_IDENTIFIER=posternd")
        self.works()

    def watchdog(self):
        """A posternd that hangs is ended, and the next one takes over."""
        before = self.processes()
        assert "WatchdogUSec=30s" in self.m.sh(
            "systemctl show -p WatchdogUSec postern")
        self.m.sh(f"kill -STOP {before['posternd']}")
        m.wait_for(lambda: self.m.sh(
            "systemctl show -p MainPID --value postern").strip() not in
            ("0", before["posternd"]), 90)
        m.wait_for(lambda: self.m.code("systemctl is-active postern") == 0)
        self.works()

    def sshd_replaced(self):
        """Another sshd: dpkg tells, and the listener is started again."""
        pid = self.m.sh("systemctl show -p MainPID --value postern-sshd")
        self.m.sh("cp /usr/sbin/sshd /usr/sbin/sshd.new && "
                  "mv /usr/sbin/sshd.new /usr/sbin/sshd && "
                  "dpkg-trigger --no-await /usr/sbin/sshd && "
                  "dpkg --configure --pending")
        assert self.m.sh("systemctl show -p MainPID --value postern-sshd"
                         ) != pid
        m.wait_for(lambda: self.m.code("ss -Hltn sport = 2222 | grep -q .")
                   == 0)
        self.works()

    def conffiles(self):
        """What the administrator changed stays."""
        self.m.sh("echo '# mine' >>/etc/postern/postern.conf; "
                  "echo '# mine' >>/etc/pam.d/postern-sshd")
        self.apt(self.new)
        for f in ("postern/postern.conf", "pam.d/postern-sshd"):
            assert "# mine" in self.m.sh(f"cat /etc/{f}")
        self.works()

    def remove(self):
        out = self.m.sh("apt-get remove -q -y " + " ".join(POSTERN))
        unwarned(out)
        assert self.m.code("systemctl is-active postern") != 0
        assert self.m.code("systemctl is-active postern-sshd") != 0
        assert self.m.code("ss -Hltn sport = 2222 | grep -q .") != 0
        assert self.m.code("test -e /usr/sbin/posternd -o -e /usr/bin/postern"
                           " -o -e /usr/libexec/postern") != 0
        self.m.sh("test -e /etc/postern/postern.conf; "
                  "test -s /var/lib/postern/ledger/ledger.jsonl")
        self.ledger = self.m.sh("sha256sum /var/lib/postern/ledger/*.jsonl "
                                "/etc/postern/ca/target.pem")

    def again(self):
        """Installed again, it goes on with what it had, also where a later
        version has left an index that this one does not know."""
        self.m.sh("printf '\\0\\0\\1\\0' | dd of=/var/lib/postern/store/"
                  "postern.db bs=1 seek=60 conv=notrunc 2>&1")
        self.apt(self.old)
        assert self.m.sh("sha256sum /var/lib/postern/ledger/*.jsonl "
                         "/etc/postern/ca/target.pem") == self.ledger
        self.m.sh("systemctl enable --now postern postern-sshd")
        m.wait_for(lambda: self.m.code("ss -Hltn sport = 2222 | grep -q .")
                   == 0)
        assert self.m.code("journalctl -t postern-audit | grep -q "
                           "'made anew from the ledger'") == 0
        was = self.m.sh("postern sessions --since 1d")
        assert was.count("systemctl restart web") >= 3, was
        self.works()

    def purge(self):
        out = self.m.sh("apt-get purge -q -y " + " ".join(POSTERN))
        assert "stays, with all that is in it" in out, out
        self.m.sh("test -s /etc/postern/ca/target.pem; "
                  "test -s /etc/postern/policy/main.postern; "
                  "test -s /var/lib/postern/ledger/ledger.jsonl; "
                  "test ! -e /etc/postern/postern.conf; "
                  "test ! -e /etc/pam.d/postern-sshd; "
                  "test ! -e /run/postern")
        seen = {k: v for k, v in self.foreign_but_units().items()}
        assert seen == {}, seen
        assert "No packages" in self.m.sh(
            "dpkg-query -W 'postern*' '*-postern' 2>&1 || echo No packages")

    def purge_all(self):
        self.apt(self.old)
        self.m.sh("POSTERN_PURGE=everything apt-get purge -q -y " +
                  " ".join(POSTERN))
        self.m.sh("test ! -e /etc/postern; test ! -e /var/lib/postern")
        self.m.sh("getent passwd _postern-audit")

    def close(self):
        self.m.close()

    STEPS = (ready, install, start, see, works, rights, others,
             journal, upgrade, downgrade, drill, watchdog,
             sshd_replaced, conffiles, remove, again, purge, purge_all)
