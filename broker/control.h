/*
 * The control surface: what `ssh postern@bastion …` answers, and what
 * `postern` asks on ctl.sock.
 */
#ifndef POSTERN_BROKER_CONTROL_H
#define POSTERN_BROKER_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct command;
struct connection;
struct msg;
struct peer;

/* Runs one word of the surface for a connection (c NULL: none was given, which is
 * `help`); fills out and err, returns the exit code. */
uint32_t control_run(const struct connection *conn, const struct command *c,
    struct buf *out, struct buf *err);

/* A connection was accepted on ctl.sock, or on audit.sock; takes fd. */
void control_accept(int fd);
void control_accept_auditor(int fd);

/* control_status.c: STATUS, answered at once. */
int control_status(struct peer *p, uint32_t id);
/* CA_IS: what the signer says of its keys. */
int control_ca_is(struct msg *m);

/* control_auditor.c: what only an admin may ask, by somebody on audit.sock:
 * answered with words, and in the ledger. */
int control_refuse(struct peer *p, struct msg *m);
/* This QUERY only reads. */
bool control_reads(const struct msg *m);

/* control_admin.c: KILL and LOCK; p is answered when audit has their line. */
int control_kill(struct peer *p, struct msg *m);
int control_lock(struct peer *p, struct msg *m);
/* That connection is gone. */
void control_admin_drop(const struct peer *p);

#endif
