/*
 * Recordings of all sorts, by the writer that the hop has: generate FOLDER N
 * SEED makes FOLDER/1.cast … and beside each, as N.raw, the bytes that were to
 * be shown on standard output.  With terminals and without, sizes that change,
 * markers, ends by exit and by signal and none, text, colours, characters in
 * pieces, bytes that are no UTF-8.
 */
#include "config.h"

#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/cast.h"
#include "lib/safeopen.h"
#include "lib/str.h"

#define PIECE_MAX 9000

static uint64_t state;

/* xorshift64* (Vigna, 2016). */
static uint32_t
rnd(uint32_t n)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t)((state * UINT64_C(2685821657736338717)) >> 33) % n;
}

static size_t
put(uint8_t *d, size_t at, const char *s)
{
	memcpy(d + at, s, strlen(s));
	return at + strlen(s);
}

/* Some bytes as targets send them; wild: not all of them text. */
static size_t
piece(uint8_t *d, size_t n, bool wild)
{
	static const char *const words[] = { "hello ", "\r\n", "\x1b[31m",
		"\x1b[0m", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x9a\x80",
		"\x1b]0;title\x07", "\x1b[2J\x1b[H", "\t", "\"quoted\" \\",
		"\xe2\x80\xae", "\x7f", "\b" };
	size_t at = 0;

	while (at + 32 < n) {
		if (wild && rnd(20) == 0)
			d[at++] = (uint8_t)(0x80 + rnd(0x80));
		else
			at = put(d, at,
			    words[rnd(sizeof(words) / sizeof(words[0]))]);
	}
	return at;
}

static void
must(int r)
{
	if (r != 0)
		errx(1, "writing a recording: %d", r);
}

static void
event(struct cast *c, int raw, bool wild)
{
	uint8_t d[PIECE_MAX];
	size_t n, cut;

	switch (rnd(10)) {
	case 0:
		must(cast_resize(c, rnd(2000), rnd(1000)));
		return;
	case 1:
		must(cast_marker(c, "a label \"of\" \xe2\x82\xac"));
		return;
	default:
		n = piece(
		    d, 33 + rnd(rnd(4) == 0 ? PIECE_MAX - 33 : 200), wild);
		/* In two parts: a character may be cut. */
		cut = rnd((uint32_t)n);
		must(cast_output(c, CAST_OUT, d, cut));
		must(cast_output(c, CAST_OUT, d + cut, n - cut));
		must(write_all(raw, d, n));
	}
}

static int
create(const char *folder, uint32_t n, const char *end)
{
	char path[4096];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%u.%s", folder, n, end);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
	if (fd == -1)
		err(1, "%s", path);
	return fd;
}

static void
recording(const char *folder, uint32_t n)
{
	const struct cast_header h = { .pty = rnd(3) != 0,
		.columns = rnd(200),
		.rows = rnd(80),
		.term = rnd(2) == 0 ? "xterm-256color" : NULL,
		.title = "deploy@web-1: 'systemctl' 'restart' '\xe2\x82\xac'",
		.operation = "01JDF6V0X4T9S2M7Q8B3C5D1EZ",
		.session = "01JDF6V0X4T9S2M7Q8B3C5D1EY",
		.target = "web-1",
		.head = rnd(2) == 0 ? 500 : 1 << 20,
		.tail = 300 };
	int fd = create(folder, n, "cast"), raw = create(folder, n, "raw");
	bool wild = rnd(3) == 0;
	struct cast c;

	must(cast_start(&c, fd, &h));
	for (uint32_t i = rnd(30); i > 0; i--)
		event(&c, raw, wild);
	if (rnd(4) != 0)
		must(cast_exit(&c, rnd(160)));
	else
		must(cast_finish(&c));
	cast_clear(&c);
	(void)close(fd);
	(void)close(raw);
}

int
main(int argc, char **argv)
{
	uint64_t n;

	if (argc != 4 || num_parse(argv[2], 1, 1000000, &n) != 0 ||
	    num_parse(argv[3], 1, UINT32_MAX, &state) != 0)
		errx(64, "usage: generate FOLDER N SEED");
	state = state * UINT64_C(0x9e3779b97f4a7c15) | 1;
	for (uint32_t i = 1; i <= n; i++)
		recording(argv[1], i);
	return 0;
}
