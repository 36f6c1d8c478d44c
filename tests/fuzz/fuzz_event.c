/*
 * An event from a sibling: whatever is read is of the vocabulary, UTF-8 and
 * bounded, and what is written from it reads the same.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/str.h"
#include "tests/fuzz/depth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const fuzz_depths[] = { "an event with a text",
	"an event with a number", NULL };

static void
write_again(const struct event_value *v)
{
	struct event_value w;
	struct buf b;
	char *s;

	buf_init(&b, EVENT_STR_MAX + 64);
	if (v->type == 's') {
		if (v->len == 0)
			return; /* left out when written */
		if ((s = malloc(v->len + 1)) == NULL)
			abort();
		memcpy(s, v->s, v->len);
		s[v->len] = '\0';
		if (event_str(&b, (enum event_field)v->field, s) != 0)
			abort();
		free(s);
	} else if (event_num(&b, (enum event_field)v->field, v->n) != 0) {
		abort();
	}
	if (event_get(&b, &w) != 0 || w.field != v->field ||
	    w.type != v->type || w.n != v->n || w.len != v->len ||
	    (w.len > 0 && memcmp(w.s, v->s, w.len) != 0) || buf_end(&b) != 0)
		abort();
	buf_clear(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct event_value v;
	struct buf b;
	uint32_t kind;

	buf_view(&b, data, size);
	if (event_get_kind(&b, &kind) != 0)
		return 0;
	if (event_kind_name(kind) == NULL)
		abort();
	while (buf_len(&b) > 0 && event_get(&b, &v) == 0) {
		if (event_field_name(v.field) == NULL ||
		    v.type != event_field_type(v.field))
			abort();
		if (v.type == 's' && (v.len > EVENT_STR_MAX ||
		    !utf8_valid(v.s, v.len)))
			abort();
		fuzz_reached(v.type == 's' ? 0 : 1);
		write_again(&v);
	}
	return 0;
}
