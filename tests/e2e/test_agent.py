"""CA keys that an ssh-agent holds: OpenSSH's own agent, with keys of its own and
with a token's (PKCS#11); what a job is told when it fails, and that it is found
again."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import house as h
import pytest
from test_doctor import doctor
from test_jobcert import Key
from test_rotate import CA, restart, trust

RESTART = "systemctl restart web"
SOFTHSM = pathlib.Path("/usr/lib/softhsm/libsofthsm2.so").resolve()


def wait_for(what, timeout=60):
    end = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


class Agent:
    """ssh-agent at a path of its own."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(mode=0o700)
        self.path = folder / "sock"
        self.start()

    def start(self):
        self.path.unlink(missing_ok=True)
        self.proc = subprocess.Popen(
            ["ssh-agent", "-D", "-a", self.path, "-P", str(SOFTHSM)],
            env={**os.environ, "SOFTHSM2_CONF": str(self.folder / "conf")},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.path.exists)

    def stop(self):
        self.proc.send_signal(signal.SIGCONT)
        self.proc.terminate()
        self.proc.wait(20)

    def add(self, *args, check=True, **more):
        return subprocess.run(
            ["ssh-add", *args], check=check, capture_output=True, text=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "SSH_AUTH_SOCK": str(self.path), **more})

    def key(self, kind, *more):
        """A new key, which is then the agent's alone; its public half."""
        name = self.folder / kind
        h.run("ssh-keygen", "-q", "-t", kind, *more, "-N", "", "-f", name)
        return name, pathlib.Path(f"{name}.pub")


@pytest.fixture(scope="module")
def agent():
    it = Agent(h.WORK / "agent")
    yield it
    it.stop()
    shutil.rmtree(it.folder)


def said(bastion):
    return json.loads(bastion.postern("status", "--json").stdout)


def signs(bastion, which="target"):
    wait_for(lambda: said(bastion).get(f"{which}_ca_key") == "agent")


def into_agent(bastion, up, pub, agent, job=False):
    """The rotation that ADMIN.md tells, up to the restart."""
    option = ["--job"] if job else []
    name = "job" if job else "target"
    bastion.postern("ca", "rotate", *option, "--key", pub)
    if job:
        restart(bastion)
    else:
        trust(bastion, up)
    p = bastion.postern("ca", "rotate", *option, "--switch", check=False)
    assert p.returncode == 1 and f"{name}-ca-agent PATH" in p.stderr
    conf = h.ETC / "postern.conf"
    conf.write_text(conf.read_text() + f"{name}-ca-agent {agent.path}\n")
    bastion.postern("ca", "rotate", *option, "--switch")


@pytest.fixture(scope="module")
def held(bastion, up, agent):
    """Both CA keys are the agent's, and no file has one."""
    kept, conf = h.WORK / "ca-kept", h.ETC / "postern.conf"
    text = conf.read_text()
    shutil.copytree(CA, kept)
    agent.keys = [agent.key("ecdsa"), agent.key("rsa", "-b", "3072")]
    for private, _ in agent.keys:
        agent.add("-q", private)
    into_agent(bastion, up, agent.keys[0][1], agent)
    p = bastion.postern("ca", "rotate", "--retire", check=False)
    assert p.returncode == 1 and "has not taken the new key" in p.stderr
    into_agent(bastion, up, agent.keys[1][1], agent, job=True)
    restart(bastion)
    yield agent
    conf.write_text(text)
    shutil.rmtree(CA)
    shutil.copytree(kept, CA)
    shutil.rmtree(kept)
    trust(bastion, up)
    restart(bastion)


def test_both_keys(bastion, job, up, held, mark):
    signs(bastion)
    signs(bastion, "job")
    assert job.ssh("web-1", RESTART).code == 0
    bastion.event(mark, "operation.end")
    assert "CA ECDSA SHA256:" in up.web1.log.read_text()
    k = Key(job).login()
    assert k.ssh("web-1", RESTART).code == 0
    for name in ("target", "job"):
        option = ["--job"] if name == "job" else []
        bastion.postern("ca", "rotate", *option, "--retire")
        assert not (CA / f"{name}.pem").exists()
        assert not (CA / f"{name}.old.pem").exists()
    trust(bastion, up)
    restart(bastion)
    signs(bastion)
    assert job.ssh("web-1", RESTART).code == 0
    text = bastion.postern("status").stdout
    assert "target CA   in an ssh-agent, 0 days old, SHA256:" in text
    p = bastion.postern("ca", "init", check=False)
    assert p.returncode == 1 and "there already" in p.stderr
    p = bastion.postern("ca", "rotate", check=False)
    assert p.returncode == 1 and "--key FILE" in p.stderr
    assert not [f for f in doctor(bastion, "--offline")
                if f["check"] in ("ca", "files")]


def test_no_key_in_it(bastion, job, held, mark):
    """A job is told; so are the ledger, the status, doctor and Prometheus;
    and when the key is back nobody has to do anything."""
    signs(bastion)
    held.add("-D")
    p = job.ssh("web-1", RESTART)
    assert p.code != 0 and "ssh-agent refuses to sign" in p.error
    e = bastion.event(mark, "alarm")
    assert e["process"] == "signer"
    assert e["reason"].startswith("target CA: the bastion's ssh-agent refuses")
    assert said(bastion)["target_ca_key"] == "agent fails"
    assert said(bastion)["alarms_day"] >= 1
    assert said(bastion)["alarm_reason"] == e["reason"]
    assert "\npostern_target_ca_signs 0\n" in bastion.postern(
        "status", "--prometheus").stdout
    assert "does not sign with the CA key" in {
        f["check"]: f["what"] for f in doctor(bastion, "--offline")}["ca"]
    for private, _ in held.keys:
        held.add("-q", private)
    signs(bastion)
    assert job.ssh("web-1", RESTART).code == 0
    assert len(bastion.events(mark, "alarm")) == 1


def test_it_stalls(bastion, job, held, mark):
    signs(bastion)
    held.proc.send_signal(signal.SIGSTOP)
    try:
        p = job.ssh("web-1", RESTART)
        assert p.code != 0 and "ssh-agent does not answer" in p.error
    finally:
        held.proc.send_signal(signal.SIGCONT)
    assert "does not answer" in bastion.event(mark, "alarm")["reason"]
    signs(bastion)
    assert job.ssh("web-1", RESTART).code == 0


def test_it_dies(bastion, job, held, mark):
    signs(bastion)
    signs(bastion, "job")
    held.stop()
    wait_for(lambda: len(bastion.events(mark, "alarm")) == 2)
    assert {e["reason"] for e in bastion.events(mark, "alarm")} == {
        f"{ca} CA: the bastion's ssh-agent has closed its connection"
        for ca in ("target", "job")}
    assert "ssh-agent" in job.ssh("web-1", RESTART).error
    held.start()
    for private, _ in held.keys:
        held.add("-q", private)
    signs(bastion)
    assert job.ssh("web-1", RESTART).code == 0


@pytest.mark.skipif(not SOFTHSM.exists(), reason="softhsm2 is not installed")
def test_a_token_of_pkcs11(bastion, job, up, held):
    """The private half never leaves the token."""
    folder = held.folder
    (folder / "tokens").mkdir()
    (folder / "conf").write_text(f"directories.tokendir = {folder}/tokens\n")
    env = {**os.environ, "SOFTHSM2_CONF": str(folder / "conf")}
    for argv in (["softhsm2-util", "--init-token", "--free", "--label", "ca",
                  "--pin", "1234", "--so-pin", "4321"],
                 ["pkcs11-tool", "--module", SOFTHSM, "--token-label", "ca",
                  "--login", "--pin", "1234", "--keypairgen", "--key-type",
                  "EC:prime256v1", "--id", "01", "--label", "ca"]):
        subprocess.run(argv, check=True, env=env, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
    ask = folder / "ask"
    ask.write_text("#!/bin/sh\necho 1234\n")
    ask.chmod(0o700)
    held.add("-s", str(SOFTHSM), SSH_ASKPASS=str(ask),
             SSH_ASKPASS_REQUIRE="force")
    (line,) = [x for x in held.add("-L").stdout.splitlines()
               if x.split()[1] not in (CA / "target.pub").read_text() and
               x.split()[1] not in (CA / "job.pub").read_text()]
    (folder / "token.pub").write_text(line + "\n")
    bastion.postern("ca", "rotate", "--key", folder / "token.pub")
    trust(bastion, up)
    bastion.postern("ca", "rotate", "--switch")
    restart(bastion)
    signs(bastion)
    assert job.ssh("web-1", RESTART).code == 0
    bastion.postern("ca", "rotate", "--retire")
    trust(bastion, up)
    assert job.ssh("web-1", RESTART).code == 0
