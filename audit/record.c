/*
 * The files of an operation.  Runs in audit.  A hop can append to both files
 * for as long as it lives; what it wrote is measured after its death and
 * parsed with bounds (record_facts.c).
 */
#include "config.h"

#include "audit/record.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "audit/ledger.h"
#include "audit/utc.h"
#include "lib/err.h"
#include "lib/json.h"
#include "lib/safeopen.h"
#include "lib/str.h"
#include "lib/ulid.h"

#define RECORD_LINE_MAX (1024 * 1024 + 4096) /* the decision and ours */
#define RECORD_BLOCK (64 * 1024)
#define RECORD_FLAGS (O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)

void
record_init(struct record *rec)
{
	*rec = (struct record){ .cast = -1, .side = -1, .copy = -1 };
}

void
record_clear(struct record *rec)
{
	int err = errno;

	if (rec->cast >= 0)
		(void)close(rec->cast);
	if (rec->side >= 0)
		(void)close(rec->side);
	if (rec->copy >= 0)
		(void)close(rec->copy);
	EVP_MD_CTX_free(rec->md);
	record_init(rec);
	errno = err;
}

/* -- creating ------------------------------------------------------------ */

static int
record_day(int dir, const char *path)
{
	char day[UTC_DAY_LEN + 1];

	memcpy(day, path, UTC_DAY_LEN);
	day[UTC_DAY_LEN] = '\0';
	return mkdirat(dir, day, 0750) == -1 && errno != EEXIST ? ERR_SYS : 0;
}

/* Ours, new, and a second descriptor of the same file that cannot read. */
static int
record_new_file(int dir, const char *path, int *own, int *hop)
{
	struct stat a, b;

	*own =
	    openat(dir, path, O_RDWR | O_CREAT | O_EXCL | RECORD_FLAGS, 0600);
	if (*own == -1)
		return errno == EEXIST ? ERR_EXISTS : ERR_SYS;
	*hop = openat(dir, path, O_WRONLY | RECORD_FLAGS);
	if (*hop == -1 || fstat(*own, &a) == -1 || fstat(*hop, &b) == -1)
		return ERR_SYS;
	return a.st_dev != b.st_dev || a.st_ino != b.st_ino ? ERR_DENIED : 0;
}

/* A line of a sidecar, whole or taken back. */
static int
record_put_line(struct record *rec, const struct buf *line)
{
	struct stat st;
	int err;

	if (fstat(rec->side, &st) == -1)
		return ERR_SYS;
	if (write_all(rec->side, buf_ptr(line), buf_len(line)) != 0) {
		err = errno;
		if (ftruncate(rec->side, st.st_size) == 0)
			errno = err;
		return ERR_SYS;
	}
	return 0;
}

static int
record_put_open(struct record *rec, uint64_t number, uint64_t now_ms,
    const struct buf *decision)
{
	char utc[UTC_LEN + 1];
	struct buf line;
	struct json j;
	int r;

	utc_format(now_ms, utc);
	buf_init(&line, RECORD_LINE_MAX);
	json_init(&j, &line);
	json_open(&j, '{');
	json_kv_str(&j, "kind", "open");
	json_kv_str(&j, "time", utc);
	json_kv_num(&j, "number", number);
	if ((r = ledger_put_fields(&j, decision)) != 0)
		goto out;
	json_close(&j, '}');
	if ((r = json_end(&j)) != 0 || (r = buf_put(&line, "\n", 1)) != 0 ||
	    (r = record_put_line(rec, &line)) != 0)
		goto out;
	rec->side_start = buf_len(&line);
out:
	buf_clear(&line);
	return r;
}

int
record_create(struct record *rec, int dir, const char *path, uint64_t number,
    uint64_t now_ms, const struct buf *decision, int *cast, int *side)
{
	char side_path[RECORD_PATH_MAX];
	int c = -1, s = -1, r, err;

	if (!record_path_valid(path))
		return ERR_FORMAT;
	record_sibling_path(path, RECORD_SIDE, side_path);
	if ((r = str_copy(rec->path, sizeof(rec->path), path)) != 0 ||
	    (r = record_day(dir, path)) != 0 ||
	    (r = record_new_file(dir, path, &rec->cast, &c)) != 0 ||
	    (r = record_new_file(dir, side_path, &rec->side, &s)) != 0)
		goto out;
	if (flock(c, LOCK_EX | LOCK_NB) == -1) {
		r = ERR_SYS;
		goto out;
	}
	if ((r = record_put_open(rec, number, now_ms, decision)) != 0)
		goto out;
	*cast = c;
	*side = s;
	c = s = -1;
out:
	err = errno;
	if (c >= 0)
		(void)close(c);
	if (s >= 0)
		(void)close(s);
	if (r != 0) {
		/* Ours are >= 0 only when this call made the file. */
		if (rec->cast >= 0)
			(void)unlinkat(dir, path, 0);
		if (rec->side >= 0)
			(void)unlinkat(dir, side_path, 0);
		record_clear(rec);
	}
	errno = err;
	return r;
}

/* -- what an earlier process left ---------------------------------------- */

/* The end of the first line, which is audit's own; 0 when it is not there:
 * then all of it is read as the hop's. */
static int
record_find_start(struct record *rec)
{
	static const char open_line[] = "{\"kind\":\"open\",";
	uint8_t *d, *nl;
	ssize_t n;
	int r = 0;

	rec->side_start = 0;
	if ((d = malloc(RECORD_LINE_MAX)) == NULL)
		return ERR_NOMEM;
	n = pread(rec->side, d, RECORD_LINE_MAX, 0);
	if (n == -1)
		r = ERR_SYS;
	else if ((size_t)n > sizeof(open_line) &&
		 memcmp(d, open_line, sizeof(open_line) - 1) == 0 &&
		 (nl = memchr(d, '\n', (size_t)n)) != NULL)
		rec->side_start = (uint64_t)(nl - d) + 1;
	free(d);
	return r;
}

/* For writing, also one that was sealed by an audit that died before the ledger
 * had its end. */
static int
record_open(int dir, const char *path, int flags)
{
	int fd, ro, r = -1;

	fd = openat(dir, path, O_RDWR | flags | RECORD_FLAGS, 0600);
	if (fd != -1 || errno != EACCES)
		return fd;
	if ((ro = openat(dir, path, O_RDONLY | RECORD_FLAGS)) != -1)
		r = fchmod(ro, 0600);
	if (ro != -1)
		(void)close(ro);
	return r == -1 ? -1 : openat(dir, path, O_RDWR | RECORD_FLAGS);
}

int
record_reopen(struct record *rec, int dir, const char *path)
{
	char side_path[RECORD_PATH_MAX], copy_path[RECORD_PATH_MAX];
	int r;

	if (!record_path_valid(path))
		return ERR_FORMAT;
	record_sibling_path(path, RECORD_SIDE, side_path);
	record_sibling_path(path, RECORD_COPY, copy_path);
	if ((r = str_copy(rec->path, sizeof(rec->path), path)) != 0)
		return r;
	(void)unlinkat(dir, copy_path, 0); /* half of one */
	rec->cast = record_open(dir, path, 0);
	if (rec->cast == -1) {
		r = errno == ENOENT ? ERR_NOTFOUND : ERR_SYS;
		goto out;
	}
	rec->side = record_open(dir, side_path, O_CREAT);
	r = rec->side == -1 ? ERR_SYS : record_find_start(rec);
out:
	if (r != 0)
		record_clear(rec);
	return r;
}

static int
view_file(int dir, const char *path, int *fdp)
{
	int fd;

	fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd == -1)
		return errno == ENOENT ? ERR_NOTFOUND : ERR_SYS;
	*fdp = fd;
	return 0;
}

int
record_view(int dir, const char *path, int *fdp)
{
	return record_path_valid(path) ? view_file(dir, path, fdp) : ERR_FORMAT;
}

int
record_view_side(int dir, const char *path, int *fdp)
{
	char side_path[RECORD_PATH_MAX];

	if (!record_path_valid(path))
		return ERR_FORMAT;
	record_sibling_path(path, RECORD_SIDE, side_path);
	return view_file(dir, side_path, fdp);
}

bool
record_has_writer(const struct record *rec)
{
	/* Our own description never holds the lock for longer than this. */
	if (flock(rec->cast, LOCK_EX | LOCK_NB) == -1)
		return true;
	(void)flock(rec->cast, LOCK_UN);
	return false;
}

/* -- closing ------------------------------------------------------------- */

/* The offset behind the last newline. */
static int
record_last_line(int fd, uint64_t size, uint64_t *end)
{
	uint8_t d[4096];
	const uint8_t *nl;
	size_t n;
	ssize_t k;

	*end = 0;
	while (size > 0) {
		n = size > sizeof(d) ? sizeof(d) : (size_t)size;
		k = pread(fd, d, n, (off_t)(size - n));
		if (k != (ssize_t)n)
			return k == -1 ? ERR_SYS : ERR_FORMAT;
		if ((nl = memrchr(d, '\n', n)) != NULL) {
			*end = size - n + (uint64_t)(nl - d) + 1;
			return 0;
		}
		size -= n;
	}
	return 0;
}

static int
record_put_header(struct record *rec, uint64_t now_ms)
{
	struct buf b;
	struct json j;
	int r;

	buf_init(&b, 256);
	json_init(&j, &b);
	json_open(&j, '{');
	json_kv_num(&j, "version", 2);
	json_kv_num(&j, "width", 80);
	json_kv_num(&j, "height", 24);
	json_kv_num(&j, "timestamp", now_ms / 1000);
	json_close(&j, '}');
	if ((r = json_end(&j)) == 0 && (r = buf_put(&b, "\n", 1)) == 0)
		r = write_all(rec->cast, buf_ptr(&b), buf_len(&b));
	buf_clear(&b);
	return r;
}

int
record_trim(struct record *rec, uint64_t now_ms)
{
	struct stat st;
	uint64_t end;
	int r;

	if (fstat(rec->cast, &st) == -1)
		return ERR_SYS;
	if ((r = record_last_line(rec->cast, (uint64_t)st.st_size, &end)) != 0)
		return r;
	if (end != (uint64_t)st.st_size &&
	    ftruncate(rec->cast, (off_t)end) == -1)
		return ERR_SYS;
	if (end == 0 && (r = record_put_header(rec, now_ms)) != 0) {
		/* As good as none. */
		if (r != ERR_SYS || ftruncate(rec->cast, 0) == -1)
			return r;
	}
	if (fstat(rec->cast, &st) == -1)
		return ERR_SYS;
	rec->size = (uint64_t)st.st_size;
	rec->hashed = 0;
	EVP_MD_CTX_free(rec->md);
	if ((rec->md = EVP_MD_CTX_new()) == NULL ||
	    EVP_DigestInit_ex(rec->md, EVP_sha256(), NULL) != 1)
		return ERR_CRYPTO;
	return 0;
}

static int
record_hash_end(struct record *rec)
{
	uint8_t md[EVP_MAX_MD_SIZE];
	unsigned int n = 0;

	if (EVP_DigestFinal_ex(rec->md, md, &n) != 1 ||
	    n * 2 != SIDECAR_SHA256_LEN)
		return ERR_CRYPTO;
	hex_encode(md, n, rec->sha256);
	EVP_MD_CTX_free(rec->md);
	rec->md = NULL;
	return 0;
}

int
record_hash(struct record *rec, size_t max)
{
	uint8_t *d;
	size_t want;
	ssize_t n;
	int r = 0;

	if (rec->md == NULL)
		return ERR_INTERNAL;
	if ((d = malloc(RECORD_BLOCK)) == NULL)
		return ERR_NOMEM;
	while (rec->hashed < rec->size && max > 0 && r == 0) {
		want = max > RECORD_BLOCK ? RECORD_BLOCK : max;
		if (want > rec->size - rec->hashed)
			want = (size_t)(rec->size - rec->hashed);
		n = pread(rec->cast, d, want, (off_t)rec->hashed);
		if (n <= 0)
			r = n == 0 ? ERR_FORMAT : ERR_SYS;
		else if (EVP_DigestUpdate(rec->md, d, (size_t)n) != 1)
			r = ERR_CRYPTO;
		if (r != 0)
			break;
		rec->hashed += (size_t)n;
		max -= (size_t)n;
	}
	free(d);
	if (r != 0)
		return r;
	return rec->hashed < rec->size ? ERR_AGAIN : record_hash_end(rec);
}

int
record_finish(
    struct record *rec, uint64_t now_ms, const char *state, const char *reason)
{
	char utc[UTC_LEN + 1];
	uint64_t end;
	struct stat st;
	struct buf b;
	struct json j;
	int r = ERR_SYS;

	utc_format(now_ms, utc);
	buf_init(&b, 6 * RECORD_REASON_MAX + 1024);
	json_init(&j, &b);
	/* A hop that was killed while it wrote its line left a piece of one. */
	if (fstat(rec->side, &st) == -1 ||
	    (r = record_last_line(rec->side, (uint64_t)st.st_size, &end)) != 0)
		goto out;
	r = end == (uint64_t)st.st_size ? 0 : buf_put(&b, "\n", 1);
	json_open(&j, '{');
	json_kv_str(&j, "kind", "closed");
	json_kv_str(&j, "time", utc);
	json_kv_str(&j, "state", state);
	if (reason != NULL && *reason != '\0')
		json_kv_str(&j, "reason", reason);
	json_kv_num(&j, "recording_bytes", rec->size);
	json_kv_str(&j, "recording_sha256", rec->sha256);
	json_close(&j, '}');
	if (r != 0 || (r = json_end(&j)) != 0 ||
	    (r = buf_put(&b, "\n", 1)) != 0 ||
	    (r = record_put_line(rec, &b)) != 0)
		goto out;
	r = fdatasync(rec->cast) == -1 || fdatasync(rec->side) == -1 ? ERR_SYS
								     : 0;
out:
	buf_clear(&b);
	return r;
}

int
record_seal(struct record *rec)
{
	int r = 0;

	if (fchmod(rec->cast, 0440) == -1 || fchmod(rec->side, 0440) == -1)
		r = ERR_SYS;
	return r;
}
