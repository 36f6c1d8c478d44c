/*
 * Copying a ledger's recordings.  Runs as root.  What the ledger names is
 * copied and nothing else; what it calls finished must have its hash.
 */
#include "config.h"

#include "cli/backup.h"

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/copy.h"
#include "audit/ledger.h"
#include "audit/record.h"
#include "cli/cli.h"
#include "cli/tar.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/str.h"

#define SAID_MAX 20
#define DEPTH_MAX 4

struct item {
	char path[RECORD_PATH_MAX]; /* first: what the tree compares */
	char sha256[COPY_SHA256_MAX];
	bool ended, deleted, done;
};

void
backup_init(struct backup *b)
{
	*b = (struct backup){ .from_ledger = -1,
		.from_recordings = -1,
		.to_ledger = { .dir = -1, .tar = -1 },
		.to_recordings = { .dir = -1, .tar = -1 } };
}

void
backup_clear(struct backup *b)
{
	const int fd[] = { b->from_ledger, b->from_recordings, b->to_ledger.dir,
		b->to_recordings.dir };

	for (size_t i = 0; i < sizeof(fd) / sizeof(fd[0]); i++) {
		if (fd[i] != -1)
			(void)close(fd[i]);
	}
	tdestroy(b->items, free);
	b->items = NULL;
}

static int
folder_open(int dir, const char *name, bool make, int flags, int *fdp)
{
	if (make && mkdirat(dir, name, 0750) == -1 && errno != EEXIST)
		return ERR_SYS;
	*fdp = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
	if (*fdp == -1)
		return errno == ENOENT ? ERR_NOTFOUND : ERR_SYS;
	return 0;
}

int
backup_open(int dir, const char *name, bool make, int *fdp)
{
	return folder_open(dir, name, make, 0, fdp);
}

int
backup_open_below(int dir, const char *name, bool make, int *fdp)
{
	return folder_open(dir, name, make, O_NOFOLLOW, fdp);
}

/* -- what the ledger says ------------------------------------------------- */

static int
item_order(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int
item_of(struct backup *b, const char *path, struct item **out)
{
	void *at = tfind(path, &b->items, item_order);
	struct item *i;

	if (at == NULL) {
		if ((i = calloc(1, sizeof(*i))) == NULL)
			return ERR_NOMEM;
		(void)str_copy(i->path, sizeof(i->path), path);
		if ((at = tsearch(i, &b->items, item_order)) == NULL) {
			free(i);
			return ERR_NOMEM;
		}
		b->named++;
	}
	*out = *(struct item **)at;
	return 0;
}

static int
take_event(void *arg, uint64_t number, uint64_t ms, const struct buf *event)
{
	char path[RECORD_PATH_MAX];
	struct backup *b = arg;
	struct item *i;
	uint32_t kind;
	int r;

	(void)number;
	(void)ms;
	if (ledger_kind(event, &kind) != 0 ||
	    (kind != EVENT_OP_DECIDE && kind != EVENT_OP_END &&
		kind != EVENT_RETENTION) ||
	    ledger_field(event, EV_RECORDING, path, sizeof(path)) != 0 ||
	    !record_path_valid(path))
		return 0;
	if ((r = item_of(b, path, &i)) != 0)
		return r;
	if (kind == EVENT_OP_END) {
		i->ended = true;
		(void)ledger_field(
		    event, EV_RECORDING_SHA256, i->sha256, sizeof(i->sha256));
	} else if (kind == EVENT_RETENTION) {
		i->deleted = true;
	}
	return 0;
}

int
backup_read(struct backup *b, const char *path, uint64_t max)
{
	struct cli_ledger l = { .path = path,
		.doing = "reading",
		.fn = take_event,
		.arg = b,
		.max = max };
	int r = cli_ledger_read(&l);

	b->number = l.last_number;
	return r != 0 ? r : l.damaged > 0 ? CLI_EX_FAILED : 0;
}

/* -- recordings ----------------------------------------------------------- */

static void
item_say(struct backup *b, uint64_t *n, const struct item *i, const char *what)
{
	if (++*n > SAID_MAX)
		return;
	cli_error("recordings/%s: %s%s", i->path, what,
	    *n == SAID_MAX ? "; there may be more" : "");
	(void)b;
}

static int
file_copy(int from, const struct backup_to *to, const char *name,
    struct copy_sum *sum)
{
	char path[2 * BACKUP_PATH_MAX];
	int n;

	if (to->tar == -1)
		return copy_file(from, to->dir, name, sum);
	n = snprintf(path, sizeof(path), "%s%s", to->path, name);
	return n < 0 || (size_t)n >= sizeof(path)
		   ? ERR_TOOBIG
		   : tar_file(to->tar, from, name, path, sum);
}

static int
item_copy(struct backup *b, struct item *i)
{
	char side[RECORD_PATH_MAX];
	struct copy_sum sum;
	int r;

	record_sibling_path(i->path, RECORD_SIDE, side);
	r = file_copy(b->from_recordings, &b->to_recordings, side, NULL);
	if (r != 0 && r != ERR_NOTFOUND)
		return r;
	if (i->deleted) {
		i->done = true;
		return 0;
	}
	r = file_copy(b->from_recordings, &b->to_recordings, i->path, &sum);
	/* Of what never began there is none; of what ended there was one. */
	if (r == ERR_NOTFOUND) {
		if (i->ended && i->sha256[0] != '\0' && b->last)
			item_say(b, &b->missing, i,
			    "it is not there, and no line of the ledger says "
			    "that it was deleted");
		else if (i->ended && i->sha256[0] != '\0')
			b->missing++;
		return 0;
	}
	if (r != 0)
		return r;
	b->copied += !i->done;
	i->done = i->ended;
	if (i->ended && i->sha256[0] != '\0' &&
	    strcmp(i->sha256, sum.sha256) != 0)
		item_say(b, &b->wrong, i, "it is not what its line says");
	return 0;
}

static void
item_visit(const void *node, VISIT which, void *arg)
{
	struct item *i = *(struct item *const *)node;
	struct backup *b = arg;

	if (b->r != 0 || i->done || (which != postorder && which != leaf))
		return;
	b->r = item_copy(b, i);
	if (b->r != 0)
		cli_error("recordings/%s: %s", i->path, err_text(b->r));
}

int
backup_recordings(struct backup *b)
{
	b->missing = 0;
	b->copied = 0;
	b->r = 0;
	twalk_r(b->items, item_visit, b);
	return b->r;
}

/* -- other files ---------------------------------------------------------- */

static bool
name_ends(const char *name, const char *const end[])
{
	size_t n = strlen(name), m;

	for (size_t i = 0; end[i] != NULL; i++) {
		m = strlen(end[i]);
		if (n >= m && strcmp(name + n - m, end[i]) == 0)
			return true;
	}
	return false;
}

int
backup_below(
    const struct backup_to *to, const char *name, struct backup_to *below)
{
	struct backup_to b = { .dir = -1, .tar = to->tar };
	int n, r = 0;

	n = snprintf(b.path, sizeof(b.path), "%s%s/", to->path, name);
	if (n < 0 || (size_t)n >= sizeof(b.path))
		return ERR_TOOBIG;
	if (to->tar == -1)
		r = backup_open_below(to->dir, name, true, &b.dir);
	if (r == 0)
		*below = b;
	return r;
}

static int folder_copy(int from, const struct backup_to *to,
    const char *const end[], unsigned int depth);

static int
folder_below(
    int from, const struct backup_to *to, const char *name, unsigned int depth)
{
	struct backup_to out = { .dir = -1, .tar = -1 };
	int in = -1, r;

	if ((r = backup_open_below(from, name, false, &in)) == 0 &&
	    (r = backup_below(to, name, &out)) == 0)
		r = folder_copy(in, &out, NULL, depth + 1);
	if (in != -1)
		(void)close(in);
	if (out.dir != -1)
		(void)close(out.dir);
	return r;
}

/* Its files, or what lies below it; never both: MUST be called for the files
 * first, since the tree's checkpoint is one, and needs no tile that is made
 * later. */
static int
folder_pass(DIR *d, const struct backup_to *to, const char *const end[],
    unsigned int depth, bool folders)
{
	struct dirent *e;
	int r = 0;

	rewinddir(d); /* dup shares the place with an earlier look, too */
	while (r == 0 && (e = readdir(d)) != NULL) {
		bool file = end != NULL || e->d_type == DT_REG;

		if (e->d_name[0] == '.' || file == folders ||
		    (end != NULL && !name_ends(e->d_name, end)))
			continue;
		if (file) {
			r = file_copy(dirfd(d), to, e->d_name, NULL);
			r = r == ERR_NOTFOUND ? 0 : r; /* gone meanwhile */
		} else if (e->d_type == DT_DIR && depth < DEPTH_MAX) {
			r = folder_below(dirfd(d), to, e->d_name, depth);
		}
	}
	return r;
}

static int
folder_copy(int from, const struct backup_to *to, const char *const end[],
    unsigned int depth)
{
	DIR *d = fdopendir(dup(from));
	int r;

	if (d == NULL)
		return ERR_SYS;
	if ((r = folder_pass(d, to, end, depth, false)) == 0)
		r = folder_pass(d, to, end, depth, true);
	(void)closedir(d);
	return r;
}

int
backup_files(int from, const struct backup_to *to, const char *const end[])
{
	return folder_copy(from, to, end, 0);
}

int
backup_folder(int from, const struct backup_to *to, const char *name)
{
	struct backup_to out = { .dir = -1, .tar = -1 };
	int in = -1, r;

	if ((r = backup_open_below(from, name, false, &in)) == ERR_NOTFOUND)
		return 0;
	if (r == 0 && (r = backup_below(to, name, &out)) == 0)
		r = folder_copy(in, &out, NULL, 0);
	if (in != -1)
		(void)close(in);
	if (out.dir != -1)
		(void)close(out.dir);
	return r;
}
