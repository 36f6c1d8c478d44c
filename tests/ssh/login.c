/*
 * A stock client on libssh, for the tests: logs in by keyboard-interactive
 * with a token from its standard input, whole, and runs one command.
 *
 *	login HOST PORT USER COMMAND < token
 */
#include "config.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <libssh/libssh.h>

#define TOKEN_MAX (64 * 1024)
#define ROUNDS_MAX 40

static char token[TOKEN_MAX + 1];

/* 0.11 has it in a new call and deprecates the old one. */
static int
exit_status(ssh_channel c)
{
#if LIBSSH_VERSION_INT >= SSH_VERSION_INT(0, 11, 0)
	uint32_t code = 0;

	return ssh_channel_get_exit_state(c, &code, NULL, NULL) == SSH_OK
		   ? (int)code
		   : -1;
#else
	return ssh_channel_get_exit_status(c);
#endif
}

static void
login(ssh_session s)
{
	int r = ssh_userauth_kbdint(s, NULL, NULL);

	for (int i = 0; r == SSH_AUTH_INFO && i < ROUNDS_MAX; i++) {
		/* The last request asks nothing. */
		if (ssh_userauth_kbdint_getnprompts(s) > 0 &&
		    ssh_userauth_kbdint_setanswer(s, 0, token) != 0)
			errx(255, "%s", ssh_get_error(s));
		r = ssh_userauth_kbdint(s, NULL, NULL);
	}
	if (r != SSH_AUTH_SUCCESS)
		errx(255, "login refused: %s", ssh_get_error(s));
}

static void
copy(ssh_channel c, int is_stderr, FILE *to)
{
	char buf[4096];
	int n;

	while ((n = ssh_channel_read(c, buf, sizeof(buf), is_stderr)) > 0)
		(void)fwrite(buf, 1, (size_t)n, to);
}

int
main(int argc, char **argv)
{
	const int no = 0;
	ssh_session s = ssh_new();
	ssh_channel c;
	int status;

	if (argc != 5 || s == NULL)
		errx(64, "usage: login HOST PORT USER COMMAND < token");
	token[fread(token, 1, TOKEN_MAX, stdin)] = '\0';
	if (ssh_options_set(s, SSH_OPTIONS_PROCESS_CONFIG, &no) != 0 ||
	    ssh_options_set(s, SSH_OPTIONS_HOST, argv[1]) != 0 ||
	    ssh_options_set(s, SSH_OPTIONS_PORT_STR, argv[2]) != 0 ||
	    ssh_options_set(s, SSH_OPTIONS_USER, argv[3]) != 0 ||
	    ssh_connect(s) != SSH_OK)
		errx(255, "%s", ssh_get_error(s));
	if (ssh_session_is_known_server(s) != SSH_KNOWN_HOSTS_OK)
		errx(255, "the host key is not the known one");
	login(s);
	if ((c = ssh_channel_new(s)) == NULL ||
	    ssh_channel_open_session(c) != SSH_OK ||
	    ssh_channel_request_exec(c, argv[4]) != SSH_OK)
		errx(255, "%s", ssh_get_error(s));
	copy(c, 0, stdout);
	copy(c, 1, stderr);
	status = exit_status(c);
	ssh_channel_free(c);
	ssh_disconnect(s);
	ssh_free(s);
	return status < 0 ? 255 : status;
}
