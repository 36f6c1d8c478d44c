/*
 * Claims as text.  Runs in postern-oidc on what an issuer signed, and in the
 * tools on what anybody gave them; names and values are not to be trusted.
 */
#include "config.h"

#include "lib/claimtext.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "lib/err.h"
#include "lib/proto.h"

#define NUM_MAX 24 /* an int64_t in decimal */

/* The claim's text, for has_text(v) alone.  num: room for an integer. */
static const char *
text_of(const json_t *v, char *num)
{
	if (json_is_string(v))
		return json_string_value(v);
	if (json_is_boolean(v))
		return json_is_true(v) ? "true" : "false";
	(void)snprintf(
	    num, NUM_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	return num;
}

static bool
has_text(const json_t *v)
{
	return json_is_string(v) || json_is_integer(v) || json_is_boolean(v);
}

static int
add(json_t *flat, const char *name, const json_t *v)
{
	char num[NUM_MAX];

	if (!has_text(v))
		return 0;
	if (json_object_get(flat, name) != NULL)
		return ERR_EXISTS;
	if (json_object_size(flat) >= PROTO_CLAIMS_MAX)
		return ERR_TOOBIG;
	return json_object_set_new(flat, name, json_string(text_of(v, num))) ==
		       0
		   ? 0
		   : ERR_NOMEM;
}

/* What is in one object; depth: how many are around it. */
static int
walk(json_t *flat, const json_t *object, const char *path, int depth)
{
	char name[PROTO_CLAIM_NAME_MAX + 1];
	size_t n = strlen(path);
	const char *key, *full;
	json_t *v;
	int r = 0;

	json_object_foreach((json_t *)(uintptr_t)object, key, v)
	{
		if (!has_text(v) && !json_is_object(v))
			continue;
		full = key;
		if (depth > 0) {
			if ((size_t)snprintf(name, sizeof(name), "%s%s%s", path,
				path[n - 1] == '/' ? "" : "/",
				key) >= sizeof(name))
				continue; /* claimtext_cut says so */
			full = name;
		}
		if (!json_is_object(v))
			r = add(flat, full, v);
		else if (depth + 1 < CLAIMTEXT_DEPTH && *key != '\0')
			r = walk(flat, v, full, depth + 1);
		if (r != 0)
			return r;
	}
	return 0;
}

int
claimtext_flatten(const json_t *claims, json_t **out)
{
	json_t *flat = json_object();
	int r = flat == NULL ? ERR_NOMEM : walk(flat, claims, "", 0);

	if (r != 0) {
		json_decref(flat);
		return r;
	}
	*out = flat;
	return 0;
}

/* The first in one object that is left out for its length; path: room. */
static bool
cut_in(const json_t *object, size_t npath, bool slash, int depth)
{
	const char *key;
	json_t *v;
	size_t n;

	json_object_foreach((json_t *)(uintptr_t)object, key, v)
	{
		if (!has_text(v) && !json_is_object(v))
			continue;
		n = strlen(key) + (depth > 0 ? npath + !slash : 0);
		if (depth > 0 && n > PROTO_CLAIM_NAME_MAX)
			return true;
		if (json_is_object(v) && depth + 1 < CLAIMTEXT_DEPTH &&
		    *key != '\0' &&
		    cut_in(v, n, key[strlen(key) - 1] == '/', depth + 1))
			return true;
	}
	return false;
}

bool
claimtext_cut(const json_t *claims)
{
	return cut_in(claims, 0, false, 0);
}

/* Most issuers nest nothing: no two claims can have one name, no path is to be
 * made.  ERR_NOTFOUND: this one does. */
static int
each_flat(json_t *claims, claimtext_fn *tell, void *ctx)
{
	const char *name;
	char num[NUM_MAX];
	json_t *v;
	size_t n = 0;
	int r = 0;

	json_object_foreach(claims, name, v)
	{
		if (json_is_object(v))
			return ERR_NOTFOUND;
		n += has_text(v);
	}
	if (n > PROTO_CLAIMS_MAX)
		return ERR_TOOBIG;
	json_object_foreach(claims, name, v)
	{
		if (r == 0 && has_text(v))
			r = tell(ctx, n, name, text_of(v, num));
	}
	return r;
}

int
claimtext_each(const json_t *claims, claimtext_fn *tell, void *ctx)
{
	json_t *flat = NULL;
	int r;

	r = each_flat((json_t *)(uintptr_t)claims, tell, ctx);
	if (r != ERR_NOTFOUND || (r = claimtext_flatten(claims, &flat)) != 0)
		return r;
	r = each_flat(flat, tell, ctx);
	json_decref(flat);
	return r;
}
