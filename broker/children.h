/*
 * The four processes that posternd starts, and starts again: their table, what
 * they are handed, and their links.
 */
#ifndef POSTERN_BROKER_CHILDREN_H
#define POSTERN_BROKER_CHILDREN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "broker/alarm.h"
#include "broker/setup.h"

struct msg;
struct peer;

/* In the order in which an upgrade replaces them. */
enum { AUDIT, SIGNER, POLICY, OIDC, NCHILD };

struct child {
	const char *name;
	const char *account;
	unsigned int proc;
	struct account acct;
	struct peer *peer;
	pid_t pid; /* 0: none runs */
	int64_t born_ms;
	int64_t backoff_ms;
	struct timer *restart; /* when that is over; NULL */
	bool ready;
	bool replaced; /* was told to make room for a newer one */
	bool foreign;  /* speaks another version of messages, and is killed */
	struct alarm deaths;
};

/* Who talks to whom.  The end of a process that is being started again is held
 * here: its siblings have theirs at once, and what they say meanwhile waits in
 * the socket. */
struct link {
	int child[2];
	int held[2];
};

/* What is opened once and handed to each new life of a child. */
enum given_kind { GIVEN_LISTEN, GIVEN_FOLDER };
struct given {
	int child;
	enum given_kind kind;
	const char *name;
	int fd;
};

/* The rows of the three tables; NULL behind the last. */
struct child *children_get(size_t i);
struct link *children_link(size_t i);
struct given *children_given(size_t i);

/* The descriptor behind a given name, which is the table's now. */
void children_give(const char *name, int fd);
bool children_has(const char *name);

/* Starts c, or tries again later.  Nothing when all stop. */
void children_start(struct child *c);
/* The connection to a child that an earlier posternd started: takes fd. */
void children_adopt(struct child *c, int fd);
/* Of what is held for children that are dead nobody waits any more. */
void children_drop_links(void);
/* Hands the siblings of c, which has died or makes room, their links to the
 * next one. */
void children_renew_links(struct child *c);
/* Opens path and hands it to c as name; one that does not exist is left out. */
int children_send_opened(
    struct child *c, const char *name, const char *path, int flags);
/* A message without fields, if c can be told anything. */
void children_tell(struct child *c, uint32_t type);
/* After ms those that still run are killed; only (if not NULL): that one, if it
 * still makes room. */
void children_stop_by(int64_t ms, struct child *only);

/* The posternd before this one has died. */
void children_alarm_own(void);
/* Audit is asked to write down the deaths that it has not. */
void children_alarm(void);
/* Was reaped: false when pid is no child. */
bool children_dead(pid_t pid, int status);
bool children_ready(void); /* every one serves */
bool children_alive(void); /* every one is there */
bool children_gone(void);  /* none runs */
/* Messages wait for a child that does not read. */
bool children_queued(void);

#endif
