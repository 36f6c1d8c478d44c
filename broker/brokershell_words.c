/*
 * What a broker shell tells of the rules: the lines that may be run here, and
 * the words that may come next.  Runs in the policy process.  It tells of the
 * allow rules that apply to this session, to this target and now, and so
 * nothing that `can` would not say of each of these commands.
 */
#include "config.h"

#include <string.h>

#include "broker/brokershell_internal.h"
#include "broker/lock.h"
#include "broker/peer.h"
#include "broker/policy.h"
#include "broker/session.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "policy/words.h"

#define HELP_LEFT 1024 /* of an answer, for what stands around a list */

int
brokershell_put(void *arg, const char *text, size_t n)
{
	struct shell_list *l = arg;

	if (l->left > 0 || buf_len(l->out) + n + HELP_LEFT > PROTO_TEXT_MAX) {
		l->left++;
		return 0;
	}
	l->n++;
	return buf_putf(l->out, "  %.*s\n", (int)n, text);
}

void
brokershell_put_end(const struct shell_list *l, const char *none)
{
	if (l->n == 0)
		(void)buf_putf(l->out, "  %s at this time\n", none);
	if (l->left > 0)
		(void)buf_putf(l->out, "  and %zu more\n", l->left);
}

void
brokershell_help(
    const struct operation *op, const struct user_name *place, struct buf *out)
{
	struct shell_list h = { .out = out };
	char name[PLACE_SIZE];
	struct request q;

	judge_request(op->conn, place, false, &q);
	(void)buf_putf(out,
	    "Each line is run on %s by itself, decided and recorded like "
	    "`ssh %s@BASTION COMMAND`.\nThe rules give you:\n",
	    place->target, place_name(place, name));
	(void)words_lines(&q, brokershell_put, &h);
	brokershell_put_end(&h, "no command");
	(void)buf_putf(out,
	    "<…> stands for a value, ( | ) for one of these, [ ] for what may "
	    "be left out.\n"
	    "Words of this shell: help; cd DIR, for rules with `run in`; cd; "
	    "exit [STATUS].\n"
	    "Tab completes, the arrows bring back lines, Ctrl-C drops a line "
	    "or interrupts\nwhat runs, Ctrl-D on an empty line leaves.\n");
	if (op->hosts->inside)
		(void)buf_putf(out,
		    "Leaving leads back to postern@; there it ends the "
		    "shell.\n");
}

/* The words of an answer.  Of those that find no room in it one is told all the
 * same, the one that has the least in common with the first: what all that are
 * told begin with, all begin with. */
struct found_words {
	struct msg *m;
	uint32_t n;
	char first[WORDS_WORD_MAX], odd[WORDS_WORD_MAX];
	size_t nfirst, nodd, common; /* nodd 0: there was room */
};

static int
add_word(struct found_words *f, const char *word, size_t n)
{
	int r = buf_put_str(&f->m->body, word, n);

	f->n += r == 0;
	return r;
}

static void
leave_word(struct found_words *f, const char *word, size_t n)
{
	size_t k = 0;

	while (k < n && k < f->nfirst && word[k] == f->first[k])
		k++;
	if (f->nodd > 0 && k >= f->common)
		return;
	memcpy(f->odd, word, n);
	f->nodd = n;
	f->common = k;
}

static int
put_word(void *arg, const char *word, size_t n)
{
	const size_t odd = 4 + WORDS_WORD_MAX;
	struct found_words *f = arg;

	if (n == 0 || n > WORDS_WORD_MAX)
		return 0;
	if (f->n == 0) {
		memcpy(f->first, word, n);
		f->nfirst = n;
	}
	if (f->n < PROTO_WORDS_MAX - 1 &&
	    buf_len(&f->m->body) + 4 + n + odd <= PROTO_TEXT_MAX)
		return add_word(f, word, n);
	leave_word(f, word, n);
	return 0;
}

int
brokershell_words(struct operation *op, struct msg *m)
{
	const struct brokershell *s = op->hosts;
	struct msg words, answer;
	struct found_words f = { .m = &words };
	const uint8_t *text;
	size_t n, partial = 0;
	struct request q;
	int r;

	if ((r = buf_get_view(&m->body, PROTO_COMMAND_MAX, &text, &n)) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	msg_init(&words, MSG_WORDS_ARE);
	msg_init(&answer, MSG_WORDS_ARE);
	answer.id = m->id;
	if (lock_now()->on || op->conn->session->over) {
		r = 0; /* nothing is told of the rules, then */
	} else if (s->control && !s->inside) {
		r = brokershell_targets_words(
		    op, (const char *)text, n, &partial, put_word, &f);
	} else {
		judge_request(op->conn, &s->place, false, &q);
		r = words_next(
		    &q, s->dir, (const char *)text, n, &partial, put_word, &f);
	}
	if (r == 0 && f.nodd > 0)
		r = add_word(&f, f.odd, f.nodd);
	if (r != 0) /* there is none to tell */
		f.n = 0;
	if ((r = buf_put_u32(&answer.body, (uint32_t)partial)) == 0 &&
	    (r = buf_put_u32(&answer.body, f.n)) == 0 && f.n > 0)
		r = buf_put(
		    &answer.body, buf_ptr(&words.body), buf_len(&words.body));
	if (r == 0)
		r = peer_send(op->shell, &answer);
	msg_clear(&words);
	msg_clear(&answer);
	return r;
}
