/*
 * The control surface: what `ssh postern@bastion …` answers, and what
 * `postern` asks on ctl.sock.
 */
#ifndef POSTERN_BROKER_CONTROL_H
#define POSTERN_BROKER_CONTROL_H

#include <stdint.h>

struct buf;
struct command;
struct connection;

/* Runs one word of the surface for a connection (c NULL: none was given, which is
 * `help`); fills out and err, returns the exit code. */
uint32_t control_run(const struct connection *conn, const struct command *c,
    struct buf *out, struct buf *err);

/* A connection was accepted on ctl.sock; takes fd. */
void control_accept(int fd);

#endif
