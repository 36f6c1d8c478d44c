/*
 * The SFTP filter: what reaches the target of what a job sends, and what
 * reaches the job of what a target answers.  Each case begins behind the
 * greeting, in /home/deploy, with a target that has no symbolic link but those
 * a case names.
 */
#include "config.h"

#include "ssh/sftp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "ssh/sftp_internal.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

static const struct sftp_rule rules[] = {
	{ "never", true, true, "/w/no", 0, false, false },
	{ "hide", true, false, "/r/no", 0, false, false },
	{ "ship", false, true, "/w", 1000, false, false },
	{ "keep", false, true, "/k", 0, true, true },
	{ "look", false, false, "/r", 0, false, false },
	{ "look", false, false, "/w/pub", 0, false, false },
};

struct place {
	struct sftp *s;
	struct buf seen;       /* what the target was sent */
	struct buf told;       /* what the job was told */
	const char *from, *to; /* a symbolic link of the target */
	char entries[4096];    /* the manifest */
	char refused[8192];
	size_t nentries;
	/* of each that begins its line, until it has another */
	char open[16][64];
	uint32_t nbegun;
	size_t early; /* bytes for the target when the last one began */
};

static const char *const verbs[] = { "get", "put", "mkdir", "remove", "rmdir",
	"rename", "link", "symlink", "attrs" };
static const char *const results[] = { "failed", "refused", "cut", "done" };

/* They begin by number, and end once, as what they began as. */
static bool
on_begun(struct place *p, const struct sftp_entry *e)
{
	char *slot = p->open[e->begun % N(p->open)], what[64];

	(void)snprintf(what, sizeof(what), "%s %s", verbs[e->verb], e->path);
	if (e->result == SFTP_BEGUN) {
		assert_int_equal(e->begun, ++p->nbegun);
		assert_string_equal(slot, "");
		(void)snprintf(slot, sizeof(p->open[0]), "%s", what);
		(void)sftp_out(p->s, SFTP_TARGET, &p->early);
		return true;
	}
	if (e->begun != 0) {
		assert_string_equal(slot, what);
		*slot = '\0';
	}
	return false;
}

static void
on_entry(void *arg, const struct sftp_entry *e)
{
	struct place *p = arg;
	size_t n = strlen(p->entries);
	int k;

	if (on_begun(p, e))
		return;
	k = snprintf(p->entries + n, sizeof(p->entries) - n,
	    "%s %s%s%s %s %llu%s%.8s\n", verbs[e->verb], e->path,
	    e->to == NULL ? "" : " ", e->to == NULL ? "" : e->to,
	    results[e->result], (unsigned long long)e->bytes,
	    e->whole ? " " : "", e->whole ? e->sha256 : "");
	assert_true(k > 0);
	p->nentries++;
}

static void
on_refused(void *arg, const char *text)
{
	struct place *p = arg;

	(void)snprintf(p->refused, sizeof(p->refused), "%s", text);
}

/* -- packets -----------------------------------------------------------------
 */

/* Fields: u a number of 32 bits, U of 64, s a string, b a handle of ours, a no
 * attributes. */
static void
build(struct buf *b, unsigned int type, const char *form, va_list ap)
{
	struct buf body;
	const char *t;

	buf_init(&body, SFTP_PACKET_MAX);
	assert_int_equal(buf_put_u8(&body, (uint8_t)type), 0);
	for (const char *f = form; *f != '\0'; f++) {
		switch (*f) {
		case 'u':
			(void)buf_put_u32(&body, va_arg(ap, unsigned int));
			break;
		case 'U':
			(void)buf_put_u64(&body, va_arg(ap, uint64_t));
			break;
		case 's':
			(void)buf_put_cstr(&body, va_arg(ap, const char *));
			break;
		case 'b':
			t = va_arg(ap, const char *);
			(void)buf_put_str(&body, t, SFTP_HANDLE_LEN);
			break;
		case 'a':
			(void)buf_put_u32(&body, 0);
			break;
		default:
			fail();
		}
	}
	assert_int_equal(buf_put_str(b, buf_ptr(&body), buf_len(&body)), 0);
	buf_clear(&body);
}

/* What waits on a side, moved behind b. */
static void
drain(struct place *p, enum sftp_side side, struct buf *b)
{
	size_t n;
	const uint8_t *d = sftp_out(p->s, side, &n);

	if (n == 0)
		return;
	assert_int_equal(buf_put(b, d, n), 0);
	assert_int_equal(sftp_sent(p->s, side, n), 0);
}

static void
job(struct place *p, unsigned int type, const char *form, ...)
{
	struct buf b;
	va_list ap;
	size_t took;

	buf_init(&b, 2 * SFTP_PACKET_MAX);
	va_start(ap, form);
	build(&b, type, form, ap);
	va_end(ap);
	assert_int_equal(
	    sftp_from_job(p->s, buf_ptr(&b), buf_len(&b), &took), 0);
	assert_int_equal(took, buf_len(&b));
	buf_clear(&b);
}

static int
answer(struct place *p, unsigned int type, const char *form, ...)
{
	struct buf b;
	va_list ap;
	size_t took;
	int r;

	buf_init(&b, 2 * SFTP_PACKET_MAX);
	va_start(ap, form);
	build(&b, type, form, ap);
	va_end(ap);
	r = sftp_from_target(p->s, buf_ptr(&b), buf_len(&b), &took);
	buf_clear(&b);
	return r;
}

/* The next packet of b, which has it no more: its type, its number. */
static unsigned int
next(struct buf *b, struct buf *packet, uint32_t *id)
{
	const uint8_t *p;
	uint8_t type;
	size_t n;

	if (buf_len(b) == 0)
		return 0;
	assert_int_equal(buf_get_view(b, SFTP_PACKET_MAX, &p, &n), 0);
	buf_view(packet, p, n);
	assert_int_equal(buf_get_u8(packet, &type), 0);
	if (type != FXP_INIT && type != FXP_VERSION)
		assert_int_equal(buf_get_u32(packet, id), 0);
	return type;
}

static void
text_of(struct buf *packet, char *dst, size_t size)
{
	const uint8_t *p;
	size_t n;

	assert_int_equal(buf_get_view(packet, size - 1, &p, &n), 0);
	memcpy(dst, p, n);
	dst[n] = '\0';
}

/* REALPATH, by a target with at most one link. */
static int
real_answer(struct place *p, uint32_t id, const char *path)
{
	char real[SFTP_PATH_MAX + 64];
	size_t n = p->from == NULL ? 0 : strlen(p->from);

	if (strcmp(path, ".") == 0)
		path = "/home/deploy";
	if (n > 0 && strncmp(path, p->from, n) == 0 &&
	    (path[n] == '/' || path[n] == '\0'))
		(void)snprintf(real, sizeof(real), "%s%s", p->to, path + n);
	else
		(void)snprintf(real, sizeof(real), "%s", path);
	if (strstr(real, "/missing") != NULL)
		return answer(
		    p, FXP_STATUS, "uuss", id, FX_NO_SUCH_FILE, "no", "");
	return answer(p, FXP_NAME, "uussa", id, 1, real, real);
}

/* Answers each question of the filter's own; what the job asked stays in
 * p->seen. */
static void
settle(struct place *p)
{
	struct buf all, packet;
	char path[SFTP_PATH_MAX + 1];
	unsigned int type;
	uint32_t id = 0;

	do {
		buf_init(&all, 4 * SFTP_PACKET_MAX);
		drain(p, SFTP_TARGET, &all);
		while ((type = next(&all, &packet, &id)) != 0) {
			bool own = type != FXP_INIT && (id >> 8 & 0xff) != 0;

			if (own && type == FXP_REALPATH) {
				text_of(&packet, path, sizeof(path));
				assert_int_equal(real_answer(p, id, path), 0);
			} else if (own) {
				assert_int_equal(type, FXP_LSTAT);
				text_of(&packet, path, sizeof(path));
				if (strstr(path, "there") != NULL)
					(void)answer(p, FXP_ATTRS, "ua", id);
				else
					(void)answer(p, FXP_STATUS, "uuss", id,
					    FX_NO_SUCH_FILE, "", "");
			} else {
				(void)buf_put_u8(&p->seen, (uint8_t)type);
				(void)buf_put_u32(&p->seen, id);
				(void)buf_put_str(&p->seen, buf_ptr(&packet),
				    buf_len(&packet));
			}
		}
		buf_clear(&all);
		drain(p, SFTP_JOB, &p->told);
	} while (sftp_waiting(&p->s->out[SFTP_TARGET]) > 0);
}

static void
place_init(struct place *p, const struct sftp_rule *rule, size_t n)
{
	const struct sftp_want w = { .rule = rule,
		.nrule = n,
		.entry = on_entry,
		.refused = on_refused,
		.arg = p };

	*p = (struct place){ 0 };
	buf_init(&p->seen, 16 * SFTP_PACKET_MAX);
	buf_init(&p->told, 16 * SFTP_PACKET_MAX);
	assert_int_equal(sftp_new(&w, &p->s), 0);
}

static void
greet(struct place *p)
{
	size_t got;

	job(p, FXP_INIT, "u", 3);
	settle(p);
	assert_false(sftp_wants(p->s, SFTP_JOB));
	assert_int_equal(
	    answer(p, FXP_VERSION, "ussssssssssssssssssss", 3,
		"posix-rename@openssh.com", "1", "statvfs@openssh.com", "2",
		"fstatvfs@openssh.com", "2", "hardlink@openssh.com", "1",
		"fsync@openssh.com", "1", "lsetstat@openssh.com", "1",
		"limits@openssh.com", "1", "copy-data", "1", "evil@example",
		"1", "expand-path@openssh.com", "9"),
	    0);
	settle(p);
	assert_true(sftp_wants(p->s, SFTP_JOB));
	got = buf_len(&p->told);
	assert_true(got > 0);
	assert_null(memmem(buf_ptr(&p->told), got, "evil", 4));
	/* not in the version that we know */
	assert_null(memmem(buf_ptr(&p->told), got, "expand-path", 11));
	assert_non_null(memmem(buf_ptr(&p->told), got, "copy-data", 9));
	buf_reset(&p->told);
	buf_reset(&p->seen);
}

static void
start(struct place *p)
{
	place_init(p, rules, N(rules));
	greet(p);
}

static void
stop(struct place *p)
{
	sftp_free(p->s);
	buf_clear(&p->seen);
	buf_clear(&p->told);
}

/* The next request of the job's that reached the target: its type, and what
 * follows its number. */
static unsigned int
seen(struct place *p, uint32_t *id, struct buf *rest)
{
	const uint8_t *d;
	uint8_t type;
	size_t n;

	settle(p);
	if (buf_len(&p->seen) == 0)
		return 0;
	assert_int_equal(buf_get_u8(&p->seen, &type), 0);
	assert_int_equal(buf_get_u32(&p->seen, id), 0);
	assert_int_equal(buf_get_view(&p->seen, SFTP_PACKET_MAX, &d, &n), 0);
	buf_view(rest, d, n);
	return type;
}

/* The job was told this status for this number. */
static void
told_status(
    struct place *p, uint32_t want_id, uint32_t want_code, const char *part)
{
	char text[SFTP_PATH_MAX + 600];
	struct buf packet;
	uint32_t id = 0, code = 0;

	settle(p);
	assert_int_equal(next(&p->told, &packet, &id), FXP_STATUS);
	assert_int_equal(id, want_id);
	assert_int_equal(buf_get_u32(&packet, &code), 0);
	text_of(&packet, text, sizeof(text));
	if (code != want_code || strstr(text, part) == NULL)
		print_error(
		    "%u %s, expected %u %s\n", code, text, want_code, part);
	assert_int_equal(code, want_code);
	assert_non_null(strstr(text, part));
}

/* Opens a file; answers what the job has to call it. */
static void
open_file(struct place *p, const char *path, uint32_t pflags, char handle[8])
{
	struct buf rest;
	uint32_t id = 0;
	const uint8_t *d;
	size_t n;

	job(p, FXP_OPEN, "usua", 7, path, pflags);
	assert_int_equal(seen(p, &id, &rest), FXP_OPEN);
	assert_int_equal(answer(p, FXP_HANDLE, "us", id, "target's"), 0);
	settle(p);
	assert_int_equal(next(&p->told, &rest, &id), FXP_HANDLE);
	assert_int_equal(buf_get_view(&rest, 8, &d, &n), 0);
	assert_int_equal(n, 8);
	memcpy(handle, d, 8);
}

/* -- paths -------------------------------------------------------------------
 */

static void
t_paths(void **state)
{
	/* What a job asks for; what reaches the target, or why nothing. */
	static const struct {
		unsigned int type;
		const char *path;
		const char *sent, *text;
	} cases[] = {
		{ FXP_OPENDIR, "/r", "/r", NULL },
		{ FXP_OPENDIR, "/r/", "/r", NULL },
		{ FXP_OPENDIR, "//r//a/.", "/r/a", NULL },
		{ FXP_OPENDIR, "/r/a/../b", "/r/b", NULL },
		{ FXP_OPENDIR, "../../r/x", "/r/x", NULL },
		{ FXP_OPENDIR, "/../../r", "/r", NULL },
		{ FXP_OPENDIR, "/r/..", NULL, "reading /: no rule" },
		{ FXP_OPENDIR, "/r/../etc", NULL, "reading /etc: no rule" },
		{ FXP_OPENDIR, "/rr", NULL, "no rule" },
		{ FXP_OPENDIR, "/R", NULL, "no rule" },
		{ FXP_OPENDIR, ".", NULL, "reading /home/deploy: no rule" },
		{ FXP_OPENDIR, "~", NULL, "reading /home/deploy/~: no rule" },
		{ FXP_OPENDIR, "/r/no", NULL, "rule hide denies" },
		{ FXP_OPENDIR, "/r/no/x", NULL, "rule hide denies" },
		{ FXP_OPENDIR, "/r/not", "/r/not", NULL },
		{ FXP_OPENDIR, "/r/link", "/r/link", NULL },
		{ FXP_OPENDIR, "/r/a\nb", NULL, "control character" },
		{ FXP_OPENDIR, "/r/\xff", NULL, "control character" },
		{ FXP_OPENDIR, "/r/\xe2\x80\xae", NULL, "control character" },
		{ FXP_OPENDIR, "/r/\xc3\xa9", "/r/\xc3\xa9", NULL },
		{ FXP_OPENDIR, "", NULL, "malformed" },
		{ FXP_OPENDIR, "/w", NULL, "reading /w: no rule" },
		{ FXP_STAT, "/w/x", "/w/x", NULL },
		{ FXP_STAT, "/", "/", NULL },
		{ FXP_STAT, "/etc", NULL, "no rule" },
		{ FXP_LSTAT, "/w/no/x", NULL, "rule never denies" },
		{ FXP_REMOVE, "/w/x", "/w/x", NULL },
		{ FXP_REMOVE, "/w/no/x", NULL, "rule never denies" },
		{ FXP_REMOVE, "/w", NULL, "not to remove the folder itself" },
		{ FXP_REMOVE, "/w/x/..", NULL, "not to remove the folder" },
		{ FXP_RMDIR, "/k/x", NULL,
		    "rule keep grants writing with "
		    "no-delete" },
		{ FXP_REMOVE, "/r/x", NULL, "deleting /r/x: no rule" },
		{ FXP_REMOVE, "/w/missing/x", NULL, "No such file" },
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		char path[SFTP_PATH_MAX + 1];
		struct buf rest;
		struct place p;
		uint32_t id = 0;
		unsigned int type;

		start(&p);
		p.from = "/r/link";
		p.to = "/etc";
		job(&p, cases[i].type, "us", 5, cases[i].path);
		type = seen(&p, &id, &rest);
		if (cases[i].sent == NULL) {
			assert_int_equal(type, 0);
			told_status(&p, 5,
			    strstr(cases[i].text, "malf")   ? 5
			    : strstr(cases[i].text, "such") ? 2
							    : 3,
			    cases[i].text);
		} else {
			assert_int_equal(type, cases[i].type);
			text_of(&rest, path, sizeof(path));
			assert_string_equal(path, cases[i].sent);
			assert_int_equal(buf_len(&p.told), 0);
		}
		stop(&p);
	}
}

/* Where a link of the target leads. */
static void
t_links(void **state)
{
	static const struct {
		const char *from, *to;
		unsigned int type;
		const char *path;
		const char *text; /* NULL: it reaches the target */
	} cases[] = {
		{ "/w/l", "/etc", FXP_REMOVE, "/w/l/passwd", "leads out" },
		{ "/w/l", "/etc", FXP_REMOVE, "/w/l", NULL },
		{ "/w/l", "/w/no", FXP_REMOVE, "/w/l/x", "never denies" },
		{ "/w/l", "/w/a", FXP_REMOVE, "/w/l/x", NULL },
		{ "/w/l", "/k/a", FXP_REMOVE, "/w/l/x", "no-delete" },
		{ "/k/l", "/k/a", FXP_STAT, "/k/l/x", "no-symlinks" },
		/* the rule's own folder may be one */
		{ "/w", "/data/w", FXP_REMOVE, "/w/x", NULL },
		{ "/w", "/data/w", FXP_REMOVE, "/w/no/x", "never denies" },
		{ "/k", "/data/k", FXP_STAT, "/k/x", NULL },
		{ "/r/l", "/r/no", FXP_OPENDIR, "/r/l/x", "hide denies" },
		{ "/r/l", "/etc", FXP_OPENDIR, "/r/l/x", NULL },
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		struct buf rest;
		struct place p;
		uint32_t id = 0;

		place_init(&p, rules, N(rules));
		p.from = cases[i].from;
		p.to = cases[i].to;
		greet(&p);
		job(&p, cases[i].type, "us", 5, cases[i].path);
		if (cases[i].text == NULL) {
			assert_int_equal(seen(&p, &id, &rest), cases[i].type);
			assert_int_equal(buf_len(&p.told), 0);
		} else {
			assert_int_equal(seen(&p, &id, &rest), 0);
			told_status(&p, 5,
			    cases[i].type == FXP_STAT &&
				    strstr(cases[i].text, "symlinks") == NULL
				? 4
				: 3,
			    cases[i].type == FXP_STAT ? "" : cases[i].text);
		}
		stop(&p);
	}
}

/* Two paths: what may come to mean what. */
static void
t_two_paths(void **state)
{
	static const struct {
		unsigned int type;
		const char *a, *b;
		const char *text;
	} cases[] = {
		{ FXP_RENAME, "/w/a", "/w/b", NULL },
		{ FXP_RENAME, "/w/a", "/etc/b", "writing /etc/b: no rule" },
		{ FXP_RENAME, "/etc/a", "/w/b", "writing /etc/a: no rule" },
		{ FXP_RENAME, "/w/a", "/w/../b", "writing /b: no rule" },
		{ FXP_RENAME, "/w", "/w/b", "a rule speaks of what is there" },
		{ FXP_RENAME, "/w/a", "/w/no/b", "never denies" },
		{ FXP_RENAME, "/w/a", "/w/no", "never denies" },
		{ FXP_RENAME, "/w/a", "/w/pub", "a rule speaks" },
		/* it may not be read where it is */
		{ FXP_RENAME, "/w/a", "/w/pub/a", "it could be read there" },
		{ FXP_RENAME, "/w/pub/a", "/w/a", NULL },
		/* a link planted on the target */
		{ FXP_RENAME, "/w/out", "/w/x", "leads out" },
		{ FXP_RENAME, "/w/x", "/w/out/x", "leads out" },
		{ FXP_RENAME, "/w/out/x", "/w/x", "leads out" },
		{ FXP_RENAME, "/k/a", "/w/a", "no-delete" },
		{ FXP_RENAME, "/k/a", "/k/b", NULL },
		{ FXP_RENAME, "/k/a", "/k/there", "there is one already" },
		{ FXP_SYMLINK, "/w/a", "/w/l", NULL },
		{ FXP_SYMLINK, "a", "/w/l", NULL },
		{ FXP_SYMLINK, "./d//a", "/w/l", NULL },
		{ FXP_SYMLINK, "../w/a", "/w/l", "named from the top" },
		{ FXP_SYMLINK, "a/../../../etc", "/w/l", "from the top" },
		{ FXP_SYMLINK, "..", "/w/l", "from the top" },
		{ FXP_SYMLINK, ".", "/w/l", "from the top" },
		{ FXP_SYMLINK, "/etc/passwd", "/w/l", "/etc/passwd: no rule" },
		{ FXP_SYMLINK, "/w/../etc", "/w/l", "writing /etc: no rule" },
		{ FXP_SYMLINK, "/w/out/x", "/w/l", "leads out" },
		{ FXP_SYMLINK, "/w/a", "/etc/l", "writing /etc/l: no rule" },
		{ FXP_SYMLINK, "/w/a", "/w/pub/l", "it could be read there" },
		{ FXP_SYMLINK, "/w", "/w/l", "a rule speaks" },
		{ FXP_SYMLINK, "/k/a", "/k/l", "no-symlinks" },
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		struct buf rest;
		struct place p;
		uint32_t id = 0;

		start(&p);
		p.from = "/w/out";
		p.to = "/etc";
		job(&p, cases[i].type, "uss", 5, cases[i].a, cases[i].b);
		if (cases[i].text == NULL) {
			assert_int_equal(seen(&p, &id, &rest), cases[i].type);
			assert_int_equal(buf_len(&p.told), 0);
			assert_int_equal(
			    answer(&p, FXP_STATUS, "uuss", id, FX_OK, "", ""),
			    0);
			told_status(&p, 5, FX_OK, "");
			assert_non_null(strstr(p.entries, " done "));
		} else {
			assert_int_equal(seen(&p, &id, &rest), 0);
			told_status(&p, 5, FX_PERMISSION_DENIED, cases[i].text);
			assert_true(p.refused[0] != '\0');
		}
		stop(&p);
	}
}

/* -- files -------------------------------------------------------------------
 */

static void
t_open_flags(void **state)
{
	static const struct {
		const char *path;
		uint32_t pflags;
		uint32_t code; /* 0: it reaches the target */
	} cases[] = {
		{ "/r/x", 0, 0 },
		{ "/r/x", FXF_READ, 0 },
		{ "/r/x", FXF_WRITE, FX_PERMISSION_DENIED },
		{ "/r/x", FXF_READ | FXF_WRITE, FX_PERMISSION_DENIED },
		/* OpenSSH would cut it */
		{ "/r/x", FXF_READ | FXF_TRUNC, FX_BAD_MESSAGE },
		{ "/r/x", FXF_READ | FXF_CREAT, FX_BAD_MESSAGE },
		{ "/w/x", FXF_READ | FXF_WRITE, FX_PERMISSION_DENIED },
		{ "/w/x", FXF_READ, FX_PERMISSION_DENIED },
		{ "/w/x", FXF_WRITE, 0 },
		{ "/w/x", FXF_WRITE | FXF_CREAT | FXF_EXCL, 0 },
		{ "/w/pub/x", FXF_READ | FXF_WRITE, 0 },
		{ "/w/x", FXF_WRITE | 64, FX_BAD_MESSAGE },
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		struct buf rest;
		struct place p;
		uint32_t id = 0;

		start(&p);
		job(&p, FXP_OPEN, "usua", 5, cases[i].path, cases[i].pflags);
		if (cases[i].code == 0) {
			assert_int_equal(seen(&p, &id, &rest), FXP_OPEN);
		} else {
			assert_int_equal(seen(&p, &id, &rest), 0);
			told_status(&p, 5, cases[i].code, "");
		}
		stop(&p);
	}
}

/* Modes and owners. */
static void
t_attributes(void **state)
{
	static const struct {
		unsigned int type;
		uint32_t flags, value;
		bool granted;
	} cases[] = {
		{ FXP_SETSTAT, ATTR_PERM, 0644, true },
		{ FXP_SETSTAT, ATTR_PERM, 04755, false },
		{ FXP_SETSTAT, ATTR_PERM, 02755, false },
		{ FXP_SETSTAT, ATTR_PERM, 0100644, true },
		{ FXP_MKDIR, ATTR_PERM, 01777, true },
		{ FXP_MKDIR, ATTR_PERM, 02777, false },
		{ FXP_SETSTAT, 16, 0, false },
	};
	struct buf rest;
	struct place p;
	uint32_t id = 0;

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		start(&p);
		job(&p, cases[i].type, "usuu", 5, "/w/x", cases[i].flags,
		    cases[i].value);
		assert_int_equal(
		    seen(&p, &id, &rest), cases[i].granted ? cases[i].type : 0);
		stop(&p);
	}
	start(&p);
	job(&p, FXP_SETSTAT, "usuuu", 5, "/w/x", ATTR_UIDGID, 0, 0);
	told_status(&p, 5, FX_PERMISSION_DENIED, "owner");
	job(&p, FXP_SETSTAT, "usuU", 6, "/w/x", ATTR_SIZE, (uint64_t)1001);
	told_status(&p, 6, FX_PERMISSION_DENIED, "rule ship grants");
	stop(&p);
}

static void
write_bytes(struct place *p, uint32_t id, const char *handle, uint64_t at,
    const char *bytes)
{
	job(p, FXP_WRITE, "ubUs", id, handle, at, bytes);
}

static void
answer_ok(struct place *p)
{
	struct buf rest;
	uint32_t id = 0;

	while (seen(p, &id, &rest) != 0)
		assert_int_equal(
		    answer(p, FXP_STATUS, "uuss", id, FX_OK, "", ""), 0);
}

static void
t_put(void **state)
{
	static const struct {
		uint32_t pflags;
		uint64_t at[3];
		const char *bytes[3];
		uint64_t cut; /* 0: the size is not set */
		const char *entry;
	} cases[] = {
		{ FXF_TRUNC, { 0 }, { "abc" }, 0,
		    "put /w/x done 3 ba7816bf\n" },
		{ FXF_TRUNC, { 0 }, { NULL }, 0, "put /w/x done 0 e3b0c442\n" },
		{ FXF_TRUNC, { 0, 1, 2 }, { "a", "b", "c" }, 0,
		    "put /w/x done 3 ba7816bf\n" },
		/* as scp does it */
		{ 0, { 0 }, { "abc" }, 3, "put /w/x done 3 ba7816bf\n" },
		/* something may be behind it */
		{ 0, { 0 }, { "abc" }, 0, "put /w/x done 3\n" },
		{ 0, { 0 }, { NULL }, 0, "put /w/x done 0\n" },
		{ FXF_TRUNC, { 0 }, { "abc" }, 2, "put /w/x done 3\n" },
		{ FXF_TRUNC, { 0 }, { "abc" }, 9, "put /w/x done 3\n" },
		{ FXF_TRUNC, { 0, 2 }, { "a", "c" }, 0, "put /w/x done 2\n" },
		{ FXF_TRUNC, { 5 }, { "abc" }, 0, "put /w/x done 3\n" },
		{ FXF_TRUNC | FXF_APPEND, { 0 }, { "abc" }, 0,
		    "put /w/x done 3\n" },
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		struct place p;
		char handle[8];

		start(&p);
		open_file(&p, "/w/x", FXF_WRITE | FXF_CREAT | cases[i].pflags,
		    handle);
		for (uint32_t k = 0; k < 3 && cases[i].bytes[k] != NULL; k++)
			write_bytes(
			    &p, k, handle, cases[i].at[k], cases[i].bytes[k]);
		if (cases[i].cut != 0)
			job(&p, FXP_FSETSTAT, "ubuU", 8, handle, ATTR_SIZE,
			    cases[i].cut);
		answer_ok(&p);
		assert_string_equal(p.entries, "");
		job(&p, FXP_CLOSE, "ub", 9, handle);
		answer_ok(&p);
		assert_string_equal(p.entries, cases[i].entry);
		stop(&p);
	}
}

static void
t_get(void **state)
{
	char handle[8];
	struct buf rest;
	struct place p;
	uint32_t id = 0, first = 0;

	(void)state;
	start(&p);
	open_file(&p, "/r/x", FXF_READ, handle);
	job(&p, FXP_READ, "ubUu", 1, handle, (uint64_t)0, 2);
	job(&p, FXP_READ, "ubUu", 2, handle, (uint64_t)2, 9);
	job(&p, FXP_READ, "ubUu", 2, handle, (uint64_t)3, 9);
	assert_int_equal(seen(&p, &first, &rest), FXP_READ);
	assert_int_equal(answer(&p, FXP_DATA, "us", first, "ab"), 0);
	assert_int_equal(seen(&p, &id, &rest), FXP_READ);
	assert_int_equal(answer(&p, FXP_DATA, "us", id, "c"), 0);
	assert_int_equal(seen(&p, &id, &rest), FXP_READ);
	assert_int_equal(answer(&p, FXP_STATUS, "uuss", id, FX_EOF, "", ""), 0);
	job(&p, FXP_CLOSE, "ub", 9, handle);
	answer_ok(&p);
	assert_string_equal(p.entries, "get /r/x done 3 ba7816bf\n");
	/* Less than was asked for is the end, if nothing comes behind it. */
	for (int more = 0; more <= 1; more++) {
		settle(&p);
		buf_reset(&p.told);
		p.entries[0] = '\0';
		open_file(&p, "/r/x", FXF_READ, handle);
		job(&p, FXP_READ, "ubUu", 1, handle, (uint64_t)0, 9);
		job(&p, FXP_READ, "ubUu", 2, handle, more ? (uint64_t)3 : 9, 1);
		assert_int_equal(seen(&p, &id, &rest), FXP_READ);
		assert_int_equal(answer(&p, FXP_DATA, "us", id, "abc"), 0);
		assert_int_equal(seen(&p, &id, &rest), FXP_READ);
		assert_int_equal(
		    more ? answer(&p, FXP_DATA, "us", id, "d")
			 : answer(&p, FXP_STATUS, "uuss", id, FX_EOF, "", ""),
		    0);
		job(&p, FXP_CLOSE, "ub", 9, handle);
		answer_ok(&p);
		settle(&p);
		assert_string_equal(p.entries,
		    more ? "get /r/x done 4\n" : "get /r/x done 3 ba7816bf\n");
	}
	/* closed is closed */
	job(&p, FXP_READ, "ubUu", 3, handle, (uint64_t)0, 2);
	settle(&p);
	buf_reset(&p.told);
	job(&p, FXP_READ, "ubUu", 4, handle, (uint64_t)0, 2);
	told_status(&p, 4, FX_FAILURE, "no such open file");
	/* answered already */
	assert_int_equal(answer(&p, FXP_DATA, "us", first, "ab"), ERR_PROTO);
	stop(&p);
}

/* What is open, and how many lines of theirs have no other. */
static size_t
begun(const struct place *p, const char *what)
{
	size_t n = 0;

	for (size_t i = 0; i < N(p->open); i++)
		n += strcmp(p->open[i], what) == 0;
	return n;
}

/* Who is killed now has said what is being read and written. */
static void
t_begun(void **state)
{
	char handle[8], other[8];
	struct buf rest;
	struct place p;
	uint32_t id = 0;

	(void)state;
	start(&p);
	/* Before the target is asked to open it, which may empty it. */
	job(&p, FXP_OPEN, "usua", 1, "/w/x", FXF_WRITE | FXF_TRUNC);
	assert_int_equal(p.nbegun, 0); /* where it leads is asked */
	assert_int_equal(seen(&p, &id, &rest), FXP_OPEN);
	assert_int_equal(begun(&p, "put /w/x"), 1);
	assert_int_equal(p.early, 0);
	assert_int_equal(answer(&p, FXP_STATUS, "uuss", id, 4, "", ""), 0);
	assert_int_equal(begun(&p, "put /w/x"), 0);
	assert_string_equal(p.entries, "put /w/x failed 0\n");
	/* Of reading, when it is read from, not when it is looked at. */
	settle(&p);
	buf_reset(&p.told);
	open_file(&p, "/r/x", FXF_READ, handle);
	assert_int_equal(p.nbegun, 1);
	for (uint32_t i = 0; i < 3; i++)
		job(&p, FXP_READ, "ubUu", i, handle, (uint64_t)i, 1);
	assert_int_equal(p.nbegun, 2);
	assert_int_equal(p.early, 0);
	assert_int_equal(begun(&p, "get /r/x"), 1);
	/* The same file twice: which of them ends is known. */
	settle(&p);
	buf_reset(&p.seen);
	buf_reset(&p.told);
	open_file(&p, "/w/y", FXF_WRITE, handle);
	open_file(&p, "/w/y", FXF_WRITE, other);
	assert_int_equal(begun(&p, "put /w/y"), 2);
	buf_reset(&p.seen);
	job(&p, FXP_CLOSE, "ub", 9, other);
	answer_ok(&p);
	assert_int_equal(begun(&p, "put /w/y"), 1);
	/* The target does not answer. */
	job(&p, FXP_OPEN, "usua", 3, "/w/z", FXF_WRITE);
	settle(&p);
	assert_int_equal(begun(&p, "put /w/z"), 1);
	sftp_end(p.s);
	assert_int_equal(begun(&p, ""), N(p.open));
	stop(&p);
}

/* What is answered late, twice, or too long. */
static void
t_numbers(void **state)
{
	char handle[8];
	struct buf rest;
	struct place p;
	uint32_t id = 0, first = 0;

	(void)state;
	/* Closed is closed, also while the target has not said so. */
	start(&p);
	open_file(&p, "/r/x", FXF_READ, handle);
	job(&p, FXP_CLOSE, "ub", 1, handle);
	job(&p, FXP_READ, "ubUu", 2, handle, (uint64_t)0, 2);
	told_status(&p, 2, FX_FAILURE, "no such open file");
	job(&p, FXP_CLOSE, "ub", 3, handle);
	told_status(&p, 3, FX_FAILURE, "no such open file");
	stop(&p);

	/* An answer to a question whose number another one has got. */
	start(&p);
	job(&p, FXP_STAT, "us", 1, "/w/x");
	assert_int_equal(seen(&p, &first, &rest), FXP_STAT);
	assert_int_equal(answer(&p, FXP_ATTRS, "ua", first), 0);
	job(&p, FXP_STAT, "us", 2, "/w/x");
	assert_int_equal(seen(&p, &id, &rest), FXP_STAT);
	assert_int_not_equal(id, first);
	assert_int_equal(id & 0xff, first & 0xff);
	assert_int_equal(answer(&p, FXP_ATTRS, "ua", first), ERR_PROTO);
	stop(&p);

	/* More than was asked for. */
	start(&p);
	open_file(&p, "/r/x", FXF_READ, handle);
	job(&p, FXP_READ, "ubUu", 1, handle, (uint64_t)0, 2);
	assert_int_equal(seen(&p, &id, &rest), FXP_READ);
	assert_int_equal(answer(&p, FXP_DATA, "us", id, "abc"), ERR_PROTO);
	stop(&p);
}

static void
t_max(void **state)
{
	char handle[8];
	struct place p;

	(void)state;
	start(&p);
	open_file(&p, "/w/x", FXF_WRITE | FXF_TRUNC, handle);
	write_bytes(&p, 1, handle, 996, "abcd");
	answer_ok(&p);
	told_status(&p, 1, FX_OK, "");
	write_bytes(&p, 2, handle, 0, "what is there already");
	answer_ok(&p);
	told_status(&p, 2, FX_OK, "");
	write_bytes(&p, 3, handle, 997, "abcd");
	told_status(&p, 3, FX_PERMISSION_DENIED,
	    "rule ship grants writing "
	    "1000 bytes");
	job(&p, FXP_FSETSTAT, "ubuU", 4, handle, ATTR_SIZE, (uint64_t)1001);
	told_status(&p, 4, FX_PERMISSION_DENIED, "rule ship grants");
	write_bytes(&p, 5, handle, UINT64_MAX, "a");
	told_status(&p, 5, FX_BAD_MESSAGE, "malformed");
	write_bytes(&p, 5, handle, UINT64_MAX - 1, "a");
	told_status(&p, 5, FX_PERMISSION_DENIED, "");
	/* and it is one number for all files of the rule */
	open_file(&p, "/w/y", FXF_WRITE | FXF_TRUNC, handle);
	write_bytes(&p, 6, handle, 0, "a");
	told_status(&p, 6, FX_PERMISSION_DENIED, "rule ship grants");
	sftp_end(p.s);
	assert_string_equal(p.entries, "put /w/x cut 25\nput /w/y cut 0\n");
	stop(&p);
}

static void
t_copy_data(void **state)
{
	static const char name[] = "copy-data";
	char from[8], to[8];
	struct buf rest;
	struct place p;
	uint32_t id = 0;

	(void)state;
	start(&p);
	open_file(&p, "/w/pub/x", FXF_READ, from);
	open_file(&p, "/w/y", FXF_WRITE | FXF_TRUNC, to);
	job(&p, FXP_EXTENDED, "usbUUbU", 1, name, from, (uint64_t)0,
	    (uint64_t)10, to, (uint64_t)0);
	assert_int_equal(seen(&p, &id, &rest), FXP_EXTENDED);
	job(&p, FXP_EXTENDED, "usbUUbU", 2, name, to, (uint64_t)0, (uint64_t)10,
	    from, (uint64_t)0);
	told_status(&p, 2, FX_FAILURE, "not opened for this");
	job(&p, FXP_EXTENDED, "usbUUbU", 3, name, from, (uint64_t)0,
	    (uint64_t)991, to, (uint64_t)10);
	told_status(&p, 3, FX_PERMISSION_DENIED, "rule ship grants");
	job(&p, FXP_EXTENDED, "usbUUbU", 4, name, from, (uint64_t)0,
	    (uint64_t)0, to, (uint64_t)0);
	told_status(&p, 4, FX_PERMISSION_DENIED, "how many these are");
	stop(&p);
}

/* -- order -------------------------------------------------------------------
 */

/* What was sent to the target, and not answered: one letter each. */
static void
letters(struct place *p, char *dst)
{
	struct buf all, packet;
	unsigned int type;
	uint32_t id = 0;

	buf_init(&all, 4 * SFTP_PACKET_MAX);
	drain(p, SFTP_TARGET, &all);
	while ((type = next(&all, &packet, &id)) != 0)
		*dst++ = type == FXP_REALPATH ? '?'
			 : type == FXP_OPEN   ? 'O'
			 : type == FXP_RENAME ? 'N'
			 : type == FXP_WRITE  ? 'W'
			 : type == FXP_STAT   ? 'S'
					      : 'x';
	*dst = '\0';
	buf_clear(&all);
}

static void
t_pipelined(void **state)
{
	char handle[8], got[64];
	struct buf rest;
	struct place p;
	uint32_t id = 0;

	(void)state;
	start(&p);
	open_file(&p, "/w/x", FXF_WRITE | FXF_TRUNC, handle);
	/* Asked at once, all of them; a write does not wait for any. */
	job(&p, FXP_OPEN, "usua", 1, "/w/a", FXF_WRITE);
	job(&p, FXP_OPEN, "usua", 2, "/w/b", FXF_WRITE);
	write_bytes(&p, 3, handle, 0, "a");
	job(&p, FXP_OPEN, "usua", 4, "/w/c", FXF_WRITE);
	letters(&p, got);
	assert_string_equal(got, "??W?");
	stop(&p);

	/* What is asked behind a change of names is asked when it is done. */
	start(&p);
	job(&p, FXP_RENAME, "uss", 1, "/w/a", "/w/b");
	job(&p, FXP_OPEN, "usua", 2, "/w/b/x", FXF_WRITE);
	settle(&p);
	assert_int_equal(seen(&p, &id, &rest), FXP_RENAME);
	assert_int_equal(buf_len(&p.seen), 0);
	assert_int_equal(answer(&p, FXP_STATUS, "uuss", id, FX_OK, "", ""), 0);
	letters(&p, got);
	assert_string_equal(got, "?");
	stop(&p);
}

/* While a file's contents are on their way nothing comes between them. */
static void
t_half_a_packet(void **state)
{
	char handle[8];
	struct buf b, rest;
	struct place p;
	uint32_t id = 0, open_id = 0;
	size_t took, half;

	(void)state;
	start(&p);
	open_file(&p, "/w/x", FXF_WRITE | FXF_TRUNC, handle);
	job(&p, FXP_RENAME, "uss", 1, "/w/a", "/w/b");
	settle(&p);
	job(&p, FXP_OPEN, "usua", 2, "/w/b/x", FXF_WRITE);
	assert_int_equal(seen(&p, &open_id, &rest), FXP_RENAME);
	buf_init(&b, 1000);
	(void)buf_put_u32(&b, 1 + 4 + 12 + 8 + 4 + 6);
	(void)buf_put_u8(&b, FXP_WRITE);
	(void)buf_put_u32(&b, 3);
	(void)buf_put_str(&b, handle, 8);
	(void)buf_put_u64(&b, 0);
	(void)buf_put_cstr(&b, "abcdef");
	half = buf_len(&b) - 3;
	assert_int_equal(sftp_from_job(p.s, buf_ptr(&b), half, &took), 0);
	assert_int_equal(took, half);
	/* This sets a question free. */
	assert_int_equal(
	    answer(&p, FXP_STATUS, "uuss", open_id, FX_OK, "", ""), 0);
	assert_int_equal(sftp_from_job(p.s, buf_ptr(&b) + half, 3, &took), 0);
	assert_int_equal(seen(&p, &id, &rest), FXP_WRITE);
	assert_memory_equal(buf_ptr(&rest) + buf_len(&rest) - 6, "abcdef", 6);
	assert_int_equal(seen(&p, &id, &rest), FXP_OPEN);
	buf_clear(&b);
	stop(&p);
}

static void
t_bounds(void **state)
{
	char handle[8];
	struct place p;
	struct buf b, rest;
	uint32_t id = 0;
	size_t took;

	(void)state;
	start(&p);
	open_file(&p, "/r/x", FXF_READ, handle);
	for (uint32_t i = 0; i < SFTP_REQUESTS_MAX; i++) {
		assert_true(sftp_wants(p.s, SFTP_JOB));
		/* the same number all the time is the job's own affair */
		job(&p, FXP_READ, "ubUu", 1, handle, (uint64_t)0, 2);
		settle(&p);
	}
	assert_false(sftp_wants(p.s, SFTP_JOB));
	assert_int_equal(sftp_from_job(p.s, "\0\0\0\1", 4, &took), 0);
	assert_int_equal(took, 0);
	assert_int_equal(seen(&p, &id, &rest), FXP_READ);
	assert_int_equal(answer(&p, FXP_DATA, "us", id, "ab"), 0);
	assert_true(sftp_wants(p.s, SFTP_JOB));
	stop(&p);

	start(&p);
	for (int i = 0; i < SFTP_HANDLES_MAX; i++)
		open_file(&p, "/r/x", FXF_READ, handle);
	job(&p, FXP_OPEN, "usua", 5, "/r/x", FXF_READ);
	told_status(&p, 5, FX_FAILURE, "files open at once");
	stop(&p);

	start(&p);
	buf_init(&b, SFTP_PACKET_MAX);
	for (int i = 0; i < SFTP_PATH_MAX; i++)
		(void)buf_put_u8(&b, i == 0   ? '/'
				     : i == 2 ? '/'
				     : i == 1 ? 'r'
					      : 'a');
	job(&p, FXP_STAT, "us", 5, buf_cstr(&b));
	assert_int_equal(seen(&p, &id, &rest), FXP_STAT);
	/* Of the longest paths there are few at once. */
	for (size_t n = SFTP_PATH_MAX; n < SFTP_HELD_MAX; n += SFTP_PATH_MAX) {
		assert_true(sftp_wants(p.s, SFTP_JOB));
		job(&p, FXP_STAT, "us", 7, buf_cstr(&b));
		settle(&p);
	}
	assert_false(sftp_wants(p.s, SFTP_JOB));
	assert_int_equal(
	    answer(&p, FXP_STATUS, "uuss", id, FX_NO_SUCH_FILE, "", ""), 0);
	assert_true(sftp_wants(p.s, SFTP_JOB));
	told_status(&p, 5, FX_NO_SUCH_FILE, "");
	(void)buf_put_u8(&b, 'a');
	job(&p, FXP_OPENDIR, "us", 6, buf_cstr(&b));
	told_status(&p, 6, FX_FAILURE, "more than 4095 bytes");
	buf_clear(&b);
	stop(&p);
}

/* -- broken ------------------------------------------------------------------
 */

/* Each request, cut at each byte inside a packet that is as long as it says. */
static void
t_truncated(void **state)
{
	struct buf whole, b;
	struct place p;
	char handle[8];
	size_t took;

	(void)state;
	for (unsigned int type = 3; type <= 20; type++) {
		for (size_t cut = 4; cut < 40; cut++) {
			start(&p);
			open_file(&p, "/w/x", FXF_WRITE, handle);
			buf_init(&whole, 1000);
			(void)buf_put_u32(&whole, 5);
			(void)buf_put_str(&whole, handle, 8);
			(void)buf_put_u64(&whole, 0);
			(void)buf_put_u64(&whole, 0);
			(void)buf_put_u64(&whole, 0);
			buf_init(&b, 1000);
			(void)buf_put_u32(&b, (uint32_t)cut + 1);
			(void)buf_put_u8(&b, (uint8_t)type);
			(void)buf_put(&b, buf_ptr(&whole), cut < 40 ? cut : 40);
			assert_int_equal(
			    sftp_from_job(p.s, buf_ptr(&b), buf_len(&b), &took),
			    0);
			assert_int_equal(took, buf_len(&b));
			settle(&p);
			buf_clear(&whole);
			buf_clear(&b);
			stop(&p);
		}
	}
	/* Bytes behind the last field. */
	start(&p);
	job(&p, FXP_OPENDIR, "usu", 5, "/r", 0);
	told_status(&p, 5, FX_BAD_MESSAGE, "malformed");
	job(&p, FXP_EXTENDED, "us", 6, "evil@example");
	told_status(&p, 6, FX_OP_UNSUPPORTED, "not a request");
	job(&p, FXP_EXTENDED, "uss", 7, "expand-path@openssh.com", "/r");
	told_status(&p, 7, FX_OP_UNSUPPORTED, "not a request");
	job(&p, 99, "u", 8);
	told_status(&p, 8, FX_OP_UNSUPPORTED, "not a request");
	job(&p, FXP_STATUS, "uuss", 9, 0, "", "");
	told_status(&p, 9, FX_OP_UNSUPPORTED, "not a request");
	job(&p, FXP_OPENDIR, "uU", 10, (uint64_t)0xfffffff0 << 32);
	told_status(&p, 10, FX_BAD_MESSAGE, "malformed");
	stop(&p);
}

static void
t_wrong_lengths(void **state)
{
	static const uint8_t lengths[][5] = { { 0, 0, 0, 0, 5 },
		{ 0, 4, 0, 1, 5 }, { 255, 255, 255, 255, 5 },
		{ 0, 1, 0, 1, FXP_STAT } };
	struct place p;
	size_t took;

	(void)state;
	for (size_t i = 0; i < N(lengths); i++) {
		start(&p);
		assert_int_equal(
		    sftp_from_job(p.s, lengths[i], 5, &took), ERR_PROTO);
		assert_non_null(strstr(sftp_error(p.s), "client"));
		assert_int_equal(
		    sftp_from_job(p.s, lengths[i], 5, &took), ERR_PROTO);
		stop(&p);
		if (i == 3)
			break;
		start(&p);
		assert_int_equal(
		    sftp_from_target(p.s, lengths[i], 5, &took), ERR_PROTO);
		assert_non_null(strstr(sftp_error(p.s), "target"));
		stop(&p);
	}
	place_init(&p, rules, N(rules));
	assert_int_equal(
	    sftp_from_target(p.s, lengths[0], 5, &took), ERR_PROTO);
	stop(&p);
}

/* A target that answers something else. */
static void
t_lies(void **state)
{
	static const struct {
		unsigned int ask;
		unsigned int type;
		const char *form;
		const char *a, *b;
	} cases[] = {
		{ FXP_OPENDIR, FXP_DATA, "us", "x", NULL },
		{ FXP_OPENDIR, FXP_ATTRS, "ua", NULL, NULL },
		{ FXP_OPENDIR, FXP_HANDLE, "us", "", NULL },
		{ FXP_OPENDIR, FXP_HANDLE, "uss", "h", "x" },
		{ FXP_OPENDIR, FXP_VERSION, "u", NULL, NULL },
		{ FXP_OPENDIR, FXP_STATUS, "u", NULL, NULL },
		{ FXP_OPENDIR, FXP_STATUS, "ua", NULL, NULL }, /* OK */
		{ FXP_STAT, FXP_NAME, "ua", NULL, NULL },
		{ FXP_STAT, FXP_ATTRS, "uaa", NULL, NULL },
		{ FXP_REMOVE, FXP_ATTRS, "ua", NULL, NULL },
		{ FXP_READLINK, FXP_NAME, "ua", NULL, NULL },
		{ FXP_STAT, 77, "u", NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		struct buf rest;
		struct place p;
		uint32_t id = 0;

		start(&p);
		job(&p, cases[i].ask, "us", 5, "/w/pub/x");
		assert_int_equal(seen(&p, &id, &rest), cases[i].ask);
		assert_int_equal(answer(&p, cases[i].type, cases[i].form, id,
				     cases[i].a, cases[i].b),
		    ERR_PROTO);
		stop(&p);
	}
}

static void
t_lies_about_names(void **state)
{
	static const struct {
		const char *name;
		int r;
	} cases[] = {
		{ "a", 0 },
		{ "..", 0 },
		{ "\xff", 0 },
		{ "../a", ERR_PROTO },
		{ "a/b", ERR_PROTO },
		{ "", ERR_PROTO },
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		char handle[8];
		struct buf rest;
		struct place p;
		const uint8_t *d;
		uint32_t id = 0;
		size_t n;

		start(&p);
		job(&p, FXP_OPENDIR, "us", 5, "/r");
		assert_int_equal(seen(&p, &id, &rest), FXP_OPENDIR);
		assert_int_equal(answer(&p, FXP_HANDLE, "us", id, "h"), 0);
		settle(&p);
		assert_int_equal(next(&p.told, &rest, &id), FXP_HANDLE);
		assert_int_equal(buf_get_view(&rest, 8, &d, &n), 0);
		memcpy(handle, d, 8);
		job(&p, FXP_READDIR, "ub", 6, handle);
		assert_int_equal(seen(&p, &id, &rest), FXP_READDIR);
		assert_int_equal(
		    answer(&p, FXP_NAME, "uussa", id, 1, cases[i].name, "long"),
		    cases[i].r);
		stop(&p);
	}
	{
		struct place p;

		start(&p);
		assert_int_equal(
		    answer(&p, FXP_STATUS, "uuss", 0x10000, 0, "", ""),
		    ERR_PROTO);
		stop(&p);
		start(&p);
		/* twice what was asked at the start */
		assert_int_equal(
		    answer(&p, FXP_NAME, "uussa", 0x700, 1, "/", "/"),
		    ERR_PROTO);
		stop(&p);
	}
}

static void
t_realpath(void **state)
{
	static const struct {
		const char *path, *name; /* NULL: the target is asked */
	} cases[] = {
		{ ".", "/home/deploy" },
		{ "", "/home/deploy" },
		{ "/etc/../x", "/x" },
		{ "/r/a", NULL },
		{ "/r", NULL },
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		char path[SFTP_PATH_MAX + 1];
		struct buf rest;
		struct place p;
		uint32_t id = 0, n;

		start(&p);
		job(&p, FXP_REALPATH, "us", 5, cases[i].path);
		if (cases[i].name == NULL) {
			assert_int_equal(seen(&p, &id, &rest), FXP_REALPATH);
			stop(&p);
			continue;
		}
		assert_int_equal(seen(&p, &id, &rest), 0);
		assert_int_equal(next(&p.told, &rest, &id), FXP_NAME);
		assert_int_equal(buf_get_u32(&rest, &n), 0);
		text_of(&rest, path, sizeof(path));
		assert_string_equal(path, cases[i].name);
		stop(&p);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_paths),
		cmocka_unit_test(t_links),
		cmocka_unit_test(t_two_paths),
		cmocka_unit_test(t_open_flags),
		cmocka_unit_test(t_attributes),
		cmocka_unit_test(t_put),
		cmocka_unit_test(t_get),
		cmocka_unit_test(t_begun),
		cmocka_unit_test(t_numbers),
		cmocka_unit_test(t_max),
		cmocka_unit_test(t_copy_data),
		cmocka_unit_test(t_pipelined),
		cmocka_unit_test(t_half_a_packet),
		cmocka_unit_test(t_bounds),
		cmocka_unit_test(t_truncated),
		cmocka_unit_test(t_wrong_lengths),
		cmocka_unit_test(t_lies),
		cmocka_unit_test(t_lies_about_names),
		cmocka_unit_test(t_realpath),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
