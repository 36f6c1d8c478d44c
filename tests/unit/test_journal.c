/*
 * lib/journal.c and lib/log.c: an entry's fields, whatever is in a value, and
 * lines where there is no journal.
 */
#include "config.h"

#include "lib/journal.h"

#include <sys/socket.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/log.h"

static int stream[2]; /* the journal's */
static int lines[2];  /* standard error */

int __wrap_journal_open(void);

int
__wrap_journal_open(void)
{
	return stream[1];
}

static void
pair(int sv[2])
{
	assert_int_equal(socketpair(AF_UNIX,
			     SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv),
	    0);
}

static void
t_journal_put_value_is_one_field(void **state)
{
	static const char want[] = "MESSAGE\n\x0d\0\0\0\0\0\0\0"
				   "a\nPRIORITY=0\n\n";
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	assert_int_equal(journal_put(&b, "MESSAGE", "a\nPRIORITY=0\n", 13), 0);
	assert_int_equal(buf_len(&b), sizeof(want) - 1);
	assert_memory_equal(buf_ptr(&b), want, sizeof(want) - 1);
	buf_clear(&b);
	buf_init(&b, 20);
	assert_int_equal(
	    journal_put(&b, "MESSAGE", "0123456789", 10), ERR_TOOBIG);
	buf_clear(&b);
}

static void
t_journal_send_says_that_nobody_took_it(void **state)
{
	struct buf b;
	int sv[2], r = 0;

	(void)state;
	pair(sv);
	buf_init(&b, 100);
	assert_int_equal(journal_send(sv[0], &b), ERR_SYS); /* nothing */
	assert_int_equal(journal_put(&b, "MESSAGE", "x", 1), 0);
	/* A journal that reads nothing is not waited for. */
	for (int i = 0; i < 100000 && r == 0; i++)
		r = journal_send(sv[0], &b);
	assert_int_equal(r, ERR_SYS);
	(void)close(sv[0]);
	(void)close(sv[1]);
	buf_clear(&b);
}

/* What came, or "": fields and their lengths as text. */
static const char *
took(int fd)
{
	static char text[8192];
	ssize_t n = read(fd, text, sizeof(text) - 1);

	if (n < 0)
		n = 0;
	for (ssize_t i = 0; i < n; i++) {
		if (text[i] == '\0')
			text[i] = '.';
	}
	text[n] = '\0';
	return text;
}

static void
t_log_has_fields(void **state)
{
	const char *said;
	int err = dup(STDERR_FILENO);

	(void)state;
	pair(stream);
	pair(lines);
	assert_int_not_equal(dup2(lines[1], STDERR_FILENO), -1);
	log_init("postern-hop");
	log_info("before %s", "it");
	assert_string_equal(took(lines[0]), "postern-hop: before it\n");
	log_journal();
	log_err_about(ABOUT_SESSION("01S"), ERR_NOTFOUND, "session %s", "01S");
	said = took(stream[0]);
	assert_non_null(strstr(said, "PRIORITY\n\1.......3\n"));
	assert_non_null(strstr(said, "session 01S: "));
	assert_non_null(
	    strstr(said, "SYSLOG_IDENTIFIER\n\v.......postern-hop\n"));
	assert_non_null(strstr(said, "POSTERN_SESSION\n\3.......01S\n"));
	assert_null(strstr(said, "POSTERN_OPERATION"));
	log_about(&(struct log_about){ .operation = "01O", .target = "web-1" });
	log_err(0, "ALARM: it hangs");
	said = took(stream[0]);
	assert_non_null(strstr(said, "PRIORITY\n\1.......1\n"));
	assert_non_null(strstr(said, "POSTERN_OPERATION\n\3.......01O\n"));
	assert_non_null(strstr(said, "POSTERN_TARGET\n\5.......web-1\n"));
	assert_string_equal(took(lines[0]), "");
	/* A journal that is gone, and no line is. */
	(void)close(stream[0]);
	log_info("after");
	assert_string_equal(took(lines[0]), "postern-hop: after\n");
	assert_int_not_equal(dup2(err, STDERR_FILENO), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_journal_put_value_is_one_field),
		cmocka_unit_test(t_journal_send_says_that_nobody_took_it),
		cmocka_unit_test(t_log_has_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
