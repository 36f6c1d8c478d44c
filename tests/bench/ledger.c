/*
 * `./dev ledger N`: a ledger of N lines, made by the code that audit has, in
 * FOLDER/ledger.  At 1000 lines and each tenfold: what one line more costs,
 * with the disk and without; a checkpoint; proofs, made from the tiles and
 * checked; opening it anew.  At last `postern verify`'s work over all of it.
 *
 * So that ten million lines take minutes, fdatasync does nothing but where it
 * is measured: this program has its own.
 */
#include "config.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit/ledger.h"
#include "audit/tiles.h"
#include "audit/tlog.h"
#include "audit/verify.h"
#include "lib/event.h"
#include "lib/str.h"

#define SIGN_EVERY 1000 /* lines: as many as a busy second has */
#define SAMPLE 201      /* lines, proofs, checkpoints of which one is typical */

static struct {
	int dir, folder;
	struct ledger ledger;
	struct tlog tlog;
	struct buf event;
	bool to_disk;
	uint64_t state;
} env;

int
fdatasync(int fd)
{
	return env.to_disk ? (int)syscall(SYS_fdatasync, fd) : 0;
}

static double
clock_us(clockid_t which)
{
	struct timespec t = { 0 };

	(void)clock_gettime(which, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double
now_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

/* What the machine does besides does not count. */
static double
cpu_us(void)
{
	return clock_us(CLOCK_PROCESS_CPUTIME_ID);
}

static uint64_t
rnd(uint64_t n)
{
	env.state ^= env.state >> 12;
	env.state ^= env.state << 25;
	env.state ^= env.state >> 27;
	return env.state * UINT64_C(2685821657736338717) % n;
}

static void
must(int r, const char *what)
{
	if (r != 0)
		errx(1, "%s: %d (%s)", what, r, strerror(errno));
}

/* A session's first line, as long as they are; nothing that a recording would
 * be looked for. */
static void
make_event(void)
{
	static const struct {
		enum event_field field;
		const char *text;
	} fields[] = {
		{ EV_SESSION, "01JDF6V0X4T9S2M7Q8B3C5D1EY" },
		{ EV_IDENTITY, "shop" },
		{ EV_ISSUER, "https://token.actions.githubusercontent.com" },
		{ EV_SUBJECT, "repo:acme/shop:ref:refs/heads/main" },
		{ EV_USER, "web-1" },
		{ EV_SOURCE, "203.0.113.7" },
		{ EV_COMMIT, "1f0c7a2e9b3d4c5f60718293a4b5c6d7e8f90a1b" },
		{ EV_ACTOR, "octocat" },
		{ EV_WORKFLOW, "deploy" },
		{ EV_RUN, "16512345678" },
	};

	buf_init(&env.event, LEDGER_EVENT_MAX);
	must(event_start(&env.event, EVENT_SESSION_OPEN), "event");
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		must(event_str(&env.event, fields[i].field, fields[i].text),
		    "event");
}

static void
append(uint64_t number)
{
	struct ledger_line line;

	must(ledger_append(&env.ledger, &env.event,
		 UINT64_C(1795000000000) + number, false, &line),
	    "append");
	must(tlog_line(&env.tlog, &line.sha256), "tlog_line");
}

static void
begin(void)
{
	struct ledger_repair rep;
	const char *why;

	must(ledger_open(&env.ledger, env.dir, &rep), "ledger_open");
	must(tlog_open(&env.tlog, env.dir, &env.ledger, &why), "tlog_open");
}

/* The first line, which names the key. */
static void
append_start(void)
{
	char key[NOTE_KEY_MAX];
	struct ledger_line line;
	struct buf ev;

	note_key_text(&env.tlog.signer.key, key);
	buf_init(&ev, LEDGER_EVENT_MAX);
	must(event_start(&ev, EVENT_START), "event");
	must(event_str(&ev, EV_KEY, key), "event");
	must(ledger_append(
		 &env.ledger, &ev, UINT64_C(1795000000000), false, &line),
	    "append");
	must(tlog_line(&env.tlog, &line.sha256), "tlog_line");
	buf_clear(&ev);
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double
median(double t[SAMPLE])
{
	qsort(t, SAMPLE, sizeof(t[0]), compare);
	return t[SAMPLE / 2];
}

/* The tiles that a proof has read. */
struct reader {
	uint64_t size;
	uint64_t at[TREE_LEVELS]; /* which tile of a level, and 1 */
	struct tree_hash tile[TREE_LEVELS][TREE_WIDTH];
};

/* A hash of the tree, out of the tiles that are written. */
static int
get(void *arg, unsigned int level, uint64_t index, struct tree_hash *out)
{
	struct reader *p = arg;
	uint64_t n = p->size >> (8 * level), at = index / TREE_WIDTH;
	uint64_t left = n - at * TREE_WIDTH;
	int r = 0;

	if (p->at[level] != at + 1)
		r = tiles_read(env.tlog.dir, level, at,
		    left < TREE_WIDTH ? (size_t)left : TREE_WIDTH,
		    p->tile[level]);
	p->at[level] = r == 0 ? at + 1 : 0;
	*out = p->tile[level][index % TREE_WIDTH];
	return r;
}

/* Proofs of random lines, from the files; how long one takes, how many hashes
 * the longest has. */
static double
prove_lines(uint64_t size, size_t *longest)
{
	struct tree_hash proof[TREE_PROOF_MAX], root, leaf;
	double t[SAMPLE], t0;
	size_t n;

	must(tree_root(env.tlog.tree, &root), "root");
	for (size_t i = 0; i < SAMPLE; i++) {
		struct reader p = { .size = size };
		uint64_t at = rnd(size);

		t0 = cpu_us();
		must(tree_prove_leaf(get, &p, at, size, proof, &n),
		    "tree_prove_leaf");
		t[i] = cpu_us() - t0;
		*longest = n > *longest ? n : *longest;
		must(get(&p, 0, at, &leaf), "leaf");
		must(tree_check_leaf(&leaf, at, size, proof, n, &root),
		    "tree_check_leaf");
	}
	return median(t);
}

/* That it began as it was at some time. */
static double
prove_older(uint64_t size, size_t *longest)
{
	struct tree_hash proof[TREE_PROOF_MAX];
	double t[SAMPLE], t0;
	size_t n;

	for (size_t i = 0; i < SAMPLE; i++) {
		struct reader p = { .size = size };
		uint64_t old = rnd(size) + 1;

		t0 = cpu_us();
		must(tree_prove_older(get, &p, old, size, proof, &n),
		    "tree_prove_older");
		t[i] = cpu_us() - t0;
		*longest = n > *longest ? n : *longest;
	}
	return median(t);
}

/* SAMPLE lines more, each to the disk; then as many checkpoints of one line. */
static void
measure_lines(double *line, double *checkpoint)
{
	double t[SAMPLE], t0;

	env.to_disk = true;
	for (size_t i = 0; i < SAMPLE; i++) {
		t0 = now_us();
		append(env.ledger.next);
		t[i] = now_us() - t0;
	}
	*line = median(t);
	for (size_t i = 0; i < SAMPLE; i++) {
		append(env.ledger.next);
		t0 = now_us();
		must(tlog_checkpoint(&env.tlog), "tlog_checkpoint");
		t[i] = now_us() - t0;
	}
	*checkpoint = median(t);
	env.to_disk = false;
}

static void
measure(uint64_t lines, double bare)
{
	double line, checkpoint, leaf, older, t0;
	size_t nleaf = 0, nolder = 0;
	uint64_t size;

	measure_lines(&line, &checkpoint);
	size = env.tlog.signed_size;
	leaf = prove_lines(size, &nleaf);
	older = prove_older(size, &nolder);
	ledger_close(&env.ledger);
	tlog_close(&env.tlog);
	t0 = now_us();
	begin();
	(void)printf("%9" PRIu64 "%9.1f%9.1f%9.1f%6zu B%9.1f%5zu B%9.1f%5zu B"
		     "%9.1f\n",
	    lines, bare, line, checkpoint, buf_len(&env.tlog.note), leaf,
	    nleaf * TREE_HASH_LEN, older, nolder * TREE_HASH_LEN,
	    (now_us() - t0) / 1000);
	(void)fflush(stdout);
	must(tlog_checkpoint(&env.tlog), "tlog_checkpoint");
}

/* Up to so many lines; what each of the last tenth took. */
static double
fill(uint64_t lines)
{
	uint64_t from = lines - lines / 10;
	double t0 = cpu_us();

	while (env.ledger.next <= lines) {
		if (env.ledger.next == from)
			t0 = cpu_us();
		append(env.ledger.next);
		if (env.ledger.next % SIGN_EVERY == 0)
			must(tlog_checkpoint(&env.tlog), "tlog_checkpoint");
	}
	return (cpu_us() - t0) / (double)(lines - from + 1);
}

static void
verify(void)
{
	struct verify_ask ask = { .dir = env.folder };
	struct verify_found found = { 0 };
	struct rusage use = { 0 };
	struct stat st = { 0 };
	double t = now_us(), cpu = cpu_us();

	must(verify_store(&ask, &found), found.text);
	t = (now_us() - t) / 1e6;
	cpu = (cpu_us() - cpu) / 1e6;
	(void)fstat(env.ledger.fd, &st);
	(void)getrusage(RUSAGE_SELF, &use);
	(void)printf("verify: %s, %" PRIu64 " lines of %.0f MB in %.1f s, %.1f "
		     "s of them of a CPU: %.0f MB a CPU's second; %.1f MB of "
		     "memory at most\n",
	    verify_name(found.verdict), found.lines, (double)st.st_size / 1e6,
	    t, cpu, (double)st.st_size / 1e6 / cpu,
	    (double)use.ru_maxrss / 1e3);
}

int
main(int argc, char **argv)
{
	uint64_t n;

	if (argc != 3 || num_parse(argv[2], 1000, 1000000000, &n) != 0)
		errx(64, "usage: ledger FOLDER LINES");
	env.state = 88172645463325252;
	env.folder = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (env.folder == -1 || mkdirat(env.folder, "ledger", 0700) == -1 ||
	    mkdirat(env.folder, "recordings", 0700) == -1 ||
	    (env.dir = openat(env.folder, "ledger",
		 O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		err(1, "%s", argv[1]);
	make_event();
	begin();
	append_start();
	(void)printf("us of CPU: a line more, proofs; us: a line more to the "
		     "disk, a checkpoint; ms: start.  Medians of %d.\n"
		     "%9s%9s%9s%18s%17s%17s%9s\n",
	    SAMPLE, "lines", "append", "to disk", "checkpoint",
	    "proof of a line", "of a past", "start");
	for (uint64_t at = 1000;; at = at * 10 > n ? n : at * 10) {
		measure(at, fill(at));
		if (at == n)
			break;
	}
	verify();
	ledger_close(&env.ledger);
	tlog_close(&env.tlog);
	buf_clear(&env.event);
	return 0;
}
