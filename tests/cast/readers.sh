#!/bin/sh
# Generated recordings, read by the asciinema that Debian ships.
top=$(cd "${srcdir:-.}" && pwd)
command -v asciinema >/dev/null || {
	echo "asciinema is not installed"
	exit 77
}
/usr/bin/python3 -c 'import asciinema.asciicast' 2>/dev/null || {
	echo "this asciinema is no Python module"
	exit 77
}
PYTHONDONTWRITEBYTECODE=1 LANG=C.UTF-8 exec /usr/bin/python3 \
    "$top/tests/cast/readers.py" tests/cast/generate "${1:-60}" ${2:+"$2"}
