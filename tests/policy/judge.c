/*
 * Many decisions of many policies in one process, for tests in other
 * languages.  Reads lines, answers each with one line:
 *
 *	load PATH...				ok, or `error`
 *	export					the policy's JSON
 *	split HEX				what a command's text is made of
 *	vars NAME=VALUE...			asked about with each answer
 *	ask IDENTITY WHERE PTY TIME LIST	tab between them
 *	file IDENTITY WHERE PTY TIME ACCESS WAY PATH
 *	git IDENTITY WHERE PTY TIME ACCESS REF PATH	REF may be empty
 *	shell IDENTITY WHERE PTY TIME
 *	judge IDENTITY WHERE PTY TIME CLAIMS KIND WHAT...
 *
 * CLAIMS are NAME=VALUE with commas between them; WHAT is the command, or a
 * path and the way of a file or the ref of a repository.
 *
 * The answer to these is `syntax`, `nobody` for who is not the identity, or for
 * each command of the list, with `/` between them, verdict, rule, identity,
 * pty, stdin, stdin_max, transfer_max, no_delete, no_symlinks, text_only,
 * record_input, record_full, duration, output, concurrent, rate, rate_per,
 * masks, approvals, and which of the variables go along: tab between them.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/diag.h"
#include "lib/str.h"
#include "policy/command.h"
#include "policy/decide.h"
#include "policy/export.h"
#include "policy/model.h"
#include "policy/policy.h"
#include "policy/show.h"
#include "policy/whatif.h"

#define FIELDS 7
#define VARS_MAX 32

/* What `vars` said. */
static struct {
	char *text, *var[VARS_MAX];
	size_t n;
} vars;

static void
load(const char *path, struct policy **p)
{
	struct diags *d = diags_new();
	struct buf b;

	policy_free(*p);
	*p = NULL;
	buf_init(&b, 1 << 20);
	if (policy_load_files(&path, 1, d, p) == 0) {
		puts("ok");
	} else {
		(void)diags_print(d, &b);
		fprintf(stderr, "%s", buf_cstr(&b));
		puts("error");
	}
	buf_clear(&b);
	diags_free(d);
}

static void
put_set(const uint64_t *set, size_t n)
{
	putchar('\t');
	for (size_t i = 0; i < n; i++) {
		if ((set[i / 64] >> (i % 64) & 1) != 0)
			printf("%zu,", i);
	}
}

/* Two rules may spell the same mask: it is one. */
static void
put_masks(const struct policy *p, const uint64_t *set)
{
	const struct mask *m, *other;
	size_t k;

	putchar('\t');
	for (size_t i = 0; (m = policy_mask(p, i)) != NULL; i++) {
		for (k = 0; k < i; k++) {
			other = policy_mask(p, k);
			if ((set[k / 64] >> (k % 64) & 1) != 0 &&
			    strcmp(m->text, other->text) == 0)
				break;
		}
		if ((set[i / 64] >> (i % 64) & 1) != 0 && k == i)
			printf("%zu,", i);
	}
}

static void
set_vars(const char *text)
{
	char *s;

	free(vars.text);
	vars.n = 0;
	if ((s = vars.text = strdup(text)) == NULL)
		abort();
	while (vars.n < VARS_MAX && s != NULL) {
		vars.var[vars.n] = strsep(&s, "\t");
		if (strchr(vars.var[vars.n++], '=') == NULL)
			abort();
	}
	puts("ok");
}

static void
put_vars(const struct request *q, const struct decision *d)
{
	putchar('\t');
	for (size_t i = 0; i < vars.n; i++) {
		if (decide_env(q, d, vars.var[i]))
			printf("%zu,", i);
	}
}

static void
answer(const struct request *q, const struct decision *d)
{
	const struct policy *p = q->policy;

	printf("%s\t%s\t%s\t%d\t%d\t%" PRIu64 "\t%" PRIu64
	       "\t%d\t%d\t%d\t%d\t%d\t%u\t%" PRIu64 "\t%u\t%u\t%u",
	    show_verdict(d), d->rule_name,
	    d->identity_name == NULL ? "" : d->identity_name, d->pty,
	    d->stdin_ok, d->stdin_max, d->transfer_max, d->no_delete,
	    d->no_symlinks, d->text_only, d->record_input, d->record_full,
	    d->limit.duration_s, d->limit.output, d->limit.concurrent,
	    d->limit.rate, d->limit.rate_per_s);
	put_masks(p, d->masks);
	put_set(d->approvals, DECISION_APPROVALS_MAX);
	put_vars(q, d);
}

/* Up to n fields, tab between them; the last one may hold tabs. */
static void
fields(char *line, char **f, size_t n)
{
	f[0] = line;
	for (size_t i = 1; i < n; i++) {
		f[i] = strchr(f[i - 1], '\t');
		if (f[i] == NULL)
			abort();
		*f[i]++ = '\0';
	}
}

static void
decide_list(struct request *q, const char *text)
{
	struct command_error err;
	struct decision d;
	struct list l;

	if (list_parse(text, strlen(text), LIST_LINE, &l, &err) != 0) {
		printf("syntax");
		return;
	}
	for (size_t i = 0; i < l.n; i++) {
		q->command = &l.command[i];
		decide(q, &d);
		printf("%s", i > 0 ? "/" : "");
		answer(q, &d);
	}
	list_clear(&l);
}

static void
decide_other(struct request *q, char kind, char **f)
{
	static const char *const way[] = { "sftp", "scp-legacy", "rsync" };
	bool write = kind != 's' && strcmp(f[4], "write") == 0;
	struct decision d;

	switch (kind) {
	case 'f':
		q->kind = write ? REQUEST_WRITE : REQUEST_READ;
		for (unsigned int i = 0; i < 3; i++)
			q->how |= strcmp(f[5], way[i]) == 0 ? 1U << i : 0;
		break;
	case 'g':
		q->kind = write ? REQUEST_GIT_WRITE : REQUEST_GIT_READ;
		q->ref = *f[5] == '\0' ? NULL : f[5];
		break;
	default:
		q->kind = REQUEST_INTERACTIVE;
	}
	if (kind != 's')
		q->path = f[6];
	decide(q, &d);
	answer(q, &d);
}

static void
ask(const struct policy *p, char kind, char *line)
{
	char *f[FIELDS];
	struct user_name u;
	struct whatif w;

	fields(line, f, kind == 'a' ? 5 : kind == 's' ? 4 : FIELDS);
	if (user_name_parse(f[1], &u) != 0 ||
	    whatif_init(&w, p, f[0], NULL) != 0)
		abort();
	w.q.pty = f[2][0] == '1';
	w.q.now = (time_t)strtoll(f[3], NULL, 10);
	if (!whatif_is_somebody(&w) || whatif_where(&w, u.target, u.login) != 0)
		printf("nobody");
	else if (kind == 'a')
		decide_list(&w.q, f[4]);
	else
		decide_other(&w.q, kind, f);
	putchar('\n');
	whatif_clear(&w);
}

static enum request_kind
kind_of(const char *name)
{
	static const char *const names[] = { [REQUEST_RUN] = "run",
		[REQUEST_READ] = "read",
		[REQUEST_WRITE] = "write",
		[REQUEST_GIT_READ] = "git read",
		[REQUEST_GIT_WRITE] = "git write",
		[REQUEST_INTERACTIVE] = "interactive" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], name) == 0)
			return (enum request_kind)i;
	}
	abort();
}

static void
set_claims(char *text, struct claims *cs)
{
	char *eq, *end;

	for (; *text != '\0'; text = end) {
		end = text + strcspn(text, ",");
		if (*end != '\0')
			*end++ = '\0';
		if ((eq = strchr(text, '=')) == NULL)
			abort();
		*eq = '\0';
		if (claims_set(cs, text, eq + 1) != 0)
			abort();
	}
}

#define JUDGE_SENT_MAX 4

/* What is behind the command was sent with it. */
static void
set_sent(struct request *q, char *const *var, size_t n)
{
	for (vars.n = 0; vars.n < n; vars.n++)
		vars.var[vars.n] = var[vars.n];
	q->sent = (const char *const *)vars.var;
	q->nsent = n;
}

/* With exactly these claims. */
static void
judge(const struct policy *p, char *line)
{
	char *f[7 + JUDGE_SENT_MAX] = { line };
	size_t n = 1, max = sizeof(f) / sizeof(f[0]);
	struct command_error err;
	struct command *c = NULL;
	struct user_name u;
	struct whatif w;
	struct decision d;

	for (; n < max && (f[n] = strchr(f[n - 1], '\t')) != NULL; n++)
		*f[n]++ = '\0';
	if (n < 6 || user_name_parse(f[1], &u) != 0 ||
	    whatif_init(&w, p, f[0], NULL) != 0)
		abort();
	claims_clear(&w.claims);
	set_claims(f[4], &w.claims);
	memset(w.set, 0, p->nidentity * sizeof(*w.set));
	(void)policy_match(p, w.identity->issuer->pub.name, &w.claims, w.set);
	w.q.kind = kind_of(f[5]);
	w.q.pty = f[2][0] == '1';
	w.q.now = (time_t)strtoll(f[3], NULL, 10);
	if (w.q.kind != REQUEST_RUN && n > 6)
		w.q.path = f[6];
	if (n > 7 && (w.q.kind == REQUEST_READ || w.q.kind == REQUEST_WRITE))
		w.q.how = strcmp(f[7], "rsync") == 0  ? BY_RSYNC
			  : strcmp(f[7], "sftp") == 0 ? BY_SFTP
						      : BY_SCP_LEGACY;
	else if (n > 7 && w.q.kind == REQUEST_RUN)
		set_sent(&w.q, f + 7, n - 7);
	else if (n > 7 && *f[7] != '\0')
		w.q.ref = f[7];
	if (w.q.kind == REQUEST_RUN &&
	    command_parse(f[6], strlen(f[6]), &c, &err) != 0) {
		puts("syntax");
	} else if (whatif_where(&w, u.target, u.login) != 0) {
		puts("nobody");
	} else {
		w.q.command = c;
		decide(&w.q, &d);
		answer(&w.q, &d);
		putchar('\n');
	}
	vars.n = 0;
	whatif_clear(&w);
	command_free(c);
}

/* -- the parser alone
 * ---------------------------------------------------- */

static void
put_hex(int mark, const char *s)
{
	putchar(mark);
	for (; *s != '\0'; s++)
		printf("%02x", (unsigned int)(unsigned char)*s);
}

/* For each command how it is joined (0, or & | ; of enum connect), each of
 * its variables behind `$`, each of its words behind `=`; a folder behind `@`,
 * and `^` between programs. */
static void
put_list(const struct list *l)
{
	static const char connect[] = { [CONNECT_FIRST] = '0',
		[CONNECT_AND] = '&',
		[CONNECT_OR] = '|',
		[CONNECT_THEN] = ';',
		[CONNECT_LINE] = 'n' };

	for (size_t i = 0; i < l->n; i++) {
		const struct command *c = &l->command[i];

		printf("%s%c", i > 0 ? " " : "", connect[l->connect[i]]);
		if (c->dir != NULL)
			put_hex('@', c->dir);
		for (size_t k = 0; k < c->nstage; k++) {
			if (k > 0)
				putchar('^');
			for (size_t n = 0; n < c->stage[k].nassign; n++)
				put_hex('$', c->stage[k].assign[n]);
			for (size_t n = 0; n < c->stage[k].argc; n++)
				put_hex('=', c->stage[k].argv[n]);
		}
	}
	putchar('\n');
}

static void
split(const char *hex)
{
	struct command_error err;
	struct list l;
	size_t n = strlen(hex) / 2;
	char *text = malloc(n + 1), two[3] = { 0 };

	if (text == NULL)
		abort();
	for (size_t i = 0; i < n; i++) {
		memcpy(two, hex + 2 * i, 2);
		text[i] = (char)strtoul(two, NULL, 16);
	}
	if (list_parse(text, n, LIST_LINE, &l, &err) != 0) {
		puts("no");
	} else {
		put_list(&l);
		list_clear(&l);
	}
	free(text);
}

int
main(void)
{
	struct policy *p = NULL;
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	struct buf b;

	while ((n = getline(&line, &cap, stdin)) > 0) {
		line[n - 1] = '\0';
		if (strncmp(line, "load ", 5) == 0) {
			load(line + 5, &p);
		} else if (strcmp(line, "export") == 0) {
			buf_init(&b, EXPORT_MAX);
			if (policy_export(p, &b) != 0)
				abort();
			printf("%s\n", buf_cstr(&b));
			buf_clear(&b);
		} else if (strncmp(line, "vars ", 5) == 0) {
			set_vars(line + 5);
		} else if (strncmp(line, "judge\t", 6) == 0) {
			judge(p, line + 6);
		} else if (strncmp(line, "split ", 6) == 0) {
			split(line + 6);
		} else {
			ask(p, line[0], strchr(line, ' ') + 1);
		}
		fflush(stdout);
	}
	free(line);
	free(vars.text);
	policy_free(p);
	return 0;
}
