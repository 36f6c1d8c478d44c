/*
 * The `issuer` statement.  The preset's row fills in what the block leaves
 * out; what the row knows about claims is used in resolve.c.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "lib/err.h"
#include "lib/str.h"
#include "policy/arena.h"
#include "policy/parse.h"
#include "policy/preset.h"
#include "policy/slot.h"

struct issuer_block {
	struct issuer_full *is;
	struct parse_list audience, algorithm;
	bool preset, url, max_age, leeway, replay, keys_file, keys_url;
	struct place preset_at;
};

static int
issuer_preset(struct parser *ps, void *ctx)
{
	struct issuer_block *b = ctx;
	const struct preset *row = preset_table();
	struct diag_near near;
	char text[NEAR_TEXT_MAX];
	struct ref ref;
	int r;

	if ((r = parse_once(ps, &b->preset)) != 0)
		return r;
	parse_next(ps, LEX_POLICY);
	if ((r = parse_word(ps, "a preset, as github, gitlab or custom", &ref)) != 0)
		return r;
	near = diag_near(ref.name);
	for (; row->name != NULL; row++) {
		if (strcmp(row->name, ref.name) == 0)
			break;
		diag_near_try(&near, row->name);
	}
	if (row->name == NULL)
		return parse_error_at(ps, &ref.at, "there is no preset "
		    "`%.80s`%s", ref.name, near_text(&near, text, sizeof(text)));
	b->is->preset = row;
	b->is->pub.preset = row->name;
	return 0;
}

/* https://HOST[:PORT][/PATH], compared as it is with a token's iss. */
static bool
url_valid(const char *s)
{
	static const char scheme[] = "https://";
	size_t host;

	if (strncmp(s, scheme, strlen(scheme)) != 0)
		return false;
	s += strlen(scheme);
	host = strcspn(s, "/");
	if (host == 0 || s[0] == ':')
		return false;
	for (size_t i = 0; s[i] != '\0'; i++) {
		if (s[i] <= ' ' || s[i] > '~' || strchr("?#@\\\"<>", s[i]))
			return false;
	}
	return true;
}

static int
issuer_url(struct parser *ps, void *ctx)
{
	struct issuer_block *b = ctx;
	struct ref ref;
	int r;

	if ((r = parse_once(ps, &b->url)) != 0)
		return r;
	parse_next(ps, LEX_POLICY);
	if ((r = parse_string(ps, "the issuer's URL as a string", &ref)) != 0)
		return r;
	if (!url_valid(ref.name))
		return parse_error_at(ps, &ref.at, "expected a URL of the form "
		    "https://HOST/PATH, without user, query or fragment");
	b->is->pub.url = ref.name;
	return 0;
}

static int
keys_twice(struct parser *ps, const struct ref *ref)
{
	return parse_error_at(ps, &ref->at,
	    "an issuer's keys are from one place: keys-file or keys-url");
}

/* Of an issuer whose own word on where its keys lie is not to be asked for, or
 * leads to another host. */
static int
issuer_keys_url(struct parser *ps, void *ctx)
{
	struct issuer_block *b = ctx;
	struct ref ref;
	int r;

	if ((r = parse_once(ps, &b->keys_url)) != 0)
		return r;
	parse_next(ps, LEX_POLICY);
	if ((r = parse_string(ps, "the key set's URL as a string", &ref)) != 0)
		return r;
	if (!url_valid(ref.name))
		return parse_error_at(ps, &ref.at,
		    "expected a URL of the form "
		    "https://HOST/PATH, without user, query or fragment");
	b->is->pub.keys_url = ref.name;
	return b->is->pub.keys_file == NULL ? 0 : keys_twice(ps, &ref);
}

static int
issuer_audience(struct parser *ps, void *ctx)
{
	struct issuer_block *b = ctx;
	struct ref ref;
	int r;

	parse_next(ps, LEX_POLICY);
	do {
		if ((r = parse_string(ps, "an audience as a string", &ref)) != 0)
			return r;
		if (*ref.name == '\0')
			return parse_error_at(ps, &ref.at,
			    "an audience cannot be empty");
		if ((r = parse_list_add(ps, &b->audience, &ref, "audience")) != 0)
			return r;
	} while (ps->t.kind == LEX_STRING);
	return 0;
}

static int
issuer_algorithms(struct parser *ps, void *ctx)
{
	struct issuer_block *b = ctx;
	struct ref ref;
	int r;

	parse_next(ps, LEX_POLICY);
	do {
		if ((r = parse_word(ps, "an algorithm: RS256 or ES256",
		    &ref)) != 0)
			return r;
		if (strncmp(ref.name, "HS", 2) == 0 ||
		    strcasecmp(ref.name, "none") == 0)
			return parse_error_at(ps, &ref.at, "`%.80s` is never "
			    "accepted: it proves no issuer", ref.name);
		if (strcmp(ref.name, "RS256") != 0 &&
		    strcmp(ref.name, "ES256") != 0)
			return parse_error_at(ps, &ref.at,
			    "`%.80s` is not "
			    "accepted: tokens are signed with RS256 or ES256",
			    ref.name);
		if ((r = parse_list_add(ps, &b->algorithm, &ref,
		    "algorithm")) != 0)
			return r;
	} while (ps->t.kind == LEX_WORD);
	return 0;
}

static int
duration(struct parser *ps, uint64_t max, const char *max_text, uint32_t *out)
{
	uint64_t s = 0;
	int r;

	parse_next(ps, LEX_POLICY);
	if ((r = parse_duration(ps, max, max_text, &s)) == 0)
		*out = (uint32_t)s;
	return r;
}

static int
issuer_max_age(struct parser *ps, void *ctx)
{
	struct issuer_block *b = ctx;
	int r = parse_once(ps, &b->max_age);

	return r != 0 ? r : duration(ps, 86400, "1d", &b->is->pub.max_age_s);
}

static int
issuer_leeway(struct parser *ps, void *ctx)
{
	struct issuer_block *b = ctx;
	int r = parse_once(ps, &b->leeway);

	return r != 0 ? r : duration(ps, 60, "60s", &b->is->pub.leeway_s);
}

static int
issuer_replay(struct parser *ps, void *ctx)
{
	struct issuer_block *b = ctx;
	int r;

	if ((r = parse_once(ps, &b->replay)) != 0)
		return r;
	parse_next(ps, LEX_POLICY);
	if (!parse_is_word(ps, "once") && !parse_is_word(ps, "off"))
		return parse_expected(ps, "`once` or `off`");
	b->is->pub.once = parse_is_word(ps, "once");
	parse_next(ps, LEX_POLICY);
	return 0;
}

/* Where an issuer cannot be asked, its keys lie in a file. */
static int
issuer_keys_file(struct parser *ps, void *ctx)
{
	struct issuer_block *b = ctx;
	struct ref ref;
	int r;

	if ((r = parse_once(ps, &b->keys_file)) != 0)
		return r;
	parse_next(ps, LEX_POLICY);
	if ((r = parse_string(ps, "the file's path as a string", &ref)) != 0)
		return r;
	if (!path_is_plain(ref.name, strlen(ref.name)))
		return parse_error_at(ps, &ref.at,
		    "expected an absolute path "
		    "without empty, `.` or `..` parts");
	b->is->pub.keys_file = ref.name;
	return b->is->pub.keys_url == NULL ? 0 : keys_twice(ps, &ref);
}

static const struct parse_row issuer_rows[] = {
	{ "preset", issuer_preset },
	{ "url", issuer_url },
	{ "audience", issuer_audience },
	{ "algorithms", issuer_algorithms },
	{ "max-age", issuer_max_age },
	{ "leeway", issuer_leeway },
	{ "replay", issuer_replay },
	{ "keys-file", issuer_keys_file },
	{ "keys-url", issuer_keys_url },
};

#define LEEWAY_S 30

/* What the preset says where the block says nothing. */
static int
issuer_finish(struct parser *ps, struct issuer_block *b, const struct ref *name)
{
	struct issuer *is = &b->is->pub;
	const struct preset *row = b->is->preset;
	size_t n = 0;

	is->audience = b->audience.v;
	is->naudience = b->audience.n;
	is->algorithm = b->algorithm.v;
	is->nalgorithm = b->algorithm.n;
	if (!b->leeway)
		is->leeway_s = LEEWAY_S;
	if (!b->preset)
		return parse_error_at(ps, &name->at, "issuer `%s` has no "
		    "`preset`, as github, gitlab or custom", name->name);
	if (!b->max_age)
		is->max_age_s = row->max_age_s;
	is->max_life_s = row->max_life_s != 0 ? row->max_life_s : PRESET_LIFE_S;
	if (!b->replay)
		is->once = row->once;
	if (is->nalgorithm == 0) {
		while (row->algorithm[n] != NULL)
			n++;
		is->algorithm = row->algorithm;
		is->nalgorithm = n;
	}
	if (!b->url && (is->url = row->url) == NULL)
		return parse_error_at(ps, &name->at, "issuer `%s` has no `url`",
		    name->name);
	if (is->naudience == 0)
		return parse_error_at(ps, &name->at, "issuer `%s` has no "
		    "`audience`: a token made for others would open this door",
		    name->name);
	return 0;
}

int
parse_issuer(struct parser *ps, void *ctx)
{
	struct policy *p = ps->p;
	struct issuer_block b = { 0 };
	struct issuer_full *first, **v;
	struct ref name;
	size_t errors;
	int r;

	(void)ctx;
	parse_next(ps, LEX_POLICY);
	if ((r = parse_name(ps, "the issuer's name", &name)) != 0)
		return r;
	if ((b.is = arena_get(p->arena, sizeof(*b.is))) == NULL ||
	    (v = arena_extend(p->arena, p->issuer, p->nissuer, &p->capissuer,
	    sizeof(*v))) == NULL)
		return ERR_NOMEM;
	p->issuer = v;
	b.is->pub.name = name.name;
	b.is->at = name.at;
	first = dict_get(&p->issuers, name.name);
	r = parse_define(ps, &p->issuers, &name, "issuer", b.is,
	    first == NULL ? &name.at : &first->at);
	if (r == 0)
		p->issuer[p->nissuer++] = b.is;
	else if (r != ERR_EXISTS)
		return r;
	if (!parse_is_punct(ps, '{')) {
		(void)parse_expected(ps, "`{`");
		if (!parse_to_block(ps))
			return ERR_FORMAT;
	}
	errors = diags_count(ps->d);
	if ((r = parse_block(ps, ROWS(issuer_rows), "a setting of an issuer",
	    &b)) != 0)
		return r;
	/* What a faulty line failed to set is not reported as missing. */
	if (diags_count(ps->d) == errors)
		(void)issuer_finish(ps, &b, &name);
	return 0;
}
