#!/bin/sh
# Every header compiles alone: it includes what it uses.
top=$(cd "${srcdir:-.}" && pwd)
bad=0
for f in "$top"/*/*.h; do
	f=${f#"$top"/}
	case $f in build* | _*) continue ;; esac
	printf '#include "%s"\n#include "%s"\n' "$f" "$f" |
	    ${CC:-cc} -std=c17 -D_GNU_SOURCE -fsyntax-only -x c -I"$top" -I. \
	    -Wall -Wextra -Werror ${LINT_CPPFLAGS:-} - || bad=1
done
exit $bad
