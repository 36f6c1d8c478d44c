/*
 * The JSON writer.  Its strings come from jobs, targets and tokens; whatever
 * they hold, one line of its output is harmless on a terminal.
 */
#include "config.h"

#include "lib/json.h"

#include <inttypes.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/str.h"

void
json_init(struct json *j, struct buf *b)
{
	*j = (struct json){ .b = b };
}

static void
json_raw(struct json *j, const void *p, size_t n)
{
	if (j->r == 0)
		j->r = buf_put(j->b, p, n);
}

static void
json_separate(struct json *j)
{
	if (j->comma)
		json_raw(j, ",", 1);
	j->comma = true;
}

void
json_open(struct json *j, char bracket)
{
	json_separate(j);
	json_raw(j, &bracket, 1);
	j->comma = false;
}

void
json_close(struct json *j, char bracket)
{
	json_raw(j, &bracket, 1);
	j->comma = true;
}

static void
json_escape(struct json *j, uint32_t cp)
{
	char u[7] = "\\u";

	if (j->r != 0)
		return;
	switch (cp) {
	case '"':
		json_raw(j, "\\\"", 2);
		break;
	case '\\':
		json_raw(j, "\\\\", 2);
		break;
	case '\n':
		json_raw(j, "\\n", 2);
		break;
	case '\r':
		json_raw(j, "\\r", 2);
		break;
	case '\t':
		json_raw(j, "\\t", 2);
		break;
	default: /* all of them are below U+10000 */
		hex_encode((const uint8_t[]){ (uint8_t)(cp >> 8), (uint8_t)cp },
		    2, u + 2);
		json_raw(j, u, 6);
	}
}

/* What goes out as it came in, without a look at its neighbours. */
static bool
json_is_plain(uint8_t b)
{
	return b >= 0x20 && b < 0x7f && b != '"' && b != '\\';
}

/* Eight of them.  In each byte the top bit is set by one that is not: nothing
 * borrows or carries before the first of those. */
static bool
json_are_plain(const uint8_t *s)
{
	const uint64_t each = UINT64_C(0x0101010101010101);
	uint64_t x;

	memcpy(&x, s, sizeof(x));
	return ((x | (x - each * 0x20) | (x + each) |
		    ((x ^ each * '"') - each) | ((x ^ each * '\\') - each)) &
		   each * 0x80) == 0;
}

/* How many of them stand at the start: most of all text. */
static size_t
json_plain(const uint8_t *s, size_t n)
{
	size_t k = 0;

	while (n - k >= sizeof(uint64_t) && json_are_plain(s + k))
		k += sizeof(uint64_t);
	while (k < n && json_is_plain(s[k]))
		k++;
	return k;
}

void
json_strn(struct json *j, const void *p, size_t n)
{
	const uint8_t *s = p, *from = p, *end = s + n;
	uint32_t cp = 0;
	size_t k;

	json_separate(j);
	json_raw(j, "\"", 1);
	while ((s += json_plain(s, (size_t)(end - s))) < end) {
		k = utf8_next(s, (size_t)(end - s), &cp);
		if (k > 1 && !utf8_is_control(cp)) {
			s += k;
			continue;
		}
		json_raw(j, from, (size_t)(s - from));
		if (k == 0) {
			json_raw(j, "\xef\xbf\xbd", 3); /* U+FFFD */
			k = 1;
		} else {
			json_escape(j, cp);
		}
		s += k;
		from = s;
	}
	json_raw(j, from, (size_t)(s - from));
	json_raw(j, "\"", 1);
}

void
json_str(struct json *j, const char *s)
{
	json_strn(j, s, strlen(s));
}

void
json_key(struct json *j, const char *key)
{
	json_str(j, key);
	json_raw(j, ":", 1);
	j->comma = false;
}

void
json_num(struct json *j, uint64_t n)
{
	json_separate(j);
	if (j->r == 0)
		j->r = buf_putf(j->b, "%" PRIu64, n);
}

void
json_int(struct json *j, int64_t n)
{
	json_separate(j);
	if (j->r == 0)
		j->r = buf_putf(j->b, "%" PRId64, n);
}

void
json_bool(struct json *j, bool v)
{
	json_separate(j);
	json_raw(j, v ? "true" : "false", v ? 4 : 5);
}

void
json_null(struct json *j)
{
	json_separate(j);
	json_raw(j, "null", 4);
}

void
json_kv_str(struct json *j, const char *key, const char *s)
{
	json_key(j, key);
	json_str(j, s);
}

void
json_kv_num(struct json *j, const char *key, uint64_t n)
{
	json_key(j, key);
	json_num(j, n);
}

void
json_kv_bool(struct json *j, const char *key, bool v)
{
	json_key(j, key);
	json_bool(j, v);
}

void
json_kv_open(struct json *j, const char *key, char bracket)
{
	json_key(j, key);
	json_open(j, bracket);
}

int
json_end(const struct json *j)
{
	return j->r;
}
