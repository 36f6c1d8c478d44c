"""Promise 3: argv in = argv out, asked of the shells themselves.
./dev fuzz shells asks a hundred times as much."""
import pytest

import words as w


@pytest.fixture(scope="module")
def cases():
    return w.quoted([w.Case([argv])
                     for argv in w.ADVERSARIAL + w.randoms(200)])


@pytest.fixture
def shell(request, tmp_path):
    it = w.Shell(request.param, tmp_path)
    if it.path is None:
        pytest.skip(f"{it.argv[0]} is not installed")
    return it


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize("shell", w.SHELLS, indirect=True)
def test_promise_3_argv(shell, locale, cases):
    shell.env["LC_ALL"] = locale
    for c in cases:
        p = shell.run(c.wire)
        if (shell.argv[0], locale) == ("yash", "C") and \
                not c.wire.isascii() and p.stderr:
            assert p.stdout == b""  # it refuses; it does not read otherwise
            continue
        assert (p.returncode, p.stdout, p.stderr) == (0, c.out, b""), \
            (c.lists, c.wire)


@pytest.mark.parametrize("shell", w.SHELLS, indirect=True)
def test_promise_3_folders_pipelines_variables(shell, tmp_path):
    folder = tmp_path / "it's a \\ !folder"
    folder.mkdir()
    for c in w.lines(100, str(folder), alone=shell.alone):
        p = shell.run(c.wire)
        assert (p.returncode, p.stdout, p.stderr) == (0, c.out, b""), \
            (c.lists, c.wire)


def test_promise_3_refusals():
    cases = [w.Case([["a\nb"]]), w.Case([["\n"]]), w.Case([["x"]], "a"),
             w.Case([["x"]], "/a\nb"), w.Case([["x"]], "", [("V", "\n")])]
    assert [c.wire for c in w.quoted(cases)] == [b"! malformed"] * 5


def test_promise_3_over_the_wire(hop):
    """The same through the hop, sshd and the account's login shell."""
    for c in w.quoted([w.Case([["it's", "!!", "a\\", "$(id)", "\u00e9"]]),
                       w.Case([[""] * 3]), w.Case([["x y", "'; id #"]])]):
        h = hop(c.wire.decode())
        assert h.finish() == ((0, 0), c.out, b"")
