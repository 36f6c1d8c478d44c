/*
 * The claims of a verified token, as text: what identities are matched on.
 * Conversion to text is oidc's (lib/claimtext.h).
 */
#ifndef POSTERN_POLICY_CLAIMS_H
#define POSTERN_POLICY_CLAIMS_H

#include <stddef.h>

struct claim {
	char *name;
	char *value;
};

struct claims {
	struct claim *c;
	size_t n;
};

/* Adds a copy; ERR_TOOBIG past PROTO_CLAIMS_MAX, ERR_EXISTS for a second one
 * of the same name. */
int claims_add(struct claims *cs, const char *name, const char *value);
/* The value, NULL when the claim is missing. */
const char *claims_get(const struct claims *cs, const char *name);
void claims_clear(struct claims *cs);

#endif
