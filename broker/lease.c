/*
 * The lease's two ends.  The writer is root, and nobody else can write it; so
 * a reader need not fear that the file shrinks under its page.
 */
#include "config.h"

#include "broker/lease.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/err.h"

#define LEASE_SIZE 4096

int
lease_make(const char *folder, struct lease **lp, int *fdp)
{
	char path[512];
	void *p;
	int fd, n, ro;

	n = snprintf(path, sizeof(path), "%s/lease", folder);
	if (n < 0 || (size_t)n >= sizeof(path))
		return ERR_TOOBIG;
	fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd == -1)
		return ERR_SYS;
	if (ftruncate(fd, LEASE_SIZE) == -1 ||
	    (ro = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) == -1) {
		(void)close(fd);
		return ERR_SYS;
	}
	p = mmap(NULL, LEASE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)close(fd);
	if (p == MAP_FAILED) {
		(void)close(ro);
		return ERR_SYS;
	}
	*lp = p;
	*fdp = ro;
	return 0;
}

void
lease_stamp(struct lease *l, enum lease_of who, int64_t now_ms)
{
	l->seen_ms[who] = now_ms;
}

bool
lease_begin(struct lease *l, bool fresh)
{
	if (fresh && l->life != LEASE_LIFE_NONE)
		l->life = LEASE_LIFE_DEATH;
	else if (l->life != LEASE_LIFE_DEATH)
		l->life = LEASE_LIFE_RUNS;
	return l->life == LEASE_LIFE_DEATH;
}

void
lease_told(struct lease *l)
{
	l->life = LEASE_LIFE_RUNS;
}

/* A death that nobody could write down yet is the next one's to tell. */
void
lease_end(struct lease *l)
{
	if (l->life == LEASE_LIFE_RUNS)
		l->life = LEASE_LIFE_NONE;
}

int
lease_open(int fd, const struct lease **lp)
{
	struct stat st;
	void *p = MAP_FAILED;

	/* A page behind the file's end would be a signal when it is read. */
	if (fstat(fd, &st) == 0 && st.st_size >= LEASE_SIZE)
		p = mmap(NULL, LEASE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	(void)close(fd);
	if (p == MAP_FAILED)
		return ERR_SYS;
	*lp = p;
	return 0;
}

const char *
lease_lost(const struct lease *l, int64_t now_ms)
{
	static const char *const names[LEASE_N] = {
		[LEASE_AUDIT] = "postern-audit",
		[LEASE_POLICY] = "postern-policy",
	};

	for (int i = 0; i < LEASE_N; i++) {
		if (now_ms - l->seen_ms[i] > LEASE_MS)
			return names[i];
	}
	return NULL;
}
