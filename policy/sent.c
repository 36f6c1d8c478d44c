/*
 * What a job sends of its environment (SendEnv, SetEnv of ssh), against the
 * `env` lines of the rule that decided.  Runs in policy, beside the decision;
 * names and values are the job's.
 */
#include "config.h"

#include <string.h>

#include "lib/str.h"
#include "policy/decide.h"
#include "policy/judge.h"
#include "policy/match.h"
#include "policy/model.h"

/* The bytes that a word of a command may have, too: the value is quoted as one
 * on its way to the target. */
static bool
is_plain(const char *value)
{
	const uint8_t *p = (const uint8_t *)value;
	size_t left = strlen(value), n;
	uint32_t cp;

	if (left > COMMAND_WORD_MAX)
		return false;
	for (; left > 0; p += n, left -= n) {
		n = utf8_next(p, left, &cp);
		if (n == 0 || utf8_is_control(cp))
			return false;
	}
	return true;
}

const struct env_var *
sent_line(const struct rule *rule, const char *var)
{
	size_t n = env_name_len(var);

	for (size_t i = 0; rule != NULL && n > 0 && i < rule->nenv; i++) {
		if (strlen(rule->env[i].name) == n &&
		    strncmp(rule->env[i].name, var, n) == 0)
			return &rule->env[i];
	}
	return NULL;
}

static bool
takes(const struct env_var *e, const struct request *q, const char *var)
{
	const char *value = var + strlen(e->name) + 1;

	return is_plain(value) &&
	       text_matches_item(&e->value, q->claims, value, strlen(value));
}

bool
decide_env(const struct request *q, const struct decision *d, const char *var)
{
	const struct env_var *e = sent_line(d->rule, var);

	return d->verdict != VERDICT_DENY && !d->stream && e != NULL &&
	       takes(e, q, var);
}

void
sent_judge(const struct request *q, struct decision *d)
{
	const struct env_var *e;

	if (d->meant == VERDICT_DENY)
		return;
	for (size_t i = 0; i < q->nsent; i++) {
		e = sent_line(d->rule, q->sent[i]);
		if (e == NULL || takes(e, q, q->sent[i]))
			continue;
		d->verdict = d->meant = VERDICT_DENY;
		d->unfit = q->sent[i];
		return;
	}
}
