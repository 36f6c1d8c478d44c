"""`./dev demo`: the main job's story, told with the real thing."""
import os
import shlex
import subprocess
import sys
import textwrap

import house as h

COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def paint(code, text):
    return f"\x1b[{code}m{text}\x1b[0m" if COLOUR else text


def tell(text):
    print("\n" + "\n".join(paint("1;36", line) for line in textwrap.wrap(
        text, 78, initial_indent="* ", subsequent_indent="  ")), flush=True)


def show(text, colour=None):
    for line in text.rstrip("\n").splitlines():
        print("    " + (paint(colour, line) if colour else line), flush=True)


def prompt(who, command):
    print("    " + paint("1", f"{who}$ {command}"), flush=True)


def as_job(it, command, stdin=None):
    """One ssh of the job, shown as it is typed and as it answers."""
    typed = f"ssh web-1@bastion {shlex.quote(command)}" \
        if any(c in command for c in "$;'") else f"ssh web-1@bastion {command}"
    prompt("job", typed + (" <schema.sql" if stdin else ""))
    r = it.job.ssh("web-1", command, host="bastion", input=stdin)
    show(r.text)
    show(r.error, "33")
    print("    " + paint("2", f"exit status {r.code}, {r.seconds:.2f} s"),
          flush=True)
    return r


def as_auditor(it, *args):
    prompt("auditor", shlex.join(["postern", *args]))
    p = subprocess.run(h.inside("bastion", [h.PREFIX / "bin/postern", *args]),
                       stdin=subprocess.DEVNULL, capture_output=True,
                       text=True)
    show(p.stdout)
    show(p.stderr, "31")
    return p


def story(it):
    tell("Everything below runs in namespaces of its own; nothing of this "
         "host changes. First an issuer of identity tokens, as GitHub Actions "
         "has one: real HTTPS, with discovery and keys.")
    show(f"{h.GITHUB}  (10.91.0.6)")

    tell("A target: a stock sshd on another address. It needs Postern's CA "
         "key and one line that maps an account to its name here; nothing is "
         "installed on it.")
    web1 = it.target("web-1", "10.91.0.2")
    it.bastion = h.Bastion(it.issuer, [web1], "tests/e2e/demo.postern")
    it.started.append(it.bastion)
    prompt("admin", "postern ca show --target web-1")
    show(it.bastion.postern("ca", "show", "--target", "web-1").stdout)

    tell("The policy: a rule is the command line that it allows. What no "
         "rule allows is denied.")
    text = (h.ETC / "policy/main.postern").read_text()
    show(text.replace(web1.fingerprint, web1.fingerprint[:20] + "..."))
    prompt("admin", "postern policy check")
    show(it.bastion.postern("policy", "check").stdout)

    tell("The bastion: posternd with its processes, each a user of its own, "
         "and postern-sshd, the distribution's sshd as a second instance.")
    it.bastion.start()
    for pid, user, name in it.bastion.processes():
        show(f"{pid:>6}  {user:<16} {name}")

    it.job = h.Job(it.issuer)
    it.job.knows(it.bastion.hostkey.with_suffix(".pub"), h.BASTION, "bastion")
    tell("Now a CI job of acme/shop, with stock ssh and no stored secret: "
         "only the token its CI system gave it "
         f"({len(it.issuer.token())} bytes, handed over in parts by a "
         "small askpass program). An allowed command runs:")
    ok = as_job(it, "systemctl restart web")

    tell("Standard input goes through only where the rule says `with stdin`:")
    fed = as_job(it, "/opt/house/bin/migrate",
                 b"create table t (n int);\ninsert into t values (1);\n")

    tell("A command that no rule allows is denied, and says which word, and "
         "what would have been allowed:")
    no = as_job(it, "systemctl restart mail")

    tell("A line that only a shell could read is not guessed at:")
    odd = as_job(it, "systemctl restart $SERVICE")

    tell("The auditor: who ran what, for which commit.")
    as_auditor(it, "sessions")
    operation = [e["operation"] for e in it.bastion.ledger()
                 if e["event"] == "operation.decide"][0]
    as_auditor(it, "show", operation)

    tell("And what it looked like, from the recording (asciicast v2, so "
         "`asciinema play` shows it, too):")
    as_auditor(it, "replay", operation, "--speed", "4")

    tell("The target's own log names the same operation, commit and run:")
    line = next(x for x in web1.log.read_text().splitlines()
                if "Accepted publickey" in x)
    show("\n".join(textwrap.wrap(line, 74)))

    codes = [r.code for r in (ok, fed, no, odd)]
    if codes != [0, 0, 77, 64]:
        tell(f"This is not how it should end: exit codes {codes}, "
             "not 0, 0, 77, 64.")
        show(it.bastion.log.read_text()[-3000:])
        return 1
    tell("All of it is stopped and gone now. `./dev test` shows much more.")
    return 0


def main():
    it = h.House()
    try:
        return story(it)
    finally:
        it.close()


if __name__ == "__main__":
    sys.exit(main())
