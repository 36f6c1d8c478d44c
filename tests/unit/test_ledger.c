/*
 * The ledger: numbers without a gap whatever happens to a write, a line whole
 * or not there, repair of what a crash cut; and the records of operations.
 */
#include "config.h"

#include "audit/ledger.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit/ledger_lines.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/json.h"
#include "lib/safeopen.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))
#define NOW UINT64_C(1795551298271)
#define ID "01KAZ0000000000000000000AB"

struct fixture {
	char path[64];
	int dir;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	(void)snprintf(f->path, sizeof(f->path), "/tmp/postern-ledger-XXXXXX");
	assert_non_null(mkdtemp(f->path));
	f->dir = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->dir >= 0);
	(void)signal(SIGXFSZ, SIG_IGN);
	*state = f;
	return 0;
}

/* The folder is flat. */
static int
teardown(void **state)
{
	struct fixture *f = *state;
	struct dirent *e;
	DIR *d = opendir(f->path);

	while (d != NULL && (e = readdir(d)) != NULL)
		(void)unlinkat(f->dir, e->d_name, 0);
	(void)closedir(d);
	(void)close(f->dir);
	assert_int_equal(rmdir(f->path), 0);
	free(f);
	return 0;
}

static void
decision(struct buf *ev)
{
	buf_init(ev, LEDGER_EVENT_MAX);
	assert_int_equal(event_start(ev, EVENT_OP_DECIDE), 0);
	assert_int_equal(event_str(ev, EV_OPERATION, ID), 0);
	assert_int_equal(event_str(ev, EV_COMMAND, "'true'"), 0);
	assert_int_equal(event_num(ev, EV_PTY, 1), 0);
	assert_int_equal(event_num(ev, EV_SERIAL, UINT64_MAX), 0);
}

static void
file_text(const struct fixture *f, const char *name, struct buf *b)
{
	int fd = openat(f->dir, name, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	buf_init(b, 16 * 1024 * 1024);
	assert_int_equal(slurp_fd(fd, b), 0);
	(void)close(fd);
}

struct counted {
	uint64_t next;
	struct buf event;
};

static int
count_line(void *arg, const char *line, size_t n, uint64_t end)
{
	struct counted *c = arg;
	uint64_t number, ms;

	(void)end;
	buf_reset(&c->event);
	assert_int_equal(ledger_parse(line, n, &number, &ms, &c->event), 0);
	assert_int_equal(number, c->next);
	c->next++;
	return 0;
}

/* Every line of the file parses and the numbers are 1..last. */
static void
check_whole(const struct ledger *l)
{
	struct counted c = { .next = 1 };

	buf_init(&c.event, LEDGER_EVENT_MAX);
	assert_int_equal(ledger_scan(l, 0, count_line, &c), 0);
	assert_int_equal(c.next, l->next);
	buf_clear(&c.event);
}

static void
append(struct ledger *l, int want)
{
	struct ledger_line line;
	struct buf ev;

	decision(&ev);
	assert_int_equal(ledger_append(l, &ev, NOW, false, &line), want);
	buf_clear(&ev);
}

static void
t_ledger_line(void **state)
{
	struct fixture *f = *state;
	struct ledger_repair rep;
	struct ledger_line line;
	struct ledger l;
	struct buf ev, back, text;
	uint64_t number, ms;

	assert_int_equal(ledger_open(&l, f->dir, &rep), 0);
	assert_int_equal(rep.bytes, 0);
	decision(&ev);
	assert_int_equal(ledger_append(&l, &ev, NOW, false, &line), 0);
	assert_int_equal(line.number, 1);
	file_text(f, "ledger.jsonl", &text);
	assert_string_equal(buf_cstr(&text),
	    "{\"number\":1,\"time\":"
	    "\"2026-11-24T20:14:58.271Z\",\"event\":\"operation.decide\","
	    "\"operation\":\"" ID "\",\"command\":\"'true'\",\"pty\":true,"
	    "\"serial\":\"18446744073709551615\"}\n");
	assert_int_equal(line.end, buf_len(&text));
	/* There and back. */
	buf_init(&back, LEDGER_EVENT_MAX);
	assert_int_equal(ledger_parse(buf_cstr(&text), buf_len(&text) - 1,
			     &number, &ms, &back),
	    0);
	assert_int_equal(number, 1);
	assert_int_equal(ms, NOW);
	assert_int_equal(buf_len(&back), buf_len(&ev));
	assert_memory_equal(buf_ptr(&back), buf_ptr(&ev), buf_len(&ev));
	/* A second writer is kept out. */
	{
		struct ledger other;

		assert_int_equal(ledger_open(&other, f->dir, &rep), ERR_EXISTS);
		assert_int_equal(other.fd, -1);
	}
	ledger_close(&l);
	append(&l, ERR_SYS);
	buf_clear(&ev);
	buf_clear(&back);
	buf_clear(&text);
}

static void
t_ledger_append_refuses(void **state)
{
	struct fixture *f = *state;
	struct ledger_repair rep;
	struct ledger_line line;
	struct ledger l;
	struct buf ev;

	assert_int_equal(ledger_open(&l, f->dir, &rep), 0);
	/* A field twice would be two truths in one line. */
	decision(&ev);
	assert_int_equal(event_str(&ev, EV_COMMAND, "other"), 0);
	assert_int_equal(ledger_append(&l, &ev, NOW, false, &line), ERR_FORMAT);
	buf_reset(&ev);
	assert_int_equal(ledger_append(&l, &ev, NOW, false, &line), ERR_FORMAT);
	assert_int_equal(buf_put_u32(&ev, 99), 0);
	assert_int_equal(ledger_append(&l, &ev, NOW, false, &line), ERR_FORMAT);
	buf_reset(&ev);
	assert_int_equal(event_start(&ev, EVENT_START), 0);
	assert_int_equal(buf_put_u32(&ev, EV_COMMAND), 0);
	assert_int_equal(ledger_append(&l, &ev, NOW, false, &line), ERR_FORMAT);
	assert_int_equal(l.next, 1);
	assert_int_equal(l.size, 0);
	append(&l, 0);
	check_whole(&l);
	ledger_close(&l);
	buf_clear(&ev);
}

/* The largest event there can be makes a line within the bound. */
static void
t_ledger_largest(void **state)
{
	struct fixture *f = *state;
	struct ledger_repair rep;
	struct ledger_line line;
	struct ledger l;
	struct buf ev;
	char *command = malloc(EVENT_STR_MAX + 1);

	assert_non_null(command);
	memset(command, 1, EVENT_STR_MAX);
	command[EVENT_STR_MAX] = '\0';
	assert_int_equal(ledger_open(&l, f->dir, &rep), 0);
	buf_init(&ev, LEDGER_EVENT_MAX);
	assert_int_equal(event_start(&ev, EVENT_OP_DECIDE), 0);
	assert_int_equal(event_str(&ev, EV_COMMAND, command), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(ledger_append(&l, &ev, NOW, false, &line), 0);
	check_whole(&l);
	ledger_close(&l);
	assert_int_equal(ledger_open(&l, f->dir, &rep), 0);
	assert_int_equal(l.next, 4);
	ledger_close(&l);
	buf_clear(&ev);
	free(command);
}

/* The file cannot grow beyond each byte of the second line in turn. */
static void
t_ledger_full_at_every_byte(void **state)
{
	struct fixture *f = *state;
	struct ledger_repair rep;
	struct rlimit old, lim;
	struct stat st;
	struct ledger l;
	uint64_t one;

	assert_int_equal(ledger_open(&l, f->dir, &rep), 0);
	append(&l, 0);
	one = l.size;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	for (uint64_t n = 0; n < one; n++) {
		lim = (struct rlimit){ one + n, old.rlim_max };
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &lim), 0);
		append(&l, ERR_SYS);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
		assert_int_equal(l.next, 2);
		assert_false(l.broken);
		assert_int_equal(fstat(l.fd, &st), 0);
		assert_int_equal(st.st_size, one);
	}
	append(&l, 0);
	check_whole(&l);
	ledger_close(&l);
}

/* A crash left each possible piece of the second line behind. */
static void
t_ledger_repair_every_cut(void **state)
{
	struct fixture *f = *state;
	struct ledger_repair rep;
	struct ledger l;
	struct buf whole, cut;
	uint64_t one;
	int fd;

	assert_int_equal(ledger_open(&l, f->dir, &rep), 0);
	append(&l, 0);
	one = l.size;
	append(&l, 0);
	ledger_close(&l);
	file_text(f, "ledger.jsonl", &whole);
	for (size_t n = 0; n <= buf_len(&whole); n++) {
		fd = openat(
		    f->dir, "ledger.jsonl", O_WRONLY | O_TRUNC | O_CLOEXEC);
		assert_int_equal(write_all(fd, buf_ptr(&whole), n), 0);
		(void)close(fd);
		assert_int_equal(ledger_open(&l, f->dir, &rep), 0);
		check_whole(&l);
		assert_int_equal(l.next, n == 2 * one ? 3 : n >= one ? 2 : 1);
		assert_int_equal(rep.bytes, n == 2 * one ? 0
					    : n >= one   ? n - one
							 : n);
		if (rep.bytes > 0) {
			file_text(f, rep.name, &cut);
			assert_int_equal(buf_len(&cut), rep.bytes);
			assert_memory_equal(buf_ptr(&cut),
			    buf_ptr(&whole) + (n - rep.bytes), rep.bytes);
			buf_clear(&cut);
			assert_int_equal(unlinkat(f->dir, rep.name, 0), 0);
		}
		append(&l, 0);
		check_whole(&l);
		ledger_close(&l);
	}
	buf_clear(&whole);
}

/* What is not the ledger's is left alone. */
static void
t_ledger_open_refuses(void **state)
{
	static const char *const bad[] = {
		"hello\n",
		"{\"number\":0,}\n",
		"{\"number\":01,}\n",
		"{\"number\":1}\n",
		"{\"number\":,}\n",
		"\n",
		"{\"number\":1,\"a\":1}\n\n",
		"{\"number\":99999999999999999999999,}\n",
		"{\"number\":1,\n",
	};
	struct fixture *f = *state;
	struct ledger_repair rep;
	struct ledger l;
	struct buf b;
	int fd;

	for (size_t i = 0; i < N(bad); i++) {
		fd = openat(f->dir, "ledger.jsonl",
		    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		assert_int_equal(write_all(fd, bad[i], strlen(bad[i])), 0);
		(void)close(fd);
		assert_int_equal(ledger_open(&l, f->dir, &rep), ERR_FORMAT);
		assert_int_equal(l.fd, -1);
		file_text(f, "ledger.jsonl", &b);
		assert_string_equal(buf_cstr(&b), bad[i]);
		buf_clear(&b);
	}
	/* Nor is a link or a pipe followed. */
	assert_int_equal(unlinkat(f->dir, "ledger.jsonl", 0), 0);
	assert_int_equal(symlinkat("/dev/null", f->dir, "ledger.jsonl"), 0);
	assert_int_equal(ledger_open(&l, f->dir, &rep), ERR_SYS);
	assert_int_equal(unlinkat(f->dir, "ledger.jsonl", 0), 0);
	assert_int_equal(mkfifoat(f->dir, "ledger.jsonl", 0600), 0);
	assert_true(ledger_open(&l, f->dir, &rep) < 0);
}

/* Until the file is longer than that, however busy the machine is. */
static void
wait_longer(const struct fixture *f, off_t than)
{
	struct stat st = { .st_size = 0 };

	for (int i = 0; i < 60000 && st.st_size <= than; i++) {
		(void)usleep(1000);
		(void)fstatat(f->dir, "ledger.jsonl", &st, 0);
	}
	assert_true(st.st_size > than);
}

/* Killed at any moment: the numbers have no gap and every line is whole. */
static void
t_ledger_killed(void **state)
{
	struct fixture *f = *state;
	struct ledger_repair rep;
	struct ledger l;
	uint64_t last = 0;
	off_t size = 0;
	pid_t pid;

	for (int i = 0; i < 25; i++) {
		if ((pid = fork()) == 0) {
			if (ledger_open(&l, f->dir, &rep) != 0)
				_exit(1);
			for (;;)
				append(&l, 0);
		}
		assert_true(pid > 0);
		wait_longer(f, size);
		(void)usleep((useconds_t)(i * 700));
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		assert_int_equal(ledger_open(&l, f->dir, &rep), 0);
		check_whole(&l);
		assert_true(l.next > last);
		last = l.next;
		size = (off_t)l.size;
		ledger_close(&l);
	}
	assert_true(last > 25);
}

static void
t_ledger_reserve(void **state)
{
	struct fixture *f = *state;
	struct ledger_repair rep;
	struct ledger l;
	struct stat st;

	assert_int_equal(ledger_open(&l, f->dir, &rep), 0);
	assert_true(l.reserve);
	assert_int_equal(fstatat(f->dir, "reserve", &st, 0), 0);
	assert_int_equal(st.st_size, LEDGER_RESERVE);
	assert_true(st.st_blocks * 512 >= LEDGER_RESERVE);
	ledger_close(&l);
}

static void
t_ledger_parse_refuses(void **state)
{
	static const struct {
		const char *line;
		int r;
	} cases[] = {
		{ "", ERR_FORMAT },
		{ "[]", ERR_FORMAT },
		{ "{\"number\":1}", ERR_FORMAT },
		{ "{\"number\":1,\"time\":\"now\",\"event\":\"start\"}",
		    ERR_FORMAT },
		{ "{\"number\":-1,\"time\":\"2026-01-01\",\"event\":"
		  "\"start\"}",
		    ERR_FORMAT },
		{ "{\"number\":1,\"time\":\"2026-01-01\",\"event\":\"new\"}",
		    ERR_NOTFOUND },
		{ "{\"number\":1,\"time\":\"2026-01-01\",\"event\":\"start\","
		  "\"later\":{\"a\":1}}",
		    0 },
		{ "{\"number\":1,\"time\":\"2026-01-01\",\"event\":\"start\","
		  "\"pty\":1}",
		    ERR_FORMAT },
		{ "{\"number\":1,\"time\":\"2026-01-01\",\"event\":\"start\","
		  "\"exit\":-1}",
		    ERR_FORMAT },
		{ "{\"number\":1,\"time\":\"2026-01-01\",\"event\":\"start\","
		  "\"exit\":\"x\"}",
		    ERR_FORMAT },
		{ "{\"number\":1,\"time\":\"2026-01-01\",\"event\":\"start\","
		  "\"exit\":1,\"exit\":2}",
		    ERR_FORMAT },
	};
	uint64_t number, ms;
	struct buf ev;

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		buf_init(&ev, LEDGER_EVENT_MAX);
		assert_int_equal(ledger_parse(cases[i].line,
				     strlen(cases[i].line), &number, &ms, &ev),
		    cases[i].r);
		buf_clear(&ev);
	}
}

/* Lines of n bytes, each all of one letter, are given as they are, or not at
 * all, and the one behind them is. */
static void
t_ledger_lines_bounds(void **state)
{
	const struct fixture *f = *state;
	static const struct {
		size_t n;
		int r;
	} cases[] = {
		{ 0, 0 },
		{ 1, 0 },
		{ 64 * 1024 - 1, 0 },
		{ 64 * 1024, 0 },
		{ LEDGER_LINE_MAX - 1, 0 },
		{ LEDGER_LINE_MAX, ERR_TOOBIG },
		{ LEDGER_LINE_MAX + 64 * 1024, ERR_TOOBIG },
		{ 3 * LEDGER_LINE_MAX + 1, ERR_TOOBIG },
	};
	char *text = malloc(4 * LEDGER_LINE_MAX);
	struct ledger_lines l;
	const char *line;
	size_t n;
	int fd;

	assert_non_null(text);
	fd = openat(f->dir, "lines", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	for (size_t i = 0; i < N(cases); i++) {
		memset(text, 'x', cases[i].n);
		(void)snprintf(text + cases[i].n, 8, "\nafter\n");
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		assert_int_equal(write_all(fd, text, cases[i].n + 7), 0);
		assert_int_equal(ledger_lines_init(&l, fd, 0, UINT64_MAX), 0);
		assert_int_equal(ledger_lines_next(&l, &line, &n), cases[i].r);
		if (cases[i].r == 0) {
			assert_int_equal(n, cases[i].n);
			assert_memory_equal(line, text, n);
		}
		assert_int_equal(l.line, 1);
		assert_int_equal(l.next, cases[i].n + 1);
		assert_int_equal(ledger_lines_next(&l, &line, &n), 0);
		assert_int_equal(n, 5);
		assert_memory_equal(line, "after", 5);
		assert_int_equal(l.line, 2);
		assert_int_equal(
		    ledger_lines_next(&l, &line, &n), ERR_NOTFOUND);
		ledger_lines_clear(&l);
	}
	(void)close(fd);
	free(text);
}

/* The last line has no end, whatever its length; and `stop` is the end. */
static void
t_ledger_lines_last(void **state)
{
	const struct fixture *f = *state;
	static const char text[] = "one\ntwo";
	struct ledger_lines l;
	const char *line;
	size_t n;
	int fd;

	fd = openat(f->dir, "lines", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, text, sizeof(text) - 1), 0);
	assert_int_equal(ledger_lines_init(&l, fd, 0, UINT64_MAX), 0);
	assert_int_equal(ledger_lines_next(&l, &line, &n), 0);
	assert_int_equal(ledger_lines_next(&l, &line, &n), ERR_FORMAT);
	assert_int_equal(l.line, 2);
	assert_int_equal(ledger_lines_next(&l, &line, &n), ERR_NOTFOUND);
	ledger_lines_clear(&l);
	assert_int_equal(ledger_lines_init(&l, fd, 1, 4), 0);
	assert_int_equal(ledger_lines_next(&l, &line, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(ledger_lines_next(&l, &line, &n), ERR_NOTFOUND);
	ledger_lines_clear(&l);
	(void)close(fd);
}

int
main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(t_ledger_line),
		T(t_ledger_append_refuses),
		T(t_ledger_largest),
		T(t_ledger_full_at_every_byte),
		T(t_ledger_repair_every_cut),
		T(t_ledger_open_refuses),
		T(t_ledger_killed),
		T(t_ledger_reserve),
		T(t_ledger_lines_bounds),
		T(t_ledger_lines_last),
		cmocka_unit_test(t_ledger_parse_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
