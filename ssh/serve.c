/*
 * The commands that serve files on a target.  Runs in policy, in the signer and
 * in the hop.  sshd runs its own server for the words `internal-sftp`, without
 * a shell, and only for a subsystem that was asked for; another server is a
 * program like any other, quoted for the login's shell.
 */
#include "config.h"

#include "ssh/serve.h"

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
