"""A few moments of ./dev kill; that command has more of them."""
import random

import kill
import pytest


@pytest.mark.slow
def test_2_and_9_killed_at_random_moments(up, cuts):
    """Mixed blows may hit hops, too."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"./dev kill 12 {seed} mixed")   # shown when it fails
    assert kill.havoc(up, 12, seed, ["mixed"])
