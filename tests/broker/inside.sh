#!/bin/sh
# Runs a command where /etc is a copy that has Postern's accounts, /opt is
# empty, and all that was started dies with the command.  Nothing of the host
# changes.
set -eu
if [ "${1:-}" != --inside ]; then
	exec unshare --mount --pid --fork --kill-child --mount-proc \
	    --propagation private -- "$0" --inside "$@"
fi
shift
mount -t tmpfs -o mode=0755 inside /opt
mkdir /opt/etc
cp -a /etc/. /opt/etc
mount --bind /opt/etc /etc
uid=64100
for name in oidc policy sign audit hop job anchor; do
	uid=$((uid + 1))
	grep -q "^_postern-$name:" /etc/passwd ||
	    echo "_postern-$name:x:$uid:$uid::/nonexistent:/usr/sbin/nologin" \
		>>/etc/passwd
done
for name in admin auditor; do
	uid=$((uid + 1))
	grep -q "^postern-$name:" /etc/group ||
	    echo "postern-$name:x:$uid:" >>/etc/group
done
export POSTERN_INSIDE=1
"$@"
exit $?
