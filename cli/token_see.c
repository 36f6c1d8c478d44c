/*
 * A token that a person names, read and taken apart as postern-oidc does it.
 * Runs in `postern token`; the text is kept where secrets are.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "broker/peek.h"
#include "cli/cli.h"
#include "cli/token.h"
#include "lib/err.h"
#include "policy/preset.h"

#define SPACE_MAX 1024 /* blanks and line ends around a token */

static int
slurp(int fd, struct secret *s)
{
	uint8_t chunk[4096];
	ssize_t n;
	int r = 0;

	while (r == 0 && (n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n > 0)
			r = secret_append(s, chunk, (size_t)n);
		else if (errno != EINTR)
			r = ERR_SYS;
	}
	explicit_bzero(chunk, sizeof(chunk));
	return r;
}

static bool
is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* How the presets' issuers write their iss, and what only their tokens have;
 * the first row that fits.  A preset's own url is looked at before. */
static const struct guess {
	const char *preset, *begins, *part, *ends, *claim;
} guesses[] = {
	{ "circleci", "https://oidc.circleci.com", NULL, NULL, NULL },
	{ "bitbucket", "https://api.bitbucket.org/", NULL, NULL, NULL },
	{ "azure-devops", "https://vstoken.dev.azure.com/", NULL, NULL, NULL },
	{ "aws", NULL, ".tokens.sts.", ".api.aws", NULL },
	{ "spacelift", NULL, ".app.spacelift.io", NULL, NULL },
	{ "github", "https://token.actions.", NULL, NULL, NULL },
	{ "ghes", NULL, NULL, "/_services/token", NULL },
	{ "forgejo", NULL, NULL, "/api/actions", NULL },
	{ "kubernetes", NULL, NULL, NULL, "kubernetes.io/namespace" },
	{ "gitlab", NULL, NULL, NULL, "ci_config_ref_uri" },
	{ "gitlab", NULL, NULL, NULL, "pipeline_source" },
	{ "ghes", NULL, NULL, NULL, "job_workflow_ref" },
	{ "terraform", NULL, NULL, NULL, "terraform_run_id" },
	{ "buildkite", NULL, NULL, NULL, "pipeline_slug" },
	{ "jenkins", NULL, NULL, NULL, "build_number" },
};

static bool
ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && strcmp(s + n - k, end) == 0;
}

static bool
fits(const struct guess *g, const struct seen *s)
{
	const char *iss = s->iss;

	return (g->begins == NULL ||
		   strncmp(iss, g->begins, strlen(g->begins)) == 0) &&
	       (g->part == NULL || strstr(iss, g->part) != NULL) &&
	       (g->ends == NULL || ends_with(iss, g->ends)) &&
	       (g->claim == NULL || claims_get(&s->claims, g->claim) != NULL);
}

static void
guess_preset(struct seen *s)
{
	const struct preset *row = preset_table();

	s->by = "by its issuer";
	for (; row->name != NULL; row++) {
		if (row->url != NULL && strcmp(row->url, s->iss) == 0) {
			s->row = row;
			return;
		}
	}
	for (size_t i = 0; i < sizeof(guesses) / sizeof(guesses[0]); i++) {
		if (!fits(&guesses[i], s))
			continue;
		s->row = preset_find(guesses[i].preset);
		if (guesses[i].claim != NULL)
			s->by = "by its claims";
		return;
	}
	s->row = preset_find("custom");
	s->by = "nothing tells";
	if (s->sub != NULL &&
	    strncmp(s->sub, "spiffe://", strlen("spiffe://")) == 0) {
		s->row = preset_find("spiffe");
		s->by = "by its subject";
	}
}

/* Texts and lists of texts; nothing else is an audience. */
static void
fill(struct seen *s)
{
	const struct peek *p = s->peek;
	const json_t *aud = json_object_get(p->claims, "aud"), *v;
	size_t i;

	s->iss = p->iss;
	s->sub = p->sub;
	s->alg = p->alg;
	s->iat = p->iat;
	s->exp = p->exp;
	s->nbf = p->nbf;
	if (json_is_string(aud))
		s->aud[s->naud++] = json_string_value(aud);
	json_array_foreach(aud, i, v)
	{
		if (json_is_string(v) && s->naud < SEEN_AUD_MAX)
			s->aud[s->naud++] = json_string_value(v);
	}
}

static int
take_apart(struct seen *s)
{
	const char *token = (const char *)s->text.d, *why = "it is empty";
	const char *name;
	size_t n = s->text.len;
	const json_t *v;
	int r = ERR_FORMAT;

	for (; n > 0 && is_space((uint8_t)*token); n--)
		token++;
	while (n > 0 && is_space((uint8_t)token[n - 1]))
		n--;
	if (n > PEEK_TOKEN_MAX)
		why = "it is longer than 16 KiB";
	else if (n > 0)
		r = peek_open(token, n, &s->peek, &why);
	if (r != 0) {
		cli_error(
		    "this is no token that the bastion would take: %s", why);
		return CLI_EX_FAILED;
	}
	json_object_foreach((json_t *)(uintptr_t)s->peek->texts, name, v)
	{
		if (claims_add(&s->claims, name, json_string_value(v)) != 0)
			return CLI_EX_FAILED;
	}
	fill(s);
	guess_preset(s);
	return 0;
}

int
token_see(const char *path, struct seen *out)
{
	struct seen s = { .row = NULL };
	int fd = STDIN_FILENO, r;

	if (path != NULL && strcmp(path, "-") != 0 &&
	    (fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)) == -1) {
		cli_error("%s: %s", path, strerror(errno));
		return CLI_EX_FAILED;
	}
	if (fd == STDIN_FILENO && isatty(fd))
		cli_error("paste the token, then press Enter and Ctrl-D");
	if ((r = secret_init(&s.text, PEEK_TOKEN_MAX + SPACE_MAX)) == 0)
		r = slurp(fd, &s.text);
	if (fd != STDIN_FILENO)
		(void)close(fd);
	if (r != 0) {
		cli_error(r == ERR_TOOBIG
			      ? "this is no token: it is longer than 16 KiB"
			      : "the token cannot be read");
		r = CLI_EX_FAILED;
	} else {
		r = take_apart(&s);
	}
	if (r == 0)
		*out = s;
	else
		token_unsee(&s);
	return r;
}

void
token_unsee(struct seen *s)
{
	peek_free(s->peek);
	claims_clear(&s->claims);
	secret_clear(&s->text);
	*s = (struct seen){ .row = NULL };
}

int
token_fits(const struct seen *s, const struct issuer *is, int64_t now,
    const char **why)
{
	return peek_check(s->peek, is, now, why);
}
