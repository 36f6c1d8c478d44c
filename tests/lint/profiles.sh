#!/bin/sh
# AppArmor's profiles and SELinux's contexts speak of what there is: each program
# of libexec has its own, each path in them is one that a package installs or
# posternd makes, and who is given something is let to it.
src=${srcdir:-.}
cd "$src" || exit 1
aa=packaging/apparmor/postern
fc=packaging/selinux/postern.fc
r=0
bad()
{
	echo "$*"
	r=1
}

programs=$(sed -n 's|^posternlibexec_PROGRAMS += .*/\(postern-[a-z]*\)$|\1|p' \
    ./*/*.mk)
[ "$(echo "$programs" | wc -w)" -ge 6 ] || bad "the programs are not found"
for p in $programs; do
	grep -q "^profile $p /usr/libexec/postern/$p {$" $aa ||
	    bad "$aa: no profile of $p"
	# It stays in sshd's domain (packaging/README.md).
	[ "$p" != postern-shell ] || continue
	sed 's/[[:space:]].*//' $fc | while read -r re; do
		echo "/usr/libexec/postern/$p" | grep -qxE "$re" && echo "$re"
	done | grep -q . || bad "$fc: no context of $p"
done
sed -n 's/.*Px -> \([a-z-]*\),$/\1/p' $aa | while read -r p; do
	grep -q "^profile $p " $aa || echo "$p"
done | grep . && bad "$aa: it goes to a profile that is not there"

# profile NAME: its lines, without remarks.
profile()
{
	sed -n "/^profile $1 /,/^}/p" $aa | sed 's/#.*//'
}

# PROCESS NAME, of what posternd gives, in small letters; and what is not in
# that table.
given()
{
	sed -n 's/^\t{ \([A-Z]*\), GIVEN_LISTEN, "\([a-z-]*\)".*/\1 \2.sock/p
	    s/^\t{ \([A-Z]*\), GIVEN_FOLDER, "\([a-z-]*\)".*/\1 \2/p' \
	    broker/children.c | tr '[:upper:]' '[:lower:]'
	echo "hop lease"
	echo "oidc issuer-keys"
	echo "hop recordings"
}
[ "$(given | wc -l)" -ge 12 ] || bad "what posternd gives is not found"

# One path on a line, its braces opened.
paths()
{
	sed "s|@{postern_libexec}|/usr/libexec/postern|g; s|@{run}|/run|g" |
	    grep -oE '/[^ ,]*(\{[^}]*\}[^ ,]*)*' | awk '
	function open(s,   i, j, n, a, k) {
		if (!match(s, /\{[a-z.,-]*\}/)) { print s; return }
		i = RSTART; j = RLENGTH
		n = split(substr(s, i + 1, j - 2), a, ",")
		for (k = 1; k <= n; k++)
			open(substr(s, 1, i - 1) a[k] substr(s, i + j))
	}
	{ open($0) }'
}

given | while read -r p name; do
	for who in "postern-$p" posternd; do
		profile "$who" | paths | sed 's|/\*\**$|/|; s|/$||' |
		    grep -qE "/postern/($name|\*\.${name#*.})$" ||
		    { [ "$who" = posternd ] && [ "$p" = hop ]; } ||
		    echo "$aa: $who may not use $name"
	done
done | grep . && r=1

# Nothing is named that nobody makes.
sed 's/#.*//' $aa | paths | grep -E '/postern(/|d|$)' | sort -u |
while read -r path; do
	case $path in
	/usr/libexec/postern/*) echo "$programs" | grep -qx "${path##*/}" ;;
	/usr/libexec/postern | /usr/sbin/posternd | /etc/postern/ | /etc/postern/\*\* | \
	    /etc/postern/\*.pem | /run/postern/ | /run/postern/\*.sock | \
	    /var/lib/postern/) ;;
	/run/postern/* | /var/lib/postern/*)
		name=${path#/run/postern/}
		name=${name#/var/lib/postern/}
		given | grep -q " ${name%%/*}$" ;;
	/etc/postern/*)
		name=${path#/etc/postern/}
		grep -qE "(/postern|etc|SYSCONFDIR \")/${name%%/*}" lib/conf.c \
		    packaging/sshd/postern-sshd-start.in ;;
	*) false ;;
	esac || echo "$aa: nobody makes $path"
done | grep . && r=1
exit $r
