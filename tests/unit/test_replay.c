/*
 * Marks of spent tokens.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/replay.h"
#include "lib/err.h"
#include "lib/proto.h"

static const uint8_t *
digest(unsigned int i)
{
	static uint8_t d[32];

	memset(d, 0, sizeof(d));
	d[0] = (uint8_t)(i >> 8); /* both ends: chains and comparisons */
	d[31] = (uint8_t)i;
	return d;
}

static void
t_replay_mark_source(void **state)
{
	struct replay *t = replay_new(8);

	(void)state;
	assert_int_equal(replay_mark(t, digest(1), "10.0.0.1", 100, 0), 0);
	assert_int_equal(replay_mark(t, digest(1), "10.0.0.1", 100, 50), 0);
	assert_int_equal(replay_mark(t, digest(1), "10.0.0.2", 100, 50),
	    ERR_EXISTS);
	assert_int_equal(replay_mark(t, digest(1), "10.0.0.11", 100, 50),
	    ERR_EXISTS);
	assert_int_equal(replay_mark(t, digest(1), "", 100, 50), ERR_EXISTS);
	assert_int_equal(replay_mark(t, digest(2), "10.0.0.2", 100, 50), 0);
	/* kept through its last second */
	assert_int_equal(replay_mark(t, digest(1), "10.0.0.2", 100, 100),
	    ERR_EXISTS);
	assert_int_equal(replay_mark(t, digest(1), "10.0.0.2", 300, 101), 0);
	replay_free(t);
	replay_free(NULL);
}

static void
t_replay_mark_full(void **state)
{
	struct replay *t = replay_new(600);

	(void)state;
	for (unsigned int i = 0; i < 600; i++)
		assert_int_equal(replay_mark(t, digest(i), "a",
		    i < 10 ? 50 : 100, 0), 0);
	/* full of what is needed: a new token is refused, nothing forgotten */
	assert_int_equal(replay_mark(t, digest(600), "a", 100, 0),
	    ERR_TOOBIG);
	assert_int_equal(replay_mark(t, digest(0), "b", 100, 0), ERR_EXISTS);
	assert_int_equal(replay_mark(t, digest(599), "a", 100, 0), 0);
	assert_int_equal(replay_count(t), 600);
	/* what has run out makes room */
	assert_int_equal(replay_mark(t, digest(600), "a", 100, 51), 0);
	assert_int_equal(replay_count(t), 591);
	replay_free(t);
}

/* Taken back, it is nobody's; kept, it stays. */
static void
t_replay_unmark(void **state)
{
	struct replay *t = replay_new(2);

	(void)state;
	replay_unmark(t, digest(1)); /* none yet */
	replay_keep(t, digest(1));
	/* tokens that policy refuses fill no table */
	for (unsigned int i = 0; i < 5000; i++) {
		assert_int_equal(replay_mark(t, digest(i), "a", 100, 0), 0);
		replay_unmark(t, digest(i));
	}
	assert_int_equal(replay_count(t), 0);
	assert_int_equal(replay_mark(t, digest(0x101), "a", 100, 0), 0);
	assert_int_equal(replay_mark(t, digest(0x102), "a", 100, 0), 0);
	replay_unmark(t, digest(0x101)); /* behind the other in its chain */
	assert_int_equal(replay_mark(t, digest(0x101), "b", 100, 0), 0);
	replay_keep(t, digest(0x101));
	replay_unmark(t, digest(0x101));
	assert_int_equal(
	    replay_mark(t, digest(0x101), "a", 100, 0), ERR_EXISTS);
	assert_int_equal(replay_count(t), 2);
	replay_free(t);
}

/* Kept is not opened: nobody may have been told. */
static void
t_replay_open(void **state)
{
	struct replay *t = replay_new(2);

	(void)state;
	replay_open(t, digest(1)); /* none yet */
	assert_false(replay_opened(t, digest(1)));
	assert_int_equal(replay_mark(t, digest(1), "a", 100, 0), 0);
	assert_false(replay_opened(t, digest(1)));
	replay_keep(t, digest(1));
	assert_false(replay_opened(t, digest(1)));
	replay_open(t, digest(1));
	assert_true(replay_opened(t, digest(1)));
	assert_int_equal(replay_mark(t, digest(1), "a", 100, 50), 0);
	assert_true(replay_opened(t, digest(1)));
	/* without a word about keeping, too */
	assert_int_equal(replay_mark(t, digest(2), "a", 100, 0), 0);
	replay_open(t, digest(2));
	replay_unmark(t, digest(2));
	assert_true(replay_opened(t, digest(2)));
	/* what has run out opened nothing */
	assert_int_equal(replay_mark(t, digest(1), "a", 300, 101), 0);
	assert_false(replay_opened(t, digest(1)));
	replay_free(t);
}

static void
t_replay_mark_long_source(void **state)
{
	char source[PROTO_SOURCE_MAX + 2];
	struct replay *t = replay_new(8);

	(void)state;
	memset(source, 'a', sizeof(source));
	source[sizeof(source) - 1] = '\0';
	assert_int_equal(replay_mark(t, digest(1), source, 100, 0),
	    ERR_TOOBIG);
	assert_int_equal(replay_count(t), 0);
	replay_free(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_replay_mark_source),
		cmocka_unit_test(t_replay_mark_full),
		cmocka_unit_test(t_replay_unmark),
		cmocka_unit_test(t_replay_open),
		cmocka_unit_test(t_replay_mark_long_source),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
