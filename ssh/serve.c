/*
 * The commands that serve files on a target.  Runs in policy, in the signer and
 * in the hop.  sshd runs its own server for the words `internal-sftp`, without
 * a shell, and only for a subsystem that was asked for; another server is a
 * program like any other, quoted for the login's shell.
 */
#include "config.h"

#include "ssh/serve.h"

#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/proto.h"
#include "ssh/quote.h"

#define SERVE_READS_ONLY SERVE_INTERNAL " -R" /* sftp-server(8) */

static bool
is_internal(const char *program)
{
	return program == NULL || strcmp(program, "internal") == 0;
}

int
serve_sftp_put(const char *program, bool reads_only, struct buf *out)
{
	const char *own = reads_only ? SERVE_READS_ONLY : SERVE_INTERNAL;

	return is_internal(program) ? buf_put(out, own, strlen(own))
				    : quote_argv(&program, 1, out);
}

bool
serve_is_subsystem(const char *wire)
{
	return strcmp(wire, SERVE_INTERNAL) == 0 ||
	       strcmp(wire, SERVE_READS_ONLY) == 0;
}

bool
serve_sftp_ok(const char *wire, const char *program)
{
	struct buf want;
	bool ok;

	if (is_internal(program))
		return serve_is_subsystem(wire);
	buf_init(&want, PROTO_WIRE_MAX);
	ok = serve_sftp_put(program, false, &want) == 0 &&
	     buf_len(&want) == strlen(wire) &&
	     memcmp(buf_ptr(&want), wire, buf_len(&want)) == 0;
	buf_clear(&want);
	return ok;
}

/* -- scp -O ------------------------------------------------------------------
 */

static bool
is_scp(const char *word)
{
	const char *slash = strrchr(word, '/');

	return strcmp(slash == NULL ? word : slash + 1, "scp") == 0;
}

/* A word of options.  false: it is none, or has another letter. */
static bool
scp_options(const char *word, struct serve_scp *s, int *ends)
{
	if (word[0] != '-' || word[1] == '\0' || word[1] == '-')
		return false;
	for (const char *c = word + 1; *c != '\0'; c++) {
		switch (*c) {
		case 'v':
			break;
		case 'r':
			s->recurse = true;
			break;
		case 'p':
			s->times = true;
			break;
		case 'd':
			s->into = true;
			break;
		case 't':
		case 'f':
			s->write = *c == 't';
			(*ends)++;
			break;
		default:
			return false;
		}
	}
	return true;
}

int
serve_scp_read(const char *const *argv, size_t argc, struct serve_scp *out)
{
	struct serve_scp s = { .path = "" };
	size_t i = 1, n;
	int ends = 0;

	if (argc == 0 || !is_scp(argv[0]))
		return ERR_NOTFOUND;
	while (i < argc && scp_options(argv[i], &s, &ends))
		i++;
	if (i < argc && strcmp(argv[i], "--") == 0)
		i++;
	if (ends != 1 || i + 1 != argc)
		return ERR_NOTFOUND;
	n = strlen(argv[i]);
	while (n > 1 && argv[i][n - 1] == '/') {
		s.into |= s.write;
		n--;
	}
	if (path_is_plain(argv[i], n))
		memcpy(s.path, argv[i], n);
	*out = s;
	return 0;
}

int
serve_scp_put(const struct serve_scp *s, struct buf *out)
{
	const char *argv[8];
	size_t n = 0;

	if (s->path[0] == '\0')
		return ERR_FORMAT;
	argv[n++] = SERVE_SCP;
	if (s->recurse)
		argv[n++] = "-r";
	if (s->times)
		argv[n++] = "-p";
	if (s->into)
		argv[n++] = "-d";
	argv[n++] = s->write ? "-t" : "-f";
	argv[n++] = "--";
	argv[n++] = s->path;
	return quote_argv(argv, n, out);
}

bool
serve_scp_ok(const char *wire, struct serve_scp *out)
{
	struct quote_line *l = NULL;
	struct serve_scp s;
	struct buf again;
	bool ok = false;

	if (quote_read(wire, strlen(wire), &l) != 0)
		return false;
	buf_init(&again, PROTO_WIRE_MAX);
	ok = l->dir == NULL && l->n == 1 &&
	     serve_scp_read(l->program[0].argv, l->program[0].argc, &s) == 0 &&
	     serve_scp_put(&s, &again) == 0 &&
	     buf_len(&again) == strlen(wire) &&
	     memcmp(buf_ptr(&again), wire, buf_len(&again)) == 0;
	buf_clear(&again);
	free(l);
	if (ok)
		*out = s;
	return ok;
}
