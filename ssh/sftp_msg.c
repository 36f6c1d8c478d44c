/*
 * SFTP's fields: what is written into the queues, attributes, paths.  Runs in
 * the hop.  Distrusts both sides: every length is checked against what is
 * there, and a path comes out absolute and plain or not at all.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "lib/str.h"
#include "ssh/sftp_internal.h"

#define QUEUE_FIRST (SFTP_ROOM + 4096)
#define ATTR_PAIRS_MAX 64 /* extended attributes of one file */

/* -- queues ------------------------------------------------------------------
 */

size_t
sftp_waiting(const struct sftp_queue *q)
{
	return q->len - q->off;
}

/* What was sent makes room first; what is beyond is asked for seldom. */
static bool
queue_room(struct sftp_queue *q, size_t n)
{
	size_t cap = q->cap == 0 ? QUEUE_FIRST : q->cap;
	uint8_t *d;

	if (n <= q->cap - q->len)
		return true;
	if (q->off > 0 && q->start >= q->off) {
		memmove(q->d, q->d + q->off, q->len - q->off);
		q->len -= q->off;
		q->start -= q->off;
		q->off = 0;
	}
	while (cap - q->len < n)
		cap *= 2;
	if (cap == q->cap)
		return true;
	if ((d = realloc(q->d, cap)) == NULL) {
		q->failed = true;
		return false;
	}
	q->d = d;
	q->cap = cap;
	return true;
}

void
sftp_put(struct sftp_queue *q, const void *p, size_t n)
{
	if (n == 0 || !queue_room(q, n))
		return;
	memcpy(q->d + q->len, p, n);
	q->len += n;
}

static void
put_be32(uint8_t *d, uint32_t v)
{
	d[0] = (uint8_t)(v >> 24);
	d[1] = (uint8_t)(v >> 16);
	d[2] = (uint8_t)(v >> 8);
	d[3] = (uint8_t)v;
}

void
sftp_put_u32(struct sftp_queue *q, uint32_t v)
{
	uint8_t d[4];

	put_be32(d, v);
	sftp_put(q, d, sizeof(d));
}

void
sftp_put_u64(struct sftp_queue *q, uint64_t v)
{
	sftp_put_u32(q, (uint32_t)(v >> 32));
	sftp_put_u32(q, (uint32_t)v);
}

void
sftp_put_str(struct sftp_queue *q, const void *p, size_t n)
{
	sftp_put_u32(q, (uint32_t)n);
	sftp_put(q, p, n);
}

void
sftp_put_cstr(struct sftp_queue *q, const char *p)
{
	sftp_put_str(q, p, strlen(p));
}

void
sftp_begin(struct sftp_queue *q, unsigned int type)
{
	const uint8_t t = (uint8_t)type;

	q->start = q->len;
	sftp_put_u32(q, 0);
	sftp_put(q, &t, 1);
}

void
sftp_finish(struct sftp_queue *q, size_t more)
{
	if (!q->failed)
		put_be32(
		    q->d + q->start, (uint32_t)(q->len - q->start - 4 + more));
	q->start = q->len;
}

void
sftp_status(struct sftp *s, uint32_t id, uint32_t code, const char *text)
{
	struct sftp_queue *q = sftp_to(s, SFTP_JOB);

	sftp_begin(q, FXP_STATUS);
	sftp_put_u32(q, id);
	sftp_put_u32(q, code);
	sftp_put_cstr(q, text);
	sftp_put_cstr(q, "en");
	sftp_finish(q, 0);
}

void
sftp_name(struct sftp *s, uint32_t id, const char *path)
{
	const struct sftp_attrs none = { 0 };
	struct sftp_queue *q = sftp_to(s, SFTP_JOB);

	sftp_begin(q, FXP_NAME);
	sftp_put_u32(q, id);
	sftp_put_u32(q, 1);
	sftp_put_cstr(q, path);
	sftp_put_cstr(q, path);
	sftp_put_attrs(q, &none);
	sftp_finish(q, 0);
}

/* -- attributes --------------------------------------------------------------
 */

void
sftp_put_attrs(struct sftp_queue *q, const struct sftp_attrs *a)
{
	sftp_put_u32(q, a->flags);
	if ((a->flags & ATTR_SIZE) != 0)
		sftp_put_u64(q, a->size);
	if ((a->flags & ATTR_UIDGID) != 0) {
		sftp_put_u32(q, a->uid);
		sftp_put_u32(q, a->gid);
	}
	if ((a->flags & ATTR_PERM) != 0)
		sftp_put_u32(q, a->perm);
	if ((a->flags & ATTR_TIMES) != 0) {
		sftp_put_u32(q, a->atime);
		sftp_put_u32(q, a->mtime);
	}
}

/* Pairs that nobody uses: as OpenSSH, they are read and forgotten. */
static int
get_extended(struct buf *b)
{
	const uint8_t *p;
	uint32_t n;
	size_t len;
	int r;

	if ((r = buf_get_u32(b, &n)) != 0)
		return r;
	if (n > ATTR_PAIRS_MAX)
		return ERR_FORMAT;
	for (uint32_t i = 0; i < 2 * n; i++) {
		if ((r = buf_get_view(b, SFTP_PACKET_MAX, &p, &len)) != 0)
			return r;
	}
	return 0;
}

int
sftp_get_attrs(struct buf *b, struct sftp_attrs *a)
{
	int r;

	*a = (struct sftp_attrs){ 0 };
	if ((r = buf_get_u32(b, &a->flags)) != 0)
		return r;
	if ((a->flags & ~(ATTR_SIZE | ATTR_UIDGID | ATTR_PERM | ATTR_TIMES |
			    ATTR_EXTENDED)) != 0)
		return ERR_FORMAT;
	if (((a->flags & ATTR_SIZE) != 0 &&
		(r = buf_get_u64(b, &a->size)) != 0) ||
	    ((a->flags & ATTR_UIDGID) != 0 &&
		((r = buf_get_u32(b, &a->uid)) != 0 ||
		    (r = buf_get_u32(b, &a->gid)) != 0)) ||
	    ((a->flags & ATTR_PERM) != 0 &&
		(r = buf_get_u32(b, &a->perm)) != 0) ||
	    ((a->flags & ATTR_TIMES) != 0 &&
		((r = buf_get_u32(b, &a->atime)) != 0 ||
		    (r = buf_get_u32(b, &a->mtime)) != 0)) ||
	    ((a->flags & ATTR_EXTENDED) != 0 && (r = get_extended(b)) != 0))
		return r;
	a->flags &= ~ATTR_EXTENDED;
	return 0;
}

/* -- paths -------------------------------------------------------------------
 */

/* A manifest must be able to say it, and a person to read it. */
static bool
path_readable(const uint8_t *p, size_t n)
{
	uint32_t cp;
	size_t k;

	for (size_t i = 0; i < n; i += k) {
		if ((k = utf8_next(p + i, n - i, &cp)) == 0 ||
		    utf8_is_control(cp))
			return false;
	}
	return true;
}

/* Appends the parts of a path to a plain one of n bytes: nothing for an empty
 * one or `.`, one less for `..`. */
static size_t
path_append(char *d, size_t n, const char *p, size_t len)
{
	size_t k;

	for (size_t i = 0; i < len; i += k + 1) {
		k = 0;
		while (i + k < len && p[i + k] != '/')
			k++;
		if (k == 0 || (k == 1 && p[i] == '.'))
			continue;
		if (k == 2 && p[i] == '.' && p[i + 1] == '.') {
			while (n > 0 && d[--n] != '/')
				;
			continue;
		}
		d[n++] = '/';
		memcpy(d + n, p + i, k);
		n += k;
	}
	return n;
}

int
sftp_path_plain(const char *start, const uint8_t *p, size_t n, char **out)
{
	size_t from = n > 0 && p[0] == '/' ? 0 : strlen(start), len;
	char *d;

	if (n > SFTP_PATH_MAX)
		return ERR_TOOBIG;
	if (n > 0 && memchr(p, '\0', n) != NULL)
		return ERR_FORMAT;
	if (!path_readable(p, n))
		return ERR_DENIED;
	/* A slash before each part, and the NUL. */
	if ((d = malloc(from + n + 3)) == NULL)
		return ERR_NOMEM;
	len = path_append(d, 0, start, from);
	len = path_append(d, len, (const char *)p, n);
	if (len == 0)
		d[len++] = '/';
	d[len] = '\0';
	if (len > SFTP_PATH_MAX) {
		free(d);
		return ERR_TOOBIG;
	}
	*out = d;
	return 0;
}

char *
sftp_path_folder(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == path ? strdup("/")
			     : strndup(path, (size_t)(slash - path));
}

const char *
sftp_path_name(const char *path)
{
	return strrchr(path, '/') + 1;
}

char *
sftp_path_join(const char *folder, const char *name)
{
	size_t n = strcmp(folder, "/") == 0 ? 0 : strlen(folder);
	size_t len = strlen(name);
	char *d = malloc(n + len + 2);

	if (d == NULL)
		return NULL;
	memcpy(d, folder, n);
	d[n] = '/';
	memcpy(d + n + 1, name, len + 1);
	return d;
}
