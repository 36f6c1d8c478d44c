/*
 * The line editor: whatever is typed, a line comes out that is no longer than
 * it may be by much, no program is started, and no file is opened.  The bytes
 * are keys; 0xff is Ctrl-C as a signal, 0xfe another size of the terminal.
 */
#include "config.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static ssize_t fuzz_read(int fd, void *p, size_t n);

#define read fuzz_read
#include "shell/edit.c"
#undef read

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

void __lsan_disable(void) __attribute__((weak));
void __lsan_enable(void) __attribute__((weak));

static const uint8_t *keys;
static size_t nkeys;

/* libedit's way to vi. */
pid_t
fork(void)
{
	abort();
}

static ssize_t
fuzz_read(int fd, void *p, size_t n)
{
	if (fd != STDIN_FILENO || n != 1)
		abort();
	if (nkeys == 0)
		return 0;
	memcpy(p, keys, 1);
	keys++;
	nkeys--;
	return 1;
}

static enum edit_wait
fuzz_wait(void *arg)
{
	(void)arg;
	if (nkeys > 0 && (keys[0] == 0xff || keys[0] == 0xfe)) {
		keys++;
		return nkeys--,
		       keys[-1] == 0xff ? EDIT_INTERRUPT : EDIT_RESIZED;
	}
	return EDIT_BYTE;
}

/* As many words, and as long ones, as the text says. */
static size_t
fuzz_complete(
    void *arg, const char *text, size_t n, const char **words, size_t *partial)
{
	static char list[64 * 1024];
	size_t count = n == 0 ? 3 : (uint8_t)text[n - 1] % 130, at = 0;

	(void)arg;
	*partial = n % 3;
	for (size_t i = 0; i < count; i++)
		at += (size_t)snprintf(
			  list + at, sizeof(list) - at, "ab%zu", i * n % 7) +
		      1;
	*words = list;
	return count;
}

/* Once: a terminal, for libedit edits on nothing else. */
static bool
fuzz_terminal(void)
{
	static int state;
	int master, slave, null;

	if (state != 0)
		return state == 1;
	state = 2;
	master = posix_openpt(O_RDWR | O_NOCTTY);
	if (master == -1 || grantpt(master) != 0 || unlockpt(master) != 0)
		return false;
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	null = open("/dev/null", O_WRONLY);
	if (slave == -1 || null == -1 || dup2(slave, STDIN_FILENO) == -1 ||
	    dup2(null, STDOUT_FILENO) == -1)
		return false;
	state = 1;
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct edit_hooks hooks = { fuzz_wait, fuzz_complete,
		NULL };
	enum edit_got got;
	struct edit *e;
	const char *line;
	size_t n;

	if (!fuzz_terminal())
		return 0;
	keys = data;
	nkeys = size;
	/* What libtinfo loses with each terminal is not ours. */
	if (__lsan_disable != NULL)
		__lsan_disable();
	if (edit_new("xterm", &hooks, &e) != 0)
		abort();
	if (__lsan_enable != NULL)
		__lsan_enable();
	do {
		got = edit_line(e, "web-1 as shop> ", &line, &n);
		if (got == EDIT_LINE && strlen(line) < n)
			abort();
		if (got == EDIT_LINE &&
		    n > (size_t)3 * PROTO_COMMAND_MAX * MB_LEN_MAX)
			abort();
	} while (got != EDIT_END);
	edit_free(e);
	return 0;
}
