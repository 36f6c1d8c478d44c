/*
 * The broker shell of postern@, in the policy process: its lines are words of
 * the control surface, or name a target.  A target's name alone enters it: what
 * follows is as in that target's own shell, up to the way back.  With words
 * behind it, they are one line of that target's.
 *
 * It is one more door to what `ssh TARGET@BASTION` leads to, and MUST be no
 * wider: sshd lets a certificate in by the names that it has, and so does this.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "broker/brokershell_internal.h"
#include "broker/lock.h"
#include "broker/policy.h"
#include "broker/session.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "policy/model.h"
#include "policy/policy.h"

/* Of the control surface, in byte order; a target of such a name is entered as
 * LOGIN+TARGET. */
static const char *const own[] = { "can", "help", "login", "targets",
	"whoami" };

#define NOWN (sizeof(own) / sizeof(own[0]))

/* A line: its first word, and what stands behind it. */
struct typed {
	const char *word, *rest;
	size_t nword, nrest;
};

static size_t
blanks(const char *s, size_t n)
{
	size_t at = 0;

	while (at < n && (s[at] == ' ' || s[at] == '\t'))
		at++;
	return at;
}

static void
split(const char *s, size_t n, struct typed *t)
{
	size_t at = blanks(s, n);

	*t = (struct typed){ .word = s + at };
	n -= at;
	while (t->nword < n && t->word[t->nword] != ' ' &&
	       t->word[t->nword] != '\t')
		t->nword++;
	t->rest = t->word + t->nword;
	at = blanks(t->rest, n - t->nword);
	t->rest += at;
	t->nrest = n - t->nword - at;
}

static bool
is_own(const struct typed *t)
{
	for (size_t i = 0; i < NOWN; i++) {
		if (strlen(own[i]) == t->nword &&
		    memcmp(own[i], t->word, t->nword) == 0)
			return true;
	}
	return false;
}

/* Is that target entered by its login's name alone?  exit and logout are
 * postern-shell's words. */
static bool
is_hidden(const char *target)
{
	const struct typed t = { .word = target, .nword = strlen(target) };

	return is_own(&t) || strcmp(target, "exit") == 0 ||
	       strcmp(target, "logout") == 0;
}

/* Is the word of the form of a user name? */
static bool
is_place(const struct typed *t, struct user_name *place)
{
	char name[PLACE_SIZE];

	if (t->nword >= sizeof(name) || memchr(t->word, '\0', t->nword) != NULL)
		return false;
	memcpy(name, t->word, t->nword);
	name[t->nword] = '\0';
	return user_name_parse(name, place) == 0;
}

/* -- what is told -----------------------------------------------------------
 */

/* Each place that may be entered from here. */
struct places {
	const struct connection *conn;
	words_fn fn;
	void *arg;
};

static int
tell_place(void *arg, const struct target *t, const char *login, bool denied)
{
	const struct places *x = arg;
	struct user_name place = { .login = "" };
	char name[PLACE_SIZE];

	(void)denied;
	if (((strcmp(login, t->login) != 0 || is_hidden(t->name)) &&
		str_copy(place.login, sizeof(place.login), login) != 0) ||
	    str_copy(place.target, sizeof(place.target), t->name) != 0 ||
	    !session_may_name(x->conn, place_name(&place, name)))
		return 0;
	return x->fn(x->arg, name, strlen(name));
}

static int
tell_places(const struct connection *conn, words_fn fn, void *arg)
{
	struct places x = { conn, fn, arg };

	if (policy_now() == NULL)
		return 0;
	return policy_reach(policy_now(), conn->session->identity,
	    policy_time(), tell_place, &x);
}

static void
say_help(const struct connection *conn, struct buf *out)
{
	struct shell_list h = { .out = out };

	(void)buf_putf(out,
	    "A target's name enters it; with a command behind it, that one "
	    "line is run\nthere, decided and recorded like `ssh TARGET@BASTION "
	    "COMMAND`.  Targets here:\n");
	(void)tell_places(conn, brokershell_put, &h);
	brokershell_put_end(&h, "none");
	(void)buf_putf(out,
	    "Words of this shell:\n"
	    "  whoami               what your token proved, and as whom you "
	    "are known\n"
	    "  targets              the user names that some rule gives you\n"
	    "  can TARGET COMMAND   would this be allowed, and why; nothing is "
	    "run\n"
	    "  help                 this text; in a target, what the rules "
	    "give you there\n"
	    "  exit [STATUS]        out of a target, or of this shell; so does "
	    "Ctrl-D\n"
	    "Tab completes words, targets and commands.\n");
}

/* -- completion -------------------------------------------------------------
 */

struct found {
	const struct typed *typed;
	words_fn fn;
	void *arg;
};

static int
found_word(void *arg, const char *word, size_t n)
{
	const struct found *f = arg;
	const struct typed *t = f->typed;

	if (n < t->nword || memcmp(word, t->word, t->nword) != 0)
		return 0;
	return f->fn(f->arg, word, n);
}

int
brokershell_targets_words(const struct operation *op, const char *text,
    size_t n, size_t *partial, words_fn fn, void *arg)
{
	struct user_name place;
	char name[PLACE_SIZE];
	struct typed t, first;
	struct found f = { .typed = &t, .fn = fn, .arg = arg };
	struct request q;
	int r = 0;

	split(text, n, &t);
	first = t;
	if (t.nword == 3 && memcmp(t.word, "can", 3) == 0 &&
	    t.rest > t.word + t.nword)
		split(t.rest, t.nrest, &t);
	if (t.rest > t.word + t.nword) { /* a blank: that word is whole */
		if (is_own(&first) != (t.word != first.word) ||
		    !is_place(&t, &place) ||
		    !session_may_name(op->conn, place_name(&place, name)))
			return 0;
		judge_request(op->conn, &place, false, &q);
		return words_next(&q, NULL, t.rest, t.nrest, partial, fn, arg);
	}
	*partial = t.nword;
	for (size_t i = 0; i < NOWN && r == 0 && t.word == first.word; i++)
		r = found_word(&f, own[i], strlen(own[i]));
	return r != 0 ? r : tell_places(op->conn, found_word, &f);
}

/* -- a line -----------------------------------------------------------------
 */

static void
own_line(struct operation *op, struct operation *line, const struct ask *a,
    const struct typed *t)
{
	struct buf out;

	if (lock_now()->on) {
		operation_locked(line, op->conn, a, true);
		return;
	}
	if (t->nword != 4 || memcmp(t->word, "help", 4) != 0 || t->nrest > 0) {
		operation_words(line, op->conn, a);
		return;
	}
	buf_init(&out, PROTO_TEXT_MAX);
	say_help(op->conn, &out);
	brokershell_done(line, &out);
	buf_clear(&out);
}

/* The certificate is another's business: what it does not name is not looked
 * up, and so is answered alike whether it is there or not. */
static void
not_named(struct operation *line, struct connection *conn, const struct ask *a)
{
	const struct decision none = { .rule_name = "default" };
	char name[PLACE_SIZE];
	struct buf text;

	buf_init(&text, PROTO_TEXT_MAX);
	(void)buf_putf(&text,
	    conn->names == NULL
		? "postern: denied: the broker was restarted since this "
		  "connection was opened, and does not know which names its "
		  "certificate has; connect again to use `%s`\n"
		: "postern: denied: this connection's certificate is not for "
		  "the user name `%s`; `help` lists those that it is for\n",
	    place_name(&line->place, name));
	operation_deny(line, conn, &none, a, POSTERN_EX_DENIED, &text);
	buf_clear(&text);
}

static void
enter(struct operation *op, struct operation *line, const struct ask *a)
{
	struct brokershell *s = op->hosts;

	if (!brokershell_reaches(op->conn, &line->place)) {
		operation_no_shell(line, op->conn, a);
		return;
	}
	s->place = line->place;
	s->inside = true;
	brokershell_moved(line);
}

static void
place_line(struct operation *op, struct operation *line, const struct ask *a)
{
	static const char help[] = "help";
	char name[PLACE_SIZE];
	struct buf out;

	if (lock_now()->on) {
		operation_locked(line, op->conn, a, false);
	} else if (!session_may_name(
		       op->conn, place_name(&line->place, name))) {
		not_named(line, op->conn, a);
	} else if (a->ncommand == 0) {
		enter(op, line, a);
	} else if (a->ncommand == sizeof(help) - 1 &&
		   memcmp(a->command, help, a->ncommand) == 0) {
		buf_init(&out, PROTO_TEXT_MAX);
		brokershell_help(op, &line->place, &out);
		brokershell_done(line, &out);
		buf_clear(&out);
	} else {
		brokershell_judge(line, a);
	}
}

void
brokershell_targets_line(
    struct operation *op, struct operation *line, const struct ask *a)
{
	struct ask there = *a;
	struct typed t;

	split((const char *)a->command, a->ncommand, &t);
	if (is_own(&t)) {
		own_line(op, line, a, &t);
		return;
	}
	if (!is_place(&t, &line->place)) {
		operation_refuse(line, POSTERN_EX_USAGE,
		    "a line here begins with the name of a target, or with one "
		    "of the words that `help` lists");
		return;
	}
	there.command = (const uint8_t *)t.rest;
	there.ncommand = t.nrest;
	while (there.ncommand > 0 && blanks(t.rest + there.ncommand - 1, 1) > 0)
		there.ncommand--;
	place_line(op, line, &there);
}

int
brokershell_targets_leave(struct operation *op, struct msg *m)
{
	struct brokershell *s = op->hosts;
	int r;

	if ((r = msg_end(m)) != 0)
		return r;
	s->inside = false;
	s->place = op->conn->name;
	free(s->dir);
	s->dir = NULL;
	if (brokershell_prompt(op) != 0 ||
	    operation_answer(op, 0, NULL, NULL) != 0)
		brokershell_unsaid(op);
	return 0;
}
