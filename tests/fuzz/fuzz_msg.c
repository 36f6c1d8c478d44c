/*
 * A datagram from a hostile peer.  First byte: how many descriptors come with
 * it.  Whatever is received fits its row of the table, and no descriptor stays.
 */
#include "config.h"

#include <sys/socket.h>

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "tests/fuzz/depth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const fuzz_depths[] = { "a message", NULL };

static int
send_raw(int fd, const uint8_t *data, size_t size, size_t nfd)
{
	union {
		struct cmsghdr align;
		uint8_t d[CMSG_SPACE(32 * sizeof(int))];
	} c = { .d = { 0 } };
	union {
		const uint8_t *ro;
		void *rw;
	} u = { .ro = data };
	struct iovec iov = { u.rw, size };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nfd > 0) {
		h.msg_control = c.d;
		h.msg_controllen = CMSG_SPACE(nfd * sizeof(int));
		c.align.cmsg_level = SOL_SOCKET;
		c.align.cmsg_type = SCM_RIGHTS;
		c.align.cmsg_len = CMSG_LEN(nfd * sizeof(int));
		for (size_t i = 0; i < nfd; i++)
			memcpy(CMSG_DATA(&c.align) + i * sizeof(int), &fd,
			    sizeof(fd));
	}
	return sendmsg(fd, &h, MSG_NOSIGNAL) == -1 ? -1 : 0;
}

/* Reads the body as fields of every kind, one after the other. */
static void
read_fields(struct msg *m)
{
	const uint8_t *p;
	char fixed[16], *s;
	uint64_t v64;
	size_t before, n;

	while (buf_len(&m->body) > 0) {
		before = buf_len(&m->body);
		if (buf_get_view(&m->body, 64, &p, &n) == 0)
			continue;
		if (buf_get_cstr(&m->body, 4096, &s) == 0) {
			free(s);
			continue;
		}
		if (buf_get_fixed(&m->body, fixed, sizeof(fixed)) == 0 ||
		    buf_get_u64(&m->body, &v64) == 0)
			continue;
		if (buf_len(&m->body) != before) /* a failure took bytes */
			abort();
		if (buf_skip(&m->body, 1) != 0)
			abort();
	}
	if (msg_end(m) != 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct proto_row *row;
	int sv[2], lowest, again, r;
	struct msg m;

	if (size < 2)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == -1)
		abort();
	lowest = dup(sv[0]);
	(void)close(lowest);
	if (send_raw(sv[0], data + 1, size - 1, data[0] % 32) == 0) {
		r = msg_recv(sv[1], &m);
		if (r == 0) {
			row = proto_find(m.type);
			if (row == NULL || buf_len(&m.body) > row->max ||
			    m.nfd < row->fds_min || m.nfd > row->fds_max)
				abort();
			fuzz_reached(0);
			read_fields(&m);
		} else if (r != ERR_PROTO) {
			abort();
		}
		msg_clear(&m);
	}
	again = dup(sv[0]);
	if (again != lowest)
		abort();
	(void)close(again);
	(void)close(sv[0]);
	(void)close(sv[1]);
	return 0;
}
