#!/bin/sh
# Each promise of doc/PROMISES.md has tests with its number in their names, in
# the files that the page says, and no test has the number of another promise.
cd "${srcdir:-.}" || exit 1
page=doc/PROMISES.md
bad=
say()
{
	echo "$*"
	bad=yes
}

# What begins the name of a test of promise $1.
of()
{
	echo "^def test_(promise_|p)?$1_|^t_[a-z0-9_]*promise_$1_"
}

promises()
{
	sed '/^# How fast/,$d' $page
}

n=1
while [ "$n" -le 10 ]; do
	row=$(promises | grep "^| $n |") || say "$page has no promise $n"
	files=$(printf '%s\n' "$row" | grep -oE 'tests/[a-z0-9_/]+\.(py|c)')
	[ -n "$files" ] || say "$page names no tests of promise $n"
	for f in $files; do
		grep -qE "$(of $n)" "$f" || say "$f has no test of promise $n"
	done
	n=$((n + 1))
done
! promises | grep -q "^| $n |" || say "$page has promises that are not looked at"
! grep -rnE "^(t_[a-z0-9_]*|def test_)(promise_|p)(0|1[1-9]|[2-9][0-9])" \
    tests || say "there is no such promise"
[ -z "$bad" ]
