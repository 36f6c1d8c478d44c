/*
 * Safe replay: what passes, what does not, and that nothing gets through in
 * pieces or in disguise.
 */
#include "config.h"

#include "audit/replay.h"

#include <sys/mman.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit/castread.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "tests/fuzz/replay_allowed.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))
#define S(s) s, sizeof(s) - 1
#define FFFD "\xef\xbf\xbd"

struct filter_case {
	const char *name;
	const char *in;
	size_t n;
	const char *out;
};

static const struct filter_case cases[] = {
	{ "text", S("abc\r\n\t\b"), "abc\r\n\t\b" },
	{ "UTF-8", S("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
	    "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
	{ "colours", S("\033[1;31mx\033[0m\033[m"),
	    "\033[1;31mx\033[0m\033[m" },
	{ "256 colours", S("\033[38;5;8m\033[48;2;1;2;8m"),
	    "\033[38;5;8m\033[48;2;1;2;8m" },
	{ "colours by colon", S("\033[38:2::1:2:3m\033[4:3m"),
	    "\033[38:2::1:2:3m\033[4:3m" },
	{ "conceal", S("\033[8mx"), "x" },
	{ "conceal among others", S("\033[1;8;4mx"), "\033[1;4mx" },
	{ "conceal with leading zeros", S("\033[0008mx"), "x" },
	{ "colour cut short", S("\033[38;5m"), "" },
	{ "motion", S("\033[2A\033[H\033[3;4H\033[10`"),
	    "\033[2A\033[H\033[3;4H\033[10`" },
	{ "huge motion", S("\033[99999999999999999999A"), "\033[9999A" },
	{ "erase", S("\033[J\033[2J\033[1K"), "\033[J\033[2J\033[1K" },
	{ "scroll-back", S("\033[3J\033[03J\033[3;2J\033[?3J"), "" },
	{ "scroll", S("\033[2S\033[T\033[5;10r\033[r"),
	    "\033[2S\033[T\033[5;10r\033[r" },
	{ "mouse tracking in disguise", S("\033[1;2;3;4;5T"), "" },
	{ "insert and delete", S("\033[2@\033[P\033[3L\033[M\033[X"),
	    "\033[2@\033[P\033[3L\033[M\033[X" },
	{ "repeat", S("a\033[5b\033[1001b"), "a\033[5b" },
	{ "save, restore", S("\0337\0338\033[s\033[u\033[1;2s"),
	    "\0337\0338\033[s\033[u" },
	{ "index", S("\033D\033E\033M"), "\033D\033E\033M" },
	{ "alternate screen", S("\033[?1049hx\033[?1049l"),
	    "\033[?1049hx\033[?1049l" },
	{ "its other spellings, once",
	    S("\033[?47h\033[?1047h\033[?1049l"
	      "\033[?47l"),
	    "\033[?1049h\033[?1049l" },
	{ "cursor and wrap", S("\033[?25l\033[?25;7h"),
	    "\033[?25l\033[?25h\033[?7h" },
	{ "modes",
	    S("\033[?1000h\033[?2004h\033[?1;25h\033[4h\033[?3h"
	      "\033[?1004h\033[20h\033[?5h"),
	    "\033[?25h" },
	/* what must never pass */
	{ "title", S("\033]0;evil\ax\033]2;evil\033\\y"), "xy" },
	{ "clipboard", S("\033]52;c;ZXZpbA==\ax"), "x" },
	{ "colour query", S("\033]4;1;?\a\033]10;?\033\\x"), "x" },
	{ "link", S("\033]8;;http://e/\033\\text\033]8;;\033\\"), "text" },
	{ "file transfer", S("\033]1337;File=:AAAA\ax"), "x" },
	{ "notification", S("\033]9;x\a\033]777;notify;a;b\ay"), "y" },
	{ "DCS", S("\033P$q\"p\033\\\033P+q544e\033\\x"), "x" },
	{ "sixel", S("\033Pq#0~~\033\\x"), "x" },
	{ "APC, PM, SOS", S("\033_Ga=T\033\\\033^x\033\\\033Xx\033\\y"), "y" },
	{ "BEL does not end a DCS", S("\033Pq\aevil\033\\x"), "x" },
	{ "device attributes", S("\033[c\033[>c\033[=c\033[0c\033Z"), "" },
	{ "reports",
	    S("\033[6n\033[5n\033[?6n\033[?15n\033[x\033[18t"
	      "\033[21t\033[?u\033[>q\033[$p"),
	    "" },
	{ "window operations", S("\033[8;1;1t\033[3;0;0t\033[2t"), "" },
	{ "printing", S("\033[5i\033[?5i\033[4i\033[i"), "" },
	{ "soft reset, keyboard", S("\033[!p\033[>1u\033[>4;1m\033=\033>"),
	    "" },
	{ "full reset", S("\033c"), "\033[0m\033[r\033[H\033[2J" },
	{ "character sets", S("\033(0lqk\033(B\033)0\033%G\033%@\x0e\x0f"),
	    "lqk" },
	{ "alignment, tabs", S("\033#8\033H\033[g\033[3g"), "" },
	{ "bell, enquiry, NUL", "\a\x05\0x\x7f", 5, "x" },
	{ "vertical tab, form feed", S("\v\f"), "\n\n" },
	{ "C1 as characters",
	    S("\xc2\x9b"
	      "31m\xc2\x9d"
	      "0;x\xc2\x9c"),
	    FFFD "31m" FFFD "0;x" FFFD },
	{ "C1 as bytes",
	    S("\x9b"
	      "31m\x9d"),
	    FFFD "31m" FFFD },
	{ "bidi",
	    S("\xe2\x80\xae"
	      "a\xe2\x81\xa6\xe2\x80\x8f"),
	    FFFD "a" FFFD FFFD },
	{ "line separators", S("\xe2\x80\xa8\xe2\x80\xa9"), FFFD FFFD },
	{ "tags", S("\xf3\xa0\x81\xa1"), FFFD },
	{ "not UTF-8", S("\xff\xc0\xaf\xed\xa0\x80\xf5\x80"),
	    FFFD FFFD FFFD FFFD FFFD },
	{ "cut character", S("\xe2\x82x\xc3\033[1m"), FFFD "x" FFFD "\033[1m" },
	/* disguises */
	{ "ESC in a sequence", S("\033[3\033[1m"), "\033[1m" },
	{ "ESC ESC", S("\033\033\033[1m"), "\033[1m" },
	{ "control inside", S("\033[1\r1m"), "\r\033[11m" },
	{ "CAN, SUB",
	    S("\033[1\x18m\033]0;a\x1a"
	      "b"),
	    "mb" },
	{ "sequence in a string", S("\033]0;\033[5iab\a"), "ab" },
	{ "intermediates", S("\033[1 q\033[1$r\033[\"q\033[1'~"), "" },
	{ "private in the middle", S("\033[1?h\033[1>c\033[<u"), "" },
	{ "DEL inside",
	    S("\033[\x7f"
	      "6\x7fn"),
	    "" },
	{ "character inside", S("\033[6\xc3\xa9n"), "\xc3\xa9n" },
};

static void
t_filter_table(void **state)
{
	struct replay_filter f;
	struct buf out;

	(void)state;
	/* Whole, and byte by byte. */
	for (size_t i = 0; i < 2 * N(cases); i++) {
		const struct filter_case *c = &cases[i / 2];
		size_t step = i % 2 == 0 ? c->n : 1;

		buf_init(&out, 4096);
		replay_init(&f, false);
		for (size_t at = 0; at < c->n; at += step)
			assert_int_equal(
			    replay_filter(&f, c->in + at, step, &out), 0);
		if (strcmp(buf_cstr(&out), c->out) != 0)
			fail_msg("%s: got %s", c->name, buf_cstr(&out));
		assert_true(
		    allowed_output(buf_ptr(&out), buf_len(&out), false));
		buf_clear(&out);
	}
}

/* Parameters beyond every bound, and a string without an end. */
static void
t_filter_bounds(void **state)
{
	struct replay_filter f;
	struct buf out;
	char *long_string = malloc(200000);

	(void)state;
	assert_non_null(long_string);
	memset(long_string, ';', 200000);
	memcpy(long_string, "\033[", 2);
	memcpy(long_string + 199990, "mtext", 5);
	buf_init(&out, 4096);
	replay_init(&f, false);
	assert_int_equal(replay_filter(&f, long_string, 199995, &out), 0);
	assert_string_equal(buf_cstr(&out), "text");
	buf_reset(&out);
	/* 32 parameters are one too many. */
	assert_int_equal(replay_filter(&f,
			     S("\033[1;1;1;1;1;1;1;1;1;1;1;1;1;1;"
			       "1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1mx"),
			     &out),
	    0);
	assert_string_equal(buf_cstr(&out), "x");
	buf_clear(&out);
	/* An OSC that never ends hides 64 KiB, not the rest of the day. */
	memset(long_string, 'a', 200000);
	memcpy(long_string, "\033]0;", 4);
	buf_init(&out, 200000);
	assert_int_equal(replay_filter(&f, long_string, 200000, &out), 0);
	assert_true(buf_len(&out) > 200000 - REPLAY_STRING_MAX - 100);
	buf_clear(&out);
	/* A full buffer is an error, not a cut sequence. */
	buf_init(&out, 3);
	assert_int_equal(replay_filter(&f, "abcd", 4, &out), ERR_TOOBIG);
	buf_clear(&out);
	free(long_string);
}

static void
t_filter_ascii(void **state)
{
	struct replay_filter f;
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	replay_init(&f, true);
	/* U+011B ends in the byte 0x9b: CSI on an 8-bit terminal. */
	assert_int_equal(replay_filter(&f,
			     S("a\xc4\x9b"
			       "b\xff"),
			     &out),
	    0);
	assert_string_equal(buf_cstr(&out), "a?b?");
	buf_clear(&out);
}

static void
t_filter_end(void **state)
{
	struct replay_filter f;
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	replay_init(&f, false);
	assert_int_equal(replay_filter(&f, S("\033[?1049h\xe2\x82"), &out), 0);
	buf_reset(&out);
	assert_int_equal(replay_end(&f, &out), 0);
	assert_string_equal(buf_cstr(&out), FFFD "\033[?1049l\033[0m\0337\033[r"
						 "\0338\033[?7h\033[?25h");
	buf_clear(&out);
}

/* -- the reader ---------------------------------------------------------- */

#define HEAD "{\"version\":2,\"width\":80,\"height\":24}\n"

static int
file_of(const char *s, size_t n)
{
	int fd = memfd_create("cast", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, s, n), n);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static void
t_castread_header(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"{}",
		"{}\n",
		"[]\n",
		"null\n",
		"{\"version\":2,\"width\":80,\"height\":24}", /* cut */
		"{\"version\":1,\"width\":80,\"height\":24}\n",
		"{\"version\":3,\"width\":80,\"height\":24}\n",
		"{\"version\":2,\"width\":0,\"height\":24}\n",
		"{\"version\":2,\"width\":-1,\"height\":24}\n",
		"{\"version\":2,\"width\":99999999,\"height\":24}\n",
		"{\"version\":2,\"width\":\"80\",\"height\":24}\n",
		"{\"version\":2,\"version\":2,\"width\":8,\"height\":24}\n",
	};
	struct castread *cr = NULL;
	int fd;

	(void)state;
	for (size_t i = 0; i < N(bad); i++) {
		fd = file_of(bad[i], strlen(bad[i]));
		assert_int_equal(castread_open(fd, &cr), ERR_FORMAT);
		assert_null(cr);
		(void)close(fd);
	}
	castread_free(NULL);
}

static void
t_castread_next(void **state)
{
	static const char text[] = HEAD "[1.5,\"o\",\"a\"]\n"
					"\n"
					"[0.5,\"o\",\"earlier\"]\n"
					"[1e300,\"zz\",\"x\"]\n"
					"[2,\"i\",\"k\"]\n"
					"[2,\"o\"]\n"
					"[2,\"o\",1]\n"
					"{\"a\":1}\n"
					"nonsense\n"
					"[-5,\"o\",\"nul\\u0000nul\"]\n"
					"[1e300,\"o\",\"late\"]\n"
					"[9,\"o\",\"cut";
	static const struct {
		int r;
		uint64_t at;
		char code;
		size_t len;
	} want[] = {
		{ 0, 1500000, 'o', 1 },
		{ 0, 1500000, 'o', 7 },
		{ ERR_FORMAT, 0, 0, 0 },
		{ 0, 2000000, 'i', 1 },
		{ ERR_FORMAT, 0, 0, 0 },
		{ ERR_FORMAT, 0, 0, 0 },
		{ ERR_FORMAT, 0, 0, 0 },
		{ ERR_FORMAT, 0, 0, 0 },
		{ 0, 2000000, 'o', 7 },
		{ 0, CASTREAD_TIME_MAX, 'o', 4 },
		{ ERR_NOTFOUND, 0, 0, 0 },
		{ ERR_NOTFOUND, 0, 0, 0 },
	};
	int fd = file_of(text, sizeof(text) - 1);
	struct castread_event ev;
	struct castread *cr;

	(void)state;
	assert_int_equal(castread_open(fd, &cr), 0);
	for (size_t i = 0; i < N(want); i++) {
		assert_int_equal(castread_next(cr, &ev), want[i].r);
		if (want[i].r != 0)
			continue;
		assert_int_equal(ev.at_us, want[i].at);
		assert_int_equal(ev.code, want[i].code);
		assert_int_equal(ev.len, want[i].len);
	}
	assert_true(castread_cut(cr));
	castread_free(cr);
	(void)close(fd);
}

/* A line longer than the bound is skipped, the next one is read. */
static void
t_castread_long_line(void **state)
{
	struct castread_event ev;
	struct castread *cr;
	struct buf b;
	uint8_t *d;
	int fd;

	(void)state;
	for (size_t n = CASTREAD_LINE_MAX - 2; n < 3 * CASTREAD_LINE_MAX;
	     n += CASTREAD_LINE_MAX + 1) {
		buf_init(&b, 4 * CASTREAD_LINE_MAX);
		assert_int_equal(buf_putf(&b, HEAD), 0);
		assert_int_equal(buf_reserve(&b, n, &d), 0);
		memset(d, 'x', n);
		assert_int_equal(buf_putf(&b, "\n[1,\"o\",\"ok\"]\n"), 0);
		fd = file_of((const char *)buf_ptr(&b), buf_len(&b));
		assert_int_equal(castread_open(fd, &cr), 0);
		assert_int_equal(castread_next(cr, &ev),
		    n < CASTREAD_LINE_MAX ? ERR_FORMAT : ERR_TOOBIG);
		assert_int_equal(castread_next(cr, &ev), 0);
		assert_int_equal(ev.len, 2);
		castread_free(cr);
		(void)close(fd);
		buf_clear(&b);
	}
}

/* -- the player ---------------------------------------------------------- */

static double
play(
    const char *text, const struct replay_options *o, int want, struct buf *out)
{
	struct timespec a, z;
	int fd = file_of(text, strlen(text)), to = file_of("", 0);
	uint8_t *d;
	off_t n;

	(void)clock_gettime(CLOCK_MONOTONIC, &a);
	assert_int_equal(replay_play(fd, to, o), want);
	(void)clock_gettime(CLOCK_MONOTONIC, &z);
	n = lseek(to, 0, SEEK_END);
	buf_init(out, 1024 * 1024);
	assert_int_equal(buf_reserve(out, (size_t)n, &d), 0);
	assert_int_equal(pread(to, d, (size_t)n, 0), n);
	(void)close(fd);
	(void)close(to);
	return (double)(z.tv_sec - a.tv_sec) +
	       (double)(z.tv_nsec - a.tv_nsec) / 1e9;
}

#define END "\033[0m\0337\033[r\0338\033[?7h\033[?25h"

static void
t_play(void **state)
{
	static const char pty[] =
	    HEAD "[0,\"o\",\"a\\u001b]0;x\\u0007\"]\n"
		 "[0.1,\"m\",\"label\"]\n[0.2,\"o\",\"b\"]\n";
	static const char text[] =
	    "{\"version\":2,\"width\":80,\"height\":24,"
	    "\"postern\":{\"pty\":false}}\n[0,\"o\",\"a\"]\n"
	    "[0,\"m\",\"l\\u001b\"]\n[0.2,\"o\",\"b\"]\nx\n[";
	struct replay_options o = { .speed_milli = 0, .terminal = true };
	volatile sig_atomic_t stop = 1;
	struct buf out;

	(void)state;
	(void)play(pty, &o, 0, &out);
	assert_string_equal(buf_cstr(&out), "ab" END);
	buf_clear(&out);
	(void)play(text, &o, 0, &out);
	assert_string_equal(buf_cstr(&out),
	    "a\r\n\033[7ml?\033[0m\r\nb" END
	    "\r\n[1 damaged lines of the recording were left out]\r\n"
	    "\r\n[the recording ends in the middle of a line]\r\n");
	buf_clear(&out);
	(void)play("nothing", &o, ERR_FORMAT, &out);
	assert_int_equal(buf_len(&out), 0);
	buf_clear(&out);
	/* Stopped by a signal: the terminal is put back all the same. */
	o.stop = &stop;
	(void)play(pty, &o, 0, &out);
	assert_string_equal(buf_cstr(&out), END);
	buf_clear(&out);
	/* No terminal: nothing of ours that only a terminal understands. */
	o = (struct replay_options){ .speed_milli = 0 };
	(void)play(text, &o, 0, &out);
	assert_string_equal(buf_cstr(&out),
	    "a\r\nl?\r\nb"
	    "\r\n[1 damaged lines of the recording were left out]\r\n"
	    "\r\n[the recording ends in the middle of a line]\r\n");
	buf_clear(&out);
}

static void
t_play_pace(void **state)
{
	static const char slow[] =
	    HEAD "[0,\"o\",\"a\"]\n"
		 "[1000000,\"o\",\"b\"]\n[1000000.2,\"o\",\"c\"]\n";
	struct replay_options o = { .speed_milli = 1000, .idle_ms = 100 };
	struct buf out;
	double s;

	(void)state;
	s = play(slow, &o, 0, &out);
	assert_true(s >= 0.19 && s < 1.5);
	buf_clear(&out);
	o = (struct replay_options){ .speed_milli = 4000, .idle_ms = 400 };
	s = play(slow, &o, 0, &out);
	assert_true(s >= 0.14 && s < 1.5);
	buf_clear(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_filter_table),
		cmocka_unit_test(t_filter_bounds),
		cmocka_unit_test(t_filter_ascii),
		cmocka_unit_test(t_filter_end),
		cmocka_unit_test(t_castread_header),
		cmocka_unit_test(t_castread_next),
		cmocka_unit_test(t_castread_long_line),
		cmocka_unit_test(t_play),
		cmocka_unit_test(t_play_pace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
