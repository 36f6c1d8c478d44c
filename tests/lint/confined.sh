#!/bin/sh
# AppArmor's profiles and SELinux's module compile, and the units keep what they
# have given up.  They run in ./dev install-test (units) and nowhere (the rest).
src=${srcdir:-.}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
r=0
tried=
if command -v apparmor_parser >/dev/null; then
	tried=yes
	apparmor_parser -QKT "$src/packaging/apparmor/postern" 2>"$work/log" ||
	    { cat "$work/log"; r=1; }
fi
if command -v checkmodule >/dev/null && command -v semodule_package >/dev/null
then
	tried=yes
	checkmodule -M -m -o "$work/postern.mod" \
	    "$src/packaging/selinux/postern.te" >"$work/log" 2>&1 &&
	    semodule_package -o "$work/postern.pp" -m "$work/postern.mod" \
		-f "$src/packaging/selinux/postern.fc" >>"$work/log" 2>&1 ||
	    { cat "$work/log"; r=1; }
fi
# exposure UNIT TENTHS: no more than what packaging/README.md says.
exposure()
{
	sed 's|@[a-z]*dir@|/usr|g' "$src/packaging/systemd/$1.in" >"$work/$1"
	systemd-analyze security --offline=yes --threshold="$2" "$work/$1" \
	    >"$work/log" 2>&1 || { tail -n 2 "$work/log"; r=1; }
}
if systemd-analyze security --help 2>&1 | grep -q -- --offline; then
	tried=yes
	exposure postern.service 23
	exposure postern-sshd.service 35
fi
[ -n "$tried" ] || { echo "none of their tools is here"; exit 77; }
exit $r
