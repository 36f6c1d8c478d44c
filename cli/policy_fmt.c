/*
 * postern policy fmt: files in their one layout.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/proto.h"
#include "lib/safeopen.h"
#include "policy/format.h"
#include "policy/policy.h"

static int
read_file(const char *path, struct buf *b)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), r;

	if (fd == -1)
		return ERR_SYS;
	r = slurp_fd(fd, b);
	(void)close(fd);
	return r;
}

/* Beside it, then in its place: there is always a whole file. */
static int
replace_file(const char *path, struct buf *b)
{
	struct stat st;
	char *new = NULL;
	int fd = -1, r = ERR_SYS;

	if (stat(path, &st) == -1 ||
	    asprintf(&new, "%s.fmt-XXXXXX", path) == -1)
		return ERR_SYS;
	if ((fd = mkostemp(new, O_CLOEXEC)) == -1)
		goto out;
	r = write_all(fd, buf_ptr(b), buf_len(b));
	if (r == 0 && (fchmod(fd, st.st_mode & 07777) == -1 ||
			  fsync(fd) == -1 || rename(new, path) == -1))
		r = ERR_SYS;
	if (r != 0)
		(void)unlink(new);
	(void)close(fd);
out:
	free(new);
	return r;
}

/* Only blanks and empty lines may differ. */
static bool
says_the_same(const struct buf *a, const struct buf *b)
{
	const uint8_t *p = buf_ptr(a), *q = buf_ptr(b);
	size_t n = buf_len(a), m = buf_len(b), i = 0, k = 0;

	for (;;) {
		while (i < n && (p[i] == ' ' || p[i] == '\t' || p[i] == '\n'))
			i++;
		while (k < m && (q[k] == ' ' || q[k] == '\t' || q[k] == '\n'))
			k++;
		if (i == n || k == m)
			return i == n && k == m;
		if (p[i++] != q[k++])
			return false;
	}
}

/* An exit code; *differs: the file is not in its layout. */
static int
format_file(const char *path, bool check, bool *differs)
{
	struct buf in, out, again;
	int r;

	buf_init(&in, POLICY_FILE_MAX);
	buf_init(&out, 2UL * POLICY_FILE_MAX);
	buf_init(&again, 2UL * POLICY_FILE_MAX);
	if ((r = read_file(path, &in)) != 0 ||
	    (r = policy_format(
		 (const char *)buf_ptr(&in), buf_len(&in), &out)) != 0 ||
	    (r = policy_format(
		 (const char *)buf_ptr(&out), buf_len(&out), &again)) != 0)
		goto out;
	if (!says_the_same(&in, &out) || buf_len(&out) != buf_len(&again) ||
	    (buf_len(&out) > 0 &&
		memcmp(buf_ptr(&out), buf_ptr(&again), buf_len(&out)) != 0)) {
		r = ERR_INTERNAL; /* rather no layout than another policy */
		goto out;
	}
	*differs = buf_len(&in) != buf_len(&out) ||
		   (buf_len(&in) > 0 &&
		       memcmp(buf_ptr(&in), buf_ptr(&out), buf_len(&in)) != 0);
	if (*differs && !check)
		r = replace_file(path, &out);
	if (r == 0 && *differs)
		(void)printf("%s\n", path);
out:
	if (r != 0)
		cli_error("%s: %s", path,
		    r == ERR_SYS ? strerror(errno) : err_text(r));
	buf_clear(&in);
	buf_clear(&out);
	buf_clear(&again);
	return r == 0 ? 0 : CLI_EX_FAILED;
}

int
cli_policy_fmt(int argc, char **argv)
{
	static const struct option options[] = {
		{ "check", no_argument, NULL, 'c' },
		{ NULL, 0, NULL, 0 },
	};
	bool check = false, differs, some = false;
	int c, r = 0;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'c')
			return cli_usage();
		check = true;
	}
	if (optind == argc)
		return cli_usage();
	for (; optind < argc; optind++) {
		differs = false;
		if (format_file(argv[optind], check, &differs) != 0)
			r = CLI_EX_FAILED;
		some = some || differs;
	}
	return r != 0 ? r : check && some ? CLI_EX_FAILED : 0;
}
