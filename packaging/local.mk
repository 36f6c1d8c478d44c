# What an administrator's system needs around the programs.  The PAM service
# file belongs into /etc/pam.d whatever the prefix is; installing it is the
# package's work, and here it is laid ready beside the other data.
posterndatadir = $(datadir)/postern
sysusersdir = $(prefix)/lib/sysusers.d
tmpfilesdir = $(prefix)/lib/tmpfiles.d
systemunitdir = $(prefix)/lib/systemd/system
units = packaging/systemd/postern.service packaging/systemd/postern-sshd.service

bashcompdir = $(datadir)/bash-completion/completions
dist_bashcomp_DATA = packaging/completions/postern
zshcompdir = $(datadir)/zsh/site-functions
dist_zshcomp_DATA = packaging/completions/_postern
fishcompdir = $(datadir)/fish/vendor_completions.d
dist_fishcomp_DATA = packaging/completions/postern.fish
# The job's side, as it lies in a checkout.
cidir = $(posterndatadir)/ci
cigithubdir = $(cidir)/github
dist_ci_DATA = packaging/ci/postern.sh packaging/ci/gitlab.yml \
	packaging/ci/README.md
dist_cigithub_DATA = packaging/ci/github/action.yml
posternlibexec_SCRIPTS += packaging/sshd/postern-sshd-start \
	packaging/postern-upgraded
nodist_posterndata_DATA = packaging/pam/pam.d-postern-sshd
dist_posterndata_DATA = packaging/conf/postern.conf
nodist_systemunit_DATA = $(units)
dist_sysusers_DATA = packaging/sysusers/postern.conf
nodist_tmpfiles_DATA = packaging/tmpfiles/postern.conf
dist_man_MANS += packaging/sshd/postern-sshd-start.8

PLACES = sed \
	-e 's|@sysconfdir[@]|$(sysconfdir)|g' \
	-e 's|@localstatedir[@]|$(localstatedir)|g' \
	-e 's|@runstatedir[@]|$(runstatedir)|g' \
	-e 's|@posternlibexecdir[@]|$(posternlibexecdir)|g' \
	-e 's|@posternlibdir[@]|$(posternlibdir)|g' \
	-e 's|@systemunitdir[@]|$(systemunitdir)|g' \
	-e 's|@bindir[@]|$(bindir)|g' \
	-e 's|@sbindir[@]|$(sbindir)|g' \
	-e 's|@pamdir[@]|$(pamdir)|g'

packaging/sshd/postern-sshd-start: packaging/sshd/postern-sshd-start.in \
		packaging/local.mk
	$(AM_V_GEN)$(MKDIR_P) packaging/sshd && \
	$(PLACES) $(srcdir)/packaging/sshd/postern-sshd-start.in >$@.new && \
	chmod 755 $@.new && mv $@.new $@

packaging/postern-upgraded: packaging/postern-upgraded.in packaging/local.mk
	$(AM_V_GEN)$(MKDIR_P) packaging && \
	$(PLACES) $(srcdir)/packaging/postern-upgraded.in >$@.new && \
	chmod 755 $@.new && mv $@.new $@

packaging/tmpfiles/postern.conf: packaging/tmpfiles/postern.conf.in \
		packaging/local.mk
	$(AM_V_GEN)$(MKDIR_P) packaging/tmpfiles && \
	$(PLACES) $(srcdir)/packaging/tmpfiles/postern.conf.in >$@.new && \
	mv $@.new $@

packaging/pam/pam.d-postern-sshd: packaging/pam/pam.d-postern-sshd.in \
		packaging/local.mk
	$(AM_V_GEN)$(MKDIR_P) packaging/pam && \
	$(PLACES) $(srcdir)/packaging/pam/pam.d-postern-sshd.in >$@.new && \
	mv $@.new $@

# sshd speaks sd_notify only where the distribution has built it so; Debian does.
$(units): packaging/local.mk
	$(AM_V_GEN)$(MKDIR_P) packaging/systemd && \
	$(PLACES) $(srcdir)/$@.in >$@.new && mv $@.new $@
packaging/systemd/postern.service: packaging/systemd/postern.service.in
packaging/systemd/postern-sshd.service: packaging/systemd/postern-sshd.service.in

CLEANFILES += $(units) packaging/sshd/postern-sshd-start \
	packaging/pam/pam.d-postern-sshd packaging/postern-upgraded \
	packaging/tmpfiles/postern.conf
# What makes packages of an installation; nothing is built from it here.
EXTRA_DIST += packaging/README.md packaging/debian packaging/rpm \
	packaging/build packaging/sbom
# Nor installed: for those who want them, see packaging/README.md.
EXTRA_DIST += packaging/ansible packaging/apparmor packaging/selinux
EXTRA_DIST += packaging/accounts packaging/postern-upgraded.in \
	packaging/tmpfiles/postern.conf.in \
	packaging/systemd/postern.service.in \
	packaging/systemd/postern-sshd.service.in \
	packaging/sshd/postern-sshd-start.in \
	packaging/pam/pam.d-postern-sshd.in

# Without read permission a process of this file is not dumpable from its
# first instruction on: other processes of its uid cannot look into it.
install-exec-hook:
	chmod 0711 $(DESTDIR)$(posternlibexecdir)/postern-shell

# For the monitoring of a bastion.
EXTRA_DIST += packaging/prometheus
