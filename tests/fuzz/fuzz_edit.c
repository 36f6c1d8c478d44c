/*
 * The line editor: whatever is typed, a line comes out that is no longer than
 * it may be by much, and is UTF-8; no program is started, and no file is
 * opened.  The bytes are keys.  Those that UTF-8 has no use for are more: 0xff
 * is Ctrl-C as a signal, 0xfe another size of the terminal, 0xf7 the end by
 * another way, 0xc0 and a byte a key that sends several bytes, 0xc1 and a byte
 * so many times the key before.
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

#include "lib/str.h"
#include "tests/fuzz/depth.h"

static ssize_t fuzz_read(int fd, void *p, size_t n);

#define read fuzz_read
#include "shell/edit.c"
#undef read

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const fuzz_depths[] = { "a line", "words that may come next",
	"Ctrl-C", NULL };

void __lsan_disable(void) __attribute__((weak));
void __lsan_enable(void) __attribute__((weak));

/* What is typed without spelling it: keys of terminals and of emacs, those that
 * are taken off, and what is pasted. */
static const char *const named[] = { "\033[A", "\033[B", "\033[C", "\033[D",
	"\033OA", "\033[H", "\033[F", "\033[3~", "\033[1;5C", "\033[1;5D",
	"\033b", "\033f", "\033d", "\033c", "\033u", "\033l", "\033w",
	"\033\177", "\033<", "\033>", "\033p", "\033n", "\033x", "\0331",
	"\0339", "\033-", "\033[200~", "\033[201~", "\022ab", "\023ab",
	"\030\030", "\026\003", "\021\t", "\027", "\025", "\013", "\031",
	"\024", "\000", "\t", "\t\t", "ls a\n", "systemctl restart web\n",
	"\xc3\xbc", "e\xcc\x81", "\xe4\xb8\xad", "\xf0\x9f\x98\x80",
	"\xe2\x80\xae", "\xf4\x8f\xbf\xbf", "\xed\xa0\x80", "bind ^X vi\n",
	"\033[1;1R", "\033]0;x\a", "\f" };

#define TYPED_MAX (256UL * 1024)
#define TIMES_MAX 64
#define REPEATED_MAX 4096 /* each key of a long line takes its time */

static uint8_t typed[TYPED_MAX];
static const uint8_t *keys;
static size_t nkeys;

static void
type(const void *p, size_t n)
{
	if (n > TYPED_MAX - nkeys)
		n = TYPED_MAX - nkeys;
	memcpy(typed + nkeys, p, n);
	nkeys += n;
}

/* Many and long ones are bytes of their own: a line has its bound. */
static void
spell(const uint8_t *p, size_t n)
{
	size_t before = 0, k, times;

	nkeys = 0;
	for (size_t i = 0; i < n; i++) {
		if (p[i] == 0xc1 && i + 1 < n) {
			times = p[++i] % TIMES_MAX;
			k = nkeys - before;
			for (size_t t = 0; t < times && nkeys < REPEATED_MAX;
			     t++)
				type(typed + before, k);
			continue;
		}
		before = nkeys;
		if (p[i] == 0xc0 && i + 1 < n) {
			const char *s =
			    named[p[++i] % (sizeof(named) / sizeof(named[0]))];

			/* the first of a NUL is one, too */
			type(s, *s == '\0' ? 1 : strlen(s));
			continue;
		}
		type(&p[i], 1);
	}
	keys = typed;
}

/* libedit's way to vi. */
pid_t
fork(void)
{
	abort();
}

/* What it shows goes to /dev/null, and libedit edits for a terminal alone. */
int
isatty(int fd)
{
	(void)fd;
	return 1;
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
	if (nkeys > 0 && keys[0] == 0xf7) {
		keys++;
		nkeys--;
		return EDIT_OVER;
	}
	if (nkeys > 0 && (keys[0] == 0xff || keys[0] == 0xfe)) {
		keys++;
		if (keys[-1] == 0xff)
			fuzz_reached(2);
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
	static const char *const one[] = { "abc", "abc/", "a=", "",
		"\xc3\xbc" };
	static char list[64 * 1024];
	uint8_t last = n == 0 ? 3 : (uint8_t)text[n - 1];
	size_t count = last % 130, at = 0;

	(void)arg;
	fuzz_reached(1);
	*partial = n % 3;
	*words = list;
	if (last >= 'p' && last <= 't') { /* there is one */
		*partial = 0;
		*words = one[last - 'p'];
		return 1;
	}
	if (last == 'z') { /* longer than what is put in, by one or more */
		memset(list, 'z', 5000);
		list[4096 + n % 2] = list[5000] = '\0';
		*partial = 0;
		return 1;
	}
	for (size_t i = 0; i < count; i++)
		at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%zu",
			  n % 5 == 0 ? "\xe4\xb8\xad" : "ab", i * n % 7) +
		      1;
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
		exit(77); /* there are none: skipped */
	spell(data, size);
	/* What libtinfo loses with each terminal is not ours. */
	if (__lsan_disable != NULL)
		__lsan_disable();
	if (edit_new("xterm", stdout, &hooks, &e) != 0)
		abort();
	if (__lsan_enable != NULL)
		__lsan_enable();
	do {
		got = edit_line(e, "web-1 as shop> ", &line, &n);
		if (got == EDIT_LINE && n > 0)
			fuzz_reached(0);
		if (got == EDIT_LINE &&
		    (strlen(line) < n || !utf8_valid(line, n)))
			abort();
		if (got == EDIT_LINE &&
		    n > (size_t)3 * PROTO_COMMAND_MAX * MB_LEN_MAX)
			abort();
	} while (got != EDIT_END);
	edit_free(e);
	return 0;
}
