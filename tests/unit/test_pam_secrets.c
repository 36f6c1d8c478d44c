/*
 * Promise 7: after a login nothing of the token is left in the memory of the
 * process that loaded pam_postern, whether it was let in or not.
 *
 * The module is loaded through PAM as sshd does.  The token exists only where
 * PAM's conversation makes it; the test knows it by a rule.  Another process
 * plays oidc.
 */
#include "config.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <security/pam_appl.h>

#include <cmocka.h>

#include "lib/msg.h"
#include "lib/proto.h"

#define HANDLE "0123456789abcdef0123456789abcdef"
#define TOKEN_LEN 2050
#define NEEDLE 24 /* bytes in a row that no chance brings together */

static char dir[] = "/tmp/test_pam_secrets.XXXXXX";

/* Byte i of the token: a rule without a table that would hold it. */
static char
token_byte(size_t i)
{
	return (char)('!' + (i * i * 31 + i * 17 + i / 90) % 90);
}

static int
answer(int n, const struct pam_message **msg, struct pam_response **resp,
    void *data)
{
	static char text[32];
	unsigned int part = 0;
	size_t from, len;

	(void)data;
	*resp = calloc((size_t)n, sizeof(**resp));
	if (*resp == NULL || n != 1)
		return PAM_CONV_ERR;
	if (msg[0]->msg_style != PAM_PROMPT_ECHO_OFF)
		return PAM_SUCCESS;
	(void)snprintf(text, sizeof(text), "%s", msg[0]->msg);
	if (memcmp(text, "token part ", 11) == 0)
		part = (unsigned int)(text[11] - '0');
	if (part < 1 || part > 3)
		return PAM_CONV_ERR;
	from = (part - 1) * 1000;
	len = TOKEN_LEN - from < 1000 ? TOKEN_LEN - from : 1000;
	(*resp)[0].resp = malloc(len + 1);
	if ((*resp)[0].resp == NULL)
		return PAM_CONV_ERR;
	for (size_t i = 0; i < len; i++)
		(*resp)[0].resp[i] = token_byte(from + i);
	(*resp)[0].resp[len] = '\0';
	return PAM_SUCCESS;
}

/* One question, one answer, in a process of its own. */
static pid_t
oidc_start(uint32_t result)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct msg q, a;
	pid_t pid;

	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/pam.sock", dir);
	(void)unlink(sa.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 1), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid != 0) {
		(void)close(fd);
		return pid;
	}
	fd = accept(fd, NULL, NULL);
	if (msg_recv(fd, &q) != 0)
		_exit(1);
	/* user, source, token, parts, trouble: it was whole */
	if (buf_len(&q.body) < TOKEN_LEN)
		_exit(2);
	msg_init(&a, MSG_LOGIN_RESULT);
	a.id = q.id;
	if (buf_put_u32(&a.body, result) != 0 ||
	    buf_put_cstr(&a.body, result == 0 ? HANDLE : "") != 0 ||
	    msg_send(fd, &a) != 0)
		_exit(3);
	_exit(0);
}

/* Whether the token's bytes from..from+NEEDLE stand at p. */
static bool
needle_at(const unsigned char *p, size_t from)
{
	for (size_t i = 0; i < NEEDLE; i++) {
		if (p[i] != (unsigned char)token_byte(from + i))
			return false;
	}
	return true;
}

/* Looks for pieces of every part in memory, through the kernel's eyes so that
 * holes and guard pages do no harm. */
static size_t
pieces_in(int mem, unsigned long begin, unsigned long end)
{
	static const size_t from[] = { 0, 400, 976, 1000, 1500, 2020 };
	/* Shared, and so not searched itself. */
	unsigned char *copy = mmap(NULL, end - begin, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	size_t found = 0;
	ssize_t n;

	assert_true(copy != MAP_FAILED);
	n = pread(mem, copy, end - begin, (off_t)begin);
	for (ssize_t at = 0; at + NEEDLE <= n; at++) {
		for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
			if (needle_at(copy + at, from[i]))
				found++;
		}
	}
	(void)munmap(copy, end - begin);
	return found;
}

static size_t
pieces_left(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	unsigned long begin, end;
	char line[512], mode[5];
	size_t found = 0;

	assert_non_null(maps);
	assert_true(mem >= 0);
	while (fgets(line, sizeof(line), maps) != NULL) {
		char *p = line;

		begin = strtoul(p, &p, 16);
		end = strtoul(p + 1, &p, 16);
		memcpy(mode, p + 1, 4);
		/* Sanitizers reserve terabytes. */
		if (mode[0] == 'r' && mode[1] == 'w' && mode[3] == 'p' &&
		    end - begin < 64UL << 20)
			found += pieces_in(mem, begin, end);
	}
	(void)close(mem);
	(void)fclose(maps);
	return found;
}

static void
write_service(void)
{
	char path[128];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/postern-test", dir);
	f = fopen(path, "we");
	assert_non_null(f);
	(void)fprintf(f, "auth required %s run=%s floor=0\n", PAM_MODULE, dir);
	(void)fclose(f);
}

static void
log_in(uint32_t result, int want)
{
	const struct pam_conv conv = { answer, NULL };
	pid_t oidc = oidc_start(result);
	pam_handle_t *ph = NULL;
	int status = -1;

	assert_int_equal(pam_start_confdir("postern-test", "web-1", &conv, dir,
	    &ph), PAM_SUCCESS);
	assert_int_equal(pam_authenticate(ph, 0), want);
	assert_int_equal(pieces_left(), 0);
	assert_int_equal(pam_end(ph, want), PAM_SUCCESS);
	assert_int_equal(waitpid(oidc, &status, 0), oidc);
	assert_int_equal(status, 0);
}

static void
t_pam_promise_7_let_in(void **state)
{
	(void)state;
	log_in(0, PAM_SUCCESS);
}

static void
t_pam_promise_7_refused(void **state)
{
	(void)state;
	log_in(1, PAM_AUTH_ERR);
}

/* The search finds what is there. */
static void
t_pam_search_works(void **state)
{
	char *copy = malloc(TOKEN_LEN);

	(void)state;
	assert_non_null(copy);
	for (size_t i = 0; i < TOKEN_LEN; i++)
		copy[i] = token_byte(i);
	assert_true(pieces_left() >= 6);
	explicit_bzero(copy, TOKEN_LEN);
	free(copy);
	assert_int_equal(pieces_left(), 0);
}

static int
setup(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	write_service();
	return 0;
}

static int
teardown(void **state)
{
	static const char *const name[] = { "pam.sock", "postern-test" };
	char path[128];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, name[i]);
		(void)unlink(path);
	}
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_pam_search_works),
		cmocka_unit_test(t_pam_promise_7_let_in),
		cmocka_unit_test(t_pam_promise_7_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
