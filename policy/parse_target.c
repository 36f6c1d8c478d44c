/*
 * The `target` statement: where a target is, the key that it must show, and
 * the logins and groups that rules may name.
 */
#include "config.h"

#include <arpa/inet.h>
#include <string.h>
#include <time.h>

#include "lib/conf.h"
#include "lib/err.h"
#include "lib/str.h"
#include "policy/arena.h"
#include "policy/parse.h"
#include "policy/slot.h"
#include "policy/zone.h"

#define SSH_FORM "expected \"LOGIN@HOST:PORT\", as \"deploy@10.0.3.11:22\""
#define SHA256_LEN 32
#define DAY_S 86400
#define OBSERVE_DAYS 90

struct target_block {
	struct target_full *t;
	struct hostkey *hostkey;
	size_t nhostkey, caphostkey;
	struct parse_list login;
	bool ssh, shell, principals, seen_from, sftp, observe;
};

static bool
host_valid(const char *s)
{
	struct in6_addr a;
	size_t n = strlen(s);

	if (strchr(s, ':') != NULL)
		return inet_pton(AF_INET6, s, &a) == 1;
	if (n == 0 || n > 253 || s[0] == '-' || s[0] == '.')
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!(s[i] >= 'a' && s[i] <= 'z') &&
		    !(s[i] >= 'A' && s[i] <= 'Z') &&
		    !(s[i] >= '0' && s[i] <= '9') && s[i] != '.' &&
		    s[i] != '-' && s[i] != '_')
			return false;
	}
	return true;
}

/* Takes "login@host:port" or "login@[v6]:port" apart, in place. */
static bool
split_address(char *s, struct target *t)
{
	char *at = strchr(s, '@'), *host, *colon;
	uint64_t port;

	if (at == NULL)
		return false;
	*at = '\0';
	host = at + 1;
	if ((colon = strrchr(host, ':')) == NULL)
		return false;
	*colon = '\0';
	if (*host == '[') {
		if (colon[-1] != ']')
			return false;
		host++;
		colon[-1] = '\0';
	} else if (strchr(host, ':') != NULL) {
		return false; /* an IPv6 address needs its brackets */
	}
	if (!name_valid(s) || !host_valid(host) ||
	    num_parse(colon + 1, 1, 65535, &port) != 0)
		return false;
	t->login = s;
	t->host = host;
	t->port = (uint16_t)port;
	return true;
}

static int
target_ssh(struct parser *ps, void *ctx)
{
	struct target_block *b = ctx;
	struct ref ref;
	char *copy;
	int r;

	if ((r = parse_once(ps, &b->ssh)) != 0)
		return r;
	parse_next(ps, LEX_POLICY);
	if ((r = parse_string(ps, "the address as a string", &ref)) != 0)
		return r;
	copy = arena_str(ps->p->arena, ref.name, strlen(ref.name));
	if (copy == NULL)
		return ERR_NOMEM;
	if (!split_address(copy, &b->t->pub))
		return parse_error_at(ps, &ref.at, SSH_FORM);
	return 0;
}

static const char *const hostkey_types[] = { "ssh-ed25519",
	"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
	"ssh-rsa" };

/* "SHA256:" and the 43 characters of 32 bytes, as ssh-keygen -l prints them. */
static bool
fingerprint_valid(const char *s)
{
	static const char prefix[] = "SHA256:";
	static const char last[] = "AEIMQUYcgkosw048";
	size_t n;

	if (strncmp(s, prefix, strlen(prefix)) != 0)
		return false;
	s += strlen(prefix);
	n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	    "0123456789+/");
	/* 43 characters hold 258 bits: the last 2 must be 0 */
	return n == (SHA256_LEN * 8 + 5) / 6 && s[n] == '\0' &&
	    strchr(last, s[n - 1]) != NULL;
}

static int
hostkey_type(struct parser *ps, struct ref *ref)
{
	struct diag_near near;
	char text[NEAR_TEXT_MAX];
	int r;

	if ((r = parse_word(ps, "a key type, as ssh-ed25519", ref)) != 0)
		return r;
	near = diag_near(ref->name);
	for (size_t i = 0; i < sizeof(hostkey_types) /
	    sizeof(hostkey_types[0]); i++) {
		if (strcmp(hostkey_types[i], ref->name) == 0)
			return 0;
		diag_near_try(&near, hostkey_types[i]);
	}
	return parse_error_at(ps, &ref->at, "`%.80s` is no key type that is "
	    "accepted%s", ref->name, near_text(&near, text, sizeof(text)));
}

static int
target_hostkey(struct parser *ps, void *ctx)
{
	struct target_block *b = ctx;
	struct ref type, print;
	struct hostkey *v;
	int r;

	parse_next(ps, LEX_POLICY);
	if ((r = hostkey_type(ps, &type)) != 0 ||
	    (r = parse_string(ps, "the key's fingerprint as a string",
	    &print)) != 0)
		return r;
	if (!fingerprint_valid(print.name))
		return parse_error_at(ps, &print.at, "expected \"SHA256:\" and "
		    "43 characters, as ssh-keygen -l prints them");
	if (b->nhostkey >= POLICY_LIST_MAX)
		return parse_error_at(ps, &type.at, "more than %d host keys",
		    POLICY_LIST_MAX);
	v = arena_extend(ps->p->arena, b->hostkey, b->nhostkey, &b->caphostkey,
	    sizeof(*v));
	if (v == NULL)
		return ERR_NOMEM;
	b->hostkey = v;
	b->hostkey[b->nhostkey++] = (struct hostkey){ type.name, print.name };
	return 0;
}

static int
group_get(struct parser *ps, const char *name, struct group **out)
{
	struct policy *p = ps->p;
	struct group *g = dict_get(&p->groups, name), **v;
	int r;

	if (g == NULL) {
		if ((g = arena_get(p->arena, sizeof(*g))) == NULL ||
		    (v = arena_extend(p->arena, p->group, p->ngroup,
		    &p->capgroup, sizeof(*v))) == NULL)
			return ERR_NOMEM;
		p->group = v;
		g->name = name;
		if ((r = dict_put(&p->groups, p->arena, name, g)) != 0)
			return r;
		p->group[p->ngroup++] = g;
	}
	*out = g;
	return 0;
}

static int
target_join(struct parser *ps, struct target_full *t, const struct ref *ref)
{
	struct group *g, **v;
	struct target_full **m;
	int r;

	if ((r = group_get(ps, ref->name, &g)) != 0)
		return r;
	for (size_t i = 0; i < t->ngroup; i++) {
		if (t->group[i] == g)
			return parse_error_at(ps, &ref->at, "group `%s` is "
			    "written twice", ref->name);
	}
	if (t->ngroup >= POLICY_LIST_MAX)
		return parse_error_at(ps, &ref->at, "more than %d groups",
		    POLICY_LIST_MAX);
	if ((v = arena_extend(ps->p->arena, t->group, t->ngroup, &t->cap,
	    sizeof(*v))) == NULL || (m = arena_extend(ps->p->arena, g->member,
	    g->n, &g->cap, sizeof(*m))) == NULL)
		return ERR_NOMEM;
	t->group = v;
	t->group[t->ngroup++] = g;
	g->member = m;
	g->member[g->n++] = t;
	return 0;
}

static int
target_group(struct parser *ps, void *ctx)
{
	struct target_block *b = ctx;
	struct ref ref;
	int r;

	parse_next(ps, LEX_POLICY);
	do {
		if ((r = parse_name(ps, "a group's name", &ref)) != 0 ||
		    (r = target_join(ps, b->t, &ref)) != 0)
			return r;
	} while (ps->t.kind == LEX_WORD);
	return 0;
}

static int
target_more_login(struct parser *ps, void *ctx)
{
	struct target_block *b = ctx;
	struct ref ref;
	int r;

	parse_next(ps, LEX_POLICY);
	do {
		if ((r = parse_name(ps, "a login's name", &ref)) != 0 ||
		    (r = parse_list_add(ps, &b->login, &ref, "login")) != 0)
			return r;
	} while (ps->t.kind == LEX_WORD);
	return 0;
}

static int
target_shell(struct parser *ps, void *ctx)
{
	static const char *const shell[] = { [TARGET_POSIX] = "posix",
		[TARGET_CSH] = "csh",
		[TARGET_FISH] = "fish" };
	struct target_block *b = ctx;
	int r;

	if ((r = parse_once(ps, &b->shell)) != 0)
		return r;
	parse_next(ps, LEX_POLICY);
	for (unsigned int i = 0; i < sizeof(shell) / sizeof(shell[0]); i++) {
		if (!parse_is_word(ps, shell[i]))
			continue;
		b->t->pub.shell = (enum target_shell)i;
		parse_next(ps, LEX_POLICY);
		return 0;
	}
	return parse_expected(ps, "`posix`, `csh` or `fish`");
}

static int
target_sftp(struct parser *ps, void *ctx)
{
	struct target_block *b = ctx;
	int r;

	if ((r = parse_once(ps, &b->sftp)) != 0)
		return r;
	parse_next(ps, LEX_POLICY);
	if (ps->t.kind != LEX_WORD && ps->t.kind != LEX_STRING)
		return parse_expected(ps, "`internal` or the path of an sftp "
					  "server");
	if (!parse_is_word(ps, "internal") &&
	    !path_is_plain(ps->t.text, ps->t.len))
		return parse_error(ps,
		    "expected `internal` or an absolute path "
		    "without empty, `.` or `..` parts");
	if ((b->t->pub.sftp = parse_text(ps)) == NULL)
		return ERR_NOMEM;
	parse_next(ps, LEX_POLICY);
	return 0;
}

/* observe until YYYY-MM-DD: that day is the last, as UTC counts days. */
static int
target_observe(struct parser *ps, void *ctx)
{
	struct target_block *b = ctx;
	struct target *t = &b->t->pub;
	struct zone_local day = { .minute = 0 };
	const struct zone *utc;
	struct ref ref;
	int r;

	if ((r = parse_once(ps, &b->observe)) != 0)
		return r;
	parse_next(ps, LEX_POLICY);
	if (!parse_is_word(ps, "until"))
		return parse_expected(ps, "`until` and a date");
	parse_next(ps, LEX_POLICY);
	if ((r = parse_word(ps, "a date, as 2026-12-31", &ref)) != 0)
		return r;
	if ((r = parse_zone(ps, "UTC", &ref.at, &utc)) != 0)
		return r;
	if (strlen(ref.name) != 10 || !parse_date(ref.name, &day) ||
	    zone_from_local(utc, &day, &t->observe_until) != 0)
		return parse_error_at(ps, &ref.at,
		    "`%.80s` is no date: "
		    "YYYY-MM-DD, as 2026-12-31",
		    ref.name);
	t->observe_until += DAY_S;
	if (t->observe_until > (int64_t)time(NULL) + (OBSERVE_DAYS + 1) * DAY_S)
		return parse_error_at(ps, &ref.at,
		    "more than %d days ahead: "
		    "what no rule allows is let through until then",
		    OBSERVE_DAYS);
	return 0;
}

static int
target_principals(struct parser *ps, void *ctx)
{
	struct target_block *b = ctx;
	int r;

	if ((r = parse_once(ps, &b->principals)) != 0)
		return r;
	parse_next(ps, LEX_POLICY);
	if (!parse_is_word(ps, "qualified") && !parse_is_word(ps, "plain"))
		return parse_expected(ps, "`qualified` (LOGIN+TARGET) or "
		    "`plain` (LOGIN)");
	b->t->pub.plain_principal = parse_is_word(ps, "plain");
	parse_next(ps, LEX_POLICY);
	return 0;
}

/* Commas part several addresses, as in a certificate's source-address. */
static bool
addresses_valid(char *s)
{
	char *comma;

	for (;;) {
		if ((comma = strchr(s, ',')) != NULL)
			*comma = '\0';
		if (!conf_cidr_valid(s))
			return false;
		if (comma == NULL)
			return true;
		*comma = ',';
		s = comma + 1;
	}
}

static int
target_seen_from(struct parser *ps, void *ctx)
{
	struct target_block *b = ctx;
	struct ref ref;
	char *copy;
	int r;

	if ((r = parse_once(ps, &b->seen_from)) != 0)
		return r;
	parse_next(ps, LEX_POLICY);
	if ((r = parse_string(ps, "an address as a string", &ref)) != 0)
		return r;
	copy = arena_str(ps->p->arena, ref.name, strlen(ref.name));
	if (copy == NULL)
		return ERR_NOMEM;
	if (!addresses_valid(copy))
		return parse_error_at(ps, &ref.at, "expected an address or "
		    "network that this bastion is seen from, as \"10.0.3.1\" or "
		    "\"10.0.3.0/29\"; commas between several");
	b->t->pub.seen_from = ref.name;
	return 0;
}

static const struct parse_row target_rows[] = {
	{ "ssh", target_ssh },
	{ "hostkey", target_hostkey },
	{ "group", target_group },
	{ "login", target_more_login },
	{ "shell", target_shell },
	{ "principals", target_principals },
	{ "seen-from", target_seen_from },
	{ "sftp", target_sftp },
	{ "observe", target_observe },
};

/* What must be there. */
static int
target_check(struct parser *ps, struct target_block *b, const struct ref *name)
{
	if (!b->ssh)
		return parse_error_at(ps, &name->at, "target `%s` has no "
		    "address: ssh \"LOGIN@HOST:PORT\"", name->name);
	if (b->nhostkey == 0)
		return parse_error_at(ps, &name->at, "target `%s` has no "
		    "`hostkey`: without a pin there is no connection",
		    name->name);
	return 0;
}

int
parse_target(struct parser *ps, void *ctx)
{
	struct policy *p = ps->p;
	struct target_block b = { 0 };
	struct target_full *first, **v;
	struct ref name;
	size_t errors;
	int r;

	(void)ctx;
	parse_next(ps, LEX_POLICY);
	if ((r = parse_name(ps, "the target's name", &name)) != 0)
		return r;
	if (strcmp(name.name, "postern") == 0)
		return parse_error_at(ps, &name.at, "`postern` is the name of "
		    "the bastion's own control surface");
	if (p->ntarget >= POLICY_TARGETS_MAX)
		return parse_error_at(ps, &name.at, "more than %d targets",
		    POLICY_TARGETS_MAX);
	if ((b.t = arena_get(p->arena, sizeof(*b.t))) == NULL ||
	    (v = arena_extend(p->arena, p->target, p->ntarget, &p->captarget,
	    sizeof(*v))) == NULL)
		return ERR_NOMEM;
	p->target = v;
	b.t->pub.name = name.name;
	b.t->at = name.at;
	first = dict_get(&p->targets, name.name);
	r = parse_define(ps, &p->targets, &name, "target", b.t,
	    first == NULL ? &name.at : &first->at);
	if (r == 0)
		p->target[p->ntarget++] = b.t;
	else if (r != ERR_EXISTS)
		return r;
	if (!parse_is_punct(ps, '{')) {
		(void)parse_expected(ps, "`{`");
		if (!parse_to_block(ps))
			return ERR_FORMAT;
	}
	errors = diags_count(ps->d);
	if ((r = parse_block(ps, ROWS(target_rows), "a setting of a target",
	    &b)) != 0)
		return r;
	b.t->pub.hostkey = b.hostkey;
	b.t->pub.nhostkey = b.nhostkey;
	b.t->pub.extra_login = b.login.v;
	b.t->pub.nextra_login = b.login.n;
	/* What a faulty line failed to set is not reported as missing. */
	if (diags_count(ps->d) == errors)
		(void)target_check(ps, &b, &name);
	return 0;
}
