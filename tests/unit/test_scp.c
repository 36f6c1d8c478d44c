/*
 * The filter for scp's protocol: a script of both sides' bytes, and what came
 * out on either side and into the manifest.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/err.h"
#include "ssh/scp.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

struct world {
	struct scp *s;
	char list[8192]; /* the manifest */
	char begun[64];  /* a file that has no other line yet */
	uint32_t nbegun;
	char out[2][8192];
};

static const char *
judge(void *arg, const char *path, uint64_t bytes, const char **why)
{
	(void)arg;
	*why = "no";
	if (strncmp(path, "/srv", 4) != 0 || strstr(path, "keys") != NULL)
		return NULL;
	*why = "too much";
	return bytes > 100000 ? NULL : "ship";
}

static void
entry(void *arg, const struct scp_entry *e)
{
	static const char *const result[] = { "failed", "refused", "cut",
		"done" };
	struct world *w = arg;
	size_t n = strlen(w->list), out;

	if (e->result == SCP_BEGUN) { /* and its receiver has not heard of it */
		assert_int_equal(e->begun, ++w->nbegun);
		assert_string_equal(w->begun, "");
		(void)snprintf(w->begun, sizeof(w->begun), "%s", e->path);
		(void)scp_out(w->s, e->write ? SCP_TARGET : SCP_JOB, &out);
		assert_int_equal(out, 0);
		return;
	}
	if (e->begun != 0) {
		assert_int_equal(e->begun, w->nbegun);
		assert_string_equal(w->begun, e->path);
		w->begun[0] = '\0';
	}
	/* Nothing passed of what was not begun. */
	assert_true(e->begun != 0 || (e->bytes == 0 && e->sha256 == NULL));
	(void)snprintf(w->list + n, sizeof(w->list) - n,
	    "%s%s %s %s%s%s %llu %.6s\n", e->write ? "put" : "get",
	    e->folder ? "/" : "", result[e->result], e->path,
	    e->to == NULL ? "" : "|", e->to == NULL ? "" : e->to,
	    (unsigned long long)e->bytes, e->sha256 == NULL ? "-" : e->sha256);
}

/* All of a text, as long as it is taken; what is left is not. */
static int
feed(struct world *w, enum scp_side side, const char *p, size_t n, size_t step)
{
	size_t took, k, out;
	const uint8_t *q;
	int r = 0;

	while (n > 0 && r == 0) {
		k = n < step ? n : step;
		r = scp_take(w->s, side, p, k, &took);
		p += took;
		n -= took;
		for (int i = 0; i < 2; i++) {
			q = scp_out(w->s, (enum scp_side)i, &out);
			for (size_t j = 0; j < out; j++) {
				size_t at = strlen(w->out[i]);

				/* a NUL is shown as 0 */
				w->out[i][at] = q[j] == 0 ? '@' : (char)q[j];
			}
			scp_sent(w->s, (enum scp_side)i, out);
		}
		if (took == 0)
			return r != 0 ? r : ERR_AGAIN;
	}
	return r;
}

/* "J..." and "T..." in turn; `@` is a 0, `!` a 1. */
static int
play(struct world *w, const char *const *script, size_t step)
{
	char text[2048];
	size_t n;
	int r = 0;

	for (size_t i = 0; script[i] != NULL && r == 0; i++) {
		n = strlen(script[i] + 1);
		memcpy(text, script[i] + 1, n);
		for (size_t k = 0; k < n; k++)
			text[k] = text[k] == '@'   ? '\0'
				  : text[k] == '!' ? '\1'
						   : text[k];
		r = feed(w, script[i][0] == 'J' ? SCP_JOB : SCP_TARGET, text, n,
		    step);
	}
	return r;
}

static void
t_scp_scripts(void **state)
{
	static const struct {
		const char *path;
		bool write, recurse, into;
		const char *script[16];
		int want;
		const char *list;
		const char *target; /* what it was sent */
	} c[] = {
		{ "/srv/a", true, false, false,
		    { "T@", "JC0644 3 x\n", "T@", "Jabc@", "T@" }, 0,
		    "put done /srv/a|/srv/a/x 3 ba7816\n", "C0644 3 x\nabc@" },
		{ "/srv/a", true, false, true,
		    { "T@", "JT1 0 2 0\n", "T@", "JC0600 0 x y\n", "T@", "J@",
			"T@" },
		    0, "put done /srv/a/x y 0 e3b0c4\n",
		    "T1 0 2 0\nC0600 0 x y\n@" },
		/* into folders, and out again */
		{ "/srv", true, true, true,
		    { "T@", "JD0755 0 d\n", "T@", "JC0644 1 x\n", "T@", "Jz@",
			"T@", "JE\n", "T@", "JC0644 0 y\n", "T@", "J@", "T@" },
		    0,
		    "put/ done /srv/d 0 -\nput done /srv/d/x 1 594e51\n"
		    "put done /srv/y 0 e3b0c4\n",
		    "D0755 0 d\nC0644 1 x\nz@E\nC0644 0 y\n@" },
		/* refused: the target sees nothing of it, the next one goes on
		 */
		{ "/srv", true, false, true,
		    { "T@", "JC0644 3 keys\n", "JC0644 1 x\n", "T@", "Jz@",
			"T@" },
		    0, "put refused /srv/keys 0 -\nput done /srv/x 1 594e51\n",
		    "C0644 1 x\nz@" },
		{ "/srv", true, false, true, { "T@", "JC4755 3 x\n" }, 0,
		    "put refused /srv/x 0 -\n", "" },
		{ "/srv", true, false, true, { "T@", "JC0644 100001 x\n" }, 0,
		    "put refused /srv/x 0 -\n", "" },
		/* where the path may be a folder both must be granted */
		{ "/srv/a", true, false, false, { "T@", "JC0644 1 keys\n" }, 0,
		    "put refused /srv/a|/srv/a/keys 0 -\n", "" },
		/* the target cannot */
		{ "/srv", true, false, true,
		    { "T@", "JC0644 3 x\n", "T!scp: full\n", "JC0644 0 y\n",
			"T@", "J@", "T!bad\n" },
		    0, "put failed /srv/x 0 -\nput failed /srv/y 0 -\n",
		    "C0644 3 x\nC0644 0 y\n@" },
		/* cut */
		{ "/srv", true, false, true,
		    { "T@", "JC0644 3 x\n", "T@", "Ja" }, 0,
		    "put cut /srv/x 1 -\n", "C0644 3 x\na" },
		{ "/srv", true, false, true, { "T@", "JC0644 3 x\n" }, 0,
		    "put cut /srv/x 0 -\n", "C0644 3 x\n" },
		/* reading */
		{ "/srv/a", false, false, false,
		    { "J@", "TC0644 3 a\n", "J@", "Tabc@", "J@" }, 0,
		    "get done /srv/a 3 ba7816\n", "@@@" },
		{ "/srv/a", false, true, false,
		    { "J@", "TD0755 0 a\n", "J@", "TC0644 0 b\n", "J@", "T@",
			"J@", "TE\n", "J@" },
		    0, "get/ done /srv/a 0 -\nget done /srv/a/b 0 e3b0c4\n",
		    "@@@@@" },
		{ "/srv/a", false, false, false,
		    { "J@", "T!scp: /srv/a: No such file\n" }, 0, "", "@" },
		/* CVE-2019-6111: another name, and another one behind it */
		{ "/srv/a", false, false, false, { "J@", "TC0644 3 b\n" },
		    ERR_PROTO, "", "@" },
		{ "/srv/a", false, false, false,
		    { "J@", "TC0644 0 a\n", "J@", "T@", "J@", "TC0644 0 a\n" },
		    ERR_PROTO, "get done /srv/a 0 e3b0c4\n", "@@@" },
		{ "/srv/a", false, false, false, { "J@", "TD0755 0 a\n" },
		    ERR_PROTO, "", "@" },
	/* names that are none */
#define BAD(line)                                                              \
	{ "/srv", true, true, true, { "T@", "J" line "\n" }, ERR_PROTO, "", "" }
		BAD("C0644 3 .."),
		BAD("C0644 3 ."),
		BAD("C0644 3 "),
		BAD("C0644 3 a/b"),
		BAD("C0644 3 ../a"),
		BAD("C0644 3 /etc/x"),
		BAD("C0644 3 a\033[2J"),
		BAD("C0644 3 a\xff"),
		BAD("C0644 3 a\xe2\x80\xae"
		    "b"),
		BAD("D0755 1 d"),
		BAD("C644 3 x"),
		BAD("C00644 3 x"),
		BAD("C0648 3 x"),
		BAD("C0644 -3 x"),
		BAD("C0644 03 x"),
		BAD("C0644 9223372036854775808 x"),
		BAD("C0644 x"),
		BAD("C0644"),
		BAD("C"),
		BAD("E"),
		BAD("Ex"),
		BAD("T1 0 2"),
		BAD("T1 0 2 0 3"),
		BAD("T1 0 2 1000000"),
		BAD("X"),
		BAD(""),
		BAD("C0644 3 x@y"),
		/* turns and answers that are none */
		{ "/srv", true, false, true, { "Tx" }, ERR_PROTO, "", "" },
		{ "/srv", true, false, true, { "T@", "T@" }, ERR_AGAIN, "",
		    "" },
		{ "/srv", true, false, true, { "JC0644 0 x\n" }, ERR_AGAIN, "",
		    "" },
		{ "/srv", true, false, true,
		    { "T@", "JC0644 3 x\n", "T@", "Jabcd" }, ERR_PROTO,
		    "put cut /srv/x 3 -\n", "C0644 3 x\nabc" },
	};

	(void)state;
	for (size_t i = 0; i < N(c); i++) {
		for (size_t step = 1; step < 2000; step = step * 40) {
			struct world w = { .s = NULL };
			const struct scp_want want = { .write = c[i].write,
				.recurse = c[i].recurse,
				.into = c[i].into,
				.path = c[i].path,
				.judge = judge,
				.entry = entry,
				.arg = &w };
			int r;

			assert_int_equal(scp_new(&want, &w.s), 0);
			r = play(&w, c[i].script, step);
			scp_end(w.s);
			assert_string_equal(w.begun, "");
			if (r != c[i].want || strcmp(w.list, c[i].list) != 0 ||
			    strcmp(w.out[SCP_TARGET], c[i].target) != 0)
				fail_msg(
				    "%zu, %zu bytes at once: %d, %s\n%s\n%s", i,
				    step, r, scp_error(w.s), w.list,
				    w.out[SCP_TARGET]);
			assert_int_equal(
			    r == ERR_PROTO, scp_error(w.s)[0] != '\0');
			scp_free(w.s);
		}
	}
}

/* Folders in folders, and no more than so many. */
static void
t_scp_depth(void **state)
{
	struct world w = { .s = NULL };
	const struct scp_want want = { .write = true,
		.recurse = true,
		.into = true,
		.path = "/srv",
		.judge = judge,
		.entry = entry,
		.arg = &w };

	(void)state;
	assert_int_equal(scp_new(&want, &w.s), 0);
	assert_int_equal(feed(&w, SCP_TARGET, "", 1, 1), 0);
	for (size_t i = 0; i < SCP_DEPTH_MAX; i++) {
		assert_int_equal(feed(&w, SCP_JOB, "D0755 0 d\n", 10, 10), 0);
		assert_int_equal(feed(&w, SCP_TARGET, "", 1, 1), 0);
	}
	assert_int_equal(feed(&w, SCP_JOB, "D0755 0 d\n", 10, 10), ERR_PROTO);
	scp_free(w.s);
}

static void
t_scp_path(void **state)
{
	static const char *const bad[] = { "", "a", "/", "/a/", "/a/../b",
		"//a" };
	struct scp_want want = { .judge = judge, .entry = entry };
	struct scp *s;

	(void)state;
	for (size_t i = 0; i < N(bad); i++) {
		want.path = bad[i];
		assert_int_equal(scp_new(&want, &s), ERR_FORMAT);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_scp_scripts),
		cmocka_unit_test(t_scp_depth),
		cmocka_unit_test(t_scp_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
