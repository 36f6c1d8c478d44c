"""A small part of ./dev carry: each client, each of its cases, both ways, with
a few MiB and a few files."""
import carry
import pytest


@pytest.fixture(scope="module")
def it(bastion, up):
    with bastion.more_rules(carry.RULES), \
            carry.Carry(up, 12, 30) as it:
        yield it


@pytest.mark.slow
@pytest.mark.parametrize("client", carry.CLIENTS, ids=lambda c: c.name)
def test_each_client(it, client):
    assert it.all([client])
