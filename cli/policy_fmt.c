/*
 * postern policy fmt: files in their one layout.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/policy.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/proto.h"
#include "lib/safeopen.h"
#include "policy/format.h"
#include "policy/policy.h"

#define JSON_MAX (16UL * 1024 * 1024)

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

/* 0 or a negative enum err; *differs: the file is not in its layout. */
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
out:
	buf_clear(&in);
	buf_clear(&out);
	buf_clear(&again);
	return r;
}

/* Tells of one file; an exit code. */
static int
report_file(struct json *j, bool check, const char *path, bool *differs)
{
	int r = format_file(path, check, differs);
	const char *why = r == 0         ? NULL
			  : r == ERR_SYS ? strerror(errno)
					 : err_text(r);

	if (why != NULL)
		cli_error("%s: %s", path, why);
	else if (*differs && j == NULL)
		(void)printf("%s\n", path);
	if (j != NULL) {
		json_open(j, '{');
		json_kv_str(j, "file", path);
		json_kv_bool(
		    j, check ? "differs" : "changed", r == 0 && *differs);
		if (why != NULL)
			json_kv_str(j, "error", why);
		json_close(j, '}');
	}
	return r == 0 ? 0 : CLI_EX_FAILED;
}

int
cli_policy_fmt(int argc, char **argv)
{
	bool differs, some = false;
	struct ask a;
	struct buf b;
	struct json j;
	int r;

	if ((r = ask_parse(&a, argc, argv, "kj")) != 0)
		return r;
	if (optind == argc)
		return cli_usage();
	buf_init(&b, JSON_MAX);
	json_init(&j, &b);
	json_open(&j, '[');
	for (; optind < argc; optind++) {
		differs = false;
		if (report_file(a.json ? &j : NULL, a.check, argv[optind],
			&differs) != 0)
			r = CLI_EX_FAILED;
		some = some || differs;
	}
	json_close(&j, ']');
	if (a.json && (json_end(&j) != 0 || buf_put(&b, "\n", 1) != 0 ||
			  policy_say(&b, 0) != 0))
		r = CLI_EX_FAILED;
	buf_clear(&b);
	return r != 0 ? r : a.check && some ? CLI_EX_FAILED : 0;
}
