/*
 * The index: it follows the ledger, finds, cuts, and begins anew when it is
 * damaged; and the files of operations, from creation to seal.
 */
#include "config.h"

#include "audit/store.h"

#include <sys/resource.h>
#include <sys/stat.h>

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

#include "audit/ledger.h"
#include "audit/record.h"
#include "audit/sidecar.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/safeopen.h"
#include "lib/str.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))
#define NOW UINT64_C(1795551298271)
#define SES "01KAZ0000000000000000000SE"
#define OP "01KAZ00000000000000000000P"
#define CAST "2026-11-24/" OP ".cast"
#define SIDE "2026-11-24/" OP ".json"

struct fixture {
	char path[64], db[80];
	int dir;
	struct store *s;
	uint64_t number;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(
	    str_copy(f->path, sizeof(f->path), "/tmp/postern-store-XXXXXX"), 0);
	assert_non_null(mkdtemp(f->path));
	assert_int_equal(str_copy(f->db, sizeof(f->db), f->path), 0);
	assert_int_equal(str_copy(f->db + strlen(f->db), 16, "/postern.db"), 0);
	f->dir = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->dir >= 0);
	(void)signal(SIGXFSZ, SIG_IGN);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	static const char *const names[] = { "postern.db", "postern.db-wal",
		"postern.db-shm", CAST, SIDE };
	struct fixture *f = *state;

	store_free(f->s);
	for (size_t i = 0; i < N(names); i++)
		(void)unlinkat(f->dir, names[i], 0);
	(void)unlinkat(f->dir, "2026-11-24", AT_REMOVEDIR);
	(void)close(f->dir);
	assert_int_equal(rmdir(f->path), 0);
	free(f);
	return 0;
}

/* -- the index ----------------------------------------------------------- */

/* Takes in one event; fields as pairs, ended by 0; numbers as text. */
static void
apply(struct fixture *f, enum event_kind kind, uint64_t ms, ...)
{
	struct buf ev;
	va_list ap;
	int field;

	buf_init(&ev, LEDGER_EVENT_MAX);
	assert_int_equal(event_start(&ev, kind), 0);
	va_start(ap, ms);
	while ((field = va_arg(ap, int)) != 0) {
		const char *v = va_arg(ap, const char *);
		enum event_field e = (enum event_field)field;

		if (event_field_type((uint32_t)field) == 's')
			assert_int_equal(event_str(&ev, e, v), 0);
		else
			assert_int_equal(
			    event_num(&ev, e, strtoull(v, NULL, 10)), 0);
	}
	va_end(ap);
	f->number++;
	assert_int_equal(
	    store_apply(f->s, f->number, ms, f->number * 100, &ev), 0);
	buf_clear(&ev);
}

static void
fill(struct fixture *f)
{
	assert_int_equal(store_open(f->db, &f->s), 0);
	apply(f, EVENT_START, NOW, 0);
	apply(f, EVENT_SESSION_OPEN, NOW, EV_SESSION, "S1", EV_IDENTITY,
	    "deploy", EV_COMMIT, "1f0c9a", EV_ACTOR, "o'brien", 0);
	apply(f, EVENT_OP_DECIDE, NOW + 1, EV_OPERATION, "O1", EV_SESSION, "S1",
	    EV_TARGET, "web-1", EV_COMMAND, "'true'", EV_VERDICT, "allow",
	    EV_RECORDING, "2026-11-24/O1.cast", EV_PTY, "0", EV_SERIAL,
	    "9223372036854775807", 0);
	apply(f, EVENT_OP_DECIDE, NOW + 2, EV_OPERATION, "O2", EV_SESSION, "S1",
	    EV_TARGET, "db-1", EV_VERDICT, "deny", EV_REASON, "no rule", 0);
	apply(f, EVENT_SESSION_OPEN, NOW + 1000, EV_SESSION, "S2", EV_IDENTITY,
	    "deploy", EV_COMMIT, "1f0cff", 0);
	apply(f, EVENT_SESSION_OPEN, NOW + 2000, EV_SESSION, "S3", EV_IDENTITY,
	    "other", EV_COMMIT, "%", 0);
}

static const char *
rows(struct fixture *f, struct store_found *found, size_t n, struct buf *b)
{
	buf_init(b, 1024 * 1024);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(
		    store_row(f->s, &found[i], false, 100000, b), 0);
		assert_int_equal(buf_put(b, "\n", 1), 0);
	}
	return buf_cstr(b);
}

static void
t_store_find(void **state)
{
	static const struct {
		struct store_filter f;
		const char *ids;
	} cases[] = {
		{ { 0 }, "S3 S2 S1 O1 O2 " },
		{ { .limit = 2 }, "S3 S2 " },
		{ { .commit = "1f0c" }, "S2 S1 O1 O2 " },
		{ { .commit = "1f0c9a" }, "S1 O1 O2 " },
		{ { .commit = "1f0d" }, "" },
		{ { .commit = "%" }, "S3 " },
		{ { .commit = "_" }, "" },
		{ { .identity = "other" }, "S3 " },
		{ { .identity = "x' OR '1'='1" }, "" },
		{ { .target = "db-1" }, "S1 O1 O2 " },
		{ { .target = "nowhere" }, "" },
		{ { .session = "S2" }, "S2 " },
		{ { .since_ms = NOW + 1000 }, "S3 S2 " },
		{ { .since_ms = NOW + 5000 }, "" },
		{ { .identity = "deploy", .target = "web-1", .limit = 1000 },
		    "S1 O1 O2 " },
	};
	struct fixture *f = *state;
	struct store_found *found;
	struct buf ids;
	size_t n;

	fill(f);
	for (size_t i = 0; i < N(cases); i++) {
		assert_int_equal(store_find(f->s, &cases[i].f, &found, &n), 0);
		buf_init(&ids, 1000);
		for (size_t k = 0; k < n; k++)
			assert_int_equal(buf_putf(&ids, "%s ", found[k].id), 0);
		assert_string_equal(buf_cstr(&ids), cases[i].ids);
		buf_clear(&ids);
		free(found);
	}
}

/* One more operation of the session S1, and of the shell O0000. */
static void
more(struct fixture *f, int i)
{
	char id[STORE_ID_MAX];

	(void)snprintf(id, sizeof(id), "O%04d", i);
	apply(f, EVENT_OP_DECIDE, NOW + 2, EV_OPERATION, id, EV_SESSION, "S1",
	    EV_SHELL, "O0000", 0);
}

static void
check_after(struct fixture *f, const char *id, const char *after, size_t want,
    const char *last, char kind)
{
	struct store_found *found;
	size_t n;

	assert_int_equal(store_find_after(f->s, id, after, &found, &n), 0);
	assert_int_equal(n, want);
	assert_string_equal(found[n - 1].id, last);
	assert_int_equal(found[n - 1].kind, kind);
	free(found);
}

/* What finds no room is said to be there, and can be asked for. */
static void
t_store_more(void **state)
{
	struct fixture *f = *state;
	struct store_found *found;
	struct store_filter all = { 0 };
	struct buf b;
	size_t n;

	assert_int_equal(store_open(f->db, &f->s), 0);
	apply(f, EVENT_SESSION_OPEN, NOW, EV_SESSION, "S0", 0);
	apply(f, EVENT_SESSION_OPEN, NOW + 1, EV_SESSION, "S1", 0);
	for (int i = 0; i < STORE_FOUND_MAX - 1; i++)
		more(f, i);
	check_after(f, "S1", NULL, STORE_FOUND_MAX, "O4998", 'o');
	assert_int_equal(store_find(f->s, &all, &found, &n), 0);
	assert_int_equal(n, STORE_FOUND_MAX + 1); /* S0 is left out */
	assert_int_equal(found[n - 1].kind, 'm');
	assert_string_equal(rows(f, &found[n - 1], 1, &b),
	    "{\"kind\":\"more\",\"after\":\"O4998\"}\n");
	buf_clear(&b);
	free(found);
	all.before = "S1";
	assert_int_equal(store_find(f->s, &all, &found, &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(found[0].id, "S0");
	free(found);
	more(f, STORE_FOUND_MAX - 1);
	check_after(f, "O0000", NULL, STORE_FOUND_MAX, "O4999", 'o');
	more(f, STORE_FOUND_MAX);
	check_after(f, "S1", NULL, STORE_FOUND_MAX + 1, "O4998", 'm');
	check_after(f, "S1", "O4998", 3, "O5000", 'o');
	check_after(f, "S1", "S1", STORE_FOUND_MAX + 1, "O4998", 'm');
	check_after(f, "O0000", NULL, STORE_FOUND_MAX + 1, "O4999", 'm');
	check_after(f, "O0000", "O4999", 1, "O5000", 'o');
	assert_int_equal(
	    store_find_after(f->s, "S1", "nope", &found, &n), ERR_NOTFOUND);
}

static void
t_store_rows(void **state)
{
	struct fixture *f = *state;
	struct store_found *found;
	char path[STORE_PATH_MAX];
	struct buf b;
	size_t n;

	fill(f);
	assert_int_equal(store_find_id(f->s, "S1", &found, &n), 0);
	assert_string_equal(rows(f, found, n, &b),
	    "{\"kind\":\"session\",\"session\":\"S1\",\"identity\":\"deploy\","
	    "\"commit\":\"1f0c9a\",\"actor\":\"o'brien\","
	    "\"opened\":\"2026-11-24T20:14:58.271Z\",\"operations\":2}\n"
	    "{\"kind\":\"operation\",\"operation\":\"O1\",\"session\":\"S1\","
	    "\"target\":\"web-1\",\"command\":\"'true'\",\"pty\":false,"
	    "\"verdict\":\"allow\",\"serial\":\"9223372036854775807\","
	    "\"recording\":\"2026-11-24/O1.cast\",\"number\":3,"
	    "\"time\":\"2026-11-24T20:14:58.272Z\",\"state\":\"running\"}\n"
	    "{\"kind\":\"operation\",\"operation\":\"O2\",\"session\":\"S1\","
	    "\"target\":\"db-1\",\"verdict\":\"deny\",\"reason\":\"no rule\","
	    "\"number\":4,\"time\":\"2026-11-24T20:14:58.273Z\","
	    "\"state\":\"denied\"}\n");
	buf_clear(&b);
	free(found);
	apply(f, EVENT_OP_END, NOW + 9, EV_OPERATION, "O1", EV_STATE,
	    "complete", EV_EXIT, "3", 0);
	apply(f, EVENT_SESSION_CLOSE, NOW + 10, EV_SESSION, "S1", EV_REASON,
	    "done", 0);
	assert_int_equal(store_find_id(f->s, "O1", &found, &n), 0);
	assert_int_equal(n, 1);
	(void)rows(f, found, n, &b);
	assert_non_null(strstr(buf_cstr(&b), "\"state\":\"complete\",\"exit\""
					     ":3,"));
	assert_non_null(
	    strstr(buf_cstr(&b), "\"ended\":\"2026-11-24T20:14:58.280Z\""));
	assert_non_null(strstr(buf_cstr(&b), "\"target\":\"web-1\""));
	buf_clear(&b);
	free(found);
	assert_int_equal(store_find_id(f->s, "nope", &found, &n), ERR_NOTFOUND);
	assert_int_equal(store_recording(f->s, "O1", path), 0);
	assert_string_equal(path, "2026-11-24/O1.cast");
	assert_int_equal(store_recording(f->s, "O2", path), ERR_NOTFOUND);
	assert_int_equal(store_recording(f->s, "S1", path), ERR_NOTFOUND);
}

static void
t_store_long_command(void **state)
{
	struct fixture *f = *state;
	struct store_found found = { .kind = 'o', .id = "O9" };
	char *command = malloc(60001);
	struct buf b;

	assert_non_null(command);
	for (size_t i = 0; i < 30000; i++)
		memcpy(command + 2 * i, "\xc3\xa9", 2);
	command[60000] = '\0';
	command[0] = command[1] = 'a'; /* the cut falls between characters */
	memmove(command + 1, command + 2, 59999);
	fill(f);
	apply(f, EVENT_OP_DECIDE, NOW, EV_OPERATION, "O9", EV_COMMAND, command,
	    0);
	buf_init(&b, 1024 * 1024);
	assert_int_equal(store_row(f->s, &found, false, 100000, &b), 0);
	assert_true(buf_len(&b) < 1500);
	assert_non_null(strstr(buf_cstr(&b), "\"command_cut\":true"));
	assert_null(strstr(buf_cstr(&b), "\xef\xbf\xbd"));
	buf_reset(&b);
	assert_int_equal(store_row(f->s, &found, true, 100000, &b), 0);
	assert_null(strstr(buf_cstr(&b), "command_cut"));
	buf_reset(&b);
	/* Whole, but the row has no room: cut, and said. */
	memset(command, 1, 60000);
	apply(f, EVENT_OP_DECIDE, NOW, EV_OPERATION, "O9", EV_COMMAND, command,
	    0);
	assert_int_equal(store_row(f->s, &found, true, 100000, &b), 0);
	assert_non_null(strstr(buf_cstr(&b), "\"command_cut\":true"));
	buf_clear(&b);
	free(command);
}

static void
t_store_position(void **state)
{
	struct fixture *f = *state;
	struct store_open_op open[4];
	uint64_t number, offset;
	size_t n;

	fill(f);
	assert_int_equal(store_position(f->s, &number, &offset), 0);
	assert_int_equal(number, 6);
	assert_int_equal(offset, 600);
	/* Neither again nor ahead. */
	assert_int_equal(store_apply(f->s, 6, NOW, 600, NULL), ERR_FORMAT);
	assert_int_equal(store_apply(f->s, 8, NOW, 800, NULL), ERR_FORMAT);
	assert_int_equal(store_apply(f->s, 7, NOW, 700, NULL), 0);
	f->number = 7;
	assert_int_equal(store_unfinished(f->s, 0, open, 4, &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(open[0].operation, "O1");
	assert_string_equal(open[0].session, "S1");
	assert_int_equal(open[0].number, 3);
	assert_int_equal(store_unfinished(f->s, 3, open, 4, &n), 0);
	assert_int_equal(n, 0);
	/* It is there after a restart. */
	store_free(f->s);
	assert_int_equal(store_open(f->db, &f->s), 0);
	assert_int_equal(store_position(f->s, &number, &offset), 0);
	assert_int_equal(number, 7);
	assert_int_equal(store_reset(f->s), 0);
	assert_int_equal(store_position(f->s, &number, &offset), 0);
	assert_int_equal(number, 0);
	assert_int_equal(store_unfinished(f->s, 0, open, 4, &n), 0);
	assert_int_equal(n, 0);
}

/* What ties the commands of a list. */
static void
t_store_list(void **state)
{
	struct fixture *f = *state;
	struct store_found found = { 'o', "O7" };
	struct buf b;

	fill(f);
	apply(f, EVENT_OP_DECIDE, NOW, EV_OPERATION, "O7", EV_SESSION, "S1",
	    EV_LIST, "L1", EV_POSITION, "2", EV_POSITIONS, "3", EV_JOINED, "&&",
	    0);
	assert_non_null(strstr(rows(f, &found, 1, &b),
	    "\"list\":\"L1\",\"position\":2,\"positions\":3,"
	    "\"joined\":\"&&\""));
	buf_clear(&b);
}

/* An index of an older version is made anew from the ledger. */
static void
t_store_of_another_version(void **state)
{
	static const uint8_t other[][4] = { { 0, 0, 0, 2 }, { 0, 0, 1, 0 } };
	struct fixture *f = *state;
	uint64_t number, offset;
	int fd;

	/* One from before, and one of a later version that was taken away. */
	for (size_t i = 0; i < 2; i++) {
		fill(f);
		store_free(f->s);
		assert_int_equal(store_open(f->db, &f->s), 0);
		assert_int_equal(store_position(f->s, &number, &offset), 0);
		assert_int_equal(number, f->number);
		store_free(f->s);
		f->s = NULL;
		/* user_version in the file's header:
		 * sqlite.org/fileformat.html 1.3 */
		fd = open(f->db, O_WRONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(pwrite(fd, other[i], 4, 60), 4);
		(void)close(fd);
		assert_int_equal(store_open(f->db, &f->s), 0);
		assert_int_equal(store_position(f->s, &number, &offset), 0);
		assert_int_equal(number, 0);
		store_free(f->s);
		f->s = NULL;
		f->number = 0;
	}
}

/* A file that is no database, a damaged one. */
static void
t_store_begins_anew(void **state)
{
	struct fixture *f = *state;
	uint64_t number, offset;
	char junk[8192];
	int fd;

	memset(junk, 'x', sizeof(junk));
	for (int i = 0; i < 2; i++) {
		fd =
		    open(f->db, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		if (i == 1)
			memcpy(junk, "SQLite format 3", 16);
		assert_int_equal(write_all(fd, junk, sizeof(junk)), 0);
		(void)close(fd);
		assert_int_equal(store_open(f->db, &f->s), 0);
		assert_int_equal(store_position(f->s, &number, &offset), 0);
		assert_int_equal(number, 0);
		store_free(f->s);
		f->s = NULL;
	}
	assert_int_equal(store_open("/nowhere/postern.db", &f->s), ERR_SYS);
	assert_null(f->s);
}

/* -- records ------------------------------------------------------------- */

static void
file_text(const struct fixture *f, const char *name, struct buf *b)
{
	int fd = openat(f->dir, name, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	buf_init(b, 4 * 1024 * 1024);
	assert_int_equal(slurp_fd(fd, b), 0);
	(void)close(fd);
}

static void
decision(struct buf *ev)
{
	buf_init(ev, LEDGER_EVENT_MAX);
	assert_int_equal(event_start(ev, EVENT_OP_DECIDE), 0);
	assert_int_equal(event_str(ev, EV_OPERATION, OP), 0);
}

static void
create(const struct fixture *f, struct record *rec, int *cast, int *side)
{
	struct buf ev;

	decision(&ev);
	record_init(rec);
	assert_int_equal(
	    record_create(rec, f->dir, CAST, 7, NOW, &ev, cast, side), 0);
	buf_clear(&ev);
}

static void
wipe(const struct fixture *f)
{
	(void)unlinkat(f->dir, CAST, 0);
	(void)unlinkat(f->dir, SIDE, 0);
}

static void
t_record_life(void **state)
{
	struct fixture *f = *state;
	struct sidecar_hop hop = { .has_exit = true, .exit = 3 };
	struct record_facts facts;
	struct record rec;
	struct stat st;
	struct buf b;
	int cast, side, fl;
	char c;

	create(f, &rec, &cast, &side);
	/* The hop's descriptors append, and cannot read. */
	fl = fcntl(cast, F_GETFL);
	assert_int_equal(fl & O_ACCMODE, O_WRONLY);
	assert_true((fl & O_APPEND) != 0);
	fl = fcntl(side, F_GETFL);
	assert_int_equal(fl & O_ACCMODE, O_WRONLY);
	assert_true((fl & O_APPEND) != 0);
	assert_int_equal(read(cast, &c, 1), -1);
	assert_int_equal(fcntl(cast, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_true(record_has_writer(&rec));
	assert_int_equal(record_facts(&rec, &facts), ERR_NOTFOUND);
	assert_int_equal(write_all(cast, "{}\n[1]\n[cut", 11), 0);
	assert_int_equal(sidecar_hop_write(side, &hop), 0);
	(void)close(cast);
	(void)close(side);
	assert_false(record_has_writer(&rec));
	assert_int_equal(record_facts(&rec, &facts), 0);
	assert_true(facts.hop.has_exit);
	assert_int_equal(facts.hop.exit, 3);
	assert_null(facts.hop.reason);
	assert_int_equal(record_trim(&rec, NOW), 0);
	assert_int_equal(record_hash(&rec, 3), ERR_AGAIN);
	assert_int_equal(record_hash(&rec, 1000), 0);
	/* printf '{}\n[1]\n' | sha256sum */
	assert_string_equal(rec.sha256, "cdb18686581b55f18b9c1dc4e50776f1"
					"2cb8421e0d135f50094ee83da7879897");
	assert_int_equal(record_finish(&rec, NOW, "complete", NULL), 0);
	assert_int_equal(record_seal(&rec), 0);
	record_clear(&rec);
	assert_int_equal(fstatat(f->dir, CAST, &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0440);
	assert_int_equal(st.st_size, 7);
	assert_int_equal(fstatat(f->dir, SIDE, &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0440);
	file_text(f, SIDE, &b);
	assert_string_equal(buf_cstr(&b),
	    "{\"kind\":\"open\",\"time\":"
	    "\"2026-11-24T20:14:58.271Z\",\"number\":7,\"operation\":\"" OP
	    "\"}\n{\"kind\":\"hop\",\"exit\":3,\"duration_ms\":0}\n"
	    "{\"kind\":\"closed\",\"time\":\"2026-11-24T20:14:58.271Z\","
	    "\"state\":\"complete\",\"recording_bytes\":7,"
	    "\"recording_sha256\":\"cdb18686581b55f18b9c1dc4e50776f1"
	    "2cb8421e0d135f50094ee83da7879897\"}\n");
	buf_clear(&b);
}

/* The account that audit has, which cannot write what is sealed. */
static void
t_record_reopen_sealed(void **state)
{
	const uid_t other = geteuid() == 0 ? 65534 : geteuid();
	struct fixture *f = *state;
	struct record rec;
	int cast = -1, side = -1;

	create(f, &rec, &cast, &side);
	(void)close(cast);
	(void)close(side);
	assert_int_equal(record_seal(&rec), 0);
	assert_int_equal(fchown(f->dir, other, (gid_t)-1), 0);
	assert_int_equal(
	    fchownat(f->dir, "2026-11-24", other, (gid_t)-1, 0), 0);
	assert_int_equal(fchown(rec.cast, other, (gid_t)-1), 0);
	assert_int_equal(fchown(rec.side, other, (gid_t)-1), 0);
	record_clear(&rec);
	assert_int_equal(seteuid(other), 0);
	assert_int_equal(record_reopen(&rec, f->dir, CAST), 0);
	assert_int_equal(write_all(rec.cast, "x", 1), 0);
	assert_int_equal(seteuid(getuid()), 0);
	record_clear(&rec);
}

static void
t_record_create_refuses(void **state)
{
	static const char *const bad[] = { "", "x.cast", "/etc/passwd",
		"../2026-11-24/" OP ".cast", "2026-11-24/" OP ".json",
		"2026-11-24/" OP ".castx", "2026-13-24/" OP ".cast",
		"2026-11-24/../../../../../etc/passwd.cast",
		"2026-11-24/01KAZ00000000000000000000/.cast" };
	struct fixture *f = *state;
	struct record rec, again;
	int cast = -1, side = -1, fd;
	struct buf ev;

	decision(&ev);
	for (size_t i = 0; i < N(bad); i++) {
		record_init(&rec);
		assert_int_equal(record_create(&rec, f->dir, bad[i], 1, NOW,
				     &ev, &cast, &side),
		    ERR_FORMAT);
		assert_int_equal(record_view(f->dir, bad[i], &fd), ERR_FORMAT);
		assert_int_equal(
		    record_reopen(&rec, f->dir, bad[i]), ERR_FORMAT);
	}
	create(f, &rec, &cast, &side);
	record_init(&again);
	assert_int_equal(
	    record_create(&again, f->dir, CAST, 1, NOW, &ev, &fd, &fd),
	    ERR_EXISTS);
	/* The one that is there is still there. */
	assert_int_equal(record_view(f->dir, CAST, &fd), 0);
	(void)close(fd);
	(void)close(cast);
	(void)close(side);
	record_clear(&rec);
	wipe(f);
	/* A sidecar alone in the way: no recording is left behind. */
	fd = openat(f->dir, SIDE, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	(void)close(fd);
	assert_int_equal(
	    record_create(&again, f->dir, CAST, 1, NOW, &ev, &fd, &fd),
	    ERR_EXISTS);
	assert_int_equal(record_view(f->dir, CAST, &fd), ERR_NOTFOUND);
	buf_clear(&ev);
}

/* The disk is full at each byte of the sidecar's first line. */
static void
t_record_create_full(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, lim;
	struct record rec;
	struct buf ev;
	int cast, side, fd;

	decision(&ev);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	for (rlim_t n = 0; n < 90; n++) {
		lim = (struct rlimit){ n, old.rlim_max };
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &lim), 0);
		record_init(&rec);
		assert_int_equal(record_create(&rec, f->dir, CAST, 7, NOW, &ev,
				     &cast, &side),
		    ERR_SYS);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
		assert_int_equal(rec.cast, -1);
		assert_int_equal(record_view(f->dir, CAST, &fd), ERR_NOTFOUND);
	}
	buf_clear(&ev);
}

/* The closing line is written whole or taken back, and can be tried again. */
static void
t_record_finish_full(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, lim;
	struct record rec;
	struct stat st;
	struct buf b;
	int cast, side;
	off_t before;

	create(f, &rec, &cast, &side);
	assert_int_equal(write_all(cast, "{}\n", 3), 0);
	assert_int_equal(write_all(side, "{\"kind\":\"ho", 11), 0);
	(void)close(cast);
	(void)close(side);
	assert_int_equal(record_trim(&rec, NOW), 0);
	assert_int_equal(record_hash(&rec, 1000), 0);
	assert_int_equal(fstat(rec.side, &st), 0);
	before = st.st_size;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	for (rlim_t n = 0; n < 150; n += 7) {
		lim = (struct rlimit){ (rlim_t)before + n, old.rlim_max };
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &lim), 0);
		assert_int_equal(
		    record_finish(&rec, NOW, "interrupted", "x"), ERR_SYS);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
		assert_int_equal(fstat(rec.side, &st), 0);
		assert_int_equal(st.st_size, before);
	}
	assert_int_equal(record_finish(&rec, NOW, "interrupted", "x"), 0);
	assert_int_equal(record_seal(&rec), 0);
	record_clear(&rec);
	/* The hop's piece ends with a newline, so that ours is a line. */
	file_text(f, SIDE, &b);
	assert_non_null(strstr(buf_cstr(&b), "{\"kind\":\"ho\n"
					     "{\"kind\":\"closed\","));
	buf_clear(&b);
}

static void
t_record_trim(void **state)
{
	static const struct {
		const char *text;
		int64_t size; /* -1: a header was put there */
	} cases[] = {
		{ "", -1 },
		{ "{\"version", -1 },
		{ "{}\n", 3 },
		{ "{}\n[1,", 3 },
		{ "{}\n[1]\n", 7 },
		{ "\n", 1 },
	};
	struct fixture *f = *state;
	struct record rec;
	struct buf b, big;
	uint8_t *d;
	int cast, side;

	for (size_t i = 0; i < N(cases); i++) {
		create(f, &rec, &cast, &side);
		assert_int_equal(
		    write_all(cast, cases[i].text, strlen(cases[i].text)), 0);
		assert_int_equal(record_trim(&rec, NOW), 0);
		file_text(f, CAST, &b);
		if (cases[i].size >= 0)
			assert_int_equal(buf_len(&b), cases[i].size);
		else
			assert_string_equal(buf_cstr(&b),
			    "{\"version\":2,"
			    "\"width\":80,\"height\":24,\"timestamp\":"
			    "1795551298}\n");
		assert_int_equal(rec.size, buf_len(&b));
		buf_clear(&b);
		(void)close(cast);
		(void)close(side);
		record_clear(&rec);
		wipe(f);
	}
	/* A cut line of any length. */
	create(f, &rec, &cast, &side);
	buf_init(&big, 1024 * 1024);
	assert_int_equal(buf_putf(&big, "{}\n"), 0);
	assert_int_equal(buf_reserve(&big, 500000, &d), 0);
	memset(d, 'x', 500000);
	assert_int_equal(write_all(cast, buf_ptr(&big), buf_len(&big)), 0);
	assert_int_equal(record_trim(&rec, NOW), 0);
	assert_int_equal(rec.size, 3);
	buf_clear(&big);
	(void)close(cast);
	(void)close(side);
	record_clear(&rec);
}

#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define HOP "{\"kind\":\"hop\","

/* What a hop, or who owns one, may have written. */
static void
t_record_facts(void **state)
{
	static const struct {
		const char *text;
		int r;
	} cases[] = {
		{ "", ERR_NOTFOUND },
		{ "\n", ERR_NOTFOUND },
		{ HOP "\"exit\":0}\n", 0 },
		{ HOP "\"signal\":9,\"bytes_out\":1,\"sha256_out\":\"" SHA
		      "\",\"duration_ms\":5,\"reason\":\"x\"}\n",
		    0 },
		{ HOP "\"reason\":\"the target cannot be reached\"}\n", 0 },
		{ HOP "\"exit\":0}", ERR_FORMAT }, /* cut */
		{ HOP "\"exit\":0}\n" HOP "\"exit\":1}\n", ERR_FORMAT },
		{ HOP "\"exit\":0}\nmore\n", ERR_FORMAT },
		{ "noise\n" HOP "\"exit\":0}\n", ERR_FORMAT },
		{ HOP "\"exit\":256}\n", ERR_FORMAT },
		{ HOP "\"exit\":-1}\n", ERR_FORMAT },
		{ HOP "\"exit\":1.0}\n", ERR_FORMAT },
		{ HOP "\"exit\":\"0\"}\n", ERR_FORMAT },
		{ HOP "\"exit\":0,\"exit\":1}\n", ERR_FORMAT },
		{ HOP "\"exit\":0,\"signal\":9}\n", ERR_FORMAT },
		{ HOP "\"signal\":65}\n", ERR_FORMAT },
		{ HOP "\"state\":\"complete\"}\n", ERR_FORMAT },
		{ HOP "\"bytes_out\":9223372036854775808}\n", ERR_FORMAT },
		{ HOP "\"sha256_in\":\"abc\"}\n", ERR_FORMAT },
		{ HOP "\"sha256_in\":\"" SHA "00\"}\n", ERR_FORMAT },
		{ HOP "\"reason\":\"a\\u0000b\"}\n", ERR_FORMAT },
		{ HOP "\"reason\":\"\xff\"}\n", ERR_FORMAT },
		{ HOP "\"reason\":[[[[[[[[]]]]]]]]}\n", ERR_FORMAT },
		{ "[1]\n", ERR_FORMAT },
		/* A closing line says nothing, whoever wrote it. */
		{ "{\"kind\":\"closed\",\"state\":\"complete\"}\n",
		    ERR_NOTFOUND },
		{ HOP "\"exit\":0}\n{\"kind\":\"closed\",\"state\":\"x\"}\n",
		    0 },
	};
	struct fixture *f = *state;
	struct record_facts facts;
	struct record rec, again;
	int cast, side;
	char *big;

	for (size_t i = 0; i < N(cases); i++) {
		create(f, &rec, &cast, &side);
		assert_int_equal(
		    write_all(side, cases[i].text, strlen(cases[i].text)), 0);
		assert_int_equal(record_facts(&rec, &facts), cases[i].r);
		/* The same for a process that finds the file. */
		record_init(&again);
		assert_int_equal(record_reopen(&again, f->dir, CAST), 0);
		assert_int_equal(again.side_start, rec.side_start);
		assert_int_equal(record_facts(&again, &facts), cases[i].r);
		assert_true(record_has_writer(&again));
		record_clear(&again);
		(void)close(cast);
		(void)close(side);
		record_clear(&rec);
		wipe(f);
	}
	create(f, &rec, &cast, &side);
	/* The longest reason that our own writer can make comes back. */
	{
		struct sidecar_hop hop = { .has_exit = true };
		char reason[2 * SIDECAR_REASON_MAX];

		memset(reason, 0xff, sizeof(reason) - 1);
		reason[sizeof(reason) - 1] = '\0';
		hop.reason = reason;
		assert_int_equal(sidecar_hop_write(side, &hop), 0);
		assert_int_equal(record_facts(&rec, &facts), 0);
		assert_int_equal(
		    strlen(facts.hop.reason), 3 * SIDECAR_REASON_MAX);
		assert_int_equal(record_trim(&rec, NOW), 0);
		assert_int_equal(record_hash(&rec, 1000), 0);
		assert_int_equal(
		    record_finish(&rec, NOW, "complete", facts.hop.reason), 0);
	}
	(void)close(cast);
	(void)close(side);
	record_clear(&rec);
	wipe(f);
	create(f, &rec, &cast, &side);
	assert_non_null(big = calloc(1, RECORD_HOP_MAX + 1));
	memset(big, '\n', RECORD_HOP_MAX + 1);
	assert_int_equal(write_all(side, big, RECORD_HOP_MAX), 0);
	assert_int_equal(record_facts(&rec, &facts), ERR_NOTFOUND);
	assert_int_equal(write_all(side, "\n", 1), 0);
	assert_int_equal(record_facts(&rec, &facts), ERR_FORMAT);
	free(big);
	(void)close(cast);
	(void)close(side);
	record_clear(&rec);
}

int
main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(t_store_find),
		T(t_store_more),
		T(t_store_rows),
		T(t_store_long_command),
		T(t_store_position),
		T(t_store_begins_anew),
		T(t_store_list),
		T(t_store_of_another_version),
		T(t_record_life),
		T(t_record_reopen_sealed),
		T(t_record_create_refuses),
		T(t_record_create_full),
		T(t_record_finish_full),
		T(t_record_trim),
		T(t_record_facts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
