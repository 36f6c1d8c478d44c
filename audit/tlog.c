/*
 * The ledger's tree, key and checkpoints.  Runs in audit, which alone has the
 * key.  What it finds when it opens them was written by itself, and may be
 * damaged, lost, older than the ledger, or somebody else's work: the lines and
 * the signed root decide, and where these two differ it signs nothing.
 */
#include "config.h"

#include "audit/tlog.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/ledger.h"
#include "audit/tiles.h"
#include "lib/err.h"
#include "lib/safeopen.h"
#include "lib/str.h"
#include "lib/ulid.h"

#define TLOG_KEY_NEXT "key.next"
#define TLOG_NEW ".new"

/* -- small files ---------------------------------------------------------- */

/* Whole and on the disk, or not there. */
static int
tlog_put_file(int dir, const char *name, mode_t mode, const void *p, size_t n)
{
	char fresh[32];
	int fd, r, err;

	(void)snprintf(fresh, sizeof(fresh), "%s" TLOG_NEW, name);
	(void)unlinkat(dir, fresh, 0);
	fd = openat(dir, fresh,
	    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd == -1)
		return ERR_SYS;
	r = write_all(fd, p, n);
	if (r == 0 && fdatasync(fd) == -1)
		r = ERR_SYS;
	if (r == 0 && renameat(dir, fresh, dir, name) == -1)
		r = ERR_SYS;
	err = errno;
	(void)close(fd);
	if (r != 0)
		(void)unlinkat(dir, fresh, 0);
	errno = err;
	return r;
}

static int
tlog_get_file(int dir, const char *name, struct buf *b)
{
	int fd, r;

	fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd == -1)
		return errno == ENOENT ? ERR_NOTFOUND : ERR_SYS;
	r = slurp_fd(fd, b);
	(void)close(fd);
	return r;
}

/* -- the key -------------------------------------------------------------- */

static int
key_read(int dir, const char *name, struct note_signer *s, uint64_t *made)
{
	struct secret text = { 0 };
	struct stat st;
	struct buf b;
	int r;

	buf_init(&b, 512); /* wiped by clear */
	if ((r = tlog_get_file(dir, name, &b)) == 0 &&
	    (r = secret_init(&text, 512)) == 0 &&
	    (r = secret_append(&text, buf_ptr(&b), buf_len(&b))) == 0)
		r = note_signer_parse(s, &text);
	*made = r == 0 && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0
		    ? (uint64_t)st.st_mtime
		    : 0;
	secret_clear(&text);
	buf_clear(&b);
	return r;
}

static int
key_write(int dir, const char *name, const struct note_signer *s)
{
	struct secret text = { 0 };
	int r;

	if ((r = note_signer_text(s, &text)) == 0 &&
	    (r = tlog_put_file(dir, name, 0600, text.d, text.len)) == 0 &&
	    fsync(dir) == -1)
		r = ERR_SYS;
	secret_clear(&text);
	return r;
}

/* The first key of a ledger, which names it. */
static int
key_make(struct tlog *t)
{
	char name[NOTE_NAME_MAX + 1] = TLOG_NAME_PREFIX;
	struct note_signer s = { 0 };
	int r;

	_Static_assert(sizeof(TLOG_NAME_PREFIX) + ULID_LEN <= sizeof(name),
	    "a name has room");
	if ((r = ulid_new(name + sizeof(TLOG_NAME_PREFIX) - 1)) != 0 ||
	    (r = note_signer_new(&s, name)) != 0)
		return r;
	r = key_write(t->ledger_dir, TLOG_KEY, &s);
	note_signer_clear(&s);
	if (r != 0)
		return r;
	return key_read(t->ledger_dir, TLOG_KEY, &t->signer, &t->key_time);
}

/* -- opening -------------------------------------------------------------- */

struct opening {
	struct tlog *t;
	struct checkpoint at; /* what was signed last; size 0: nothing */
	bool dry;             /* tiles are not written */
	bool wrong;           /* the root at that size is another one */
	char key[NOTE_KEY_MAX], next[NOTE_KEY_MAX]; /* "": none */
	bool has_key, has_next; /* a line of the ledger made it the key */
};

static int
full_keep(void *arg, unsigned int level, uint64_t index,
    const struct tree_hash tile[TREE_WIDTH])
{
	const struct tlog *t = arg;
	int r;

	if (level == 0 && (r = tiles_write(t->dir, TILES_ENTRIES, index,
			       t->entry, TREE_WIDTH, true)) != 0)
		return r;
	return tiles_write(t->dir, level, index, tile, TREE_WIDTH, true);
}

static int
full_skip(void *arg, unsigned int level, uint64_t index,
    const struct tree_hash tile[TREE_WIDTH])
{
	(void)arg;
	(void)level;
	(void)index;
	(void)tile;
	return 0;
}

static int
tlog_add(struct tlog *t, const struct tree_hash *entry, tree_full_cb full)
{
	struct tree_hash leaf;
	int r;

	t->entry[tree_edge(t->tree, 0)] = *entry;
	if ((r = tree_leaf(entry, &leaf)) != 0)
		return r;
	return tree_append(t->tree, &leaf, full, t);
}

static int
opening_compare(struct opening *o)
{
	struct tree_hash root;
	int r;

	if (o->t->tree->size != o->at.size)
		return 0;
	if ((r = tree_root(o->t->tree, &root)) != 0)
		return r;
	o->wrong = !mem_equal(&root, &o->at.root, sizeof(root));
	return o->wrong ? ERR_DENIED : 0;
}

static int
opening_line(void *arg, const char *line, size_t n, uint64_t end)
{
	static const char kind[] = "\"event\":\"ledger.key\"";
	struct opening *o = arg;
	struct tree_hash entry;
	int r;

	(void)end;
	if (memmem(line, n, kind, sizeof(kind) - 1) != NULL) {
		if (memmem(line, n, o->key, strlen(o->key)) != NULL)
			o->has_key = true;
		if (o->next[0] != '\0' &&
		    memmem(line, n, o->next, strlen(o->next)) != NULL)
			o->has_next = true;
	}
	if ((r = tree_sha256(line, n, &entry)) != 0 ||
	    (r = tlog_add(o->t, &entry, o->dry ? full_skip : full_keep)) != 0)
		return r;
	return opening_compare(o);
}

/* From the line behind `from`, which is a full tile's end. */
static int
opening_scan(struct opening *o, const struct ledger *l, uint64_t from)
{
	uint64_t offset;
	int r;

	o->wrong = false;
	if ((r = ledger_back(l, l->next - 1 - from, &offset)) != 0)
		return r;
	return ledger_scan(l, offset, opening_line, o);
}

/* All of it, from the first line; first without writing, so that tiles, which
 * say where a line was changed, are replaced only by what was signed. */
static int
opening_all(struct opening *o, const struct ledger *l)
{
	int r = 0;

	o->dry = o->at.size > 0;
	o->t->tree->size = 0;
	if (o->dry && (r = opening_scan(o, l, 0)) != 0)
		return r;
	o->dry = false;
	o->t->tree->size = 0;
	return opening_scan(o, l, 0);
}

/* The edge by the tiles, and from there on by the lines. */
static int
opening_tree(struct opening *o, const struct ledger *l)
{
	uint64_t from = o->at.size / TREE_WIDTH * TREE_WIDTH;
	int r;

	if (from > 0 && (r = tiles_edge(o->t->dir, from, o->t->tree)) == 0) {
		r = opening_scan(o, l, from);
		if (r == 0 || !o->wrong)
			return r;
	} else if (from > 0 && r != ERR_NOTFOUND && r != ERR_FORMAT) {
		return r;
	}
	o->t->repaired = from > 0;
	return opening_all(o, l);
}

/* What was signed last.  A note of the key before is believed when a line of
 * the ledger made ours the key behind it (opening_line). */
static int
opening_checkpoint(struct opening *o, bool *foreign, const char **why)
{
	struct tlog *t = o->t;
	size_t n;
	int r;

	*foreign = false;
	r = tlog_get_file(t->dir, TLOG_CHECKPOINT, &t->note);
	if (r == ERR_NOTFOUND) {
		t->made_anew = true;
		return 0;
	}
	if (r != 0 && r != ERR_TOOBIG)
		return r;
	r = note_verify(
	    buf_ptr(&t->note), buf_len(&t->note), &t->signer.key, &n);
	*foreign = r == ERR_NOTFOUND;
	if ((r != 0 && !*foreign) ||
	    checkpoint_parse(buf_ptr(&t->note), buf_len(&t->note), &o->at) !=
		0 ||
	    strcmp(o->at.origin, t->signer.key.name) != 0) {
		*why = "its checkpoint is not one of its key's";
		return ERR_DENIED;
	}
	return 0;
}

static int
opening_keys(struct opening *o, bool *fresh, const char **why)
{
	struct tlog *t = o->t;
	uint64_t made;
	int r;

	*fresh = false;
	r = key_read(t->ledger_dir, TLOG_KEY, &t->signer, &t->key_time);
	if (r == ERR_NOTFOUND &&
	    faccessat(t->dir, TLOG_CHECKPOINT, F_OK, 0) == 0) {
		*why = "the key that signed it is gone";
		return ERR_DENIED;
	}
	if (r == ERR_NOTFOUND) {
		*fresh = true;
		r = key_make(t);
	}
	if (r == ERR_FORMAT || r == ERR_TOOBIG) {
		*why = "its key is damaged";
		return ERR_DENIED;
	}
	if (r != 0)
		return r;
	note_key_text(&t->signer.key, o->key);
	if (key_read(t->ledger_dir, TLOG_KEY_NEXT, &t->next, &made) == 0)
		note_key_text(&t->next.key, o->next);
	return 0;
}

static int
opening_do(struct opening *o, const struct ledger *l, const char **why)
{
	struct tlog *t = o->t;
	bool fresh, foreign;
	int r;

	if ((r = opening_keys(o, &fresh, why)) != 0 ||
	    (r = opening_checkpoint(o, &foreign, why)) != 0)
		return r;
	t->made_anew = t->made_anew && !fresh;
	if (o->at.size >= l->next) {
		*why = "it ends before what was signed: lines are gone";
		return ERR_DENIED;
	}
	if ((r = opening_tree(o, l)) != 0) {
		if (o->wrong)
			*why = "its lines are not those that were signed";
		return o->wrong ? ERR_DENIED : r;
	}
	if (foreign && !o->has_key) {
		*why = "its checkpoint is signed by another key";
		return ERR_DENIED;
	}
	if (o->has_next)
		return tlog_rotate_end(t);
	tlog_rotate_drop(t);
	return 0;
}

int
tlog_open(
    struct tlog *t, int ledger_dir, const struct ledger *l, const char **why)
{
	struct opening o = { .t = t };
	int r = ERR_SYS;

	*why = "";
	*t = (struct tlog){ .ledger_dir = ledger_dir,
		.dir = -1,
		.signed_size = TLOG_UNSIGNED };
	buf_init(&t->note, NOTE_MAX);
	if ((mkdirat(ledger_dir, TLOG_FOLDER, 0750) == -1 && errno != EEXIST) ||
	    (t->dir = openat(ledger_dir, TLOG_FOLDER,
		 O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)) == -1)
		goto out;
	r = ERR_NOMEM;
	if ((t->tree = calloc(1, sizeof(*t->tree))) != NULL)
		r = opening_do(&o, l, why);
out:
	if (r != 0)
		tlog_close(t);
	return r;
}

void
tlog_close(struct tlog *t)
{
	int err = errno;

	if (t->dir >= 0)
		(void)close(t->dir);
	note_signer_clear(&t->signer);
	note_signer_clear(&t->next);
	buf_clear(&t->note);
	free(t->tree);
	*t = (struct tlog){ .dir = -1 };
	errno = err;
}

/* -- going on ------------------------------------------------------------- */

int
tlog_line(struct tlog *t, const struct tree_hash *entry)
{
	int r;

	if (t->dir == -1 || t->broken)
		return ERR_INTERNAL;
	if ((r = tlog_add(t, entry, full_keep)) != 0)
		t->broken = true;
	return r;
}

/* The tiles that are not full, where they have grown. */
static int
tlog_put_edge(const struct tlog *t)
{
	uint64_t size = t->tree->size;
	size_t n;
	int r;

	for (unsigned int level = 0; level < TREE_LEVELS; level++) {
		n = tree_edge(t->tree, level);
		if (n == 0 ||
		    size >> (8 * level) == t->signed_size >> (8 * level))
			continue;
		if (level == 0 &&
		    (r = tiles_write(t->dir, TILES_ENTRIES, size / TREE_WIDTH,
			 t->entry, n, false)) != 0)
			return r;
		if ((r = tiles_write(t->dir, level, size >> (8 * (level + 1)),
			 t->tree->edge[level], n, false)) != 0)
			return r;
	}
	return 0;
}

static int
tlog_make_note(const struct tlog *t, const char *more, struct buf *note)
{
	struct tree_hash root;
	struct buf text;
	int r;

	buf_init(&text, NOTE_MAX);
	if ((r = tree_root(t->tree, &root)) == 0 &&
	    (r = checkpoint_text(
		 t->signer.key.name, t->tree->size, &root, more, &text)) == 0)
		r = note_sign(&t->signer, buf_ptr(&text), buf_len(&text), note);
	buf_clear(&text);
	return r;
}

int
tlog_checkpoint(struct tlog *t)
{
	int r;

	if (t->dir == -1 || t->broken)
		return ERR_INTERNAL;
	if (t->tree->size == t->signed_size)
		return 0;
	buf_reset(&t->note);
	if ((r = tlog_put_edge(t)) != 0 ||
	    (r = tlog_make_note(t, "", &t->note)) != 0 ||
	    (r = tlog_put_file(t->dir, TLOG_CHECKPOINT, 0440, buf_ptr(&t->note),
		 buf_len(&t->note))) != 0)
		t->broken = true;
	else
		t->signed_size = t->tree->size;
	return r;
}

/* -- another key ---------------------------------------------------------- */

int
tlog_rotate_begin(struct tlog *t, char key[NOTE_KEY_MAX], struct buf *note)
{
	char more[sizeof(TLOG_NEXT_KEY) + NOTE_KEY_MAX + 1];
	int r;

	if (t->dir == -1 || t->broken)
		return ERR_INTERNAL;
	note_signer_clear(&t->next);
	if ((r = note_signer_new(&t->next, t->signer.key.name)) != 0 ||
	    (r = key_write(t->ledger_dir, TLOG_KEY_NEXT, &t->next)) != 0)
		return r;
	note_key_text(&t->next.key, key);
	(void)snprintf(more, sizeof(more), TLOG_NEXT_KEY "%s\n", key);
	return tlog_make_note(t, more, note);
}

/* The old secret is overwritten, as far as the file system lets us: who comes
 * later cannot sign in its name. */
int
tlog_rotate_end(struct tlog *t)
{
	static const uint8_t none[NOTE_KEY_MAX];
	int fd, r = 0;

	if (t->dir == -1 || t->broken || t->next.seed.d == NULL)
		return ERR_INTERNAL;
	fd = openat(t->ledger_dir, TLOG_KEY,
	    O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (renameat(t->ledger_dir, TLOG_KEY_NEXT, t->ledger_dir, TLOG_KEY) ==
		-1 ||
	    fsync(t->ledger_dir) == -1)
		r = ERR_SYS;
	if (r == 0 && fd >= 0 && write_all(fd, none, sizeof(none)) == 0)
		(void)fdatasync(fd);
	if (fd >= 0)
		(void)close(fd);
	if (r != 0) {
		t->broken = true;
		return r;
	}
	note_signer_clear(&t->signer);
	note_signer_clear(&t->next);
	t->signed_size = TLOG_UNSIGNED;
	r = key_read(t->ledger_dir, TLOG_KEY, &t->signer, &t->key_time);
	t->broken = r != 0;
	return r;
}

void
tlog_rotate_drop(struct tlog *t)
{
	note_signer_clear(&t->next);
	(void)unlinkat(t->ledger_dir, TLOG_KEY_NEXT, 0);
}
