/*
 * libnss_postern's functions.  What the constructor asks of the system (the
 * marker, /etc/passwd, the order of lookups) is answered by this program, so
 * that it can be run in every state; it runs itself once for each.
 */
#include "config.h"

#include "nss/postern.h"

#include <sys/wait.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define N(a) (sizeof(a) / sizeof((a)[0]))
#define LINE "_postern-job:x:61000:61001:jobs:/:/usr/sbin/nologin\n"
#define SHELL POSTERN_LIBEXECDIR "/postern-shell"

int __wrap___nss_configure_lookup(const char *db, const char *order);
FILE *__wrap_fopen(const char *path, const char *mode);

/* The constructor runs before main: its calls are counted in plain statics. */
static unsigned int configured, opened;

int
__wrap___nss_configure_lookup(const char *db, const char *order)
{
	static const char *const want[][2] = { { "passwd", "files postern" },
		{ "group", "files" }, { "initgroups", "files" },
		{ "shadow", "files" } };

	for (size_t i = 0; i < N(want); i++) {
		if (strcmp(db, want[i][0]) == 0 &&
		    strcmp(order, want[i][1]) == 0)
			configured |= 1U << i;
	}
	errno = E2BIG; /* must not be seen afterwards */
	return getenv("T_REFUSED") == NULL ? 0 : -1;
}

FILE *
__wrap_fopen(const char *path, const char *mode)
{
	char *text = getenv("T_PASSWD");

	(void)mode;
	opened++;
	if (strcmp(path, "/etc/passwd") != 0 || text == NULL)
		return NULL;
	return fmemopen(text, strlen(text), "r");
}

static const char *const ours[] = { "web-1", "deploy+web-1", "postern", "0",
	"a.b_c-d", "aaaaaaaaaabbbbbbbbbbccccccccccd",
	"aaaaaaaaaabbbbbbbbbbccccccccccd+aaaaaaaaaabbbbbbbbbbccccccccccd" };
static const char *const foreign[] = { "", "+", "web-1+", "+web-1", "a+b+c",
	"_postern-job", "-a", ".a", "Web-1", "a b", "a/b", "a:b", "a%b",
	"a\n", "\xc3\xa4", "a@b", "aaaaaaaaaabbbbbbbbbbccccccccccdd",
	"a+aaaaaaaaaabbbbbbbbbbccccccccccdd" };

/* -- with everything in place --------------------------------------------- */

static void
t_nss_start(void **state)
{
	(void)state;
	assert_int_equal(configured, 15);
	assert_int_equal(opened, 1);
}

static void
t_nss_getpwnam_ours(void **state)
{
	(void)state;
	for (size_t i = 0; i < N(ours); i++) {
		struct passwd pw = { 0 };
		char buf[256];
		int e = 0;

		errno = 77;
		assert_int_equal(_nss_postern_getpwnam_r(ours[i], &pw, buf,
		    sizeof(buf), &e), NSS_STATUS_SUCCESS);
		assert_int_equal(errno, 77);
		assert_int_equal(e, 0);
		assert_string_equal(pw.pw_name, ours[i]);
		assert_string_equal(pw.pw_passwd, "*");
		assert_int_equal(pw.pw_uid, 61000);
		assert_int_equal(pw.pw_gid, 61001);
		assert_string_equal(pw.pw_gecos, "");
		assert_string_equal(pw.pw_dir, "/");
		assert_string_equal(pw.pw_shell, SHELL);
	}
}

static void
t_nss_getpwnam_foreign(void **state)
{
	(void)state;
	for (size_t i = 0; i < N(foreign); i++) {
		struct passwd pw = { .pw_uid = 5 };
		char buf[256];
		int e = 0;

		errno = 77;
		assert_int_equal(_nss_postern_getpwnam_r(foreign[i], &pw, buf,
		    sizeof(buf), &e), NSS_STATUS_NOTFOUND);
		assert_int_equal(errno, 77);
		assert_int_equal(e, ENOENT);
		assert_int_equal(pw.pw_uid, 5);
	}
}

/* Every size from nothing on: too small says so and writes nothing, and never
 * is a byte written past the size. */
static void
t_nss_getpwnam_sizes(void **state)
{
	const size_t need = sizeof("deploy+web-1") + sizeof("*") + sizeof("") +
	    sizeof("/") + sizeof(SHELL);

	(void)state;
	for (size_t size = 0; size < need + 8; size++) {
		struct passwd pw = { .pw_uid = 5 };
		char *buf = malloc(size + 16);
		int e = 0;

		assert_non_null(buf);
		memset(buf, 0x55, size + 16);
		if (size < need) {
			assert_int_equal(_nss_postern_getpwnam_r(
			    "deploy+web-1", &pw, buf, size, &e),
			    NSS_STATUS_TRYAGAIN);
			assert_int_equal(e, ERANGE);
			assert_int_equal(pw.pw_uid, 5);
			assert_true(size == 0 || buf[0] == 0x55);
		} else {
			assert_int_equal(_nss_postern_getpwnam_r(
			    "deploy+web-1", &pw, buf, size, &e),
			    NSS_STATUS_SUCCESS);
			assert_string_equal(pw.pw_shell, SHELL);
		}
		for (size_t i = 0; i < 16; i++)
			assert_int_equal(buf[size + i], 0x55);
		free(buf);
	}
}

static void
t_nss_getpwuid(void **state)
{
	static const uid_t others[] = { 0, 1, 60999, 61001, (uid_t)-1 };
	struct passwd pw = { 0 };
	char buf[256];
	int e = 0;

	(void)state;
	assert_int_equal(_nss_postern_getpwuid_r(61000, &pw, buf, sizeof(buf),
	    &e), NSS_STATUS_SUCCESS);
	assert_string_equal(pw.pw_name, "_postern-job");
	assert_string_equal(pw.pw_shell, SHELL);
	for (size_t i = 0; i < N(others); i++)
		assert_int_equal(_nss_postern_getpwuid_r(others[i], &pw, buf,
		    sizeof(buf), &e), NSS_STATUS_NOTFOUND);
}

/* -- with something missing: nobody is known ------------------------------ */

static void
t_nss_nobody(void **state)
{
	struct passwd pw = { 0 };
	char buf[256];
	int e = 0;

	(void)state;
	for (size_t i = 0; i < N(ours); i++)
		assert_int_equal(_nss_postern_getpwnam_r(ours[i], &pw, buf,
		    sizeof(buf), &e), NSS_STATUS_NOTFOUND);
	assert_int_equal(_nss_postern_getpwuid_r(0, &pw, buf, sizeof(buf),
	    &e), NSS_STATUS_NOTFOUND);
	assert_int_equal(_nss_postern_getpwuid_r(61000, &pw, buf, sizeof(buf),
	    &e), NSS_STATUS_NOTFOUND);
}

static void
t_nss_untouched(void **state)
{
	(void)state;
	assert_int_equal(configured, 0);
	assert_int_equal(opened, 0);
}

struct nss_state {
	const char *marker; /* POSTERN_SSHD */
	const char *passwd;
	bool refused; /* __nss_configure_lookup fails */
	bool works;
};

static const struct nss_state states[] = {
	{ "1", "root:x:0:0::/:/bin/sh\n" LINE, false, true },
	{ "1", LINE "_postern-job:x:0:0::/:/bin/sh\n", false, true },
	{ "1", "x_postern-job:x:1:1::/:/x\n_postern-jobs:x:2:2::/:/x\n" LINE,
	    false, true },
	{ NULL, LINE, false, false },
	{ "", LINE, false, false },
	{ "0", LINE, false, false },
	{ "11", LINE, false, false },
	{ "yes", LINE, false, false },
	{ "1", LINE, true, false },
	{ "1", NULL, false, false },
	{ "1", "root:x:0:0::/:/bin/sh\n", false, false },
	{ "1", "#" LINE, false, false },
	{ "1", "_postern-job:x:0:61001::/:/x\n" LINE, false, false },
	{ "1", "_postern-job:x:61000:0::/:/x\n", false, false },
	{ "1", "_postern-job:x:4294967296:61001::/:/x\n", false, false },
	{ "1", "_postern-job:x:4294967295:61001::/:/x\n", false, false },
	{ "1", "_postern-job:x:-1:61001::/:/x\n", false, false },
	{ "1", "_postern-job:x::61001::/:/x\n", false, false },
	{ "1", "_postern-job:x:61000:61001\n", false, false },
	{ "1", "_postern-job:x:61000\n", false, false },
	{ "1", "_postern-job:", false, false },
};

static int
inner(const char *marker, bool works)
{
	const struct CMUnitTest good[] = {
		cmocka_unit_test(t_nss_start),
		cmocka_unit_test(t_nss_getpwnam_ours),
		cmocka_unit_test(t_nss_getpwnam_foreign),
		cmocka_unit_test(t_nss_getpwnam_sizes),
		cmocka_unit_test(t_nss_getpwuid),
	};
	const struct CMUnitTest bad[] = { cmocka_unit_test(t_nss_nobody) };
	const struct CMUnitTest off[] = { cmocka_unit_test(t_nss_nobody),
		cmocka_unit_test(t_nss_untouched) };

	if (works)
		return cmocka_run_group_tests(good, NULL, NULL);
	if (marker == NULL || strcmp(marker, "1") != 0)
		return cmocka_run_group_tests(off, NULL, NULL);
	return cmocka_run_group_tests(bad, NULL, NULL);
}

static void
set(const char *name, const char *value)
{
	if (value == NULL)
		assert_int_equal(unsetenv(name), 0);
	else
		assert_int_equal(setenv(name, value, 1), 0);
}

static void
t_nss_every_state(void **state)
{
	(void)state;
	for (size_t i = 0; i < N(states); i++) {
		pid_t pid = fork();
		int status = -1;

		assert_true(pid >= 0);
		if (pid == 0) {
			set("POSTERN_SSHD", states[i].marker);
			set("T_PASSWD", states[i].passwd);
			set("T_REFUSED", states[i].refused ? "1" : NULL);
			set("T_WORKS", states[i].works ? "1" : "0");
			(void)execl("/proc/self/exe", "inner", (char *)NULL);
			_exit(99);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (status != 0)
			print_error("state %zu\n", i);
		assert_int_equal(status, 0);
	}
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_nss_every_state),
	};
	const char *works = getenv("T_WORKS");

	(void)argc;
	if (strcmp(argv[0], "inner") == 0)
		return inner(getenv("POSTERN_SSHD"),
		    works != NULL && works[0] == '1');
	return cmocka_run_group_tests(tests, NULL, NULL);
}
