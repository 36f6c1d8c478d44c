/*
 * The export's frame: issuers, people, targets, programs, defaults, tests.
 * Runs in the command line tools.
 */
#include "config.h"

#include "policy/export.h"

#include "lib/buf.h"
#include "lib/json.h"
#include "policy/model.h"
#include "policy/preset.h"

static void
put_strings(struct json *j, const char *key, const char *const *v, size_t n)
{
	json_kv_open(j, key, '[');
	for (size_t i = 0; i < n; i++)
		json_str(j, v[i]);
	json_close(j, ']');
}

static void
put_place(struct json *j, const struct policy *p, const struct place *at)
{
	json_kv_str(j, "file", p->source[at->pos.file].name);
	json_kv_num(j, "line", at->pos.line);
}

static void
put_dangers(struct json *j, const struct preset *preset)
{
	static const char *const test[] = { [RISKY_IS] = "is",
		[RISKY_BEGINS] = "begins",
		[RISKY_BEGINS_NOT] = "begins_not",
		[RISKY_DIFFERS] = "differs" };
	const struct risky *k = preset->risky;

	json_kv_open(j, "dangers", '[');
	for (size_t i = 0; k != NULL && k[i].word != NULL; i++) {
		json_open(j, '{');
		json_kv_str(j, "word", k[i].word);
		json_kv_str(j, "claim", k[i].claim);
		json_kv_str(j, "test", test[k[i].kind]);
		json_kv_str(j, "value", k[i].value);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void
put_issuer(struct json *j, const struct policy *p, const void *thing)
{
	const struct issuer_full *is = thing;

	json_open(j, '{');
	json_kv_str(j, "name", is->pub.name);
	put_place(j, p, &is->at);
	json_kv_str(j, "preset", is->pub.preset);
	json_kv_str(j, "url", is->pub.url);
	put_strings(j, "audience", is->pub.audience, is->pub.naudience);
	put_strings(j, "algorithms", is->pub.algorithm, is->pub.nalgorithm);
	json_kv_num(j, "max_age_s", is->pub.max_age_s);
	json_kv_num(j, "max_life_s", is->pub.max_life_s);
	json_kv_num(j, "leeway_s", is->pub.leeway_s);
	json_kv_bool(j, "once", is->pub.once);
	if (is->pub.keys_file != NULL)
		json_kv_str(j, "keys_file", is->pub.keys_file);
	if (is->pub.keys_url != NULL)
		json_kv_str(j, "keys_url", is->pub.keys_url);
	put_dangers(j, is->preset);
	json_close(j, '}');
}

void
export_conditions(struct json *j, const struct conditions *cs)
{
	static const char *const test[] = { [CONDITION_VALUES] = "values",
		[CONDITION_PRESENT] = "present",
		[CONDITION_ABSENT] = "absent" };

	json_open(j, '[');
	for (size_t i = 0; i < cs->n; i++) {
		const struct condition *c = &cs->v[i];

		json_open(j, '{');
		json_kv_str(j, "claim", c->claim);
		json_kv_str(j, "test", test[c->kind]);
		json_kv_open(j, "values", '[');
		for (size_t k = 0; k < c->nvalue; k++) {
			json_open(j, '{');
			json_kv_str(j, c->value[k].glob ? "glob" : "equal",
			    c->value[k].text);
			json_close(j, '}');
		}
		json_close(j, ']');
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void
put_refs(struct json *j, const char *key, const struct ref *v, size_t n)
{
	json_kv_open(j, key, '[');
	for (size_t i = 0; i < n; i++)
		json_str(j, v[i].name);
	json_close(j, ']');
}

static void
put_identity(struct json *j, const struct policy *p, const void *thing)
{
	const struct identity *id = thing;

	json_open(j, '{');
	json_kv_str(j, "name", id->name);
	put_place(j, p, &id->at);
	json_kv_str(j, "issuer", id->from.name);
	put_refs(j, "allow_risky", id->risky, id->nrisky);
	json_key(j, "conditions");
	export_conditions(j, &id->cond);
	json_close(j, '}');
}

static void
put_person(struct json *j, const struct policy *p, const void *thing)
{
	const struct person *who = thing;

	json_open(j, '{');
	json_kv_str(j, "name", who->name);
	put_place(j, p, &who->at);
	put_strings(j, "keys", who->key, who->nkey);
	json_kv_open(j, "tokens", '[');
	for (size_t i = 0; i < who->ntoken; i++) {
		json_open(j, '{');
		json_kv_str(j, "issuer", who->token[i].from.name);
		json_key(j, "conditions");
		export_conditions(j, &who->token[i].cond);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_kv_open(j, "actors", '[');
	for (size_t i = 0; i < who->nactor; i++) {
		json_open(j, '{');
		json_kv_str(j, "issuer", who->actor[i].from.name);
		json_kv_str(j, "id", who->actor[i].id.name);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_close(j, '}');
}

static void
put_people(struct json *j, const struct policy *p, const void *thing)
{
	const struct people *people = thing;

	json_open(j, '{');
	json_kv_str(j, "name", people->name);
	put_place(j, p, &people->at);
	put_refs(j, "members", people->member, people->n);
	json_close(j, '}');
}

static void
put_target(struct json *j, const struct policy *p, const void *thing)
{
	static const char *const shell[] = { [TARGET_POSIX] = "posix",
		[TARGET_CSH] = "csh",
		[TARGET_FISH] = "fish" };
	const struct target_full *t = thing;

	json_open(j, '{');
	json_kv_str(j, "name", t->pub.name);
	put_place(j, p, &t->at);
	json_kv_str(j, "login", t->pub.login);
	json_kv_str(j, "host", t->pub.host);
	json_kv_num(j, "port", t->pub.port);
	json_kv_open(j, "hostkeys", '[');
	for (size_t i = 0; i < t->pub.nhostkey; i++) {
		json_open(j, '{');
		json_kv_str(j, "type", t->pub.hostkey[i].type);
		json_kv_str(j, "fingerprint", t->pub.hostkey[i].fingerprint);
		json_close(j, '}');
	}
	json_close(j, ']');
	put_strings(j, "more_logins", t->pub.extra_login, t->pub.nextra_login);
	json_kv_open(j, "groups", '[');
	for (size_t i = 0; i < t->ngroup; i++)
		json_str(j, t->group[i]->name);
	json_close(j, ']');
	json_kv_str(
	    j, "principals", t->pub.plain_principal ? "plain" : "qualified");
	json_kv_str(j, "shell", shell[t->pub.shell]);
	if (t->pub.sftp != NULL)
		json_kv_str(j, "sftp", t->pub.sftp);
	if (t->pub.observe_until != 0) {
		json_key(j, "observe_until");
		json_int(j, t->pub.observe_until);
	}
	if (t->pub.seen_from != NULL)
		json_kv_str(j, "seen_from", t->pub.seen_from);
	json_close(j, '}');
}

static void
put_program(struct json *j, const struct policy *p, const void *thing)
{
	const struct program *program = thing;

	json_open(j, '{');
	json_kv_str(j, "name", program->name);
	put_place(j, p, &program->at);
	json_kv_str(j, "path", program->path);
	json_key(j, "on");
	export_where(j, program->where, program->nwhere);
	json_close(j, '}');
}

static void
put_type(struct json *j, const struct policy *p, const void *thing)
{
	const struct type *type = thing;

	json_open(j, '{');
	json_kv_str(j, "name", type->name);
	put_place(j, p, &type->at);
	json_key(j, "pieces");
	export_slot(j, &type->slot);
	json_close(j, '}');
}

static void
put_rule(struct json *j, const struct policy *p, const void *thing)
{
	export_rule(j, p, thing);
}

static const char *
wanted(enum verdict v)
{
	return v == VERDICT_ALLOW      ? "allow"
	       : v == VERDICT_APPROVAL ? "approval"
				       : "deny";
}

static void
put_expect(struct json *j, const struct expect *e)
{
	static const char *const kind[] = { [REQUEST_RUN] = "run",
		[REQUEST_READ] = "read",
		[REQUEST_WRITE] = "write",
		[REQUEST_GIT_READ] = "git-read",
		[REQUEST_GIT_WRITE] = "git-write",
		[REQUEST_INTERACTIVE] = "interactive" };

	json_open(j, '{');
	json_kv_str(j, "want", wanted(e->want));
	json_kv_str(j, "kind", kind[e->kind]);
	json_key(j, e->kind == REQUEST_RUN ? "command" : "path");
	json_strn(j, e->command, e->len);
	if (e->ref != NULL)
		json_kv_str(j, "ref", e->ref);
	if (e->by != BY_ANY)
		json_kv_str(j, "by",
		    e->by == BY_SYNTAX    ? "syntax"
		    : e->by == BY_DEFAULT ? "default"
					  : e->rule.name);
	json_kv_bool(j, "pty", e->pty);
	json_kv_bool(j, "stdin", e->stdin_ok);
	if (e->nsent > 0) {
		json_kv_open(j, "sent", '[');
		for (size_t i = 0; i < e->nsent; i++)
			json_str(j, e->sent[i]);
		json_close(j, ']');
	}
	json_close(j, '}');
}

static void
put_test(struct json *j, const struct policy *p, const void *thing)
{
	const struct test *t = thing;

	json_open(j, '{');
	json_kv_str(j, "name", t->name);
	put_place(j, p, &t->at);
	json_kv_str(j, "as", t->as.name);
	json_kv_open(j, "claims", '{');
	for (size_t i = 0; i < t->ngiven; i++)
		json_kv_str(j, t->given[i].claim, t->given[i].value);
	json_close(j, '}');
	json_kv_str(j, "target", t->where.ref.name);
	if (t->where.login != NULL)
		json_kv_str(j, "login", t->where.login);
	if (t->now != 0) {
		json_key(j, "time");
		json_int(j, t->now);
	}
	json_kv_open(j, "lines", '[');
	for (size_t i = 0; i < t->nexpect; i++)
		put_expect(j, &t->expect[i]);
	json_close(j, ']');
	json_close(j, '}');
}

static void
put_all(struct json *j, const struct policy *p, const char *key, void *const *v,
    size_t n, void (*put)(struct json *, const struct policy *, const void *))
{
	json_kv_open(j, key, '[');
	for (size_t i = 0; i < n; i++)
		put(j, p, v[i]);
	json_close(j, ']');
}

#define PUT_ALL(key, v, n, put)                                                \
	put_all(&j, p, (key), (void *const *)(v), (n), (put))

int
policy_export(const struct policy *p, struct buf *out)
{
	static const char *const level[] = { [EXPLAIN_FULL] = "full",
		[EXPLAIN_RULE] = "rule",
		[EXPLAIN_NONE] = "none" };
	struct json j;

	json_init(&j, out);
	json_open(&j, '{');
	json_kv_num(&j, "export", EXPORT_VERSION);
	json_kv_num(&j, "policy", 1);
	PUT_ALL("issuers", p->issuer, p->nissuer, put_issuer);
	PUT_ALL("identities", p->identity, p->nidentity, put_identity);
	PUT_ALL("persons", p->person, p->nperson, put_person);
	PUT_ALL("people", p->people, p->npeople, put_people);
	PUT_ALL("targets", p->target, p->ntarget, put_target);
	PUT_ALL("programs", p->program, p->nprogram, put_program);
	PUT_ALL("types", p->type, p->ntype, put_type);
	PUT_ALL("rules", p->rule, p->nrule, put_rule);
	PUT_ALL("tests", p->test, p->ntest, put_test);
	json_kv_open(&j, "defaults", '{');
	export_limits(&j, &p->limit);
	export_masks(&j, p, p->masks);
	json_close(&j, '}');
	json_kv_str(&j, "explain", level[p->explain]);
	json_close(&j, '}');
	return json_end(&j);
}
