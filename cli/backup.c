/*
 * postern backup, postern restore: a copy of ledger and recordings while the
 * bastion runs, and a new house from it.  Runs as root.
 *
 * First what signs the ledger's lines, then the lines, then the recordings
 * that these name: so no line is without its recording, no signature without
 * its lines.  What an operation has shown before is in the copy, since it is
 * written before it is shown.  What retention deletes meanwhile is looked up
 * in the lines that came since.
 */
#include "config.h"

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/copy.h"
#include "cli/backup.h"
#include "cli/cli.h"
#include "cli/tar.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/proto.h"

#define ROUNDS 5 /* while retention deletes what the lines still name */
#define TREE "tree"
#define LEDGER_NEW BACKUP_LEDGER ".new" /* until all else is in place */

static const char *const cut_files[] = { "Z", NULL };
static const char *const key_files[] = { "key", "key.next", NULL };

static int
failed(const char *what, int r)
{
	cli_error("%s: %s", what, err_text(r));
	return POSTERN_EX_IOERR;
}

/* ledger/ and recordings/ are to be there. */
static int
no_store(const char *path, int r, const char *hint)
{
	if (r != ERR_NOTFOUND)
		return failed(path, r);
	cli_error("%s has no ledger/ and recordings/: %s", path, hint);
	return POSTERN_EX_IOERR;
}

/* -- backup --------------------------------------------------------------- */

/* An empty folder, which is made when it is not there. */
static int
open_empty(const char *path, int *fdp)
{
	struct dirent *e;
	DIR *d;
	int n = 0;

	if (mkdir(path, 0700) == -1 && errno != EEXIST)
		return failed(path, ERR_SYS);
	*fdp = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fdp == -1 || (d = fdopendir(dup(*fdp))) == NULL)
		return failed(path, ERR_SYS);
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	(void)closedir(d);
	if (n == 0)
		return 0;
	cli_error("%s is not empty: a backup wants a folder of its own", path);
	return CLI_EX_FAILED;
}

/* How many bytes of it are whole lines: a last one that is under way has no
 * newline yet. */
static int
whole_lines(int fd, uint64_t *size)
{
	uint64_t end;
	struct stat st;
	char d[4096];
	ssize_t n;

	if (fstat(fd, &st) == -1)
		return ERR_SYS;
	if (!S_ISREG(st.st_mode))
		return ERR_DENIED;
	for (end = (uint64_t)st.st_size; end > 0; end -= (uint64_t)n) {
		n = end < sizeof(d) ? (ssize_t)end : (ssize_t)sizeof(d);
		if (pread(fd, d, (size_t)n, (off_t)(end - (uint64_t)n)) != n)
			return ERR_SYS;
		for (ssize_t i = n; i > 0; i--) {
			if (d[i - 1] == '\n') {
				*size = end - (uint64_t)(n - i);
				return 0;
			}
		}
	}
	*size = 0;
	return 0;
}

/* Behind what a folder has of it already; an archive gets all of it again,
 * which takes the place of what it got before. */
static int
lines_out(struct backup *b, int in)
{
	struct stat have;
	int out, r = ERR_SYS;

	if (b->to_ledger.tar != -1)
		return tar_part(b->to_ledger.tar, in, "ledger/" BACKUP_LEDGER,
		    b->lines, NULL);
	out = openat(b->to_ledger.dir, BACKUP_LEDGER,
	    O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (out != -1 && fstat(out, &have) == 0)
		r = copy_some(in, out, (uint64_t)have.st_size,
		    b->lines - (uint64_t)have.st_size, NULL);
	if (out != -1)
		(void)close(out);
	return r;
}

static int
copy_lines(struct backup *b)
{
	int in, r = ERR_SYS;

	in = openat(b->from_ledger, BACKUP_LEDGER,
	    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (in != -1 && (r = whole_lines(in, &b->lines)) == 0)
		r = lines_out(b, in);
	if (in != -1)
		(void)close(in);
	return r;
}

static int
backup_rounds(struct backup *b)
{
	char ledger[4096];
	int r;

	r = snprintf(ledger, sizeof(ledger), "%s/ledger/" BACKUP_LEDGER,
	    cli_conf()->state_folder);
	if (r < 0 || (size_t)r >= sizeof(ledger))
		return cli_usage();
	for (int i = 1; i <= ROUNDS; i++) {
		b->last = i == ROUNDS;
		if ((r = backup_folder(b->from_ledger, &b->to_ledger, TREE)) !=
			0 ||
		    (r = copy_lines(b)) != 0)
			return failed("the ledger", r);
		/* Not what came since: of that the copy has no line. */
		if (b->lines > 0 && (r = backup_read(b, ledger, b->lines)) != 0)
			return r;
		if (backup_recordings(b) != 0)
			return POSTERN_EX_IOERR;
		if (b->missing == 0)
			break;
	}
	return b->missing > 0 || b->wrong > 0 ? CLI_EX_FAILED : 0;
}

/* A folder, or "-": an archive on standard output. */
static int
open_to(const char *path, struct backup_to *to)
{
	if (strcmp(path, "-") != 0)
		return open_empty(path, &to->dir);
	if (isatty(STDOUT_FILENO) == 1) {
		cli_error("an archive is not for a terminal: `postern backup "
			  "- | age -r ... >FILE', or name a folder");
		return POSTERN_EX_USAGE;
	}
	to->tar = STDOUT_FILENO;
	return 0;
}

static int
close_to(const char *path, const struct backup_to *to)
{
	int r = to->tar != -1           ? tar_end(to->tar)
		: syncfs(to->dir) == -1 ? ERR_SYS
					: 0;

	return r == 0 ? 0 : failed(path, r);
}

static int
backup_to(const char *path, bool keys)
{
	struct backup_to dst = { .dir = -1, .tar = -1 };
	struct backup b;
	int state = -1, r;

	backup_init(&b);
	if ((r = open_to(path, &dst)) != 0)
		goto out;
	if ((r = backup_open(
		 AT_FDCWD, cli_conf()->state_folder, false, &state)) != 0 ||
	    (r = backup_open(state, "ledger", false, &b.from_ledger)) != 0 ||
	    (r = backup_open(state, "recordings", false, &b.from_recordings)) !=
		0) {
		r = no_store(cli_conf()->state_folder, r,
		    "no bastion has run here, or its state-folder in "
		    "postern.conf is another");
		goto out;
	}
	if ((r = backup_below(&dst, "ledger", &b.to_ledger)) != 0 ||
	    (r = backup_below(&dst, "recordings", &b.to_recordings)) != 0 ||
	    (r = backup_files(b.from_ledger, &b.to_ledger, cut_files)) != 0) {
		r = failed(path, r);
		goto out;
	}
	r = backup_rounds(&b);
	if (r == 0)
		r = backup_ca(&dst, keys);
	if (r == 0 && keys &&
	    (r = backup_files(b.from_ledger, &b.to_ledger, key_files)) != 0)
		r = failed("the ledger's key", r);
	/* Of one that failed the archive has no end. */
	if (r == 0)
		r = close_to(path, &dst);
	if (r == 0)
		(void)fprintf(dst.tar != -1 ? stderr : stdout,
		    "%s: the ledger and %" PRIu64
		    " recordings%s; `postern restore` takes it%s\n",
		    dst.tar != -1 ? "standard output" : path, b.named,
		    keys ? ", and the keys" : ", no keys",
		    dst.tar != -1 ? " when it is unpacked" : "");
	else
		cli_error("this backup is not whole: %s",
		    dst.tar != -1 ? "drop what was written of it"
				  : "empty the folder before another try");
out:
	if (state != -1)
		(void)close(state);
	if (dst.dir != -1)
		(void)close(dst.dir);
	backup_clear(&b);
	return r;
}

int
cli_backup(int argc, char **argv)
{
	static const struct option options[] = {
		{ "with-keys", no_argument, NULL, 'k' },
		{ NULL, 0, NULL, 0 },
	};
	bool keys = false;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'k')
			return cli_usage();
		keys = true;
	}
	if (optind + 1 != argc)
		return cli_usage();
	(void)umask(077);
	return backup_to(argv[optind], keys);
}

/* -- restoration ---------------------------------------------------------- */

/* To audit, and its auditors' group, as it would have made it. */
static int
give(int dir, uid_t uid, gid_t gid)
{
	DIR *d = fdopendir(dup(dir));
	struct dirent *e;
	int fd, r = d == NULL ? ERR_SYS : 0;

	while (r == 0 && (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (fchownat(dir, e->d_name, uid, gid, AT_SYMLINK_NOFOLLOW) ==
		    -1)
			r = ERR_SYS;
		if (r != 0 || e->d_type != DT_DIR)
			continue;
		if ((r = backup_open_below(dir, e->d_name, false, &fd)) != 0)
			break;
		if (fchmod(fd, 02750) == -1)
			r = ERR_SYS;
		else
			r = give(fd, uid, gid);
		(void)close(fd);
	}
	if (d != NULL)
		(void)closedir(d);
	return r;
}

static int
restore_owner(const struct backup *b)
{
	const struct passwd *pw = getpwnam("_postern-audit");
	const struct group *gr = getgrnam("postern-auditor");
	int r;

	if (pw == NULL || gr == NULL) {
		cli_error("there is no account _postern-audit or no group "
			  "postern-auditor: install the package first");
		return CLI_EX_FAILED;
	}
	r = fchown(b->to_ledger.dir, pw->pw_uid, gr->gr_gid) == -1 ||
		    fchown(b->to_recordings.dir, pw->pw_uid, gr->gr_gid) ==
			-1 ||
		    fchmod(b->to_ledger.dir, 02750) == -1 ||
		    fchmod(b->to_recordings.dir, 02700) == -1
		? ERR_SYS
		: give(b->to_ledger.dir, pw->pw_uid, gr->gr_gid);
	if (r == 0)
		r = give(b->to_recordings.dir, pw->pw_uid, gr->gr_gid);
	return r == 0 ? 0 : failed("ownership", r);
}

/* The lines, under a name that nobody takes for a ledger's: one that is cut
 * would be begun with, and what is missing never missed. */
static int
restore_lines(struct backup *b)
{
	int in, out = -1, dir = b->to_ledger.dir, r = ERR_SYS;

	in = openat(b->from_ledger, BACKUP_LEDGER,
	    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (in == -1 || (r = whole_lines(in, &b->lines)) != 0)
		goto out;
	r = ERR_SYS;
	if (unlinkat(dir, LEDGER_NEW, 0) == -1 && errno != ENOENT)
		goto out;
	out = openat(
	    dir, LEDGER_NEW, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	/* The group that may read it may read what was copied, too. */
	if (out != -1 && (r = copy_some(in, out, 0, b->lines, NULL)) == 0 &&
	    (fchmod(out, 0640) == -1 || fsync(out) == -1))
		r = ERR_SYS;
out:
	if (in != -1)
		(void)close(in);
	if (out != -1)
		(void)close(out);
	return r;
}

static int
restore_ledger(struct backup *b)
{
	int r;

	/* Its lines last: with them there is a ledger. */
	if ((r = backup_files(b->from_ledger, &b->to_ledger, cut_files)) != 0 ||
	    (r = backup_folder(b->from_ledger, &b->to_ledger, TREE)) != 0 ||
	    (r = backup_files(b->from_ledger, &b->to_ledger, key_files)) != 0 ||
	    (r = restore_lines(b)) != 0)
		return failed("the ledger", r);
	return 0;
}

/* From here on there is a ledger.  Who has the tree without its key goes on
 * with another one, and says so. */
static int
restore_begin(struct backup *b)
{
	bool key = faccessat(b->from_ledger, "key", F_OK, 0) == 0;
	bool tree = faccessat(b->from_ledger, TREE "/checkpoint", F_OK, 0) == 0;
	int dir = b->to_ledger.dir, r = 0;

	if (renameat(dir, LEDGER_NEW, dir, BACKUP_LEDGER) == -1)
		return failed("the ledger", ERR_SYS);
	if ((key || !tree || (r = backup_another_key(dir)) == 0) &&
	    (r = restore_owner(b)) == 0 && syncfs(dir) == 0)
		return 0;
	if (r == 0)
		r = failed("the ledger", ERR_SYS);
	(void)unlinkat(dir, BACKUP_LEDGER, 0);
	if (!key)
		(void)unlinkat(dir, "key", 0);
	return r;
}

/* What is not whole is found before anything is there. */
static int
restore_look(struct backup *b, const char *path)
{
	char ledger[4096];
	uint64_t lines = 0;
	int r;

	r = snprintf(ledger, sizeof(ledger), "%s/ledger/" BACKUP_LEDGER, path);
	if (r < 0 || (size_t)r >= sizeof(ledger))
		return cli_usage();
	if ((r = backup_read(b, ledger, 0)) != 0)
		return r;
	r = backup_signed(b->from_ledger, &lines);
	if (r != 0 && r != ERR_NOTFOUND)
		return failed("ledger/" TREE "/checkpoint", r);
	if (lines <= b->number)
		return 0;
	cli_error("%s ends at line %" PRIu64 ", and its checkpoint signs "
		  "%" PRIu64 ": this backup is not whole",
	    ledger, b->number, lines);
	return CLI_EX_FAILED;
}

static int
restore_into(struct backup *b, int src, const char *path)
{
	int r;

	if ((r = restore_look(b, path)) != 0)
		return r;
	b->last = true;
	if (backup_recordings(b) != 0)
		return POSTERN_EX_IOERR;
	if (b->missing > 0 || b->wrong > 0)
		return CLI_EX_FAILED;
	if ((r = restore_ca(src)) != 0 || (r = restore_ledger(b)) != 0)
		return r;
	return restore_begin(b);
}

static int
restore_from(const char *path)
{
	const char *state = cli_conf()->state_folder;
	int src = -1, dst = -1, r;
	struct backup b;

	backup_init(&b);
	if ((r = backup_open(AT_FDCWD, path, false, &src)) != 0 ||
	    (r = backup_open(src, "ledger", false, &b.from_ledger)) != 0 ||
	    (r = backup_open(src, "recordings", false, &b.from_recordings)) !=
		0) {
		r = no_store(path, r,
		    "name the folder that `postern backup' made, or what "
		    "its archive was unpacked to");
		goto out;
	}
	if ((mkdir(state, 0755) == -1 && errno != EEXIST) ||
	    (r = backup_open(AT_FDCWD, state, false, &dst)) != 0 ||
	    (r = backup_open(dst, "ledger", true, &b.to_ledger.dir)) != 0 ||
	    (r = backup_open(dst, "recordings", true, &b.to_recordings.dir)) !=
		0) {
		r = failed(state, r == 0 ? ERR_SYS : r);
		goto out;
	}
	if (faccessat(b.to_ledger.dir, BACKUP_LEDGER, F_OK, 0) == 0) {
		cli_error("there is a ledger in %s already, and nothing of it "
			  "was touched: restore into a house that has none",
		    state);
		r = CLI_EX_FAILED;
		goto out;
	}
	r = restore_into(&b, src, path);
	if (r == 0)
		(void)printf("%s: the ledger and %" PRIu64
			     " recordings are restored; start posternd\n",
		    state, b.named);
	else
		cli_error("nothing is restored: the bastion has no ledger "
			  "yet, what is in recordings/ may be deleted");
out:
	if (src != -1)
		(void)close(src);
	if (dst != -1)
		(void)close(dst);
	backup_clear(&b);
	return r;
}

int
cli_restore(int argc, char **argv)
{
	if (argc != 2 || argv[1][0] == '-')
		return cli_usage();
	(void)umask(077);
	return restore_from(argv[1]);
}
