/*
 * postern verify by an auditor, who may not read the recordings' folder: audit
 * hands over one file after the other, and writes down who has them.  What is
 * handed over is measured here; audit's word for it counts nothing.
 */
#include "config.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "audit/verify.h"
#include "cli/cli.h"
#include "cli/verify_asked.h"
#include "lib/err.h"
#include "lib/str.h"
#include "lib/ulid.h"

#define ASKED_PATH_MAX 96

struct asked_file {
	char path[ASKED_PATH_MAX]; /* first: what the tree compares */
	char sha256[VERIFY_SHA256_MAX];
	bool gone;
};

static int
asked_order(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int
asked_keep(struct verify_asked *a, const char *path, int fd)
{
	struct asked_file *f = calloc(1, sizeof(*f));
	int r = ERR_NOMEM;

	if (f == NULL)
		return ERR_NOMEM;
	f->gone = fd < 0;
	if ((r = str_copy(f->path, sizeof(f->path), path)) != 0 ||
	    (fd >= 0 && (r = verify_digest(fd, f->sha256)) != 0))
		goto out;
	r = tsearch(f, &a->files, asked_order) == NULL ? ERR_NOMEM : 0;
	if (r == 0 &&
	    *(struct asked_file *const *)tfind(f, &a->files, asked_order) == f)
		f = NULL; /* else it came twice: the first counts */
out:
	free(f);
	return r;
}

static int
asked_row(void *arg, const char *json, size_t n, int fd)
{
	json_t *o = json_loadb(json, n, 0, NULL);
	const char *path = json_string_value(json_object_get(o, "file"));
	int r = path == NULL ? ERR_PROTO : asked_keep(arg, path, fd);

	json_decref(o);
	if (fd >= 0)
		(void)close(fd);
	if (r == 0)
		return 0;
	cli_error("a recording that audit hands over cannot be read: %s",
	    err_text(r));
	return CLI_EX_FAILED;
}

static const struct asked_file *
asked_find(const struct verify_asked *a, const char *path)
{
	const struct asked_file *const *at =
	    tfind(path, (void *const *)&a->files, asked_order);

	return at == NULL ? NULL : *at;
}

/* What has ended since all were asked for: the operation is the file's name. */
static int
asked_again(struct verify_asked *a, const char *path)
{
	const char *name = strrchr(path, '/');
	char id[ULID_LEN + 1] = "";
	struct cli_param param = { "id", id };

	name = name == NULL ? path : name + 1;
	if (strlen(name) < ULID_LEN)
		return ERR_NOTFOUND;
	memcpy(id, name, ULID_LEN);
	return cli_query("files", &param, 1, asked_row, a) == 0 ? 0 : ERR_SYS;
}

int
verify_asked_sha256(void *arg, const char *path, char *hex)
{
	struct verify_asked *a = arg;
	const struct cli_param param = { "id", a->id };
	const struct asked_file *f;

	if (!a->asked &&
	    cli_query("files", &param, a->id != NULL, asked_row, a) != 0)
		return ERR_AGAIN;
	a->asked = true;
	if ((f = asked_find(a, path)) == NULL && asked_again(a, path) == 0)
		f = asked_find(a, path);
	if (f == NULL)
		return ERR_AGAIN;
	return f->gone ? ERR_NOTFOUND
		       : str_copy(hex, VERIFY_SHA256_MAX, f->sha256);
}

void
verify_asked_clear(struct verify_asked *a)
{
	tdestroy(a->files, free);
	a->files = NULL;
}
