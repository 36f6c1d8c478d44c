"""A deployment as people write it: a Makefile with ssh, scp, rsync and git, and
the bastion in place of the host."""
import os
import pathlib
import re
import shutil

import house as h
import pytest
import test_jobcert as jc
from test_rsync_git import digests

SRV = h.WORK / "srv/deploy"
RULES = f"""policy 1
allow deploy for shop on web-1 {{
    write under {SRV}/releases by sftp max 10MiB
    write under {SRV}/site by rsync max 10MiB
    git write {SRV}/app.git
    run in <{SRV}/releases> /usr/bin/tar -xf app.tar
    run in <{SRV}/releases> systemctl restart web
    run {SRV}/bin/activate
    run {SRV}/bin/migrate with stdin max 1MiB
    env STAGE <enum blue green>
}}
"""
MAKEFILE = f"""\
.POSIX:
TO = {SRV}
SSH = ssh $(OPTIONS) $(HOST)
export GIT_SSH_COMMAND = ssh $(OPTIONS)
export RSYNC_RSH = ssh $(OPTIONS)

deploy: dist/app.tar
\t$(SSH) systemctl is-active web
\tscp -q $(OPTIONS) dist/app.tar $(HOST):$(TO)/releases/
\trsync -a --delete site/ $(HOST):$(TO)/site/
\tgit push -q $(HOST):$(TO)/app.git HEAD:refs/heads/main
\t$(SSH) "cd $(TO)/releases && /usr/bin/tar -xf app.tar && systemctl restart web"
\t$(SSH) $(TO)/bin/migrate <schema.sql
\tSTAGE=$(STAGE) $(SSH) -o SendEnv=STAGE $(TO)/bin/activate
\tprintf 'systemctl reload api\\nsystemctl is-active api\\n' | $(SSH)

dist/app.tar: app
\tmkdir -p dist
\ttar -cf $@ app
"""


@pytest.fixture(scope="module", autouse=True)
def rules(bastion):
    for name in ("releases", "site", "bin"):
        (SRV / name).mkdir(parents=True)
        shutil.chown(SRV / name, "deploy", "deploy")
    (SRV / "bin/activate").write_text('#!/bin/sh\necho "now $STAGE"\n')
    (SRV / "bin/migrate").write_text('#!/bin/sh\nwc -l\n')
    for f in (SRV / "bin").iterdir():
        f.chmod(0o755)
    bastion.write_policy(RULES, "deploy.postern")
    assert "not accepted" not in bastion.reload()
    yield
    (h.ETC / "policy/deploy.postern").unlink()
    bastion.reload()
    shutil.rmtree(SRV)


@pytest.fixture
def checkout(job):
    top = job.home / f"checkout-{os.urandom(4).hex()}"
    h.run("git", "init", "-q", "--bare", "-b", "main", SRV / "app.git")
    h.run("chown", "-R", "deploy:", SRV / "app.git")
    (top / "site/css").mkdir(parents=True)
    (top / "app").write_bytes(os.urandom(100000))
    (top / "site/index.html").write_text("<p>hello\n")
    (top / "site/css/a.css").write_text("p { }\n")
    (top / "schema.sql").write_text("select 1;\nselect 2;\n")
    (top / "Makefile").write_text(MAKEFILE)
    h.run("chown", "-R", f"{job.user}:", top)
    for argv in (["init", "-q", "-b", "main"], ["add", "."],
                 ["-c", "user.name=j", "-c", "user.email=j@x", "commit", "-q",
                  "-m", "it"]):
        assert job.run(["git", "-C", top, *argv]).code == 0
    yield top
    shutil.rmtree(top)
    shutil.rmtree(SRV / "app.git")


@pytest.fixture(params=["cert", "token"])
def way(request, job):
    """(options of ssh, environment)"""
    if request.param == "cert":
        key = jc.Key(job).login()
        return f"-o BatchMode=yes -o IdentitiesOnly=yes -i {key.private}", {}
    ask = job.home / "ask-deploy"
    text = re.search(r"<<'S'\n(.*?)^S$", h.SNIPPET, re.S | re.M)[1]
    ask.write_text(text.replace("@SHELL@", "/bin/sh").replace(
        "@HOST@", job.host))
    ask.chmod(0o755)
    return "-o PreferredAuthentications=keyboard-interactive", {
        "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force",
        "CI_TOKEN": job.issuer.token()}


def make(job, checkout, way, *more):
    options, env = way
    return job.run(["make", "-C", checkout, f"OPTIONS={options}",
                    f"HOST=web-1@{job.host}", *more],
                   env=job.env(**env), timeout=120)


def test_make_deploy(job, checkout, way, bastion, mark):
    (SRV / "site/gone").write_text("of the release before\n")
    shutil.chown(SRV / "site/gone", "deploy", "deploy")
    r = make(job, checkout, way, "STAGE=blue")
    assert r.code == 0, r.text + r.error
    for line in ("restart web", "2", "now blue", "reload api", "is-active api"):
        assert line in r.text.splitlines(), r.text
    assert (SRV / "releases/app").read_bytes() == \
        (checkout / "app").read_bytes()
    assert digests(SRV / "site") == digests(checkout / "site")
    assert (SRV / "site/css/a.css").read_text() == "p { }\n"
    head = job.run(["git", "-C", checkout, "rev-parse", "HEAD"]).text
    assert pathlib.Path(SRV / "app.git/refs/heads/main").read_text() == head
    bastion.mark()
    said = bastion.events(mark, "operation.decide")
    assert {e["verdict"] for e in said} == {"allow"}
    assert len(said) == 10
    assert {e["state"] for e in bastion.events(mark, "operation.end")} == {
        "complete"}


def test_make_stops_at_what_is_refused(job, checkout, way, bastion, mark):
    r = make(job, checkout, way, "STAGE=yellow")
    assert r.code == 2 and "Error 77" in r.error, r.error
    assert "does not take the value that this job sends for STAGE" in r.error
    assert "reload api" not in r.text.replace("systemctl reload api", "")
