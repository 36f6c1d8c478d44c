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

/* The claim's text, new; NULL for what has none. */
static json_t *
text_of(const json_t *v)
{
	char num[24];

	switch (json_typeof(v)) {
	case JSON_STRING:
		return json_stringn(
		    json_string_value(v), json_string_length(v));
	case JSON_INTEGER:
		(void)snprintf(num, sizeof(num), "%" JSON_INTEGER_FORMAT,
		    json_integer_value(v));
		return json_string(num);
	case JSON_TRUE:
		return json_string("true");
	case JSON_FALSE:
		return json_string("false");
	case JSON_NULL:
	case JSON_REAL:
	case JSON_ARRAY:
	case JSON_OBJECT:
		break;
	}
	return NULL;
}

static bool
has_text(const json_t *v)
{
	return json_is_string(v) || json_is_integer(v) || json_is_boolean(v);
}

static int
add(json_t *flat, const char *name, const json_t *v)
{
	if (!has_text(v))
		return 0;
	if (json_object_get(flat, name) != NULL)
		return ERR_EXISTS;
	if (json_object_size(flat) >= PROTO_CLAIMS_MAX)
		return ERR_TOOBIG;
	return json_object_set_new(flat, name, text_of(v)) == 0 ? 0 : ERR_NOMEM;
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
				return ERR_TOOBIG;
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
