/*
 * libnss_postern: user names for postern-sshd.  Preloaded into that process
 * (and what it re-executes) alone, before anybody has logged in and as root;
 * the name asked for is a stranger's.
 *
 * glibc's dlopen finds the preloaded object by its SONAME, so the module lies
 * in a folder of ours, and the host's nsswitch.conf never names it.
 *
 * Every well-formed name answers with the same account: whether there is such
 * a target is policy's business, and a name that sshd does not know would be
 * treated differently from one it knows.  No socket of its own, no file but
 * /etc/passwd, no memory kept, no word in any log.
 */
#include "config.h"

#include "nss/postern.h"

#include <sys/socket.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/str.h"

#define JOB_ACCOUNT "_postern-job"
#define JOB_SHELL POSTERN_LIBEXECDIR "/postern-shell"

/* Written once, before main; sshd empties the environment of its PAM child,
 * so asking for the marker at each call would answer "no" there. */
static struct env {
	bool active;
	uid_t uid;
	gid_t gid;
} env;

/* One line of passwd(5), which is taken apart in place. */
static int
account_parse(char *line, struct env *e)
{
	char *field[4];
	uint64_t uid, gid;

	for (size_t i = 0; i < 4; i++) {
		if ((field[i] = strsep(&line, ":")) == NULL)
			return ERR_FORMAT;
	}
	if (strcmp(field[0], JOB_ACCOUNT) != 0)
		return ERR_NOTFOUND;
	/* From 1: whatever the line says, no job becomes root. */
	if (line == NULL || num_parse(field[2], 1, UINT32_MAX - 1, &uid) != 0 ||
	    num_parse(field[3], 1, UINT32_MAX - 1, &gid) != 0)
		return ERR_FORMAT;
	e->uid = (uid_t)uid;
	e->gid = (gid_t)gid;
	return 0;
}

/*
 * The account's ids.  Read from the file that `files` reads, rather than by
 * getpwnam_r: a constructor runs before the program's own start, and a lookup
 * there would set up all of NSS (and, for a missing account, load this very
 * object from within its constructor).  The first line decides, as it does
 * for `files`.
 */
static int
account_find(struct env *e)
{
	FILE *f = fopen("/etc/passwd", "rce");
	char *line = NULL;
	size_t size = 0;
	int r = ERR_NOTFOUND;

	if (f == NULL)
		return ERR_SYS;
	while (r == ERR_NOTFOUND && getline(&line, &size, f) != -1) {
		if (strncmp(line, JOB_ACCOUNT ":", sizeof(JOB_ACCOUNT)) == 0)
			r = account_parse(line, e);
	}
	free(line);
	(void)fclose(f);
	return r;
}

/*
 * sshd executes itself for each connection, which is its standard input then,
 * and until somebody has logged in OpenSSH before 9.8 leaves Nagle's algorithm
 * on: what it says second waits for an answer to what it said first, once there
 * and back.  Only here can that still be mended; elsewhere it is no TCP.
 */
static void
connection_nodelay(void)
{
	int on = 1;

	(void)setsockopt(
	    STDIN_FILENO, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

__attribute__((constructor)) static void
start(void)
{
	static const char *const files[] = { "group", "initgroups", "shadow" };
	const char *marker = secure_getenv("POSTERN_SSHD");
	int saved = errno;

	if (marker == NULL || strcmp(marker, "1") != 0)
		return;
	connection_nodelay();
	/* In force for this process: the host's own lines (LDAP, systemd,
	 * nscd's cache) would be loaded into root's pre-login process and
	 * could refuse or own a job's name. */
	if (__nss_configure_lookup("passwd", "files postern") != 0)
		goto out;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (__nss_configure_lookup(files[i], "files") != 0)
			goto out;
	}
	env.active = account_find(&env) == 0;
out:
	errno = saved;
}

/* Fills pw with texts in buf; all or nothing. */
static enum nss_status
fill(const char *name, struct passwd *pw, char *buf, size_t size, int *errnop)
{
	const char *const text[] = { name, "*", "", "/", JOB_SHELL };
	enum { TEXTS = sizeof(text) / sizeof(text[0]) };
	size_t len[TEXTS], need = 0;
	char *at[TEXTS];

	for (size_t i = 0; i < TEXTS; i++)
		need += len[i] = strlen(text[i]) + 1;
	if (size < need) {
		*errnop = ERANGE;
		return NSS_STATUS_TRYAGAIN;
	}
	for (size_t i = 0; i < TEXTS; i++) {
		memcpy(buf, text[i], len[i]);
		at[i] = buf;
		buf += len[i];
	}
	/* "*": no password fits, and unlike "x" or "!" it sends nobody to
	 * the shadow file and does not say "locked". */
	*pw = (struct passwd){ .pw_name = at[0],
		.pw_passwd = at[1],
		.pw_uid = env.uid,
		.pw_gid = env.gid,
		.pw_gecos = at[2],
		.pw_dir = at[3],
		.pw_shell = at[4] };
	return NSS_STATUS_SUCCESS;
}

static enum nss_status
not_found(int *errnop)
{
	*errnop = ENOENT;
	return NSS_STATUS_NOTFOUND;
}

enum nss_status
_nss_postern_getpwnam_r(
    const char *name, struct passwd *pw, char *buf, size_t size, int *errnop)
{
	struct user_name un;

	if (!env.active || user_name_parse(name, &un) != 0)
		return not_found(errnop);
	return fill(name, pw, buf, size, errnop);
}

enum nss_status
_nss_postern_getpwuid_r(
    uid_t uid, struct passwd *pw, char *buf, size_t size, int *errnop)
{
	if (!env.active || uid != env.uid)
		return not_found(errnop);
	return fill(JOB_ACCOUNT, pw, buf, size, errnop);
}
