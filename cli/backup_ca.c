/*
 * What a backup has of the CAs.  Runs as root.  What was revoked is no secret
 * and in each: a list for targets (`postern ca krl`) that is made without it
 * would have them believe again what leaked.  The keys are only in one that is
 * asked for them.
 */
#include "config.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "audit/copy.h"
#include "cli/backup.h"
#include "cli/cli.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/proto.h"
#include "lib/safeopen.h"

#define REVOKED "revoked"
#define REVOKED_MAX (256 * 1024) /* bytes, of both lists */
#define RETIRED "retired"

/* Of a key that an ssh-agent holds there is the .pub alone. */
static const char *const key_files[] = { ".pem", ".pub", NULL };
static const char *const list_files[] = { REVOKED, NULL };

static int
failed(const char *what, int r)
{
	cli_error("%s: %s", what, err_text(r));
	return POSTERN_EX_IOERR;
}

int
backup_ca(const struct backup_to *dst, bool keys)
{
	const char *path = cli_conf()->ca_folder;
	struct backup_to to = { .dir = -1, .tar = -1 };
	int from = -1, r;

	if ((r = backup_open(AT_FDCWD, path, false, &from)) == ERR_NOTFOUND &&
	    !keys)
		return 0; /* a ledger without a bastion */
	if (r == 0 && (r = backup_below(dst, "ca", &to)) == 0 &&
	    (r = backup_files(from, &to, list_files)) == 0 &&
	    (r = backup_folder(from, &to, RETIRED)) == 0 && keys)
		r = backup_files(from, &to, key_files);
	if (from != -1)
		(void)close(from);
	if (to.dir != -1)
		(void)close(to.dir);
	if (r != 0)
		return failed(path, r);
	if (keys)
		cli_error("WARNING: this backup holds the bastion's private "
			  "keys: whoever reads it can sign logins to every "
			  "target. Keep it as you keep the bastion");
	return 0;
}

/* -- restoration ---------------------------------------------------------- */

/* Behind what the text has; ERR_NOTFOUND: there is no list. */
static int
list_read(int dir, struct buf *text)
{
	int fd, r;

	fd = openat(
	    dir, REVOKED, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd == -1)
		return errno == ENOENT ? ERR_NOTFOUND : ERR_SYS;
	r = slurp_fd(fd, text);
	(void)close(fd);
	return r;
}

/* What either of them revokes is revoked: the command that reads the list takes
 * a line that is there twice for one. */
static int
lists_join(int from, int to)
{
	struct buf text;
	int have, r;

	buf_init(&text, REVOKED_MAX);
	have = list_read(to, &text);
	if (have != 0 && have != ERR_NOTFOUND) {
		r = have;
		goto out;
	}
	if (buf_len(&text) > 0 && buf_ptr(&text)[buf_len(&text) - 1] != '\n' &&
	    (r = buf_put(&text, "\n", 1)) != 0)
		goto out;
	if ((r = list_read(from, &text)) != 0) {
		r = r == ERR_NOTFOUND ? 0 : r;
		goto out;
	}
	(void)unlinkat(to, REVOKED ".new", 0);
	if ((r = cli_write_new(to, REVOKED ".new", 0644, buf_ptr(&text),
		 buf_len(&text))) == 0 &&
	    renameat(to, REVOKED ".new", to, REVOKED) == -1)
		r = ERR_SYS;
out:
	buf_clear(&text);
	return r;
}

/* Keys that are there already stay. */
static int
keys_restore(int from, const struct backup_to *to)
{
	if (faccessat(from, "target.pub", F_OK, 0) == -1)
		return 0;
	if (faccessat(to->dir, "target.pub", F_OK, 0) == -1)
		return backup_files(from, to, key_files);
	cli_error("%s has keys already, and keeps them", cli_conf()->ca_folder);
	return 0;
}

/* tar and backup leave folders to their owner alone. */
static int
folders_open(int to)
{
	if (fchmod(to, 0755) == -1 ||
	    (fchmodat(to, RETIRED, 0755, 0) == -1 && errno != ENOENT))
		return ERR_SYS;
	return 0;
}

int
restore_ca(int src)
{
	const char *path = cli_conf()->ca_folder;
	struct backup_to to = { .dir = -1, .tar = -1 };
	int from, r;

	if ((r = backup_open(src, "ca", false, &from)) == ERR_NOTFOUND)
		return 0;
	if (r == 0 && (r = backup_open(AT_FDCWD, path, true, &to.dir)) == 0 &&
	    (r = keys_restore(from, &to)) == 0 &&
	    (r = lists_join(from, to.dir)) == 0 &&
	    (r = backup_folder(from, &to, RETIRED)) == 0)
		r = folders_open(to.dir);
	if (from != -1)
		(void)close(from);
	if (to.dir != -1)
		(void)close(to.dir);
	return r == 0 ? 0 : failed(path, r);
}
