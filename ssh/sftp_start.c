/*
 * The start of a session: where the target's server is, and where the folders
 * of the rules really are.  Runs in the hop.  Believes the target.
 */
#include "config.h"

#include <string.h>

#include "lib/err.h"
#include "ssh/sftp_internal.h"

static void
start_ask(struct sftp *s, unsigned int which, const char *path)
{
	struct sftp_queue *out = sftp_to(s, SFTP_TARGET);

	sftp_begin(out, FXP_REALPATH);
	sftp_put_u32(out, which << 16 | (uint32_t)ASK_START << 8);
	sftp_put_cstr(out, path);
	sftp_finish(out, 0);
	s->starting++;
}

/* Where we are, and where the folders of the rules really are. */
int
sftp_start_ask(struct sftp *s)
{
	start_ask(s, 0, ".");
	for (size_t i = 0; i < s->want.nrule; i++)
		start_ask(s, (unsigned int)i + 1, s->want.rule[i].path);
	return 0;
}

int
sftp_start_answer(
    struct sftp *s, unsigned int which, unsigned int type, struct buf *b)
{
	char **at, *path = NULL;
	uint32_t code;

	if (s->phase != PHASE_START || which > s->want.nrule)
		return sftp_broke(s, "the target answered what was not asked");
	at = which == 0 ? &s->start : &s->root[which - 1].real;
	if (*at != NULL)
		return sftp_broke(s, "the target answered twice");
	if (type == FXP_NAME && sftp_answer_path(b, &path) == 0) {
		*at = path;
	} else if (which > 0 && type == FXP_STATUS &&
		   buf_get_u32(b, &code) == 0 && code != FX_OK) {
		/* It is not there: then nothing leads elsewhere. */
		*at = strdup(s->want.rule[which - 1].path);
		if (*at == NULL)
			return ERR_NOMEM;
	} else {
		return sftp_broke(s, "the target does not say where its "
				     "server starts");
	}
	s->starting--;
	return 0;
}
