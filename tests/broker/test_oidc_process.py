"""postern-oidc as a process, against issuers with real HTTPS."""
import json
import os
import pathlib
import re
import socket
import struct
import sys
import threading
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import process as p  # noqa: E402
import web  # noqa: E402

RSA = web.Key("r1")
RSA_2 = web.Key("r2")
SMALL = web.Key("small", bits=1024)
EC = web.Key("e1", "ES256")
PSS = web.Key("p1", "PS256")
CA, OTHER_CA = web.Ca("test CA"), web.Ca("another CA")


@pytest.fixture
def issuer(tmp_path):
    it = web.Issuer(tmp_path, CA)
    it.keys = [RSA, EC, SMALL, PSS]
    yield it
    it.close()


@pytest.fixture
def oidc(tmp_path, issuer):
    """Running, with one issuer."""
    it = p.Oidc(tmp_path, CA.pem(), "login-deadline 4s\n")
    it.issuers({"name": "ci", "url": issuer.url})
    yield it
    assert it.process.poll() in (None, 0), it.logged()
    assert it.close() == 0


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One process for the tests that only send tokens."""
    folder = tmp_path_factory.mktemp("shared")
    issuer = web.Issuer(folder, CA)
    issuer.keys = [RSA, EC, SMALL, PSS]
    it = p.Oidc(folder, CA.pem(), "login-deadline 4s\n")
    it.issuers({"name": "ci", "url": issuer.url})
    it.issuer = issuer
    yield it
    assert it.alive(), it.logged()
    assert it.close() == 0
    issuer.close()


# -- good logins ----------------------------------------------------------------


@pytest.mark.parametrize("key", [RSA, EC], ids=["RS256", "ES256"])
def test_good_login(shared, key):
    claims = shared.issuer.claims(
        repository_id="7712345", run_attempt=2, protected=True, none=None,
        groups=["a"], nested={"a": 1}, ratio=1.5, jti=key.kid,
        workflow="Grüße", empty="")
    claims["nothing"] = None
    n = len(shared.sessions)
    assert shared.login(key.token(claims), user="root+web-1",
                        source="2001:db8::7") == (0, p.HANDLE)
    s = shared.sessions[n]
    assert (s.user, s.source) == ("root+web-1", "2001:db8::7")
    assert (s.issuer, s.subject) == ("ci", "repo:acme/shop")
    assert s.expires == claims["exp"]
    assert s.claims == {
        "iss": shared.issuer.url, "aud": "bastion", "sub": "repo:acme/shop",
        "iat": str(claims["iat"]), "nbf": str(claims["nbf"]),
        "exp": str(claims["exp"]), "repository_id": "7712345",
        "run_attempt": "2", "protected": "true", "jti": key.kid,
        "workflow": "Grüße", "empty": "", "nested/a": "1"}


def test_p6_judges_that_disagree_are_an_alarm(tmp_path, issuer):
    """What OpenSSL accepts and libjwt does not."""
    it = p.Oidc(tmp_path, CA.pem(), "login-deadline 4s\n",
                preload="contrary.so")
    it.issuers({"name": "ci", "url": issuer.url,
                "algs": ("RS256", "ES256", "PS256")})
    claims = issuer.claims()
    for key in RSA, EC:
        e = it.refused(key.token(claims))
        assert "disagree" in e["reason"]
    assert len(re.findall(r"ALARM: OpenSSL and libjwt disagree about the "
                          r"signature \(login of web-1 from [0-9.]+ ",
                          it.logged())) == 2
    # a signature that is wrong for both is none
    assert "signature is wrong" in it.refused(
        RSA_2.token(claims, {"kid": "r1"}))["reason"]
    assert it.logged().count("ALARM") == 2
    # and libjwt is not asked what it does not know
    assert it.login(PSS.token(claims))[0] == 0
    assert it.sessions and it.close() == 0


def test_long_github_like_token(shared):
    token = RSA.token(shared.issuer.claims(
        **{f"claim_{i}": "x" * 100 for i in range(60)}))
    assert 8000 < len(token) < 16384
    assert shared.login(token)[0] == 0


# -- bad tokens: one answer, a reason for the ledger -----------------------------


def spare_bits(token):
    """The same bytes, spelt differently."""
    abc = ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
           "0123456789-_")
    return token[:-1] + abc[abc.index(token[-1]) | 1]


def swapped(token, claims):
    h, _, s = token.split(".")
    return f"{h}.{web.b64(json.dumps(claims))}.{s}"


BAD = [
    # name, the token for issuer i with claims c, words of the reason
    ("empty", lambda i, c: "", "no token"),
    ("rubbish", lambda i, c: "hello", "three segments"),
    ("newline", lambda i, c: RSA.token(c) + "\n", "base64url"),
    ("junk after the signature", lambda i, c: RSA.token(c) + "=",
     "base64url"),
    ("four segments", lambda i, c: RSA.token(c) + ".AA", "three segments"),
    ("longer signature", lambda i, c: RSA.token(c) + "AAAA",
     "signature is wrong"),
    ("spare bits", lambda i, c: spare_bits(RSA.token(c)), "base64url"),
    ("alg none", lambda i, c: web.b64('{"alg":"none"}') + "." +
     web.b64(json.dumps(c)) + ".", "algorithm"),
    ("alg none, signed", lambda i, c: RSA.token(c, {"alg": "none"}),
     "algorithm"),
    ("HS256 with the public key", lambda i, c: web.hs256(
        RSA.public_pem(), c, "r1"), "algorithm"),
    ("PS256 is not allowed", lambda i, c: PSS.token(c), "not allowed"),
    ("crit", lambda i, c: RSA.token(c, {"crit": ["exp"]}), "header"),
    ("jku", lambda i, c: RSA.token(c, {"jku": i.url + "/evil"}), "header"),
    ("jwk", lambda i, c: RSA_2.token(c, {"jwk": RSA_2.jwk(), "kid": None}),
     "header"),
    ("at+jwt", lambda i, c: RSA.token(c, {"typ": "at+jwt"}), "typ"),
    ("JOSE, which libjwt cannot judge",
     lambda i, c: RSA.token(c, {"typ": "JOSE"}), "typ"),
    ("wrong signature", lambda i, c: RSA_2.token(c, {"kid": "r1"}),
     "signature is wrong"),
    ("other claims under the signature",
     lambda i, c: swapped(RSA.token(c), {**c, "sub": "admin"}),
     "signature is wrong"),
    ("kid of another kind", lambda i, c: RSA.token(c, {"kid": "e1"}),
     "does not fit"),
    ("unknown kid", lambda i, c: RSA.token(c, {"kid": "nobody"}),
     "no such key"),
    ("RSA of 1024 bits", lambda i, c: SMALL.token(c), "no such key"),
    ("duplicate member", lambda i, c: RSA.token(
        None, raw=json.dumps(c)[:-1] + ',"sub":"admin"}'), "payload"),
    ("huge number", lambda i, c: RSA.token(
        None, raw=json.dumps(c)[:-1] + ',"a":' + "9" * 30 + "}"), "payload"),
    ("array", lambda i, c: RSA.token(None, raw=json.dumps([c])), "payload"),
    ("NUL and more", lambda i, c: RSA.token(
        None, raw=json.dumps(c) + "\0x"), "payload"),
    ("expired", lambda i, c: RSA.token({**c, "iat": c["iat"] - 500,
                                        "exp": c["iat"] - 200}), "expired"),
    ("from the future", lambda i, c: RSA.token({**c, "iat": c["iat"] + 200}),
     "future"),
    ("not yet", lambda i, c: RSA.token({**c, "nbf": c["iat"] + 200}),
     "not valid yet"),
    ("too old", lambda i, c: RSA.token({**c, "iat": c["iat"] - 700}),
     "too old"),
    ("no exp", lambda i, c: RSA.token(
        {k: v for k, v in c.items() if k != "exp"}), "exp"),
    ("no iat", lambda i, c: RSA.token(
        {k: v for k, v in c.items() if k != "iat"}), "iat"),
    ("other audience", lambda i, c: RSA.token({**c, "aud": "vault"}),
     "audience"),
    ("audience with more", lambda i, c: RSA.token({**c, "aud": "bastion/"}),
     "audience"),
    ("no issuer", lambda i, c: RSA.token(
        {k: v for k, v in c.items() if k != "iss"}), "issuer"),
    ("slash after the issuer", lambda i, c: RSA.token(
        {**c, "iss": c["iss"] + "/"}), "no issuer of the policy"),
    ("another issuer", lambda i, c: RSA.token(
        {**c, "iss": "https://token.actions.githubusercontent.com"}),
     "no issuer of the policy"),
    ("control characters", lambda i, c: RSA.token(
        {**c, "workflow": "a\x1b[2Jb"}), "control characters"),
    ("control characters in sub", lambda i, c: RSA.token(
        {**c, "sub": "a\nb"}), "sub"),
]


@pytest.mark.parametrize("make,reason", [b[1:] for b in BAD],
                         ids=[b[0] for b in BAD])
def test_p6_bad_token(shared, make, reason):
    """Promise 6, and one answer for all of them."""
    token = make(shared.issuer, shared.issuer.claims(jti="secret-jti"))
    n, source = len(shared.sessions), f"10.1.2.{len(shared.events)}"
    before = time.monotonic()
    event = shared.refused(token, user="web-1", source=source)
    took = time.monotonic() - before
    assert reason in event["reason"]
    assert (event["user"], event["source"]) == ("web-1", source)
    assert len(shared.sessions) == n
    # the same time for all, and none of the longer ones of who fails often
    assert 0.45 < took < 5
    # promise 7
    seen = shared.logged() + json.dumps(event)
    for secret in token.split("."):
        assert len(secret) < 20 or secret not in seen
    assert "secret-jti" not in seen


def test_bad_token_names_issuer_only_when_signed(shared):
    c = shared.issuer.claims()
    e = shared.refused(RSA_2.token(c, {"kid": "r1"}))
    assert "issuer" not in e and "subject" not in e
    e = shared.refused(RSA.token({**c, "aud": "vault"}))
    assert e["issuer"] == "ci"


def test_too_long(shared):
    """Longer than a token can be is no message of the module's."""
    with shared.ask("a" * 16385) as s:
        assert p.receive(s) is None
    assert "too long" not in shared.refused("a" * 16384)["reason"]
    assert shared.alive()


def test_trouble(shared):
    e = shared.refused("", trouble="part 2 came twice\x1b[2J")
    assert e["reason"] == "part 2 came twice\\x1b[2J"
    # and trouble is trouble, even beside a good token
    e = shared.refused(RSA.token(shared.issuer.claims()), trouble="cut off")
    assert e["reason"] == "cut off"


def test_odd_names(shared):
    e = shared.refused("x", user="a\n\x1b]0;b\xff", source="evil\n")
    assert e["user"].isprintable() and e["source"].isprintable()
    e = shared.refused(RSA.token(shared.issuer.claims()), user="w" * 64)
    assert "user name" in e["reason"]


def test_policy_refuses(shared):
    shared.answer = lambda s: (1, "", "no identity matches")
    e = shared.refused(RSA.token(shared.issuer.claims()))
    shared.answer = lambda s: (0, p.HANDLE, "")
    assert e["reason"] == "no identity matches"
    assert (e["issuer"], e["subject"]) == ("ci", "repo:acme/shop")


def test_policy_answers_nonsense(shared):
    shared.answer = lambda s: (0, "short", "")
    e = shared.refused(RSA.token(shared.issuer.claims()))
    shared.answer = lambda s: (0, p.HANDLE, "")
    assert "no session" in e["reason"]


# -- the PAM module's side -------------------------------------------------------


def test_only_root_is_heard(shared):
    r, w = os.pipe()
    shared.folder.chmod(0o711)
    pid = os.fork()
    if pid == 0:
        try:
            os.chdir(shared.folder)  # the folders above it are root's alone
            shared.path = "pam.sock"
            os.setgid(65534)
            os.setuid(65534)
            s = shared.connect()
            try:
                p.send(s, p.LOGIN, p.text("web-1") + p.text("1.2.3.4") +
                       p.text("x") + p.u32(1) + p.text(""))
                os.write(w, b"closed" if p.receive(s) is None else b"heard")
            except (BrokenPipeError, ConnectionResetError):
                os.write(w, b"closed")
        finally:
            os._exit(0)
    os.close(w)
    os.waitpid(pid, 0)
    assert os.read(r, 16) == b"closed"
    os.close(r)


def test_broken_messages(shared):
    good = (p.text("web-1") + p.text("1.2.3.4") + p.text("x") + p.u32(1) +
            p.text(""))
    for kind, body in ((p.LOGIN, b""), (p.LOGIN, good[:-1]),
                       (p.LOGIN, good + b"\0"), (p.STOP, b""),
                       (p.SESSION_MADE, b""), (999, b"")):
        with shared.connect() as s:
            p.send(s, kind, body)
            assert p.receive(s) is None
    with shared.connect() as s:
        s.send(b"x")
        assert p.receive(s) is None
    assert shared.login(RSA.token(shared.issuer.claims()))[0] == 0


def test_one_login_a_connection(shared):
    body = (p.text("web-1") + p.text("1.2.3.4") + p.text("x") + p.u32(1) +
            p.text(""))
    with shared.connect() as s:
        p.send(s, p.LOGIN, body)
        p.send(s, p.LOGIN, body)
        assert p.receive(s) is None


def test_silent_connection_is_closed(shared):
    with shared.connect() as s:
        before = time.monotonic()
        assert p.receive(s) is None
        assert 3 < time.monotonic() - before < 6


def test_hang_up_while_waiting(shared):
    gate = threading.Event()
    shared.answer = lambda s: gate.wait(10) and (0, p.HANDLE, "")
    n = len(shared.sessions)
    with shared.ask(RSA.token(shared.issuer.claims(jti="bye"))):
        shared.wait(lambda: len(shared.sessions) > n)
    gate.set()
    shared.answer = lambda s: (0, p.HANDLE, "")
    assert shared.login(RSA.token(shared.issuer.claims()))[0] == 0


# -- issuers that share a url ------------------------------------------------------


def test_two_issuers_of_one_url(oidc, issuer):
    """Each has its own audiences, algorithms, times and replay rule."""
    oidc.issuers(
        {"name": "deploy", "url": issuer.url, "algs": ("ES256",)},
        {"name": "build", "url": issuer.url, "aud": ("build", "test"),
         "algs": ("RS256",), "max_age": 60, "once": False},
        {"name": "third", "url": issuer.url, "aud": ("third", "bastion")})

    def login(key, **more):
        assert oidc.login(key.token(issuer.claims(**more)))[0] == 0
        return oidc.sessions[-1].issuer

    assert login(EC) == "deploy"
    assert "1 issuers of the policy cannot be used" in oidc.logged()
    assert login(RSA, aud="test") == "build"
    assert login(RSA, aud=["other", "build"]) == "build"
    # the one's algorithms and times are not the other's
    assert "not allowed" in oidc.refused(RSA.token(issuer.claims()))["reason"]
    assert "not allowed" in oidc.refused(
        EC.token(issuer.claims(aud="build")))["reason"]
    now = int(time.time())
    old = issuer.claims(iat=now - 200, nbf=now - 200)
    assert oidc.login(EC.token(old))[0] == 0
    e = oidc.refused(RSA.token({**old, "aud": "build"}))
    assert "too old" in e["reason"] and e["issuer"] == "build"
    # nor is the replay rule
    token = RSA.token(issuer.claims(aud="build"))
    for source in "10.0.0.1", "10.0.0.2":
        assert oidc.login(token, source=source)[0] == 0
    token = EC.token(issuer.claims(jti="once"))
    assert oidc.login(token, source="10.0.0.1")[0] == 0
    assert "spent" in oidc.refused(token, source="10.0.0.2")["reason"]


def test_a_token_for_two_issuers_of_one_url(oidc, issuer):
    """Nobody guesses whose rules it is under; and an audience that was left
    out with its issuer is nobody's."""
    oidc.issuers({"name": "a", "url": issuer.url},
                 {"name": "b", "url": issuer.url, "aud": ("build",)},
                 {"name": "c", "url": issuer.url, "aud": ("c", "build")})
    for key in RSA, EC:
        e = oidc.refused(key.token(issuer.claims(aud=["bastion", "build"])))
        assert "audiences of two issuers" in e["reason"]
        e = oidc.refused(key.token(issuer.claims(
            aud=["bastion", "build"], azp="bastion")))
        assert "audiences of two issuers" in e["reason"]
        assert "audience is not ours" in oidc.refused(
            key.token(issuer.claims(aud="c")))["reason"]
    assert oidc.sessions == []
    # the signature is looked at first: that is somebody we could find
    e = oidc.refused(RSA_2.token(issuer.claims(aud=["bastion", "build"]),
                                 {"kid": "r1"}))
    assert "signature" in e["reason"] and "issuer" not in e


def test_one_url_keys_from_a_file_and_fetched(oidc, issuer):
    """The file's keys are for the audience that has them."""
    oidc.issuers({"name": "a", "url": issuer.url},
                 {"name": "b", "url": issuer.url, "aud": ("build",),
                  "keys": json.dumps({"keys": [RSA_2.jwk()]}).encode()})
    assert oidc.login(RSA.token(issuer.claims()))[0] == 0
    assert oidc.login(RSA_2.token(issuer.claims(aud="build")))[0] == 0
    assert [s.issuer for s in oidc.sessions] == ["a", "b"]
    assert "no such key" in oidc.refused(
        RSA_2.token(issuer.claims()))["reason"]
    assert "no such key" in oidc.refused(
        RSA.token(issuer.claims(aud="build")))["reason"]


# -- spent tokens -----------------------------------------------------------------


def test_spent_token(oidc, issuer):
    """Promise 6: from its own address again, from no other."""
    token = RSA.token(issuer.claims())
    assert oidc.login(token, source="10.0.0.1")[0] == 0
    assert oidc.login(token, source="10.0.0.1")[0] == 0
    assert len(oidc.sessions) == 2
    e = oidc.refused(token, source="10.0.0.2")
    assert "spent by another address" in e["reason"]
    # another signature over the same claims is the same token
    claims = issuer.claims(jti="es")
    assert oidc.login(EC.token(claims), source="10.0.0.1")[0] == 0
    assert "spent" in oidc.refused(EC.token(claims),
                                   source="10.0.0.2")["reason"]
    # a token that was refused before its claims were judged marks nothing
    claims = issuer.claims(jti="other")
    assert "signature" in oidc.refused(RSA_2.token(claims, {"kid": "r1"}),
                                       source="10.0.0.9")["reason"]
    assert oidc.login(RSA.token(claims), source="10.0.0.3")[0] == 0


def test_replay_off(oidc, issuer):
    oidc.issuers({"name": "ci", "url": issuer.url, "once": False})
    token = RSA.token(issuer.claims())
    assert oidc.login(token, source="10.0.0.1")[0] == 0
    assert oidc.login(token, source="10.0.0.2")[0] == 0


def next_life(oidc, issuer, **more):
    """The process dies, and the one after it is there."""
    oidc.process.kill()
    oidc.process.wait()
    for s in (oidc.control, oidc.policy, oidc.audit):
        s.close()
    os.unlink(oidc.path)
    it = p.Oidc(oidc.folder, CA.pem(), more.pop("settings", None) or
                "login-deadline 4s\n", marks=oidc.marks, **more)
    it.issuers({"name": "ci", "url": issuer.url})
    return it


def test_p6_a_spent_token_stays_spent(tmp_path, issuer):
    """Promise 6, also after the process has died."""
    one = p.Oidc(tmp_path, CA.pem(), "login-deadline 4s\n")
    one.issuers({"name": "ci", "url": issuer.url})
    tokens = [RSA.token(issuer.claims(jti=str(i))) for i in range(8)]
    for t in tokens:
        assert one.login(t, source="10.0.0.1")[0] == 0
    assert len(one.marks) == 8
    two = next_life(one, issuer)
    for t in tokens:
        assert "spent" in two.refused(t, source="10.0.0.2")["reason"]
    assert two.login(tokens[0], source="10.0.0.1")[0] == 0
    assert two.close() == 0


def test_p6_no_handle_before_the_mark_is_kept(oidc, issuer):
    """audit does not answer: the token opens nothing, and is spent."""
    oidc.keeps = None
    token = RSA.token(issuer.claims())
    e = oidc.refused(token, source="10.0.0.1")
    assert "marked as spent" in e["reason"] and len(oidc.sessions) == 1
    oidc.keeps = 0
    assert "another address" in oidc.refused(token,
                                             source="10.0.0.2")["reason"]
    assert len(oidc.sessions) == 1


def test_p6_a_mark_that_cannot_be_kept(oidc, issuer):
    oidc.keeps = 2
    assert "marked as spent" in oidc.refused(
        RSA.token(issuer.claims()))["reason"]


def test_6_policy_hears_that_a_token_has_opened_a_session(tmp_path, issuer):
    """Promise 6: from the moment when the module was told, and in the next
    process; not after logins that opened nothing."""
    it = p.Oidc(tmp_path, CA.pem(), "login-deadline 4s\n")
    it.issuers({"name": "ci", "url": issuer.url})
    token, other = (RSA.token(issuer.claims(jti=j)) for j in "ab")

    def opened(t, want=0):
        assert it.login(t, source="10.0.0.1")[0] == want
        return it.sessions[-1].opened

    it.answer = lambda s: (1, "", "no room")
    assert not opened(token, 1) and not opened(token, 1)
    it.answer = lambda s: (0, p.HANDLE, "")
    it.keeps = 2        # audit has no room: the mark stays, nobody is told
    assert not opened(token, 1)
    it.keeps = 0
    assert not opened(token)
    assert opened(token) and opened(token)
    assert not opened(other)
    it = next_life(it, issuer)
    assert opened(token) and opened(other)
    assert not opened(RSA.token(issuer.claims(jti="c")))
    it.issuers({"name": "ci", "url": issuer.url, "once": False})
    assert not opened(token)
    assert it.close() == 0


def test_a_token_without_an_identity_is_not_spent(oidc, issuer):
    """Everybody at a shared issuer has good tokens: those that policy has no
    identity for leave nothing behind, in oidc or in audit."""
    oidc.answer = lambda s: (1, "", "no identity matches")
    token = RSA.token(issuer.claims())
    assert "no identity" in oidc.refused(token, source="10.0.0.1")["reason"]
    assert oidc.marks == {}
    oidc.answer = lambda s: (0, p.HANDLE, "")
    assert oidc.login(token, source="10.0.0.2")[0] == 0
    assert len(oidc.marks) == 1
    assert "another address" in oidc.refused(token,
                                             source="10.0.0.1")["reason"]


def test_one_token_twice_at_once(oidc, issuer):
    """From another address while policy still looks: refused.  From the same:
    whichever is refused, the mark of the other stays."""
    gate, first = threading.Event(), []

    def answer(s):
        first.append(s)
        if len(first) == 1:
            gate.wait(10)
            return 0, p.HANDLE, ""
        return 1, "", "too many connections"

    oidc.answer = answer
    token = RSA.token(issuer.claims())
    with oidc.ask(token, source="10.0.0.1") as a:
        oidc.wait(lambda: len(oidc.sessions) == 1)
        assert "another address" in oidc.refused(
            token, source="10.0.0.2")["reason"]
        with oidc.ask(token, source="10.0.0.1") as b:
            gate.set()
            assert oidc.result(a) == (0, p.HANDLE)
            assert oidc.result(b) == (1, "")
    assert "another address" in oidc.refused(token,
                                             source="10.0.0.2")["reason"]


def test_p6_audit_is_replaced_before_it_answers(oidc, issuer):
    """Whoever waits asks the next one."""
    oidc.keeps = None
    with oidc.ask(RSA.token(issuer.claims())) as s:
        end = time.monotonic() + 10
        while not oidc.marks:
            assert time.monotonic() < end
            time.sleep(0.01)
        oidc.marks.clear()
        oidc.keeps = 0
        oidc.link_audit()
        assert oidc.result(s)[0] == 0
    assert len(oidc.marks) == 1


def test_p9_nobody_is_served_before_the_marks_are_there(tmp_path, issuer):
    """A caller waits for them, and is then served."""
    it = p.Oidc(tmp_path, CA.pem(), "login-deadline 4s\n", go=False)
    it.audit.shutdown(socket.SHUT_RDWR)
    p.send(it.control, p.GO, p.text(it.settings) + p.text("10.0.0.1/32"))
    it.issuers({"name": "ci", "url": issuer.url})
    token = RSA.token(issuer.claims())
    with it.ask(token) as s:
        it.control.settimeout(0.5)
        with pytest.raises(TimeoutError):
            it.control.recv(1)
        it.control.settimeout(10)
        it.link_audit()
        assert p.receive(it.control)[0] == p.READY
        assert it.result(s)[0] == 0
    assert it.close() == 0


def test_p9_stop_finishes_the_logins(oidc, issuer):
    gate = threading.Event()
    oidc.answer = lambda s: gate.wait(10) and (0, p.HANDLE, "")
    with oidc.ask(RSA.token(issuer.claims())) as s:
        oidc.wait(lambda: oidc.sessions)
        p.send(oidc.control, p.STOP)
        late = oidc.connect()   # waits for the next process
        late.settimeout(0.3)
        p.send(late, p.LOGIN, p.text("a") + p.text("b") + p.text("") +
               p.u32(1) + p.text("x"))
        with pytest.raises(TimeoutError):
            late.recv(1)
        assert oidc.process.poll() is None
        gate.set()
        assert oidc.result(s) == (0, p.HANDLE)
    assert oidc.process.wait(10) == 0
    late.close()


# -- siblings that come and go -----------------------------------------------------


def test_policy_goes_and_comes(oidc, issuer):
    oidc.answer = lambda s: None
    with oidc.ask(RSA.token(issuer.claims(jti="1"))) as s:
        oidc.wait(lambda: len(oidc.sessions) == 1)
        oidc.policy.shutdown(socket.SHUT_RDWR)
        assert oidc.result(s) == (1, "")
    assert oidc.events[-1]["reason"] == "policy went away"
    assert "policy is not running" in oidc.refused(
        RSA.token(issuer.claims(jti="2")))["reason"]
    oidc.link_policy()
    # the issuers of the one before still count, until the new one speaks
    assert oidc.login(RSA.token(issuer.claims(jti="3")))[0] == 0
    oidc.issuers()
    assert "no issuer" in oidc.refused(
        RSA.token(issuer.claims(jti="4")))["reason"]


def test_policy_silent(oidc, issuer):
    oidc.answer = lambda s: None
    before = time.monotonic()
    e = oidc.refused(RSA.token(issuer.claims()))
    assert "policy did not answer" in e["reason"]
    assert 3 < time.monotonic() - before < 4.6  # within login-deadline


def test_without_audit(oidc, issuer):
    oidc.audit.shutdown(socket.SHUT_RDWR)
    time.sleep(0.2)
    assert oidc.login("x") == (1, "")
    assert "not in the ledger" in oidc.logged()
    oidc.link_audit()
    assert "three segments" in oidc.refused("x")["reason"]


@pytest.mark.parametrize("kind,body", [
    (p.ISSUERS, p.u32(1)), (p.ISSUERS, p.u32(0) + b"x"),
    (p.ISSUERS, p.u32(10 ** 6)), (p.SESSION_MADE, b""),
    (p.SESSION_NEW, b""), (p.STOP, b"")])
def test_broken_sibling_ends_the_process(tmp_path, kind, body):
    oidc = p.Oidc(tmp_path, CA.pem())
    p.send(oidc.policy, kind, body)
    assert oidc.process.wait(5) != 0
    oidc.close()


def test_empty_ca_bundle_does_not_start(tmp_path):
    oidc = p.Oidc(tmp_path, b"", go=False)
    assert oidc.process.wait(5) != 0
    oidc.close()


def test_missing_ca_bundle_does_not_start(tmp_path):
    oidc = p.Oidc(tmp_path, None, "issuer-ca /etc/none.pem\n", go=False)
    p.send(oidc.control, p.GO, p.text(oidc.settings) + p.text(""))
    assert oidc.process.wait(5) != 0
    oidc.close()


# -- issuers -----------------------------------------------------------------------


def keys_refused(oidc, issuer, words):
    """The issuer's keys cannot be had, and the log says why."""
    e = oidc.refused(RSA.token(issuer.claims()))
    assert "keys" in e["reason"]
    assert re.search(words, oidc.logged()), oidc.logged()
    assert oidc.sessions == []


def test_keys_are_there_before_the_first_login(oidc, issuer):
    for _ in range(100):
        if issuer.fetches() == 1:
            break
        time.sleep(0.02)
    assert issuer.fetches() == 1
    assert oidc.login(RSA.token(issuer.claims()))[0] == 0
    assert issuer.fetches() == 1


def test_many_logins_share_one_fetch(tmp_path, issuer):
    gate = threading.Event()
    issuer.behave = lambda h: gate.wait(10) and None
    oidc = p.Oidc(tmp_path, CA.pem())
    oidc.issuers({"name": "ci", "url": issuer.url})
    socks = [oidc.ask(RSA.token(issuer.claims(jti=str(i))))
             for i in range(100)]
    time.sleep(0.3)
    gate.set()
    assert [oidc.result(s) for s in socks] == [(0, p.HANDLE)] * 100
    assert issuer.fetches() == 1 and len(issuer.paths) == 2
    for s in socks:
        s.close()
    assert oidc.close() == 0


def test_host_name_is_resolved(tmp_path):
    issuer = web.Issuer(tmp_path, CA, host="localhost")
    issuer.keys = [RSA]
    oidc = p.Oidc(tmp_path, CA.pem())
    oidc.issuers({"name": "ci", "url": issuer.url})
    assert oidc.login(RSA.token(issuer.claims()))[0] == 0
    assert oidc.close() == 0
    issuer.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_private_address(tmp_path, host):
    """By address or by name: it is not even connected to, unless the settings
    name it."""
    issuer = web.Issuer(tmp_path, CA, host=host)
    issuer.keys = [RSA]
    oidc = p.Oidc(tmp_path, CA.pem(), reach="issuer-address 10.0.0.0/8\n")
    oidc.issuers({"name": "ci", "url": issuer.url})
    keys_refused(oidc, issuer, "keys of .*issuer-address")
    assert issuer.paths == [] and issuer.accepted == 0
    assert oidc.close() == 0
    issuer.close()


@pytest.mark.parametrize("ca,hosts,days", [
    (OTHER_CA, ("127.0.0.1",), 0), (CA, ("localhost", "127.0.0.2"), 0),
    (CA, ("127.0.0.1",), -3), (CA, ("127.0.0.1",), 3)],
    ids=["unknown CA", "another host", "expired", "not yet valid"])
def test_wrong_certificate(tmp_path, ca, hosts, days):
    issuer = web.Issuer(tmp_path, ca, hosts, days=days)
    issuer.keys = [RSA]
    oidc = p.Oidc(tmp_path, CA.pem())
    oidc.issuers({"name": "ci", "url": issuer.url})
    keys_refused(oidc, issuer, "keys of .*: SSL")
    assert issuer.paths == []
    assert oidc.close() == 0
    issuer.close()


def test_own_bundle_replaces_the_system(tmp_path, issuer):
    """Without issuer-ca, our test CA is nobody."""
    oidc = p.Oidc(tmp_path)
    oidc.issuers({"name": "ci", "url": issuer.url})
    keys_refused(oidc, issuer, "keys of .*: SSL")
    assert oidc.close() == 0


def redirect(h):
    h.reply(b"", 302, [("Location", f"https://{h.headers['Host']}/other")])
    return True


def oversized(h):
    h.reply(b'{"keys":[]' + b" " * (10 * 1024 * 1024) + b"}")
    return True


def chunked(h):
    h.send_response(200)
    h.send_header("Transfer-Encoding", "chunked")
    h.end_headers()
    for _ in range(300):
        h.wfile.write(b"400\r\n" + b" " * 1024 + b"\r\n")
    h.wfile.write(b"0\r\n\r\n")
    return True


def endless_headers(h):
    h.send_response(200)
    for i in range(600):
        h.send_header(f"X-{i}", "x" * 100)
    h.end_headers()
    return True


def cut_short(h):
    h.send_response(200)
    h.send_header("Content-Length", "1000")
    h.end_headers()
    h.wfile.write(b'{"keys":[]}')
    h.close_connection = True
    return True


def html(h):
    h.reply(b"<html>")
    return True


def broken(h):
    h.reply(b"{}", 500)
    return True


def other_issuer(h):
    if "well-known" not in h.path:
        return False
    h.reply({"issuer": "https://127.0.0.1", "jwks_uri":
             f"https://{h.headers['Host']}/keys"})
    return True


def other_host(h):
    if "well-known" not in h.path:
        return False
    h.reply({"issuer": f"https://{h.headers['Host']}",
             "jwks_uri": "https://localhost:1/keys"})
    return True


def same_kid_twice(h):
    if "well-known" in h.path:
        return False
    h.reply({"keys": [RSA.jwk(), {**RSA_2.jwk(), "kid": "r1"}]})
    return True


@pytest.mark.parametrize("behave,words", [
    (redirect, "HTTP 302"), (oversized, "too long"),
    (chunked, "too long"), (endless_headers, "too long"),
    (cut_short, "transfer closed|unexpected eof"), (html, "strict JSON"),
    (broken, "HTTP 500"), (other_issuer, "another issuer"),
    (other_host, "own host"), (same_kid_twice, "same kid")],
    ids=lambda v: getattr(v, "__name__", None))
def test_misbehaving_issuer(tmp_path, issuer, behave, words):
    issuer.behave = behave
    oidc = p.Oidc(tmp_path, CA.pem())
    oidc.issuers({"name": "ci", "url": issuer.url})
    keys_refused(oidc, issuer, words)
    assert "/other" not in issuer.paths
    # one attempt, and the cooldown: no fetch for each login
    n = len(issuer.paths)
    for _ in range(3):
        keys_refused(oidc, issuer, words)
    assert len(issuer.paths) == n
    assert oidc.close() == 0


def test_stalled_issuer_blocks_nobody_else(tmp_path, issuer):
    """Its own logins end at the deadline; the others' go on."""
    stalled = web.Issuer(tmp_path, CA)
    stalled.keys, gate = [RSA], threading.Event()
    stalled.behave = lambda h: gate.wait(20)
    deaf = socket.socket()  # not even a handshake
    deaf.bind(("127.0.0.1", 0))
    deaf.listen(1)
    oidc = p.Oidc(tmp_path, CA.pem(), "login-deadline 3s\n")
    oidc.issuers({"name": "ci", "url": issuer.url},
                 {"name": "stalled", "url": stalled.url},
                 {"name": "deaf", "url":
                  f"https://127.0.0.1:{deaf.getsockname()[1]}"})
    before = time.monotonic()
    waiting = [oidc.ask(RSA.token(stalled.claims(jti=str(i))))
               for i in range(20)]
    waiting.append(oidc.ask(RSA.token(issuer.claims(
        iss=f"https://127.0.0.1:{deaf.getsockname()[1]}"))))
    for i in range(10):
        start = time.monotonic()
        assert oidc.login(RSA.token(issuer.claims(jti=str(i))))[0] == 0
        assert time.monotonic() - start < 1
    for s in waiting:
        assert oidc.result(s) == (1, "")
        s.close()
    assert 2 < time.monotonic() - before < 3.6
    assert all("in time" in e["reason"] for e in oidc.events)
    assert len(stalled.paths) == 1
    gate.set()
    assert oidc.close() == 0
    stalled.close()
    deaf.close()


def test_rotation(tmp_path, oidc, issuer):
    """An unknown key is looked for, once per cooldown, whoever asks.  What has
    not changed since (304) is not sent again, and goes on serving."""
    other = web.Issuer(tmp_path, CA)
    other.keys, other.headers["ETag"] = [EC], 'W/"1"'
    oidc.issuers({"name": "ci", "url": issuer.url},
                 {"name": "other", "url": other.url})
    assert oidc.login(EC.token(other.claims(jti="0")))[0] == 0
    assert oidc.login(RSA.token(issuer.claims(jti="0")))[0] == 0
    issuer.keys = [RSA_2]
    assert "no such key" in oidc.refused(
        RSA_2.token(issuer.claims(jti="1")))["reason"]
    assert issuer.fetches() == 1
    time.sleep(10.2)
    flood = [oidc.ask(RSA.token(issuer.claims(), {"kid": f"made-up-{i}"}))
             for i in range(50)]
    assert oidc.login(RSA_2.token(issuer.claims(jti="2")))[0] == 0
    for s in flood:
        assert oidc.result(s) == (1, "")
        s.close()
    assert issuer.fetches() == 2
    # what the issuer withdrew is worth nothing any more
    assert "no such key" in oidc.refused(
        RSA.token(issuer.claims(jti="3")))["reason"]
    assert issuer.fetches() == 2
    assert "no such key" in oidc.refused(
        RSA.token(other.claims(jti="1")))["reason"]
    assert (other.fetches(), other.same) == (2, 1)
    assert oidc.login(EC.token(other.claims(jti="2")))[0] == 0
    other.close()


def test_outage(tmp_path, oidc, issuer):
    """The issuer is gone: with its keys at hand logins go on, and for a key
    that nobody has they are refused as ever.  The log says when that changes,
    not each time it is found again."""
    late = web.Issuer(tmp_path, CA)
    late.keys, late.behave = [RSA], broken
    nobody = "https://127.0.0.1:9"
    oidc.issuers(*({"name": n, "url": u} for n, u in (
        ("ci", issuer.url), ("late", late.url), ("gone", nobody))))
    assert oidc.login(RSA.token(issuer.claims(jti="0")))[0] == 0
    # the connection that is kept open is gone, too
    issuer.behave = lambda h: setattr(h, "close_connection", True) or True
    issuer.close()
    for i in range(5):
        before = time.monotonic()
        assert oidc.login(RSA.token(issuer.claims(jti=f"1{i}")))[0] == 0
        assert time.monotonic() - before < 2
    time.sleep(10.2)    # the cooldown is over: it is asked, and not there
    assert "no such key" in oidc.refused(
        RSA_2.token(issuer.claims(jti="2"), {"kid": "unknown"}))["reason"]
    assert f"keys of {issuer.url}: " in oidc.logged()
    assert oidc.login(RSA.token(issuer.claims(jti="3")))[0] == 0
    late.behave = None
    for _ in range(2):
        assert "keys" in oidc.refused(
            RSA.token(issuer.claims(iss=nobody)))["reason"]
        assert oidc.login(RSA.token(late.claims()))[0] == 0
    late.close()
    for url, words in ((issuer.url, ["those at hand serve on"]),
                       (nobody, ["keys-file"]),
                       (late.url, ["keys-file", "can be had again"])):
        lines = [x for x in oidc.logged().splitlines()
                 if f"keys of {url}: " in x]
        assert len(lines) == len(words), lines
        for line, word in zip(lines, words):
            assert word in line


def test_not_modified_without_a_tag(tmp_path, issuer):
    """A 304 that nobody asked for is an answer like any that is not 200."""
    issuer.behave = lambda h: h.reply(b"", 304) or True
    oidc = p.Oidc(tmp_path, CA.pem())
    oidc.issuers({"name": "ci", "url": issuer.url})
    keys_refused(oidc, issuer, "the answer is HTTP 304")
    assert oidc.close() == 0


@pytest.mark.parametrize("how", ["refuses", "stalls"])
def test_9_keys_survive_a_restart_during_an_outage(tmp_path, issuer, how):
    """Promise 9: the issuer is away, postern-oidc is killed, again and again;
    good tokens of known keys get in."""
    settings = "login-deadline 10s\n"
    it = p.Oidc(tmp_path, CA.pem(), settings)
    it.issuers({"name": "ci", "url": issuer.url})
    assert it.login(RSA.token(issuer.claims(jti="0")))[0] == 0
    gate = threading.Event()

    def away(h):
        if how == "stalls":
            gate.wait(60)
        h.close_connection = True
        return True

    issuer.behave = away
    for life in "12":
        it = next_life(it, issuer, settings=settings)
        before = time.monotonic()
        assert it.login(RSA.token(issuer.claims(jti=life)))[0] == 0
        assert time.monotonic() - before < 9.5
        assert "taken over: the keys of 1 issuers" in it.logged()
        assert "ALARM: the keys of" in it.logged()
        # others do not wait for it
        before = time.monotonic()
        assert it.login(EC.token(issuer.claims(jti=life + "e")))[0] == 0
        assert time.monotonic() - before < 2
        assert "no such key" in it.refused(RSA_2.token(
            issuer.claims(jti=life)))["reason"]
    gate.set()
    issuer.behave = None
    assert it.close() == 0


def test_what_an_issuer_withdrew_does_not_come_back(tmp_path, issuer):
    """Neither the next process nor the one after it has the key; and one that
    comes while the issuer is there asks it before anybody is let in."""
    it = p.Oidc(tmp_path, CA.pem(), "login-deadline 4s\n")
    it.issuers({"name": "ci", "url": issuer.url})
    assert it.login(RSA.token(issuer.claims(jti="0")))[0] == 0
    issuer.keys = [EC]
    it = next_life(it, issuer)
    assert "no such key" in it.refused(
        RSA.token(issuer.claims(jti="1")))["reason"]
    assert it.login(EC.token(issuer.claims(jti="2")))[0] == 0
    issuer.behave = lambda h: setattr(h, "close_connection", True) or True
    it = next_life(it, issuer)
    assert it.login(EC.token(issuer.claims(jti="3")))[0] == 0
    assert "no such key" in it.refused(
        RSA.token(issuer.claims(jti="4")))["reason"]
    assert it.close() == 0


def test_the_time_tells_nothing(oidc, issuer):
    """A wrong token, a good one of nobody (policy thinks about it), a key that
    nobody has: medians of interleaved attempts."""
    def slowly(s):
        time.sleep(0.25)
        return 1, "", "no identity matches"

    oidc.answer = slowly
    kinds = {"wrong": lambda i: "wrong",
             "nobody": lambda i: RSA.token(issuer.claims(jti=str(i))),
             "unknown kid": lambda i: RSA.token(issuer.claims(),
                                                {"kid": f"x{i}"})}
    times = {k: [] for k in kinds}
    for i in range(5):
        for kind, make in kinds.items():
            token = make(i)
            before = time.monotonic()
            oidc.refused(token, user=f"target-{i}")
            times[kind].append(time.monotonic() - before)
    medians = sorted(sorted(v)[2] for v in times.values())
    assert len(oidc.sessions) == 5
    # they would be 0.25 s apart without the steps
    assert medians[-1] - medians[0] < 0.15, times


def test_issuers_that_cannot_be_used(oidc, issuer):
    oidc.issuers({"name": "plain", "url": "http://127.0.0.1:80"},
                 {"name": "none", "url": "https://127.0.0.1:9",
                  "algs": ("none", "HS256")},
                 {"name": "ci", "url": issuer.url})
    assert oidc.login(RSA.token(issuer.claims()))[0] == 0
    assert "2 issuers of the policy cannot be used" in oidc.logged()
    assert "no issuer" in oidc.refused(RSA.token(
        issuer.claims(iss="http://127.0.0.1:80")))["reason"]


def test_keys_url(tmp_path, issuer):
    """From where the policy says, though discovery leads elsewhere, and
    without asking it; also by the next process, while nobody answers."""
    keys = web.Issuer(tmp_path, CA)
    keys.keys = [RSA_2]
    it = p.Oidc(tmp_path, CA.pem(), "login-deadline 4s\n", go=False)
    entry = {"name": "ci", "url": issuer.url, "keys_url": keys.url + "/jwks"}
    it.issuers(entry)
    it.go()
    assert it.login(RSA_2.token(issuer.claims()))[0] == 0
    assert "no such key" in it.refused(RSA.token(issuer.claims()))["reason"]
    assert keys.paths == ["/jwks"] and issuer.accepted == 0
    # Discovery's word alone does not lead there.
    it.issuers({"name": "ci", "url": issuer.url})
    issuer.behave = lambda h: h.reply({"issuer": issuer.url, "jwks_uri":
                                       keys.url + "/jwks"}) or True
    assert "keys" in it.refused(RSA_2.token(
        issuer.claims(jti="2")))["reason"]
    assert "keys-url" in it.logged() and keys.paths == ["/jwks"]
    assert it.close() == 0
    keys.close()


def key_file(*keys):
    return json.dumps({"keys": [k.jwk() for k in keys]}).encode()


def test_keys_from_a_file(oidc, issuer):
    """Nobody is asked, not even for an unknown key; and back."""
    entry = {"name": "ci", "url": issuer.url}
    assert oidc.login(RSA.token(issuer.claims(jti="0")))[0] == 0
    n = issuer.accepted
    oidc.issuers({**entry, "keys": key_file(RSA_2)})
    assert oidc.login(RSA_2.token(issuer.claims(jti="1")))[0] == 0
    # what was fetched before is no key of this issuer now
    assert "no such key" in oidc.refused(
        RSA.token(issuer.claims(jti="2")))["reason"]
    oidc.issuers({**entry, "keys": key_file(EC)})
    assert oidc.login(EC.token(issuer.claims(jti="3")))[0] == 0
    assert "no such key" in oidc.refused(
        RSA_2.token(issuer.claims(jti="4")))["reason"]
    assert issuer.accepted == n
    oidc.issuers(entry)
    assert oidc.login(RSA.token(issuer.claims(jti="5")))[0] == 0
    assert "no such key" in oidc.refused(
        RSA_2.token(issuer.claims(jti="6")))["reason"]


@pytest.mark.parametrize("content", [
    b"", b"hello", b"[]", b'{"keys":[]}', b'{"keys":[' + b" " * (257 * 1024)
    + b"]}"], ids=["empty", "text", "list", "no keys", "too long"])
def test_a_file_without_keys(oidc, issuer, content):
    """Its issuer has none, and is not asked instead."""
    assert oidc.login(RSA.token(issuer.claims(jti="0")))[0] == 0
    n = issuer.accepted
    oidc.issuers({"name": "ci", "url": issuer.url, "keys": content})
    e = oidc.refused(RSA.token(issuer.claims(jti="1")))
    assert re.search("no issuer|no such key", e["reason"])
    assert issuer.accepted == n


# -- memory --------------------------------------------------------------------------


def memory(pid):
    """All that the process can read and write, as bytes."""
    out = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb",
                                                 0) as mem:
        for line in maps:
            span, mode = line.split()[:2]
            if not mode.startswith("rw"):
                continue
            start, end = (int(x, 16) for x in span.split("-"))
            mem.seek(start)
            try:
                out.append(mem.read(end - start))
            except OSError:
                pass
    return b"".join(out)


def sanitized():
    return b"__asan_init" in pathlib.Path(p.OIDC).read_bytes()


@pytest.mark.skipif(sanitized(), reason="the sanitizer keeps freed memory")
def test_p7_no_token_stays_in_memory(oidc, issuer):
    """Promise 7: neither spelt nor decoded, after good and bad logins."""
    tokens = []
    for i in range(20):
        key = (RSA, EC, RSA_2)[i % 3]
        t = key.token(issuer.claims(
            jti=f"canary{i:06d}" * 12, pad="y" * 600),
            {"kid": "r1"} if key is RSA_2 else None)
        oidc.login(t)
        tokens.append(t)
    image = memory(oidc.process.pid)
    assert issuer.url.encode() in image  # we do see its memory
    for i, t in enumerate(tokens):
        _, payload, signature = t.split(".")
        # a piece of the middle, well inside of any block
        assert payload[400:440].encode() not in image
        assert signature[20:60].encode() not in image
        assert (f"canary{i:06d}" * 3).encode() not in image, i
