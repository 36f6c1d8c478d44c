/*
 * Slots as regular expressions.  Runs in the command line tools alone.
 */
#include "config.h"

#include "policy/regex.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "policy/model.h"

/* The characters that take more than one byte. */
#define WIDE                                                                   \
	"|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf][\x80-\xbf]"            \
	"|[\xf0-\xf4][\x80-\xbf][\x80-\xbf][\x80-\xbf])"

/* One character of some kind. */
struct alphabet {
	const char *any;
	const char *part;    /* no / */
	const char *plain;   /* neither / nor . */
	const char *segment; /* neither / nor : */
};

static const struct alphabet alphabets[] = {
	[REGEX_CHARS] = { ".", "[^/]", "[^/.]", "[^/:]" },
	[REGEX_BYTES] = { "([ -~]" WIDE, "([ -.0-~]" WIDE, "([ -,0-~]|\\-" WIDE,
	    "([ -.0-9;-~]" WIDE },
};

const char *
regex_any(enum regex_dialect dialect)
{
	return alphabets[dialect].any;
}

static int
put_chars(const char *s, size_t n, struct buf *out)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "abcdefghijklmnopqrstuvwxyz0123456789_";
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		if ((unsigned char)s[i] < 0x80 && strchr(plain, s[i]) == NULL)
			r = buf_put(out, "\\", 1);
		if (r == 0)
			r = buf_put(out, s + i, 1);
	}
	return r;
}

int
regex_literal(const char *text, struct buf *out)
{
	return put_chars(text, strlen(text), out);
}

/* -- numbers --------------------------------------------------------------- */

static int
put_digits(size_t n, struct buf *out)
{
	return n == 0   ? 0
	       : n == 1 ? buf_putf(out, "[0-9]")
			: buf_putf(out, "[0-9]{%zu}", n);
}

/* Numbers of as many digits as s, from it on or (down) up to it. */
static int
half_range(const char *s, bool down, struct buf *out)
{
	size_t n = strlen(s);
	int r;

	if (n == 0)
		return 0;
	if ((r = buf_putf(out, "(%c", s[0])) != 0 ||
	    (r = half_range(s + 1, down, out)) != 0)
		return r;
	if (down ? s[0] > '0' : s[0] < '9') {
		r = down ? buf_putf(out, "|[0-%c]", s[0] - 1)
			 : buf_putf(out, "|[%c-9]", s[0] + 1);
		if (r != 0 || (r = put_digits(n - 1, out)) != 0)
			return r;
	}
	return buf_putf(out, ")");
}

/* low..high, both of the same length. */
static int
same_length(const char *low, const char *high, struct buf *out)
{
	int r;

	while (*low != '\0' && *low == *high) {
		if ((r = buf_put(out, low, 1)) != 0)
			return r;
		low++;
		high++;
	}
	if (*low == '\0')
		return 0;
	if ((r = buf_putf(out, "(%c", *low)) != 0 ||
	    (r = half_range(low + 1, false, out)) != 0)
		return r;
	if (*high - *low > 1) {
		if ((r = buf_putf(out, "|[%c-%c]", *low + 1, *high - 1)) != 0 ||
		    (r = put_digits(strlen(low + 1), out)) != 0)
			return r;
	}
	if ((r = buf_putf(out, "|%c", *high)) != 0 ||
	    (r = half_range(high + 1, true, out)) != 0)
		return r;
	return buf_putf(out, ")");
}

static int
put_int(uint64_t min, uint64_t max, struct buf *out)
{
	char low[24], high[24];
	uint64_t top, from = min;
	int r;

	if ((r = buf_putf(out, "(")) != 0)
		return r;
	for (;;) {
		/* the largest number of as many digits as `from` */
		for (top = 9; top < from && top <= (UINT64_MAX - 9) / 10;)
			top = top * 10 + 9;
		if (top < from || top > max)
			top = max;
		(void)snprintf(low, sizeof(low), "%" PRIu64, from);
		(void)snprintf(high, sizeof(high), "%" PRIu64, top);
		if ((r = same_length(low, high, out)) != 0 || top == max)
			break;
		if ((r = buf_putf(out, "|")) != 0)
			break;
		from = top + 1;
	}
	return r != 0 ? r : buf_putf(out, ")");
}

/* -- paths ------------------------------------------------------------------
 */

/* A part of a path that is not empty, `.` or `..`. */
static int
put_part(const struct alphabet *a, struct buf *out)
{
	return buf_putf(out, "(%s%s*|\\.%s%s*|\\.\\.%s+)", a->plain, a->part,
	    a->plain, a->part, a->part);
}

/* p[0..n) with its stars; the one at `some` is not empty. */
static int
put_stars(const struct alphabet *a, const char *p, size_t n, size_t some,
    struct buf *out)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = p[i] != '*'
			? put_chars(p + i, 1, out)
			: buf_putf(out, "%s%c", a->part, i == some ? '+' : '*');
	return r;
}

/* One part of a pattern.  Where all its literals are dots it could be `.` or
 * `..`, which no path has. */
static int
put_part_glob(
    const struct alphabet *a, const char *p, size_t n, struct buf *out)
{
	size_t dots = 0, stars = 0;
	bool first = true;
	int r;

	for (size_t i = 0; i < n; i++) {
		dots += p[i] == '.';
		stars += p[i] == '*';
	}
	if (stars == 0 || dots + stars < n || dots > 2)
		return put_stars(a, p, n, n, out);
	if (dots == 0)
		return put_part(a, out);
	if ((r = buf_putf(out, "(")) != 0)
		return r;
	if (dots == 1) {
		/* three dots or more, or somewhere something else */
		bool front = p[0] == '*', back = p[n - 1] == '*';

		r = buf_putf(out, "\\.\\.\\.+");
		if (r == 0 && front)
			r = buf_putf(out, "|%s*%s%s*\\.%s%s", a->part, a->plain,
			    a->part, back ? a->part : "", back ? "*" : "");
		if (r == 0 && back)
			r = buf_putf(out, "|%s%s\\.%s*%s%s*",
			    front ? a->part : "", front ? "*" : "", a->part,
			    a->plain, a->part);
		return r != 0 ? r : buf_putf(out, ")");
	}
	for (size_t i = 0; i < n && r == 0; i++) {
		if (p[i] != '*')
			continue;
		if (!first)
			r = buf_putf(out, "|");
		first = false;
		if (r == 0)
			r = put_stars(a, p, n, i, out);
	}
	return r != 0 ? r : buf_putf(out, ")");
}

static int
put_path(const struct alphabet *a, const char *pattern, struct buf *out)
{
	const char *p = pattern;
	size_t n;
	int r = 0;

	while (*p == '/' && r == 0) {
		p++;
		n = strcspn(p, "/");
		if (n == 2 && memcmp(p, "**", 2) == 0) {
			/* one part or more */
			if ((r = buf_putf(out, "(/")) != 0 ||
			    (r = put_part(a, out)) != 0)
				return r;
			return buf_putf(out, ")+");
		}
		if ((r = buf_putf(out, "/")) == 0)
			r = put_part_glob(a, p, n, out);
		p += n;
	}
	return r;
}

/* Absolute, with an empty, `.` or `..` part somewhere. */
static int
put_odd_path(const struct alphabet *a, struct buf *out)
{
	return buf_putf(out, "/(%s*/)?(\\.(\\.)?)?(/%s*)?", a->any, a->any);
}

/* -- the rest -----------------------------------------------------------------
 */

static int
put_enum(const struct slot *slot, struct buf *out)
{
	int r = buf_putf(out, "(");

	for (size_t i = 0; i < slot->nvalue && r == 0; i++) {
		if (i > 0)
			r = buf_putf(out, "|");
		if (r == 0)
			r = regex_literal(slot->value[i], out);
	}
	return r != 0 ? r : buf_putf(out, ")");
}

static int
put_semver(struct buf *out)
{
	static const char number[] = "(0|[1-9][0-9]*)";
	static const char before[] =
	    "(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)";

	return buf_putf(out,
	    "%s\\.%s\\.%s(\\-%s(\\.%s)*)?"
	    "(\\+[0-9A-Za-z-]+(\\.[0-9A-Za-z-]+)*)?",
	    number, number, number, before, before);
}

/* The last label is no number, as resolvers read numbers. */
static int
put_host(struct buf *out)
{
	static const char label[] =
	    "[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?";
	static const char byte[] =
	    "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
	static const char rest[] = "([0-9A-Za-z-]*[0-9A-Za-z])?";
	static const char dash[] = "-+[0-9A-Za-z]";

	return buf_putf(out,
	    "((%s\\.)*([A-Za-z]([0-9A-Za-z-]{0,61}"
	    "[0-9A-Za-z])?|([1-9][0-9]*|0[0-9]+)([A-Za-z]|%s)%s"
	    "|0([A-WYZa-wyz]|%s)%s)|(%s\\.){3}%s)",
	    label, dash, rest, dash, rest, byte, byte);
}

int
regex_slot(const struct slot *slot, bool deny, enum regex_dialect dialect,
    struct buf *out)
{
	const struct alphabet *a = &alphabets[dialect];
	int r;

	switch (slot->kind) {
	case SLOT_ANY:
		return buf_putf(out, "%s%c", a->any, deny ? '*' : '+');
	case SLOT_INT:
		return put_int(slot->min, slot->max, out);
	case SLOT_ENUM:
		return put_enum(slot, out);
	case SLOT_TEXT:
		return buf_putf(out, "%s{%" PRIu64 ",%" PRIu64 "}", a->any,
		    slot->min, slot->max);
	case SLOT_PATH:
		if (!deny)
			return put_path(a, slot->pattern, out);
		if ((r = buf_putf(out, "(")) != 0 ||
		    (r = put_path(a, slot->pattern, out)) != 0 ||
		    (r = buf_putf(out, "|")) != 0 ||
		    (r = put_odd_path(a, out)) != 0)
			return r;
		return buf_putf(out, ")");
	case SLOT_SEMVER:
		return put_semver(out);
	case SLOT_SHA:
		return buf_putf(out, "([0-9a-f]{40}|[0-9a-f]{64})");
	case SLOT_HOST:
		return put_host(out);
	case SLOT_CLAIM:
	case SLOT_REF:
		break;
	}
	return ERR_INTERNAL;
}

int
regex_glob(const char *p, bool ref, enum regex_dialect dialect, struct buf *out)
{
	const struct alphabet *a = &alphabets[dialect];
	int r = 0;

	for (size_t i = 0; p[i] != '\0' && r == 0; i++) {
		if (p[i] != '*')
			r = put_chars(p + i, 1, out);
		else if (p[i + 1] != '*')
			r = buf_putf(out, "%s*", ref ? a->part : a->segment);
		else {
			r = buf_putf(out, "%s*", a->any);
			i++;
		}
	}
	return r;
}
