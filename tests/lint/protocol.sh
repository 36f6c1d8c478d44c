#!/bin/sh
# doc/PROTOCOL.md and the table in lib/proto.c name the same messages, the same
# ends and room for the descriptors that the page speaks of.
cd "${srcdir:-.}" && exec awk '
function trim(s) { gsub(/^[ \t]+|[ \t]+$/, "", s); return s }
function ends(s,   n, a, i, out, t) {	# "policy, oidc" in one order
	n = split(s, a, /[,|]/); out = ""
	split("parent child oidc policy signer audit hop pam shell cli", all, " ")
	for (t = 1; t in all; t++)
		for (i = 1; i <= n; i++)
			if (trim(a[i]) == all[t]) out = out " " all[t]
	return out
}
FILENAME ~ /proto.c$/ {
	gsub(/\/\*.*\*\//, "")
	if (open || $0 ~ /^\tROW\(/) text = open ? text $0 : $0
	open = text != "" && text !~ /\),$/
	if (text == "" || open) next
	sub(/^\tROW\(/, "", text); split(text, f, ",")
	low = tolower(text); gsub(/proc_/, "", low); split(low, g, ",")
	name = trim(f[1]); from[name] = ends(g[2]); to[name] = ends(g[3])
	fmin[name] = f[5] + 0; fmax[name] = f[6] + 0; text = ""
	next
}
/^\| [A-Z_]+ \| .* → / {
	split($0, c, "|"); name = trim(c[2]); page[name] = 1
	split(c[3], e, "→"); fds = trim(c[5])
	if (!(name in from)) { print name " is not in lib/proto.c"; bad = 1; next }
	if (ends(e[1]) != from[name] || ends(e[2]) != to[name]) {
		printf "%s: the page says%s →%s, the table%s →%s\n", name, ends(e[1]), ends(e[2]), from[name], to[name]
		bad = 1
	}
	none = fds == "–" || fds == ""
	if (none && fmax[name] != 0 && name != "ROW" || !none && fmax[name] == 0) {
		printf "%s: descriptors: the page says \"%s\", the table %d to %d\n", name, fds, fmin[name], fmax[name]
		bad = 1
	}
}
END {
	for (name in from) if (!(name in page)) { print name " is not in doc/PROTOCOL.md"; bad = 1 }
	exit bad
}' lib/proto.c doc/PROTOCOL.md
