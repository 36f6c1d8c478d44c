/*
 * Preloaded into postern-audit by its test: how much of the ledger the disk has
 * for sure, which a power cut leaves.  After each fdatasync of a file the page
 * that the test reads has that file's size as it was before the call, at the
 * place of the file's inode.
 */
#include "config.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define FILES 64

static volatile struct {
	uint64_t inode, size;
} * files;

__attribute__((constructor)) static void
synced_init(void)
{
	const char *path = getenv("SYNCED_PAGE");
	int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
	void *p;

	if (fd == -1)
		abort();
	p = mmap(NULL, FILES * sizeof(*files), PROT_READ | PROT_WRITE,
	    MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		abort();
	files = p;
	(void)close(fd);
}

int fdatasync(int fd);
int
fdatasync(int fd)
{
	struct stat st;
	int r;

	if (fstat(fd, &st) == -1)
		return -1;
	if ((r = (int)syscall(SYS_fdatasync, fd)) != 0)
		return r;
	for (size_t i = 0; i < FILES; i++) {
		if (files[i].inode != 0 && files[i].inode != st.st_ino)
			continue;
		files[i].size = (uint64_t)st.st_size;
		files[i].inode = st.st_ino;
		break;
	}
	return 0;
}
