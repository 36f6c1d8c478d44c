/*
 * What every child of posternd does the same way: it finds the control socket
 * at descriptor 3, is handed what it works with by messages, and serves.
 *
 *	int main(void) { return child_main("postern-signer", PROC_SIGNER,
 *	    &handlers); }
 */
#ifndef POSTERN_BROKER_CHILD_H
#define POSTERN_BROKER_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/conf.h"

struct buf;
struct loop;
struct msg;
struct peer;

#define CHILD_CONTROL_FD 3
#define CHILD_MORE_FD 4 /* a hop's lease */

/* From STOP to the end at the latest, when something hangs; posternd kills a
 * little later.  Who reads what the others say last is told last. */
#define CHILD_STOP_MS 8000
#define CHILD_STOP_LAST_MS 12000

/* Every descriptor handed over is the handler's from then on.  Any handler may
 * be NULL when the process is never given such a thing: then being given it is
 * a protocol violation.  A non-zero answer is fatal. */
struct child_handlers {
	int (*listen)(const char *name, int fd);
	int (*link)(unsigned int sibling, int fd); /* PROC_* of the other end */
	int (*folder)(const char *name, int fd);
	/* All of it has arrived.  conf lives as long as the process; addresses:
	 * this host's own, comma separated CIDR.  Confine here, then serve.
	 * ERR_AGAIN: something is still missing, child_ready will say when it
	 * is there. */
	int (*go)(const struct conf *conf, const char *addresses);
	/* The policy folder is another one: fills the fields of RELOADED.
	 * asked: the id of this process's RELOAD_WANTED, or 0. */
	int (*reload)(uint32_t asked, struct buf *answer);
	/* STOP has come, or the parent is gone: accept nothing more; true when
	 * nothing is under way, and nothing more can come: what a sibling says
	 * ends with the end of its link, however long that takes.  Asked again
	 * and again, for stop_ms (0: CHILD_STOP_MS). */
	bool (*idle)(void);
	int64_t stop_ms;
	/* Any other message of the parent's. */
	int (*parent)(struct peer *parent, struct msg *m);
};

/* Runs the process: never returns on failure (fatal). */
int child_main(const char *name, unsigned int self,
    const struct child_handlers *h);

/* The parent is told that this process serves now. */
int child_ready(void);

/* The process's loop and its connection to the parent. */
struct loop *child_loop(void);
struct peer *child_parent(void);

/* Accepts one connection of a listening socket: close-on-exec, non-blocking.
 * ERR_AGAIN when another process was faster. */
int child_accept(int listener, int *fdp);

#endif
