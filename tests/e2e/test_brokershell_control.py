"""postern@'s broker shell: its words, the targets that are entered from it, and
what a certificate that does not name a target cannot reach by it."""
import os
import re
import signal

import pytest

import house as h
import test_jobcert
import test_restart
from test_brokershell import events, of_lines, same, shell  # noqa: F401

HOME = "postern as shop> "


@pytest.fixture
def home(shell):
    t = shell("postern")
    t.ready()
    return t


def restart_policy(bastion):
    (pid,) = test_restart.pid_of(bastion, "postern-policy")
    os.kill(pid, signal.SIGKILL)
    test_restart.alive_again(bastion, {"postern-policy": pid})


# -- words and targets ----------------------------------------------------------


def test_its_words(mark, home, bastion):
    home.line("whoami")
    home.see(r"^identity +shop$.*^actor +octocat$")
    home.ready()
    home.line("targets")
    home.see(r"^web-1\n.*^other\+web-1\n.*deny rules take something back")
    home.line("can web-1 systemctl restart web")
    home.see(r"^allowed by rule `restart`$")
    home.line("can web-1 /opt/house/bin/istty")
    home.see(r"^allowed by rule `screen`, in a terminal$")
    home.line("can web-1 systemctl stop web")
    home.see(r"denied.*use the runbook")
    home.line("whoami targets")
    home.see("whoami stands alone")
    home.line("login")
    home.see("wants a public key on standard input")
    home.line("exit")
    home.see("^left with 64$")
    assert not of_lines(bastion, mark, "operation.decide")
    assert len(events(bastion, mark, "question", 3)) == 3


def test_its_help(shell):
    t = shell("postern", size=(100, 40))
    t.ready()
    t.line("help")
    t.see(r"Tab completes words")
    t.ready()
    same(t, "control-help")


def test_without_a_terminal_it_is_as_it_was(job):
    r = job.ssh("postern", None)
    assert r.code == 0 and r.text.startswith("This is a Postern bastion.")


def test_a_line_is_run_on_its_target(mark, home, bastion):
    home.line("web-1 systemctl restart web")
    home.see(r"^web is up\n" + re.escape(HOME.rstrip()) + "$")
    home.line("  other+web-1   /usr/bin/whoami && /usr/bin/whoami  ")
    home.see(r"^other\nother$")
    home.line("web-1 systemctl stop web")
    home.see(r"denied.*use the runbook.*refused; this is operation")
    home.line("other+web-1 systemctl restart web")
    home.see(r"refused; this is operation.*refused; this is operation")
    home.line("web-1 echo $HOME")
    home.see(r"\^")
    d = events(bastion, mark, "operation.decide", 6)
    assert [(x["target"], x["login"], x["line"], x["verdict"]) for x in d] == [
        ("web-1", "deploy", 1, "allow"), ("web-1", "other", 2, "allow"),
        ("web-1", "other", 2, "allow"), ("web-1", "deploy", 3, "deny"),
        ("web-1", "other", 4, "deny"), ("web-1", "deploy", 5, "deny")]
    assert len({x["shell"] for x in d}) == 1
    assert {x["user"] for x in d} == {"postern"}
    assert d[3]["command"] == "systemctl stop web"
    assert d[0]["principal"] == "deploy+web-1"
    events(bastion, mark, "operation.end", 3)
    text = bastion.postern("replay", "--shell", "--speed", "0",
                           d[0]["shell"]).stdout
    assert "web is up" in text and text.count("other") >= 2


def test_in_and_out_of_a_target(mark, home, bastion):
    home.line("web-1")
    home.see(r"^web-1 as shop>$")
    home.line("cd /opt/house/bin")
    home.see(r"^web-1 as shop:/opt/house/bin>$")
    home.line("/usr/bin/pwd")
    home.see(r"^/opt/house/bin$")
    home.line("help")
    home.see(r"systemctl \(restart \| reload\).*Leaving leads back to postern@")
    home.line("whoami")      # is a command there
    home.see(r"denied")
    home.line("exit 9")
    home.see(re.escape(HOME.rstrip()) + r"\s*\Z")
    home.line("other+web-1")
    home.see(r"^other\+web-1 as shop>$")
    home.line("/usr/bin/whoami")
    home.see(r"^other$")
    home.line("/usr/bin/pwd")           # no folder came along
    home.see(r"pwd\n.*denied.*\n.*refused")
    home.key("C-d")
    home.see(re.escape(HOME.rstrip()) + r"\s*\Z")
    home.line("web-1")
    home.see(r"^web-1 as shop>\s*\Z")
    home.line("exit 9")
    home.see(re.escape(HOME.rstrip()) + r"\s*\Z")
    home.key("C-d")
    home.see("^left with 9$")
    d = events(bastion, mark, "operation.decide", 4)
    assert [(x["target"], x["login"], x["command"], x["verdict"]) for x in d] \
        == [("web-1", "deploy", "cd /opt/house/bin && /usr/bin/pwd", "allow"),
            ("web-1", "deploy", "cd /opt/house/bin && whoami", "deny"),
            ("web-1", "other", "/usr/bin/whoami", "allow"),
            ("web-1", "other", "/usr/bin/pwd", "deny")]


def answer_of(t, line):
    """What stands on the screen between this line and the next prompt."""
    t.line(line)
    m = t.see(rf"^postern as shop> {re.escape(line)}\n(.*?)^postern as shop>"
              r"\s*\Z", whole=True)
    return re.sub(r"\b01[0-9A-HJKMNP-TV-Z]{24}\b", "ID", m[1])


def test_unknown_and_forbidden_are_alike(mark, home, bastion):
    """As by the direct way, word for word."""
    entered = {answer_of(home, x).replace(x.split("+")[-1], "T") for x in
               ("no-such", "down-9", "root+web-2")}
    assert len(entered) == 1, entered
    assert "no rule lets this job open a shell on T" in entered.pop()
    answers = {answer_of(home, f"{x} systemctl restart web") for x in
               ("no-such", "down-9")}
    assert len(answers) == 1, answers
    assert "no such target" in answers.pop()
    assert "begins with the name of a target" in answer_of(home, "$HOME/x y")
    d = events(bastion, mark, "operation.decide", 5)
    assert [x["target"] for x in d] == ["no-such", "down-9", "web-2", "no-such",
                                        "down-9"]
    assert {x["verdict"] for x in d} == {"deny"}


def test_completion(home):
    home.type("ta")
    home.key("Tab")
    home.see(r"> targets$")
    home.key("C-u")
    home.type("w")
    home.key("Tab", "Tab")
    home.see(r"^web-1  web-2  whoami  wrong-1$|^whoami  web-1  web-2  wrong-1$")
    home.key("C-u")
    home.type("oth")
    home.key("Tab")
    home.see(r"> other\+web-1$")
    home.type("/usr")
    home.key("Tab")
    home.see(r"> other\+web-1 /usr/bin/whoami$")
    home.key("C-u")
    home.type("can web-1 systemctl rel")
    home.key("Tab")
    home.see(r"> can web-1 systemctl reload$")
    home.key("C-u")
    home.type("no-such sys")
    home.key("Tab")
    home.type("x")
    home.see(r"> no-such sysx$")


# -- the same bounds -------------------------------------------------------------


def test_locked_and_killed(mark, home, bastion):
    home.line("web-1")
    home.see(r"^web-1 as shop>$")
    home.key("C-d")
    bastion.postern("lock", "--reason", "works")
    try:
        for line in ("web-1 systemctl restart web", "web-1", "whoami"):
            assert "this bastion is locked" in answer_of(home, line)
    finally:
        bastion.postern("unlock")
    d = events(bastion, mark, "operation.decide", 2)
    assert [(x["target"], x["reason"]) for x in d] == [("web-1", "locked")] * 2
    home.line("web-1 /opt/house/bin/slow 50")
    home.see(r"^started$")
    session = d[0]["session"]
    bastion.postern("kill", session)
    home.see(r"ended by the bastion's admin.*shell.*^left with 77$")


def test_limits_are_counted_where_it_runs(shell, job, bastion, issuer):
    """`limit concurrent` of a target sees what was begun by this door."""
    ref = "refs/heads/bounded"
    t = shell("postern", token=issuer.token(ref=ref))
    t.see(r"^postern as bounded>$")
    t.line("web-1 /opt/house/bin/slow 30")
    t.see(r"^started$")
    r = job.ssh("web-1", "/opt/house/bin/slow 0", token=issuer.token(ref=ref))
    assert r.code == 75 and "limit concurrent" in r.error, r.error
    r = job.ssh("web-2", "/opt/house/bin/slow 0", token=issuer.token(ref=ref))
    assert r.code == 0, r.error
    u = shell("postern", token=issuer.token(ref=ref))
    u.see(r"^postern as bounded>$")
    u.line("web-1 /opt/house/bin/slow 0")
    u.see(r"limit concurrent")
    t.key("C-c")
    t.see(r"^postern as bounded>\s*\Z")


def test_9_what_runs_from_it_counts_after_a_restart(shell, job, bastion,
                                                    issuer):
    """On its own target, by the row that the next policy process reads."""
    ref = "refs/heads/bounded"
    t = shell("postern", token=issuer.token(ref=ref))
    t.see(r"^postern as bounded>$")
    t.line("web-1 /opt/house/bin/slow 30")
    t.see(r"^started$")
    restart_policy(bastion)
    r = job.ssh("web-1", "/opt/house/bin/slow 0", token=issuer.token(ref=ref))
    assert r.code == 75 and "limit concurrent" in r.error, r.error
    r = job.ssh("web-2", "/opt/house/bin/slow 0", token=issuer.token(ref=ref))
    assert r.code == 0, r.error
    t.key("C-c")    # whether it ends by that, or is hung up on
    t.see(r"\^C\npostern: the broker was restarted.*nothing more of this line "
          r"is run; log in again$.*^left with 75$", whole=True)


# -- by a certificate ----------------------------------------------------------------

LATER = '''
allow later for shop on root+web-1 { run /usr/bin/id -u }
'''


def test_a_certificate_names_what_it_reaches(shell, job, bastion, mark):
    """Rules that came after it open nothing to it: neither `LOGIN+TARGET` by
    sshd, nor by this door."""
    key = test_jobcert.Key(job).login()
    assert "root+web-1" not in key.cert().principals
    t = shell(argv=key.argv("postern", opts=("-t",)))
    t.ready()
    t.line("web-1 systemctl restart web")
    t.see(r"^web is up$")
    main = (h.ETC / "policy/main.postern").read_text()
    bastion.write_policy(main.replace("    login other\n",
                                      "    login other root\n") + LATER)
    try:
        assert "not accepted" not in bastion.reload()
        assert key.ssh("root+web-1", "/usr/bin/id -u").code == 255
        refused = {answer_of(t, line).replace(line.split()[0], "NAME")
                   for line in ("root+web-1", "root+web-1 /usr/bin/id -u",
                                "no-such", "no-such /usr/bin/id",
                                "web-9 help", "root+web-1 help")}
        assert len(refused) == 1, refused
        assert "certificate is not for the user name `NAME`" in refused.pop()
        t.line("help")
        t.see("Tab completes words")
        t.type("root")
        t.key("Tab")
        t.type("!")
        t.see(r"> root!$")
        t.key("C-c")
        assert "  root+web-1\n" not in t.all()
        # deploy is web-1's own login, and `deploy+web-1` a name of its own
        t.line("deploy+web-1")
        t.see(r"^deploy\+web-1 as shop>$")
        t.key("C-d")
        # a token opens a session by whatever name
        u = shell("postern")
        u.ready()
        u.line("root+web-1 /usr/bin/id -u")
        u.ready(2)
    finally:
        bastion.write_policy(main)
        bastion.reload()
    decided = of_lines(bastion, mark, "operation.decide")
    d = [x for x in decided
         if x.get("login") == "root" and x["verdict"] == "deny"]
    assert len(d) == 3 and {x["target"] for x in d} == {"web-1"}, d
    assert [x["login"] for x in decided
            if x["verdict"] == "allow"] == ["deploy", "root"]


def test_a_certificate_after_a_restart(shell, job, bastion):
    """A policy process that did not see the certificate knows no name of it:
    nothing is reached until there is another connection."""
    key = test_jobcert.Key(job).login()
    socket = f"{key.folder}/mux"
    opts = ("-o", f"ControlPath={socket}", "-o", "ControlMaster=yes", "-fN")
    assert job.run(key.argv("postern", opts=opts)).code == 0
    more = ("-o", f"ControlPath={socket}", "-t")
    try:
        t = shell(argv=key.argv("postern", opts=more))
        t.ready()
        t.line("web-1 systemctl restart web")
        t.see(r"^web is up$")
        restart_policy(bastion)
        t.line("whoami")
        t.see(r"the broker was restarted.*^left with 75$")
        t = shell(argv=key.argv("postern", opts=more))
        t.ready()
        assert "does not know which names" in answer_of(t, "web-1")
        assert "does not know which names" in answer_of(
            t, "web-1 systemctl restart web")
        t.line("whoami")
        t.see(r"^identity +shop$")
    finally:
        job.run(key.argv("postern", opts=("-o", f"ControlPath={socket}", "-O",
                                          "exit")))


# -- what a shell's lines have ---------------------------------------------------------

SHIP = h.BIN / "shipped"
VARS = f"""
allow vars for shop on web-1 {{
    run {SHIP}
    env STAGE <enum blue green red>
}}
allow bare for shop on web-1 {{ run {SHIP} bare }}
deny red for * on web-1 {{ run STAGE=red <any>...; because "red is off" }}
"""


@pytest.mark.parametrize("to, line", [("web-1", ""), ("postern", "web-1 ")])
def test_variables_belong_to_the_shell(shell, bastion, mark, to, line):
    """Judged at each line: by its rule, and by every deny rule."""
    SHIP.write_text("#!/bin/sh\necho \"$1:$STAGE:$OTHER:\"\n")
    SHIP.chmod(0o755)

    def begin(stage):
        t = shell(to, opts=("-t", "-o", f"SetEnv=STAGE={stage} OTHER=x"))
        t.ready()
        return t
    with bastion.more_rules(VARS):
        t = begin("blue")
        t.line(f"{line}{SHIP}; {SHIP} bare; {SHIP}")
        t.see(r"^:blue::\nbare:::\n:blue::$")
        t.line(f"{line}{SHIP}")
        t.see(r"(?:^:blue::$.*){3}")
        t = begin("yellow")
        t.line(f"{line}{SHIP} bare")    # its rule takes none, and misses none
        t.see(r"^bare:::$")
        t.line(f"{line}{SHIP}")
        t.see(r"does not take the value.*refused")
        t = begin("red")
        t.line(f"{line}{SHIP}")
        t.see(r"denied by rule `red`: red is off")
    d = events(bastion, mark, "operation.decide", 7)
    assert [x.get("env") for x in d] == [
        "STAGE=blue", None, "STAGE=blue", "STAGE=blue", None, "STAGE", None]
    assert [x["verdict"] for x in d] == ["allow"] * 5 + ["deny"] * 2


def test_help_tells_a_line_once(shell, bastion):
    with bastion.more_rules("""
allow again for shop on web-1 { run systemctl (restart | reload) <service> }
allow other-way for shop on web-1 { run systemctl (reload | restart) <service> }
"""):
        t = shell("web-1", size=(100, 50))
        t.ready()
        t.line("help")
        t.see("Ctrl-D on an empty")
        t.ready()
    said = [x for x in t.screen().splitlines() if x.startswith("  ")]
    assert len(said) == len(set(said)), said
    assert said[0] == "  systemctl (restart | reload) <service>"
    assert said[-1] == "  systemctl (reload | restart) <service>"


DATA = """
allow code for shop on web-1 { git read /srv/shop.git; git write /srv/shop.git }
allow copy for shop on web-1 { write under /srv/app by rsync }
"""


@pytest.mark.parametrize("line", [
    "git-upload-pack '/srv/shop.git'", "git-receive-pack '/srv/shop.git'",
    "git-upload-archive '/srv/shop.git'",
    "rsync --server -logDtpre.iLsfxCIvu . /srv/app/",
    "systemctl restart web; git-upload-pack '/srv/shop.git'"])
def test_data_does_not_go_over_a_terminal(mark, home, bastion, line):
    with bastion.more_rules(DATA):
        home.line(f"web-1 {line}")
        home.see(r"denied: what git and rsync send is data, which a terminal"
                    r".*git clone web-1@BASTION:/DIR.*refused")
        home.ready()
    n = 1 + (";" in line)
    d = events(bastion, mark, "operation.decide", n)
    assert {x["verdict"] for x in d} == {"deny"}
    assert d[-1]["by"] in ("git", "rsync")


def test_a_target_that_is_called_like_a_word(shell, bastion):
    """The word stays what it is; the target is reached by its login's name."""
    pin = "SHA256:" + "A" * 43
    with bastion.more_rules("".join(
            f'target {n} {{ ssh "deploy@10.91.0.2:22"; hostkey ssh-ed25519 '
            f'"{pin}"; group words }}\n' for n in ("help", "exit")) +
            "allow words for shop on @words { run /usr/bin/true }\n"):
        t = shell("postern", size=(100, 50))
        t.ready()
        t.line("help")
        t.see(r"^  deploy\+help$.*Tab completes words")
        assert "  help\n" not in t.all() and "  deploy+exit\n" in t.all()
        t.type("deploy+h")
        t.key("Tab", "Enter")
        t.see(r"^deploy\+help as shop>\s*\Z")
        t.line("exit")
        t.see(r"^postern as shop>\s*\Z")
        t.line("deploy+exit")
        t.see(r"^deploy\+exit as shop>\s*\Z")
        t.line("exit 3")
        t.see(r"^postern as shop>\s*\Z")
        t.line("exit 4")
        t.see("^left with 4$")


def test_many_targets(shell, bastion):
    """Help says how many it leaves out; what completes a line is bounded, says
    so, and is what all begin with, those that are left out as well."""
    pin = "SHA256:" + "A" * 43
    names = [f"machine-with-a-long-name-{i:04}" for i in range(2000)]
    with bastion.more_rules("".join(
            f'target {n} {{ ssh "deploy@10.91.0.2:22"; hostkey ssh-ed25519 '
            f'"{pin}"; group lots }}\n' for n in names) +
            "allow lots for shop on @lots { run /usr/bin/true }\n"):
        t = shell("postern")
        t.ready()
        t.line("help")
        left = int(t.see(r"^  and (\d+) more$.*Tab completes")[1])
        assert 0 < left < 2000
        t.type("machine")
        t.key("Tab", "Tab")
        t.see(r"  and more: type on, then Tab again\n"
              r".*> machine-with-a-long-name-$", whole=True)
        t.type("000")
        t.key("Tab")
        t.type("7 /usr")
        t.key("Tab", "Enter")
        t.see(r"^postern: .*machine-with-a-long-name-0007")
    assert t.all().count("machine-with-a-long-name-") > 500
