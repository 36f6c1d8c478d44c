/*
 * The requests that are under way: a slot for each, its number on the target's
 * side, and its end, where the job is told and the manifest has its line.  Runs
 * in the hop.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "lib/err.h"
#include "ssh/sftp_internal.h"

/* PROTOCOL, section 4: what a version string must be for us to know it. */
static const struct {
	const char *name, *version;
	unsigned int ext;
} extensions[] = {
	{ "posix-rename@openssh.com", "1", EXT_POSIX_RENAME },
	{ "statvfs@openssh.com", "2", EXT_STATVFS },
	{ "fstatvfs@openssh.com", "2", EXT_FSTATVFS },
	{ "hardlink@openssh.com", "1", EXT_HARDLINK },
	{ "fsync@openssh.com", "1", EXT_FSYNC },
	{ "lsetstat@openssh.com", "1", EXT_LSETSTAT },
	{ "limits@openssh.com", "1", EXT_LIMITS },
	{ "expand-path@openssh.com", "1", EXT_EXPAND_PATH },
	{ "copy-data", "1", EXT_COPY_DATA },
	{ "home-directory", "1", EXT_HOME_DIRECTORY },
	{ "users-groups-by-id@openssh.com", "1", EXT_USERS_GROUPS },
};
#define NEXTENSIONS (sizeof(extensions) / sizeof(extensions[0]))

const char *
sftp_extension_name(unsigned int ext, const char **version)
{
	for (size_t i = 0; i < NEXTENSIONS; i++) {
		if (extensions[i].ext != ext)
			continue;
		*version = extensions[i].version;
		return extensions[i].name;
	}
	return NULL;
}

unsigned int
sftp_extension_find(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < NEXTENSIONS; i++) {
		if (n == strlen(extensions[i].name) &&
		    memcmp(p, extensions[i].name, n) == 0)
			return extensions[i].ext;
	}
	return 0;
}

/* -- slots -------------------------------------------------------------------
 */

struct sftp_req *
sftp_req_new(struct sftp *s, unsigned int type, uint32_t id)
{
	struct sftp_req *q = s->req;

	while (q->used)
		q++;
	*q = (struct sftp_req){
		.used = true,
		.gen = ++s->gen,
		.type = type,
		.id = id,
		.handle = -1,
	};
	s->nreq++;
	return q;
}

void
sftp_req_free(struct sftp *s, struct sftp_req *q)
{
	struct sftp_paths *p = q->paths;

	if (p != NULL) {
		s->held -= p->held;
		free(p->path);
		free(p->to);
		free(p->content);
		for (int i = 0; i < ASK_N; i++)
			free(p->answer[i]);
		free(p);
	}
	*q = (struct sftp_req){ 0 };
	s->nreq--;
}

uint32_t
sftp_req_wire(const struct sftp *s, const struct sftp_req *q, enum sftp_ask ask)
{
	return (uint32_t)q->gen << 16 | (uint32_t)ask << 8 |
	       (uint32_t)(q - s->req);
}

struct sftp_queue *
sftp_req_begin(struct sftp *s, const struct sftp_req *q)
{
	struct sftp_queue *out = sftp_to(s, SFTP_TARGET);
	const char *version, *name = sftp_extension_name(q->type, &version);

	sftp_begin(out, name != NULL ? FXP_EXTENDED : q->type);
	sftp_put_u32(out, sftp_req_wire(s, q, ASK_ITSELF));
	if (name != NULL)
		sftp_put_cstr(out, name);
	return out;
}

/* -- said to the job ---------------------------------------------------------
 */

int
sftp_malformed(struct sftp *s, uint32_t id)
{
	sftp_status(s, id, FX_BAD_MESSAGE, "malformed request");
	return 0;
}

int
sftp_refused(struct sftp *s, uint32_t id)
{
	sftp_status(s, id, FX_PERMISSION_DENIED, s->text);
	if (s->want.refused != NULL)
		s->want.refused(s->want.arg, s->text);
	return 0;
}

/* -- refused, reported -------------------------------------------------------
 */

static int
req_verb(const struct sftp_req *q)
{
	switch (q->type) {
	case FXP_OPEN:
		return sftp_open_writes(q->paths->pflags) ? SFTP_PUT : SFTP_GET;
	case FXP_MKDIR:
		return SFTP_MKDIR;
	case FXP_REMOVE:
		return SFTP_REMOVE;
	case FXP_RMDIR:
		return SFTP_RMDIR;
	case FXP_RENAME:
	case EXT_POSIX_RENAME:
		return SFTP_RENAME;
	case EXT_HARDLINK:
		return SFTP_LINK;
	case FXP_SYMLINK:
		return SFTP_SYMLINK;
	case FXP_SETSTAT:
	case EXT_LSETSTAT:
		return SFTP_ATTRS;
	default:
		return -1;
	}
}

void
sftp_req_report(struct sftp *s, const struct sftp_req *q,
    enum sftp_result result, uint32_t status)
{
	const struct sftp_paths *p = q->paths;
	struct sftp_entry e = { .result = result, .status = status };
	int verb = p == NULL ? -1 : req_verb(q);

	if (verb == -1 || s->want.entry == NULL)
		return;
	e.verb = (enum sftp_verb)verb;
	e.path = p->path;
	e.to = p->to;
	if (q->handle != -1)
		e.begun = s->handle[q->handle].put.begun;
	if (result == SFTP_REFUSED)
		e.rule = s->rule;
	else if (p->wr_root != -1)
		e.rule = s->want.rule[p->wr_root].name;
	else if (p->rd_root != -1)
		e.rule = s->want.rule[p->rd_root].name;
	s->want.entry(s->want.arg, &e);
}

void
sftp_req_refuse(struct sftp *s, struct sftp_req *q, uint32_t code)
{
	enum sftp_access access = sftp_access_of(q->type);

	sftp_req_report(s, q, SFTP_REFUSED, code);
	sftp_status(s, q->id, code, s->text);
	/* A client looks around before it does something. */
	if (access != ACCESS_STAT && s->want.refused != NULL)
		s->want.refused(s->want.arg, s->text);
	sftp_req_free(s, q);
}
