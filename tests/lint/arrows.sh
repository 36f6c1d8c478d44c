#!/bin/sh
# The include arrows: lib <- policy | ssh | audit <- broker | cli, and
# lib <- pam | nss | shell.  A room may see itself and what stands behind it.
# One header of the broker's is for the tools: they take tokens apart as it does.
# The writer's side of a recording is for the shell, too, which has one of its
# own (doc/decisions/0036-what-a-shell-shows.md).
cd "${srcdir:-.}" && exec awk '
BEGIN {
	see["policy"] = see["ssh"] = see["audit"] = "lib"
	see["pam"] = see["nss"] = see["shell"] = "lib"
	see["broker"] = see["cli"] = "lib policy ssh audit"
	split("lib policy ssh audit broker cli pam nss shell", all, " ")
	for (i in all) room[all[i]] = 1
}
/^[ \t]*#[ \t]*include[ \t]*"/ {
	split($0, q, "\""); split(q[2], to, "/"); split(FILENAME, from, "/")
	from[1] = from[2]
	if (q[2] == "config.h" || to[1] == from[1] ||
	    (from[1] == "cli" && q[2] == "broker/peek.h") ||
	    (from[1] == "shell" && (q[2] == "audit/cast.h" ||
	    q[2] == "audit/sidecar.h")))
		next
	if (!(to[1] in room) || index(" " see[from[1]] " ", " " to[1] " ") == 0) {
		printf "%s:%d: %s must not see \"%s\"\n", FILENAME, FNR, from[1], q[2]
		bad = 1
	}
}
END { exit bad }' ./*/*.[ch]
