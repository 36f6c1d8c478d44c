/*
 * postern.conf.  Read by the parent and handed to the children as text; each
 * parses it again.  The file is root's, but a mistake in it must be reported
 * with its place like one in a policy.
 */
#include "config.h"

#include "lib/conf.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/diag.h"
#include "lib/err.h"
#include "lib/lex.h"
#include "lib/proto.h"
#include "lib/str.h"

#define VALUE_MAX 4095
#define MIB ((uint64_t)1 << 20)

enum conf_kind {
	CONF_PATH,
	CONF_CIDR,
	CONF_SECONDS,
	CONF_COUNT,
	CONF_SIZE,
	CONF_WORD,
};

/* The settings there are.  A number's bounds are min and max; of a word, text
 * has all there are, as a reader sees them, and the number is its place. */
static const struct setting {
	const char *name;
	enum conf_kind kind;
	size_t at;		/* of the member in struct conf */
	uint64_t min, max;
	const char *text; /* default of a path; all words */
	uint64_t number;  /* default of a number or word */
} settings[] = {
	{ "policy-folder", CONF_PATH, offsetof(struct conf, policy_folder), 0,
	    0, POSTERN_SYSCONFDIR "/policy", 0 },
	{ "ca-folder", CONF_PATH, offsetof(struct conf, ca_folder), 0, 0,
	    POSTERN_SYSCONFDIR "/ca", 0 },
	{ "state-folder", CONF_PATH, offsetof(struct conf, state_folder), 0, 0,
	    POSTERN_STATEDIR, 0 },
	{ "run-folder", CONF_PATH, offsetof(struct conf, run_folder), 0, 0,
	    POSTERN_RUNDIR, 0 },
	{ "target-ca-agent", CONF_PATH, offsetof(struct conf, target_ca_agent),
	    0, 0, NULL, 0 },
	{ "job-ca-agent", CONF_PATH, offsetof(struct conf, job_ca_agent), 0, 0,
	    NULL, 0 },
	{ "issuer-ca", CONF_PATH, offsetof(struct conf, issuer_ca), 0, 0, NULL,
	    0 },
	{ "issuer-address", CONF_CIDR, offsetof(struct conf, issuer_address), 0,
	    0, NULL, 0 },
	{ "source-address", CONF_CIDR, offsetof(struct conf, source_address), 0,
	    0, NULL, 0 },
	{ "connect-timeout", CONF_SECONDS,
	    offsetof(struct conf, connect_timeout_s), 1, 300, NULL, 10 },
	{ "handshake-timeout", CONF_SECONDS,
	    offsetof(struct conf, handshake_timeout_s), 1, 300, NULL, 20 },
	{ "server-alive-interval", CONF_SECONDS,
	    offsetof(struct conf, server_alive_interval_s), 1, 3600, NULL, 30 },
	{ "server-alive-count-max", CONF_COUNT,
	    offsetof(struct conf, server_alive_count_max), 1, 100, NULL, 3 },
	{ "login-deadline", CONF_SECONDS,
	    offsetof(struct conf, login_deadline_s), 1, 20, NULL, 10 },
	{ "session-max", CONF_SECONDS, offsetof(struct conf, session_max_s), 60,
	    7 * 86400, NULL, 6 * 3600 },
	{ "shell-idle", CONF_SECONDS, offsetof(struct conf, shell_idle_s), 1,
	    86400, NULL, 900 },
	{ "certificate-lifetime", CONF_SECONDS,
	    offsetof(struct conf, certificate_lifetime_s), 5,
	    PROTO_JOB_CERT_S_MAX, NULL, PROTO_JOB_CERT_S_MAX },
	{ "certificate-source", CONF_WORD,
	    offsetof(struct conf, certificate_source), 0, 0, "any same",
	    CONF_SOURCE_ANY },
	{ "operations-max", CONF_COUNT, offsetof(struct conf, operations_max),
	    1, 65536, NULL, 256 },
	{ "sessions-max", CONF_COUNT, offsetof(struct conf, sessions_max), 1,
	    65536, NULL, 1024 },
	{ "record-text-head", CONF_SIZE,
	    offsetof(struct conf, record_text_head), 1, 1024 * MIB, NULL, MIB },
	{ "record-text-tail", CONF_SIZE,
	    offsetof(struct conf, record_text_tail), 1, 64 * 1024, NULL,
	    64 * 1024 },
	{ "retention-age", CONF_SECONDS, offsetof(struct conf, retention_age_s),
	    60, 100 * 366 * 86400U, NULL, 0 },
	{ "retention-size", CONF_SIZE, offsetof(struct conf, retention_size), 1,
	    (uint64_t)1 << 60, NULL, 0 },
	{ "recording-quota", CONF_SIZE, offsetof(struct conf, recording_quota),
	    1, (uint64_t)1 << 60, NULL, 0 },
	{ "anchor-interval", CONF_SECONDS,
	    offsetof(struct conf, anchor_interval_s), 1, 86400, NULL, 60 },
	{ "anchor-command", CONF_PATH, offsetof(struct conf, anchor_command), 0,
	    0, NULL, 0 },
	{ "anchor-timeout", CONF_SECONDS,
	    offsetof(struct conf, anchor_timeout_s), 1, 300, NULL, 30 },
	{ "ledger-key-lifetime", CONF_SECONDS,
	    offsetof(struct conf, ledger_key_lifetime_s), 5, 3650 * 86400, NULL,
	    90 * 86400 },
	{ "disk-reserve", CONF_SIZE, offsetof(struct conf, disk_reserve), 1,
	    (uint64_t)1 << 50, NULL, 256 * MIB },
};
#define NSETTINGS (sizeof(settings) / sizeof(settings[0]))

struct conf_parser {
	const char *name, *text;
	size_t n;
	struct diags *d;
	struct conf *c;
	struct lex l;
	struct lex_token t;
	unsigned int line[NSETTINGS]; /* where it was set, 0: not yet */
};

static char **
path_member(struct conf *c, const struct setting *s)
{
	return (char **)(void *)((char *)c + s->at);
}

static struct conf_nets *
nets_member(struct conf *c, const struct setting *s)
{
	return (struct conf_nets *)(void *)((char *)c + s->at);
}

static void
set_number(struct conf *c, const struct setting *s, uint64_t v)
{
	void *member = (char *)c + s->at;

	if (s->kind == CONF_SIZE)
		memcpy(member, &v, sizeof(v));
	else
		memcpy(member, &(uint32_t){ (uint32_t)v }, sizeof(uint32_t));
}

static int
set_path(char **to, const char *value)
{
	char *copy = strdup(value);

	if (copy == NULL)
		return ERR_NOMEM;
	free(*to);
	*to = copy;
	return 0;
}

static int
defaults(struct conf *c)
{
	int r;

	for (size_t i = 0; i < NSETTINGS; i++) {
		const struct setting *s = &settings[i];

		if (s->kind == CONF_PATH && s->text != NULL &&
		    (r = set_path(path_member(c, s), s->text)) != 0)
			return r;
		if (s->kind != CONF_PATH && s->kind != CONF_CIDR)
			set_number(c, s, s->number);
	}
	return 0;
}

static int __attribute__((format(printf, 2, 3)))
fail(struct conf_parser *p, const char *fmt, ...)
{
	char message[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	diags_add(p->d, p->name, p->text, p->n, &p->t.pos, p->t.width, "%s",
	    message);
	return ERR_CONFIG;
}

static void
next(struct conf_parser *p)
{
	lex_next(&p->l, LEX_POLICY, &p->t);
}

static bool
at_line_end(const struct conf_parser *p)
{
	return p->t.kind == LEX_END || p->t.kind == LEX_NEWLINE ||
	    (p->t.kind == LEX_PUNCT && p->t.punct == ';');
}

static int
take_path(struct conf_parser *p, const struct setting *s)
{
	const char *v = p->t.text;

	if (v[0] != '/' || p->t.len > VALUE_MAX)
		return fail(p, "%s: expected an absolute path", s->name);
	return set_path(path_member(p->c, s), v);
}

bool
conf_cidr_valid(const char *s)
{
	size_t n = strcspn(s, "/");
	char address[64];
	struct in6_addr a;
	uint64_t bits;
	bool v6;

	if (n >= sizeof(address))
		return false;
	memcpy(address, s, n);
	address[n] = '\0';
	v6 = strchr(address, ':') != NULL;
	if (inet_pton(v6 ? AF_INET6 : AF_INET, address, &a) != 1)
		return false;
	return s[n] == '\0' || num_parse(s + n + 1, 0, v6 ? 128 : 32,
	    &bits) == 0;
}

static int
take_cidr(struct conf_parser *p, const struct setting *s)
{
	struct conf_nets *nets = nets_member(p->c, s);
	char *copy;

	if (!conf_cidr_valid(p->t.text))
		return fail(p, "%s: expected an address or network, as "
		    "10.0.3.1 or 2001:db8::/64", s->name);
	if (nets->n >= CONF_ADDRESSES_MAX)
		return fail(p, "%s: more than %d of them", s->name,
		    CONF_ADDRESSES_MAX);
	if ((copy = strdup(p->t.text)) == NULL)
		return ERR_NOMEM;
	nets->at[nets->n++] = copy;
	return 0;
}

static int
take_number(struct conf_parser *p, const struct setting *s)
{
	uint64_t v = 0;
	int r;

	if (s->kind == CONF_SECONDS) {
		r = lex_duration(p->t.text, s->max, &v);
		if (r == ERR_FORMAT)
			return fail(p, "%s: expected a number and s, m, h or d, "
			    "as 30s", s->name);
	} else if (s->kind == CONF_SIZE) {
		r = lex_size(p->t.text, s->max, &v);
		if (r == ERR_FORMAT)
			return fail(p, "%s: expected a number and B, KiB, MiB "
			    "or GiB, as 64KiB", s->name);
	} else {
		r = num_parse(p->t.text, s->min, s->max, &v);
		if (r == ERR_FORMAT)
			return fail(p, "%s: expected a number", s->name);
	}
	if (r != 0 || v < s->min)
		return fail(p, "%s: not within %llu and %llu%s", s->name,
		    (unsigned long long)s->min, (unsigned long long)s->max,
		    s->kind == CONF_SECONDS ? " seconds" :
		    s->kind == CONF_SIZE ? " bytes" : "");
	set_number(p->c, s, v);
	return 0;
}

static int
take_word(struct conf_parser *p, const struct setting *s)
{
	size_t n = strlen(p->t.text), len;
	const char *at = s->text;

	for (uint64_t i = 0; *at != '\0'; i++) {
		len = strcspn(at, " ");
		if (len == n && memcmp(at, p->t.text, n) == 0) {
			set_number(p->c, s, i);
			return 0;
		}
		at += len;
		at += *at == ' ';
	}
	return fail(p, "%s: expected one of: %s", s->name, s->text);
}

/* What the lexer says about the token. */
static int
fail_token(struct conf_parser *p)
{
	return fail(p, "%s%s%s", p->t.what, *p->t.hint == '\0' ? "" : ": ",
	    p->t.hint);
}

static int
take_value(struct conf_parser *p, const struct setting *s)
{
	if (p->t.kind == LEX_ERROR)
		return fail_token(p);
	if (p->t.kind != LEX_WORD && p->t.kind != LEX_STRING)
		return fail(p, "%s: expected a value", s->name);
	switch (s->kind) {
	case CONF_PATH:
		return take_path(p, s);
	case CONF_CIDR:
		return take_cidr(p, s);
	case CONF_SECONDS:
	case CONF_COUNT:
	case CONF_SIZE:
		return take_number(p, s);
	case CONF_WORD:
		return take_word(p, s);
	}
	return ERR_INTERNAL;
}

static const struct setting *
find_setting(struct conf_parser *p)
{
	struct diag_near near;

	if (p->t.kind == LEX_ERROR) {
		(void)fail_token(p);
		return NULL;
	}
	if (p->t.kind != LEX_WORD) {
		(void)fail(p, "expected a setting's name");
		return NULL;
	}
	near = diag_near(p->t.text);
	for (size_t i = 0; i < NSETTINGS; i++) {
		if (strcmp(settings[i].name, p->t.text) == 0)
			return &settings[i];
		diag_near_try(&near, settings[i].name);
	}
	(void)fail(p, "there is no setting `%.80s`%s%s%s", p->t.text,
	    near.best == NULL ? "" : "; did you mean \"",
	    near.best == NULL ? "" : near.best, near.best == NULL ? "" : "\"?");
	return NULL;
}

static int
take_line(struct conf_parser *p)
{
	const struct setting *s = find_setting(p);
	unsigned int *line;
	int r;

	if (s == NULL)
		return ERR_CONFIG;
	line = &p->line[s - settings];
	if (*line != 0 && s->kind != CONF_CIDR)
		return fail(p, "`%s` is set twice: first on line %u", s->name,
		    *line);
	*line = p->t.pos.line;
	next(p);
	if ((r = take_value(p, s)) != 0)
		return r;
	next(p);
	if (p->t.kind == LEX_ERROR)
		return fail_token(p);
	return at_line_end(p) ? 0 : fail(p, "%s takes one value: expected the "
	    "end of the line", s->name);
}

/* Every line, whatever is wrong with the others. */
static int
take_lines(struct conf_parser *p)
{
	int r = 0, one;

	for (next(p); p->t.kind != LEX_END; ) {
		if (at_line_end(p)) {
			next(p);
			continue;
		}
		if ((one = take_line(p)) == ERR_NOMEM)
			return one;
		if (one != 0)
			r = one;
		while (!at_line_end(p))
			next(p);
	}
	return r;
}

int
conf_parse(const char *name, const char *text, size_t n, struct diags *d,
    struct conf *out)
{
	struct conf_parser p = { .name = name, .text = text, .n = n, .d = d };
	struct conf c = { 0 };
	int r;

	p.c = &c;
	if ((r = defaults(&c)) != 0)
		goto out;
	if (text != NULL && n > CONF_MAX) {
		diags_add_file(d, name, "is larger than %d bytes", CONF_MAX);
		r = ERR_CONFIG;
		goto out;
	}
	if (text != NULL) {
		lex_init(&p.l, 0, text, n, VALUE_MAX);
		r = take_lines(&p);
		if (p.l.nomem)
			r = ERR_NOMEM;
		lex_clear(&p.l);
	}
	if (r == 0) {
		*out = c;
		c = (struct conf){ 0 };
	}
out:
	conf_clear(&c);
	return r;
}

static void
nets_clear(struct conf_nets *nets)
{
	for (size_t i = 0; i < nets->n; i++)
		free(nets->at[i]);
}

void
conf_clear(struct conf *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < NSETTINGS; i++) {
		if (settings[i].kind == CONF_PATH)
			free(*path_member(c, &settings[i]));
		if (settings[i].kind == CONF_CIDR)
			nets_clear(nets_member(c, &settings[i]));
	}
	*c = (struct conf){ 0 };
}
