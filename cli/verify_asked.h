/*
 * Digests of recordings that audit hands over.
 */
#ifndef POSTERN_CLI_VERIFY_ASKED_H
#define POSTERN_CLI_VERIFY_ASKED_H

#include <stdbool.h>

struct verify_asked {
	const char *id; /* of this session or operation alone; NULL: all */
	bool asked;
	void *files;
};

/* As in struct verify_ask.  The first time it asks for all of them. */
int verify_asked_sha256(void *arg, const char *path, char *hex);
void verify_asked_clear(struct verify_asked *a);

#endif
