/*
 * The headers of archives: what a reader of the format takes them for.  That
 * tar(1) and Python read them is tests/e2e/test_backup.py's matter.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cli/tar.c"

static void
t_put_size_both_ways(void **state)
{
	static const struct {
		uint64_t size;
		uint8_t want[12];
	} cases[] = {
		{ 0, "00000000000" },
		{ 511, "00000000777" },
		{ TAR_OCTAL_MAX, "77777777777" },
		{ TAR_OCTAL_MAX + 1,
		    { 0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0 } },
		{ UINT64_MAX,
		    { 0x80, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255 } },
	};
	uint8_t got[12];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put_size(got, cases[i].size);
		assert_memory_equal(got, cases[i].want, sizeof(got));
	}
}

static void
t_put_header_sum(void **state)
{
	const struct stat st = { .st_mode = S_IFREG | 04777, .st_mtime = 8 };
	char long_name[102] = "";
	struct tar_header h;
	unsigned int sum = 8 * ' ';
	const uint8_t *p = (const uint8_t *)&h;
	int fd[2];

	(void)state;
	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	assert_int_equal(put_header(fd[1], "ledger/x", &st, 9), 0);
	assert_int_equal(read(fd[0], &h, sizeof(h)), sizeof(h));
	assert_string_equal(h.name, "ledger/x");
	assert_string_equal(h.mode, "0000640"); /* nothing is set-uid */
	assert_memory_equal(h.size, "00000000011", 12);
	assert_string_equal(h.mtime, "00000000010");
	for (size_t i = 0; i < sizeof(h); i++) {
		if (i < offsetof(struct tar_header, sum) ||
		    i >= offsetof(struct tar_header, type))
			sum += p[i];
	}
	assert_int_equal(strtoul(h.sum, NULL, 8), sum);
	memset(long_name, 'x', sizeof(long_name) - 1);
	assert_int_equal(put_header(fd[1], long_name, &st, 9), ERR_TOOBIG);
	(void)close(fd[0]);
	(void)close(fd[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_put_size_both_ways),
		cmocka_unit_test(t_put_header_sum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
