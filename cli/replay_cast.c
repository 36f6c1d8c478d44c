/*
 * postern replay --cast: a recording, or a broker shell with its operations, as
 * one asciicast v2 for other players.  What targets sent is in there as it was:
 * to a file or a program, never to a terminal.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "audit/castread.h"
#include "audit/replay.h"
#include "cli/cli.h"
#include "lib/err.h"

int
cli_replay_cast(int fd, struct splice *s, const struct replay_options *o)
{
	struct castread *cr = NULL;
	struct replay_cast found = { 0 };
	int r = 0;

	(void)fflush(stdout);
	if (s == NULL)
		r = castread_open(fd, &cr);
	if (r == 0)
		r = replay_cast(cr, s, STDOUT_FILENO, o, &found);
	castread_free(cr);
	if (r != 0) {
		cli_error("the recording cannot be written: %s", err_text(r));
		return CLI_EX_FAILED;
	}
	if (found.damaged > 0)
		cli_error("%" PRIu64 " damaged lines of the recording were "
			  "left out",
		    found.damaged);
	if (found.cut)
		cli_error("the recording ends in the middle of a line");
	return found.damaged > 0 || found.cut ? CLI_EX_FAILED : 0;
}
