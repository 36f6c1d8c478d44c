"""lib/proto.[ch] and doc/PROTOCOL.md, read: each row of the table, and a body
that fits it, field by field."""
import pathlib
import re

import wire as w

TOP = pathlib.Path(__file__).resolve().parents[2]


class Row:
    def __init__(self, name, kind, ends, limit, fds, fields):
        self.name, self.kind, self.limit = name, kind, limit
        self.from_, self.to = ends
        self.fds_min, self.fds_max = fds
        self.parts = self.body(fields)      # field by field

    def __repr__(self):
        return self.name

    @staticmethod
    def body(fields):
        """The fields of the page's row, each with a plain value, and one of
        whatever there is a number of."""
        plain = re.sub(r"(?<!× )\([^()]*\)", "", fields)
        parts = []
        for m in re.finditer(r"\b(u8|u32|u64|str)\b( (?:count|n and n)\b)?",
                             plain):
            kind, counted = m.groups()
            parts.append({"u8": w.u8(0), "u64": w.u64(1),
                          "u32": w.u32(1 if counted else 0),
                          "str": w.text("x")}[kind])
        if "event" in plain:
            parts += [w.u32(w.KINDS.index("login.refused")),
                      w.u32(w.FIELDS.index("reason")), b"s", w.text("x")]
        return parts


def table():
    types = dict(re.findall(r"^\tMSG_(\w+) = (\d+),",
                            (TOP / "lib/proto.h").read_text(), re.M))
    page = {}
    for line in (TOP / "doc/PROTOCOL.md").read_text().splitlines():
        c = [x.strip() for x in line.split("|")]
        if len(c) == 6 and re.fullmatch("[A-Z_]+", c[1]):
            page[c[1]] = c[3]
    rows = []
    text = (TOP / "lib/proto.c").read_text()
    for name, *c in re.findall(
            r"^\tROW\((\w+),\s*([\w |]+),\s*([\w |]+),\s*([\w *]+),"
            r"\s*(\d+), (\d+),\s*\w+\)", text, re.M):
        ends = [{e.removeprefix("PROC_").lower() for e in re.findall(
            r"\w+", side)} for side in c[:2]]
        for side in ends:
            if "child" in side:
                side |= {"oidc", "policy", "signer", "audit"}
        limit = eval(c[2], {"KIB": 1024})   # "72 * KIB"
        rows.append(Row(name, int(types[name]), ends, limit,
                        (int(c[3]), int(c[4])), page[name]))
    assert len(rows) == len(types) == len(page), "a row that is not read"
    return rows


ROWS = table()


def raw(kind, body=b"", version=1):
    return (version.to_bytes(2, "big") + kind.to_bytes(2, "big") +
            (7).to_bytes(4, "big") + body)


# A question that policy hands on to audit as it is, and what is no event: it is
# answered, and that is all.
PASSED_ON = {"QUERY", "AUDIT_QUERY", "EVENT"}


def broken(row):
    """(what is wrong, bytes, how many descriptors) of messages of this row
    that no receiver may take."""
    body, n = b"".join(row.parts), row.fds_min
    yield "version", raw(row.kind, body, version=2), n
    yield "too long", raw(row.kind, bytes(row.limit + 1)), n
    yield "descriptors", raw(row.kind, body), row.fds_max + 1
    if row.fds_min:
        yield "no descriptors", raw(row.kind, body), row.fds_min - 1
    if row.name not in PASSED_ON:
        yield "leftovers", raw(row.kind, body + b"\0"), n
    for i in range(0 if row.name in PASSED_ON else len(body)):
        yield f"cut at {i}", raw(row.kind, body[:i]), n
    for i in range(1, 8):   # 0 bytes are an end of file
        yield f"header of {i}", raw(row.kind)[:i], 0
