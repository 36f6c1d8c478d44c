/*
 * The inside of the load's second half: what resolve.c and resolve_identity.c
 * share.  Functions return 0, also when they reported errors, or ERR_NOMEM.
 */
#ifndef POSTERN_POLICY_RESOLVER_H
#define POSTERN_POLICY_RESOLVER_H

struct dict;
struct diags;
struct policy;
struct ref;

struct resolver {
	struct policy *p;
	struct diags *d;
};

/* Looks a name up; an unknown one is reported with the nearest, NULL. */
void *resolve_find(struct resolver *v, const struct dict *dict,
    const struct ref *ref, const char *what);
/* Issuers and identities. */
int resolve_identities(struct resolver *v);
/* Persons, people, and the approvals that they give. */
int resolve_people(struct resolver *v);

#endif
