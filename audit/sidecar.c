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

int
sidecar_hop_write(int fd, const struct sidecar_hop *h)
{
	struct buf b;
	struct json j;
	ssize_t n;
	int r = ERR_INTERNAL;

	buf_init(&b, SIDECAR_LINE_MAX);
	json_init(&j, &b);
	json_open(&j, '{');
	json_kv_str(&j, "kind", "hop");
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
	json_close(&j, '}');
	if ((r = json_end(&j)) != 0 || (r = buf_put(&b, "\n", 1)) != 0)
		goto out;
	do {
		n = write(fd, buf_ptr(&b), buf_len(&b));
	} while (n == -1 && errno == EINTR);
	if (n != (ssize_t)buf_len(&b)) {
		if (n != -1)
			errno = ENOSPC;
		r = ERR_SYS;
		goto out;
	}
	r = 0;
out:
	buf_clear(&b);
	return r;
}
