/*
 * postern export: a recording, or its sidecar, as a file.  audit writes down
 * who takes it before it hands it over.  What is in there was sent by a target:
 * it goes to no terminal.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/copy.h"
#include "cli/cli.h"
#include "lib/err.h"
#include "lib/proto.h"

static int
take_file(void *arg, const char *json, size_t n, int fd)
{
	int *to = arg;

	(void)json;
	(void)n;
	if (fd >= 0 && *to >= 0)
		(void)close(*to);
	if (fd >= 0)
		*to = fd;
	return 0;
}

/* A file that is not there yet; NULL: standard output. */
static int
open_out(const char *path, int *fdp)
{
	if (path != NULL) {
		*fdp = open(path,
		    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (*fdp != -1)
			return 0;
		cli_error("%s: %s", path, strerror(errno));
		return POSTERN_EX_IOERR;
	}
	if (isatty(STDOUT_FILENO) == 1) {
		cli_error("a recording drives the terminal it is written to: "
			  "name a FILE, or see it with `postern replay'");
		return POSTERN_EX_USAGE;
	}
	*fdp = STDOUT_FILENO;
	return 0;
}

int
cli_export(int argc, char **argv)
{
	static const struct option options[] = {
		{ "manifest", no_argument, NULL, 'm' },
		{ NULL, 0, NULL, 0 },
	};
	struct cli_param param[] = { { "id", NULL }, { "as", "export" } };
	const char *what = "recording", *path = NULL;
	int c, in = -1, out = -1, r;
	struct stat st;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'm')
			return cli_usage();
		what = "manifest";
	}
	if (argc - optind < 1 || argc - optind > 2)
		return cli_usage();
	param[0].value = argv[optind];
	if (argc - optind == 2)
		path = argv[optind + 1];
	/* Before it is asked for: what is written down was handed over. */
	if ((r = open_out(path, &out)) != 0)
		return r;
	if ((r = cli_query(what, param, 2, take_file, &in)) != 0)
		goto out;
	r = in == -1 || fstat(in, &st) == -1 ? ERR_NOTFOUND : 0;
	/* One that runs is handed over as far as it is. */
	if (r == 0)
		r = copy_some(in, out, 0, (uint64_t)st.st_size, NULL);
	if (r != 0) {
		cli_error("it cannot be written: %s", err_text(r));
		r = POSTERN_EX_IOERR;
	}
out:
	if (in >= 0)
		(void)close(in);
	if (path != NULL) {
		(void)close(out);
		if (r != 0)
			(void)unlink(path);
	}
	return r;
}
