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

void
json_strn(struct json *j, const void *p, size_t n)
{
	const uint8_t *s = p, *from = p;
	uint32_t cp;
	size_t k;

	json_separate(j);
	json_raw(j, "\"", 1);
	while (n > 0) {
		if (*s >= 0x20 && *s < 0x7f && *s != '"' && *s != '\\') {
			s++; /* most of all text, without a call */
			n--;
			continue;
		}
		k = utf8_next(s, n, &cp);
		if (k != 0 && cp != '"' && cp != '\\' && !utf8_is_control(cp)) {
			s += k;
			n -= k;
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
		n -= k;
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
