/*
 * What the tools of `postern policy` share: options, loading, who and where
 * is asked about.
 */
#include "config.h"

#include "cli/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/utc.h"
#include "cli/cli.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/diag.h"
#include "lib/err.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "policy/command.h"
#include "policy/model.h"
#include "policy/policy.h"
#include "policy/show.h"
#include "policy/whatif.h"

/* -- options
 * ------------------------------------------------------------------- */

static const struct option ask_options[] = {
	{ "as", required_argument, NULL, 's' },
	{ "on", required_argument, NULL, 'n' },
	{ "policy", required_argument, NULL, 'p' },
	{ "claim", required_argument, NULL, 'c' },
	{ "pty", no_argument, NULL, 't' },
	{ "stdin", no_argument, NULL, 'i' },
	{ "at", required_argument, NULL, '@' },
	{ "budget", required_argument, NULL, 'b' },
	{ "json", no_argument, NULL, 'j' },
	{ "old", required_argument, NULL, 'O' },
	{ "ledger", required_argument, NULL, 'L' },
	{ "since", required_argument, NULL, 'S' },
	{ "check", no_argument, NULL, 'k' },
	{ "env", required_argument, NULL, 'e' },
	{ "read", required_argument, NULL, 'r' },
	{ "write", required_argument, NULL, 'w' },
	{ "by", required_argument, NULL, 'y' },
	{ "git-read", required_argument, NULL, 'g' },
	{ "git-write", required_argument, NULL, 'G' },
	{ "ref", required_argument, NULL, 'f' },
	{ "interactive", no_argument, NULL, 'I' },
	{ NULL, 0, NULL, 0 },
};

/* All of them are one letter for a tool: x. */
#define ACCESS_OPTIONS "rwygGfI"

static int
add_claim(struct ask *a, const char *text)
{
	const char *eq = strchr(text, '=');
	char name[PROTO_CLAIM_NAME_MAX + 1];
	size_t n = eq == NULL ? 0 : (size_t)(eq - text);

	if (n == 0 || n >= sizeof(name)) {
		cli_error("--claim wants NAME=VALUE, not `%s'", text);
		return POSTERN_EX_USAGE;
	}
	memcpy(name, text, n);
	name[n] = '\0';
	if (claims_set(&a->claim, name, eq + 1) != 0) {
		cli_error("--claim %s: too long, or too many claims", name);
		return POSTERN_EX_USAGE;
	}
	return 0;
}

static int
add_sent(struct ask *a, const char *text)
{
	if (env_name_len(text) == 0) {
		cli_error("--env wants NAME=VALUE, not `%s'", text);
		return POSTERN_EX_USAGE;
	}
	if (a->nsent == ASK_SENT_MAX) {
		cli_error("--env: more than %d variables", ASK_SENT_MAX);
		return POSTERN_EX_USAGE;
	}
	a->sent[a->nsent++] = text;
	return 0;
}

static int
set_time(struct ask *a, const char *text)
{
	struct tm tm = { 0 };
	const char *end = strptime(text, "%Y-%m-%dT%H:%M", &tm);

	if (end != NULL && *end == ':')
		end = strptime(end, ":%S", &tm);
	if (end == NULL || strcmp(end, "Z") != 0) {
		cli_error("--at wants a time in UTC as 2026-11-24T10:00Z, not "
			  "`%s'",
		    text);
		return POSTERN_EX_USAGE;
	}
	a->now = timegm(&tm);
	return 0;
}

static int
set_budget(struct ask *a, const char *text)
{
	uint64_t n;

	if (num_parse(text, 1, 86400, &n) != 0) {
		cli_error("--budget wants seconds, 1 to 86400");
		return POSTERN_EX_USAGE;
	}
	a->budget_s = (unsigned int)n;
	return 0;
}

static int
set_since(struct ask *a, const char *text)
{
	if (utc_since(text, utc_now_ms(), &a->since_ms) == 0)
		return 0;
	cli_error("--since wants a day (2026-11-24), a time "
		  "(2026-11-24T10:00:00Z) or an age (30d, 24h), not `%s'",
	    text);
	return POSTERN_EX_USAGE;
}

static int
set_kind(struct ask *a, enum request_kind kind, const char *path)
{
	if (a->kind != REQUEST_RUN) {
		cli_error("one thing can be asked for at a time");
		return POSTERN_EX_USAGE;
	}
	a->kind = kind;
	a->path = path;
	return 0;
}

static int
set_way(struct ask *a, const char *text)
{
	a->how = strcmp(text, "sftp") == 0         ? BY_SFTP
		 : strcmp(text, "scp-legacy") == 0 ? BY_SCP_LEGACY
		 : strcmp(text, "rsync") == 0      ? BY_RSYNC
						   : 0;
	if (a->how != 0)
		return 0;
	cli_error("--by wants sftp, scp-legacy or rsync");
	return POSTERN_EX_USAGE;
}

static int
take_access(struct ask *a, int c)
{
	switch (c) {
	case 'r':
		return set_kind(a, REQUEST_READ, optarg);
	case 'w':
		return set_kind(a, REQUEST_WRITE, optarg);
	case 'y':
		return set_way(a, optarg);
	case 'g':
		return set_kind(a, REQUEST_GIT_READ, optarg);
	case 'G':
		return set_kind(a, REQUEST_GIT_WRITE, optarg);
	case 'f':
		a->ref = optarg;
		return 0;
	default:
		return set_kind(a, REQUEST_INTERACTIVE, NULL);
	}
}

/* Do the options about what is asked for go together? */
static int
check_access(const struct ask *a)
{
	bool file = a->kind == REQUEST_READ || a->kind == REQUEST_WRITE;
	bool git = a->kind == REQUEST_GIT_READ || a->kind == REQUEST_GIT_WRITE;

	if (file != (a->how != 0)) {
		cli_error("--read and --write want --by sftp, scp-legacy or "
			  "rsync, and nothing else does");
		return POSTERN_EX_USAGE;
	}
	if (a->nsent > 0 && a->kind != REQUEST_RUN) {
		cli_error("--env wants a command");
		return POSTERN_EX_USAGE;
	}
	if (a->ref != NULL && !git) {
		cli_error("--ref wants --git-read or --git-write");
		return POSTERN_EX_USAGE;
	}
	return 0;
}

static int
take_option(struct ask *a, int c)
{
	if (strchr(ACCESS_OPTIONS, c) != NULL)
		return take_access(a, c);
	switch (c) {
	case 's':
		a->as = optarg;
		return 0;
	case 'n':
		a->on = optarg;
		return 0;
	case 'p':
		a->policy = optarg;
		return 0;
	case 'c':
		return add_claim(a, optarg);
	case 'e':
		return add_sent(a, optarg);
	case 't':
		a->pty = true;
		return 0;
	case 'i':
		a->stdin_ok = true;
		return 0;
	case 'k':
		a->check = true;
		return 0;
	case 'b':
		return set_budget(a, optarg);
	case 'O':
		a->old = optarg;
		return 0;
	case 'L':
		a->ledger = optarg;
		return 0;
	case 'S':
		return set_since(a, optarg);
	case '@':
		return set_time(a, optarg);
	default:
		a->json = true;
		return 0;
	}
}

int
ask_parse(struct ask *a, int argc, char **argv, const char *accepted)
{
	const char *form = *accepted == '+' ? "+" : "";
	bool access;
	int c, r;

	*a = (struct ask){ .now = time(NULL), .budget_s = 60 };
	while ((c = getopt_long(argc, argv, form, ask_options, NULL)) != -1) {
		access = c != '?' && strchr(ACCESS_OPTIONS, c) != NULL;
		if (c == '?' || strchr(accepted, access ? 'x' : c) == NULL) {
			if (c != '?')
				cli_error("this tool has no option for that");
			return cli_usage();
		}
		if ((r = take_option(a, c)) != 0)
			return r;
	}
	return check_access(a);
}

void
ask_clear(struct ask *a)
{
	claims_clear(&a->claim);
}

int
ask_where(struct whatif *w, const char *on)
{
	struct user_name u;
	int r = user_name_parse(on, &u);

	if (r != 0) {
		cli_error("`%s' is no TARGET or LOGIN+TARGET", on);
		return POSTERN_EX_USAGE;
	}
	if ((r = whatif_where(w, u.target, u.login)) == 0)
		return 0;
	if (w->q.target == NULL)
		cli_error("the policy has no target `%s'", u.target);
	else
		cli_error("target `%s' has no login `%s'", u.target, u.login);
	return POSTERN_EX_USAGE;
}

void
ask_fill(const struct ask *a, const struct command *c, struct request *q)
{
	q->kind = a->kind;
	q->command = c;
	q->path = a->path;
	q->ref = a->ref;
	q->how = a->how;
	q->pty = a->pty;
	q->now = a->now;
	q->sent = a->sent;
	q->nsent = a->nsent;
}

int
ask_commands(const struct ask *a, int argc, char **argv, struct list *out)
{
	struct command_error err;
	struct buf b, said;
	int r = 0;

	if ((argc < 1) != (a->kind != REQUEST_RUN))
		return cli_usage();
	if (a->kind != REQUEST_RUN)
		return 0;
	buf_init(&b, COMMAND_LEN_MAX + 1);
	buf_init(&said, 64 * 1024);
	for (int i = 0; i < argc && r == 0; i++)
		r = buf_putf(&b, "%s%s", i == 0 ? "" : " ", argv[i]);
	if (r == ERR_NOMEM) {
		r = cli_no_memory();
		goto out;
	}
	if (r != 0) {
		cli_error("the command is too long");
		r = POSTERN_EX_USAGE;
		goto out;
	}
	r = list_parse(
	    (const char *)buf_ptr(&b), buf_len(&b), LIST_LINE, out, &err);
	if (r == ERR_NOMEM) {
		r = cli_no_memory();
	} else if (r != 0) {
		if (command_error_print((const char *)buf_ptr(&b), buf_len(&b),
			&err, &said) == 0)
			(void)fwrite(buf_ptr(&said), 1, buf_len(&said), stderr);
		r = POSTERN_EX_USAGE;
	}
out:
	buf_clear(&b);
	buf_clear(&said);
	return r;
}

/* -- loading
 * ----------------------------------------------------------------------- */

static int
load_folder(const char *path, struct diags *d, struct policy **pp)
{
	int dir, r;

	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir == -1) {
		diags_add_file(
		    d, path, "cannot be opened: %s", strerror(errno));
		return ERR_SYS;
	}
	r = policy_load_folder(dir, path, d, pp);
	(void)close(dir);
	return r;
}

static bool
is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int
policy_load_from(
    const char *const *path, size_t n, struct diags *d, struct policy **out)
{
	if (n == 0)
		return load_folder(cli_conf()->policy_folder, d, out);
	if (n == 1 && is_folder(path[0]))
		return load_folder(path[0], d, out);
	return policy_load_files(path, n, d, out);
}

int
policy_of(const char *const *path, size_t n, struct policy **out)
{
	struct diags *d = diags_new();
	struct buf b;
	int r;

	if (d == NULL)
		return cli_no_memory();
	buf_init(&b, 1024 * 1024);
	if ((r = policy_load_from(path, n, d, out)) != 0) {
		if (diags_count(d) == 0)
			cli_error("the policy cannot be read: %s", err_text(r));
		else if (diags_print(d, &b) == 0)
			(void)fwrite(buf_ptr(&b), 1, buf_len(&b), stderr);
	}
	buf_clear(&b);
	diags_free(d);
	return r == 0 ? 0 : CLI_EX_FAILED;
}

int
policy_say(struct buf *b, int r)
{
	if (r != 0)
		cli_error("%s", err_text(r));
	else
		(void)fwrite(buf_ptr(b), 1, buf_len(b), stdout);
	buf_clear(b);
	return r == 0 ? 0 : CLI_EX_FAILED;
}

/* -- what is left out -------------------------------------------------------
 */

/* A deny line that looks at variables: the command's own are compared, those
 * that jobs send are not. */
static const struct run *
looks_at_sent(const struct policy *p)
{
	bool comes = false;

	for (size_t i = 0; i < p->nrule; i++)
		comes |= p->rule[i]->nenv > 0;
	for (size_t i = 0; comes && i < p->nrule; i++) {
		const struct rule *rule = p->rule[i];

		for (size_t k = 0; k < rule->nrun; k++) {
			if (rule->effect == EFFECT_DENY &&
			    rule->run[k]->nassign > 0)
				return rule->run[k];
		}
	}
	return NULL;
}

void
policy_tell_left_out(const struct policy *const *p, size_t n)
{
	const struct run *run = NULL;
	struct buf b;
	size_t i;

	for (i = 0; i < n && run == NULL; i++)
		run = looks_at_sent(p[i]);
	if (run == NULL)
		return;
	buf_init(&b, 4096);
	if (show_place(p[i - 1], &run->at, &b) == 0)
		cli_error("left out: what is denied for a variable that a job "
			  "sends (%s); ask for it by `explain --env'",
		    buf_cstr(&b));
	buf_clear(&b);
}
