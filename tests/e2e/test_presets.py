"""Each issuer's tokens (shapes.py), through stock ssh: who comes in, what the
ledger then says of commit, pull request, actor, workflow and run, and which
variants of a good token are nobody."""
import concurrent.futures
import secrets
import time

import house as h
import jwt
import pytest
import shapes

NAMES = ("commit", "pull_request", "actor", "workflow", "run")
each = pytest.mark.parametrize("shape", shapes.SHAPES,
                               ids=[s.preset for s in shapes.SHAPES])


@pytest.fixture(scope="module")
def issuers(bastion, issuer):
    """All of them, under one policy beside the house's own."""
    keys = {alg: h.Key(alg, alg) for alg in ("RS256", "ES256")}
    for s in shapes.SHAPES:
        key = h.Key.__new__(h.Key)
        key.alg, key.kid, key.key = s.alg, s.kid, keys[s.alg].key
        issuer.add(s, key)
    issuer.beside[of("aws").iss] = [h.Key("ES384", "EC384_1")]
    path = h.ETC / "policy/presets.postern"
    bastion.write_policy(shapes.policy(), path.name)
    assert bastion.postern("reload").returncode == 0
    yield issuer
    path.unlink()
    assert bastion.postern("reload").returncode == 0


def of(preset):
    return next(s for s in shapes.SHAPES if s.preset == preset)


def mint(issuer, shape, key=None, **changes):
    key = key or issuer.keys[shape.iss]
    headers = {"typ": "JWT", "kid": key.kid}
    token = jwt.encode(shape.token_claims(int(time.time()), **changes),
                       key.key, algorithm=key.alg, headers=headers)
    issuer.minted.append(token)
    return token


def ties(e):
    return {n: e[n] for n in NAMES if n in e}


def by_certificate(job, token):
    """The other way in: the token for a certificate, and that for web-1."""
    key = job.home / f"k-{secrets.token_hex(4)}"
    r = job.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
    assert r.code == 0, r
    r = job.ssh("postern", "login", token=token,
                input=key.with_suffix(".pub").read_bytes())
    if r.code == 0:
        key.with_name(key.name + "-cert.pub").write_bytes(r.out)
        r = job.run(["ssh", "-o", "BatchMode=yes", "-i", key,
                     f"web-1@{job.host}", "/usr/bin/true"])
    return r


@pytest.fixture(scope="module")
def logins(bastion, job, issuers):
    """Every shape and every variant of it, eight at a time: what ssh said to
    each, and what the ledger did."""
    mark = bastion.mark()
    todo = [(s, what, changes) for s in shapes.SHAPES for what, changes in
            [("good", {}), *((w, c) for w, (c, _) in s.nobody.items())]]

    def login(one):
        shape, what, changes = one
        token = mint(issuers, shape, **changes)
        r = job.ssh("web-1", "/usr/bin/true", token=token,
                    opts=("-o", "NumberOfPasswordPrompts=1"))
        if what == "good" and r.code == 0:
            r = by_certificate(job, token)
        return token, r

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        said = list(pool.map(login, todo))
    bastion.some(mark, "login.refused", sum(w != "good" for _, w, _ in todo))
    bastion.mark()
    return ({(s.preset, what): r for (s, what, _), r in zip(todo, said)},
            bastion.events(mark))


@each
def test_the_job_and_its_five_names(logins, shape):
    said, events = logins
    token, r = said[shape.preset, "good"]
    mine = [e for e in events if e.get("issuer") == shape.issuer]
    assert (r.code, r.err) == (0, b""), (r, mine)
    assert abs(len(token) - shape.size) < 0.2 * shape.size, len(token)
    (e,) = [e for e in mine if e["event"] == "session.open"]
    assert (e["identity"], e["subject"]) == \
        (f"of-{shape.preset}", shape.claims["sub"])
    assert ties(e) == shape.ties
    # Both ways are one session, and the ledger ties both to the same change.
    for name in ("certificate.issue", "certificate.login"):
        (c,) = [e for e in events if e["event"] == name and
                e["identity"] == f"of-{shape.preset}"]
        assert ties(c) == shape.ties
    done = [e for e in events if e["event"] == "operation.decide" and
            e["identity"] == f"of-{shape.preset}"]
    assert ["key" in d for d in done] == [False, True]
    for d in done:
        assert (d["verdict"], d["rule"]) == ("allow", "any-preset")
        assert ties(d) == shape.ties
    assert token not in (h.STATE / "ledger/ledger.jsonl").read_text()


@each
def test_nobody(logins, shape):
    """Each variant is refused, and the ledger has its reason."""
    said, events = logins
    reasons = [e["reason"] for e in events if e["event"] == "login.refused" and
               e.get("issuer") == shape.issuer]
    assert len(reasons) == len(shape.nobody), reasons
    for what, (_, reason) in shape.nobody.items():
        token, r = said[shape.preset, what]
        assert (r.code, r.out) == (255, b""), (what, r)
        found = [x for x in reasons if reason in x]
        assert found, (what, reasons)
        reasons.remove(found[0])
        assert token not in (h.STATE / "ledger/ledger.jsonl").read_text()


def test_a_pull_request_that_is_let_in_has_its_number(bastion, job, issuers,
                                                      mark):
    """And only by the identity that opened it by name."""
    s = shapes.SHAPES[0]
    good = shapes.policy()
    risky = good + (
        'identity pr from github { claim repository_id = "456789012"; '
        'allow-risky pull-request; claim event_name = "pull_request" }\n'
        "allow prs for pr on web-1 { run /usr/bin/true }\n")
    bastion.write_policy(risky, "presets.postern")
    assert bastion.postern("reload").returncode == 0
    try:
        changes = s.nobody["pull request"][0]
        r = job.ssh("web-1", "/usr/bin/true",
                    token=mint(issuers, s, **changes))
        assert r.code == 0, r
        e = bastion.event(mark, "session.open")
        assert (e["identity"], e["pull_request"]) == ("pr", "17")
    finally:
        bastion.write_policy(good, "presets.postern")
        assert bastion.postern("reload").returncode == 0


def test_what_a_person_typed_is_no_commit(bastion, job, issuers, mark):
    s = of("buildkite")
    r = job.ssh("web-1", "/usr/bin/true",
                token=mint(issuers, s, build_commit="HEAD"))
    assert r.code == 0, r
    assert ties(bastion.event(mark, "session.open")) == {"run": "1201"}


def test_a_token_of_one_issuer_is_none_of_anothers(bastion, job, issuers,
                                                   mark, fresh):
    """Signed by one issuer, with the claims of another: the key decides."""
    gitlab, spiffe = of("gitlab"), of("spiffe")
    token = jwt.encode(gitlab.token_claims(int(time.time())),
                       issuers.keys[spiffe.iss].key, algorithm="ES256",
                       headers={"kid": gitlab.kid})
    r = job.ssh("web-1", "/usr/bin/true", token=token,
                opts=("-o", "NumberOfPasswordPrompts=1"))
    assert r.code == 255
    assert "algorithm" in bastion.event(mark, "login.refused")["reason"]


ONE_TRY = ("-o", "NumberOfPasswordPrompts=1")


def at_once(job, tokens, by=None):
    """What each gets."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda t: (by or job).ssh(
            "web-1", "/usr/bin/true", token=t, opts=ONE_TRY), tokens))


OTHERS = [
    ("github", "https://token.actions.githubusercontent.com/octo-enterprise"),
    ("circleci", "https://oidc.circleci.com"),
    ("circleci", f"https://oidc.circleci.com/org/{shapes.uuid('other org')}"),
    ("azure-devops",
     f"https://vstoken.dev.azure.com/{shapes.uuid('other org')}"),
    ("aws", "https://ffffffff-0000.tokens.sts.global.api.aws"),
    ("jenkins", "https://jenkins.acme.example/job/team/oidc"),
    ("kubernetes", of("kubernetes").iss + "/"), ("spiffe", None)]


def test_the_issuer_is_that_and_no_other(bastion, job, issuers, mark, fresh):
    """An enterprise's own, another organization's, one with a slash more, and
    a token that names none: with the right key and the right claims."""
    for r in at_once(job, [mint(issuers, of(preset), iss=iss)
                           for preset, iss in OTHERS]):
        assert (r.code, r.out) == (255, b"")
    refused = bastion.some(mark, "login.refused", len(OTHERS))
    assert len(refused) == len(OTHERS)
    for e in refused:
        assert "iss" in e["reason"] and "issuer" not in e, e


RENAMED = [
    ("github", {"repository": "octo-org/renamed", "sub": "repo:octo-org@65123"
                "456/renamed@456789012:environment:production"}),
    ("gitlab", {"project_path": "moved/shop", "job_project_path": "moved/shop",
                "namespace_path": "moved", "sub":
                "project_path:moved/shop:ref_type:branch:ref:main"}),
    ("gitlab", {"ci_config_sha": shapes.NULL}),
    ("buildkite", {"pipeline_slug": "renamed", "step_key": shapes.NULL}),
    ("terraform", {"terraform_workspace_name": "renamed"})]


def test_names_may_change(bastion, job, issuers, mark):
    """The same ids under another name, whatever form the subject has; and a
    claim that is null where the issuer has nothing to say."""
    for r in at_once(job, [mint(issuers, of(preset), **changes)
                           for preset, changes in RENAMED]):
        assert (r.code, r.err) == (0, b""), r
    assert sorted(e["identity"] for e in bastion.events(
        mark, "session.open")) == sorted(f"of-{p}" for p, _ in RENAMED)


def test_a_token_that_is_handed_out_again(job, issuers):
    """Agents and clusters give the same one to whoever asks; what is minted
    for one job is not accepted from a second address."""
    presets = ("spiffe", "kubernetes", "github", "aws")
    tokens = [mint(issuers, of(p)) for p in presets]
    assert [r.code for r in at_once(job, tokens)] == [0, 0, 0, 0]
    stranger = h.Job(issuers, netns="stranger")
    assert [r.code for r in at_once(job, tokens, stranger)] == [0, 0, 255, 255]


def test_aws_by_its_other_algorithm(job, issuers):
    """Whoever asks for the token chooses: RS256 or ES384."""
    aws = of("aws")
    (key,) = issuers.beside[aws.iss]
    r = job.ssh("web-1", "/usr/bin/true", token=mint(issuers, aws, key))
    assert (r.code, r.err) == (0, b""), r
    # and another key of the same name is none
    r = job.ssh("web-1", "/usr/bin/true", token=mint(
        issuers, aws, h.Key("ES384", key.kid)), opts=ONE_TRY)
    assert r.code == 255
