/*
 * Open files of a session: what the job calls them and what the target does,
 * what each was opened for, and what passed through it.  Runs in the hop.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "lib/err.h"
#include "lib/str.h"
#include "ssh/sftp_internal.h"

int
sftp_handle_new(struct sftp *s)
{
	for (int i = 0; i < SFTP_HANDLES_MAX; i++) {
		struct sftp_handle *f = &s->handle[i];

		if (f->used)
			continue;
		f->used = true;
		f->gen = ++s->gen;
		f->rd_root = f->wr_root = -1;
		f->get.eof = f->cut = UINT64_MAX;
		return i;
	}
	return -1;
}

void
sftp_handle_free(struct sftp *s, int h)
{
	struct sftp_handle *f = &s->handle[h];

	EVP_MD_CTX_free(f->get.md);
	EVP_MD_CTX_free(f->put.md);
	free(f->path);
	*f = (struct sftp_handle){ 0 };
}

/* Number, generation, and a mark: a closed one is not found again. */
void
sftp_handle_put(struct sftp_queue *q, const struct sftp *s, int h)
{
	sftp_put_u32(q, SFTP_HANDLE_LEN);
	sftp_put_u32(q, (uint32_t)h);
	sftp_put_u32(q, s->handle[h].gen);
}

int
sftp_handle_find(const struct sftp *s, const uint8_t *p, size_t n)
{
	const struct sftp_handle *f;
	struct buf b;
	uint32_t h, gen;

	buf_view(&b, p, n);
	if (n != SFTP_HANDLE_LEN || buf_get_u32(&b, &h) != 0 ||
	    buf_get_u32(&b, &gen) != 0 || h >= SFTP_HANDLES_MAX)
		return -1;
	f = &s->handle[h];
	return f->used && f->open && f->gen == gen ? (int)h : -1;
}

/* -- what passed -------------------------------------------------------------
 */

static void
track_range(struct sftp_track *t, uint64_t from, uint64_t to)
{
	for (size_t i = 0; i < t->nrange; i++) {
		if (t->range[i].to == from) {
			t->range[i].to = to;
			return;
		}
		if (from >= t->range[i].from && to <= t->range[i].to)
			return;
	}
	if (t->nrange == SFTP_RANGES_MAX)
		t->more = true;
	else
		t->range[t->nrange++] = (struct sftp_range){ from, to };
}

static int
track_start(struct sftp_track *t)
{
	if (t->md != NULL)
		return 0;
	if ((t->md = EVP_MD_CTX_new()) == NULL)
		return ERR_NOMEM;
	return EVP_DigestInit_ex(t->md, EVP_sha256(), NULL) == 1 ? 0
								 : ERR_CRYPTO;
}

int
sftp_track_add(struct sftp_track *t, uint64_t at, const void *p, size_t n)
{
	int r;

	t->used = true;
	t->bytes += n;
	if (n > UINT64_MAX - at)
		t->broken = true;
	else if (n > 0)
		track_range(t, at, at + n);
	if (!t->broken && at + n > t->eof)
		t->eof = UINT64_MAX;
	if (t->broken || at != t->next) {
		t->broken = true;
		return 0;
	}
	if ((r = track_start(t)) != 0)
		return r;
	t->next += n;
	return EVP_DigestUpdate(t->md, p, n) == 1 ? 0 : ERR_CRYPTO;
}

void
sftp_track_unseen(struct sftp_track *t, uint64_t at, uint64_t n)
{
	t->used = t->broken = true;
	t->bytes += n;
	if (n <= UINT64_MAX - at && n > 0)
		track_range(t, at, at + n);
}

static void
track_digest(struct sftp_track *t, struct sftp_entry *e)
{
	uint8_t md[EVP_MAX_MD_SIZE];
	unsigned int n = 0;

	e->whole =
	    track_start(t) == 0 && EVP_DigestFinal_ex(t->md, md, &n) == 1;
	if (e->whole)
		hex_encode(md, n, e->sha256);
}

static void
track_report(struct sftp *s, struct sftp_handle *f, struct sftp_track *t,
    bool whole, struct sftp_entry *e)
{
	if (f->status != FX_OK && e->result == SFTP_DONE)
		e->result = SFTP_FAILED;
	e->bytes = t->bytes;
	e->begun = t->begun;
	if (whole && !t->broken && e->result == SFTP_DONE)
		track_digest(t, e);
	if (!e->whole) {
		e->range = t->range;
		e->nrange = t->nrange;
		e->more = t->more;
	}
	if (s->want.entry != NULL)
		s->want.entry(s->want.arg, e);
}

void
sftp_handle_begin(struct sftp *s, int h, bool wr)
{
	struct sftp_handle *f = &s->handle[h];
	struct sftp_track *t = wr ? &f->put : &f->get;

	if (t->begun != 0 || s->want.entry == NULL)
		return;
	t->begun = ++s->begun;
	s->want.entry(s->want.arg,
	    &(struct sftp_entry){
		.verb = wr ? SFTP_PUT : SFTP_GET,
		.result = SFTP_BEGUN,
		.path = f->path,
		.rule = s->want.rule[wr ? f->wr_root : f->rd_root].name,
		.begun = t->begun,
	    });
}

/* Read: up to where nothing was.  Written: the file was empty before, or was
 * cut to what was written. */
void
sftp_handle_report(struct sftp *s, int h, enum sftp_result result)
{
	struct sftp_handle *f = &s->handle[h];
	struct sftp_entry e = {
		.result = result,
		.status = f->status,
		.path = f->path,
	};

	if (f->dir)
		return;
	if (f->get.begun != 0) {
		e.verb = SFTP_GET;
		e.rule = s->want.rule[f->rd_root].name;
		track_report(s, f, &f->get, f->get.eof <= f->get.next, &e);
	}
	if (f->wr) {
		e = (struct sftp_entry){ .verb = SFTP_PUT,
			.result = result,
			.status = f->status,
			.path = f->path,
			.rule = s->want.rule[f->wr_root].name };
		track_report(s, f, &f->put,
		    !f->append && ((f->fresh && f->cut == UINT64_MAX) ||
				      f->cut == f->put.next),
		    &e);
	}
}
