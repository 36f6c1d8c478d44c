/*
 * The player: a recording through the replay filter onto a terminal, at the
 * pace at which it was recorded.  Runs in the command line.
 */
#include "config.h"

#include "audit/replay.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "audit/castread.h"
#include "audit/splice.h"
#include "lib/err.h"
#include "lib/safeopen.h"

#define PLAY_STEP 4096        /* bytes filtered at once */
#define PLAY_SLEEP_US 1000000 /* looks at `stop` in between */

/* One of them. */
struct source {
	struct castread *cr;
	struct splice *s;
};

struct play {
	const struct replay_options *o;
	struct source from;
	bool seeking; /* o->line has not come */
	int out_fd;
	bool markers;     /* shown */
	bool column0;     /* the last byte shown was a newline */
	uint64_t last_us; /* the time of the last event */
	uint64_t damaged; /* lines that were skipped */
	struct replay_filter filter;
	struct buf out;
};

static bool
play_stopped(const struct play *p)
{
	return p->o->stop != NULL && *p->o->stop != 0;
}

static int
play_flush(struct play *p)
{
	size_t n = buf_len(&p->out);
	int r;

	if (n == 0)
		return 0;
	p->column0 = buf_ptr(&p->out)[n - 1] == '\n';
	r = write_all(p->out_fd, buf_ptr(&p->out), n);
	buf_reset(&p->out);
	return r;
}

static int
play_show(struct play *p, const uint8_t *d, size_t n)
{
	size_t k;
	int r = 0;

	while (n > 0 && r == 0 && !play_stopped(p)) {
		k = n > PLAY_STEP ? PLAY_STEP : n;
		if ((r = replay_filter(&p->filter, d, k, &p->out)) == 0)
			r = play_flush(p);
		d += k;
		n -= k;
	}
	return r;
}

/* Sleeps until the event is due; a signal ends the sleep early. */
static void
play_wait(struct play *p, uint64_t at_us)
{
	uint64_t left = at_us > p->last_us ? at_us - p->last_us : 0;
	uint64_t idle;
	struct timespec t;

	p->last_us = at_us;
	if (p->o->speed_milli == 0 || p->seeking)
		return;
	if (!__builtin_mul_overflow(p->o->idle_ms, UINT64_C(1000), &idle) &&
	    idle != 0 && left > idle)
		left = idle;
	/* CASTREAD_TIME_MAX * 1000 fits. */
	left = left * 1000 / p->o->speed_milli;
	while (left > 0 && !play_stopped(p)) {
		uint64_t k = left > PLAY_SLEEP_US ? PLAY_SLEEP_US : left;

		t = (struct timespec){ .tv_sec = (time_t)(k / 1000000),
			.tv_nsec = (long)(k % 1000000) * 1000 };
		(void)ppoll(NULL, 0, &t, NULL);
		left -= k;
	}
}

/* A line of our own, set apart; the label is filtered like everything. */
static int
play_marker(struct play *p, const uint8_t *d, size_t n)
{
	int r;

	if ((r = buf_putf(&p->out, "%s%s", p->column0 ? "" : "\r\n",
		 p->o->terminal ? "\033[7m" : "")) != 0)
		return r;
	for (size_t i = 0; i < n && r == 0; i++) {
		if (d[i] >= 0x20 && d[i] < 0x7f)
			r = buf_put(&p->out, &d[i], 1);
		else
			r = buf_put(&p->out, "?", 1);
	}
	if (r == 0)
		r = buf_putf(
		    &p->out, "%s\r\n", p->o->terminal ? "\033[0m" : "");
	return r != 0 ? r : play_flush(p);
}

static int
source_next(const struct source *from, struct castread_event *ev)
{
	return from->s != NULL ? splice_next(from->s, ev)
			       : castread_next(from->cr, ev);
}

/* What comes before the line that was asked for makes its screen, at once; a
 * file begins with that line. */
static bool
play_skips(struct play *p)
{
	if (p->seeking && splice_line(p->from.s) >= p->o->line)
		p->seeking = false;
	return p->seeking && !p->o->terminal;
}

/* Who has a screen is not shown markers on it. */
static bool
play_shows_marker(const struct play *p)
{
	return p->markers || (p->from.s != NULL && splice_is_plain(p->from.s));
}

static int
play_event(struct play *p, const struct castread_event *ev)
{
	if (play_skips(p))
		return 0;
	if (ev->code == 'o')
		return play_show(p, ev->data, ev->len);
	if (ev->code == 'm' && play_shows_marker(p))
		return play_marker(p, ev->data, ev->len);
	return 0;
}

static int
play_events(struct play *p)
{
	struct castread_event ev;
	int r;

	while (!play_stopped(p)) {
		r = source_next(&p->from, &ev);
		if (r == ERR_NOTFOUND)
			return 0;
		if (r == ERR_FORMAT || r == ERR_TOOBIG) {
			p->damaged++;
			continue;
		}
		if (r != 0)
			return r;
		play_wait(p, ev.at_us);
		if ((r = play_event(p, &ev)) != 0)
			return r;
	}
	return 0;
}

static int
play_end(struct play *p)
{
	const struct source *from = &p->from;
	int r;

	/* A file or a pipe gets what was shown, and no reset after it. */
	r = p->o->terminal ? replay_end(&p->filter, &p->out)
			   : replay_flush(&p->filter, &p->out);
	if (r != 0)
		return r;
	if (p->damaged > 0)
		r = buf_putf(&p->out,
		    "\r\n[%" PRIu64 " damaged lines of the "
		    "recording were left out]\r\n",
		    p->damaged);
	if (r == 0 &&
	    (from->s != NULL ? splice_cut(from->s) : castread_cut(from->cr)))
		r = buf_putf(&p->out, "\r\n[the recording ends in the middle "
				      "of a line]\r\n");
	return r != 0 ? r : play_flush(p);
}

static int
play_all(struct play *p)
{
	int end, r;

	buf_init(&p->out, (PLAY_STEP + 16) * REPLAY_GROWTH);
	replay_init(&p->filter, p->o->ascii);
	r = play_events(p);
	/* Whatever happened: the terminal is put back. */
	end = play_end(p);
	buf_clear(&p->out);
	return r != 0 ? r : end;
}

int
replay_play(int fd, int out_fd, const struct replay_options *o)
{
	struct play p = { .o = o, .out_fd = out_fd, .column0 = true };
	int r;

	if ((r = castread_open(fd, &p.from.cr)) != 0)
		return r;
	p.markers = !castread_header(p.from.cr)->pty;
	r = play_all(&p);
	castread_free(p.from.cr);
	return r;
}

int
replay_play_splice(struct splice *s, int out_fd, const struct replay_options *o)
{
	struct play p = { .o = o,
		.out_fd = out_fd,
		.column0 = true,
		.from.s = s,
		.seeking = o->line != 0 };

	return play_all(&p);
}
