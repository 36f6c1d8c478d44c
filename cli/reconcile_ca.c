/*
 * postern reconcile: whose certificates count.  Where no CA is named, all that
 * this bastion has and had: what the key before signed is in old logs, and what
 * it signs today, because it leaked, must not pass for a stranger's.
 */
#include "config.h"

#include "cli/reconcile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/b64.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/proto.h"
#include "lib/safeopen.h"
#include "lib/str.h"
#include "ssh/cert.h"

#define KEY_FILE_MAX 8192
#define LIVE_MAX 3 /* target, target.next, target.old */
#define RETIRED_MAX (RECONCILE_CAS_MAX - LIVE_MAX)
#define RETIRED_LEN 27 /* target-20261127T101112Z.pub */

/* The second word of a public key's line: its blob. */
static int
read_key(const char *path, char *dst, size_t size)
{
	struct buf text, blob;
	const char *s;
	int fd, r;

	buf_init(&text, KEY_FILE_MAX);
	buf_init(&blob, KEY_FILE_MAX);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	r = fd == -1 ? ERR_SYS : slurp_fd(fd, &text);
	if (fd != -1)
		(void)close(fd);
	if (r == 0 &&
	    ((s = buf_cstr(&text)) == NULL || (s = strchr(s, ' ')) == NULL))
		r = ERR_FORMAT;
	if (r == 0)
		r = b64_decode(B64_STD, s + 1, strcspn(s + 1, " \n"), &blob);
	if (r == 0)
		r = cert_fingerprint(buf_ptr(&blob), buf_len(&blob), dst, size);
	if (r != 0)
		cli_error("%s: %s%s", path, err_text(r),
		    r == ERR_FORMAT ? ": this is no public key" : "");
	buf_clear(&text);
	buf_clear(&blob);
	return r == 0 ? 0 : POSTERN_EX_IOERR;
}

static int
add(char list[][AUTHLOG_KEY_MAX], const char **want, size_t *n,
    const char *text)
{
	char *to = list[*n];
	int r = 0;

	if (*n == RECONCILE_CAS_MAX)
		return cli_usage();
	if (strncmp(text, "SHA256:", 7) != 0)
		r = read_key(text, to, AUTHLOG_KEY_MAX);
	else if (strlen(text) != 50 ||
		 str_copy(to, AUTHLOG_KEY_MAX, text) != 0) {
		cli_error("`%s' is no fingerprint: it is SHA256: and 43 "
			  "characters, as `ssh-keygen -l' prints it",
		    text);
		return cli_usage();
	}
	if (r == 0)
		want[(*n)++] = to;
	return r;
}

int
ca_add(struct job *j, const char *text)
{
	return add(j->ca, j->want.ca, &j->want.nca, text);
}

int
ca_add_other(struct job *j, const char *text)
{
	return add(j->other, j->want.other, &j->want.nother, text);
}

/* One of the folder of CAs; one that need not be there is not missed. */
static int
add_own(struct job *j, const char *file, bool must)
{
	char path[512];
	int n =
	    snprintf(path, sizeof(path), "%s/%s", cli_conf()->ca_folder, file);

	if (n < 0 || (size_t)n >= sizeof(path))
		return POSTERN_EX_IOERR;
	if (access(path, F_OK) == -1 && errno == ENOENT) {
		if (!must)
			return 0;
		cli_error("%s: there is no CA key here to tell Postern's "
			  "certificates by: name the bastion's, as a file or "
			  "as SHA256:..., with --ca",
		    path);
		return POSTERN_EX_IOERR;
	}
	return ca_add(j, path);
}

static bool
is_retired(const char *file)
{
	return strncmp(file, "target-", 7) == 0 &&
	       strlen(file) == RETIRED_LEN &&
	       strcmp(file + RETIRED_LEN - 4, ".pub") == 0;
}

/* Keeps the newest of them, the newest first: their names say when. */
static void
keep_newest(char list[][RETIRED_LEN + 1], size_t *n, const char *file)
{
	size_t at = *n;

	while (at > 0 && strcmp(list[at - 1], file) < 0)
		at--;
	if (at == RETIRED_MAX)
		return;
	if (*n < RETIRED_MAX)
		(*n)++;
	memmove(list[at + 1], list[at], (*n - 1 - at) * sizeof(list[0]));
	memcpy(list[at], file, sizeof(list[0]));
}

static int
add_retired(struct job *j)
{
	char list[RETIRED_MAX + 1][RETIRED_LEN + 1], path[512];
	size_t n = 0, seen = 0;
	struct dirent *e;
	DIR *d;
	int r = 0;

	(void)snprintf(path, sizeof(path), "%s/retired", cli_conf()->ca_folder);
	if ((d = opendir(path)) == NULL) {
		if (errno == ENOENT)
			return 0;
		cli_error("%s: %s", path, strerror(errno));
		return POSTERN_EX_IOERR;
	}
	while ((e = readdir(d)) != NULL) {
		if (!is_retired(e->d_name))
			continue;
		keep_newest(list, &n, e->d_name);
		seen++;
	}
	(void)closedir(d);
	if (seen > n)
		cli_error("%s: of %zu keys the newest %zu count; name others "
			  "with --ca",
		    path, seen, n);
	for (size_t i = 0; i < n && r == 0; i++) {
		(void)snprintf(path, sizeof(path), "retired/%s", list[i]);
		r = add_own(j, path, true);
	}
	return r;
}

int
ca_own(struct job *j)
{
	int r;

	if (j->want.nca > 0)
		return 0;
	if ((r = add_own(j, "target.pub", true)) != 0 ||
	    (r = add_own(j, "target.next.pub", false)) != 0 ||
	    (r = add_own(j, "target.old.pub", false)) != 0)
		return r;
	return add_retired(j);
}
