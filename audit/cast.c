/*
 * The recording's writer: asciicast v2 (https://docs.asciinema.org/manual/
 * asciicast/v2/), the version that every reader on Debian 12 takes.  Runs in
 * the hop.  What it is given is the target's output, which it does not
 * believe: text is escaped, sizes are clamped, memory is bounded.
 */
#include "config.h"

#include "audit/cast.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit/utc.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/str.h"

#define CAST_CHUNK 4096 /* bytes of one event: as much as a pty read gives */
#define CAST_EVENT_MAX (2 * (CAST_CHUNK + 4)) /* each may become two ("\n") */
/* Each of them may become two and each of those six ("\u0000"), but not both:
 * "\n" and "\r" take two.  Room for that and what stands around it, and for
 * the same in hexadecimal on a line before it. */
#define CAST_LINE_MAX (30 * 1024 + 2 * CAST_EVENT_MAX + 64)

static uint64_t
cast_now_us(void)
{
	struct timespec t = { 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t
cast_elapsed_us(const struct cast *c)
{
	return cast_now_us() - c->start_us;
}

static int
cast_fail(struct cast *c, int r)
{
	c->err = errno;
	c->r = r;
	return r;
}

/* The error that sticks, with its errno. */
static int
cast_failed(const struct cast *c)
{
	errno = c->err;
	return c->r;
}

/* How many bytes at the end of p begin a character that is not complete. */
static size_t
cast_incomplete(const uint8_t *p, size_t n)
{
	for (size_t k = 1; k <= 3 && k <= n; k++) {
		uint8_t b = p[n - k];

		if ((b & 0xc0) == 0x80)
			continue;
		if ((b >= 0xc2 && b <= 0xdf && k < 2) ||
		    (b >= 0xe0 && b <= 0xef && k < 3) ||
		    (b >= 0xf0 && b <= 0xf4))
			return k;
		return 0;
	}
	return 0;
}

/* Length of s, or where to cut it so that max bytes hold whole characters. */
static size_t
cast_cut(const char *s, size_t max)
{
	size_t n = strnlen(s, max + 1);

	if (n <= max)
		return n;
	return max - cast_incomplete((const uint8_t *)s, max);
}

/* One write for one line: a short one leaves a cut line behind, which audit
 * removes, and is the end of the recording. */
static int
cast_write(struct cast *c)
{
	ssize_t n;

	do {
		n = write(c->fd, buf_ptr(&c->line), buf_len(&c->line));
	} while (n == -1 && errno == EINTR);
	if (n == -1)
		return cast_fail(c, ERR_SYS);
	if ((size_t)n != buf_len(&c->line)) {
		errno = ENOSPC;
		return cast_fail(c, ERR_SYS);
	}
	return 0;
}

static int
cast_put_event(struct cast *c, uint64_t us, char code, const void *p, size_t n)
{
	struct json j;
	int r;

	if ((r = buf_putf(&c->line, "[%" PRIu64 ".%06" PRIu64 ",\"%c\",",
		 us / 1000000, us % 1000000, code)) != 0)
		return r;
	json_init(&j, &c->line);
	json_strn(&j, p, n);
	if ((r = json_end(&j)) != 0)
		return r;
	return buf_put(&c->line, "]\n", 2);
}

/* What the text of the output event behind it cannot hold.  It comes first, so
 * that a line which a crash cut leaves bytes without their event, and nobody
 * was shown them; never an event without its bytes. */
static int
cast_put_bytes(struct cast *c, uint64_t us, const void *p, size_t n)
{
	char hex[2 * CAST_EVENT_MAX + 1];

	if (n > CAST_EVENT_MAX)
		return ERR_INTERNAL;
	hex_encode(p, n, hex);
	return cast_put_event(c, us, CAST_BYTES, hex, 2 * n);
}

static int
cast_event(struct cast *c, char code, const void *p, size_t n)
{
	uint64_t us = cast_elapsed_us(c);
	int r = 0;

	buf_reset(&c->line);
	if (code == 'o' && !utf8_valid(p, n))
		r = cast_put_bytes(c, us, p, n);
	if (r == 0)
		r = cast_put_event(c, us, code, p, n);
	return r != 0 ? cast_fail(c, r) : cast_write(c);
}

static void
cast_put_cut(struct json *j, const char *key, const char *s)
{
	if (s == NULL || *s == '\0')
		return;
	json_key(j, key);
	json_strn(j, s, cast_cut(s, CAST_LABEL_MAX));
}

static uint32_t
cast_size(uint32_t n, uint32_t none, uint32_t max)
{
	if (n == 0)
		return none;
	return n > max ? max : n;
}

static void
cast_put_header(struct json *j, const struct cast_header *h, uint64_t start_us)
{
	uint64_t now = utc_now_ms();
	char utc[UTC_LEN + 1];

	utc_format(now, utc);
	json_open(j, '{');
	json_kv_num(j, "version", 2);
	json_kv_num(j, "width", cast_size(h->columns, 80, CAST_COLUMNS_MAX));
	json_kv_num(j, "height", cast_size(h->rows, 24, CAST_ROWS_MAX));
	json_kv_num(j, "timestamp", now / 1000);
	cast_put_cut(j, "title", h->title);
	if (h->term != NULL && *h->term != '\0') {
		json_key(j, "env");
		json_open(j, '{');
		cast_put_cut(j, "TERM", h->term);
		json_close(j, '}');
	}
	json_key(j, "postern");
	json_open(j, '{');
	json_kv_str(j, "time", utc);
	/* on one host the order of what several recordings have, whatever is
	 * done to the wall clock meanwhile */
	json_kv_num(j, "clock_us", start_us);
	json_key(j, "pty");
	json_bool(j, h->pty);
	if (h->shell) {
		json_key(j, "shell");
		json_bool(j, true);
	}
	cast_put_cut(j, "operation", h->operation);
	cast_put_cut(j, "session", h->session);
	cast_put_cut(j, "target", h->target);
	json_close(j, '}');
	json_close(j, '}');
}

int
cast_start(struct cast *c, int fd, const struct cast_header *h)
{
	struct json j;
	int r;

	*c = (struct cast){ .fd = fd,
		.pty = h->pty,
		.tail =
		    h->tail > CAST_TAIL_MAX ? CAST_TAIL_MAX : (size_t)h->tail,
		.start_us = cast_now_us() };
	c->text[0].head_left = c->text[1].head_left = h->head;
	buf_init(&c->line, CAST_LINE_MAX);
	json_init(&j, &c->line);
	cast_put_header(&j, h, c->start_us);
	if ((r = json_end(&j)) != 0 || (r = buf_put(&c->line, "\n", 1)) != 0)
		return cast_fail(c, r);
	return cast_write(c);
}

void
cast_clear(struct cast *c)
{
	if (c == NULL)
		return;
	buf_clear(&c->line);
	for (size_t i = 0; i < 2; i++) {
		if (c->text[i].ring != NULL)
			explicit_bzero(c->text[i].ring, c->tail);
		free(c->text[i].ring);
		c->text[i].ring = NULL;
	}
}

/* "\n" as "\r\n". */
static int
cast_lf_event(struct cast *c, const uint8_t *p, size_t n)
{
	uint8_t d[CAST_EVENT_MAX];
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\n')
			d[k++] = '\r';
		d[k++] = p[i];
	}
	return cast_event(c, 'o', d, k);
}

/* An output event of text that is whole characters; lf: as above. */
static int
cast_text_event(struct cast *c, const uint8_t *p, size_t n, bool lf)
{
	if (n == 0)
		return 0;
	return lf ? cast_lf_event(c, p, n) : cast_event(c, 'o', p, n);
}

/* What was held and up to CAST_CHUNK new bytes, in d: the length without the
 * new incomplete end, which is held. */
static size_t
cast_join(
    struct cast_text *t, const uint8_t *p, size_t n, uint8_t d[CAST_CHUNK + 4])
{
	size_t len = t->nheld;

	memcpy(d, t->held, len);
	memcpy(d + len, p, n);
	len += n;
	t->nheld = cast_incomplete(d, len);
	len -= t->nheld;
	memcpy(t->held, d + len, t->nheld);
	return len;
}

static int
cast_joined_event(
    struct cast *c, struct cast_text *t, const uint8_t *p, size_t n, bool lf)
{
	uint8_t d[CAST_CHUNK + 4];

	return cast_text_event(c, d, cast_join(t, p, n, d), lf);
}

/* Up to CAST_CHUNK new bytes, without their incomplete end, which is held. */
static int
cast_put_chunk(
    struct cast *c, struct cast_text *t, const uint8_t *p, size_t n, bool lf)
{
	if (t->nheld > 0)
		return cast_joined_event(c, t, p, n, lf);
	t->nheld = cast_incomplete(p, n);
	n -= t->nheld;
	memcpy(t->held, p + n, t->nheld);
	return cast_text_event(c, p, n, lf);
}

/* Events of text of which nothing is left out. */
static int
cast_put_text(
    struct cast *c, struct cast_text *t, const uint8_t *p, size_t n, bool lf)
{
	size_t take;
	int r = 0;

	while (n > 0 && r == 0) {
		take = n > CAST_CHUNK ? CAST_CHUNK : n;
		r = cast_put_chunk(c, t, p, take, lf);
		p += take;
		n -= take;
	}
	return r;
}

/* Length of the text at the start of p: up to a NUL, as git and grep have it.
 */
static size_t
cast_text_len(const uint8_t *p, size_t n)
{
	const uint8_t *nul = memchr(p, '\0', n);

	return nul == NULL ? n : (size_t)(nul - p);
}

static const char *
cast_name(const struct cast *c, const struct cast_text *t)
{
	return t == &c->text[0] ? "stdout" : "stderr";
}

static int cast_markf(struct cast *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static int
cast_markf(struct cast *c, const char *fmt, ...)
{
	struct buf b;
	va_list ap;
	int r;

	buf_init(&b, CAST_LABEL_MAX);
	va_start(ap, fmt);
	r = buf_vputf(&b, fmt, ap);
	va_end(ap);
	r = r != 0 ? cast_fail(c, r)
		   : cast_event(c, 'm', buf_ptr(&b), buf_len(&b));
	buf_clear(&b);
	return r;
}

/* Text of the head: at once, and never past a NUL. */
static int
cast_put_head(struct cast *c, struct cast_text *t, const uint8_t *p, size_t n)
{
	uint8_t d[CAST_CHUNK + 4];
	size_t len = cast_join(t, p, n, d), good = cast_text_len(d, len);
	int r;

	if ((r = cast_text_event(c, d, good, true)) != 0 || good == len)
		return r;
	t->binary = true;
	t->nheld = 0;
	return cast_markf(c,
	    "postern: %s is binary data from here on: not "
	    "recorded",
	    cast_name(c, t));
}

/* Past the head: the last bytes, in a ring. */
static int
cast_put_tail(struct cast *c, struct cast_text *t, const uint8_t *p, size_t n)
{
	size_t k;

	t->past_head += n;
	if (c->tail == 0)
		return 0;
	if (t->ring == NULL && (t->ring = malloc(c->tail)) == NULL)
		return cast_fail(c, ERR_NOMEM);
	if (n > c->tail) {
		p += n - c->tail;
		n = c->tail;
	}
	while (n > 0) {
		k = c->tail - t->ring_at;
		k = k > n ? n : k;
		memcpy(t->ring + t->ring_at, p, k);
		t->ring_at = (t->ring_at + k) % c->tail;
		p += k;
		n -= k;
	}
	return 0;
}

static int
cast_output_text(
    struct cast *c, struct cast_text *t, const uint8_t *p, size_t n)
{
	size_t take;
	int r = 0;

	while (n > 0 && t->head_left > 0 && !t->binary && r == 0) {
		take = n > CAST_CHUNK ? CAST_CHUNK : n;
		if (take > t->head_left)
			take = (size_t)t->head_left;
		t->head_left -= take;
		r = cast_put_head(c, t, p, take);
		p += take;
		n -= take;
	}
	if (r != 0 || n == 0 || t->binary)
		return r;
	/* A character on the border of the head goes with its end. */
	if (t->nheld > 0) {
		r = cast_put_tail(c, t, t->held, t->nheld);
		t->nheld = 0;
	}
	return r != 0 ? r : cast_put_tail(c, t, p, n);
}

int
cast_output(struct cast *c, enum cast_stream stream, const void *p, size_t n)
{
	if (c->r != 0)
		return cast_failed(c);
	if (c->finished)
		return cast_fail(c, ERR_INTERNAL);
	if (c->pty)
		return cast_put_text(c, &c->text[0], p, n, false);
	return cast_output_text(c, &c->text[stream == CAST_ERR ? 1 : 0], p, n);
}

int
cast_resize(struct cast *c, uint32_t columns, uint32_t rows)
{
	struct buf b;
	int r;

	if (c->r != 0)
		return cast_failed(c);
	buf_init(&b, 32);
	r = buf_putf(&b, "%" PRIu32 "x%" PRIu32,
	    cast_size(columns, 80, CAST_COLUMNS_MAX),
	    cast_size(rows, 24, CAST_ROWS_MAX));
	r = r != 0 ? cast_fail(c, r)
		   : cast_event(c, 'r', buf_ptr(&b), buf_len(&b));
	buf_clear(&b);
	return r;
}

int
cast_marker(struct cast *c, const char *label)
{
	if (c->r != 0)
		return cast_failed(c);
	return cast_event(c, 'm', label, cast_cut(label, CAST_LABEL_MAX));
}

static void
cast_reverse(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		uint8_t x = p[i];

		p[i] = p[n - 1 - i];
		p[n - 1 - i] = x;
	}
}

static int
cast_finish_tail(struct cast *c, struct cast_text *t)
{
	size_t n = c->tail, skip = 0;
	uint8_t *p = t->ring;
	int r;

	if (t->past_head <= n) {
		n = (size_t)t->past_head;
	} else if (n > 0) {
		/* Rotate: the oldest byte to the front. */
		cast_reverse(p, t->ring_at);
		cast_reverse(p + t->ring_at, n - t->ring_at);
		cast_reverse(p, n);
		while (skip < 3 && skip < n && (p[skip] & 0xc0) == 0x80)
			skip++; /* the end of a character that is cut */
	}
	p = n > 0 ? p + skip : p;
	n -= skip;
	if (n > 0 && cast_text_len(p, n) < n)
		return cast_markf(c,
		    "postern: %" PRIu64 " bytes of %s left "
		    "out here: binary data",
		    t->past_head, cast_name(c, t));
	if ((r = cast_markf(c,
		 "postern: %" PRIu64 " bytes of %s left out "
		 "here; its last %zu bytes follow",
		 t->past_head - n, cast_name(c, t), n)) != 0)
		return r;
	return cast_put_text(c, t, p, n, true);
}

int
cast_finish(struct cast *c)
{
	struct cast_text *t;
	int r = 0;

	if (c->r != 0)
		return cast_failed(c);
	if (c->finished)
		return 0;
	c->finished = true;
	for (size_t i = 0; i < 2 && r == 0; i++) {
		t = &c->text[i];
		if (t->past_head > 0 && !t->binary)
			r = cast_finish_tail(c, t);
		if (r == 0 && t->nheld > 0)
			r = cast_event(c, 'o', t->held, t->nheld);
		t->nheld = 0;
	}
	return r;
}

int
cast_exit(struct cast *c, uint32_t status)
{
	struct buf b;
	int r;

	if ((r = cast_finish(c)) != 0)
		return r;
	buf_init(&b, 16);
	r = buf_putf(&b, "%" PRIu32, status);
	r = r != 0 ? cast_fail(c, r)
		   : cast_event(c, 'x', buf_ptr(&b), buf_len(&b));
	buf_clear(&b);
	return r;
}
