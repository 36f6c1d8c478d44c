"""The Ansible role on a target with a real sshd under systemd: in check mode it
changes nothing, then it does, then there is nothing left to do; and what it
did lets in who it should."""
import os
import pathlib
import subprocess
import tempfile

import machine as m


class Role:
    def __init__(self, _):
        root = m.make_root("bookworm", "target",
                           {*m.BASE.split(","), "python3"})
        self.m = m.Machine(root)
        self.dir = tempfile.TemporaryDirectory(prefix="postern-role-")
        self.at = pathlib.Path(self.dir.name)

    def ready(self):
        for name in ("admin", "ca", "job"):
            m.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                  self.at / name)
        self.m.sh("useradd -m -s /bin/sh -p '*' deploy; ssh-keygen -A; "
                  "mkdir -m 700 -p /root/.ssh; systemctl restart ssh")
        self.m.write("/root/.ssh/authorized_keys",
                     (self.at / "admin.pub").read_text(), "600")
        (self.at / "play.yml").write_text(f"""
- hosts: all
  gather_subset: [min]
  roles:
    - role: postern_target
      postern_ca: "{(self.at / 'ca.pub').read_text().strip()}"
      postern_bastion: 10.91.0.1
""".replace("  gather_subset: [min]\n", ""))
        (self.at / "hosts").write_text(
            "web-1 ansible_host=10.91.0.2 ansible_user=root "
            f"ansible_ssh_private_key_file={self.at}/admin "
            "ansible_python_interpreter=/usr/bin/python3\n")

    def play(self, *more):
        env = os.environ | {
            "ANSIBLE_ROLES_PATH": str(m.TOP / "packaging/ansible/roles"),
            "ANSIBLE_HOST_KEY_CHECKING": "false", "HOME": str(self.at),
            "ANSIBLE_LOCAL_TEMP": str(self.at / "tmp"), "LC_ALL": "C.UTF-8",
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=no "
                                f"-o UserKnownHostsFile={self.at}/known"}
        return m.run("nsenter", "-t", self.m.pid, "-n", "ansible-playbook",
                     "-i", self.at / "hosts", self.at / "play.yml", *more,
                     env=env, check=False)

    def state(self):
        return self.m.sh("find /etc /root -type f -exec sha256sum {} + | "
                         "sort; systemctl show -p MainPID ssh")

    def login(self, principal):
        """Who has a certificate of that CA for this principal."""
        m.run("ssh-keygen", "-q", "-s", self.at / "ca", "-I", "test", "-n",
              principal, "-V", "+5m", self.at / "job.pub")
        return subprocess.run(
            ["nsenter", "-t", str(self.m.pid), "-n", "ssh", "-o",
             "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o",
             f"UserKnownHostsFile={self.at}/known", "-i", self.at / "job",
             "deploy@10.91.0.2", "id", "-un"], capture_output=True,
            text=True, check=False).stdout.strip()

    def check_mode(self):
        before = self.state()
        out = self.play("--check", "--diff")
        assert "failed=0" in out and "changed=0" not in out, out
        assert self.state() == before
        assert self.login("deploy+web-1") == ""

    def real(self):
        out = self.play()
        assert "failed=0" in out and "unreachable=0" in out, out
        assert self.login("deploy+web-1") == "deploy"
        assert self.login("deploy+web-2") == ""
        assert self.login("root+web-1") == ""

    def again(self):
        out = self.play()
        assert "changed=0" in out and "failed=0" in out, out

    def wrong(self):
        """No key, no name: said before anything is touched."""
        before = self.state()
        for bad in ("postern_ca=ssh-ed25519", "postern_target='a b'"):
            out = self.play("-e", bad)
            assert "failed=1" in out, out
        assert self.state() == before

    def close(self):
        self.m.close()
        self.dir.cleanup()

    STEPS = (ready, check_mode, real, again, wrong)
