/*
 * Checkpoints from elsewhere: notes, or logs with `anchor` lines.  Runs in the
 * verifier on files that may hold anything.
 */
#include "config.h"

#include "audit/verify_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/ledger.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/safeopen.h"

#define ANCHOR "anchor "
#define GIVEN_NOTES_MAX (64 * 1024 * 1024)
#define ANCHOR_WORDS 4 /* origin, lines, root, signature */

static int
given_add(struct verify *v, const char *file, uint64_t line, const void *note,
    size_t n)
{
	struct verify_given g = { .file = file, .line = line, .n = v->ngiven };
	struct verify_given *all;
	int r = ERR_NOMEM;

	if (v->ngiven >= VERIFY_GIVEN_MAX)
		return ERR_TOOBIG;
	if ((g.note = malloc(n + 1)) == NULL)
		return ERR_NOMEM;
	memcpy(g.note, note, n);
	g.note[n] = '\0';
	if (strlen(g.note) != n || checkpoint_parse(g.note, n, &g.at) != 0) {
		r = verify_wrong(
		    v, VERIFY_SIGNATURE, file, 0, "it holds no checkpoint");
		goto out;
	}
	/* grown by doubling */
	if ((v->ngiven & (v->ngiven - 1)) == 0) {
		all = reallocarray(v->given, 2 * v->ngiven + 1, sizeof(*all));
		if (all == NULL)
			goto out;
		v->given = all;
	}
	v->given[v->ngiven++] = g;
	return 0;
out:
	free(g.note);
	return r;
}

/* The words of n characters, up to their end; false: not as many. */
static bool
anchor_words(const char *s, size_t n, const char *word[ANCHOR_WORDS],
    size_t len[ANCHOR_WORDS])
{
	const char *end = s + n, *blank;

	for (size_t i = 0; i < ANCHOR_WORDS; i++) {
		blank = memchr(s, ' ', (size_t)(end - s));
		if ((blank == NULL) != (i == ANCHOR_WORDS - 1))
			return false;
		word[i] = s;
		len[i] = (size_t)((blank == NULL ? end : blank) - s);
		if (len[i] == 0)
			return false;
		s = blank == NULL ? end : blank + 1;
	}
	return true;
}

/* A line of a log, if it ends with an anchor. */
static int
given_line(struct verify *v, const char *file, const char *line, size_t n)
{
	const char *s, *end = line + n, *w[ANCHOR_WORDS];
	const size_t skip = sizeof(ANCHOR) - 1;
	size_t len[ANCHOR_WORDS];
	struct buf note;
	int r;

	for (s = line; (s = memmem(s, (size_t)(end - s), ANCHOR, skip)) != NULL;
	     s += skip) {
		if (anchor_words(s + skip, (size_t)(end - s) - skip, w, len))
			break;
	}
	if (s == NULL || n > NOTE_MAX / 2)
		return 0;
	buf_init(&note, NOTE_MAX);
	if ((r = buf_putf(&note, "%.*s\n%.*s\n%.*s\n\n\xe2\x80\x94 %.*s %.*s\n",
		 (int)len[0], w[0], (int)len[1], w[1], (int)len[2], w[2],
		 (int)len[0], w[0], (int)len[3], w[3])) == 0)
		r = given_add(v, file, 0, buf_ptr(&note), buf_len(&note));
	buf_clear(&note);
	return r;
}

static int
given_log(struct verify *v, const char *file, int fd)
{
	struct ledger_lines l;
	const char *line;
	size_t n;
	int r;

	if ((r = ledger_lines_init(&l, fd, 0, UINT64_MAX)) != 0)
		return r;
	while ((r = ledger_lines_next(&l, &line, &n)) != ERR_NOTFOUND) {
		if (r == ERR_FORMAT || r == ERR_TOOBIG)
			continue;
		if (r != 0 || (r = given_line(v, file, line, n)) != 0)
			break;
	}
	ledger_lines_clear(&l);
	return r == ERR_NOTFOUND ? 0 : r;
}

/* Where the note ends that begins at p: behind the signatures that follow its
 * first empty line. */
static size_t
note_end(const char *p, size_t n)
{
	static const char dash[] = "\xe2\x80\x94 ";
	const char *end = p + n, *s = memmem(p, n, "\n\n", 2), *nl;

	if (s == NULL)
		return n;
	for (s += 2; (size_t)(end - s) >= sizeof(dash) - 1 &&
		     memcmp(s, dash, sizeof(dash) - 1) == 0;
	     s = nl + 1) {
		if ((nl = memchr(s, '\n', (size_t)(end - s))) == NULL)
			return n;
	}
	return (size_t)(s - p);
}

/* Checkpoints as they are, one after the other: what a command appends. */
static int
given_notes(struct verify *v, const char *file, int fd)
{
	const char *p, *end;
	struct buf b;
	size_t n;
	int r;

	buf_init(&b, GIVEN_NOTES_MAX);
	r = lseek(fd, 0, SEEK_SET) == -1 ? ERR_SYS : slurp_fd(fd, &b);
	p = (const char *)buf_ptr(&b);
	end = r == 0 && p != NULL ? p + buf_len(&b) : p;
	if (p == end)
		r = given_add(v, file, 0, "", 0);
	while (r == 0 && p < end) {
		n = note_end(p, (size_t)(end - p));
		r = given_add(v, file, 0, p, n);
		for (p += n; p < end && *p == '\n';)
			p++;
	}
	buf_clear(&b);
	return r;
}

static int
given_file(struct verify *v, const char *file)
{
	size_t before = v->ngiven;
	int fd, r;

	fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd == -1) {
		(void)verify_wrong(
		    v, VERIFY_UNKNOWN, file, 0, "%s", err_text(ERR_SYS));
		return ERR_SYS;
	}
	r = given_log(v, file, fd);
	if (r == 0 && v->ngiven == before)
		r = given_notes(v, file, fd);
	(void)close(fd);
	return r;
}

static int
given_order(const void *a, const void *b)
{
	const struct verify_given *x = a, *y = b;

	if (x->at.size != y->at.size)
		return x->at.size < y->at.size ? -1 : 1;
	return x->n < y->n ? -1 : x->n > y->n;
}

static void
given_sort(struct verify *v)
{
	if (v->ngiven > 1)
		qsort(v->given, v->ngiven, sizeof(*v->given), given_order);
}

int
verify_given_read(struct verify *v)
{
	int r;

	for (size_t i = 0; i < v->ask->nfile; i++) {
		if ((r = given_file(v, v->ask->file[i])) != 0)
			return r;
	}
	given_sort(v);
	v->found->given = v->ngiven;
	return 0;
}

/* A line that makes another key the ledger's, without the old one's word. */
static int
restored_line(struct verify *v, uint64_t place, const char *line, size_t n)
{
	static const char kind[] = "\"event\":\"ledger.key\"";
	char note[NOTE_MAX];
	struct checkpoint at;
	uint64_t number, ms;
	struct buf event;
	int r = 0;

	if (memmem(line, n, kind, sizeof(kind) - 1) == NULL)
		return 0;
	buf_init(&event, LEDGER_EVENT_MAX);
	if (ledger_parse(line, n, &number, &ms, &event) == 0 &&
	    ledger_field(&event, EV_CHECKPOINT, note, sizeof(note)) == 0 &&
	    checkpoint_parse(note, strlen(note), &at) == 0 &&
	    at.more_len == 0 && at.size < place)
		r = given_add(v, VERIFY_LEDGER, place, note, strlen(note));
	buf_clear(&event);
	return r;
}

int
verify_given_restored(struct verify *v)
{
	struct ledger_lines l;
	const char *line;
	size_t n;
	int r;

	if ((r = ledger_lines_init(&l, v->ledger, 0, UINT64_MAX)) != 0)
		return r;
	/* What is no line is found later. */
	while ((r = ledger_lines_next(&l, &line, &n)) == 0 &&
	       (r = restored_line(v, l.line, line, n)) == 0)
		;
	ledger_lines_clear(&l);
	given_sort(v);
	return r == ERR_NOMEM || r == ERR_SYS ? r : 0;
}

void
verify_given_clear(struct verify *v)
{
	for (size_t i = 0; i < v->ngiven; i++)
		free(v->given[i].note);
	free(v->given);
}
