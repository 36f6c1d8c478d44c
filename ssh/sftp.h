/*
 * SFTP between a job and a target, judged request by request: version 3 of
 * draft-ietf-secsh-filexfer-02 with OpenSSH's extensions (its PROTOCOL file,
 * section 4).  A pure machine: bytes go in on either side, bytes come out on
 * either side, nothing is read, written or waited for here.
 *
 *	job    -> sftp_from_job    ...  sftp_out(SFTP_TARGET) -> target
 *	target -> sftp_from_target ...  sftp_out(SFTP_JOB)    -> job
 *
 * What is sent to the target is never the job's own packet: each request is
 * taken apart, judged and written anew, with the path that was judged.  A path
 * is absolute then, and has no empty part, `.` or `..`.  Where a symbolic link
 * could lead elsewhere, the target is asked for the real path first (REALPATH),
 * while requests that do not depend on it go on.
 *
 * Everything that is not known is refused: requests, extensions, flags, and
 * answers that do not fit what was asked.
 */
#ifndef POSTERN_SSH_SFTP_H
#define POSTERN_SSH_SFTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SFTP_RULES_MAX 256
#define SFTP_PATH_MAX 4095           /* bytes of a path, as Linux has it */
#define SFTP_PACKET_MAX (256 * 1024) /* bytes, as OpenSSH has it */
#define SFTP_REQUESTS_MAX 256        /* without an answer yet */
#define SFTP_HANDLES_MAX 128
#define SFTP_RANGES_MAX 16

struct sftp;

/*
 * One line of a policy: (read | write) under PATH.  A path that a deny line
 * covers is denied; of the others that cover it the first decides, and none
 * denies.
 */
struct sftp_rule {
	const char *name;
	bool deny;
	bool write;
	const char *path;
	uint64_t max; /* bytes, 0: no bound */
	bool no_delete, no_symlinks;
};

enum sftp_verb {
	SFTP_GET,
	SFTP_PUT,
	SFTP_MKDIR,
	SFTP_REMOVE,
	SFTP_RMDIR,
	SFTP_RENAME,
	SFTP_LINK,
	SFTP_SYMLINK,
	SFTP_ATTRS,
};

enum sftp_result {
	SFTP_FAILED = 0, /* the target said so; status has its code */
	SFTP_REFUSED,    /* we did, before the target saw it */
	SFTP_CUT,        /* the session ended before the file was closed */
	SFTP_DONE,
	SFTP_BEGUN, /* its contents pass from here on; another line follows */
};

struct sftp_range {
	uint64_t from, to; /* to: the first byte behind it */
};

/* A line of the manifest.  Strings live until the callback returns. */
struct sftp_entry {
	enum sftp_verb verb;
	enum sftp_result result;
	uint32_t status;  /* SFTP's own code */
	const char *path; /* valid UTF-8, without control characters */
	const char *to;   /* the other path, or NULL */
	const char *rule; /* what granted or denied it, or NULL */
	uint64_t bytes;   /* that passed */
	bool whole;       /* the whole file, in order: sha256 is its digest */
	char sha256[65];
	/* Otherwise: what passed, in the order it first came; `more` when
	 * there were more than fit. */
	const struct sftp_range *range;
	size_t nrange;
	bool more;
	uint32_t begun; /* which BEGUN of the session it is, or ends; 0: none */
};

struct sftp_want {
	const struct sftp_rule *rule; /* must outlive the sftp */
	size_t nrule;
	void (*entry)(void *arg, const struct sftp_entry *e);
	/* Why something was refused: a line for a person. */
	void (*refused)(void *arg, const char *text);
	void *arg;
};

enum sftp_side { SFTP_JOB, SFTP_TARGET };

int sftp_new(const struct sftp_want *w, struct sftp **out);
/* Takes NULL. */
void sftp_free(struct sftp *s);

/*
 * n bytes came; *took says how many were taken.  The rest comes again when
 * sftp_wants says so.  An error ends the session: ERR_PROTO when that side
 * broke the protocol, and sftp_error has the words.
 */
int sftp_from_job(struct sftp *s, const void *p, size_t n, size_t *took);
int sftp_from_target(struct sftp *s, const void *p, size_t n, size_t *took);
/* Would bytes of that side be taken now? */
bool sftp_wants(const struct sftp *s, enum sftp_side side);

/* What waits to be sent to that side; sftp_sent takes n bytes of it away. */
const uint8_t *sftp_out(const struct sftp *s, enum sftp_side side, size_t *n);
int sftp_sent(struct sftp *s, enum sftp_side side, size_t n);

/* No more comes from the job.  True: all that it asked was passed on, and the
 * target may be told. */
bool sftp_idle(const struct sftp *s);
/* The session is over: what is still open goes into the manifest. */
void sftp_end(struct sftp *s);
/* What broke, in words without anybody's bytes; "" when nothing did. */
const char *sftp_error(const struct sftp *s);

#endif
