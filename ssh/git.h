/*
 * git's protocol between a job and a repository on a target, version 0, with
 * each ref looked at.  A pure machine: bytes go in on either side, bytes come
 * out on either side.
 *
 *	job    -> git_take(GIT_JOB)    ...  git_out(GIT_TARGET) -> target
 *	target -> git_take(GIT_TARGET) ...  git_out(GIT_JOB)    -> job
 *
 * A push is held back until its list is there and every ref of it was judged:
 * if one may not be pushed, none is, and the target has not heard a byte of the
 * list or the pack.  A fetch sees the refs that it may have, and may ask for
 * what they point to alone.  Capabilities that are not known here are offered
 * to nobody.  Packs are passed on and not looked into.
 *
 * gitprotocol-pack(5), gitprotocol-capabilities(5); git's upload-archive.c.
 */
#ifndef POSTERN_SSH_GIT_H
#define POSTERN_SSH_GIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GIT_REFS_MAX 100000  /* that are remembered of a repository */
#define GIT_WANTS_MAX 100000 /* of one fetch */
#define GIT_PUSH_MAX 10000   /* refs of one push */
#define GIT_ARGS_MAX 64      /* of git archive, as git's own bound */
#define GIT_WHY_MAX 200      /* bytes of a few words, with their NUL */
/* What of a pack is let go to waste before its sender is cut off, so that most
 * hear why. */
#define GIT_DRAIN_MAX (64UL * 1024 * 1024)

struct git;

enum git_side { GIT_JOB = 0, GIT_TARGET = 1 };

enum git_service { GIT_FETCH, GIT_ARCHIVE, GIT_PUSH };

enum git_result { GIT_CUT = 0, GIT_FAILED, GIT_REFUSED, GIT_ASKED, GIT_DONE };

/* A line of the manifest.  Strings live until the callback returns, and may be
 * NULL where there is nothing to say. */
struct git_entry {
	const char *verb; /* fetch, archive; create, update, delete */
	const char *ref, *old, *new;
	const char *rule, *why;
	enum git_result result;
};

struct git_want {
	enum git_service service;
	bool all; /* every ref may be: judge is asked for its rule alone */
	/* May this ref be fetched or pushed to?  The rule's name, or NULL,
	 * and then why[] has a few words. */
	const char *(*judge)(void *arg, const char *ref, char why[GIT_WHY_MAX]);
	void (*entry)(void *arg, const struct git_entry *e);
	/* For the person who looks on. */
	void (*say)(void *arg, const char *text);
	void *arg;
};

int git_new(const struct git_want *w, struct git **out);
/* Takes NULL. */
void git_free(struct git *g);

/* n bytes of that side came; *took says how many were taken, the rest comes
 * again when git_wants says so.  ERR_PROTO: that side broke the protocol, and
 * git_error has the words; the session is over. */
int git_take(
    struct git *g, enum git_side side, const void *p, size_t n, size_t *took);
bool git_wants(const struct git *g, enum git_side side);

/* What waits to be sent to that side; git_sent takes n bytes of it away. */
const uint8_t *git_out(const struct git *g, enum git_side side, size_t *n);
void git_sent(struct git *g, enum git_side side, size_t n);
/* All that the job said was passed on. */
bool git_idle(const struct git *g);

/* Something was refused, and the job has its answer; eof: it says nothing more.
 * Then git_error has the words. */
bool git_refused(const struct git *g, bool eof);

/* It is over: what is half done goes into the manifest. */
void git_end(struct git *g);
const char *git_error(const struct git *g);

#endif
