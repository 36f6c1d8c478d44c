/*
 * A ledger line back to an event, and what an event says.  Runs in audit when
 * the index is built anew, and in the tools that read a ledger; the file is our
 * own, but a disk may have damaged it, so nothing but its form is believed.
 */
#include "config.h"

#include "audit/ledger.h"

#include <string.h>

#include <jansson.h>

#include "audit/utc.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/str.h"

#define PARSE_NAMES_MAX 64

/* -- events
 * -------------------------------------------------------------- */

int
ledger_kind(const struct buf *event, uint32_t *kind)
{
	struct buf b;

	buf_view(&b, buf_ptr(event), buf_len(event));
	return event_get_kind(&b, kind);
}

int
ledger_field(const struct buf *event, uint32_t field, char *dst, size_t dstsize)
{
	struct event_value v;
	struct buf b;
	uint32_t kind;
	int r;

	dst[0] = '\0';
	buf_view(&b, buf_ptr(event), buf_len(event));
	if ((r = event_get_kind(&b, &kind)) != 0)
		return r;
	while (buf_len(&b) > 0) {
		if ((r = event_get(&b, &v)) != 0)
			return r;
		if (v.field != field || v.type != 's')
			continue;
		if (v.len >= dstsize)
			return ERR_TOOBIG;
		memcpy(dst, v.s, v.len);
		dst[v.len] = '\0';
		return 0;
	}
	return ERR_NOTFOUND;
}

/* -- lines
 * --------------------------------------------------------------- */

static uint32_t
parse_kind(const char *name)
{
	for (uint32_t k = 1; k < PARSE_NAMES_MAX; k++) {
		const char *s = event_kind_name(k);

		if (s != NULL && strcmp(s, name) == 0)
			return k;
	}
	return 0;
}

static uint32_t
parse_field(const char *name)
{
	for (uint32_t f = 1; f < PARSE_NAMES_MAX; f++) {
		const char *s = event_field_name(f);

		if (s != NULL && strcmp(s, name) == 0)
			return f;
	}
	return 0;
}

static int
parse_num(const json_t *v, uint64_t *n)
{
	if (json_is_string(v)) /* a large one */
		return num_parse(json_string_value(v), 0, UINT64_MAX, n);
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return ERR_FORMAT;
	*n = (uint64_t)json_integer_value(v);
	return 0;
}

static int
parse_value(struct buf *event, uint32_t field, const json_t *v)
{
	enum event_field f = (enum event_field)field;
	uint64_t n;

	switch (event_field_type(field)) {
	case 's':
		if (!json_is_string(v))
			return ERR_FORMAT;
		return event_str(event, f, json_string_value(v));
	case 'n':
		if (parse_num(v, &n) != 0)
			return ERR_FORMAT;
		return event_num(event, f, n);
	case 'b':
		if (!json_is_boolean(v))
			return ERR_FORMAT;
		return event_num(event, f, json_is_true(v) ? 1 : 0);
	default:
		return ERR_FORMAT;
	}
}

/* number, time and the kind; the event is started. */
static int
parse_head(
    const json_t *o, uint64_t *number, uint64_t *time_ms, struct buf *event)
{
	const json_t *n = json_object_get(o, "number");
	const char *t = json_string_value(json_object_get(o, "time"));
	const char *e = json_string_value(json_object_get(o, "event"));
	uint32_t kind;
	int r;

	if (!json_is_integer(n) || json_integer_value(n) < 1 || t == NULL ||
	    e == NULL)
		return ERR_FORMAT;
	if ((r = utc_parse(t, time_ms)) != 0)
		return r;
	*number = (uint64_t)json_integer_value(n);
	if ((kind = parse_kind(e)) == 0)
		return ERR_NOTFOUND;
	return event_start(event, (enum event_kind)kind);
}

int
ledger_parse(const char *line, size_t n, uint64_t *number, uint64_t *time_ms,
    struct buf *event)
{
	json_t *o, *v;
	const char *name;
	uint32_t field;
	int r = ERR_FORMAT;

	o = json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL);
	if (o == NULL || !json_is_object(o))
		goto out;
	if ((r = parse_head(o, number, time_ms, event)) != 0)
		goto out;
	json_object_foreach(o, name, v)
	{
		if ((field = parse_field(name)) != 0 &&
		    (r = parse_value(event, field, v)) != 0)
			goto out;
	}
out:
	json_decref(o);
	return r;
}
