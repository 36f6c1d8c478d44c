/*
 * A session of files, or with a repository: what the job says to the target and
 * back, through the filter that judges it (ssh/sftp.h, scp.h, git.h), and the
 * lines of the manifest.  Runs in the hop, confined.  Distrusts job and target.
 *
 * File contents are not recorded, so what the job sees of the session does not
 * pass hop_show; what the target's server says on its stderr does.
 *
 * Nothing is waited for: what the filter does not take stays here, one chunk
 * of each side at most, and what it has to send stays with it.
 */
#include "config.h"

#include "broker/hop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/hop_filter.h"
#include "lib/err.h"
#include "lib/log.h"

#define FILES_ROUNDS 64 /* before the others have a turn */

struct held {
	uint8_t d[CONN_CHUNK];
	size_t at, n;
};

struct hop_files {
	struct hop_filter *filter;
	struct held held[2]; /* by enum filter_side: came, and was not taken */
	bool eof;            /* of the job */
	bool eof_sent;
	bool ended;
};

/* -- start and end -----------------------------------------------------------
 */

int
hop_files_init(struct hop *h)
{
	if (h->run.what == OP_COMMAND)
		return 0;
	if ((h->files = calloc(1, sizeof(*h->files))) == NULL)
		return ERR_NOMEM;
	/* What passes is digested file by file, and not a second time. */
	if (!hop_is_git(h)) {
		hop_count_clear(&h->in);
		hop_count_clear(&h->sink[CONN_OUT].count);
	}
	return hop_filter_new(h, &h->files->filter);
}

void
hop_files_end(struct hop *h)
{
	if (h->files == NULL || h->files->ended)
		return;
	h->files->ended = true;
	hop_filter_end(h->files->filter);
}

void
hop_files_free(struct hop *h)
{
	if (h->files == NULL)
		return;
	hop_filter_free(h->files->filter);
	free(h->files);
	h->files = NULL;
}

/* -- passing -----------------------------------------------------------------
 */

static void
files_broke(struct hop *h, enum filter_side side, int r)
{
	const char *words = hop_filter_error(h->files->filter);

	if (r == ERR_PROTO)
		hop_fail(h,
		    side == FILTER_JOB ? POSTERN_EX_USAGE
				       : POSTERN_EX_UNAVAILABLE,
		    "%s: %s", h->run.target, words);
	else
		hop_fail(h, POSTERN_EX_TEMPFAIL, "stopped: %s", err_text(r));
}

/* Bytes of one side into the filter; answers how many it took. */
static size_t
files_feed(struct hop *h, enum filter_side side, const uint8_t *p, size_t n)
{
	struct hop_filter *s = h->files->filter;
	size_t took = 0;
	int r;

	if (n == 0 || h->files->ended || !hop_filter_wants(s, side))
		return 0;
	r = hop_filter_take(s, side, p, n, &took);
	if (r != 0) {
		files_broke(h, side, r);
		return n; /* nobody wants it any more */
	}
	return took;
}

static bool
files_feed_held(struct hop *h, enum filter_side side)
{
	struct held *k = &h->files->held[side];
	size_t took = files_feed(h, side, k->d + k->at, k->n);

	k->at += took;
	k->n -= took;
	return took > 0;
}

/* To the job, as much as its descriptor takes. */
static bool
files_to_job(struct hop *h)
{
	struct hop_filter *s = h->files->filter;
	struct hop_sink *k = &h->sink[CONN_OUT];
	size_t n, w, granted;
	const uint8_t *p = hop_filter_out(s, FILTER_JOB, &n);

	if (n == 0 || h->phase == HOP_OVER)
		return false;
	granted = hop_show_granted(h, n);
	w = hop_sink_write(h, k, p, granted);
	h->shown += w;
	if (k->gone)
		w = n;
	hop_filter_sent(s, FILTER_JOB, w);
	if (granted < n && w == granted)
		hop_fail(h, POSTERN_EX_DENIED,
		    "stopped after the %llu bytes of output that the policy "
		    "grants it (limit output)",
		    (unsigned long long)h->run.output_max);
	return w > 0;
}

static bool
files_to_target(struct hop *h)
{
	struct hop_filter *s = h->files->filter;
	size_t n, room = conn_room(h->conn);
	const uint8_t *p = hop_filter_out(s, FILTER_TARGET, &n);

	if (n > room)
		n = room;
	if (n == 0 || conn_write(h->conn, p, n) != 0)
		return false;
	hop_count_add(&h->in, p, n);
	hop_filter_sent(s, FILTER_TARGET, n);
	return true;
}

/* What libssh holds for us. */
static bool
files_from_conn(struct hop *h)
{
	struct held *k = &h->files->held[FILTER_TARGET];

	if (k->n > 0 || !hop_filter_wants(h->files->filter, FILTER_TARGET))
		return false;
	k->at = 0;
	k->n = conn_read(h->conn, CONN_OUT, k->d, sizeof(k->d));
	return k->n > 0;
}

bool
hop_files_refused(struct hop *h, bool eof)
{
	if (h->files == NULL || !hop_filter_refused(h->files->filter, eof))
		return false;
	hop_fail(
	    h, POSTERN_EX_DENIED, "%s", hop_filter_error(h->files->filter));
	return true;
}

void
hop_files_pump(struct hop *h)
{
	struct hop_files *f = h->files;
	bool moved = true;

	for (int i = 0; moved && i < FILES_ROUNDS; i++) {
		if (h->phase != HOP_RUNNING && h->phase != HOP_FLUSHING)
			return;
		moved = files_feed_held(h, FILTER_JOB);
		moved |= files_feed_held(h, FILTER_TARGET);
		moved |= files_from_conn(h);
		moved |= files_to_job(h);
		if (h->phase == HOP_RUNNING)
			moved |= files_to_target(h);
	}
	if (hop_files_refused(h, f->eof))
		return;
	if (f->eof && !f->eof_sent && f->held[FILTER_JOB].n == 0 &&
	    h->phase == HOP_RUNNING && hop_filter_idle(f->filter)) {
		f->eof_sent = true;
		(void)conn_eof(h->conn);
	}
}

/* From libssh, in the midst of its work: nothing is written to it here. */
size_t
hop_files_data(struct hop *h, const void *p, size_t n)
{
	const uint8_t *d = p;
	size_t done = 0, k;

	if (h->phase == HOP_OVER)
		return n;
	if (h->files->held[FILTER_TARGET].n > 0)
		return 0;
	while (done < n &&
	       (k = files_feed(h, FILTER_TARGET, d + done, n - done)) > 0) {
		done += k;
		(void)files_to_job(h);
	}
	return done;
}

bool
hop_files_wants_stdin(const struct hop *h)
{
	const struct hop_files *f = h->files;

	return h->phase == HOP_RUNNING && !f->eof &&
	       f->held[FILTER_JOB].n == 0 &&
	       hop_filter_wants(f->filter, FILTER_JOB);
}

void
hop_files_stdin(struct hop *h)
{
	struct hop_files *f = h->files;
	struct held *k = &f->held[FILTER_JOB];
	ssize_t n = read(h->run.in, k->d, sizeof(k->d));

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == -1) {
		hop_fail(h, POSTERN_EX_TEMPFAIL,
		    "stopped: standard input broke off: %s", strerror(errno));
		return;
	}
	if (n == 0)
		f->eof = true;
	k->at = 0;
	k->n = (size_t)n;
	hop_files_pump(h);
}

bool
hop_files_waits(const struct hop *h)
{
	const struct hop_files *f = h->files;
	size_t n;

	(void)hop_filter_out(f->filter, FILTER_JOB, &n);
	return n > 0 || f->held[FILTER_TARGET].n > 0 ||
	       (h->conn != NULL && conn_held(h->conn, CONN_OUT) > 0);
}
