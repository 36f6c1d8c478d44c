/*
 * scp's own protocol (`scp -O`, rcp's of old) between a job and a target,
 * judged line by line.  It has no specification; what is understood here is
 *what OpenSSH's scp.c speaks, and the rest is refused.  A pure machine: bytes
 *go in on either side, bytes come out on either side.
 *
 *	job    -> scp_take(SCP_JOB)    ...  scp_out(SCP_TARGET) -> target
 *	target -> scp_take(SCP_TARGET) ...  scp_out(SCP_JOB)    -> job
 *
 * The protocol takes turns, and so does this: bytes of a side whose turn it is
 * not are not taken.  A name is one name: no `/`, `.` or `..`, no control
 * characters, UTF-8.  What is read from a target begins with the name that was
 * asked for (CVE-2019-6111).  Paths are judged as they are written: a symbolic
 * link on the target is not seen here.
 */
#ifndef POSTERN_SSH_SCP_H
#define POSTERN_SSH_SCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCP_DEPTH_MAX 64  /* folders in folders */
#define SCP_LINE_MAX 4608 /* a name of NAME_MAX, and more of a message */
#define SCP_PATH_MAX 4095
#define SCP_ENTRIES_MAX 100000 /* lines of the manifest */

struct scp;

enum scp_side { SCP_JOB = 0, SCP_TARGET = 1 };

enum scp_result { SCP_FAILED = 0, SCP_REFUSED, SCP_CUT, SCP_DONE, SCP_BEGUN };

/* A line of the manifest.  Strings live until the callback returns. */
struct scp_entry {
	bool write;
	bool folder;
	enum scp_result result;
	const char *path;
	const char *to;   /* where it is if path is a folder; or NULL */
	const char *rule; /* or NULL */
	uint64_t bytes;
	const char *sha256; /* of the whole file; or NULL */
	uint32_t begun; /* which BEGUN of the session it is, or ends; 0: none */
};

struct scp_want {
	bool write;       /* the job sends (`scp -t`) */
	bool recurse;     /* -r */
	bool into;        /* -d: path is a folder */
	const char *path; /* plain; of the target */
	/* May this path be read or written, with so many bytes more?  The
	 * rule's name, or NULL, and then *why is a few words. */
	const char *(*judge)(
	    void *arg, const char *path, uint64_t bytes, const char **why);
	void (*entry)(void *arg, const struct scp_entry *e);
	void *arg;
};

/* w's strings must outlive it. */
int scp_new(const struct scp_want *w, struct scp **out);
/* Takes NULL. */
void scp_free(struct scp *s);

/* n bytes of that side came; *took says how many were taken, the rest comes
 * again when scp_wants says so.  ERR_PROTO: that side broke the protocol, and
 * scp_error has the words; the session is over. */
int scp_take(
    struct scp *s, enum scp_side side, const void *p, size_t n, size_t *took);
bool scp_wants(const struct scp *s, enum scp_side side);

/* What waits to be sent to that side; scp_sent takes n bytes of it away. */
const uint8_t *scp_out(const struct scp *s, enum scp_side side, size_t *n);
void scp_sent(struct scp *s, enum scp_side side, size_t n);

/* It is over: what is half done goes into the manifest. */
void scp_end(struct scp *s);
const char *scp_error(const struct scp *s);

#endif
