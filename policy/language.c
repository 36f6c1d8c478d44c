/*
 * Sets of texts, and words as such sets.  Runs in the command line tools.
 */
#include "config.h"

#include "policy/language.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <fa.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "policy/claims.h"
#include "policy/items.h"
#include "policy/language_internal.h"
#include "policy/model.h"
#include "policy/regex.h"
#include "policy/slot.h"

#define REGEX_MAX (4UL * 1024 * 1024)

/* -- small things about libfa ---------------------------------------------- */

struct fa *
fa_checked(struct fa *out, struct fa *take_a, struct fa *take_b)
{
	size_t n = 0;

	fa_free(take_a);
	fa_free(take_b);
	if (out == NULL)
		return NULL;
	for (struct state *s = fa_state_initial(out); s != NULL;
	     s = fa_state_next(s))
		n++;
	if (n <= LANGUAGE_STATES_MAX)
		return out;
	fa_free(out);
	return NULL;
}

struct fa *
fa_behind(struct fa *take_a, struct fa *take_b)
{
	return fa_checked(
	    take_a == NULL || take_b == NULL ? NULL : fa_concat(take_a, take_b),
	    take_a, take_b);
}

struct fa *
fa_either(struct fa *take_a, struct fa *take_b)
{
	return fa_checked(
	    take_a == NULL || take_b == NULL ? NULL : fa_union(take_a, take_b),
	    take_a, take_b);
}

struct fa *
fa_times(struct fa *take_a, int min, int max)
{
	return fa_checked(
	    take_a == NULL ? NULL : fa_iter(take_a, min, max), take_a, NULL);
}

struct fa *
fa_regex(const void *s, size_t n)
{
	struct fa *fa = NULL;

	if (n == 0)
		return fa_make_basic(FA_EPSILON);
	if (fa_compile(s, n, &fa) != REG_NOERROR) {
		fa_free(fa);
		return NULL;
	}
	return fa_checked(fa, NULL, NULL);
}

struct fa *
fa_char(char c)
{
	return fa_regex(&c, 1);
}

struct fa *
fa_format(const char *fmt, ...)
{
	struct fa *fa = NULL;
	struct buf b;
	va_list ap;

	buf_init(&b, REGEX_MAX);
	va_start(ap, fmt);
	if (buf_vputf(&b, fmt, ap) == 0)
		fa = fa_regex(buf_ptr(&b), buf_len(&b));
	va_end(ap);
	buf_clear(&b);
	return fa;
}

/* -- sets ------------------------------------------------------------------ */

struct fa *
language_both(struct fa *a, struct fa *b)
{
	return fa_checked(fa_intersect(a, b), NULL, NULL);
}

struct fa *
language_either(struct fa *a, struct fa *b)
{
	return fa_checked(fa_union(a, b), NULL, NULL);
}

struct fa *
language_behind(struct fa *a, struct fa *b)
{
	return fa_checked(fa_concat(a, b), NULL, NULL);
}

struct fa *
language_without(struct fa *a, struct fa *b)
{
	return fa_checked(fa_minus(a, b), NULL, NULL);
}

struct fa *
language_copy(struct fa *a)
{
	return fa_checked(fa_iter(a, 1, 1), NULL, NULL);
}

bool
language_is_empty(struct fa *a)
{
	return fa_is_basic(a, FA_EMPTY) == 1;
}

bool
language_is_within(struct fa *a, struct fa *b)
{
	struct fa *rest = language_without(a, b);
	bool yes = rest != NULL && language_is_empty(rest);

	fa_free(rest);
	return yes;
}

/* Does it have none but printable characters of one byte, and ends? */
static bool
is_readable(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if ((s[i] < ' ' || s[i] > '~') &&
		    (s[i] < LANGUAGE_END || s[i] > LANGUAGE_DIR))
			return false;
	}
	return true;
}

char *
language_example(struct fa *fa, size_t *n)
{
	/* those without a character of more than one byte */
	static const char text[] = "([\001-\004]|[ -~])*";
	struct fa *ascii, *some = NULL;
	char *s = NULL;
	int r;

	*n = 0;
	if (fa_example(fa, &s, n) == 0 && s != NULL && is_readable(s, *n))
		return s;
	free(s);
	s = NULL;
	*n = 0;
	if ((ascii = fa_regex(text, strlen(text))) != NULL)
		some = language_both(fa, ascii);
	r = fa_example(
	    some != NULL && !language_is_empty(some) ? some : fa, &s, n);
	fa_free(ascii);
	fa_free(some);
	/* libfa says NULL for the empty text */
	return r != 0 ? NULL : s == NULL ? strdup("") : s;
}

/* -- texts ----------------------------------------------------------------- */

struct fa *
language_text(const char *text)
{
	struct fa *fa = NULL;
	struct buf b;

	buf_init(&b, REGEX_MAX);
	if (regex_literal(text, &b) == 0)
		fa = fa_regex(buf_ptr(&b), buf_len(&b));
	buf_clear(&b);
	return fa;
}

struct fa *
language_beginning(const char *text)
{
	return fa_behind(
	    language_text(text), fa_format("(%s)*", regex_any(REGEX_BYTES)));
}

struct fa *
language_glob(const char *glob)
{
	struct fa *fa = NULL;
	struct buf b;

	buf_init(&b, REGEX_MAX);
	if (regex_glob(glob, false, REGEX_BYTES, &b) == 0)
		fa = fa_regex(buf_ptr(&b), buf_len(&b));
	buf_clear(&b);
	return fa;
}

/* As claim_is_plain: neither `.` nor `..`. */
struct fa *
language_plain(void)
{
	return fa_format("[A-Za-z0-9_-][A-Za-z0-9._-]*"
			 "|\\.[A-Za-z0-9_-][A-Za-z0-9._-]*"
			 "|\\.\\.[A-Za-z0-9._-]+");
}

/* -- words ----------------------------------------------------------------- */

static const char *
plain_claim(const struct language_ctx *x, const char *claim)
{
	const char *value =
	    x->claims == NULL ? NULL : claims_get(x->claims, claim);

	return value != NULL && claim_is_plain(value) ? value : NULL;
}

static struct fa *
cell_of(const struct language_ctx *x, const char *claim)
{
	for (size_t i = 0; i < x->ncell; i++) {
		if (strcmp(x->cell[i].claim, claim) == 0)
			return x->cell[i].fa;
	}
	return NULL;
}

/* ERR_NOTFOUND: with these claims nothing matches. */
static int
put_piece(const struct piece *piece, bool deny, const struct language_ctx *x,
    struct buf *out)
{
	const struct slot *slot = piece->slot;
	const char *value;
	int r = 0;

	if (piece->text != NULL)
		return regex_literal(piece->text, out);
	if (slot->kind == SLOT_CLAIM) {
		value = plain_claim(x, slot->pattern);
		return value == NULL ? ERR_NOTFOUND : regex_literal(value, out);
	}
	if (slot->kind == SLOT_REF) {
		for (size_t i = 0; i < slot->npiece && r == 0; i++)
			r = put_piece(&slot->piece[i], deny, x, out);
		return r;
	}
	if ((r = buf_putf(out, "(")) == 0 &&
	    (r = regex_slot(slot, deny, REGEX_BYTES, out)) == 0)
		r = buf_putf(out, ")");
	return r;
}

/* Some pieces, all at once. */
static struct fa *
pieces_fa(
    const struct piece *v, size_t n, bool deny, const struct language_ctx *x)
{
	struct fa *fa = NULL;
	struct buf b;
	int r = 0;

	buf_init(&b, REGEX_MAX);
	for (size_t i = 0; i < n && r == 0; i++)
		r = put_piece(&v[i], deny, x, &b);
	if (r == 0)
		fa = fa_regex(buf_ptr(&b), buf_len(&b));
	else if (r == ERR_NOTFOUND)
		fa = fa_make_basic(FA_EMPTY);
	buf_clear(&b);
	return fa;
}

/* One by one, where a claim is more than a text. */
static struct fa *
pieces_with_cells(const struct item *it, const struct language_ctx *x)
{
	const struct piece *v[ITEMS_FLAT_MAX];
	struct fa *fa = fa_make_basic(FA_EPSILON), *cell;
	size_t n;

	if (!item_flatten(it, v, &n)) {
		fa_free(fa);
		return NULL;
	}
	for (size_t i = 0; i < n && fa != NULL; i++) {
		cell = v[i]->text == NULL && v[i]->slot->kind == SLOT_CLAIM
			   ? cell_of(x, v[i]->slot->pattern)
			   : NULL;
		fa = fa_behind(fa, cell != NULL
				       ? language_copy(cell)
				       : pieces_fa(v[i], 1, it->deny, x));
	}
	return fa;
}

/* No option: neither `-` nor anything behind it. */
static struct fa *
without_dash(struct fa *take)
{
	/* libfa compares the ends of a range as signed characters */
	static const char dash[] = "\\-([\x01-\x7f]|[\x80-\xff])*";
	struct fa *options = fa_regex(dash, strlen(dash));

	return fa_checked(
	    take == NULL || options == NULL ? NULL : fa_minus(take, options),
	    take, options);
}

static bool
may_begin_with_dash(const struct item *it)
{
	return it->piece[0].text == NULL || it->piece[0].text[0] == '-';
}

struct fa *
language_word(const struct item *it, const struct language_ctx *x)
{
	struct fa *fa = x->ncell > 0 && item_has_claim(it)
			    ? pieces_with_cells(it, x)
			    : pieces_fa(it->piece, it->npiece, it->deny, x);

	return it->no_dash && may_begin_with_dash(it) ? without_dash(fa) : fa;
}
