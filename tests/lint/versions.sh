#!/bin/sh
# What two builds of one MSG_VERSION say to each other is the same: messages with
# their numbers and rows, the fields' types, and the vocabulary of events give
# one sum, and lib/proto.versions has it beside the version.
src=${srcdir:-.}
cd "$src" || exit 1
list=lib/proto.versions

# The rows of the table and the enums, without remarks and blanks; of the page,
# each message with the types of its fields.
words()
{
	sed -n '/^enum msg_type {/,/^};/p' lib/proto.h | bare
	sed -n '/proto_rows\[\] = {/,/^};/p' lib/proto.c | bare
	sed -n '/^enum event_[a-z]* {/,/^};/p' lib/event.h | bare
	awk -F'|' '/^\| [A-Z_]+ \| .* → / {
		gsub(/[^a-z0-9]+/, " ", $4)
		n = split($4, w, " "); out = $2
		for (i = 1; i <= n; i++)
			if (w[i] ~ /^(u8|u16|u32|u64|str|event)$/)
				out = out " " w[i]
		print out
	}' doc/PROTOCOL.md
}

bare()
{
	tr '\n' ' ' | sed 's,/\*[^*]*\*\+\([^/*][^*]*\*\+\)*/,,g' | tr -d ' \t'
	echo
}

sum=$(words | sha256sum | cut -c1-16)
version=$(sed -n 's/^#define MSG_VERSION \([0-9]*\)$/\1/p' lib/msg.h)
has=$(sed '/^#/d' "$list" | tail -n 1)
r=0
if [ "$has" != "$version $sum" ]; then
	echo "messages or events are not those of MSG_VERSION $version:" \
	    "$list ends with '$has', this tree is '$version $sum'." \
	    "Raise MSG_VERSION (lib/msg.h) and add that line."
	r=1
fi
# One line for each version, and none that was there is another one now.
sed '/^#/d' "$list" | awk '$1 != NR || NF != 2 { exit 1 }' ||
    { echo "$list: not a line for each version from 1 on"; r=1; }
old=$(git show "${BASE:-HEAD}:$list" 2>/dev/null | sed '/^#/d')
n=$(echo "$old" | grep -c .)
[ "$(sed '/^#/d' "$list" | head -n "$n")" = "$old" ] ||
    { echo "$list: a line of ${BASE:-HEAD} has changed"; r=1; }
exit $r
