/*
 * The certificate from the signer and the way to the command's start, with a
 * refusal in words for each thing that can go wrong there.  Runs in the hop.
 * Distrusts the target: its words are shown escaped.
 */
#include "config.h"

#include "broker/hop.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/sandbox.h"
#include "ssh/cert.h"
#include "ssh/serve.h"

#define CERT_REASON_MAX 500

static const char *
open_stage(const struct hop *h)
{
	switch (conn_state(h->conn)) {
	case CONN_KEX:
		return "key exchange";
	case CONN_HOSTKEY:
		return "host key";
	case CONN_CREDENTIAL:
		return "certificate";
	case CONN_AUTH:
		return "authentication";
	case CONN_CHANNEL:
		return "opening a channel";
	case CONN_PTY:
		return "asking for a terminal";
	case CONN_EXEC:
		return "starting the command";
	case CONN_RUNNING:
		break;
	}
	return "running";
}

/* -- the certificate -------------------------------------------------------- */

void
hop_cert_request(struct hop *h)
{
	struct msg m;
	int r;

	msg_init(&m, MSG_CERT_REQUEST);
	if ((r = key_generate(&h->key)) != 0 ||
	    (r = buf_put_str(&m.body, h->key.pub, CERT_KEY_LEN)) != 0 ||
	    (r = msg_send(h->run.cert, &m)) != 0)
		hop_fail(h, POSTERN_EX_TEMPFAIL,
		    "the signer cannot be asked for a certificate: %s",
		    err_text(r));
	msg_clear(&m);
}

/* Takes what CERT says.  The private text is wiped whatever comes of it. */
static int
cert_take(struct hop *h, struct msg *m)
{
	char reason[CERT_REASON_MAX + 1];
	const uint8_t *blob;
	uint32_t result;
	size_t n;
	int r;

	if (m->type != MSG_CERT)
		return ERR_PROTO;
	if ((r = buf_get_u32(&m->body, &result)) != 0 ||
	    (r = buf_get_view(&m->body, CERT_BLOB_MAX, &blob, &n)) != 0 ||
	    (r = buf_get_fixed(&m->body, reason, sizeof(reason))) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	if (result != 0) {
		hop_fail(h, POSTERN_EX_TEMPFAIL,
		    "the signer gives no certificate: %s", log_safe(reason));
		return ERR_DENIED;
	}
	return conn_credential(h->conn, &h->key.text, blob, n);
}

void
hop_cert_recv(struct hop *h)
{
	struct msg m;
	int r;

	if ((r = msg_recv(h->run.cert, &m)) == 0)
		r = cert_take(h, &m);
	msg_clear(&m);
	key_clear(&h->key);
	(void)close(h->run.cert);
	h->run.cert = -1;
	if (r != 0)
		hop_fail(h, POSTERN_EX_TEMPFAIL,
		    "the signer gives no certificate: %s",
		    r == ERR_NOTFOUND ? "it is gone" : err_text(r));
}

/* -- the handshake ---------------------------------------------------------- */

static void
open_want(struct hop *h)
{
	const struct hop_run *run = &h->run;

	for (size_t i = 0; i < run->npin; i++) {
		h->pin[i].type = run->pin[i].type;
		h->pin[i].fingerprint = run->pin[i].fingerprint;
	}
	h->want.login = run->login;
	h->want.pin = h->pin;
	h->want.npin = run->npin;
	h->want.command = run->command;
	if (run->what == OP_SFTP && serve_is_subsystem(run->command))
		h->want.subsystem = "sftp";
	h->want.pty = run->pty;
	h->want.term = run->term;
	h->want.columns = run->columns;
	h->want.rows = run->rows;
}

void
hop_open_start(struct hop *h)
{
	const int given[SANDBOX_GIVEN_MAX] = { h->sock, h->run.shell, -1 };
	int r;

	h->phase = HOP_OPENING;
	h->deadline_ms = msg_now_ms() + 1000 * (int64_t)h->run.handshake_s;
	open_want(h);
	/* The line between the process that may open and connect and the one
	 * that talks to a target. */
	if ((r = sandbox_enter(SANDBOX_HOP, given)) != 0) {
		hop_fail(h, POSTERN_EX_TEMPFAIL, "cannot be confined: %s",
		    err_text(r));
		return;
	}
	r = conn_new(h->sock, &h->want, &h->conn);
	h->sock = -1;
	if (r != 0) {
		hop_fail(h, POSTERN_EX_UNAVAILABLE, "%s: cannot speak SSH: %s",
		    h->run.target, err_text(r));
		return;
	}
	hop_open_step(h);
}

static void
open_refuse_hostkey(struct hop *h)
{
	char list[600] = "";
	size_t at = 0;
	int n;

	for (size_t i = 0; i < h->run.npin; i++) {
		n = snprintf(list + at, sizeof(list) - at, "%s%s %s",
		    i > 0 ? " or " : "", h->run.pin[i].type,
		    h->run.pin[i].fingerprint);
		if (n < 0 || (size_t)n >= sizeof(list) - at)
			break;
		at += (size_t)n;
	}
	hop_fail(h, POSTERN_EX_UNAVAILABLE,
	    "%s: wrong host key: expected %s, seen %s %s; nothing was sent "
	    "to it", h->run.target, list, conn_hostkey_type(h->conn),
	    conn_hostkey(h->conn));
}

static void
open_refuse_denied(struct hop *h)
{
	const char *target = h->run.target;

	switch (conn_state(h->conn)) {
	case CONN_HOSTKEY:
		open_refuse_hostkey(h);
		break;
	case CONN_AUTH:
		hop_fail(h, POSTERN_EX_UNAVAILABLE,
		    "%s: authentication refused by the target: it does not "
		    "take this bastion's certificate for login %s; `postern "
		    "ca show --target %s` prints what it needs", target,
		    h->run.login, target);
		break;
	case CONN_KEX:
	case CONN_CREDENTIAL:
	case CONN_CHANNEL:
	case CONN_PTY:
	case CONN_EXEC:
	case CONN_RUNNING:
		hop_fail(h, POSTERN_EX_UNAVAILABLE, "%s: %s: refused by the "
		    "target: %s", target, open_stage(h),
		    log_safe(conn_error(h->conn)));
		break;
	}
}

void
hop_open_step(struct hop *h)
{
	int r = conn_step(h->conn);

	if (conn_state(h->conn) > CONN_AUTH)
		/* From here the target's echo rules.  Of a command that
		 * reads nothing, Ctrl-C would reach nobody: it stays a
		 * signal. */
		hop_tty_raw(h, !h->run.take_stdin);
	if (r == 0)
		hop_relay_start(h);
	else if (r == ERR_DENIED)
		open_refuse_denied(h);
	else if (r != ERR_AGAIN)
		hop_fail(h, POSTERN_EX_UNAVAILABLE,
		    "%s: SSH failed at %s: %s", h->run.target, open_stage(h),
		    r == ERR_PROTO ? log_safe(conn_error(h->conn)) :
		    err_text(r));
}

void
hop_open_late(struct hop *h)
{
	if (conn_state(h->conn) == CONN_CREDENTIAL)
		hop_fail(h, POSTERN_EX_TEMPFAIL,
		    "the signer gave no certificate within %u s",
		    h->run.handshake_s);
	else
		hop_fail(h, POSTERN_EX_UNAVAILABLE,
		    "%s: SSH timed out at %s, %u s after connecting",
		    h->run.target, open_stage(h), h->run.handshake_s);
}
