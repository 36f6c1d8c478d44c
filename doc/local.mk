# The texts, and the man pages that no room lists itself.
dist_man_MANS += \
	audit/postern-ledger.5 \
	audit/postern-recording.5 \
	broker/posternd.8 \
	cli/postern.1 \
	cli/postern-policy.1 \
	cli/postern-token.1 \
	lib/postern.conf.5 \
	nss/libnss_postern.8 \
	policy/postern-policy.5 \
	shell/postern-shell.8
# Folders, whole: nothing is built from them.
EXTRA_DIST += \
	doc/ADMIN.md \
	doc/ANSIBLE.md \
	doc/ARCHITECTURE.md \
	doc/COOKBOOK.md \
	doc/EXPORT.md \
	doc/GUIDE-ADMIN.md \
	doc/GUIDE-AUDITOR.md \
	doc/GUIDE-CI.md \
	doc/LEDGER.md \
	doc/POLICY.md \
	doc/PROMISES.md \
	doc/PROTOCOL.md \
	doc/SFTP.md \
	doc/THREATS.md \
	doc/WYCHEPROOF.md \
	doc/decisions \
	doc/verify.py \
	doc/examples
