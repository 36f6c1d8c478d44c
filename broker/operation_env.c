/*
 * What a job sent of its environment, in the policy process: bytes of the
 * client's, up to the decision.  What goes along is the rule's to say
 * (policy/sent.c); the rest is forgotten here.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "broker/operation_internal.h"
#include "lib/err.h"
#include "lib/event.h"
#include "lib/str.h"

/* One variable, behind those that are there. */
static int
get_var(struct buf *b, struct sent *s)
{
	const uint8_t *p;
	char *at = s->text + s->len;
	size_t n;
	int r;

	if ((r = buf_get_view(b, PROTO_ENV_MAX, &p, &n)) != 0)
		return r;
	if (n >= PROTO_ENV_MAX - s->len || memchr(p, '\0', n) != NULL)
		return ERR_PROTO;
	memcpy(at, p, n);
	at[n] = '\0';
	s->len += n + 1;
	s->var[s->n++] = at;
	return env_name_len(at) == 0 ? ERR_PROTO : 0;
}

int
sent_get(struct buf *b, struct sent *s)
{
	uint32_t n;
	int r;

	if ((r = buf_get_u32(b, &n)) != 0 || n == 0)
		return r;
	if (n > PROTO_ENVS_MAX)
		return ERR_PROTO;
	s->text = malloc(PROTO_ENV_MAX);
	s->var = calloc(n, sizeof(*s->var));
	if (s->text == NULL || s->var == NULL)
		return ERR_NOMEM;
	while (s->n < n && r == 0)
		r = get_var(b, s);
	return r;
}

int
sent_copy(const struct sent *from, struct sent *to)
{
	*to = (struct sent){ 0 };
	if (from->n == 0)
		return 0;
	to->text = malloc(from->len);
	to->var = calloc(from->n, sizeof(*to->var));
	if (to->text == NULL || to->var == NULL)
		return ERR_NOMEM;
	memcpy(to->text, from->text, from->len);
	to->len = from->len;
	for (; to->n < from->n; to->n++)
		to->var[to->n] = to->text + (from->var[to->n] - from->text);
	return 0;
}

void
sent_clear(struct sent *s)
{
	if (s->text != NULL)
		explicit_bzero(s->text, s->len);
	free(s->text);
	free(s->var);
	*s = (struct sent){ 0 };
}

/* Its name alone: what it does not fit is no text yet. */
int
sent_denied_event(struct buf *b, const struct decision *d)
{
	char name[ENV_NAME_MAX + 1];
	size_t n;

	if (d->unfit == NULL)
		return 0;
	n = env_name_len(d->unfit);
	memcpy(name, d->unfit, n);
	name[n] = '\0';
	return event_str(b, EV_ENV, name);
}

int
sent_choose(const struct sent *s, const struct request *q, struct plan *p)
{
	if (s->n == 0)
		return 0;
	if ((p->env = calloc(s->n, sizeof(*p->env))) == NULL)
		return ERR_NOMEM;
	for (size_t i = 0; i < s->n; i++) {
		if (decide_env(q, &p->d, s->var[i]))
			p->env[p->nenv++] = s->var[i];
	}
	return 0;
}
