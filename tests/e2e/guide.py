"""The shell blocks of a guide, each with the word that stands above it:

    <!-- run: WHERE -->      run by test_guides.py, there
    <!-- needs WHAT -->      not run: it needs what is no part of a house

A block of shell without one of the two is an error."""
import re

FENCE = re.compile(
    r"(?:<!-- (run|needs)(?:: | )([^>]*?) -->\n)?```(\w+)\n(.*?)```\n", re.S)


def blocks(text):
    """(where, shell) of those that are run, in order."""
    for how, word, kind, body in FENCE.findall(text):
        if kind not in ("sh", "yaml"):
            continue
        assert how, f"neither run nor needs: {body}"
        if how == "run":
            assert kind == "sh", body
            yield word, body


def placed(body, **at):
    """With the house's places and addresses instead of the reader's."""
    for a, b in at.items():
        assert a and b
    return re.sub("|".join(map(re.escape, at)), lambda m: at[m[0]], body)
