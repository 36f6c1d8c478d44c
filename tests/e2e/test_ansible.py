"""Debian's ansible with the bastion in place of its hosts, under the example's
rule and with the page's settings: both ways in, with and without pipelining."""
import os
import pathlib
import re
import shutil

import house as h
import pytest
import test_jobcert as jc

TOP = pathlib.Path(__file__).resolve().parents[2]
PAGE = (TOP / "doc/ANSIBLE.md").read_text()
TMP = h.WORK / "srv/ansible"
OUT = h.WORK / "srv/out"
SCRIPT = pathlib.Path("/etc/init.d/house-web")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("ansible-playbook"),
                       reason="ansible-core is not installed"),
    pytest.mark.skipif("POSTERN_TARGET_ROOT" in os.environ,
                       reason="that release's root has no python3")]

PLAY = f"""\
- hosts: all
  gather_facts: no
  tasks:
  - ping:
  - command: /opt/house/bin/argv one "two three"
    register: said
  - assert: {{ that: "said.stdout == '<one>\\n<two three>'" }}
  - copy: {{ src: data.bin, dest: {OUT}/data.bin, mode: "0640" }}
  - template: {{ src: t.j2, dest: {OUT}/conf }}
  - service: {{ name: house-web, state: restarted }}
"""


def block(kind):
    (body,) = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.S | re.M)
    return body


def here(text):
    """The example's rule, in this house."""
    text = re.sub(r'^test "ansible".*', "", text, flags=re.S | re.M)
    return text.replace("for deploy on @app", "for shop on web-1").replace(
        "/srv/ansible", str(TMP))


def policy(bastion, text):
    bastion.write_policy(text, "ansible.postern")
    assert "not accepted" not in bastion.reload()


@pytest.fixture(scope="module", autouse=True)
def rules(bastion):
    for folder in (TMP, OUT):
        folder.mkdir(parents=True)
        shutil.chown(folder, "deploy", "deploy")
        folder.chmod(0o700)
    SCRIPT.write_text(f"#!/bin/sh\necho \"$1\" >>{OUT}/service\nexit 0\n")
    SCRIPT.chmod(0o755)
    yield
    (h.ETC / "policy/ansible.postern").unlink(missing_ok=True)
    bastion.reload()
    SCRIPT.unlink()
    shutil.rmtree(TMP.parent)


@pytest.fixture(scope="module")
def book(job):
    """What the job checked out."""
    top = job.home / "book"
    top.mkdir()
    (top / "play.yml").write_text(PLAY)
    (top / "t.j2").write_text("host = {{ inventory_hostname }}\n")
    (top / "data.bin").write_bytes(os.urandom(300000))
    (top / "hosts.yml").write_text(block("yaml").replace(", web-2: {}", ""))
    (top / "ansible.cfg").write_text(
        block("ini").replace("/srv/ansible", str(TMP)))
    h.run("chown", "-R", f"{job.user}:", top)
    yield top
    shutil.rmtree(top)


class Ansible:
    def __init__(self, job, book, args, **env):
        self.job, self.book, self.args = job, book, args
        self.vars = env

    def run(self, *argv, **env):
        """argv; the connection that it leaves open is closed."""
        sockets = self.job.home / f"cp-{os.urandom(4).hex()}"
        r = self.job.run(
            [*argv, "-i", self.book / "hosts.yml"], timeout=300,
            env=self.job.env(
                ANSIBLE_CONFIG=str(self.book / "ansible.cfg"),
                ANSIBLE_SSH_CONTROL_PATH_DIR=str(sockets),
                ANSIBLE_SSH_ARGS="-o ControlMaster=auto -o ControlPersist=60s "
                f"{self.args}", ANSIBLE_NOCOLOR="1",
                ANSIBLE_LOCALHOST_WARNING="False", **self.vars, **env))
        for s in sockets.iterdir() if sockets.exists() else ():
            self.job.run(["ssh", "-o", f"ControlPath={s}", "-O", "exit", "x"])
        return r

    def play(self, **env):
        return self.run("ansible-playbook", self.book / "play.yml", **env)


def by_certificate(job, book):
    key = jc.Key(job).login()
    return Ansible(job, book, "-o BatchMode=yes -o IdentitiesOnly=yes "
                   f"-i {key.private}")


def by_token(job, book):
    ask = job.home / "ask"
    text = re.search(r"<<'S'\n(.*?)^S$", h.SNIPPET, re.S | re.M)[1]
    ask.write_text(text.replace("@SHELL@", "/bin/sh").replace(
        "@HOST@", job.host))
    ask.chmod(0o755)
    args = re.search("^    (-o KbdInteractiveAuthentication=.*)$", PAGE, re.M)
    return Ansible(job, book, args[1], SSH_ASKPASS=str(ask),
                   SSH_ASKPASS_REQUIRE="force", CI_TOKEN=job.issuer.token())


@pytest.fixture(params=[by_certificate, by_token], ids=["cert", "token"])
def way(request, job, book):
    return request.param(job, book)


@pytest.fixture
def cert(job, book):
    return by_certificate(job, book)


def did_it(book):
    assert (OUT / "data.bin").read_bytes() == (book / "data.bin").read_bytes()
    assert (OUT / "data.bin").stat().st_mode & 0o777 == 0o640
    assert (OUT / "data.bin").owner() == "deploy"
    assert (OUT / "conf").read_text() == "host = web-1\n"
    assert "start" in (OUT / "service").read_text().split()
    assert not list(TMP.iterdir())      # ansible has removed what it wrote


@pytest.fixture(autouse=True)
def nothing_done():
    for f in OUT.iterdir():
        f.unlink()


def test_a_playbook(way, bastion, book, mark):
    policy(bastion, here((TOP / "doc/examples/ansible.postern").read_text()))
    r = way.play()
    assert r.code == 0, r.text + r.error
    did_it(book)
    bastion.mark()
    lines = bastion.events(mark, "operation.decide")
    assert {e["verdict"] for e in lines} == {"allow"}
    assert {e["rule"] for e in lines} == {"ansible"}
    assert not any(e["pty"] for e in lines)
    # each file is in its session's manifest, with its digest
    moved = [e for e in bastion.events(mark, "operation.end")
             if e.get("files")]
    assert len(moved) >= 8
    assert all(len(e["manifest_sha256"]) == 64 for e in moved)


def test_pipelining(way, bastion, book, mark):
    text = (TOP / "doc/examples/ansible.postern").read_text()
    policy(bastion, here(text))
    r = way.run("ansible", "all", "-m", "ping", ANSIBLE_PIPELINING="1")
    assert r.code != 0 and "postern: denied" in r.text + r.error
    policy(bastion, here(text) + here(block("postern")))
    r = way.play(ANSIBLE_PIPELINING="1")
    assert r.code == 0, r.text + r.error
    did_it(book)
    bastion.mark()
    piped = [e for e in bastion.events(mark, "operation.decide")
             if e["rule"] == "ansible-pipelined"]
    assert piped and all(e["stdin"] for e in piped)


def test_what_the_rule_does_not_spell(cert, bastion):
    policy(bastion, here((TOP / "doc/examples/ansible.postern").read_text()))
    for argv in (["-m", "raw", "-a", "id"],
                 ["-m", "ping", "-b"]):
        r = cert.run("ansible", "all", *argv)
        assert r.code != 0 and "uid=" not in r.text, r.text
        assert "postern: denied: no rule allows this as deploy on web-1" in \
            r.text + r.error


def test_check_says_what_pipelining_is(bastion, tmp_path):
    book = (TOP / "doc/examples/cookbook.postern").read_text()
    for name, text in (("book", book), ("more", "policy 1\n" +
                                        block("postern"))):
        (tmp_path / f"{name}.postern").write_text(text)
    r = bastion.postern("policy", "check", tmp_path / "book.postern",
                        tmp_path / "more.postern")
    assert "`sh` runs what comes on its standard input [interpreter]" in \
        r.stderr
    assert "`sh -c` runs what follows [escape]" in r.stderr
