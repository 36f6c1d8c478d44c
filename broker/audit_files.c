/*
 * All finished recordings and sidecars for who verifies them: an auditor may
 * not read the folder, so that whatever he sees has its line.  Runs in audit;
 * its only inputs are the index and the folder.
 */
#include "config.h"

#include "broker/audit.h"

#include <sys/queue.h>

#include <stdlib.h>
#include <string.h>

#include "audit/record.h"
#include "audit/store.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/str.h"

#define FILES_PAGE 16
#define FILES_AT_ONCE 4 /* of AUDIT_VIEWS_MAX, which others need, too */
#define FILES_EACH 2    /* for one viewer */
#define FILES_VIEWER_MAX 64

struct files {
	LIST_ENTRY(files) link;
	char viewer[FILES_VIEWER_MAX];
	char id[STORE_ID_MAX]; /* of a session or an operation; "": all */
	uint64_t after;        /* the index's number of the last one */
	struct store_kept page[FILES_PAGE];
	size_t n, at;
	bool side; /* the sidecar of page[at] is next */
};

static struct {
	LIST_HEAD(, files) all;
	size_t n;
} env;

static bool
files_fit(const char *viewer, struct buf *why)
{
	const struct files *f;
	size_t n = 0;

	LIST_FOREACH(f, &env.all, link)
	n += strcmp(f->viewer, viewer) == 0;
	if (env.n < FILES_AT_ONCE && n < FILES_EACH)
		return true;
	(void)buf_putf(why, "%zu are verifying%s; try again when one is done",
	    n < FILES_EACH ? env.n : n, n < FILES_EACH ? "" : " for you");
	return false;
}

struct files *
files_new(const char *id, const char *viewer, struct buf *why)
{
	struct files *f;

	if (!files_fit(viewer, why) || (f = calloc(1, sizeof(*f))) == NULL)
		return NULL;
	LIST_INSERT_HEAD(&env.all, f, link);
	env.n++;
	(void)str_copy(f->viewer, sizeof(f->viewer), viewer);
	if (str_copy(f->id, sizeof(f->id), id) != 0) {
		(void)buf_putf(why, "there is no such id");
		files_free(f);
		return NULL;
	}
	return f;
}

void
files_free(struct files *f)
{
	if (f == NULL)
		return;
	LIST_REMOVE(f, link);
	env.n--;
	free(f);
}

static bool
files_wanted(const struct files *f, const struct store_kept *k)
{
	return f->id[0] == '\0' || strcmp(f->id, k->operation) == 0 ||
	       strcmp(f->id, k->session) == 0;
}

/* page[at] is the next one that is wanted. */
static int
files_find(struct files *f)
{
	struct store *s;
	int r;

	for (;;) {
		for (; f->at < f->n; f->at++) {
			if (files_wanted(f, &f->page[f->at]))
				return 0;
		}
		if ((s = audit_store()) == NULL)
			return ERR_SYS;
		if (f->n > 0)
			f->after = f->page[f->n - 1].number;
		f->at = 0;
		if ((r = store_files(
			 s, f->after, f->page, FILES_PAGE, &f->n)) != 0)
			return r;
		if (f->n == 0)
			return ERR_NOTFOUND;
	}
}

int
files_next(struct files *f, struct buf *json, int *fdp)
{
	char side[RECORD_PATH_MAX];
	const struct store_kept *k;
	struct json j;
	int r;

	if ((r = files_find(f)) != 0)
		return r;
	k = &f->page[f->at];
	record_sibling_path(k->recording, RECORD_SIDE, side);
	json_init(&j, json);
	json_open(&j, '{');
	json_kv_str(&j, "kind", "file");
	json_kv_str(&j, "file", f->side ? side : k->recording);
	json_close(&j, '}');
	if ((r = json_end(&j)) != 0)
		return r;
	*fdp = -1;
	r = (f->side ? record_view_side : record_view)(
	    audit_recordings(), k->recording, fdp);
	if (r != 0 && r != ERR_NOTFOUND)
		return r;
	f->at += f->side;
	f->side = !f->side;
	return 0;
}
