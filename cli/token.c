/*
 * postern token: what a token says, and who its job would be.  Runs as whoever
 * calls it; cli/token_see.c has read the token.  A token is a secret: neither
 * its text nor its signature is printed.
 */
#include "config.h"

#include "cli/token.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "audit/utc.h"
#include "cli/cli.h"
#include "cli/policy.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/proto.h"
#include "policy/model.h"
#include "policy/preset.h"

#define TEXT_MAX (1024UL * 1024)
#define VALUES_SHOWN 3

static int
failed(int r)
{
	cli_error("%s", err_text(r));
	return CLI_EX_FAILED;
}

static void
warn_secret(const struct seen *s)
{
	if (s->exp != -1 && s->exp < (int64_t)time(NULL))
		return;
	cli_error("a token is a secret: until it expires, whoever has it is "
		  "this job. Remove the copies of it");
}

/* -- explain ------------------------------------------------------------------
 */

static const char *const kinds[] = {
	[CLAIM_ID] = "an id",
	[CLAIM_RUN] = "of this run",
	[CLAIM_NAME] = "a name, which can change hands",
	[CLAIM_REF] = "a branch or tag",
	[CLAIM_COMMIT] = "a commit",
	[CLAIM_FACT] = "said by the issuer",
	[CLAIM_CHOSEN] = "chosen by whoever started it",
};

/* Which of the ledger's five names the claim is; NULL: none.  A ref is a pull
 * request only where it is one's. */
static const char *
tie_of(const struct preset *row, const struct claim *c)
{
	static const char pull[] = "refs/pull/";
	const char *claim = c->name;
	const struct {
		const char *name, *claim;
	} ties[] = { { "commit", row->commit }, { "actor", row->actor },
		{ "workflow", row->workflow }, { "run", row->run },
		{ "pull_request", row->pull_request } };

	for (size_t i = 0; i < sizeof(ties) / sizeof(ties[0]); i++) {
		if (ties[i].claim == NULL || strcmp(ties[i].claim, claim) != 0)
			continue;
		if (ties[i].claim == row->pull_request &&
		    strncmp(c->value, "refs/", strlen("refs/")) == 0 &&
		    strncmp(c->value, pull, strlen(pull)) != 0)
			return NULL;
		return ties[i].name;
	}
	return NULL;
}

/* What every token has, and no condition is on. */
static bool
is_common(const char *claim)
{
	static const char *const names[] = { "iss", "aud", "exp", "iat", "nbf",
		"jti" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], claim) == 0)
			return true;
	}
	return false;
}

static void
print_fact(const char *name, const char *value)
{
	(void)printf("%-12s ", name);
	cli_print_safe(value);
	(void)printf("\n");
}

static void
print_time(const char *name, int64_t t, int64_t now)
{
	int64_t d = t < now ? now - t : t - now;
	const char *unit = d < 120 ? "s" : d < 7200 ? "min" : "h";
	char text[UTC_LEN + 1];

	if (t < 0) {
		(void)printf("%-12s missing\n", name);
		return;
	}
	utc_format((uint64_t)t * 1000, text);
	d = d < 120 ? d : d < 7200 ? d / 60 : d / 3600;
	if (t == now) {
		(void)printf("%-12s %.19sZ, now\n", name, text);
		return;
	}
	(void)printf("%-12s %.19sZ, %s%lld %s%s\n", name, text,
	    t < now ? "" : "in ", (long long)d, unit, t < now ? " ago" : "");
}

static void
print_claims(const struct seen *s)
{
	const struct preset_claim *c;
	const char *name, *tie;

	(void)printf("\nclaims\n");
	for (size_t i = 0; i < s->claims.n; i++) {
		name = s->claims.c[i].name;
		if (is_common(name))
			continue;
		(void)printf("  ");
		cli_print_safe(name);
		(void)printf(" = \"");
		cli_print_safe(s->claims.c[i].value);
		c = preset_claim(s->row, name);
		tie = tie_of(s->row, &s->claims.c[i]);
		(void)printf("\"%s%s%s%s\n", c == NULL ? "" : "  # ",
		    c == NULL ? "" : kinds[c->kind],
		    tie == NULL ? ""
		    : c == NULL ? "  # the ledger's "
				: "; the ledger's ",
		    tie == NULL ? "" : tie);
	}
}

static void
print_audience(const struct seen *s)
{
	for (size_t i = 0; i < s->naud; i++)
		print_fact("audience", s->aud[i]);
}

static void
print_dangers(const struct seen *s)
{
	uint64_t risky = preset_risky(s->row, &s->claims);

	for (size_t i = 0; risky != 0; risky >>= 1, i++) {
		if ((risky & 1) != 0)
			(void)printf("danger       %s: %s\n",
			    s->row->risky[i].word, s->row->risky[i].why);
	}
}

static int
print_seen(const struct seen *s)
{
	int64_t now = (int64_t)time(NULL);
	struct buf b;
	int r;

	print_fact("issuer", s->iss);
	(void)printf("%-12s %s, %s\n", "preset", s->row->name, s->by);
	(void)printf("%-12s %s, not checked here\n", "signature", s->alg);
	print_audience(s);
	print_time("issued", s->iat, now);
	if (s->nbf != -1)
		print_time("not before", s->nbf, now);
	print_time("expires", s->exp, now);
	print_dangers(s);
	print_claims(s);
	buf_init(&b, TEXT_MAX);
	(void)printf("\nan identity for this job\n");
	if ((r = token_identity(s, &b)) == 0)
		cli_print_lines_safe(stdout, buf_cstr(&b));
	buf_clear(&b);
	return r;
}

/* -- under a policy
 * ------------------------------------------------------------ */

static bool
names_audience(const struct seen *s, const struct issuer *is)
{
	for (size_t i = 0; i < s->naud; i++) {
		for (size_t k = 0; k < is->naudience; k++) {
			if (strcmp(s->aud[i], is->audience[k]) == 0)
				return true;
		}
	}
	return false;
}

/* As the bastion finds it: of those that share a url, the one whose audience it
 * is, or else the first.  *n: how many have one of its audiences. */
static const struct issuer_full *
issuer_of(const struct policy *p, const struct seen *s, size_t *n)
{
	const struct issuer_full *found = NULL;

	*n = 0;
	for (size_t i = 0; i < p->nissuer; i++) {
		if (strcmp(p->issuer[i]->pub.url, s->iss) != 0)
			continue;
		if (!names_audience(s, &p->issuer[i]->pub)) {
			if (found == NULL)
				found = p->issuer[i];
		} else if ((*n)++ == 0) {
			found = p->issuer[i];
		}
	}
	return found;
}

static int
put_wanted(struct buf *b, const struct condition *c)
{
	int r = 0;

	if (c->kind != CONDITION_VALUES)
		return buf_putf(b, "wants it %s",
		    c->kind == CONDITION_PRESENT ? "present" : "absent");
	for (size_t i = 0; i < c->nvalue && i < VALUES_SHOWN && r == 0; i++)
		r = buf_putf(b, "%s%s\"%s\"", i == 0 ? "wants " : " or ",
		    c->value[i].glob ? "glob " : "", c->value[i].text);
	if (r == 0 && c->nvalue > VALUES_SHOWN)
		r = buf_putf(b, " or others");
	return r;
}

/* What keeps the token from being the identity: nothing leaves b empty. */
static int
put_why(struct buf *b, const struct identity *id, const struct seen *s)
{
	uint64_t risky =
	    preset_risky(id->issuer->preset, &s->claims) & ~id->opened;
	const struct condition *c;
	const char *value;
	int r = 0;

	if (risky != 0)
		r = buf_putf(b, "%s; allow-risky %s would open it",
		    id->issuer->preset->risky[__builtin_ctzll(risky)].why,
		    id->issuer->preset->risky[__builtin_ctzll(risky)].word);
	for (size_t i = 0; i < id->cond.n && r == 0; i++) {
		c = &id->cond.v[i];
		if (condition_holds(c, &s->claims))
			continue;
		value = claims_get(&s->claims, c->claim);
		r = buf_putf(b, "%sclaim %s is %s%s%s, and it ",
		    buf_len(b) == 0 ? "" : "; ", c->claim,
		    value == NULL ? "missing" : "\"",
		    value == NULL ? "" : value, value == NULL ? "" : "\"");
		if (r == 0)
			r = put_wanted(b, c);
	}
	return r;
}

static int
tell_identity(const struct identity *id, const struct seen *s, struct json *j,
    bool *somebody)
{
	struct buf b;
	int r;

	buf_init(&b, TEXT_MAX);
	r = put_why(&b, id, s);
	*somebody |= r == 0 && buf_len(&b) == 0;
	if (r == 0 && j != NULL) {
		json_open(j, '{');
		json_kv_str(j, "identity", id->name);
		json_kv_bool(j, "matches", buf_len(&b) == 0);
		if (buf_len(&b) > 0)
			json_kv_str(j, "why", buf_cstr(&b));
		json_close(j, '}');
	} else if (r == 0) {
		(void)printf("  %s: ", id->name);
		cli_print_safe(buf_len(&b) == 0 ? "yes" : buf_cstr(&b));
		(void)printf("\n");
	}
	buf_clear(&b);
	return r;
}

/* The policy knows whose tokens these are. */
static void
take_preset(const struct policy *p, struct seen *s)
{
	size_t n;
	const struct issuer_full *is = issuer_of(p, s, &n);

	if (is == NULL)
		return;
	s->row = is->preset;
	s->by = "by the policy";
}

/* An exit code: who the job would be under that policy. */
static int
tell_policy(const struct policy *p, const struct seen *s, struct json *j)
{
	size_t naud;
	const struct issuer_full *is = issuer_of(p, s, &naud);
	const char *never = NULL, *now = NULL;
	bool somebody = false;
	int r = 0;

	if (is == NULL)
		never = "no issuer of the policy has this iss";
	else if (naud > 1)
		never = "it has audiences of two issuers of the policy";
	else if (token_fits(s, &is->pub, s->iat, &never) == 0)
		never = NULL;
	if (never == NULL &&
	    token_fits(s, &is->pub, (int64_t)time(NULL), &now) == 0)
		now = NULL;
	if (j != NULL) {
		json_kv_open(j, "policy", '{');
		if (is != NULL)
			json_kv_str(j, "issuer", is->pub.name);
		if (never != NULL || now != NULL)
			json_kv_str(j, "refused", never != NULL ? never : now);
		json_kv_open(j, "identities", '[');
	} else {
		(void)printf("\nunder this policy\n  issuer %s: %s\n",
		    is == NULL ? "none" : is->pub.name,
		    never != NULL ? never
		    : now != NULL ? now
				  : "takes it, if the signature is good");
	}
	for (size_t i = 0; is != NULL && i < p->nidentity && r == 0; i++) {
		if (p->by_name[i]->issuer == is)
			r = tell_identity(p->by_name[i], s, j, &somebody);
	}
	if (j != NULL) {
		json_close(j, ']');
		json_close(j, '}');
	}
	if (r != 0)
		return failed(r);
	return never == NULL && somebody ? 0 : POSTERN_EX_DENIED;
}

static void
json_seen(struct json *j, const struct seen *s)
{
	uint64_t risky = preset_risky(s->row, &s->claims);
	const struct preset_claim *c;
	const char *tie;

	json_kv_str(j, "issuer", s->iss);
	json_kv_str(j, "preset", s->row->name);
	json_kv_str(j, "algorithm", s->alg);
	json_kv_bool(j, "verified", false);
	json_key(j, "issued");
	json_int(j, s->iat);
	json_key(j, "expires");
	json_int(j, s->exp);
	json_kv_open(j, "claims", '[');
	for (size_t i = 0; i < s->claims.n; i++) {
		c = preset_claim(s->row, s->claims.c[i].name);
		tie = tie_of(s->row, &s->claims.c[i]);
		json_open(j, '{');
		json_kv_str(j, "name", s->claims.c[i].name);
		json_kv_str(j, "value", s->claims.c[i].value);
		if (c != NULL)
			json_kv_str(j, "is", kinds[c->kind]);
		if (tie != NULL)
			json_kv_str(j, "ledger", tie);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_kv_open(j, "dangers", '[');
	for (size_t i = 0; risky != 0; risky >>= 1, i++) {
		if ((risky & 1) != 0)
			json_str(j, s->row->risky[i].word);
	}
	json_close(j, ']');
}

static int
explain_json(const struct seen *s, const struct policy *p)
{
	struct buf b, text;
	struct json j;
	int code = 0, r;

	buf_init(&b, 4 * TEXT_MAX);
	buf_init(&text, TEXT_MAX);
	json_init(&j, &b);
	json_open(&j, '{');
	json_seen(&j, s);
	if ((r = token_identity(s, &text)) == 0)
		json_kv_str(&j, "identity", buf_cstr(&text));
	if (r == 0 && p != NULL)
		code = tell_policy(p, s, &j);
	json_close(&j, '}');
	if (r == 0 && (r = json_end(&j)) == 0)
		(void)printf("%s\n", buf_cstr(&b));
	buf_clear(&text);
	buf_clear(&b);
	return r == 0 ? code : failed(r);
}

int
cli_token_explain(int argc, char **argv)
{
	struct policy *p = NULL;
	struct seen s = { .row = NULL };
	struct ask a;
	int r;

	if ((r = ask_parse(&a, argc, argv, "pj")) != 0)
		return r;
	if (argc - optind > 1) {
		r = cli_usage();
		goto out;
	}
	if ((a.policy != NULL && (r = policy_of(&a.policy, 1, &p)) != 0) ||
	    (r = token_see(argv[optind], &s)) != 0)
		goto out;
	warn_secret(&s);
	if (p != NULL)
		take_preset(p, &s);
	if (a.json) {
		r = explain_json(&s, p);
		goto out;
	}
	r = print_seen(&s) != 0 ? failed(ERR_NOMEM) : 0;
	if (r == 0 && p != NULL)
		r = tell_policy(p, &s, NULL);
out:
	token_unsee(&s);
	policy_free(p);
	ask_clear(&a);
	return r;
}

/* -- lint ---------------------------------------------------------------------
 */

/* Of a token alone: the identity that it should have. */
static int
lint_token(const struct seen *s, bool json)
{
	struct buf b, text;
	struct json j;
	int r;

	buf_init(&b, TEXT_MAX);
	buf_init(&text, TEXT_MAX);
	json_init(&j, &text);
	if ((r = token_identity(s, &b)) == 0 && json) {
		json_open(&j, '{');
		json_kv_str(&j, "identity", buf_cstr(&b));
		json_close(&j, '}');
		if ((r = json_end(&j)) == 0)
			(void)printf("%s\n", buf_cstr(&text));
	} else if (r == 0) {
		cli_print_lines_safe(stdout, buf_cstr(&b));
	}
	buf_clear(&text);
	buf_clear(&b);
	return r == 0 ? 0 : failed(r);
}

static int
lint_policy(const struct policy *p, const struct seen *s, bool json)
{
	struct buf b;
	struct json j;
	int n, r = 0;

	buf_init(&b, 4 * TEXT_MAX);
	json_init(&j, &b);
	json_open(&j, '[');
	n = token_lint_policy(p, s, json ? &j : NULL);
	json_close(&j, ']');
	if (json && n >= 0 && (r = json_end(&j)) == 0)
		(void)printf("%s\n", buf_cstr(&b));
	buf_clear(&b);
	if (n < 0 || r != 0)
		return failed(n < 0 ? n : r);
	return n == 0 ? 0 : CLI_EX_FAILED;
}

int
cli_token_lint(int argc, char **argv)
{
	struct policy *p = NULL;
	struct seen s = { .row = NULL };
	bool token;
	struct ask a;
	int r;

	if ((r = ask_parse(&a, argc, argv, "pj")) != 0)
		return r;
	token = a.policy == NULL || optind < argc;
	if (argc - optind > 1) {
		r = cli_usage();
		goto out;
	}
	if ((a.policy != NULL && (r = policy_of(&a.policy, 1, &p)) != 0) ||
	    (token && (r = token_see(argv[optind], &s)) != 0))
		goto out;
	if (token)
		warn_secret(&s);
	if (token && p != NULL)
		take_preset(p, &s);
	r = p == NULL ? lint_token(&s, a.json)
		      : lint_policy(p, token ? &s : NULL, a.json);
out:
	token_unsee(&s);
	policy_free(p);
	ask_clear(&a);
	return r;
}
