/*
 * Messages about source texts: policies, postern.conf, and the excerpt with a
 * caret that a job sees under its own command.  Used by policy, the parent and
 * the command line tools.  The texts shown are distrusted: nothing that steers
 * a terminal passes.
 */
#include "config.h"

#include "lib/diag.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/str.h"

#define EXCERPT_CELLS 100 /* of a line, at most */
#define EXCERPT_BEFORE 60 /* of them before the place */
#define NEAR_WORD_MAX 40
#define MESSAGE_MAX 1024

struct diag {
	char *file;
	char *message;
	char *excerpt;		/* two lines, or NULL */
	struct pos at;		/* line 0: the whole file */
	size_t seq;
};

struct diags {
	struct diag d[DIAGS_MAX];
	size_t n;		/* kept */
	size_t count;		/* all */
};

struct diags *
diags_new(void)
{
	return calloc(1, sizeof(struct diags));
}

void
diags_free(struct diags *d)
{
	if (d == NULL)
		return;
	for (size_t i = 0; i < d->n; i++) {
		free(d->d[i].file);
		free(d->d[i].message);
		free(d->d[i].excerpt);
	}
	free(d);
}

size_t
diags_count(const struct diags *d)
{
	return d->count;
}

/* First by source, then line and column, then as they were found. */
static bool
comes_before(const struct diag *a, const struct diag *b)
{
	if (a->at.file != b->at.file)
		return a->at.file < b->at.file;
	if (a->at.line != b->at.line)
		return a->at.line < b->at.line;
	if (a->at.col != b->at.col)
		return a->at.col < b->at.col;
	return a->seq < b->seq;
}

/* Takes the three strings, which may be NULL when memory ran out. */
static void
take_diag(struct diags *d, struct diag *new)
{
	size_t i;

	d->count++;
	if (d->n == DIAGS_MAX || new->file == NULL || new->message == NULL) {
		free(new->file);
		free(new->message);
		free(new->excerpt);
		return;
	}
	new->seq = d->count;
	for (i = d->n; i > 0 && comes_before(new, &d->d[i - 1]); i--)
		d->d[i] = d->d[i - 1];
	d->d[i] = *new;
	d->n++;
}

/* Where one character of the line ends up: its bytes and cells on screen. */
struct cell {
	size_t len, cells;
	bool plain;
};

static struct cell
cell_at(const char *p, size_t n)
{
	struct cell c = { 1, 4, false };
	uint32_t cp;
	size_t k = utf8_next((const uint8_t *)p, n, &cp);

	if (*p == '\t')
		return (struct cell){ 1, 1, false };
	if (k != 0 && !utf8_is_control(cp))
		return (struct cell){ k, 1, true };
	return c;
}

static int
put_cell(struct buf *out, const char *p, const struct cell *c)
{
	if (c->plain)
		return buf_put(out, p, c->len);
	if (*p == '\t')
		return buf_put(out, " ", 1);
	return buf_putf(out, "\\x%02x", (unsigned int)(unsigned char)*p);
}

/* The line that holds off, without looking further than fits on screen. */
static void
find_line(const char *text, size_t len, size_t off, size_t *begin, size_t *end)
{
	size_t b = off, e = off;

	while (b > 0 && text[b - 1] != '\n' && off - b < EXCERPT_BEFORE)
		b--;
	/* not in the middle of a character */
	while (b < off && ((unsigned char)text[b] & 0xc0) == 0x80)
		b++;
	while (e < len && text[e] != '\n' && e - off < 4 * EXCERPT_CELLS)
		e++;
	*begin = b;
	*end = e;
}

static int
show_line(struct buf *out, const char *prefix, const char *prefix2,
    const char *text, size_t len, size_t off, size_t width)
{
	size_t b, e, cells = 0, under = 0, before = 0;
	struct cell c;
	int r;

	if (off > len)
		off = len;
	find_line(text, len, off, &b, &e);
	if ((r = buf_putf(out, "%s", prefix)) != 0)
		return r;
	if (b > 0 && text[b - 1] != '\n') {
		if ((r = buf_putf(out, "...")) != 0)
			return r;
		cells = before = 3;
	}
	for (size_t i = b; i < e && cells < EXCERPT_CELLS; i += c.len) {
		c = cell_at(text + i, e - i);
		if ((r = put_cell(out, text + i, &c)) != 0)
			return r;
		cells += c.cells;
		if (i < off)
			before += c.cells;
		else if (i - off < width)
			under += c.cells;
	}
	if (cells >= EXCERPT_CELLS && (r = buf_putf(out, "...")) != 0)
		return r;
	if ((r = buf_putf(out, "\n%s%*s^", prefix2, (int)before, "")) != 0)
		return r;
	for (size_t i = 1; i < under; i++) {
		if ((r = buf_put(out, "~", 1)) != 0)
			return r;
	}
	return buf_put(out, "\n", 1);
}

int
diag_excerpt(struct buf *out, const char *prefix, const char *text, size_t len,
    size_t off, size_t width)
{
	return show_line(out, prefix, prefix, text, len, off, width);
}

static char *
excerpt(const char *text, size_t len, const struct pos *at, size_t width)
{
	char prefix[32], under[32];
	struct buf b;
	char *s = NULL;
	size_t n = 0;

	buf_init(&b, 4096);
	n = (size_t)snprintf(prefix, sizeof(prefix), "%5u | ", at->line);
	(void)snprintf(under, sizeof(under), "%*s| ", (int)n - 2, "");
	if (show_line(&b, prefix, under, text, len, at->off, width) == 0 &&
	    (s = malloc(buf_len(&b) + 1)) != NULL) {
		n = buf_len(&b);
		memcpy(s, buf_ptr(&b), n);
		s[n] = '\0';
	}
	buf_clear(&b);
	return s;
}

static char *
format(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));

static char *
format(const char *fmt, va_list ap)
{
	char *s = malloc(MESSAGE_MAX);

	if (s != NULL)
		(void)vsnprintf(s, MESSAGE_MAX, fmt, ap);
	return s;
}

void
diags_add(struct diags *d, const char *file, const char *text, size_t len,
    const struct pos *at, size_t width, const char *fmt, ...)
{
	struct diag new = { .at = *at };
	va_list ap;

	if (d->n < DIAGS_MAX) {
		va_start(ap, fmt);
		new.message = format(fmt, ap);
		va_end(ap);
		new.file = strdup(file);
		new.excerpt = excerpt(text, len, at, width);
	}
	take_diag(d, &new);
}

void
diags_add_file(struct diags *d, const char *file, const char *fmt, ...)
{
	struct diag new = { .at = { .file = 0 } };
	va_list ap;

	va_start(ap, fmt);
	new.message = format(fmt, ap);
	va_end(ap);
	new.file = strdup(file);
	take_diag(d, &new);
}

/* Text that others chose, on one line and harmless. */
static int
put_safe(struct buf *out, const char *s)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t n = strlen(s), k;
	uint32_t cp;
	int r = 0;

	for (; n > 0 && r == 0; p += k, n -= k) {
		k = utf8_next(p, n, &cp);
		if (k != 0 && !utf8_is_control(cp)) {
			r = buf_put(out, p, k);
			continue;
		}
		k = 1;
		r = buf_putf(out, "\\x%02x", *p);
	}
	return r;
}

static int
print_one(const struct diag *g, struct buf *out)
{
	int r;

	if ((r = put_safe(out, g->file)) != 0)
		return r;
	if (g->at.line > 0)
		r = buf_putf(out, ":%u:%u", g->at.line, g->at.col);
	if (r != 0 || (r = buf_putf(out, ": ")) != 0 ||
	    (r = put_safe(out, g->message)) != 0 ||
	    (r = buf_putf(out, "\n")) != 0 || g->excerpt == NULL)
		return r;
	return buf_putf(out, "%s", g->excerpt);
}

int
diags_print(const struct diags *d, struct buf *out)
{
	int r = 0;

	for (size_t i = 0; i < d->n && r == 0; i++)
		r = print_one(&d->d[i], out);
	if (r == 0 && d->count > d->n)
		r = buf_putf(out, "and %zu more\n", d->count - d->n);
	return r;
}

int
diags_print_json(const struct diags *d, struct buf *out)
{
	struct json j;

	json_init(&j, out);
	json_open(&j, '[');
	for (size_t i = 0; i < d->n; i++) {
		json_open(&j, '{');
		json_kv_str(&j, "file", d->d[i].file);
		json_kv_num(&j, "line", d->d[i].at.line);
		json_kv_num(&j, "column", d->d[i].at.col);
		json_kv_str(&j, "message", d->d[i].message);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	return json_end(&j);
}

struct diag_near
diag_near(const char *word)
{
	return (struct diag_near){ .word = word, .distance = SIZE_MAX };
}

static size_t
least(size_t a, size_t b, size_t c)
{
	a = a < b ? a : b;
	return a < c ? a : c;
}

/* Edit distance with swaps of neighbours (optimal string alignment). */
static size_t
distance(const char *a, size_t n, const char *b, size_t m)
{
	size_t row[3][NEAR_WORD_MAX + 1];
	size_t *two = row[0], *one = row[1], *now = row[2], *t;

	for (size_t j = 0; j <= m; j++)
		one[j] = two[j] = j;
	for (size_t i = 1; i <= n; i++) {
		now[0] = i;
		for (size_t j = 1; j <= m; j++) {
			now[j] = least(one[j] + 1, now[j - 1] + 1,
			    one[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] && two[j - 2] + 1 < now[j])
				now[j] = two[j - 2] + 1;
		}
		t = two;
		two = one;
		one = now;
		now = t;
	}
	return one[m];
}

void
diag_near_try(struct diag_near *n, const char *candidate)
{
	size_t a = strlen(n->word), b = strlen(candidate), d;

	if (a == 0 || a > NEAR_WORD_MAX || b > NEAR_WORD_MAX)
		return;
	d = distance(n->word, a, candidate, b);
	if (d >= n->distance || d > 1 + a / 4 || d >= b)
		return;
	n->distance = d;
	n->best = candidate;
}
