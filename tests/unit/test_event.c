/*
 * lib/event.c: the vocabulary, and what audit must not believe.
 */
#include "config.h"

#include "lib/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/err.h"
#include "tests/unit/fault.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))
#define BODY 256

static void
t_vocabulary(void **state)
{
	uint32_t f, k;

	(void)state;
	assert_null(event_field_name(0));
	assert_int_equal(event_field_type(0), '\0');
	for (f = EV_SESSION; f <= EV_LINE; f++) {
		assert_non_null(event_field_name(f));
		assert_non_null(strchr("snb", event_field_type(f)));
		assert_int_not_equal(event_field_type(f), '\0');
		for (uint32_t g = EV_SESSION; g < f; g++)
			assert_string_not_equal(event_field_name(f),
			    event_field_name(g));
	}
	assert_null(event_field_name(f));
	assert_int_equal(event_field_type(f), '\0');
	assert_null(event_field_name(UINT32_MAX));
	assert_int_equal(event_field_type(UINT32_MAX), '\0');
	assert_null(event_kind_name(0));
	for (k = EVENT_START; k <= EVENT_REFUSED; k++)
		assert_non_null(event_kind_name(k));
	assert_null(event_kind_name(k));
	assert_null(event_kind_name(UINT32_MAX));
}

static void
t_write_read(void **state)
{
	struct event_value v;
	struct buf b;
	uint32_t kind;

	(void)state;
	buf_init(&b, BODY);
	assert_int_equal(event_start(&b, EVENT_OP_DECIDE), 0);
	assert_int_equal(event_str(&b, EV_COMMAND, "d\xc3\xa9" "f"), 0);
	assert_int_equal(event_str(&b, EV_COMMIT, NULL), 0); /* left out */
	assert_int_equal(event_str(&b, EV_COMMIT, ""), 0);
	assert_int_equal(event_num(&b, EV_PTY, 1), 0);
	assert_int_equal(event_num(&b, EV_SERIAL, UINT64_MAX), 0);

	assert_int_equal(event_get_kind(&b, &kind), 0);
	assert_int_equal(kind, EVENT_OP_DECIDE);
	assert_int_equal(event_get(&b, &v), 0);
	assert_int_equal(v.field, EV_COMMAND);
	assert_int_equal(v.type, 's');
	assert_int_equal(v.len, 4);
	assert_memory_equal(v.s, "d\xc3\xa9" "f", 4);
	assert_int_equal(event_get(&b, &v), 0);
	assert_true(v.field == EV_PTY && v.type == 'b' && v.n == 1);
	assert_int_equal(event_get(&b, &v), 0);
	assert_true(v.field == EV_SERIAL && v.type == 'n' &&
	    v.n == UINT64_MAX);
	assert_int_equal(buf_len(&b), 0);
	assert_int_equal(event_get(&b, &v), ERR_FORMAT);
	buf_clear(&b);
}

static void
t_write_refused(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, BODY);
	assert_int_equal(event_str(&b, EV_PTY, "x"), ERR_INTERNAL);
	assert_int_equal(event_str(&b, EV_SERIAL, "x"), ERR_INTERNAL);
	assert_int_equal(event_num(&b, EV_COMMAND, 1), ERR_INTERNAL);
	assert_int_equal(event_str(&b, EV_COMMAND, "\xff"), ERR_FORMAT);
	assert_int_equal(event_str(&b, EV_COMMAND, "\xed\xa0\x80"),
	    ERR_FORMAT);
	assert_int_equal(buf_len(&b), 0);
	buf_clear(&b);
}

static void
t_read_refused(void **state)
{
	static const struct {
		const char *d;
		size_t n;
	} cases[] = {
		{ "\0\0\0\0s\0\0\0\1x", 10 },	 /* no such field */
		{ "\0\0\0\x7fs\0\0\0\1x", 10 },
		{ "\xff\xff\xff\xffs\0\0\0\1x", 10 },
		{ "\0\0\0\1n\0\0\0\0\0\0\0\0", 13 }, /* not its type */
		{ "\0\0\0\1\0\0\0\0\1x", 10 },
		{ "\0\0\0\1s\0\0\0\2x", 10 },	 /* cut short */
		{ "\0\0\0\1s\0\0\0", 8 },
		{ "\0\0\0\1", 4 },
		{ "\0\0\0", 3 },
		{ "\0\0\0\1s\0\0\0\1\0", 10 },	 /* NUL */
		{ "\0\0\0\1s\0\0\0\1\xff", 10 }, /* not UTF-8 */
		{ "\0\0\0\1s\0\0\0\2\xc0\xaf", 11 },
		{ "\0\0\0\1s\xff\xff\xff\xff", 9 },
	};
	struct event_value v = { .field = 4711 };
	struct buf b;
	uint32_t kind = 4711;

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		buf_view(&b, cases[i].d, cases[i].n);
		assert_int_not_equal(event_get(&b, &v), 0);
		assert_int_equal(v.field, 4711); /* untouched */
	}
	/* a truth of two */
	buf_init(&b, BODY);
	assert_int_equal(event_num(&b, EV_PTY, 2), 0);
	assert_int_equal(event_get(&b, &v), ERR_FORMAT);
	buf_clear(&b);
	for (size_t i = 0; i < 4; i++) {
		buf_view(&b, "\0\0\0\0", i);
		assert_int_equal(event_get_kind(&b, &kind), ERR_FORMAT);
	}
	buf_view(&b, "\0\0\0\0", 4);
	assert_int_equal(event_get_kind(&b, &kind), ERR_FORMAT);
	buf_view(&b, "\0\0\0\x63", 4);
	assert_int_equal(event_get_kind(&b, &kind), ERR_FORMAT);
	assert_int_equal(kind, 4711);
}

/* The longest command fits, one byte more is refused on reading. */
static void
t_longest(void **state)
{
	char *s = malloc(EVENT_STR_MAX + 2);
	struct event_value v;
	struct buf b;

	(void)state;
	assert_non_null(s);
	memset(s, 'x', EVENT_STR_MAX + 1);
	s[EVENT_STR_MAX + 1] = '\0';
	buf_init(&b, EVENT_STR_MAX + 64);
	assert_int_equal(event_str(&b, EV_COMMAND, s), 0);
	assert_int_equal(event_get(&b, &v), ERR_TOOBIG);
	buf_reset(&b);
	s[EVENT_STR_MAX] = '\0';
	assert_int_equal(event_str(&b, EV_COMMAND, s), 0);
	assert_int_equal(event_get(&b, &v), 0);
	assert_int_equal(v.len, EVENT_STR_MAX);
	buf_clear(&b);
	free(s);
}

static void
t_no_memory(void **state)
{
	struct buf b;
	unsigned long n;
	int r;

	(void)state;
	for (n = 1;; n++) {
		buf_init(&b, 8192);
		fault_at(n);
		r = event_start(&b, EVENT_OP_DECIDE);
		for (int i = 0; i < 100 && r == 0; i++)
			r = event_str(&b, EV_COMMAND, "0123456789");
		if (r == 0)
			r = event_num(&b, EV_SERIAL, 1);
		if (!fault_off())
			break;
		assert_int_equal(r, ERR_NOMEM);
		buf_clear(&b);
	}
	assert_int_equal(r, 0);
	assert_true(n > 2);
	buf_clear(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_vocabulary),
		cmocka_unit_test(t_write_read),
		cmocka_unit_test(t_write_refused),
		cmocka_unit_test(t_read_refused),
		cmocka_unit_test(t_longest),
		cmocka_unit_test(t_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
