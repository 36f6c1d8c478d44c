/*
 * What conn.c (the command's life) and conn_open.c (the way to it) share.
 */
#ifndef POSTERN_SSH_CONN_INTERNAL_H
#define POSTERN_SSH_CONN_INTERNAL_H

#include <libssh/callbacks.h>
#include <libssh/libssh.h>

#include "ssh/conn.h"

/* What was drawn from libssh in one read and waits for the owner. */
struct conn_drawn {
	uint8_t *bytes;
	size_t at, n;
};

struct conn {
	struct ssh_counter_struct raw; /* what libssh has read */
	const struct conn_want *want;
	enum conn_state state;
	int fd;			/* libssh's to close once it has it */
	ssh_session session;
	ssh_channel channel;
	ssh_event event;
	ssh_key key;		/* NULL before the credential and after auth */
	struct ssh_channel_callbacks_struct cb;
	char hostkey[CONN_FINGERPRINT_LEN + 1];
	char hostkey_type[32];
	size_t held[2];		/* by libssh */
	struct conn_drawn drawn[2];
	bool reading;		/* inside conn_read: nothing is delivered */
	bool got;		/* data came since it was last cleared */
	bool closed;		/* the target closed the channel */
	bool lost;		/* the connection is gone */
	bool eof_sent;
	struct conn_exit exit;
};

/* Sets the session up; nothing is sent. */
int conn_options(struct conn *c);
/* Moves towards CONN_RUNNING; as conn_step. */
int conn_open(struct conn *c);
/* Fills in c->cb and hangs it onto c->channel. */
int conn_callbacks(struct conn *c);

#endif
