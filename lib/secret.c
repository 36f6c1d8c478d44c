/*
 * Secrets in pages of their own.  Used by the PAM module (tokens), oidc,
 * signer and hop.
 */
#include "config.h"

#include "lib/secret.h"

#include <sys/mman.h>

#include <string.h>
#include <unistd.h>

#include "lib/err.h"

int
secret_init(struct secret *s, size_t max)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), cap;
	void *p;

	if (__builtin_add_overflow(max, page, &cap))
		return ERR_TOOBIG;
	cap -= cap % page; /* at least max + 1: the NUL */
	p = mmap(NULL, cap, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return ERR_SYS;
	/* Both may be refused (limits, sandboxes): then the pages are only
	 * wiped. */
	(void)madvise(p, cap, MADV_DONTDUMP);
	(void)mlock(p, cap);
	*s = (struct secret){ .d = p, .cap = cap, .max = max };
	return 0;
}

int
secret_append(struct secret *s, const void *p, size_t n)
{
	if (s->d == NULL)
		return ERR_INTERNAL;
	if (n > s->max - s->len)
		return ERR_TOOBIG;
	if (n > 0)
		memcpy(s->d + s->len, p, n);
	s->len += n;
	s->d[s->len] = '\0';
	return 0;
}

void
secret_clear(struct secret *s)
{
	if (s == NULL || s->d == NULL)
		return;
	explicit_bzero(s->d, s->cap);
	(void)munmap(s->d, s->cap);
	*s = (struct secret){ 0 };
}
