/*
 * The slots.  Runs in policy for every operation, on words that a job chose.  A
 * word of several slots is matched by the set of offsets that can be reached,
 * so nothing here is ever tried twice.
 */
#include "config.h"

#include "policy/slot.h"

#include <string.h>

#include "lib/str.h"
#include "policy/claims.h"
#include "policy/command.h"
#include "policy/glob.h"
#include "policy/model.h"

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* -- numbers, values --------------------------------------------------------- */

#define INT_DIGITS_MAX 20

/* Decimal as num_parse reads it: digits without a leading zero. */
static bool
int_matches(const struct slot *slot, const char *w, size_t n)
{
	uint64_t v = 0;

	if (n == 0 || n > INT_DIGITS_MAX || (n > 1 && w[0] == '0'))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!is_digit(w[i]) || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(w[i] - '0'), &v))
			return false;
	}
	return v >= slot->min && v <= slot->max;
}

/* As strcmp orders: bytes, then length. */
static int
order(const char *value, const char *w, size_t n)
{
	size_t len = strlen(value);
	int c = memcmp(value, w, len < n ? len : n);

	return c != 0 ? c : (len > n) - (len < n);
}

static bool
enum_matches(const struct slot *slot, const char *w, size_t n)
{
	size_t low = 0, high = slot->nvalue, mid;
	int c;

	while (low < high) {
		mid = low + (high - low) / 2;
		c = order(slot->value[mid], w, n);
		if (c == 0)
			return true;
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

static bool
starts_char(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

static bool
text_matches(const struct slot *slot, const char *w, size_t n)
{
	uint64_t chars = 0;

	for (size_t i = 0; i < n; i++)
		chars += starts_char(w[i]);
	return chars >= slot->min && chars <= slot->max;
}

/* -- claims, paths -------------------------------------------------------------- */

bool
claim_is_plain(const char *s)
{
	size_t n = 0;

	for (; s[n] != '\0'; n++) {
		if (!is_alnum(s[n]) && s[n] != '.' && s[n] != '_' &&
		    s[n] != '-')
			return false;
	}
	/* `.` and `..` would be plain, too, and lead a path elsewhere. */
	return n > 0 && strcmp(s, ".") != 0 && strcmp(s, "..") != 0;
}

/* The value to be found in the word; NULL: nothing matches. */
static const char *
claim_value(const struct slot_ctx *x, const struct slot *slot)
{
	const char *value = x->claims == NULL ? NULL :
	    claims_get(x->claims, slot->pattern);

	return value != NULL && claim_is_plain(value) ? value : NULL;
}

static bool
claim_matches(const struct slot_ctx *x, const struct slot *slot, const char *w,
    size_t n)
{
	const char *value = claim_value(x, slot);

	return value != NULL && strlen(value) == n && memcmp(value, w, n) == 0;
}

static bool
path_matches(const struct slot_ctx *x, const struct slot *slot, const char *w,
    size_t n)
{
	if (path_is_plain(w, n))
		return glob_matches(slot->pattern, "/", w, n);
	/* Where it leads cannot be told: a deny rule assumes the worst. */
	return x->deny && n > 0 && w[0] == '/';
}

/* -- slots that are read byte by byte -------------------------------------------- */

/* Where a version, an object's name or a host stands while it is read. */
struct scan {
	const struct slot *slot;
	size_t n;		/* bytes so far */
	size_t len;		/* of the part that is being read */
	unsigned int part;	/* semver: which; host: how many before */
	unsigned int value;	/* host: of a part that is a number */
	bool zero, digits;	/* of this part: begins with 0, all digits */
	bool numbers;		/* host: all parts before are 0..255 */
	char last;
};

enum { MAJOR, MINOR, PATCH, PRERELEASE, BUILD };

/* A number without leading zeros; before a release also other identifiers. */
static bool
semver_part_ends(const struct scan *s)
{
	return s->len > 0 && (s->part == BUILD ||
	    !(s->digits && s->zero && s->len > 1));
}

/* Semantic Versioning 2.0.0, its grammar. */
static bool
semver_step(struct scan *s, char c)
{
	bool ends = semver_part_ends(s);

	if (c == '+' && (s->part == PATCH || s->part == PRERELEASE)) {
		s->part = BUILD;
	} else if (c == '-' && s->part == PATCH) {
		s->part = PRERELEASE;
	} else if (c == '.' && s->part != PATCH) {
		s->part += s->part < PATCH;
	} else {
		if (!(s->part <= PATCH ? is_digit(c) : is_alnum(c) || c == '-'))
			return false;
		if (s->len == 0) {
			s->zero = c == '0';
			s->digits = true;
		}
		s->digits = s->digits && is_digit(c);
		s->len++;
		return true;
	}
	s->len = 0;
	return ends;
}

static bool
semver_ends(const struct scan *s)
{
	return s->part >= PATCH && semver_part_ends(s);
}

#define LABEL_MAX 63

static bool
host_part_is_number(const struct scan *s)
{
	return s->digits && s->len <= 3 && s->value <= 255 &&
	    !(s->zero && s->len > 1);
}

/* A DNS name (RFC 1123, 2.1) or an IPv4 address. */
static bool
host_step(struct scan *s, char c)
{
	if (c == '.') {
		if (s->len == 0 || s->last == '-')
			return false;
		s->numbers = (s->part == 0 || s->numbers) &&
		    host_part_is_number(s);
		s->part++;
		s->len = 0;
		return true;
	}
	if (!(is_alnum(c) || (c == '-' && s->len > 0)) || s->len >= LABEL_MAX)
		return false;
	if (s->len == 0) {
		s->zero = c == '0';
		s->digits = true;
		s->value = 0;
	}
	s->digits = s->digits && is_digit(c);
	if (s->digits && s->len < 4)
		s->value = s->value * 10 + (unsigned int)(c - '0');
	s->len++;
	return true;
}

/* What resolvers would read as a number is an address of four parts, or
 * nothing: neither 127.1 nor 0x7f000001 nor 2130706433. */
static bool
host_ends(const struct scan *s, const char *w)
{
	const char *label = w + s->n - s->len;

	if (s->len == 0 || s->last == '-')
		return false;
	if (s->digits)
		return s->part == 3 && s->numbers && host_part_is_number(s);
	return !(s->zero && s->len > 1 && (label[1] | 0x20) == 'x');
}

static bool
scan_step(struct scan *s, char c)
{
	bool alive = false;

	switch (s->slot->kind) {
	case SLOT_SHA:
		alive = is_digit(c) || (c >= 'a' && c <= 'f');
		break;
	case SLOT_SEMVER:
		alive = semver_step(s, c);
		break;
	case SLOT_HOST:
		alive = host_step(s, c);
		break;
	case SLOT_ANY: case SLOT_INT: case SLOT_ENUM: case SLOT_TEXT:
	case SLOT_PATH: case SLOT_CLAIM: case SLOT_REF:
		break;
	}
	s->n++;
	s->last = c;
	return alive;
}

static size_t
scan_max(const struct slot *slot)
{
	return slot->kind == SLOT_SHA ? SLOT_SHA_MAX :
	    slot->kind == SLOT_HOST ? SLOT_HOST_MAX : SLOT_SEMVER_MAX;
}

/* Could the slot end here?  w is where it began. */
static bool
scan_ends(const struct scan *s, const char *w)
{
	return s->slot->kind == SLOT_SHA ? s->n == 40 || s->n == SLOT_SHA_MAX :
	    s->slot->kind == SLOT_SEMVER ? semver_ends(s) : host_ends(s, w);
}

static bool
scan_matches(const struct slot *slot, const char *w, size_t n)
{
	struct scan s = { .slot = slot };

	if (n > scan_max(slot))
		return false;
	while (s.n < n) {
		if (!scan_step(&s, w[s.n]))
			return false;
	}
	return scan_ends(&s, w);
}

bool
slot_matches(const struct slot_ctx *x, const struct slot *slot, const char *w,
    size_t n)
{
	switch (slot->kind) {
	case SLOT_ANY:
		return n > 0 || x->deny;
	case SLOT_INT:
		return int_matches(slot, w, n);
	case SLOT_ENUM:
		return enum_matches(slot, w, n);
	case SLOT_TEXT:
		return text_matches(slot, w, n);
	case SLOT_PATH:
		return path_matches(x, slot, w, n);
	case SLOT_CLAIM:
		return claim_matches(x, slot, w, n);
	case SLOT_SEMVER:
	case SLOT_SHA:
	case SLOT_HOST:
		return scan_matches(slot, w, n);
	case SLOT_REF:
		return pieces_match(x, slot->piece, slot->npiece, w, n);
	}
	return false;
}

/* -- slots within a word ---------------------------------------------------------- */

#define REACH_WORDS (COMMAND_WORD_MAX / 64 + 1)

/* A word, and the offsets reached before and after one piece. */
struct reach {
	const struct slot_ctx *x;
	const char *w;
	size_t n;
	const uint64_t *from;
	uint64_t *to;
};

/* From every reached offset over one literal or value. */
static void
reach_text(const struct reach *q, const char *text, size_t len)
{
	if (len > q->n)
		return;
	for (size_t o = 0; o + len <= q->n; o++) {
		if (bit_get(q->from, o) && memcmp(q->w + o, text, len) == 0)
			bit_set(q->to, o + len);
	}
}

static void
reach_int(const struct reach *q, const struct slot *slot)
{
	for (size_t o = 0; o < q->n; o++) {
		if (!bit_get(q->from, o))
			continue;
		for (size_t k = 1; k <= INT_DIGITS_MAX && o + k <= q->n; k++) {
			if (int_matches(slot, q->w + o, k))
				bit_set(q->to, o + k);
		}
	}
}

static void
reach_any(const struct reach *q)
{
	bool on = false;

	for (size_t o = 0; o <= q->n; o++) {
		if (on || (q->x->deny && bit_get(q->from, o)))
			bit_set(q->to, o);
		on = on || bit_get(q->from, o);
	}
}

/* Moves over one character. */
static size_t
next_char(const struct reach *q, size_t o)
{
	do
		o++;
	while (o < q->n && !starts_char(q->w[o]));
	return o;
}

/* min..max characters: a window moves along, and counts the offsets in it
 * that were reached. */
static void
reach_chars(const struct reach *q, const struct slot *slot)
{
	size_t in = 0, out = 0, count = 0;
	uint64_t chars = 0, at_in = 0, at_out = 0;

	for (size_t o = 0; o <= q->n; o = next_char(q, o), chars++) {
		/* `in`: the first offset less than min characters away */
		while (at_in + slot->min <= chars) {
			count += bit_get(q->from, in);
			in = next_char(q, in);
			at_in++;
		}
		/* `out`: the first at most max characters away */
		while (chars > slot->max && at_out < chars - slot->max) {
			count -= at_out < at_in && bit_get(q->from, out);
			out = next_char(q, out);
			at_out++;
		}
		if (count > 0)
			bit_set(q->to, o);
	}
}

static void
reach_scan(const struct reach *q, const struct slot *slot)
{
	for (size_t o = 0; o < q->n; o++) {
		struct scan s = { .slot = slot };

		if (!bit_get(q->from, o))
			continue;
		while (o + s.n < q->n && s.n < scan_max(slot) &&
		    scan_step(&s, q->w[o + s.n])) {
			if (scan_ends(&s, q->w + o))
				bit_set(q->to, o + s.n);
		}
	}
}

/* Only one literal stands before a path, and nothing behind it. */
static void
reach_path(const struct reach *q, const struct slot *slot)
{
	for (size_t o = 0; o < q->n; o++) {
		if (!bit_get(q->from, o))
			continue;
		if (path_matches(q->x, slot, q->w + o, q->n - o))
			bit_set(q->to, q->n);
		return;
	}
}

/* A git-ref's pieces are no git-refs, so this goes one level deep. */
static void reach_pieces(const struct reach *q, const struct piece *piece,
    size_t npiece);

static void
reach_slot(const struct reach *q, const struct slot *slot)
{
	const char *value;

	switch (slot->kind) {
	case SLOT_ANY:
		reach_any(q);
		break;
	case SLOT_INT:
		reach_int(q, slot);
		break;
	case SLOT_ENUM:
		for (size_t i = 0; i < slot->nvalue; i++)
			reach_text(q, slot->value[i], strlen(slot->value[i]));
		break;
	case SLOT_TEXT:
		reach_chars(q, slot);
		break;
	case SLOT_PATH:
		reach_path(q, slot);
		break;
	case SLOT_CLAIM:
		if ((value = claim_value(q->x, slot)) != NULL)
			reach_text(q, value, strlen(value));
		break;
	case SLOT_SEMVER:
	case SLOT_SHA:
	case SLOT_HOST:
		reach_scan(q, slot);
		break;
	case SLOT_REF:
		reach_pieces(q, slot->piece, slot->npiece);
		break;
	}
}

static void
reach_pieces(const struct reach *q, const struct piece *piece, size_t npiece)
{
	uint64_t set[2][REACH_WORDS];
	size_t words = q->n / 64 + 1, now = 0;
	struct reach step = *q;

	memcpy(set[0], q->from, words * sizeof(uint64_t));
	for (size_t i = 0; i < npiece; i++, now = !now) {
		memset(set[!now], 0, words * sizeof(uint64_t));
		step.from = set[now];
		step.to = set[!now];
		if (piece[i].text != NULL)
			reach_text(&step, piece[i].text, piece[i].len);
		else
			reach_slot(&step, piece[i].slot);
	}
	memcpy(q->to, set[now], words * sizeof(uint64_t));
}

bool
pieces_match(const struct slot_ctx *x, const struct piece *piece, size_t npiece,
    const char *w, size_t n)
{
	uint64_t from[REACH_WORDS], to[REACH_WORDS];
	struct reach q = { .x = x, .w = w, .n = n, .from = from, .to = to };

	if (n > COMMAND_WORD_MAX)
		return false;
	memset(from, 0, (n / 64 + 1) * sizeof(uint64_t));
	bit_set(from, 0);
	reach_pieces(&q, piece, npiece);
	return bit_get(to, n);
}
