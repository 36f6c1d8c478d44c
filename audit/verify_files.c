/*
 * Recordings and sidecars against the digests of their lines.  Runs in the
 * verifier, when the ledger has been found whole: what its signed lines say is
 * believed, the files are not.
 */
#include "config.h"

#include "audit/verify_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "audit/ledger.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/str.h"

#define UNSIGNED_MS 60000 /* lines that are not signed span no more */
#define FILES_FOLDER "recordings/"
#define FILES_ID_MAX 64
#define FILES_PATH_MAX 96

struct files {
	struct verify *v;
	uint64_t first, first_ms; /* that is not signed */
	bool any;                 /* of the id asked for */
	/* what retention deleted, by its own word; in order */
	char (*gone)[FILES_ID_MAX];
	size_t ngone;
};

static int
gone_order(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* A line that says that a recording was deleted; added to the others. */
static int
gone_line(struct files *f, uint64_t place, const char *line, size_t n)
{
	static const char kind[] = "\"event\":\"retention.delete\"";
	uint64_t number, ms;
	struct buf event;
	void *all;

	(void)place;
	if (memmem(line, n, kind, sizeof(kind) - 1) == NULL)
		return 0;
	if ((f->ngone & (f->ngone - 1)) == 0) { /* grown by doubling */
		all = reallocarray(f->gone, 2 * f->ngone + 1, sizeof(*f->gone));
		if (all == NULL)
			return ERR_NOMEM;
		f->gone = all;
	}
	buf_init(&event, LEDGER_EVENT_MAX);
	if (ledger_parse(line, n, &number, &ms, &event) == 0 &&
	    ledger_field(
		&event, EV_OPERATION, f->gone[f->ngone], sizeof(*f->gone)) == 0)
		f->ngone++;
	buf_clear(&event);
	return 0;
}

static bool
gone_has(const struct files *f, const struct buf *event)
{
	char id[FILES_ID_MAX];

	return f->ngone > 0 &&
	       ledger_field(event, EV_OPERATION, id, sizeof(id)) == 0 &&
	       bsearch(id, f->gone, f->ngone, sizeof(*f->gone), gone_order) !=
		   NULL;
}

int
verify_digest(int fd, char hex[VERIFY_SHA256_MAX])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t d[65536], sha[EVP_MAX_MD_SIZE];
	int r = ERR_CRYPTO;
	ssize_t n;

	if (md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
		goto out;
	while ((n = read(fd, d, sizeof(d))) > 0) {
		if (EVP_DigestUpdate(md, d, (size_t)n) != 1)
			goto out;
	}
	if (n == -1)
		r = ERR_SYS;
	else if (EVP_DigestFinal_ex(md, sha, NULL) == 1) {
		hex_encode(sha, TREE_HASH_LEN, hex);
		r = 0;
	}
out:
	EVP_MD_CTX_free(md);
	return r;
}

static int
file_digest(int dir, const char *path, char hex[2 * TREE_HASH_LEN + 1])
{
	int fd, r;

	fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd == -1)
		return errno == ENOENT ? ERR_NOTFOUND : ERR_SYS;
	r = verify_digest(fd, hex);
	(void)close(fd);
	return r;
}

static int
file_look(struct verify *v, const char *path, const char *sha256,
    uint64_t number, bool may_miss)
{
	char hex[2 * TREE_HASH_LEN + 1];
	int r;

	r = v->ask->sha256 != NULL ? v->ask->sha256(v->ask->sha256_arg,
					 path + sizeof(FILES_FOLDER) - 1, hex)
				   : file_digest(v->ask->dir, path, hex);
	if (r == ERR_NOTFOUND)
		return may_miss ? 0
				: verify_wrong(v, VERIFY_MISSING, path, number,
				      "it is not there");
	if (r == 0 && strcmp(hex, sha256) != 0)
		r = verify_wrong(v, VERIFY_CHANGED, path, number,
		    "it is not what it was when it was closed");
	return r;
}

/* Both files of an operation that has ended. */
static int
file_both(const struct files *f, const struct buf *event, uint64_t number)
{
	struct verify *v = f->v;
	char name[FILES_PATH_MAX], path[FILES_PATH_MAX + 16], sha256[80];
	size_t n;
	int r;

	if (ledger_field(event, EV_RECORDING, name, sizeof(name)) != 0)
		return 0;
	if (strstr(name, "..") != NULL || (n = strlen(name)) < 5 ||
	    ledger_field(event, EV_RECORDING_SHA256, sha256, sizeof(sha256)) !=
		0)
		return verify_wrong(v, VERIFY_CHANGED, VERIFY_LEDGER, number,
		    "it is not a ledger's line");
	v->found->recordings++;
	(void)snprintf(path, sizeof(path), FILES_FOLDER "%s", name);
	if ((r = file_look(v, path, sha256, number, gone_has(f, event))) != 0)
		return r;
	if (ledger_field(event, EV_SIDECAR_SHA256, sha256, sizeof(sha256)) != 0)
		return 0;
	(void)snprintf(
	    path, sizeof(path), FILES_FOLDER "%.*s.json", (int)(n - 5), name);
	return file_look(v, path, sha256, number, false);
}

static bool
is_asked(struct files *f, const struct buf *event)
{
	char session[FILES_ID_MAX], operation[FILES_ID_MAX];
	const char *id = f->v->ask->id;

	if (id == NULL)
		return true;
	if (ledger_field(event, EV_SESSION, session, sizeof(session)) != 0)
		session[0] = '\0';
	if (ledger_field(event, EV_OPERATION, operation, sizeof(operation)) !=
	    0)
		operation[0] = '\0';
	if (strcmp(id, session) != 0 && strcmp(id, operation) != 0)
		return false;
	f->any = true;
	return true;
}

static int
files_line(struct files *f, uint64_t place, const char *line, size_t n)
{
	struct verify *v = f->v;
	uint64_t number, ms;
	struct buf event;
	uint32_t kind;
	int r;

	buf_init(&event, LEDGER_EVENT_MAX);
	r = ledger_parse(line, n, &number, &ms, &event);
	if (r == ERR_NOTFOUND) { /* of a kind that we do not know */
		r = 0;
		goto out;
	}
	if (r != 0) {
		r = verify_wrong(v, VERIFY_CHANGED, VERIFY_LEDGER, place,
		    "it is not a ledger's line");
		goto out;
	}
	if (place > v->at.size && f->first == 0) {
		f->first = place;
		f->first_ms = ms;
	}
	if (f->first != 0 && ms > f->first_ms + UNSIGNED_MS) {
		r = verify_wrong(v, VERIFY_UNSIGNED, VERIFY_LEDGER, f->first,
		    "from here on it is not signed");
		goto out;
	}
	if (is_asked(f, &event) && ledger_kind(&event, &kind) == 0 &&
	    kind == EVENT_OP_END)
		r = file_both(f, &event, place);
out:
	buf_clear(&event);
	return r;
}

typedef int (*each_cb)(
    struct files *f, uint64_t place, const char *line, size_t n);

static int
each_line(struct files *f, each_cb cb)
{
	struct ledger_lines l;
	const char *line;
	size_t n;
	int r;

	if ((r = ledger_lines_init(&l, f->v->ledger, 0, UINT64_MAX)) != 0)
		return r;
	while ((r = verify_line(f->v, &l, &line, &n)) == 0 &&
	       (r = cb(f, l.line, line, n)) == 0)
		;
	ledger_lines_clear(&l);
	return r == ERR_NOTFOUND ? 0 : r;
}

int
verify_files(struct verify *v)
{
	struct files f = { .v = v };
	int r;

	if ((r = each_line(&f, gone_line)) != 0)
		goto out;
	if (f.ngone > 1)
		qsort(f.gone, f.ngone, sizeof(*f.gone), gone_order);
	if ((r = each_line(&f, files_line)) == 0 && v->ask->id != NULL &&
	    !f.any) {
		(void)verify_wrong(v, VERIFY_UNKNOWN, VERIFY_LEDGER, 0,
		    "no session or operation has this id");
		r = ERR_NOTFOUND;
	}
out:
	free(f.gone);
	return r;
}
