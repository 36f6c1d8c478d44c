/*
 * The connection to a target: one command over SSH, on a socket that somebody
 * else connected.  Nothing here waits: the owner polls, conn_step does what
 * can be done now.  No file is read, no program run, no name looked up.
 *
 * The target's host key MUST be one of the pins: it is compared before any
 * authentication, and a stranger learns neither login nor key.
 *
 *	conn_new -> conn_step until it is 0 (conn_credential on the way)
 *	-> conn_step, conn_write, conn_read until conn_ended -> conn_free
 */
#ifndef POSTERN_SSH_CONN_H
#define POSTERN_SSH_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONN_PINS_MAX 16
#define CONN_FINGERPRINT_LEN 63
#define CONN_CHUNK 32768 /* bytes of one packet, the most given or taken */

struct conn;
struct secret;

enum conn_stream { CONN_OUT = 0, CONN_ERR = 1 };

/* What is being waited for; also where it failed. */
enum conn_state {
	CONN_KEX,
	CONN_HOSTKEY,
	CONN_CREDENTIAL,	/* conn_credential was not called yet */
	CONN_AUTH,
	CONN_CHANNEL,
	CONN_PTY,
	CONN_EXEC,
	CONN_RUNNING,
};

struct conn_pin {
	const char *type;	/* "ssh-ed25519", "ecdsa-sha2-nistp256"... */
	const char *fingerprint; /* "SHA256:..." */
};

/* What the owner wants; it must outlive the conn. */
struct conn_want {
	const char *login;
	const struct conn_pin *pin;
	size_t npin;
	const char *command;
	const char *subsystem; /* asked for instead of command, unless NULL */
	bool pty;
	const char *term;
	uint32_t columns, rows;
	/* n bytes arrived.  Answers how many of them were taken; the rest is
	 * held and got by conn_read.  While anything is held the socket is not
	 * read, unless input waits for the target: 4 MB at the very most. */
	size_t (*data)(void *arg, enum conn_stream s, const void *p, size_t n);
	void *arg;
};

/* How the command ended. */
struct conn_exit {
	bool has_code, has_signal;
	uint32_t code;
	char signal[32];	/* a name without SIG, as it came: untrusted */
};

/* Takes fd, a connected socket, also on failure.  ERR_CONFIG: no pin, or one of
 * an unknown type. */
int conn_new(int fd, const struct conn_want *w, struct conn **out);
/* Says nothing more to the target, closes.  Takes NULL. */
void conn_free(struct conn *c);

/* The private key (key.h's text, wiped by the caller) and its certificate. */
int conn_credential(struct conn *c, const struct secret *key, const void *cert,
    size_t ncert);

/* 0: the command runs (and data may have been delivered).  ERR_AGAIN: poll
 * conn_fd for conn_events, or give the credential.  ERR_DENIED in CONN_HOSTKEY:
 * not a pinned key; in CONN_AUTH and later: the target refuses.  ERR_PROTO:
 * the connection or the protocol broke. */
int conn_step(struct conn *c);
int conn_fd(const struct conn *c);
/* May be 0: then poll it for nothing at all, until conn_read was called. */
short conn_events(const struct conn *c);
enum conn_state conn_state(const struct conn *c);
/* libssh's or the target's words on a failure, untrusted; ours when they said
 * nothing. */
const char *conn_error(const struct conn *c);
/* "SHA256:..." and type of the key the target showed; "" before that. */
const char *conn_hostkey(const struct conn *c);
const char *conn_hostkey_type(const struct conn *c);

/* The target closed the command's channel, or the connection is gone.  What is
 * held can still be read. */
bool conn_ended(const struct conn *c);
const struct conn_exit *conn_exit(const struct conn *c);

/* Bytes of a stream that were not taken and wait for conn_read. */
size_t conn_held(const struct conn *c, enum conn_stream s);
/* Moves held bytes; 0 when there are none. */
size_t conn_read(struct conn *c, enum conn_stream s, void *dst, size_t max);

/* How many bytes conn_write may be given now, 0: poll first. */
size_t conn_room(const struct conn *c);
int conn_write(struct conn *c, const void *p, size_t n);
int conn_eof(struct conn *c);
int conn_resize(struct conn *c, uint32_t columns, uint32_t rows);
/* Asks the target, through the connection, whether it is there
 * (keepalive@openssh.com, as OpenSSH does): whatever comes next is an answer,
 * and may have come when this returns.  Asked again before there was one,
 * nothing is sent. */
int conn_keepalive(struct conn *c);
/* How many packets the target has sent, of whatever kind. */
uint64_t conn_heard(const struct conn *c);
/* A Linux signal number; ERR_NOTFOUND when SSH has no name for it. */
int conn_signal(struct conn *c, uint32_t signal);
/* The Linux number of a name in an exit-signal, 0 when there is none. */
uint32_t conn_signal_number(const char *name);
/* Hangs up: HUP, channel closed, good-bye; waits 200 ms at most. */
void conn_stop(struct conn *c);

#endif
