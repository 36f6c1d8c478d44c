/*
 * Copies for backup and restoration.  Runs in tools, as root; what it reads
 * may be written at that moment, and what it writes is nobody's yet.
 */
#include "config.h"

#include "audit/copy.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "lib/err.h"
#include "lib/safeopen.h"
#include "lib/str.h"

#define COPY_BLOCK (256 * 1024)
#define COPY_FOLDER_MAX 256

static int
copy_block(int in, int out, uint64_t at, size_t want, uint8_t *d, ssize_t *n)
{
	do {
		*n = pread(in, d, want, (off_t)at);
	} while (*n == -1 && errno == EINTR);
	if (*n == -1)
		return ERR_SYS;
	return write_all(out, d, (size_t)*n);
}

int
copy_some(int in, int out, uint64_t from, uint64_t max, struct copy_sum *sum)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t *d = malloc(COPY_BLOCK), sha[EVP_MAX_MD_SIZE];
	uint64_t done = 0;
	ssize_t n = 1;
	int r = d == NULL ? ERR_NOMEM : 0;

	if (r == 0 &&
	    (md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1))
		r = ERR_CRYPTO;
	while (r == 0 && n > 0 && done < max) {
		size_t want =
		    max - done < COPY_BLOCK ? (size_t)(max - done) : COPY_BLOCK;

		r = copy_block(in, out, from + done, want, d, &n);
		if (r == 0 && EVP_DigestUpdate(md, d, (size_t)n) != 1)
			r = ERR_CRYPTO;
		if (r == 0)
			done += (uint64_t)n;
	}
	if (r == 0 && sum != NULL) {
		r = EVP_DigestFinal_ex(md, sha, NULL) == 1 ? 0 : ERR_CRYPTO;
		hex_encode(sha, (COPY_SHA256_MAX - 1) / 2, sum->sha256);
		sum->bytes = done;
	}
	EVP_MD_CTX_free(md);
	free(d);
	return r;
}

/* The folder of that file below to, which is made; MUST NOT be a link: one that
 * was there before may be somebody else's. */
static int
copy_folder(int to, const char *name, int *fdp)
{
	char folder[COPY_FOLDER_MAX] = ".";
	const char *slash = strrchr(name, '/');

	if (slash != NULL) {
		if ((size_t)(slash - name) >= sizeof(folder))
			return ERR_TOOBIG;
		memcpy(folder, name, (size_t)(slash - name));
		folder[slash - name] = '\0';
		if (mkdirat(to, folder, 0750) == -1 && errno != EEXIST)
			return ERR_SYS;
	}
	*fdp =
	    openat(to, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *fdp == -1 ? ERR_SYS : 0;
}

/* A new file in the place of one that may be there. */
static int
copy_create(int to, const char *name, int *fdp)
{
	const char *slash = strrchr(name, '/');
	const char *base = slash == NULL ? name : slash + 1;
	int dir = -1, r;

	if ((r = copy_folder(to, name, &dir)) != 0)
		return r;
	r = ERR_SYS;
	if (unlinkat(dir, base, 0) == 0 || errno == ENOENT) {
		*fdp = openat(dir, base,
		    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		r = *fdp == -1 ? ERR_SYS : 0;
	}
	(void)close(dir);
	return r;
}

int
copy_file(int from, int to, const char *name, struct copy_sum *sum)
{
	int in, out = -1, r = ERR_SYS;
	struct stat st;

	in = openat(from, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (in == -1)
		return errno == ENOENT ? ERR_NOTFOUND : ERR_SYS;
	if (fstat(in, &st) == -1)
		goto out;
	if (!S_ISREG(st.st_mode)) {
		r = ERR_DENIED;
		goto out;
	}
	if ((r = copy_create(to, name, &out)) != 0 ||
	    (r = copy_some(in, out, 0, (uint64_t)st.st_size, sum)) != 0)
		goto out;
	r = fchmod(out, st.st_mode & 0640) == -1 ? ERR_SYS : 0;
out:
	(void)close(in);
	if (out != -1)
		(void)close(out);
	return r;
}
