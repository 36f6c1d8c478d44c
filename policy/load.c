/*
 * Loading a policy: read the files, parse each, resolve the whole, run its
 * tests.  Only what passes all of that exists.  The one file of the room that
 * does I/O.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/safeopen.h"
#include "policy/arena.h"
#include "policy/parse.h"
#include "policy/resolve.h"

#define SUFFIX ".postern"

struct loader {
	struct policy *p;
	struct diags *d;
	size_t total;
	bool untested;
};

static int
loader_init(struct loader *ld, struct diags *d, size_t files)
{
	struct arena *a = arena_new();

	*ld = (struct loader){ .d = d };
	if (a == NULL)
		return ERR_NOMEM;
	ld->p = arena_get(a, sizeof(*ld->p));
	if (ld->p == NULL) {
		arena_free(a);
		return ERR_NOMEM;
	}
	ld->p->arena = a;
	ld->p->source = arena_get(a, files * sizeof(*ld->p->source));
	if (ld->p->source == NULL) {
		arena_free(a);
		ld->p = NULL;
		return ERR_NOMEM;
	}
	return 0;
}

/* Copies a text into the policy. */
static int
add_source(struct loader *ld, const char *name, const void *text, size_t len)
{
	struct policy *p = ld->p;
	struct source *s = &p->source[p->nsource];

	if (len > POLICY_FILE_MAX || len > POLICY_TOTAL_MAX - ld->total) {
		diags_add_file(ld->d, name, "this policy is too large");
		return 0;
	}
	s->name = arena_str(p->arena, name, strlen(name));
	s->text = arena_str(p->arena, text, len);
	if (s->name == NULL || s->text == NULL)
		return ERR_NOMEM;
	s->len = len;
	ld->total += len;
	p->nsource++;
	return 0;
}

/* Everything after reading; takes the policy, also on failure. */
static int
finish(struct loader *ld, int r, struct policy **out)
{
	struct policy *p = ld->p;

	for (size_t i = 0; i < p->nsource && r == 0; i++)
		r = parse_source(p, ld->d, (unsigned int)i);
	if (r == 0)
		r = policy_resolve(p, ld->d);
	if (r == 0 && diags_count(ld->d) == 0 && !ld->untested)
		r = policy_selftest(p, ld->d);
	if (r == 0 && diags_count(ld->d) > 0)
		r = ERR_CONFIG;
	if (r == 0)
		*out = p;
	else
		policy_free(p);
	return r;
}

static int
load_text(struct loader *ld, const char *const *name, const char *const *text,
    const size_t *len, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = add_source(ld, name[i], text[i], len[i]);
	return r;
}

static int
load_memory(const char *const *name, const char *const *text, const size_t *len,
    size_t n, bool untested, struct diags *d, struct policy **out)
{
	struct loader ld;
	int r;

	if (n > POLICY_FILES_MAX)
		return ERR_TOOBIG;
	if ((r = loader_init(&ld, d, n)) != 0)
		return r;
	ld.untested = untested;
	return finish(&ld, load_text(&ld, name, text, len, n), out);
}

int
policy_load_text(const char *const *name, const char *const *text,
    const size_t *len, size_t n, struct diags *d, struct policy **out)
{
	return load_memory(name, text, len, n, false, d, out);
}

int
policy_load_untested(const char *const *name, const char *const *text,
    const size_t *len, size_t n, struct diags *d, struct policy **out)
{
	return load_memory(name, text, len, n, true, d, out);
}

/* -- a folder ---------------------------------------------------------------- */

struct names {
	char *v[POLICY_FILES_MAX];
	size_t n;
};

static void
names_clear(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->v[i]);
	names->n = 0;
}

static int
compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool
is_policy_name(const char *s)
{
	size_t n = strlen(s);

	return s[0] != '.' && n > strlen(SUFFIX) &&
	    strcmp(s + n - strlen(SUFFIX), SUFFIX) == 0;
}

static int
list(DIR *dir, struct names *names)
{
	struct dirent *e;

	while (errno = 0, (e = readdir(dir)) != NULL) {
		if (!is_policy_name(e->d_name))
			continue;
		if (names->n >= POLICY_FILES_MAX)
			return ERR_TOOBIG;
		if ((names->v[names->n] = strdup(e->d_name)) == NULL)
			return ERR_NOMEM;
		names->n++;
	}
	if (errno != 0)
		return ERR_SYS;
	if (names->n > 1)
		qsort(names->v, names->n, sizeof(names->v[0]), compare);
	return 0;
}

static int
list_folder(int dirfd, struct names *names)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir;
	int r;

	if (fd == -1)
		return ERR_SYS;
	if ((dir = fdopendir(fd)) == NULL) {
		(void)close(fd);
		return ERR_SYS;
	}
	r = list(dir, names);
	(void)closedir(dir);
	return r;
}

/* An error that says nothing about the file. */
static bool
passes(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOMEM || err == EIO ||
	       err == EINTR;
}

static int
read_from_folder(struct loader *ld, int dirfd, const char *path,
    const char *name)
{
	struct safeopen_want want = { .owner = geteuid(), .forbid = 022,
		.max = POLICY_FILE_MAX };
	char shown[512];
	const char *why = "";
	struct buf b;
	int err, r;

	for (size_t i = 0; name[i] != '\0'; i++) {
		if (name[i] < ' ' || name[i] > '~') {
			diags_add_file(ld->d, path, "holds a file whose name is "
			    "not plain ASCII");
			return 0;
		}
	}
	(void)snprintf(shown, sizeof(shown), "%s/%s", path, name);
	buf_init(&b, POLICY_FILE_MAX);
	r = safeopen_slurp(dirfd, name, &want, &b, &why);
	err = errno;
	if (r == 0) {
		r = add_source(ld, shown, buf_ptr(&b), buf_len(&b));
	} else if (r != ERR_NOMEM) {
		diags_add_file(ld->d, shown, "%s%s%s", why,
		    r == ERR_SYS ? ": " : "", r == ERR_SYS ? err_text(r) : "");
		r = r == ERR_SYS && passes(err) ? r : 0;
	}
	buf_clear(&b);
	return r;
}

int
policy_load_folder(int dirfd, const char *shown_path, struct diags *d,
    struct policy **out)
{
	struct names names = { .n = 0 };
	struct loader ld;
	int r;

	if ((r = list_folder(dirfd, &names)) != 0) {
		diags_add_file(d, shown_path, "cannot be read: %s",
		    r == ERR_TOOBIG ? "too many files" : err_text(r));
		r = r == ERR_TOOBIG ? ERR_CONFIG : r;
		goto out;
	}
	if (names.n == 0) {
		diags_add_file(d, shown_path, "holds no *" SUFFIX " file");
		r = ERR_CONFIG;
		goto out;
	}
	if ((r = loader_init(&ld, d, names.n)) != 0)
		goto out;
	for (size_t i = 0; i < names.n && r == 0; i++)
		r = read_from_folder(&ld, dirfd, shown_path, names.v[i]);
	r = finish(&ld, r, out);
out:
	names_clear(&names);
	return r;
}

/* -- named files -------------------------------------------------------------- */

static int
slurp_regular(const char *path, struct buf *b)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	int r = ERR_SYS;

	if (fd == -1)
		return r;
	if (fstat(fd, &st) == 0)
		r = S_ISREG(st.st_mode) ? slurp_fd(fd, b) : ERR_FORMAT;
	(void)close(fd);
	return r;
}

static int
read_named(struct loader *ld, const char *path)
{
	struct buf b;
	int r;

	buf_init(&b, POLICY_FILE_MAX);
	r = slurp_regular(path, &b);
	if (r == 0) {
		r = add_source(ld, path, buf_ptr(&b), buf_len(&b));
	} else if (r != ERR_NOMEM) {
		diags_add_file(ld->d, path, "cannot be read: %s",
		    r == ERR_FORMAT ? "no regular file" : err_text(r));
		r = 0;
	}
	buf_clear(&b);
	return r;
}

int
policy_load_files(const char *const *path, size_t n, struct diags *d,
    struct policy **out)
{
	struct loader ld;
	int r;

	if (n > POLICY_FILES_MAX) {
		diags_add_file(d, path[POLICY_FILES_MAX], "more than %d files",
		    POLICY_FILES_MAX);
		return ERR_CONFIG;
	}
	if ((r = loader_init(&ld, d, n)) != 0)
		return r;
	for (size_t i = 0; i < n && r == 0; i++)
		r = read_named(&ld, path[i]);
	return finish(&ld, r, out);
}
