/*
 * The end of an operation: what the job is told, what is written down.  Runs
 * in the hop.  The order is: last words, recording, sidecar, and only then
 * EXIT, so that nobody sees an end that is not on record.
 */
#include "config.h"

#include "broker/hop.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/sidecar.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/sftprefuse.h"

#define END_FLUSH_MS 2000 /* for last words to a job that reads slowly */
#define END_BY_SIGNAL 128 /* a shell's, and the signal's number */
#define END_UNKNOWN_SIGNAL 255 /* what ssh itself makes of such a death */

void
hop_fail(struct hop *h, uint32_t code, const char *fmt, ...)
{
	va_list ap;

	if (h->phase == HOP_OVER)
		return;
	h->phase = HOP_OVER;
	h->end.kind = EXIT_CODE;
	h->end.value = code;
	va_start(ap, fmt);
	(void)vsnprintf(h->end.text, sizeof(h->end.text), fmt, ap);
	va_end(ap);
}

void
hop_job_gone(struct hop *h, const char *why)
{
	if (h->phase == HOP_OVER)
		return;
	hop_fail(h, POSTERN_EX_TEMPFAIL, "%s", why);
	h->end.job_gone = true;
}

/* Whoever is left of the job (`ssh … | head`) hears what a shell says of such
 * an end, and nothing that asks for another try. */
void
hop_reader_gone(struct hop *h, int error)
{
	if (h->phase == HOP_OVER)
		return;
	hop_job_gone(h, "the job hung up");
	if (error == EPIPE)
		h->end.value = END_BY_SIGNAL + SIGPIPE;
}

void
hop_stopped(struct hop *h)
{
	if (h->phase == HOP_OVER)
		return;
	hop_fail(h, POSTERN_EX_DENIED,
	    "ended by the bastion's admin; the command may still run on %s",
	    h->run.target);
	h->end.stopped = true;
}

void
hop_interrupted(struct hop *h, uint32_t number)
{
	if (h->phase == HOP_OVER)
		return;
	hop_fail(h, 0, "signal %u came before the command began", number);
	h->end.kind = EXIT_SIGNAL;
	h->end.value = number;
}

void
hop_command_ended(struct hop *h)
{
	const struct conn_exit *e = conn_exit(h->conn);
	uint32_t number;

	if (hop_files_refused(h, true))
		return;
	if (e->has_signal) {
		number = conn_signal_number(e->signal);
		h->end.kind = number != 0 ? EXIT_SIGNAL : EXIT_CODE;
		h->end.value = number != 0 ? number : END_UNKNOWN_SIGNAL;
	} else if (e->has_code) {
		h->end.kind = EXIT_CODE;
		h->end.value = e->code & 255;
	} else {
		hop_fail(h, POSTERN_EX_UNAVAILABLE, "%s: the connection was "
		    "lost before the command ended: %s", h->run.target,
		    log_safe(conn_error(h->conn)));
		return;
	}
	h->end.command = true;
	h->phase = HOP_OVER;
}

static void
end_say(struct hop *h)
{
	char line[HOP_TEXT_MAX + 100];

	if (h->end.text[0] == '\0' || h->end.job_gone ||
	    h->end.kind == EXIT_SIGNAL)
		return;
	/* A raw terminal wants its own carriage return. */
	(void)snprintf(line, sizeof(line), "postern: %s (operation %s)%s\n",
	    h->end.text, h->run.operation, h->run.pty ? "\r" : "");
	hop_say(h, line);
	/* Whoever has not heard a word of SFTP yet hears this one. */
	if (h->run.what == OP_SFTP && h->sink[CONN_OUT].count.bytes == 0)
		sftprefuse(h->run.in, h->run.out, line, strlen(line),
		    PROTO_SFTP_REFUSE_MS);
}

/* The recording's last events.  What cannot be written down did not end well,
 * whatever the command says. */
static void
end_recording(struct hop *h)
{
	struct hop_end *e = &h->end;
	int r;

	if (!h->recorded)
		return;
	if (e->job_gone || e->stopped)
		r = cast_finish(&h->cast);
	else
		r = cast_exit(&h->cast, e->kind == EXIT_SIGNAL
					    ? END_BY_SIGNAL + e->value
					    : e->value);
	if (r == 0 || e->value == POSTERN_EX_IOERR)
		return;
	h->phase = HOP_FLUSHING;
	e->command = false;
	hop_fail(h, POSTERN_EX_IOERR, "the recording cannot be finished: %s",
	    err_text(r));
	end_say(h);
}

static void
end_stream(struct hop_count *c, struct sidecar_stream *s)
{
	s->bytes = c->bytes;
	hop_count_hex(c, s->sha256);
}

static void
end_sidecar(struct hop *h)
{
	const struct hop_end *e = &h->end;
	struct sidecar_hop s = {
		/* The code that the job was given, also when it is ours. */
		.has_exit = !e->job_gone && !e->stopped && e->kind == EXIT_CODE,
		.has_signal = e->command && e->kind == EXIT_SIGNAL,
		.exit = e->value,
		.signal = e->value,
		.reason = e->text[0] == '\0' ? NULL : e->text,
		.duration_ms = (uint64_t)(msg_now_ms() - h->started_ms),
	};
	int r;

	end_stream(&h->in, &s.in);
	end_stream(&h->sink[CONN_OUT].count, &s.out);
	end_stream(&h->sink[CONN_ERR].count, &s.err);
	if ((r = sidecar_hop_write(h->run.sidecar, &s)) != 0)
		log_err(r, "sidecar of %s", h->run.operation);
}

static void
end_tell_shell(const struct hop *h)
{
	struct msg m;
	int r;

	msg_init(&m, MSG_EXIT);
	if ((r = buf_put_u32(&m.body, h->end.kind)) == 0 &&
	    (r = buf_put_u32(&m.body, h->end.value)) == 0)
		r = msg_send(h->run.shell, &m);
	/* A shell that is gone needs no answer. */
	if (r != 0 && !(r == ERR_SYS && errno == EPIPE))
		log_err(r, "the shell of %s", h->run.operation);
	msg_clear(&m);
}

/* What decides about the next command of a list.  Only the command's own end
 * does: what went wrong on the way ends the list. */
static void
end_tell_policy(const struct hop *h)
{
	struct msg m;

	msg_init(&m, MSG_HOP_ENDED);
	if (buf_put_u8(&m.body, h->end.command) == 0 &&
	    buf_put_u32(&m.body, h->end.kind) == 0 &&
	    buf_put_u32(&m.body, h->end.value) == 0)
		(void)msg_send(HOP_CONTROL_FD, &m);
	msg_clear(&m);
}

void
hop_finish(struct hop *h)
{
	if (h->conn != NULL)
		conn_stop(h->conn);
	/* Pending bytes are on record already; shown is what still goes. */
	hop_show_flush(h, msg_now_ms() + END_FLUSH_MS);
	end_say(h);
	end_recording(h);
	hop_show_flush(h, msg_now_ms() + END_FLUSH_MS);
	hop_files_end(h);
	end_sidecar(h);
	hop_tty_back(h);
	(void)close(h->run.in);
	(void)close(h->run.out);
	(void)close(h->run.err);
	end_tell_shell(h);
	if (!h->control_gone)
		end_tell_policy(h);
}
