/*
 * lib/safeopen.c: what is opened, what is refused and why, what is read.
 */
#include "config.h"

#include "lib/safeopen.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "tests/unit/fault.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static char folder[64];
static int dirfd_;

static int
setup(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/test_safeopen.XXXXXX");
	if (mkdtemp(folder) == NULL)
		return -1;
	dirfd_ = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dirfd_ == -1 ? -1 : 0;
}

static int
teardown(void **state)
{
	static const char *const made[] = { "file", "link", "fifo" };

	(void)state;
	for (size_t i = 0; i < LENGTH(made); i++)
		(void)unlinkat(dirfd_, made[i], 0);
	(void)unlinkat(dirfd_, "dir", AT_REMOVEDIR);
	(void)close(dirfd_);
	return rmdir(folder);
}

static void
make(const char *name, mode_t mode, const char *text)
{
	int fd = openat(dirfd_, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
	    0600);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
	(void)close(fd);
}

static void
t_read(void **state)
{
	static const struct {
		mode_t mode, forbid;
		size_t max;
		int r;
		const char *why;
	} cases[] = {
		{ 0600, 077, 3, 0, NULL },
		{ 0644, 022, 3, 0, NULL },
		{ 0644, 0, 100, 0, NULL },
		{ 0600, 077, 2, ERR_TOOBIG, "is too large" },
		{ 0620, 022, 3, ERR_DENIED,
		    "can be written by group or others" },
		{ 0602, 022, 3, ERR_DENIED,
		    "can be written by group or others" },
		{ 0640, 077, 3, ERR_DENIED, "can be read by group or others" },
		{ 0604, 077, 3, ERR_DENIED, "can be read by group or others" },
	};
	struct safeopen_want w = { .owner = geteuid() };
	const char *why;
	int fd;

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		make("file", cases[i].mode, "abc");
		w.forbid = cases[i].forbid;
		w.max = cases[i].max;
		fd = -1;
		assert_int_equal(safeopen_read(dirfd_, "file", &w, &fd, &why),
		    cases[i].r);
		if (cases[i].r != 0) {
			assert_string_equal(why, cases[i].why);
			assert_int_equal(fd, -1);
			continue;
		}
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
		(void)close(fd);
	}
}

static void
t_not_regular(void **state)
{
	const struct safeopen_want w = { .owner = geteuid(), .max = 9 };
	const char *why = NULL;
	int fd = -1;

	(void)state;
	assert_int_equal(safeopen_read(dirfd_, "file", &w, &fd, &why),
	    ERR_SYS);
	assert_int_equal(errno, ENOENT);
	assert_string_equal(why, "cannot be opened");
	make("file", 0600, "abc");
	assert_int_equal(symlinkat("file", dirfd_, "link"), 0);
	assert_int_equal(safeopen_read(dirfd_, "link", &w, &fd, &why),
	    ERR_SYS);
	assert_string_equal(why, "is a symbolic link");
	/* A pipe that nobody writes to: no waiting. */
	assert_int_equal(mkfifoat(dirfd_, "fifo", 0600), 0);
	assert_int_equal(safeopen_read(dirfd_, "fifo", &w, &fd, &why),
	    ERR_DENIED);
	assert_string_equal(why, "is not a regular file");
	assert_int_equal(mkdirat(dirfd_, "dir", 0700), 0);
	assert_int_equal(safeopen_read(dirfd_, "dir", &w, &fd, &why),
	    ERR_DENIED);
	assert_int_equal(safeopen_read(AT_FDCWD, "/dev/null", &w, &fd, &why),
	    ERR_DENIED);
	assert_int_equal(fd, -1);
}

static void
t_owner(void **state)
{
	struct safeopen_want w = { .owner = 12345, .max = 9 };
	const char *why = NULL;
	int fd = -1;

	(void)state;
	if (geteuid() != 0)
		skip();
	make("file", 0600, "abc");
	/* root's files are everybody's choice */
	assert_int_equal(safeopen_read(dirfd_, "file", &w, &fd, &why), 0);
	(void)close(fd);
	assert_int_equal(fchownat(dirfd_, "file", 12345, 0, 0), 0);
	assert_int_equal(safeopen_read(dirfd_, "file", &w, &fd, &why), 0);
	(void)close(fd);
	w.owner = 12346;
	fd = -1;
	assert_int_equal(safeopen_read(dirfd_, "file", &w, &fd, &why),
	    ERR_DENIED);
	assert_string_equal(why, "belongs to another user");
	assert_int_equal(fd, -1);
}

static void
t_slurp(void **state)
{
	const struct safeopen_want w = { .owner = geteuid(), .max = 100000 };
	char text[40001];
	const char *why = NULL;
	struct buf b;

	(void)state;
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		text[i] = (char)('a' + i % 26);
	text[sizeof(text) - 1] = '\0';
	make("file", 0600, text);
	buf_init(&b, sizeof(text) - 1);
	assert_int_equal(safeopen_slurp(dirfd_, "file", &w, &b, &why), 0);
	assert_string_equal(buf_cstr(&b), text);
	buf_clear(&b);
	buf_init(&b, sizeof(text) - 2);
	assert_int_equal(safeopen_slurp(dirfd_, "file", &w, &b, &why),
	    ERR_TOOBIG);
	assert_string_equal(why, "is too large");
	buf_clear(&b);
	make("file", 0600, "");
	assert_int_equal(safeopen_slurp(dirfd_, "file", &w, &b, &why), 0);
	assert_int_equal(buf_len(&b), 0);
	make("file", 0600, "abc");
	fault_at(1);
	assert_int_equal(safeopen_slurp(dirfd_, "file", &w, &b, &why),
	    ERR_NOMEM);
	assert_true(fault_off());
	assert_string_equal(why, "cannot be read");
	buf_clear(&b);
}

static void
t_write_all(void **state)
{
	char big[300 * 1024] = "";
	int sv[2];

	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe2(sv, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(write_all(sv[1], "abc", 3), 0);
	assert_int_equal(write_all(sv[1], NULL, 0), 0);
	/* A full pipe is told, not waited for. */
	assert_int_equal(write_all(sv[1], big, sizeof(big)), ERR_AGAIN);
	(void)close(sv[0]);
	assert_int_equal(write_all(sv[1], "abc", 3), ERR_SYS);
	assert_int_equal(errno, EPIPE);
	(void)close(sv[1]);
	assert_int_equal(write_all(-1, "abc", 3), ERR_SYS);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(t_read),
		T(t_not_regular),
		T(t_owner),
		T(t_slurp),
		T(t_write_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
