/*
 * The hop's line of a sidecar.  Linked into the hop; the numbers are its own,
 * the reason may hold a target's words and is escaped.
 */
#include "config.h"

#include "audit/sidecar.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/json.h"

#define SIDECAR_LINE_MAX (8 * 1024)

static void
sidecar_put_stream(struct json *j, const char *bytes, const char *sha256,
    const struct sidecar_stream *s)
{
	if (s->sha256[0] == '\0')
		return;
	json_kv_num(j, bytes, s->bytes);
	json_key(j, sha256);
	json_strn(j, s->sha256, strnlen(s->sha256, SIDECAR_SHA256_LEN));
}

/* A line's frame: what begins it, and what ends it and writes it. */
static void
sidecar_begin(struct json *j, struct buf *b, size_t max, const char *kind)
{
	buf_init(b, max);
	json_init(j, b);
	json_open(j, '{');
	json_kv_str(j, "kind", kind);
}

static int
sidecar_end(int fd, struct json *j, struct buf *b, uint64_t *bytes)
{
	ssize_t n;
	int r;

	json_close(j, '}');
	if ((r = json_end(j)) != 0 || (r = buf_put(b, "\n", 1)) != 0)
		goto out;
	do {
		n = write(fd, buf_ptr(b), buf_len(b));
	} while (n == -1 && errno == EINTR);
	if (n == (ssize_t)buf_len(b)) {
		*bytes += buf_len(b);
		goto out;
	}
	if (n != -1)
		errno = ENOSPC;
	r = ERR_SYS;
out:
	buf_clear(b);
	return r;
}

static void
sidecar_put_ranges(struct json *j, const struct sidecar_file *f)
{
	if (f->nrange == 0)
		return;
	json_key(j, "ranges");
	json_open(j, '[');
	for (size_t i = 0; i < f->nrange; i++) {
		json_open(j, '[');
		json_num(j, f->range[i].from);
		json_num(j, f->range[i].to);
		json_close(j, ']');
	}
	json_close(j, ']');
	if (f->more)
		json_kv_bool(j, "more", true);
}

int
sidecar_file_write(int fd, const struct sidecar_file *f, uint64_t *bytes)
{
	struct buf b;
	struct json j;

	sidecar_begin(&j, &b, SIDECAR_FILE_LINE_MAX, "file");
	json_kv_str(&j, "verb", f->verb);
	json_kv_str(&j, "path", f->path);
	if (f->to != NULL)
		json_kv_str(&j, "to", f->to);
	json_kv_str(&j, "result", f->result);
	if (f->rule != NULL)
		json_kv_str(&j, "rule", f->rule);
	if (f->moved)
		json_kv_num(&j, "bytes", f->bytes);
	if (f->sha256 != NULL)
		json_kv_str(&j, "sha256", f->sha256);
	sidecar_put_ranges(&j, f);
	if (f->begun != 0)
		json_kv_num(&j, "begun", f->begun);
	return sidecar_end(fd, &j, &b, bytes);
}

static void
sidecar_put_text(struct json *j, const char *key, const char *text)
{
	if (text != NULL && *text != '\0')
		json_kv_str(j, key, text);
}

int
sidecar_ref_write(int fd, const struct sidecar_ref *f, uint64_t *bytes)
{
	struct buf b;
	struct json j;

	sidecar_begin(&j, &b, SIDECAR_FILE_LINE_MAX, "ref");
	json_kv_str(&j, "verb", f->verb);
	sidecar_put_text(&j, "ref", f->ref);
	sidecar_put_text(&j, "old", f->old);
	sidecar_put_text(&j, "new", f->new);
	json_kv_str(&j, "result", f->result);
	sidecar_put_text(&j, "rule", f->rule);
	sidecar_put_text(&j, "reason", f->reason);
	return sidecar_end(fd, &j, &b, bytes);
}

int
sidecar_hop_write(int fd, const struct sidecar_hop *h)
{
	struct buf b;
	struct json j;
	uint64_t bytes = 0;

	sidecar_begin(&j, &b, SIDECAR_LINE_MAX, "hop");
	if (h->has_exit)
		json_kv_num(&j, "exit", h->exit);
	if (h->has_signal)
		json_kv_num(&j, "signal", h->signal);
	if (h->reason != NULL && *h->reason != '\0') {
		json_key(&j, "reason");
		json_strn(
		    &j, h->reason, strnlen(h->reason, SIDECAR_REASON_MAX));
	}
	json_kv_num(&j, "duration_ms", h->duration_ms);
	sidecar_put_stream(&j, "bytes_in", "sha256_in", &h->in);
	sidecar_put_stream(&j, "bytes_out", "sha256_out", &h->out);
	sidecar_put_stream(&j, "bytes_err", "sha256_err", &h->err);
	return sidecar_end(fd, &j, &b, &bytes);
}
