/*
 * The verifier: the ledger's lines against tiles, checkpoint and keys.  Runs in
 * `postern verify` on a folder that anybody may have written; nothing of it is
 * believed, and everything of it may be missing, cut or hostile.
 *
 * The lines are read once, in order; what does not fit is noted where it is
 * seen, and judged at the end, when it is known whether the signed root holds:
 * if it does, it is the tile that is wrong, if not, the line.
 */
#include "config.h"

#include "audit/verify.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/ledger.h"
#include "audit/tiles.h"
#include "audit/tlog.h"
#include "audit/utc.h"
#include "audit/verify_internal.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/safeopen.h"
#include "lib/str.h"

#define PROGRESS_LINES 4096

static const char *const names[] = {
	[VERIFY_UNKNOWN] = "unknown",
	[VERIFY_MISSING] = "missing",
	[VERIFY_CHANGED] = "changed",
	[VERIFY_GAP] = "gap",
	[VERIFY_ORDER] = "order",
	[VERIFY_CUT] = "cut",
	[VERIFY_KEY] = "key",
	[VERIFY_SIGNATURE] = "signature",
	[VERIFY_TILE] = "tile",
	[VERIFY_ROLLBACK] = "rollback",
	[VERIFY_UNSIGNED] = "unsigned",
	[VERIFY_RESTORED] = "restored",
};

const char *
verify_name(enum verdict_kind v)
{
	return v == VERIFY_OK ? "ok" : names[v];
}

int
verify_wrong(struct verify *v, enum verdict_kind kind, const char *file,
    uint64_t line, const char *fmt, ...)
{
	va_list ap;

	v->found->verdict = kind;
	(void)snprintf(v->found->file, sizeof(v->found->file), "%s", file);
	v->found->line = line;
	va_start(ap, fmt);
	(void)vsnprintf(v->found->text, sizeof(v->found->text), fmt, ap);
	va_end(ap);
	return ERR_DENIED;
}

bool
verify_signed(
    const void *note, size_t n, const struct note_key *keys, size_t nkeys)
{
	bool good = false;
	size_t text;
	int r;

	for (size_t i = 0; i < nkeys; i++) {
		r = note_verify(note, n, &keys[i], &text);
		if (r != 0 && r != ERR_NOTFOUND)
			return false;
		good = good || r == 0;
	}
	return good;
}

/* -- tiles ---------------------------------------------------------------- */

/* The tile of w hashes, of which n are wanted.  Those that are not full go when
 * they are: whoever has an older checkpoint takes the full one (C2SP
 * tlog-tiles).  *w: how many the file has. */
static int
hold_read(const struct verify *v, unsigned int level, uint64_t index, size_t n,
    size_t *w, struct tree_hash tile[TREE_WIDTH])
{
	int r;

	if (v->tiles == -1)
		return ERR_NOTFOUND;
	r = tiles_read(v->tiles, level, index, *w, tile);
	if (r != ERR_NOTFOUND || *w < n || *w == TREE_WIDTH)
		return r;
	if ((r = tiles_read(v->tiles, level, index, TREE_WIDTH, tile)) !=
	    ERR_NOTFOUND)
		*w = TREE_WIDTH;
	return r;
}

/* Holds n hashes of ours against the tile's file, and those of fewer.  *first:
 * the first that differs, if it can be told. */
static int
hold(struct verify *v, unsigned int level, uint64_t index,
    const struct tree_hash *h, size_t n, size_t *first)
{
	struct tree_hash tile[TREE_WIDTH];
	char path[TILES_PATH_MAX];
	size_t w, has, k = n == TREE_WIDTH ? n : 1;
	int r;

	for (; k <= n; k++) {
		has = k;
		r = hold_read(v, level, index, n, &has, tile);
		w = has < n ? has : n;
		if (r == ERR_SYS)
			return r;
		if (r == ERR_NOTFOUND && k < n)
			continue;
		if (r == 0 && memcmp(tile, h, w * sizeof(*h)) == 0)
			continue;
		tiles_path(level, index, has, path);
		if (v->tile[0] == '\0')
			(void)snprintf(
			    v->tile, sizeof(v->tile), VERIFY_TREE "/%s", path);
		for (size_t i = 0; r == 0 && i < w && i < *first; i++) {
			if (memcmp(&tile[i], &h[i], sizeof(*h)) != 0)
				*first = i;
		}
	}
	return 0;
}

/* The lowest level, of which a place is a line's. */
static int
hold_lowest(struct verify *v, const struct tree_hash *leaf, size_t n)
{
	uint64_t base = (v->tree->size - (n < TREE_WIDTH)) / TREE_WIDTH;
	size_t first = TREE_WIDTH;
	int r;

	if ((r = hold(v, TILES_ENTRIES, base, v->entry, n, &first)) != 0 ||
	    (r = hold(v, 0, base, leaf, n, &first)) != 0)
		return r;
	if (first < TREE_WIDTH && v->line == 0)
		v->line = base * TREE_WIDTH + first + 1;
	return 0;
}

/* A full one; the tree's size is still that before its last leaf. */
static int
hold_full(void *arg, unsigned int level, uint64_t index,
    const struct tree_hash tile[TREE_WIDTH])
{
	struct verify *v = arg;
	size_t first = 0;

	if (v->tree->size >= v->at.size)
		return 0;
	return level == 0 ? hold_lowest(v, tile, TREE_WIDTH)
			  : hold(v, level, index, tile, TREE_WIDTH, &first);
}

static int
hold_edge(struct verify *v)
{
	struct tree *t = v->tree;
	size_t n, first = 0;
	int r = 0;

	for (unsigned int level = 0; level < TREE_LEVELS && r == 0; level++) {
		if ((n = tree_edge(t, level)) == 0)
			continue;
		r = level == 0 ? hold_lowest(v, t->edge[0], n)
			       : hold(v, level, t->size >> (8 * (level + 1)),
				     t->edge[level], n, &first);
	}
	return r;
}

/* There is the last tile of as many lines as the checkpoint signs. */
static bool
has_edge(const struct verify *v)
{
	char path[TILES_PATH_MAX];
	size_t n = (size_t)(v->at.size % TREE_WIDTH);
	struct stat st;

	if (v->tiles == -1 || v->at.size == 0)
		return false;
	for (int i = 0; i < 2; i++, n = 0) {
		tiles_path(TILES_ENTRIES, (v->at.size - 1) / TREE_WIDTH,
		    n == 0 ? TREE_WIDTH : n, path);
		if (fstatat(v->tiles, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode))
			return true;
	}
	return false;
}

/* -- keys ----------------------------------------------------------------- */

/* The old key's word for the new one, behind all lines so far. */
static bool
key_follows(const struct verify *v, const struct buf *event, const char *name)
{
	char note[NOTE_MAX], more[sizeof(TLOG_NEXT_KEY) + NOTE_KEY_MAX + 1];
	struct checkpoint at;
	struct tree_hash root;

	(void)snprintf(more, sizeof(more), TLOG_NEXT_KEY "%s\n", name);
	return ledger_field(event, EV_CHECKPOINT, note, sizeof(note)) == 0 &&
	       checkpoint_parse(note, strlen(note), &at) == 0 &&
	       at.size == v->tree->size && tree_root(v->tree, &root) == 0 &&
	       memcmp(&at.root, &root, sizeof(root)) == 0 &&
	       at.more_len == strlen(more) &&
	       memcmp(at.more, more, at.more_len) == 0 &&
	       verify_signed(note, strlen(note), &v->keys[v->nkeys - 1], 1);
}

/* No word for the new key, which was made where the old one was not: but what
 * the old one, or one before, signed last.  Whether the lines fit to that is
 * found like any other checkpoint (verify_given_restored). */
static bool
key_restored(
    const struct verify *v, const struct buf *event, const struct note_key *k)
{
	struct checkpoint at;
	char note[NOTE_MAX];

	return ledger_field(event, EV_CHECKPOINT, note, sizeof(note)) == 0 &&
	       checkpoint_parse(note, strlen(note), &at) == 0 &&
	       at.more_len == 0 && at.size <= v->tree->size &&
	       strcmp(at.origin, k->name) == 0 &&
	       verify_signed(note, strlen(note), v->keys, v->nkeys);
}

/* Is the key that this event names the one that follows?  It is added. */
static bool
key_take(struct verify *v, const struct buf *event, bool start)
{
	char name[NOTE_KEY_MAX], last[NOTE_KEY_MAX];
	struct note_key k;
	int r = ledger_field(event, EV_KEY, name, sizeof(name));

	if (r == ERR_NOTFOUND && start)
		return true;
	if (r != 0 || note_key_parse(name, &k) != 0)
		return false;
	if (v->nkeys > 0 && start) {
		note_key_text(&v->keys[v->nkeys - 1], last);
		return strcmp(name, last) == 0;
	}
	if (v->nkeys == VERIFY_KEYS_MAX || (v->nkeys == 0 && !start))
		return false;
	if (v->nkeys > 0 && !key_follows(v, event, name)) {
		if (!key_restored(v, event, &k))
			return false;
		v->restored = v->tree->size + 1;
		v->restored_nkeys = v->nkeys;
	}
	v->keys[v->nkeys++] = k;
	return true;
}

/* {"number":N,"time":"…","event":"start" or "ledger.key" */
static bool
key_line(const char *line, size_t n, bool *start)
{
	static const char kinds[2][24] = { "\"event\":\"ledger.key\"",
		"\"event\":\"start\"" };
	const char *comma = memchr(line, ',', n);
	const size_t time = sizeof(",\"time\":\"") - 1 + UTC_LEN + 2;
	size_t left;

	if (comma == NULL || (left = n - (size_t)(comma - line)) < time)
		return false;
	for (size_t i = 0; i < 2; i++) {
		size_t k = strlen(kinds[i]);

		*start = i == 1;
		if (left > time + k && memcmp(comma + time, kinds[i], k) == 0)
			return true;
	}
	return false;
}

static int
key_look(struct verify *v, uint64_t number, const char *line, size_t n)
{
	uint64_t said, ms;
	struct buf event;
	bool start, good;

	if (!key_line(line, n, &start))
		return 0;
	buf_init(&event, LEDGER_EVENT_MAX);
	good = ledger_parse(line, n, &said, &ms, &event) == 0 &&
	       key_take(v, &event, start);
	buf_clear(&event);
	if (!good && v->chain == 0)
		v->chain = number;
	return 0;
}

/* -- lines ---------------------------------------------------------------- */

int
verify_line(
    struct verify *v, struct ledger_lines *l, const char **line, size_t *n)
{
	uint64_t number, place;
	int r = ledger_lines_next(l, line, n);

	place = l->line;
	if (r == ERR_FORMAT)
		return ERR_NOTFOUND;
	if (r != 0 && r != ERR_TOOBIG)
		return r;
	if (r == ERR_TOOBIG || ledger_lines_number(*line, *n, &number) != 0)
		return verify_wrong(v, VERIFY_CHANGED, VERIFY_LEDGER, place,
		    "it is not a ledger's line");
	if (number != place)
		return verify_wrong(v,
		    number > place ? VERIFY_GAP : VERIFY_ORDER, VERIFY_LEDGER,
		    place, "it has the number %" PRIu64, number);
	if (v->ask->progress != NULL && place % PROGRESS_LINES == 0)
		v->ask->progress(v->ask->arg, l->next, v->ledger_size);
	return 0;
}

static int
line_take(struct verify *v, const char *line, size_t n)
{
	struct tree_hash leaf, root;
	uint64_t size;
	int r;

	if ((r = tree_sha256(line, n, &v->entry[tree_edge(v->tree, 0)])) != 0 ||
	    (r = tree_leaf(&v->entry[tree_edge(v->tree, 0)], &leaf)) != 0 ||
	    (r = tree_append(v->tree, &leaf, hold_full, v)) != 0)
		return r;
	size = v->tree->size;
	if (size == v->at.size && (r = hold_edge(v)) != 0)
		return r;
	for (; v->next_given < v->ngiven &&
	       v->given[v->next_given].at.size <= size;
	     v->next_given++) {
		const struct verify_given *g = &v->given[v->next_given];

		if (g->at.size == 0 || v->differs != NULL)
			continue;
		if ((r = tree_root(v->tree, &root)) != 0)
			return r;
		if (memcmp(&root, &g->at.root, sizeof(root)) != 0)
			v->differs = g;
	}
	if (size != v->at.size)
		return 0;
	if ((r = tree_root(v->tree, &root)) == 0)
		v->right = memcmp(&root, &v->at.root, sizeof(root)) == 0;
	return r;
}

static int
scan(struct verify *v)
{
	struct ledger_lines l;
	const char *line;
	size_t n;
	int r;

	if ((r = ledger_lines_init(&l, v->ledger, 0, UINT64_MAX)) != 0)
		return r;
	while ((r = verify_line(v, &l, &line, &n)) == 0) {
		if ((r = key_look(v, l.line, line, n)) != 0 ||
		    (r = line_take(v, line, n)) != 0)
			break;
	}
	ledger_lines_clear(&l);
	v->found->lines = v->tree->size;
	return r == ERR_NOTFOUND ? 0 : r;
}

/* -- judging -------------------------------------------------------------- */

static int
judge_root(struct verify *v, bool good)
{
	if (v->tree->size < v->at.size && (good || has_edge(v)))
		return verify_wrong(v, VERIFY_CUT, VERIFY_LEDGER,
		    v->tree->size + 1,
		    "the ledger ends here, and %" PRIu64 " lines were signed",
		    v->at.size);
	if (!v->right && v->line != 0)
		return verify_wrong(v, VERIFY_CHANGED, VERIFY_LEDGER, v->line,
		    "this line is not the one that was signed");
	if (!v->right && good)
		return verify_wrong(v, VERIFY_CHANGED, VERIFY_LEDGER, 0,
		    "its lines are not those that were signed");
	return 0;
}

static int
judge_keys(struct verify *v, bool good)
{
	char key[NOTE_KEY_MAX];
	bool named = v->ask->key == NULL;

	if (v->chain != 0)
		return verify_wrong(v, VERIFY_KEY, VERIFY_LEDGER, v->chain,
		    "the key that it names is not named by the one before");
	if (!good)
		return verify_wrong(v, VERIFY_SIGNATURE, VERIFY_CHECKPOINT, 0,
		    "it is not signed by the ledger's key");
	if (v->tile[0] != '\0')
		return verify_wrong(v, VERIFY_TILE, v->tile, 0,
		    "it is missing, or not what the lines give");
	for (size_t i = 0; i < v->nkeys && !named; i++) {
		note_key_text(&v->keys[i], key);
		named = strcmp(key, v->ask->key) == 0;
	}
	return named ? 0
		     : verify_wrong(v, VERIFY_KEY, VERIFY_LEDGER, 0,
			   "it is signed by other keys than the one given");
}

static int
judge_given(struct verify *v)
{
	for (size_t i = 0; i < v->ngiven; i++) {
		const struct verify_given *g = &v->given[i];

		if (g->line != 0)
			continue; /* key_take has looked at it */
		if (strcmp(g->at.origin, v->at.origin) != 0 ||
		    !verify_signed(g->note, strlen(g->note), v->keys, v->nkeys))
			return verify_wrong(v, VERIFY_KEY, g->file, 0,
			    "its checkpoint of %" PRIu64
			    " lines is not this ledger's",
			    g->at.size);
	}
	if (v->differs != NULL && v->differs->line != 0)
		return verify_wrong(v, VERIFY_KEY, VERIFY_LEDGER,
		    v->differs->line,
		    "the ledger is another one than was signed before it was "
		    "restored");
	if (v->differs != NULL)
		return verify_wrong(v, VERIFY_ROLLBACK, v->differs->file, 0,
		    "the ledger is another one than it was at line %" PRIu64,
		    v->differs->at.size);
	if (v->next_given < v->ngiven)
		return verify_wrong(v, VERIFY_ROLLBACK,
		    v->given[v->next_given].file, 0,
		    "the ledger had %" PRIu64 " lines, and has %" PRIu64,
		    v->given[v->next_given].at.size, v->tree->size);
	return 0;
}

/* Who knows a key from behind the last restoration trusts what it signs, which
 * is all of the ledger; nobody else has a reason to. */
static int
judge_restored(struct verify *v)
{
	char key[NOTE_KEY_MAX];

	for (size_t i = v->restored_nkeys; i < v->nkeys && v->ask->key != NULL;
	     i++) {
		note_key_text(&v->keys[i], key);
		if (strcmp(key, v->ask->key) == 0)
			return 0;
	}
	return v->restored == 0
		   ? 0
		   : verify_wrong(v, VERIFY_RESTORED, VERIFY_LEDGER,
			 v->restored,
			 "here it was restored without its key: nobody but who "
			 "restored it vouches for the key since");
}

static int
judge(struct verify *v)
{
	bool good = v->nkeys > 0 &&
		    strcmp(v->at.origin, v->keys[0].name) == 0 &&
		    verify_signed(buf_ptr(&v->note), buf_len(&v->note),
			&v->keys[v->nkeys - 1], 1);
	int r;

	if (v->at.size == 0) {
		struct tree_hash none;

		if ((r = tree_sha256("", 0, &none)) != 0)
			return r;
		v->right = memcmp(&none, &v->at.root, sizeof(none)) == 0;
	}
	if ((r = judge_root(v, good)) != 0 || (r = judge_keys(v, good)) != 0)
		return r;
	return judge_given(v);
}

/* -- the whole ------------------------------------------------------------ */

static int
open_ledger(struct verify *v)
{
	struct stat st;

	v->ledger = openat(
	    v->ask->dir, VERIFY_LEDGER, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (v->ledger == -1)
		return errno != ENOENT
			   ? ERR_SYS
			   : verify_wrong(v, VERIFY_MISSING, VERIFY_LEDGER, 0,
				 "there is no ledger");
	if (fstat(v->ledger, &st) == -1)
		return ERR_SYS;
	v->ledger_size = (uint64_t)st.st_size;
	return 0;
}

static int
open_tree(struct verify *v)
{
	int fd, r;

	v->tiles = openat(
	    v->ask->dir, VERIFY_TREE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = openat(
	    v->ask->dir, VERIFY_CHECKPOINT, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd == -1)
		return errno != ENOENT
			   ? ERR_SYS
			   : verify_wrong(v, VERIFY_MISSING, VERIFY_CHECKPOINT,
				 0, "there is no checkpoint");
	r = slurp_fd(fd, &v->note);
	(void)close(fd);
	if (r == ERR_SYS)
		return r;
	if (r != 0 ||
	    checkpoint_parse(buf_ptr(&v->note), buf_len(&v->note), &v->at) != 0)
		return verify_wrong(v, VERIFY_SIGNATURE, VERIFY_CHECKPOINT, 0,
		    "it is not a checkpoint");
	v->found->signed_lines = v->at.size;
	return 0;
}

static int
verify_all(struct verify *v)
{
	int r;

	if ((v->tree = calloc(1, sizeof(*v->tree))) == NULL ||
	    (v->keys = calloc(VERIFY_KEYS_MAX, sizeof(*v->keys))) == NULL)
		return ERR_NOMEM;
	if ((r = open_tree(v)) != 0 || (r = verify_given_read(v)) != 0 ||
	    (r = open_ledger(v)) != 0 || (r = verify_given_restored(v)) != 0 ||
	    (r = scan(v)) != 0 || (r = judge(v)) != 0)
		return r;
	note_key_text(&v->keys[v->nkeys - 1], v->found->key);
	return (r = verify_files(v)) != 0 ? r : judge_restored(v);
}

int
verify_store(const struct verify_ask *ask, struct verify_found *found)
{
	struct verify v = {
		.ask = ask, .found = found, .ledger = -1, .tiles = -1
	};
	int r, err;

	*found = (struct verify_found){ 0 };
	buf_init(&v.note, NOTE_MAX);
	r = verify_all(&v);
	err = errno;
	if (r == 0)
		found->verdict = VERIFY_OK;
	else if (r != ERR_DENIED) {
		errno = err;
		if (found->text[0] == '\0')
			(void)snprintf(found->text, sizeof(found->text), "%s",
			    err_text(r));
	}
	if (v.ledger >= 0)
		(void)close(v.ledger);
	if (v.tiles >= 0)
		(void)close(v.tiles);
	verify_given_clear(&v);
	buf_clear(&v.note);
	free(v.keys);
	free(v.tree);
	errno = err;
	return r;
}
