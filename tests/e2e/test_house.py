"""The house itself: if these fail, look here and not at Postern."""
import json
import ssl
import urllib.request

import house as h
import jwt
import pytest


@pytest.fixture(scope="module")
def plain(house):
    t = h.Target("plain", "10.91.0.3", port=2022)
    yield t
    t.stop()


def test_token_is_shaped_like_githubs(issuer):
    assert 2030 <= len(issuer.token()) <= 2070


@pytest.mark.parametrize("iss", [h.GITHUB, h.ACME])
def test_issuer_serves_keys_that_verify(house, iss):
    ctx = ssl.create_default_context(cafile=str(house.issuer.ca_file))

    def get(url):
        with h.in_netns("job"):
            with urllib.request.urlopen(url, context=ctx, timeout=5) as f:
                return json.load(f)

    conf = get(iss + "/.well-known/openid-configuration")
    assert conf["issuer"] == iss
    jwk = get(conf["jwks_uri"])["keys"][0]
    claims = jwt.decode(house.issuer.token(iss), jwt.PyJWK(jwk).key,
                        algorithms=[jwk["alg"]], audience=h.AUDIENCE)
    assert claims["repository_id"] == "7712345"


def test_plain_ssh_from_job_to_target(house, plain):
    job = h.Job(house.issuer)
    key = h.ssh_keygen(h.WORK / "home/runner/.ssh/id_plain")
    for f in (key, key.with_suffix(".pub")):
        h.run("chown", "runner:", f)
    plain.keys_file.write_text((key.with_suffix(".pub")).read_text())
    job.knows(plain.dir / "host.pub", f"[{plain.addr}]:{plain.port}")
    r = job.run(["ssh", "-i", key, "-p", plain.port, f"deploy@{plain.addr}",
                 "whoami; exit 7"])
    assert (r.code, r.text) == (7, "deploy\n"), r.error


def test_networks_are_apart(house, plain):
    with pytest.raises(OSError):
        import socket
        socket.create_connection(("10.91.0.3", 2022), timeout=1)
