/*
 * /etc/postern/postern.conf: the daemon's settings, `name value` a line, in
 * the policy's lexer and error style.  The man page postern.conf(5) has the
 * same table.
 */
#ifndef POSTERN_LIB_CONF_H
#define POSTERN_LIB_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct diags;

#define CONF_MAX (64 * 1024)
#define CONF_ADDRESSES_MAX 16

/* Addresses and networks, as text. */
struct conf_nets {
	char *at[CONF_ADDRESSES_MAX];
	size_t n;
};

/* Where a job's certificate is good from. */
enum conf_source {
	CONF_SOURCE_ANY = 0,
	CONF_SOURCE_SAME, /* the address that it was asked for from */
};

struct conf {
	char *policy_folder;	/* SYSCONFDIR/postern/policy */
	char *ca_folder;	/* SYSCONFDIR/postern/ca: target.pem, job.pem */
	char *state_folder;	/* LOCALSTATEDIR/lib/postern */
	char *run_folder;	/* RUNSTATEDIR/postern */
	char *target_ca_agent;  /* socket of the ssh-agent that holds the CA
				   key; NULL: a file does */
	char *job_ca_agent;     /* the same */
	char *issuer_ca;	/* PEM bundle oidc trusts; NULL: the system's */
	struct conf_nets issuer_address; /* where issuers may be, beside the
					    public internet */
	struct conf_nets source_address; /* none: the host's own */
	uint32_t connect_timeout_s;	/* reaching a target, 10 */
	uint32_t handshake_timeout_s;	/* up to the command's start, 20 */
	uint32_t server_alive_interval_s; /* of a target's silence, 30 */
	uint32_t server_alive_count_max;  /* questions without an answer, 3 */
	uint32_t login_deadline_s;	/* oidc's answer to PAM, 10 */
	uint32_t session_max_s;		/* a session's longest life, 6 h */
	uint32_t shell_idle_s; /* a broker shell without a line, 15 min */
	uint32_t certificate_lifetime_s; /* of a job's, 15 min */
	uint32_t certificate_source;     /* enum conf_source */
	uint32_t operations_max;	/* at once, 256 */
	uint32_t sessions_max;		/* at once, 1024 */
	uint64_t record_text_head;	/* bytes kept per stream, 1 MiB */
	uint64_t record_text_tail;	/* and of its end, 64 KiB */
	uint32_t retention_age_s;       /* of recordings, 0: for ever */
	uint64_t retention_size;        /* bytes of all of them, 0: no bound */
	uint64_t recording_quota;       /* of one identity in a day, 0: none */
	uint32_t anchor_interval_s;     /* the signed root in the log, 60 */
	char *anchor_command;           /* that gets it, too; NULL: none */
	uint32_t anchor_timeout_s;      /* then it is ended, 30 */
	uint32_t ledger_key_lifetime_s; /* then another signs, 90 d */
	uint64_t disk_reserve;		/* free bytes below which nothing starts */
};

/* Defaults, then the text (NULL: defaults alone).  name is for messages. */
int conf_parse(const char *name, const char *text, size_t n,
    struct diags *d, struct conf *out);
void conf_clear(struct conf *c);
/* ADDRESS or ADDRESS/BITS, IPv4 or IPv6, numeric. */
bool conf_cidr_valid(const char *s);

#endif
