#!/bin/sh
# What a shared object exports is what its .map lists under global, no more.
top=$(cd "${srcdir:-.}" && pwd)
bad=0 seen=0
for map in "$top"/pam/*.map "$top"/nss/*.map; do
	[ -e "$map" ] || continue
	room=$(basename "$(dirname "$map")")
	so=$(find "$room/.libs" -name '*.so*' -type f 2>/dev/null | head -n 1)
	if [ -z "$so" ]; then
		echo "$room has no shared object"
		bad=1
		continue
	fi
	seen=1
	want=$(sed -n '/global:/,/local:/p' "$map" | tr ' \t;' '\n\n\n' |
	    grep '^[a-z_]' | grep -v ':$' | sort -u)
	have=$(nm -D --defined-only "$so" | awk '$2 ~ /^[A-Z]$/ && $2 != "A" {
	    sub(/@.*/, "", $3); print $3 }' | sort -u)
	[ "$want" = "$have" ] || {
		echo "$so exports:" $have
		echo "$map lists:" $want
		bad=1
	}
done
[ $seen = 1 ] || [ $bad = 1 ] || { echo "no modules"; exit 77; }
exit $bad
