"""Promise 3 through the whole bastion: what a job gives is what a program
gets, whatever the login's shell is.  sshd has the forced command of the
certificate read by that shell.  The targets are observed ones, so that any
words may be sent."""
import datetime
import os
import pathlib
import shutil
import sys
import unicodedata

import house as h
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "ssh"))
import stage  # noqa: E402
import words as w  # noqa: E402

ARGS = str(h.BIN / "args")
FOLDER = str(h.WORK / "it's a \\ !folder")
SHELLS = {"dash": "posix", "bash": "posix", "fish": "fish", "tcsh": "csh"}
WORDS_MAX = 1000  # of one list


def sent(word):
    """Without the characters that are refused."""
    return "".join(c for c in word if unicodedata.category(c) not in (
        "Cc", "Cf", "Zl", "Zp"))


def quote(word):
    return "'" + word.replace("'", "'\\''") + "'"


def text(case):
    """As the job writes it."""
    programs = []
    for i, words in enumerate(case.lists):
        argv = [ARGS]
        if i == 0 and case.folder:
            argv.append("--in")
        for name, _ in case.variables if i == 0 else ():
            argv += ["--env", name]
        argv += ([] if i == 0 else ["--after"]) + words
        programs.append(" ".join(map(quote, argv)))
    variables = "".join(f"{k}={quote(v)} " for k, v in case.variables)
    return (f"cd {quote(case.folder)} && " if case.folder else "") + \
        variables + " | ".join(programs)


def lists(cases):
    """As few lists as hold them all."""
    some, n = [], 0
    for c in cases:
        # a folder, program and options count
        size = sum(len(x) for x in c.lists) + 12
        if some and (n + size > WORDS_MAX or len(some) == 20):
            yield some
            some, n = [], 0
        some.append(c)
        n += size
    yield some


@pytest.fixture(scope="module")
def targets(up, bastion):
    if os.environ.get("POSTERN_TARGET_ROOT"):
        pytest.skip("the logins are this system's")
    stage.build()
    shutil.copy(stage.ARGS, ARGS)
    os.mkdir(FOLDER)
    soon = datetime.date.today() + datetime.timedelta(days=10)
    policy, started = "policy 1\n", []
    trusted = up.web1.ca_file.read_text()
    for port, (shell, family) in enumerate(SHELLS.items(), 2301):
        path = shutil.which(shell)
        if path is None:
            continue
        # A name of this system's would be no target of the bastion's.
        login, name = f"in-{shell}", f"shell-{shell}"
        h.run("useradd", "-m", "-d", h.WORK / "home" / login, "-s", path,
              "-p", "*", login)
        t = h.Target(name, "10.91.0.3", port, use_pam=False)
        started.append(t)
        t.trust(trusted)
        policy += (f'target {name} {{ ssh "{login}@10.91.0.3:{port}"; '
                   f'hostkey ssh-ed25519 "{t.fingerprint}"; '
                   f'shell {family}; observe until {soon} }}\n')
    bastion.write_policy(policy, "shells.postern")
    said = bastion.reload()
    assert "not accepted" not in said, said
    yield [t.name for t in started]
    for t in started:
        t.stop()
    (h.ETC / "policy/shells.postern").unlink()
    bastion.reload()


@pytest.fixture(params=SHELLS)
def shell(request, targets):
    if f"shell-{request.param}" not in targets:
        pytest.skip(f"{request.param} is not installed")
    return request.param


def ask(job, shell, cases):
    # Behind a `cd` what has none would be refused.
    for some in lists(sorted(cases, key=lambda c: c.folder)):
        r = job.ssh(f"shell-{shell}", "; ".join(map(text, some)))
        assert (r.code, r.error) == (0, ""), r.error
        got, want = r.out.split(b"\n"), b"".join(
            c.out for c in some).split(b"\n")
        for i, (a, b) in enumerate(zip(got, want)):
            assert a == b, (i, bytes.fromhex(a[1:].decode()),
                            bytes.fromhex(b[1:].decode()))
        assert len(got) == len(want)


def test_promise_3_argv_of_login_shells(job, shell):
    """Twenty argvs in each operation, for there are over two hundred."""
    argvs = [[sent(x) for x in argv]
             for argv in w.ADVERSARIAL + w.randoms(200, 31)]
    ask(job, shell, [w.Case([sum(argvs[i:i + 20], [])])
                     for i in range(0, len(argvs), 20)])


def test_promise_3_lines_of_login_shells(job, shell):
    """Folders and pipelines where the shell is of the Bourne family."""
    ask(job, shell, [
        w.Case([[sent(x) for x in words] for words in c.lists], c.folder,
               [(k, sent(v)) for k, v in c.variables])
        for c in w.lines(16, FOLDER, SHELLS[shell] != "posix", 32)])
