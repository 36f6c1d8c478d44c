/*
 * Reading HOP_RUN.  Runs in the hop.  policy is trusted with what it grants,
 * but every field is bounded all the same: a broken policy must not break the
 * process that holds a connection to a target.
 */
#include "config.h"

#include "broker/hop.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/msg.h"
#include "lib/str.h"

static int
run_get_bool(struct buf *b, bool *v)
{
	uint8_t u;
	int r;

	if ((r = buf_get_u8(b, &u)) != 0)
		return r;
	if (u > 1)
		return ERR_FORMAT;
	*v = u == 1;
	return 0;
}

static int
run_get_pins(struct buf *b, struct hop_run *run)
{
	uint32_t n;
	int r;

	if ((r = buf_get_u32(b, &n)) != 0)
		return r;
	if (n == 0 || n > CONN_PINS_MAX) /* no pin, no connection */
		return ERR_FORMAT;
	for (run->npin = 0; run->npin < n; run->npin++) {
		if ((r = buf_get_fixed(b, run->pin[run->npin].type,
		    sizeof(run->pin[0].type))) != 0 ||
		    (r = buf_get_fixed(b, run->pin[run->npin].fingerprint,
		    sizeof(run->pin[0].fingerprint))) != 0)
			return r;
	}
	return 0;
}

static int
run_get_place(struct buf *b, struct hop_run *run)
{
	int r;

	if ((r = buf_get_fixed(b, run->operation,
	    sizeof(run->operation))) != 0 ||
	    (r = buf_get_fixed(b, run->session, sizeof(run->session))) != 0 ||
	    (r = buf_get_fixed(b, run->target, sizeof(run->target))) != 0 ||
	    (r = buf_get_fixed(b, run->host, sizeof(run->host))) != 0 ||
	    (r = buf_get_u32(b, &run->port)) != 0 ||
	    (r = buf_get_fixed(b, run->login, sizeof(run->login))) != 0 ||
	    (r = run_get_pins(b, run)) != 0)
		return r;
	if (run->host[0] == '\0' || run->login[0] == '\0' ||
	    run->port == 0 || run->port > UINT16_MAX)
		return ERR_FORMAT;
	return 0;
}

static int
run_get_command(struct buf *b, struct hop_run *run)
{
	int r;

	if ((r = buf_get_cstr(b, PROTO_WIRE_MAX, &run->command)) != 0 ||
	    (r = run_get_bool(b, &run->pty)) != 0 ||
	    (r = buf_get_fixed(b, run->term, sizeof(run->term))) != 0 ||
	    (r = buf_get_u32(b, &run->columns)) != 0 ||
	    (r = buf_get_u32(b, &run->rows)) != 0 ||
	    (r = run_get_bool(b, &run->take_stdin)) != 0 ||
	    (r = buf_get_u64(b, &run->stdin_max)) != 0 ||
	    (r = buf_get_u32(b, &run->duration_s)) != 0 ||
	    (r = buf_get_u64(b, &run->output_max)) != 0 ||
	    (r = run_get_bool(b, &run->out_null)) != 0 ||
	    (r = run_get_bool(b, &run->err_null)) != 0 ||
	    (r = run_get_bool(b, &run->err_to_out)) != 0)
		return r;
	return run->command[0] == '\0' ? ERR_FORMAT : 0;
}

static int
run_get_bounds(struct buf *b, struct hop_run *run)
{
	int r;

	if ((r = buf_get_u32(b, &run->connect_s)) != 0 ||
	    (r = buf_get_u32(b, &run->handshake_s)) != 0 ||
	    (r = buf_get_u32(b, &run->alive_s)) != 0 ||
	    (r = buf_get_u32(b, &run->alive_max)) != 0 ||
	    (r = buf_get_u64(b, &run->head)) != 0 ||
	    (r = buf_get_u64(b, &run->tail)) != 0 ||
	    (r = buf_get_fixed(b, run->title, sizeof(run->title))) != 0)
		return r;
	if (run->connect_s == 0 || run->connect_s > HOP_TIMEOUT_MAX ||
	    run->handshake_s == 0 || run->handshake_s > HOP_TIMEOUT_MAX ||
	    run->alive_s == 0 || run->alive_s > HOP_TIMEOUT_MAX ||
	    run->alive_max == 0)
		return ERR_FORMAT;
	return 0;
}

/* "/" is all there is. */
static bool
run_path_ok(const char *path)
{
	return strcmp(path, "/") == 0 || path_is_plain(path, strlen(path));
}

static int
run_get_file(struct buf *b, struct hop_file_rule *f)
{
	int r;

	if ((r = buf_get_fixed(b, f->rule, sizeof(f->rule))) != 0 ||
	    (r = run_get_bool(b, &f->deny)) != 0 ||
	    (r = run_get_bool(b, &f->write)) != 0 ||
	    (r = buf_get_cstr(b, PATH_LEN_MAX, &f->path)) != 0 ||
	    (r = buf_get_u64(b, &f->max)) != 0 ||
	    (r = run_get_bool(b, &f->no_delete)) != 0 ||
	    (r = run_get_bool(b, &f->no_symlinks)) != 0)
		return r;
	return name_valid(f->rule) && run_path_ok(f->path) ? 0 : ERR_FORMAT;
}

/* Files come with lines, others without. */
static int
run_get_files(struct buf *b, struct hop_run *run)
{
	uint8_t what;
	uint32_t n;
	int r;

	if ((r = buf_get_u8(b, &what)) != 0 || (r = buf_get_u32(b, &n)) != 0)
		return r;
	if (what > OP_GIT_PUSH || n > PROTO_FILE_RULES_MAX ||
	    (what == OP_SFTP || what == OP_SCP) != (n > 0))
		return ERR_FORMAT;
	run->what = (enum op_what)what;
	if (n == 0)
		return 0;
	if ((run->file = calloc(n, sizeof(*run->file))) == NULL)
		return ERR_NOMEM;
	for (run->nfile = 0; run->nfile < n; run->nfile++) {
		if ((r = run_get_file(b, &run->file[run->nfile])) != 0) {
			free(run->file[run->nfile].path);
			return r;
		}
	}
	return 0;
}

/* Repositories come with lines about their refs, others without. */
static int
run_get_refs(struct buf *b, struct hop_run *run)
{
	int r;

	if ((r = refset_get(b, &run->refs)) != 0)
		return r;
	return (run->what >= OP_GIT_FETCH) == (run->refs.n > 0) ? 0
								: ERR_FORMAT;
}

void
hop_run_clear(struct hop_run *run)
{
	for (size_t i = 0; i < run->nfile; i++)
		free(run->file[i].path);
	free(run->file);
	run->file = NULL;
	run->nfile = 0;
	refset_clear(&run->refs);
	free(run->command);
	run->command = NULL;
}

static void
run_take_fds(struct msg *m, struct hop_run *run)
{
	int *const to[] = { &run->in, &run->out, &run->err, &run->shell,
		&run->recording, &run->sidecar, &run->cert };

	for (size_t i = 0; i < sizeof(to) / sizeof(to[0]); i++)
		*to[i] = msg_take_fd(m, i);
}

int
hop_run_recv(int control, struct hop_run *run)
{
	struct msg m;
	int r;

	*run = (struct hop_run){ 0 };
	if ((r = msg_recv(control, &m)) != 0)
		goto out;
	if (m.type != MSG_HOP_RUN) {
		r = ERR_PROTO;
		goto out;
	}
	if ((r = run_get_place(&m.body, run)) != 0 ||
	    (r = run_get_command(&m.body, run)) != 0 ||
	    (r = run_get_bounds(&m.body, run)) != 0 ||
	    (r = run_get_files(&m.body, run)) != 0 ||
	    (r = run_get_refs(&m.body, run)) != 0)
		goto out;
	run_take_fds(&m, run);
	r = msg_end(&m);
out:
	msg_clear(&m);
	return r;
}
