/*
 * postern doctor: what is on this host: policy, accounts, permissions,
 * disk.
 */
#include "config.h"

#include "cli/doctor.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "policy/policy.h"

#define PATH_SIZE 512

/* -- settings -------------------------------------------------------------- */

/* The first line says where; who wants the rest has it from any command. */
void
doctor_settings(struct doctor *d)
{
	char what[300];
	const char *text = buf_cstr(&d->conf_fault);

	if (text == NULL || *text == '\0')
		return;
	(void)snprintf(
	    what, sizeof(what), "%.*s", (int)strcspn(text, "\n"), text);
	doctor_find(d, DOCTOR_BAD, POSTERN_SYSCONFDIR "/postern.conf", what,
	    "mend it: postern.conf(5); posternd does not start with it, and "
	    "what follows here goes by the defaults");
}

/* -- policy ---------------------------------------------------------------- */

void
doctor_policy(struct doctor *d)
{
	size_t n = 0;

	if (cli_policy_files(d->conf->policy_folder, &n) != 0) {
		doctor_find(d, DOCTOR_BAD, d->conf->policy_folder,
		    strerror(errno), "make it, or run `postern setup'");
		return;
	}
	if (n == 0)
		doctor_find(d, DOCTOR_BAD, d->conf->policy_folder,
		    "there is no policy: everything is denied",
		    "run `postern setup', or write one: postern-policy(5)");
	else if (d->policy == NULL)
		doctor_find(d, DOCTOR_BAD, d->conf->policy_folder,
		    "the policy does not load, or one of its tests fails: a "
		    "bastion that starts denies everything",
		    "`postern policy check' says what is wrong, and where");
}

/* -- accounts -------------------------------------------------------------- */

static void
one_account(struct doctor *d, const char *name)
{
	const struct passwd *pw = getpwnam(name);

	if (pw == NULL)
		doctor_find(d, DOCTOR_BAD, name, "there is no such account",
		    "create the accounts: systemd-sysusers, or install the "
		    "package again");
	else if (pw->pw_uid == 0)
		doctor_find(d, DOCTOR_BAD, name, "it has uid 0",
		    "give it a uid of its own");
}

void
doctor_accounts(struct doctor *d)
{
	static const char *const names[] = { "_postern-oidc", "_postern-policy",
		"_postern-sign", "_postern-audit", "_postern-hop",
		"_postern-job", "_postern-anchor" };
	const struct group *g;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		one_account(d, names[i]);
	if (getgrnam("postern-admin") == NULL)
		doctor_find(d, DOCTOR_BAD, "postern-admin",
		    "there is no such group",
		    "create it: groupadd --system postern-admin");
	g = getgrnam("postern-job");
	if (g == NULL)
		doctor_find(d, DOCTOR_BAD, "postern-job",
		    "there is no such group",
		    "create it: groupadd --system postern-job");
	else if (g->gr_mem[0] != NULL)
		doctor_find(d, DOCTOR_BAD, "postern-job",
		    "it has members: they could come in as themselves, and "
		    "postern-sshd does not start",
		    "take them out: gpasswd -d %s postern-job", g->gr_mem[0]);
}

void
doctor_names(struct doctor *d)
{
	const struct target *t;

	if (getpwnam("postern") != NULL)
		doctor_find(d, DOCTOR_BAD, "postern",
		    "a local account has this name: `ssh postern@…' would be "
		    "it",
		    "rename the account; ours all begin with `_postern-'");
	for (size_t i = 0; d->policy != NULL && i < policy_ntargets(d->policy);
	     i++) {
		t = policy_target(d->policy, i);
		if (getpwnam(t->name) != NULL)
			doctor_find(d, DOCTOR_BAD, t->name,
			    "a local account has the name of this target: "
			    "nobody gets to the target by it",
			    "rename the target in the policy, or the account");
	}
}

/* -- permissions ----------------------------------------------------------- */

enum need { MUST, MAY };

static const struct file_rule {
	const char *name; /* behind the folder */
	mode_t kind, forbid;
	const char *owner; /* NULL: root */
	const char *group; /* NULL: any */
	enum need need;
} etc_rules[] = {
	{ "", S_IFDIR, 022, NULL, NULL, MUST },
	{ "/postern.conf", S_IFREG, 022, NULL, NULL, MAY },
	{ "/sshd", S_IFDIR, 022, NULL, NULL, MAY },
	{ "/sshd/host_ed25519", S_IFREG, 077, NULL, NULL, MAY },
	{ "/sshd/listen", S_IFREG, 022, NULL, NULL, MAY },
}, ca_rules[] = {
	{ "", S_IFDIR, 022, NULL, NULL, MUST },
	{ "/target.pub", S_IFREG, 022, NULL, NULL, MUST },
	{ "/job.pub", S_IFREG, 022, NULL, NULL, MUST },
}, target_key_rules[] = { /* unless an ssh-agent holds it */
	{ "/target.pem", S_IFREG, 077, NULL, NULL, MUST },
}, job_key_rules[] = {
	{ "/job.pem", S_IFREG, 077, NULL, NULL, MUST },
}, state_rules[] = {
	{ "", S_IFDIR, 022, NULL, NULL, MAY },
	{ "/recordings", S_IFDIR, 077, "_postern-audit", NULL, MAY },
	{ "/ledger", S_IFDIR, 027, "_postern-audit", NULL, MAY },
	{ "/ledger/ledger.jsonl", S_IFREG, 027, "_postern-audit", NULL,
	    MAY },
	{ "/store", S_IFDIR, 027, "_postern-audit", NULL, MAY },
}, run_rules[] = {
	{ "", S_IFDIR, 022, NULL, NULL, MAY },
	{ "/pam.sock", S_IFSOCK, 077, NULL, NULL, MAY },
	{ "/session.sock", S_IFSOCK, 077, NULL, NULL, MAY },
	{ "/shell.sock", S_IFSOCK, 007, NULL, "postern-job", MAY },
	{ "/ctl.sock", S_IFSOCK, 007, NULL, "postern-admin", MAY },
	{ "/audit.sock", S_IFSOCK, 007, NULL, "postern-auditor", MAY },
};

static const char *
kind_name(mode_t kind)
{
	return S_ISDIR(kind)    ? "a folder"
	       : S_ISSOCK(kind) ? "a socket"
				: "a regular file";
}

static void
check_owner(struct doctor *d, const struct file_rule *f, const char *path,
    const struct stat *st)
{
	const char *owner = f->owner == NULL ? "root" : f->owner;
	const struct passwd *pw = getpwnam(owner);
	const struct group *g = f->group == NULL ? NULL : getgrnam(f->group);
	char what[128];

	if (pw != NULL && st->st_uid != pw->pw_uid) {
		(void)snprintf(what, sizeof(what),
		    "its owner is uid %ld, and not %s", (long)st->st_uid,
		    owner);
		doctor_find(
		    d, DOCTOR_BAD, path, what, "chown %s %s", owner, path);
	}
	if (g != NULL && st->st_gid != g->gr_gid) {
		(void)snprintf(what, sizeof(what),
		    "its group is gid %ld, and not %s", (long)st->st_gid,
		    f->group);
		doctor_find(
		    d, DOCTOR_BAD, path, what, "chgrp %s %s", f->group, path);
	}
}

static void
check_file(struct doctor *d, const struct file_rule *f, const char *path)
{
	char what[160];
	struct stat st;
	mode_t bits;

	if (lstat(path, &st) == -1) {
		if (errno != ENOENT)
			doctor_find(d, DOCTOR_BAD, path, strerror(errno),
			    "look at the file system");
		else if (f->need == MUST)
			doctor_find(d, DOCTOR_BAD, path, "it is missing",
			    strstr(path, ".p") != NULL
				? "`postern ca init' makes it, or take it from "
				  "your backup"
				: "make it, or run `postern setup'");
		return;
	}
	if ((st.st_mode & S_IFMT) != f->kind) {
		(void)snprintf(what, sizeof(what), "it is not %s%s",
		    kind_name(f->kind),
		    S_ISLNK(st.st_mode) ? ", but a symbolic link" : "");
		doctor_find(d, DOCTOR_BAD, path, what, "put %s in its place",
		    kind_name(f->kind));
		return;
	}
	check_owner(d, f, path, &st);
	if ((bits = st.st_mode & f->forbid) == 0)
		return;
	(void)snprintf(what, sizeof(what),
	    "others than its owner may %s it "
	    "(mode %04o)",
	    (bits & 022) != 0 ? "write" : "read",
	    (unsigned int)(st.st_mode & 07777));
	doctor_find(d, DOCTOR_BAD, path, what, "chmod %04o %s%s",
	    (unsigned int)(st.st_mode & 07777 & ~f->forbid), path,
	    f->forbid == 077 && strstr(path, ".pem") != NULL
		? "; who could read it may have copied it: replace the key"
		: "");
}

static void
check_files(
    struct doctor *d, const char *folder, const struct file_rule *f, size_t n)
{
	char path[PATH_SIZE];
	int len;

	for (size_t i = 0; i < n; i++) {
		len = snprintf(path, sizeof(path), "%s%s", folder, f[i].name);
		if (len > 0 && (size_t)len < sizeof(path))
			check_file(d, &f[i], path);
	}
}

static void
check_policy_files(struct doctor *d)
{
	static const struct file_rule folder = { "", S_IFDIR, 022, NULL, NULL,
		MAY },
				      file = { "", S_IFREG, 022, NULL, NULL,
					      MAY };
	const char *at = d->conf->policy_folder;
	char path[PATH_SIZE];
	const struct dirent *e;
	DIR *dir;
	int len;

	check_file(d, &folder, at);
	if ((dir = opendir(at)) == NULL)
		return;
	while ((e = readdir(dir)) != NULL) {
		len = snprintf(path, sizeof(path), "%s/%s", at, e->d_name);
		if (e->d_name[0] != '.' && len > 0 &&
		    (size_t)len < sizeof(path) &&
		    strstr(e->d_name, ".postern") != NULL)
			check_file(d, &file, path);
	}
	(void)closedir(dir);
}

#define CHECK(d, folder, rules)                                                \
	check_files(d, folder, rules, sizeof(rules) / sizeof((rules)[0]))

void
doctor_files(struct doctor *d)
{
	CHECK(d, POSTERN_SYSCONFDIR, etc_rules);
	check_policy_files(d);
	CHECK(d, d->conf->ca_folder, ca_rules);
	if (d->conf->target_ca_agent == NULL)
		CHECK(d, d->conf->ca_folder, target_key_rules);
	if (d->conf->job_ca_agent == NULL)
		CHECK(d, d->conf->ca_folder, job_key_rules);
	CHECK(d, d->conf->state_folder, state_rules);
	CHECK(d, d->conf->run_folder, run_rules);
}

/* -- disk ------------------------------------------------------------------ */

void
doctor_disk(struct doctor *d)
{
	const char *at = d->conf->state_folder;
	struct statvfs v;
	uint64_t left;
	char what[160];

	if (statvfs(at, &v) == -1) {
		if (errno != ENOENT)
			doctor_find(d, DOCTOR_BAD, at, strerror(errno),
			    "look at the file system");
		return;
	}
	left = (uint64_t)v.f_bavail * v.f_frsize;
	if ((v.f_flag & ST_RDONLY) != 0) {
		doctor_find(d, DOCTOR_BAD, at,
		    "it is on a read-only file "
		    "system: nothing can be recorded, so nothing is run",
		    "mount it read-write; look into the kernel's log why it "
		    "is not");
	} else if (left < d->conf->disk_reserve) {
		(void)snprintf(what, sizeof(what),
		    "%llu MiB are free, disk-reserve is %llu MiB: nothing new "
		    "is run",
		    (unsigned long long)left >> 20,
		    (unsigned long long)d->conf->disk_reserve >> 20);
		doctor_find(d, DOCTOR_BAD, at, what,
		    "make room, or lower disk-reserve in postern.conf");
	} else if (left / 2 < d->conf->disk_reserve) {
		doctor_find(d, DOCTOR_NOTE, at,
		    "less than twice disk-reserve is free",
		    "make room before recordings reach it");
	}
	if (v.f_files > 0 && v.f_favail < 1000)
		doctor_find(d, DOCTOR_BAD, at,
		    "there are hardly any inodes left: each operation needs "
		    "two files",
		    "remove files from this file system");
}
