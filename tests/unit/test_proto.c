/*
 * lib/proto.c: the table keeps its own rules.
 */
#include "config.h"

#include "lib/proto.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/msg.h"

#define PROC_ALL ((1U << 9) - 1)

static void
t_rows(void **state)
{
	const struct proto_row *row, *a;
	size_t n;

	(void)state;
	row = proto_table(&n);
	assert_true(n > 30);
	for (size_t i = 0; i < n; i++) {
		assert_in_range(row[i].type, 1, UINT16_MAX);
		assert_in_range(row[i].from, 1, PROC_ALL);
		assert_in_range(row[i].to, 1, PROC_ALL);
		assert_int_equal(row[i].from & row[i].to, 0);
		assert_in_range(row[i].max, 0, MSG_BODY_MAX);
		assert_in_range(row[i].fds_max, row[i].fds_min, MSG_FDS_MAX);
		for (const char *s = row[i].name; *s != '\0'; s++)
			assert_true(isupper((unsigned char)*s) || *s == '_');
		for (size_t k = 0; k < i; k++) {
			assert_int_not_equal(row[i].type, row[k].type);
			assert_string_not_equal(row[i].name, row[k].name);
		}
		assert_ptr_equal(proto_find(row[i].type), &row[i]);
		if (row[i].answer == 0)
			continue;
		/* An answer goes back where the question came from. */
		a = proto_find(row[i].answer);
		assert_non_null(a);
		assert_int_equal(row[i].type % 2, 0);
		assert_int_equal(a->to & row[i].from, row[i].from);
		/* policy hands a QUERY's connection on, and audit answers */
		if (row[i].type != MSG_QUERY)
			assert_int_equal(a->from & row[i].to, row[i].to);
	}
}

static void
t_find_nothing(void **state)
{
	size_t found = 0, n;

	(void)state;
	(void)proto_table(&n);
	for (uint32_t type = 0; type <= UINT16_MAX; type++)
		found += proto_find(type) != NULL;
	assert_int_equal(found, n);
	assert_null(proto_find(UINT32_MAX));
	assert_null(proto_find(MSG_RUN + 65536));
}

/* Who may never say what: the lines between the processes. */
static void
t_trust(void **state)
{
	const struct proto_row *row;
	size_t n;

	(void)state;
	row = proto_table(&n);
	for (size_t i = 0; i < n; i++) {
		/* root takes these from its children, and nothing else */
		if ((row[i].to & PROC_PARENT) != 0)
			assert_true(row[i].type == MSG_READY ||
				    row[i].type == MSG_RELOADED ||
				    row[i].type == MSG_RELOAD_WANTED ||
				    row[i].type == MSG_ALARM_DONE ||
				    row[i].type == MSG_ANCHOR ||
				    row[i].type == MSG_HOP_START ||
				    row[i].type == MSG_HOP_STOP ||
				    row[i].type == MSG_AGENT_WANTED ||
				    row[i].type == MSG_AGENT_LOST);
		/* only policy and a hop's one question reach the signer */
		if ((row[i].to & PROC_SIGNER) != 0 &&
		    row[i].from != PROC_PARENT)
			assert_true(row[i].type == MSG_GRANT ||
				    row[i].type == MSG_CERT_REQUEST ||
				    row[i].type == MSG_JOB_CERT);
		/* a hop speaks to its shell and to the signer, and says to
		 * policy how its command ended */
		if ((row[i].from & PROC_HOP) != 0)
			assert_true(row[i].type == MSG_EXIT ||
				    row[i].type == MSG_CERT_REQUEST ||
				    row[i].type == MSG_HOP_ENDED);
		/* postern-shell asks policy for one thing, a broker shell for
		 * one after the other */
		if ((row[i].from & PROC_SHELL) != 0 &&
		    (row[i].to & PROC_POLICY) != 0)
			assert_true(row[i].type == MSG_RUN ||
				    row[i].type == MSG_LINE ||
				    row[i].type == MSG_BREAK ||
				    row[i].type == MSG_LEAVE ||
				    row[i].type == MSG_WORDS);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_rows),
		cmocka_unit_test(t_find_nothing),
		cmocka_unit_test(t_trust),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
