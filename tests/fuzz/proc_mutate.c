/*
 * Changes to scripts, a step at a time: see proc.h.  Bytes inside of a body are
 * libFuzzer's business; that there are messages, from whom and in which order,
 * is this file's.  Empty but under libFuzzer.
 */
#include "config.h"

#include "tests/fuzz/proc.h"

#include <stdlib.h>
#include <string.h>

#include "lib/proto.h"

#ifdef POSTERN_LIBFUZZER

#define TRIES 8

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(
    uint8_t *data, size_t size, size_t max, unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t na, const uint8_t *b,
    size_t nb, uint8_t *out, size_t max, unsigned int seed);

struct steps {
	size_t at[PROC_STEPS_MAX + 1]; /* the last one is the end */
	size_t n;
};

static unsigned int
chance(unsigned int *seed, size_t n)
{
	*seed = *seed * 1103515245u + 12345u;
	return n == 0 ? 0 : (*seed >> 8) % (unsigned int)n;
}

static size_t
body_of(const uint8_t *s)
{
	return (size_t)s[5] << 8 | s[6];
}

static struct steps
steps_of(const uint8_t *p, size_t n)
{
	struct steps s = { .at = { 1 } };
	size_t at = 1, len;

	while (s.n < PROC_STEPS_MAX && at + PROC_STEP_LEN <= n) {
		len = PROC_STEP_LEN + body_of(p + at);
		at = len > n - at ? n : at + len;
		s.at[++s.n] = at;
	}
	return s;
}

/* Puts step (len bytes) in at `at`; as large as before where it does not fit.
 */
static size_t
insert(uint8_t *p, size_t n, size_t max, size_t at, const uint8_t *step,
    size_t len)
{
	if (len > max - n)
		return n;
	memmove(p + at + len, p + at, n - at);
	memcpy(p + at, step, len);
	return n + len;
}

static size_t
cut(uint8_t *p, size_t n, size_t at, size_t len)
{
	memmove(p + at, p + at + len, n - at - len);
	return n - len;
}

/* One message of the table, from somewhere. */
static size_t
new_step(uint8_t *p, size_t n, size_t max, size_t at, unsigned int *seed)
{
	size_t rows, len = chance(seed, 4) * 8;
	const struct proto_row *row = proto_table(&rows);
	uint8_t step[PROC_STEP_LEN + 24] = { 0 };

	row += chance(seed, rows);
	step[0] = (uint8_t)chance(seed, chance(seed, 2) ? PROC_OPS : 1);
	step[1] = (uint8_t)chance(seed, proc.ndoor);
	step[2] = (uint8_t)row->type;
	step[3] = chance(seed, 2) ? PROC_ID_LAST : (uint8_t)chance(seed, 8);
	step[4] = row->fds_min | (uint8_t)(chance(seed, FD_KINDS) << 4);
	step[6] = (uint8_t)len;
	/* Lengths and numbers, mostly small. */
	for (size_t i = 0; i < len; i++)
		step[PROC_STEP_LEN + i] =
		    i % 4 == 3 ? (uint8_t)chance(seed, 6) : 0;
	return insert(p, n, max, at, step, PROC_STEP_LEN + len);
}

static size_t
change_head(uint8_t *p, size_t n, size_t at, unsigned int *seed)
{
	static const uint8_t ids[] = { PROC_ID_LAST, PROC_ID_BEFORE, 0, 1, 7 };
	uint8_t *s = p + at;

	switch (chance(seed, 6)) {
	case 0:
		s[0] = (uint8_t)chance(seed, PROC_OPS);
		break;
	case 1:
		s[1] =
		    (uint8_t)(chance(seed, proc.ndoor) | chance(seed, 3) << 4);
		break;
	case 2:
		s[2] =
		    (uint8_t)(chance(seed, 2) ? s[2] ^ 1 : chance(seed, 128));
		break;
	case 3:
		s[3] = ids[chance(seed, sizeof(ids))];
		break;
	case 4:
		s[4] = (uint8_t)((s[4] & 0xf0) | chance(seed, 10));
		break;
	default:
		s[4] = (uint8_t)((s[4] & 15) | chance(seed, FD_KINDS) << 4);
	}
	return n;
}

static size_t
change_body(uint8_t *p, size_t n, size_t max, size_t at, size_t end)
{
	static uint8_t body[PROC_BODY_MAX];
	size_t len = end - at - PROC_STEP_LEN, more;

	if (len > sizeof(body))
		return n;
	memcpy(body, p + at + PROC_STEP_LEN, len);
	more = LLVMFuzzerMutate(body, len, sizeof(body));
	if (more > len && more - len > max - n)
		return n;
	memmove(p + at + PROC_STEP_LEN + more, p + end, n - end);
	memcpy(p + at + PROC_STEP_LEN, body, more);
	p[at + 5] = (uint8_t)(more >> 8);
	p[at + 6] = (uint8_t)more;
	return n - len + more;
}

/* A length or a number of the body, if it is one: 1 more or less, or large. */
static size_t
change_number(uint8_t *p, size_t n, size_t at, size_t end, unsigned int *seed)
{
	size_t len = end - at - PROC_STEP_LEN, i;
	uint8_t *b = p + at + PROC_STEP_LEN;

	if (len < 4)
		return n;
	for (int k = 0; k < TRIES; k++) {
		i = chance(seed, len - 3);
		if (b[i] != 0 || b[i + 1] != 0)
			continue;
		switch (chance(seed, 4)) {
		case 0:
			b[i + 3]++;
			break;
		case 1:
			b[i + 3]--;
			break;
		case 2:
			memset(b + i, 0xff, 4);
			break;
		default:
			memset(b + i, 0, 4);
		}
		break;
	}
	return n;
}

static size_t
mutate_once(uint8_t *p, size_t n, size_t max, unsigned int *seed)
{
	static uint8_t step[PROC_STEP_LEN + PROC_BODY_MAX];
	struct steps s = steps_of(p, n);
	size_t i = chance(seed, s.n), k = chance(seed, s.n + 1), len;

	if (s.n == 0)
		return new_step(p, n, max, n, seed);
	len = s.at[i + 1] - s.at[i];
	switch (chance(seed, 12)) {
	case 0:
		return new_step(p, n, max, s.at[k], seed);
	case 1:
		return cut(p, n, s.at[i], len);
	case 2: /* the same once more, somewhere */
	case 3:
		if (len > sizeof(step) || s.n == PROC_STEPS_MAX)
			return n;
		memcpy(step, p + s.at[i], len);
		return insert(
		    p, n, max, s.at[chance(seed, 2) ? i + 1 : k], step, len);
	case 4:
		if (chance(seed, 16) == 0)
			p[0] ^= PROC_FRESH;
		return cut(p, n, s.at[k], n - s.at[k]);
	case 5:
	case 6:
	case 7:
		return change_head(p, n, s.at[i], seed);
	case 8:
		return change_number(p, n, s.at[i], s.at[i + 1], seed);
	default:
		return change_body(p, n, max, s.at[i], s.at[i + 1]);
	}
}

size_t
LLVMFuzzerCustomMutator(
    uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	unsigned int s = seed;
	size_t n = size;

	if (max > PROC_SCRIPT_MAX)
		max = PROC_SCRIPT_MAX;
	if (n == 0) {
		data[0] = 0;
		n = 1;
	}
	if (n > max)
		n = max;
	for (unsigned int k = chance(&s, 4) + 1; k > 0; k--)
		n = mutate_once(data, n, max, &s);
	return n;
}

/* The first steps of one, and some of the other. */
size_t
LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t na, const uint8_t *b,
    size_t nb, uint8_t *out, size_t max, unsigned int seed)
{
	struct steps s = steps_of(a, na), t = steps_of(b, nb);
	size_t n, from, to;

	if (na == 0 || nb == 0)
		return 0;
	n = s.at[chance(&seed, s.n + 1)];
	from = chance(&seed, t.n);
	to = from + chance(&seed, t.n - from + 1);
	if (n > max)
		return 0;
	memcpy(out, a, n);
	if (t.at[to] - t.at[from] > max - n)
		return n;
	memcpy(out + n, b + t.at[from], t.at[to] - t.at[from]);
	return n + t.at[to] - t.at[from];
}

#else
typedef int proc_mutate_is_empty; /* ISO C wants one declaration in a file */
#endif
