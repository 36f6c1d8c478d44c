#!/bin/sh
# Functions that we do not call, and // comments; strings and comments do not
# count.  gcc strips the comments, so that a line's code is what is looked at.
cd "${srcdir:-.}" || exit 1
never='strcpy|strcat|strncpy|strncat|sprintf|vsprintf|strtok|strtok_r|atoi|atol|atoll|atof|sscanf|fscanf|scanf|gets|alloca|system|popen|tmpnam|tempnam|mktemp|rand|srand|strerror_r|setjmp|longjmp|gethostbyname|inet_ntoa|vfork'
bad=0
for f in lib/*.[ch] nss/*.[ch] pam/*.[ch] shell/*.[ch] policy/*.[ch] \
    ssh/*.[ch] audit/*.[ch] broker/*.[ch] cli/*.[ch] tests/*/*.[ch]; do
	[ -e "$f" ] || continue
	awk -v never="$never" -v test="$(case $f in tests/*) echo 1 ;; esac)" '
	{
		line = $0; code = ""
		while (line != "") {
			if (inside) {
				i = index(line, "*/")
				if (!i) break
				line = substr(line, i + 2); inside = 0
			} else if (match(line, /"([^"\\]|\\.)*"|\047([^\047\\]|\\.)*\047|\/\*|\/\//)) {
				code = code substr(line, 1, RSTART - 1) " "
				tok = substr(line, RSTART, 2)
				line = substr(line, RSTART + RLENGTH)
				if (tok == "/*") inside = 1
				if (tok == "//") {
					say("// comment"); break
				}
			} else {
				code = code line; break
			}
		}
		if (match(code, "(^|[^A-Za-z0-9_>.])(" never ")[ \t]*\\("))
			say("forbidden: " substr(code, RSTART, RLENGTH - 1))
		if (!test && match(code, /__attribute__ *\(\((__)?cleanup/))
			say("cleanup attribute")
	}
	function say(what) {
		printf "%s:%d: %s\n", FILENAME, FNR, what; bad = 1
	}
	END { exit bad }' "$f" || bad=1
done
exit $bad
