/*
 * The main of every fuzz target in a plain build: feeds each file of its
 * corpus to LLVMFuzzerTestOneInput once, so that `make check` replays what
 * fuzzing found, and sees that it still comes as far as it should (depth.h).
 * The corpus is $srcdir/tests/fuzz/corpus/NAME for a program called fuzz_NAME,
 * or the files and folders named as arguments.  Under libFuzzer this file is
 * empty.
 */
#include "config.h"

#include <dirent.h>
#include <err.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tests/fuzz/depth.h"

#ifndef POSTERN_LIBFUZZER

#define INPUT_MAX (16U * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t replayed;
static uint8_t *reached; /* shared with processes that are copied */

void
fuzz_reached(unsigned int depth)
{
	if (reached == NULL || depth >= FUZZ_DEPTHS_MAX)
		abort();
	reached[depth] = 1;
}

/* How many were not. */
static int
tell_depths(void)
{
	int missing = 0;

	for (size_t i = 0; fuzz_depths[i] != NULL; i++) {
		if (i >= FUZZ_DEPTHS_MAX)
			abort();
		if (reached[i] != 0)
			continue;
		warnx("no seed reaches: %s", fuzz_depths[i]);
		missing++;
	}
	return missing;
}

static void
replay_file(const char *path)
{
	uint8_t *exact, *p = malloc(INPUT_MAX);
	FILE *f = fopen(path, "re");
	size_t n;

	if (p == NULL || f == NULL)
		err(1, "%s", path);
	n = fread(p, 1, INPUT_MAX, f);
	if (ferror(f) != 0)
		err(1, "%s", path);
	(void)fclose(f);
	/* A block of its own size: reading past it is seen by sanitizers. */
	exact = malloc(n == 0 ? 1 : n);
	if (exact == NULL)
		err(1, "%s", path);
	memcpy(exact, p, n);
	free(p);
	(void)LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	replayed++;
}

static void
replay(const char *path)
{
	struct dirent **list = NULL;
	struct stat st;
	char *inner = NULL;
	int n;

	if (stat(path, &st) != 0)
		err(1, "%s", path);
	if (!S_ISDIR(st.st_mode)) {
		replay_file(path);
		return;
	}
	n = scandir(path, &list, NULL, alphasort);
	if (n < 0)
		err(1, "%s", path);
	for (int i = 0; i < n; i++) {
		if (list[i]->d_name[0] != '.') {
			if (asprintf(&inner, "%s/%s", path,
			    list[i]->d_name) < 0)
				err(1, "%s", path);
			replay(inner);
			free(inner);
		}
		free(list[i]);
	}
	free(list);
}

int
main(int argc, char **argv)
{
	const char *srcdir = getenv("srcdir");
	const char *name = strrchr(argv[0], '/');
	char *path = NULL;

	reached = mmap(NULL, FUZZ_DEPTHS_MAX, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (reached == MAP_FAILED)
		err(1, "mmap");
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	if (argc < 2) {
		name = strstr(name == NULL ? argv[0] : name, "fuzz_");
		if (name == NULL)
			errx(1, "%s: not called fuzz_NAME", argv[0]);
		if (asprintf(&path, "%s/tests/fuzz/corpus/%s",
		    srcdir == NULL ? "." : srcdir, name + 5) < 0)
			err(1, "%s", argv[0]);
		replay(path);
		free(path);
	}
	printf("%zu inputs\n", replayed);
	/* A corpus that is not there is a mistake, not a success. */
	return replayed == 0 || (argc < 2 && tell_depths() > 0);
}

#else
typedef int replay_is_empty; /* ISO C wants one declaration in a file */
#endif
