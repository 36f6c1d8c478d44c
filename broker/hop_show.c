/*
 * The one place through which everything passes that the job sees: here it is
 * recorded, then shown, then counted and digested.  Whatever will look at or
 * change the bytes on their way belongs into hop_show.  Runs in the hop.
 *
 * A job that reads slowly must not be waited for: what its descriptor does not
 * take stays pending here, one packet at most; the rest stays with libssh,
 * whose window holds the target back.
 */
#include "config.h"

#include "broker/hop.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "lib/err.h"
#include "lib/msg.h"

#define SHOW_ROUNDS 64 /* packets in a row before the others have a turn */

int
hop_count_init(struct hop_count *c)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	*c = (struct hop_count){ .md = md };
	if (md == NULL)
		return ERR_NOMEM;
	return EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 ? 0 : ERR_CRYPTO;
}

void
hop_count_add(struct hop_count *c, const void *p, size_t n)
{
	c->bytes += n;
	if (c->md != NULL)
		(void)EVP_DigestUpdate(c->md, p, n);
}

void
hop_count_hex(struct hop_count *c, char *dst)
{
	uint8_t md[EVP_MAX_MD_SIZE];
	unsigned int n = 0;

	dst[0] = '\0';
	if (c->md != NULL && EVP_DigestFinal_ex(c->md, md, &n) == 1)
		hex_encode(md, n, dst);
}

void
hop_count_clear(struct hop_count *c)
{
	EVP_MD_CTX_free(c->md);
	*c = (struct hop_count){ 0 };
}

size_t
hop_sink_write(struct hop *h, struct hop_sink *k, const uint8_t *p, size_t n)
{
	size_t done = 0;
	ssize_t w;

	while (done < n) {
		w = write(k->fd, p + done, n - done);
		if (w > 0) {
			done += (size_t)w;
		} else if (w == -1 && errno == EAGAIN) {
			break;
		} else if (w == -1 && errno != EINTR) {
			k->gone = true;
			hop_reader_gone(h, errno);
			break;
		}
	}
	hop_count_add(&k->count, p, done);
	return done;
}

static void
sink_flush(struct hop *h, struct hop_sink *k)
{
	size_t n = hop_sink_write(h, k, k->pending + k->at, k->npending);

	k->at += n;
	/* MUST end, also where the end is known already: hop_job_gone changes
	 * nothing then, and who waits for nobody waits for ever. */
	k->npending = k->gone ? 0 : k->npending - n;
}

/* Where a stream of the target goes; NULL: nowhere. */
static struct hop_sink *
show_sink(const struct hop *h, enum conn_stream s)
{
	const struct hop_run *run = &h->run;
	union {
		const struct hop_sink *ro;
		struct hop_sink *rw;
	} u;

	if (s == CONN_ERR && run->err_to_out)
		u.ro = &h->sink[CONN_OUT];
	else if (s == CONN_ERR)
		u.ro = run->err_null ? NULL : &h->sink[CONN_ERR];
	else
		u.ro = run->out_null ? NULL : &h->sink[CONN_OUT];
	return u.rw;
}

static void
show_bytes(struct hop *h, struct hop_sink *k, const void *p, size_t n)
{
	size_t w = hop_sink_write(h, k, p, n);

	if (w < n && !k->gone) {
		memcpy(k->pending, (const uint8_t *)p + w, n - w);
		k->at = 0;
		k->npending = n - w;
	}
}

size_t
hop_show_granted(const struct hop *h, size_t n)
{
	uint64_t max = h->run.output_max;

	return max == 0 || n <= max - h->shown ? n : (size_t)(max - h->shown);
}

size_t
hop_show(struct hop *h, enum conn_stream s, const void *p, size_t n)
{
	struct hop_sink *k = show_sink(h, s);
	size_t granted;
	int r;

	if (k == NULL || h->phase == HOP_OVER)
		return n;
	if (k->npending > 0)
		return 0;
	if (n > sizeof(k->pending))
		n = sizeof(k->pending);
	granted = hop_show_granted(h, n);
	if ((r = cast_output(&h->cast, k->stream, p, granted)) != 0) {
		hop_fail(h, POSTERN_EX_IOERR,
		    "the recording cannot be written: %s", err_text(r));
		return n;
	}
	h->shown += granted;
	show_bytes(h, k, p, granted);
	if (granted < n) /* one byte more ends it */
		hop_fail(h, POSTERN_EX_DENIED,
		    "stopped after the %llu bytes of output that the policy "
		    "grants it (limit output)",
		    (unsigned long long)h->run.output_max);
	return n;
}

void
hop_show_more(struct hop *h, struct hop_sink *k)
{
	size_t n;

	if (k->npending > 0)
		sink_flush(h, k);
	if (h->files != NULL && k == &h->sink[CONN_OUT]) {
		hop_files_pump(h);
		return;
	}
	for (int i = 0; i < SHOW_ROUNDS && k->npending == 0 &&
	    h->conn != NULL && h->phase != HOP_OVER; i++) {
		enum conn_stream s = CONN_OUT;

		if (show_sink(h, s) != k || h->files != NULL ||
		    conn_held(h->conn, s) == 0)
			s = CONN_ERR;
		if (show_sink(h, s) != k ||
		    (n = conn_read(h->conn, s, h->chunk,
		    sizeof(h->chunk))) == 0)
			break;
		(void)hop_show(h, s, h->chunk, n);
	}
}

void
hop_show_drop(struct hop *h)
{
	for (int s = CONN_OUT; s <= CONN_ERR; s++) {
		if (show_sink(h, (enum conn_stream)s) != NULL)
			continue;
		while (conn_read(h->conn, (enum conn_stream)s, h->chunk,
		    sizeof(h->chunk)) > 0)
			;
	}
}

bool
hop_show_waits(const struct hop *h, const struct hop_sink *k)
{
	if (k->npending > 0)
		return true;
	if (h->files != NULL && k == &h->sink[CONN_OUT])
		return hop_files_waits(h);
	for (int s = CONN_OUT; h->conn != NULL && s <= CONN_ERR; s++) {
		if (show_sink(h, (enum conn_stream)s) == k &&
		    conn_held(h->conn, (enum conn_stream)s) > 0)
			return true;
	}
	return false;
}

void
hop_say(struct hop *h, const char *text)
{
	struct hop_sink *k = &h->sink[CONN_ERR];
	size_t n = strlen(text);

	if (k->npending > 0 || n > sizeof(k->pending))
		return; /* it did not read what came before either */
	if (h->recorded)
		(void)cast_output(&h->cast, k->stream, text, n);
	show_bytes(h, k, text, n);
}

void
hop_show_typed(struct hop *h, const void *p, size_t n)
{
	struct hop_sink *k = &h->sink[CONN_ERR];
	int r;

	if (h->phase == HOP_OVER)
		return;
	if ((r = cast_output(&h->cast, k->stream, p, n)) != 0) {
		hop_fail(h, POSTERN_EX_IOERR,
		    "the recording cannot be written: %s", err_text(r));
		return;
	}
	show_bytes(h, k, p, n);
}

void
hop_show_flush(struct hop *h, int64_t deadline_ms)
{
	for (int s = CONN_OUT; s <= CONN_ERR; s++) {
		struct hop_sink *k = &h->sink[s];

		while (k->npending > 0 && !h->end.job_gone &&
		    msg_wait(k->fd, POLLOUT, deadline_ms) == 0)
			sink_flush(h, k);
	}
}
