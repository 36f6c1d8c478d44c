/*
 * The recording's writer: what stands in the file, its bounds, and that no
 * write that failed goes unnoticed.
 */
#include "config.h"

#include "audit/cast.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit/castread.h"
#include "audit/replay.h"
#include "audit/sidecar.h"
#include "audit/utc.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/str.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

static const struct cast_header plain = {
	.title = "true",
	.operation = "01HZ0000000000000000000000",
	.session = "01HZ0000000000000000000001",
	.target = "web-1",
	.head = 1024,
	.tail = 256,
};

/* A file that fd appends to, as the hop's does; reads go by pread.  It is
 * unlinked, or kept in the folder POSTERN_KEEP_CASTS for other readers. */
static int
new_file(void)
{
	const char *keep = getenv("POSTERN_KEEP_CASTS");
	char name[256];
	int fd;

	(void)snprintf(
	    name, sizeof(name), "%s/cast-XXXXXX", keep == NULL ? "/tmp" : keep);
	fd = mkstemp(name);
	assert_true(fd >= 0);
	if (keep == NULL)
		assert_int_equal(unlink(name), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_APPEND), 0);
	return fd;
}

static void
slurp(int fd, struct buf *b)
{
	uint8_t d[4096];
	off_t at = 0;
	ssize_t n;

	buf_init(b, 64 * 1024 * 1024);
	while ((n = pread(fd, d, sizeof(d), at)) > 0) {
		assert_int_equal(buf_put(b, d, (size_t)n), 0);
		at += n;
	}
	assert_int_equal(n, 0);
}

/* All events of one code behind one another, and how many they are. */
static size_t
events(int fd, char code, struct buf *b)
{
	struct castread_event ev;
	struct castread *cr;
	size_t n = 0;
	int r;

	buf_init(b, 64 * 1024 * 1024);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(castread_open(fd, &cr), 0);
	while ((r = castread_next(cr, &ev)) == 0) {
		if (ev.code != code)
			continue;
		assert_int_equal(buf_put(b, ev.data, ev.len), 0);
		n++;
	}
	assert_int_equal(r, ERR_NOTFOUND);
	assert_false(castread_cut(cr));
	castread_free(cr);
	return n;
}

static void
check_events(int fd, char code, const char *want, size_t len)
{
	struct buf b;

	(void)events(fd, code, &b);
	assert_int_equal(buf_len(&b), len);
	assert_memory_equal(buf_ptr(&b), want, len);
	buf_clear(&b);
}

static void
check_marker(int fd, const char *part)
{
	struct buf b;

	(void)events(fd, 'm', &b);
	assert_non_null(strstr(buf_cstr(&b), part));
	buf_clear(&b);
}

/* -- with a terminal ----------------------------------------------------- */

static void
t_cast_output_pty(void **state)
{
	static const struct {
		const char *name;
		const char *piece[4];
		const char *want;
	} cases[] = {
		{ "plain", { "a\r\n", "b" }, "a\r\nb" },
		{ "newline as it is", { "a\nb" }, "a\nb" },
		{ "split é", { "x\xc3", "\xa9y" }, "x\xc3\xa9y" },
		{ "split euro in three", { "\xe2", "\x82", "\xac" },
		    "\xe2\x82\xac" },
		{ "split of four", { "\xf0\x9f", "\x98", "\x80." },
		    "\xf0\x9f\x98\x80." },
		{ "invalid",
		    { "a\xff\xfe"
		      "b" },
		    "a\xef\xbf\xbd\xef\xbf\xbd"
		    "b" },
		{ "broken off", { "a\xe2\x82", "b" },
		    "a\xef\xbf\xbd\xef\xbf"
		    "\xbd"
		    "b" },
		{ "held at the end", { "a\xc3" }, "a\xef\xbf\xbd" },
		{ "overlong", { "\xc0\xaf" }, "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "escapes", { "\033[31m\x07\x7f" }, "\033[31m\x07\x7f" },
		{ "C1 and bidi", { "\xc2\x9b\xe2\x80\xae" },
		    "\xc2\x9b\xe2\x80\xae" },
		{ "quotes", { "\"\\" }, "\"\\" },
	};
	struct cast_header h = plain;
	struct cast c;
	int fd;

	(void)state;
	h.pty = true;
	for (size_t i = 0; i < N(cases); i++) {
		fd = new_file();
		assert_int_equal(cast_start(&c, fd, &h), 0);
		for (size_t k = 0; k < 4 && cases[i].piece[k] != NULL; k++)
			assert_int_equal(
			    cast_output(&c, CAST_OUT, cases[i].piece[k],
				strlen(cases[i].piece[k])),
			    0);
		assert_int_equal(cast_exit(&c, 0), 0);
		cast_clear(&c);
		check_events(fd, 'o', cases[i].want, strlen(cases[i].want));
		check_events(fd, 'x', "0", 1);
		(void)close(fd);
	}
}

/* Every byte value, NUL too, and more than one event's worth of each. */
static void
t_cast_output_pty_bulk(void **state)
{
	struct cast_header h = plain;
	struct cast c;
	uint8_t *d;
	struct buf b;
	int fd = new_file();
	const size_t n = 100000;

	(void)state;
	h.pty = true;
	assert_non_null(d = malloc(n));
	for (int v = 0; v < 0x80; v++) {
		memset(d, v, n);
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(cast_start(&c, fd, &h), 0);
		assert_int_equal(cast_output(&c, CAST_ERR, d, n), 0);
		assert_int_equal(cast_finish(&c), 0);
		cast_clear(&c);
		(void)events(fd, 'o', &b);
		assert_int_equal(buf_len(&b), n);
		assert_memory_equal(buf_ptr(&b), d, n);
		buf_clear(&b);
	}
	free(d);
	(void)close(fd);
}

/* A line of the file can be shown with cat. */
static void
t_cast_lines_are_harmless(void **state)
{
	struct cast_header h = plain;
	struct cast c;
	struct buf b;
	uint8_t d[256];
	const uint8_t *p;
	size_t at = 0, k;
	uint32_t cp;
	int fd = new_file();

	(void)state;
	for (size_t i = 0; i < sizeof(d); i++)
		d[i] = (uint8_t)i;
	h.pty = true;
	h.title = "\033]0;x\a\xe2\x80\xae";
	h.term = "\033c";
	h.target = "\xc2\x9b";
	assert_int_equal(cast_start(&c, fd, &h), 0);
	assert_int_equal(cast_output(&c, CAST_OUT, d, sizeof(d)), 0);
	assert_int_equal(cast_marker(&c, "\033[2J"), 0);
	assert_int_equal(cast_exit(&c, 255), 0);
	cast_clear(&c);
	slurp(fd, &b);
	p = buf_ptr(&b);
	while (at < buf_len(&b)) {
		k = utf8_next(p + at, buf_len(&b) - at, &cp);
		assert_int_not_equal(k, 0);
		assert_true(cp == '\n' || !utf8_is_control(cp));
		at += k;
	}
	buf_clear(&b);
	(void)close(fd);
}

/* -- without a terminal -------------------------------------------------- */

static void
t_cast_output_text(void **state)
{
	static const struct {
		const char *name;
		const char *p;
		size_t n;
		const char *want;
		const char *marker;
	} cases[] = {
		{ "newlines", "a\nb\n", 4, "a\r\nb\r\n", NULL },
		{ "kept invertible", "a\r\n", 3, "a\r\r\n", NULL },
		{ "NUL", "text\0more", 9, "text", "stdout is binary" },
		{ "not UTF-8", "\xffmore", 5, "\xef\xbf\xbdmore", NULL },
		{ "not UTF-8, then NUL", "t\xe9xt\0more", 9, "t\xef\xbf\xbdxt",
		    "stdout is binary" },
		{ "at once",
		    "\x7f"
		    "ELF\x02\x01\x01\0\0",
		    9,
		    "\x7f"
		    "ELF\x02\x01\x01",
		    "stdout is binary" },
		{ "character cut by the end", "a\xc3", 2, "a\xef\xbf\xbd",
		    NULL },
		{ "head", "0123456789", 10, "0123456789", NULL },
		{ "head and tail", "0123456789abcd", 14, "0123456789abcd",
		    "0 bytes of stdout left out here; its last 4 bytes" },
		{ "head, gap, tail", "0123456789abcdefghijkl", 22,
		    "0123456789efghijkl",
		    "4 bytes of stdout left out here; its last 8 bytes" },
		{ "gap cuts a character",
		    "0123456789a\xc3\xa9"
		    "abcdefg",
		    20, "0123456789abcdefg",
		    "3 bytes of stdout left out here; its last 7 bytes" },
		{ "head cuts a character", "012345678\xc3\xa9x", 12,
		    "012345678\xc3\xa9x",
		    "0 bytes of stdout left out here; its last 3 bytes" },
		{ "tail that is not UTF-8", "0123456789a\xff", 12,
		    "0123456789a\xef\xbf\xbd",
		    "0 bytes of stdout left out here; its last 2 bytes" },
		{ "binary tail", "0123456789\0\0\0", 13, "0123456789",
		    "3 bytes of stdout left out here: binary data" },
	};
	struct cast_header h = plain;
	struct cast c;
	int fd;

	(void)state;
	h.head = 10;
	h.tail = 8;
	/* As one piece, and byte by byte: the file says the same. */
	for (size_t i = 0; i < 2 * N(cases); i++) {
		size_t k = i / 2, step = i % 2 == 0 ? cases[k].n : 1;

		fd = new_file();
		assert_int_equal(cast_start(&c, fd, &h), 0);
		for (size_t at = 0; at < cases[k].n; at += step)
			assert_int_equal(
			    cast_output(&c, CAST_OUT, cases[k].p + at, step),
			    0);
		assert_int_equal(cast_exit(&c, 3), 0);
		cast_clear(&c);
		check_events(fd, 'o', cases[k].want, strlen(cases[k].want));
		check_events(fd, 'x', "3", 1);
		if (cases[k].marker != NULL)
			check_marker(fd, cases[k].marker);
		else
			check_events(fd, 'm', "", 0);
		(void)close(fd);
	}
}

/* -- what text cannot hold ------------------------------------------------ */

/* One that no other reader is shown: no recording, or a bad one. */
static int
private_file(void)
{
	int fd = memfd_create("private", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* Of the recording in fd, into b. */
static struct replay_bytes
bytes_of(int fd, struct buf *b)
{
	struct replay_bytes found;
	int out = private_file();

	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(replay_bytes(fd, out, &found), 0);
	slurp(out, b);
	(void)close(out);
	return found;
}

/* Any byte; without a terminal no NUL; last, newlines, which become two. */
static uint8_t
some_byte(int i, unsigned int *seed)
{
	int k = rand_r(seed);

	if (i >= 4)
		return (uint8_t) "\n\r\n\xff"[k % 4];
	return (uint8_t)(i % 2 == 0 ? k : k % 255 + 1);
}

/* Random bytes in random pieces, NULs where there is a terminal: they come
 * back as they were. */
static void
t_cast_bytes_come_back(void **state)
{
	struct cast_header h = plain;
	struct replay_bytes found;
	struct cast c;
	uint8_t *d;
	struct buf b;
	size_t take;
	unsigned int seed = 1;
	const size_t n = 200000;
	int fd;

	(void)state;
	h.head = n;
	assert_non_null(d = malloc(n));
	for (int i = 0; i < 6; i++) {
		h.pty = i % 2 == 0;
		for (size_t k = 0; k < n; k++)
			d[k] = some_byte(i, &seed);
		fd = new_file();
		assert_int_equal(cast_start(&c, fd, &h), 0);
		for (size_t at = 0; at < n; at += take) {
			take = (size_t)rand_r(&seed) % (i < 2 ? 5 : 9000);
			take = take > n - at ? n - at : take;
			assert_int_equal(
			    cast_output(&c, CAST_OUT, d + at, take), 0);
		}
		assert_int_equal(cast_exit(&c, 0), 0);
		cast_clear(&c);
		found = bytes_of(fd, &b);
		assert_int_equal(buf_len(&b), n);
		assert_memory_equal(buf_ptr(&b), d, n);
		assert_true(
		    found.damaged == 0 && !found.cut && !found.left_out);
		buf_clear(&b);
		(void)close(fd);
	}
	free(d);
}

/* Text has no bytes beside it; what is none has them right before it. */
static void
t_cast_bytes_only_where_needed(void **state)
{
	struct cast_header h = plain;
	struct cast c;
	int fd = new_file();

	(void)state;
	h.pty = true;
	assert_int_equal(cast_start(&c, fd, &h), 0);
	assert_int_equal(cast_output(&c, CAST_OUT, "\xef\xbf\xbd\xc3", 4), 0);
	assert_int_equal(cast_output(&c, CAST_OUT, "\xa9!", 2), 0);
	assert_int_equal(cast_output(&c, CAST_OUT, "a\xff", 2), 0);
	/* Held to the end, and never a character. */
	assert_int_equal(cast_output(&c, CAST_OUT, "\xe2\x82", 2), 0);
	assert_int_equal(cast_exit(&c, 0), 0);
	cast_clear(&c);
	check_events(fd, CAST_BYTES, "61ffe282", 8);
	(void)close(fd);
}

#define HEAD "{\"version\":2,\"width\":80,\"height\":24}\n"
#define FFFD "\xef\xbf\xbd"

/* Bytes that do not belong to the text beside them are not believed. */
static void
t_replay_bytes_damage(void **state)
{
	static const struct {
		const char *lines, *want;
		uint64_t damaged;
		bool cut;
	} cases[] = {
		{ "[0,\"b\",\"ff\"]\n[0,\"o\",\"" FFFD "\"]\n", "\xff", 0,
		    false },
		{ "[0,\"o\",\"" FFFD "\"]\n", FFFD, 0, false },
		{ "[0,\"b\",\"efbfbdff\"]\n[0,\"o\",\"" FFFD FFFD "\"]\n",
		    FFFD "\xff", 0, false },
		{ "[0,\"b\",\"ffff\"]\n[0,\"o\",\"" FFFD "\"]\n", FFFD, 1,
		    false },
		{ "[0,\"b\",\"ff\"]\n[0,\"o\",\"" FFFD FFFD "\"]\n", FFFD FFFD,
		    1, false },
		{ "[0,\"b\",\"68\"]\n[0,\"o\",\"i\"]\n", "i", 1, false },
		{ "[0,\"b\",\"f\"]\n[0,\"o\",\"a\"]\n", "a", 1, false },
		{ "[0,\"b\",\"FF\"]\n[0,\"o\",\"" FFFD "\"]\n", FFFD, 1,
		    false },
		{ "[0,\"b\",\"ff\"]\n[0,\"b\",\"fe\"]\n[0,\"o\",\"" FFFD
		  "\"]\n",
		    "\xfe", 1, false },
		{ "[0,\"b\",\"ff\"]\n[0,\"m\",\"\"]\n[0,\"o\",\"" FFFD "\"]\n",
		    FFFD, 1, false },
		{ "[0,\"b\",\"ff\"]\nx\n[0,\"o\",\"" FFFD "\"]\n", FFFD, 1,
		    false },
		/* Its text was not written, and not shown. */
		{ "[0,\"b\",\"ff\"]\n", "", 0, false },
		{ "[0,\"b\",\"ff\"]\n[0,\"o", "", 0, true },
	};
	struct replay_bytes found;
	struct buf b;
	int fd;

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		fd = private_file();
		assert_int_equal(dprintf(fd, "%s%s", HEAD, cases[i].lines),
		    strlen(HEAD) + strlen(cases[i].lines));
		found = bytes_of(fd, &b);
		if (found.damaged != cases[i].damaged)
			fail_msg("case %zu: %u damaged", i,
			    (unsigned int)found.damaged);
		assert_int_equal(found.cut, cases[i].cut);
		assert_int_equal(buf_len(&b), strlen(cases[i].want));
		assert_memory_equal(buf_ptr(&b), cases[i].want, buf_len(&b));
		buf_clear(&b);
		(void)close(fd);
	}
}

static void
t_cast_streams_apart(void **state)
{
	struct cast_header h = plain;
	struct cast c;
	int fd = new_file();

	(void)state;
	h.head = 4;
	h.tail = 0;
	assert_int_equal(cast_start(&c, fd, &h), 0);
	assert_int_equal(cast_output(&c, CAST_OUT, "abc", 3), 0);
	assert_int_equal(cast_output(&c, CAST_ERR, "\xe2\x82", 2), 0);
	assert_int_equal(cast_output(&c, CAST_OUT, "defgh", 5), 0);
	assert_int_equal(cast_output(&c, CAST_ERR, "\xac!", 2), 0);
	assert_int_equal(cast_exit(&c, 0), 0);
	cast_clear(&c);
	check_events(fd, 'o', "abcd\xe2\x82\xac!", 8);
	check_marker(fd, "4 bytes of stdout left out here; its last 0 bytes");
	(void)close(fd);
}

/* 8 MiB through a bound of 1 KiB + 256: the file stays small. */
static void
t_cast_bound(void **state)
{
	struct cast c;
	struct buf b;
	char block[4096];
	int fd = new_file();

	(void)state;
	memset(block, 'x', sizeof(block));
	assert_int_equal(cast_start(&c, fd, &plain), 0);
	for (int i = 0; i < 2048; i++)
		assert_int_equal(
		    cast_output(&c, CAST_OUT, block, sizeof(block)), 0);
	assert_int_equal(cast_exit(&c, 0), 0);
	cast_clear(&c);
	(void)events(fd, 'o', &b);
	assert_int_equal(buf_len(&b), 1024 + 256);
	buf_clear(&b);
	check_marker(fd, "8387328 bytes of stdout left out");
	(void)close(fd);
}

static void
t_cast_sizes(void **state)
{
	struct cast_header h = plain;
	struct castread *cr;
	struct cast c;
	int fd = new_file();

	(void)state;
	h.columns = 70000;
	h.rows = 1u << 31;
	h.pty = true;
	assert_int_equal(cast_start(&c, fd, &h), 0);
	assert_int_equal(cast_resize(&c, 0xffffffff, 0), 0);
	assert_int_equal(cast_finish(&c), 0);
	/* Nothing may come behind the end. */
	assert_int_equal(cast_output(&c, CAST_OUT, "x", 1), ERR_INTERNAL);
	cast_clear(&c);
	check_events(fd, 'r', "1000x24", 7);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(castread_open(fd, &cr), 0);
	assert_int_equal(castread_header(cr)->columns, 1000);
	assert_int_equal(castread_header(cr)->rows, 500);
	assert_true(castread_header(cr)->pty);
	assert_string_equal(castread_header(cr)->title, "true");
	assert_true(castread_header(cr)->timestamp > 1600000000);
	castread_free(cr);
	(void)close(fd);
}

/* A title of any length is cut between characters. */
static void
t_cast_long_texts(void **state)
{
	struct cast_header h = plain;
	char *title = malloc(200001);
	struct castread *cr;
	struct cast c;
	int fd = new_file();

	(void)state;
	assert_non_null(title);
	for (size_t i = 0; i < 100000; i++)
		memcpy(title + 2 * i, "\xc3\xa9", 2);
	title[200000] = '\0';
	h.title = title + 1; /* odd: invalid at its start, too */
	assert_int_equal(cast_start(&c, fd, &h), 0);
	assert_int_equal(cast_marker(&c, title), 0);
	assert_int_equal(cast_exit(&c, 0), 0);
	cast_clear(&c);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	h.title = title;
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(cast_start(&c, fd, &h), 0);
	cast_clear(&c);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(castread_open(fd, &cr), 0);
	assert_int_equal(strlen(castread_header(cr)->title), CAST_LABEL_MAX);
	castread_free(cr);
	free(title);
	(void)close(fd);
}

/* -- what fails ---------------------------------------------------------- */

static int
say_all(struct cast *c, int fd, const struct cast_header *h)
{
	int r;

	if ((r = cast_start(c, fd, h)) != 0 ||
	    (r = cast_output(c, CAST_OUT, "0123456789 first\n", 17)) != 0 ||
	    (r = cast_output(c, CAST_ERR, "second\n", 7)) != 0 ||
	    (r = cast_resize(c, 100, 30)) != 0 ||
	    (r = cast_marker(c, "marker")) != 0 || (r = cast_exit(c, 7)) != 0)
		return r;
	return 0;
}

/* The disk is full at each byte of the file in turn: an error each time, the
 * same for everything that follows, and not a byte more. */
static void
t_cast_full_at_every_byte(void **state)
{
	struct rlimit old, lim;
	struct cast_header h = plain;
	struct buf b;
	struct cast c;
	size_t whole;
	int fd = new_file();

	(void)state;
	h.head = h.tail = 8;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(say_all(&c, fd, &h), 0);
	cast_clear(&c);
	slurp(fd, &b);
	whole = buf_len(&b);
	buf_clear(&b);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	/* The header's time and the events' may differ in length. */
	for (size_t n = 0; n < whole - 10; n++) {
		assert_int_equal(ftruncate(fd, 0), 0);
		lim = (struct rlimit){ n, old.rlim_max };
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &lim), 0);
		assert_int_equal(say_all(&c, fd, &h), ERR_SYS);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
		/* There is room again: too late. */
		errno = 0;
		assert_int_equal(cast_output(&c, CAST_OUT, "x", 1), ERR_SYS);
		assert_true(errno == ENOSPC || errno == EFBIG);
		assert_int_equal(cast_marker(&c, "x"), ERR_SYS);
		assert_int_equal(cast_resize(&c, 1, 1), ERR_SYS);
		assert_int_equal(cast_finish(&c), ERR_SYS);
		assert_int_equal(cast_exit(&c, 0), ERR_SYS);
		cast_clear(&c);
		slurp(fd, &b);
		assert_true(buf_len(&b) <= n);
		buf_clear(&b);
	}
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(say_all(&c, fd, &h), 0);
	cast_clear(&c);
	(void)close(fd);
}

static void
t_cast_dev_full(void **state)
{
	struct cast c;
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(cast_start(&c, fd, &plain), ERR_SYS);
	assert_int_equal(errno, ENOSPC);
	cast_clear(&c);
	(void)close(fd);
	cast_clear(NULL);
}

/* -- the sidecar's line, times ------------------------------------------- */

static void
t_sidecar_hop_write(void **state)
{
	struct sidecar_hop h = { .has_exit = true,
		.exit = 3,
		.duration_ms = 12,
		.reason = "\033[31mno" };
	struct buf b;
	int fd = memfd_create("sidecar", MFD_CLOEXEC);

	(void)state;
	h.out.bytes = 5;
	memset(h.out.sha256, 'a', SIDECAR_SHA256_LEN);
	assert_int_equal(sidecar_hop_write(fd, &h), 0);
	slurp(fd, &b);
	assert_string_equal(buf_cstr(&b),
	    "{\"kind\":\"hop\",\"exit\":3,"
	    "\"reason\":\"\\u001b[31mno\",\"duration_ms\":12,\"bytes_out\":5,"
	    "\"sha256_out\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	    "aaaaaaaaaaaaaaaa\"}\n");
	buf_clear(&b);
	(void)close(fd);
	fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_int_equal(sidecar_hop_write(fd, &h), ERR_SYS);
	(void)close(fd);
}

static void
t_utc_format_and_parse(void **state)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} good[] = {
		{ 0, "1970-01-01T00:00:00.000Z" },
		{ 951782399999, "2000-02-28T23:59:59.999Z" },
		{ 951782400000, "2000-02-29T00:00:00.000Z" },
		{ 951868800000, "2000-03-01T00:00:00.000Z" },
		{ 1795551298271, "2026-11-24T20:14:58.271Z" },
		{ 4107542399000, "2100-02-28T23:59:59.000Z" },
		{ 4107542400000, "2100-03-01T00:00:00.000Z" },
		{ 253402300799999, "9999-12-31T23:59:59.999Z" },
	};
	static const char *const bad[] = { "", "2026", "2026-13-01",
		"2026-00-01", "2026-02-30", "2026-01-00", "1969-12-31",
		"2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z",
		"2026-01-01T00:00:00", "2026-01-01 00:00:00Z",
		"2026-01-01T00:00:00.1Z", "2026-01-01T00:00:00.123Zx",
		"2026-01-01T00:00:00.123", "2026-1-01", "+026-01-01",
		"2026-01-01T", "2026-01-01T00:00Z" };
	char text[UTC_LEN + 1];
	uint64_t ms;

	(void)state;
	for (size_t i = 0; i < N(good); i++) {
		utc_format(good[i].ms, text);
		assert_string_equal(text, good[i].text);
		assert_int_equal(utc_parse(text, &ms), 0);
		assert_int_equal(ms, good[i].ms);
	}
	utc_format(UINT64_MAX, text);
	assert_string_equal(text, "9999-12-31T23:59:59.999Z");
	assert_int_equal(utc_parse("2000-02-29", &ms), 0);
	assert_int_equal(ms, 951782400000);
	assert_int_equal(utc_parse("2000-02-29T00:00:01Z", &ms), 0);
	assert_int_equal(ms, 951782401000);
	for (size_t i = 0; i < N(bad); i++)
		assert_int_equal(utc_parse(bad[i], &ms), ERR_FORMAT);
}

static void
t_utc_since(void **state)
{
	static const uint64_t now = 1795551298271;
	static const struct {
		const char *text;
		uint64_t ms;
	} good[] = {
		{ "7d", now - 7 * 86400000ULL },
		{ "24h", now - 86400000 },
		{ "90m", now - 5400000 },
		{ "1s", now - 1000 },
		{ "0d", now },
		{ "4294967295d", 0 },
		{ "20782d", 0 },
		{ "20781d", now - 20781 * 86400000ULL },
		{ "0", 0 },
		{ "951782400", 951782400000 },
		{ "2000-02-29", 951782400000 },
		{ "2000-02-29T00:00:01Z", 951782401000 },
	};
	static const char *const bad[] = { "", "d", "7w", "7 d", " 7d", "-7d",
		"+7d", "7.5d", "07d", "7dd", "4294967296d",
		"99999999999999999999d", "4294967296", "2000-02-30", "0x7d",
		"yesterday" };
	uint64_t ms;

	(void)state;
	for (size_t i = 0; i < N(good); i++) {
		assert_int_equal(utc_since(good[i].text, now, &ms), 0);
		assert_int_equal(ms, good[i].ms);
	}
	for (size_t i = 0; i < N(bad); i++) {
		ms = 1;
		assert_int_equal(utc_since(bad[i], now, &ms), ERR_FORMAT);
		assert_int_equal(ms, 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_cast_output_pty),
		cmocka_unit_test(t_cast_output_pty_bulk),
		cmocka_unit_test(t_cast_lines_are_harmless),
		cmocka_unit_test(t_cast_output_text),
		cmocka_unit_test(t_cast_bytes_come_back),
		cmocka_unit_test(t_cast_bytes_only_where_needed),
		cmocka_unit_test(t_replay_bytes_damage),
		cmocka_unit_test(t_cast_streams_apart),
		cmocka_unit_test(t_cast_bound),
		cmocka_unit_test(t_cast_sizes),
		cmocka_unit_test(t_cast_long_texts),
		cmocka_unit_test(t_cast_full_at_every_byte),
		cmocka_unit_test(t_cast_dev_full),
		cmocka_unit_test(t_sidecar_hop_write),
		cmocka_unit_test(t_utc_format_and_parse),
		cmocka_unit_test(t_utc_since),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
