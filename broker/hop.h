/*
 * postern-hop: one operation, one process.  What its files share.
 *
 *	hop.c		main: the order of things, the poll loop
 *	hop_run.c	HOP_RUN, read
 *	hop_connect.c	a connected socket to the target
 *	hop_open.c	credential, handshake, and their refusals in words
 *	hop_relay.c	stdin, terminal, messages while the command runs
 *	hop_typed.c	what is typed for a command that has no terminal
 *	hop_show.c	the one place through which all that is shown goes
 *	hop_files.c	a session of files, through the filter that judges it
 *	hop_filter.c	that filter, and the manifest
 *	hop_git.c	the filter of a session with a repository
 *	hop_end.c	last words, closing facts, EXIT
 */
#ifndef POSTERN_BROKER_HOP_H
#define POSTERN_BROKER_HOP_H

#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <termios.h>

#include "audit/cast.h"
#include "broker/lease.h"
#include "lib/proto.h"
#include "lib/str.h"
#include "policy/refset.h"
#include "ssh/conn.h"
#include "ssh/key.h"

#define HOP_CONTROL_FD 3 /* as every child's; sandbox.c knows it */
#define HOP_LEASE_FD 4
#define HOP_HOST_MAX 255
#define HOP_TERM_MAX 63
#define HOP_TITLE_MAX 1023
#define HOP_TIMEOUT_MAX 3600 /* seconds, of any wait that HOP_RUN names */
#define HOP_TEXT_MAX 1500    /* bytes of the last words */
#define HOP_LINE_MAX 1000    /* bytes of a typed line that can be changed */
#define HOP_TYPED_MAX 256    /* and of what is taken of it at once */

/*
 * One `read` or `write` line that is granted, or that a deny rule has: path and
 * all beneath it ("/": everything).  A path that a deny line covers is denied;
 * of the others that cover it the first decides, and none denies: so decide()
 * answers for the same path.
 */
struct hop_file_rule {
	char rule[NAME_LEN_MAX + 1];
	bool deny, write;
	char *path;   /* plain: claims are filled in */
	uint64_t max; /* bytes; 0: no bound */
	bool no_delete, no_symlinks;
};

/* HOP_RUN: policy's words, read once. */
struct hop_run {
	char operation[PROTO_ID_LEN + 1];
	char session[PROTO_ID_LEN + 1];
	char target[NAME_LEN_MAX + 1];
	char host[HOP_HOST_MAX + 1];
	uint32_t port;
	char login[NAME_LEN_MAX + 1];
	struct {
		char type[32];
		char fingerprint[CONN_FINGERPRINT_LEN + 1];
	} pin[CONN_PINS_MAX];
	size_t npin;
	char *command;
	bool pty;
	char term[HOP_TERM_MAX + 1];
	uint32_t columns, rows;
	bool take_stdin;
	uint64_t stdin_max;	/* 0: no bound */
	uint32_t duration_s;    /* of all of it; 0: no bound */
	uint64_t output_max;    /* bytes that are shown; 0: no bound */
	bool out_null, err_null, err_to_out;
	uint32_t connect_s, handshake_s;
	uint32_t alive_s;   /* of a target's silence */
	uint32_t alive_max; /* questions without an answer */
	uint64_t head, tail;
	char title[HOP_TITLE_MAX + 1];
	enum op_what what;
	struct hop_file_rule *file; /* of a session of files */
	size_t nfile;
	struct refset refs;     /* of one with a repository */
	int in, out, err;	/* the job's */
	int shell;		/* postern-shell's connection */
	int recording, sidecar;
	int cert;		/* answers one CERT_REQUEST */
};

/* Bytes that passed, counted and digested. */
struct hop_count {
	uint64_t bytes;
	void *md;		/* EVP_MD_CTX */
};

/* One of the job's two output descriptors. */
struct hop_sink {
	int fd;
	enum cast_stream stream;
	struct hop_count count;
	size_t npending, at;	/* recorded, but not taken by fd yet */
	bool gone;              /* nobody reads it any more */
	uint8_t pending[CONN_CHUNK];
};

enum hop_phase {
	HOP_CONNECTING,
	HOP_OPENING,	/* SSH, up to the command's start */
	HOP_RUNNING,
	HOP_FLUSHING,	/* the command ended; the job still reads */
	HOP_OVER,
};

struct hop_end {
	bool command;		/* the command's own end, or why not: */
	bool job_gone;		/* nobody is left to be told */
	bool stopped;           /* by the bastion: that is no end of its own */
	enum exit_kind kind;
	uint32_t value;
	char text[HOP_TEXT_MAX];
};

/* A line that is being typed for a command without a terminal. */
struct hop_typed {
	bool on;
	size_t n;
	uint8_t line[HOP_LINE_MAX];
};

struct hop {
	struct hop_run run;
	enum hop_phase phase;
	int64_t started_ms;
	int64_t deadline_ms;	/* of the phase; 0: none */
	int64_t over_ms;        /* `limit duration`; 0: none */
	uint64_t heard;         /* packets of the target */
	int64_t ask_ms;         /* the target, if it is silent */
	uint32_t asked;         /* since its last word */
	uint64_t shown;         /* of the target's output */
	struct cast cast;
	bool recorded;		/* cast was started */
	struct key key;
	struct conn_pin pin[CONN_PINS_MAX];
	struct conn_want want;
	struct conn *conn;
	struct hop_sink sink[2]; /* by enum conn_stream */
	struct hop_files *files; /* of a session that is looked at */
	struct hop_count in;
	bool in_done;		/* end of stdin, or none granted */
	bool control_gone;
	const struct lease *lease;
	int stop;               /* SIGTERM: an admin ends it */
	bool raw;		/* the job's terminal */
	struct termios tty;     /* as it was, for who has it next */
	bool tty_known;
	struct hop_typed typed;
	bool resized;
	/* connecting */
	struct addrinfo *addrs, *next;
	int64_t connect_end_ms;
	int sock;
	int connect_errno;	/* of the last address tried */
	struct hop_end end;
	uint8_t chunk[CONN_CHUNK]; /* bytes on their way, between two calls */
};

/* hop_run.c: reads HOP_RUN; every descriptor of it is in r afterwards, or
 * closed.  ERR_NOTFOUND: policy has no work for us. */
int hop_run_recv(int control, struct hop_run *r);
/* What it owns of memory; its descriptors stay. */
void hop_run_clear(struct hop_run *r);

/* hop_connect.c */
void hop_connect_start(struct hop *h);
/* Its socket is writable, or its deadline is over. */
void hop_connect_step(struct hop *h);
void hop_connect_late(struct hop *h);

/* hop_open.c */
void hop_cert_request(struct hop *h);
void hop_cert_recv(struct hop *h);
/* The socket is connected: speak SSH.  Nothing opens, connects or signals
 * after this. */
void hop_open_start(struct hop *h);
void hop_open_step(struct hop *h);
void hop_open_late(struct hop *h);

/* hop_relay.c */
void hop_relay_start(struct hop *h);
/* Handles what libssh can do now; sees the command's end. */
void hop_relay_step(struct hop *h);
/* The target was heard, or cannot be: nobody listens to it just now. */
void hop_relay_heard(struct hop *h);
/* It was silent for long enough to be asked. */
void hop_relay_silent(struct hop *h);
bool hop_relay_wants_stdin(const struct hop *h);
void hop_relay_stdin(struct hop *h);
/* Bytes of the job's for the target, within what its rule grants; n: as many as
 * conn has room for. */
void hop_relay_pass(struct hop *h, const void *p, size_t n);
/* There is nothing more of them. */
void hop_relay_eof(struct hop *h);
void hop_relay_shell(struct hop *h);
/* The job's terminal: no echo, nothing rewritten; signals: ^C still ends a
 * job that waits for its connection. */
void hop_tty_raw(struct hop *h, bool signals);
/* As it was: a list or a broker shell goes on with it. */
void hop_tty_back(const struct hop *h);

/* hop_typed.c */
/* From here on this shows what is typed, where nobody else does. */
void hop_typed_start(struct hop *h);
bool hop_typed_wants(const struct hop *h);
void hop_typed_stdin(struct hop *h);
/* A signal: the line is dropped, as by the kernel. */
void hop_typed_drop(struct hop *h);

/* hop_show.c */
int hop_count_init(struct hop_count *c);
void hop_count_add(struct hop_count *c, const void *p, size_t n);
/* 64 digits and a NUL. */
void hop_count_hex(struct hop_count *c, char *dst);
void hop_count_clear(struct hop_count *c);
/* Everything that the job sees goes through here: recorded, then shown.
 * Answers how many of the n bytes were taken. */
size_t hop_show(struct hop *h, enum conn_stream s, const void *p, size_t n);
/* The sink takes bytes again: pending ones, then what conn holds. */
void hop_show_more(struct hop *h, struct hop_sink *k);
/* conn holds bytes that nobody wants to see: lets them go. */
void hop_show_drop(struct hop *h);
/* Something waits for this sink. */
bool hop_show_waits(const struct hop *h, const struct hop_sink *k);
/* A line of our own on the job's stderr: shown even where it could not be
 * recorded, for that is what it may have to say. */
void hop_say(struct hop *h, const char *text);
/* What was typed, n bytes of CONN_CHUNK at most, while nothing waits for the
 * job's stderr: recorded, then shown; not shown, and the end, where it cannot
 * be recorded. */
void hop_show_typed(struct hop *h, const void *p, size_t n);
/* Last tries, until deadline_ms, to get rid of what is pending. */
void hop_show_flush(struct hop *h, int64_t deadline_ms);

/* As much of n bytes as `limit output` still grants. */
size_t hop_show_granted(const struct hop *h, size_t n);
/* Writes what the descriptor takes now, and counts it; answers how much that
 * was. */
size_t hop_sink_write(
    struct hop *h, struct hop_sink *k, const uint8_t *p, size_t n);

/* Is what passes a repository's? */
static inline bool
hop_is_git(const struct hop *h)
{
	return h->run.what >= OP_GIT_FETCH;
}

/* hop_files.c: all but the first only where h->files is there. */
int hop_files_init(struct hop *h);
/* What is still open goes into the manifest; once, also without files. */
void hop_files_end(struct hop *h);
void hop_files_free(struct hop *h);
/* Moves what can be moved now. */
void hop_files_pump(struct hop *h);
/* The target's output, as it comes; answers how much was taken. */
size_t hop_files_data(struct hop *h, const void *p, size_t n);
bool hop_files_wants_stdin(const struct hop *h);
void hop_files_stdin(struct hop *h);
/* Something waits for the job's descriptor. */
bool hop_files_waits(const struct hop *h);
/* Something was refused, and that is the end, whatever the target's says; eof:
 * the job says nothing more. */
bool hop_files_refused(struct hop *h, bool eof);

/* hop_end.c: the first end counts, later ones are echoes of it. */
void hop_fail(struct hop *h, uint32_t code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void hop_job_gone(struct hop *h, const char *why);
/* Nobody reads what is shown: error is write's. */
void hop_reader_gone(struct hop *h, int error);
/* An admin ends it. */
void hop_stopped(struct hop *h);
/* A signal of the job's ended it before the command began. */
void hop_interrupted(struct hop *h, uint32_t signal);
void hop_command_ended(struct hop *h);
/* Says and writes down how it ended. */
void hop_finish(struct hop *h);

#endif
