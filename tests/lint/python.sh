#!/bin/sh
# In the tests' Python nothing is defined twice under one name: the second
# takes the first one's place without a word, be it a test that then never runs
# or a mark whose place a function has taken.
cd "${srcdir:-.}" || exit 1
command -v python3 >/dev/null || { echo "python3 is not installed"; exit 77; }
find tests -name '*.py' -exec python3 -B -c '
import ast, sys

def names(node):
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [t.id for t in node.targets if isinstance(t, ast.Name)]
    return []

bad = 0
for f in sys.argv[1:]:
    with open(f) as text:
        tree = ast.parse(text.read(), f)
    for part in ast.walk(tree):
        if not isinstance(part, (ast.Module, ast.ClassDef)):
            continue
        seen = dict()
        for node in part.body:
            defines = not isinstance(node, ast.Assign)
            for n in names(node):
                if n in seen and (defines or seen[n][1]):
                    print(f"{f}:{node.lineno}: {n} is there already, in line "
                          f"{seen[n][0]}")
                    bad = 1
                seen[n] = node.lineno, defines
sys.exit(bad)
' {} +
