/*
 * The SFTP filter between two strangers.  The input is chunks: a byte that says
 * whose it is, a byte of length, and bytes.  A target's chunk may be given the
 * number of a question that waits, or it would seldom be an answer.
 *
 * Whatever comes: each packet to the target is whole, of a known type, and a
 * path in it is absolute and plain; nothing is changed outside /w.
 */
#include "config.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/str.h"
#include "ssh/sftp.h"
#include "ssh/sftp_internal.h"
#include "tests/fuzz/depth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const fuzz_depths[] = { "an entry that is done", "a refusal",
	NULL };

#define IDS_MAX 64

static const struct sftp_rule rules[] = {
	{ "no", true, true, "/w/no", 0, false, false },
	{ "w", false, true, "/w", 5000, false, false },
	{ "k", false, true, "/w/k", 0, true, true },
	{ "r", false, false, "/r", 5000, false, true },
	{ "rw", false, false, "/w", 0, false, false },
};

struct fuzz {
	struct sftp *s;
	uint32_t id[IDS_MAX]; /* of questions to the target */
	size_t nid;
	uint64_t left[2]; /* bytes of a packet that went out in part */
	uint8_t head[2][64];
	size_t nhead[2];
};

static void
on_entry(void *arg, const struct sftp_entry *e)
{
	(void)arg;
	if (e->result == SFTP_DONE)
		fuzz_reached(0);
	if (!utf8_valid(e->path, strlen(e->path)) || e->path[0] != '/' ||
	    e->nrange > SFTP_RANGES_MAX)
		abort();
	if (e->result == SFTP_DONE && e->verb != SFTP_GET &&
	    !path_is_beneath(e->path, "/w"))
		abort();
	if (e->result == SFTP_DONE && e->to != NULL &&
	    !path_is_beneath(e->to, "/w"))
		abort();
}

static void
on_refused(void *arg, const char *text)
{
	(void)arg;
	fuzz_reached(1);
	if (!utf8_valid(text, strlen(text)))
		abort();
}

static void
check_path(struct buf *b, bool changes)
{
	const uint8_t *p;
	char path[SFTP_PATH_MAX + 1];
	size_t n;

	if (buf_get_view(b, SFTP_PATH_MAX, &p, &n) != 0 || n == 0)
		abort();
	memcpy(path, p, n);
	path[n] = '\0';
	if (path[0] != '/' || strstr(path, "//") != NULL ||
	    strstr(path, "/./") != NULL || strstr(path, "/../") != NULL ||
	    (n > 1 && path[n - 1] == '/'))
		abort();
	if (changes &&
	    (!path_is_beneath(path, "/w") || path_is_beneath(path, "/w/no")))
		abort();
}

/* One whole packet to the target. */
static void
check_request(struct fuzz *f, const uint8_t *p, size_t n)
{
	struct buf b;
	uint32_t id, flags;
	uint8_t type;

	buf_view(&b, p, n);
	if (buf_skip(&b, 4) != 0 || buf_get_u8(&b, &type) != 0 ||
	    buf_get_u32(&b, &id) != 0)
		abort();
	if (type == FXP_INIT)
		return;
	f->id[f->nid++ % IDS_MAX] = id;
	switch (type) {
	case FXP_REMOVE:
	case FXP_RMDIR:
	case FXP_MKDIR:
	case FXP_SETSTAT:
		check_path(&b, true);
		break;
	case FXP_RENAME:
		check_path(&b, true);
		check_path(&b, true);
		break;
	case FXP_SYMLINK:
		if (buf_get_u32(&b, &flags) != 0 || buf_skip(&b, flags) != 0)
			abort();
		check_path(&b, true);
		break;
	case FXP_OPEN: {
		struct buf again = b;

		check_path(&b, false);
		if (buf_get_u32(&b, &flags) != 0)
			abort();
		if ((flags & ~1U) != 0)
			check_path(&again, true);
		break;
	}
	case FXP_STAT:
	case FXP_LSTAT:
	case FXP_OPENDIR:
	case FXP_READLINK:
		check_path(&b, false);
		break;
	case FXP_REALPATH: /* `.` at the start, then plain ones */
	case FXP_CLOSE:
	case FXP_READ:
	case FXP_WRITE:
	case FXP_FSTAT:
	case FXP_FSETSTAT:
	case FXP_READDIR:
	case FXP_EXTENDED:
		break;
	default:
		abort();
	}
}

/* Packets as they go out; contents may follow later. */
static void
drain(struct fuzz *f, enum sftp_side side)
{
	size_t n, k;
	const uint8_t *p = sftp_out(f->s, side, &n);

	for (size_t i = 0; i < n; i += k) {
		uint32_t len;

		if (f->left[side] > 0) {
			k = f->left[side] < n - i ? (size_t)f->left[side]
						  : n - i;
			f->left[side] -= k;
			continue;
		}
		if (n - i < 9)
			abort(); /* heads are written whole */
		len = (uint32_t)p[i] << 24 | (uint32_t)p[i + 1] << 16 |
		      (uint32_t)p[i + 2] << 8 | p[i + 3];
		if (len < 5 || len > 2 * SFTP_PACKET_MAX)
			abort();
		k = 4 + (size_t)len;
		if (k > n - i) {
			if (p[i + 4] != FXP_WRITE && p[i + 4] != FXP_DATA)
				abort();
			f->left[side] = k - (n - i);
			k = n - i;
		} else if (side == SFTP_TARGET && p[i + 4] != FXP_WRITE) {
			check_request(f, p + i, k);
		}
		if (p[i + 4] == FXP_WRITE && side == SFTP_TARGET && k >= 9)
			f->id[f->nid++ % IDS_MAX] = (uint32_t)p[i + 5] << 24 |
						    (uint32_t)p[i + 6] << 16 |
						    (uint32_t)p[i + 7] << 8 |
						    p[i + 8];
	}
	if (n > 0 && sftp_sent(f->s, side, n) != 0)
		abort();
}

static int
feed(struct fuzz *f, uint8_t op, const uint8_t *p, size_t n)
{
	uint8_t d[256];
	size_t took = 0;
	uint32_t id;
	int r;

	memcpy(d, p, n);
	if ((op & 1) != 0 && (op & 2) != 0 && n >= 9 && f->nid > 0) {
		id = f->id[(op >> 2) % (f->nid < IDS_MAX ? f->nid : IDS_MAX)];
		d[5] = (uint8_t)(id >> 24);
		d[6] = (uint8_t)(id >> 16);
		d[7] = (uint8_t)(id >> 8);
		d[8] = (uint8_t)id;
	}
	r = (op & 1) != 0 ? sftp_from_target(f->s, d, n, &took)
			  : sftp_from_job(f->s, d, n, &took);
	if (r == 0 && took > n)
		abort();
	drain(f, SFTP_TARGET);
	drain(f, SFTP_JOB);
	return r;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sftp_want w = { .rule = rules,
		.nrule = sizeof(rules) / sizeof(rules[0]),
		.entry = on_entry,
		.refused = on_refused };
	struct fuzz f = { 0 };
	size_t n;

	if (sftp_new(&w, &f.s) != 0)
		return 0;
	for (size_t i = 0; i + 2 <= size; i += 2 + n) {
		n = data[i + 1];
		if (n > size - i - 2)
			n = size - i - 2;
		if (feed(&f, data[i], data + i + 2, n) != 0)
			break;
	}
	sftp_end(f.s);
	sftp_free(f.s);
	return 0;
}
