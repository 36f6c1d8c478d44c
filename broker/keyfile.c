/*
 * The file of keys.  Runs in postern-oidc.  What it reads an earlier oidc
 *wrote: nobody else can, but that one may have been somebody's.
 *
 * Two places, written in turn, each with a number that grows and a digest: who
 * dies while writing leaves the other one.
 *
 *	u64 number, str rows, SHA-256 of both
 *	rows: str url, str keys-url, u64 fetched, u64 fresh until (Unix
 *	seconds), str key set
 */
#include "config.h"

#include "broker/keyfile.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "broker/issuers.h"
#include "broker/jwks.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/safeopen.h"
#include "lib/str.h"

#define DIGEST_LEN 32
#define ROW_MAX (JWKS_KEEP_MAX + 2 * TOKEN_URL_MAX + 28)
#define ROWS_MAX (ISSUERS_MAX * ROW_MAX)
#define PLACE_LEN (8 + 4 + ROWS_MAX + DIGEST_LEN)

struct keyfile {
	int fd;
	uint64_t number; /* of the place that was written last */
	struct buf rows; /* what was read, until it is given */
};

/* -- reading ------------------------------------------------------------- */

/* The rows of the place at p, n bytes to the file's end, if it is whole. */
static int
place_read(const uint8_t *p, size_t n, uint64_t *number, const uint8_t **rows,
    size_t *nrows)
{
	uint8_t is[DIGEST_LEN], want[DIGEST_LEN];
	struct buf b;
	int r;

	buf_view(&b, p, n);
	if ((r = buf_get_u64(&b, number)) != 0 ||
	    (r = buf_get_view(&b, ROWS_MAX, rows, nrows)) != 0 ||
	    (r = buf_get(&b, want, sizeof(want))) != 0)
		return r;
	if (EVP_Digest(p, 8 + 4 + *nrows, is, NULL, EVP_sha256(), NULL) != 1)
		return ERR_CRYPTO;
	return mem_equal(is, want, sizeof(is)) ? 0 : ERR_FORMAT;
}

/* The newer one of the two. */
static int
file_read(struct keyfile *f, const struct buf *all)
{
	const uint8_t *rows;
	uint64_t number;
	size_t n;
	int r = 0;

	for (size_t at = 0; at < buf_len(all) && r == 0; at += PLACE_LEN) {
		if (place_read(buf_ptr(all) + at, buf_len(all) - at, &number,
			&rows, &n) != 0 ||
		    number <= f->number)
			continue;
		f->number = number;
		buf_reset(&f->rows);
		r = buf_put(&f->rows, rows, n);
	}
	return r;
}

int
keyfile_open(int take_fd, struct keyfile **out)
{
	struct keyfile *f = calloc(1, sizeof(*f));
	struct buf all;
	int r = ERR_NOMEM;

	buf_init(&all, 2 * PLACE_LEN);
	if (f == NULL) {
		(void)close(take_fd);
		goto out;
	}
	f->fd = take_fd;
	buf_init(&f->rows, ROWS_MAX);
	if ((r = slurp_fd(f->fd, &all)) != 0 || (r = file_read(f, &all)) != 0)
		goto out;
	*out = f;
	f = NULL;
out:
	buf_clear(&all);
	keyfile_free(f);
	return r;
}

void
keyfile_free(struct keyfile *f)
{
	if (f == NULL)
		return;
	(void)close(f->fd);
	buf_clear(&f->rows);
	free(f);
}

/* One row for whoever has that url and no keys. */
static int
row_give(struct buf *b, const struct issuers *s, int64_t now_s, unsigned int *n)
{
	char url[TOKEN_URL_MAX + 1], keys_url[TOKEN_URL_MAX + 1];
	struct jwks_kept row;
	uint64_t fetched, fresh;
	int r;

	if ((r = buf_get_fixed(b, url, sizeof(url))) != 0 ||
	    (r = buf_get_fixed(b, keys_url, sizeof(keys_url))) != 0 ||
	    (r = buf_get_u64(b, &fetched)) != 0 ||
	    (r = buf_get_u64(b, &fresh)) != 0 ||
	    (r = buf_get_view(b, JWKS_KEEP_MAX, &row.body, &row.len)) != 0)
		return r;
	if (fetched > INT64_MAX || fresh > INT64_MAX)
		return ERR_FORMAT;
	row.fetched_s = (int64_t)fetched;
	row.fresh_s = (int64_t)fresh;
	for (size_t i = 0; i < s->n; i++) {
		if (strcmp(s->t[i].rules.url, url) == 0 &&
		    strcmp(s->t[i].rules.keys_url, keys_url) == 0 &&
		    jwks_restore(s->t[i].jwks, &row, now_s) == 0)
			(*n)++;
	}
	return 0;
}

unsigned int
keyfile_give(struct keyfile *f, const struct issuers *s, int64_t now_s)
{
	unsigned int n = 0;

	if (f == NULL || s->n == 0)
		return 0;
	while (buf_len(&f->rows) > 0 && row_give(&f->rows, s, now_s, &n) == 0)
		continue;
	buf_clear(&f->rows);
	return n;
}

/* -- writing ------------------------------------------------------------- */

static int
rows_put(struct buf *b, const struct issuers *s, int64_t now_s)
{
	struct jwks_kept row;
	int r = 0;

	for (size_t i = 0; i < s->n && r == 0; i++) {
		if (!jwks_kept(s->t[i].jwks, now_s, &row))
			continue;
		if ((r = buf_put_cstr(b, s->t[i].rules.url)) == 0 &&
		    (r = buf_put_cstr(b, s->t[i].rules.keys_url)) == 0 &&
		    (r = buf_put_u64(b, (uint64_t)row.fetched_s)) == 0 &&
		    (r = buf_put_u64(b, (uint64_t)row.fresh_s)) == 0)
			r = buf_put_str(b, row.body, row.len);
	}
	return r;
}

int
keyfile_save(struct keyfile *f, const struct issuers *s, int64_t now_s)
{
	uint8_t digest[DIGEST_LEN];
	struct buf rows, b;
	off_t at;
	int r;

	if (f == NULL)
		return 0;
	buf_init(&rows, ROWS_MAX);
	buf_init(&b, PLACE_LEN);
	if ((r = rows_put(&rows, s, now_s)) != 0 ||
	    (r = buf_put_u64(&b, f->number + 1)) != 0 ||
	    (r = buf_put_str(&b, buf_ptr(&rows), buf_len(&rows))) != 0)
		goto out;
	r = ERR_CRYPTO;
	if (EVP_Digest(buf_ptr(&b), buf_len(&b), digest, NULL, EVP_sha256(),
		NULL) != 1)
		goto out;
	if ((r = buf_put(&b, digest, sizeof(digest))) != 0)
		goto out;
	at = (f->number + 1) % 2 == 0 ? 0 : PLACE_LEN;
	r = ERR_SYS;
	if (lseek(f->fd, at, SEEK_SET) != at)
		goto out;
	if ((r = write_all(f->fd, buf_ptr(&b), buf_len(&b))) == 0)
		f->number++;
out:
	buf_clear(&rows);
	buf_clear(&b);
	return r;
}
