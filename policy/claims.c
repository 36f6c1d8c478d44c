/*
 * The claims of a token, as policy keeps them for a session.  They were
 * verified by oidc; their text is whatever the issuer wrote.
 */
#include "config.h"

#include "policy/claims.h"

#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "lib/proto.h"

int
claims_add(struct claims *cs, const char *name, const char *value)
{
	struct claim *c, new;

	if (strlen(name) > PROTO_CLAIM_NAME_MAX ||
	    strlen(value) > PROTO_CLAIM_VALUE_MAX ||
	    cs->n >= PROTO_CLAIMS_MAX)
		return ERR_TOOBIG;
	if (claims_get(cs, name) != NULL)
		return ERR_EXISTS;
	c = realloc(cs->c, (cs->n + 1) * sizeof(*c));
	if (c == NULL)
		return ERR_NOMEM;
	cs->c = c;
	new = (struct claim){ .name = strdup(name), .value = strdup(value) };
	if (new.name == NULL || new.value == NULL) {
		free(new.name);
		free(new.value);
		return ERR_NOMEM;
	}
	cs->c[cs->n++] = new;
	return 0;
}

const char *
claims_get(const struct claims *cs, const char *name)
{
	for (size_t i = 0; i < cs->n; i++) {
		if (strcmp(cs->c[i].name, name) == 0)
			return cs->c[i].value;
	}
	return NULL;
}

void
claims_clear(struct claims *cs)
{
	if (cs == NULL)
		return;
	for (size_t i = 0; i < cs->n; i++) {
		free(cs->c[i].name);
		free(cs->c[i].value);
	}
	free(cs->c);
	*cs = (struct claims){ 0 };
}
