/*
 * postern doctor: the CA keys, in files and in ssh-agents.  Runs as root, and
 * tells of keys whether they fit, never what they are.
 */
#include "config.h"

#include "cli/doctor.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/spawn.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/safeopen.h"
#include "lib/secret.h"
#include "ssh/cert.h"

#define CA_KEY_MAX 4096
#define PATH_SIZE 512
#define AGENT_MS 15000 /* it signs once */

/* -- in a file ------------------------------------------------------------- */
static int
read_secret(int fd, struct secret *s)
{
	uint8_t chunk[512];
	ssize_t n;
	int r;

	if ((r = secret_init(s, CA_KEY_MAX)) != 0)
		return r;
	while ((n = read(fd, chunk, sizeof(chunk))) > 0 && r == 0)
		r = secret_append(s, chunk, (size_t)n);
	explicit_bzero(chunk, sizeof(chunk));
	return n == -1 ? ERR_SYS : r;
}

/* Is NAME.pub the public half of NAME.pem? */
static int
ca_matches(const char *folder, const char *name, bool *same)
{
	const struct safeopen_want want = { .owner = 0, .max = CA_KEY_MAX };
	char path[PATH_SIZE], pub[PATH_SIZE];
	const char *why = "";
	struct cert_ca *ca = NULL;
	struct secret pem = { 0 };
	struct buf line, have;
	size_t n;
	int fd = -1, r;

	buf_init(&line, CA_KEY_MAX);
	buf_init(&have, CA_KEY_MAX);
	(void)snprintf(path, sizeof(path), "%s/%s.pem", folder, name);
	(void)snprintf(pub, sizeof(pub), "%s/%s.pub", folder, name);
	if ((r = safeopen_read(AT_FDCWD, path, &want, &fd, &why)) != 0 ||
	    (r = read_secret(fd, &pem)) != 0 ||
	    (r = cert_ca_from_pem(pem.d, pem.len, &ca)) != 0 ||
	    (r = cert_ca_public_line(ca, "", &line)) != 0 ||
	    (r = safeopen_slurp(AT_FDCWD, pub, &want, &have, &why)) != 0)
		goto out;
	/* up to the comment */
	n = buf_len(&line);
	while (n > 0 && buf_ptr(&line)[n - 1] == ' ')
		n--;
	*same = buf_len(&have) >= n &&
		memcmp(buf_ptr(&have), buf_ptr(&line), n) == 0;
out:
	if (fd != -1)
		(void)close(fd);
	secret_clear(&pem);
	cert_ca_free(ca);
	buf_clear(&line);
	buf_clear(&have);
	return r;
}

static void
check_file_key(struct doctor *d, const char *name)
{
	char path[PATH_SIZE];
	struct stat st;
	bool same = true;
	int r;

	(void)snprintf(
	    path, sizeof(path), "%s/%s.pem", d->conf->ca_folder, name);
	if (stat(path, &st) == -1)
		return; /* said by `files' */
	if ((r = ca_matches(d->conf->ca_folder, name, &same)) != 0)
		doctor_find(d, DOCTOR_BAD, path,
		    "it is no key that the signer can read, or its .pub cannot "
		    "be read",
		    "take both from your backup, or make new ones");
	else if (!same)
		doctor_find(d, DOCTOR_BAD, path,
		    "the .pub beside it is another key's: who trusts that "
		    "takes no certificate of ours",
		    "take both from the same backup");
}

/* -- in an ssh-agent ------------------------------------------------------- */

/* Does it sign with that key?  OpenSSH's own client asks it. */
static bool
agent_signs(const char *agent, const char *pub)
{
	char socket[PATH_SIZE];
	const char *const argv[] = { "env", socket, "ssh-add", "-T", pub,
		NULL };
	struct buf out;
	int code = 1, n;

	n = snprintf(socket, sizeof(socket), "SSH_AUTH_SOCK=%s", agent);
	if (n < 0 || (size_t)n >= sizeof(socket))
		return false;
	buf_init(&out, 64 * 1024);
	if (spawn_read(argv, SPAWN_BOTH, AGENT_MS, &out, &code) != 0)
		code = 1;
	buf_clear(&out);
	return code == 0;
}

static void
check_agent_key(struct doctor *d, const char *name, const char *agent)
{
	char pub[PATH_SIZE], pem[PATH_SIZE];
	struct stat st;

	(void)snprintf(pub, sizeof(pub), "%s/%s.pub", d->conf->ca_folder, name);
	(void)snprintf(pem, sizeof(pem), "%s/%s.pem", d->conf->ca_folder, name);
	if (stat(pem, &st) == 0)
		doctor_find(d, DOCTOR_NOTE, pem,
		    "an ssh-agent holds this CA key, yet there is a file of "
		    "one, too, which nobody uses",
		    "remove it, once no target trusts it any more");
	if (stat(agent, &st) == -1 || !S_ISSOCK(st.st_mode)) {
		doctor_find(d, DOCTOR_BAD, agent,
		    "there is no socket of an ssh-agent: nothing is signed "
		    "with its CA key",
		    "start that agent; %s-ca-agent in postern.conf names it",
		    name);
		return;
	}
	if ((st.st_mode & 007) != 0)
		doctor_find(d, DOCTOR_BAD, agent,
		    "everybody may connect to this ssh-agent, and an agent "
		    "signs whatever it is asked to",
		    "chmod 0600 %s; who could connect may have had "
		    "certificates made: look into the targets' logs",
		    agent);
	if (stat(pub, &st) == 0 && !agent_signs(agent, pub))
		doctor_find(d, DOCTOR_BAD, agent,
		    "the ssh-agent does not sign with the CA key of that .pub",
		    "SSH_AUTH_SOCK=%s ssh-add -T %s says why; ssh-add -L "
		    "lists the keys that it has",
		    agent, pub);
}

void
doctor_ca(struct doctor *d)
{
	const struct {
		const char *name, *agent;
	} keys[] = {
		{ "target", d->conf->target_ca_agent },
		{ "job", d->conf->job_ca_agent },
	};

	for (size_t i = 0; i < 2; i++) {
		if (keys[i].agent == NULL)
			check_file_key(d, keys[i].name);
		else
			check_agent_key(d, keys[i].name, keys[i].agent);
	}
}
