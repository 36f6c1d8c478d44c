/*
 * postern doctor: how others see this host, and whom it reaches: the broker,
 * the sshd beside us, targets, our addresses.  Distrusts targets: what they
 * send is bounded and taken apart by ssh-keyscan.
 */
#include "config.h"

#include "cli/doctor.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <ifaddrs.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "cli/spawn.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "policy/policy.h"

#define SSHD_MS 20000
#define WHAT_MAX 400

/* -- the broker ------------------------------------------------------------ */

void
doctor_broker(struct doctor *d)
{
	char path[512];
	struct msg q, a;
	json_t *o = NULL;
	char *text = NULL;
	int fd, r;

	(void)snprintf(path, sizeof(path), "%s/ctl.sock", d->conf->run_folder);
	if (msg_connect(path, &fd) != 0) {
		doctor_find(d, DOCTOR_NOTE, path,
		    "posternd does not answer: what only a running bastion "
		    "knows was not looked at",
		    "systemctl start postern postern-sshd, when the rest is "
		    "well");
		return;
	}
	msg_init(&q, MSG_STATUS);
	q.id = 1;
	r = msg_call(fd, &q, MSG_STATUS_IS, &a, msg_now_ms() + 10000);
	if (r == 0 && buf_get_cstr(&a.body, MSG_BODY_MAX, &text) == 0)
		o = json_loads(text, 0, NULL);
	msg_clear(&q);
	msg_clear(&a);
	(void)close(fd);
	if (o == NULL)
		doctor_find(d, DOCTOR_BAD, path, "posternd gives no answer",
		    "look into its log: journalctl -u postern");
	if (o != NULL && !json_is_true(json_object_get(o, "audit")))
		doctor_find(d, DOCTOR_BAD, "postern-audit",
		    "it does not run: no operation starts",
		    "look into its log: journalctl -u postern");
	if (o != NULL && !json_is_true(json_object_get(o, "signer")))
		doctor_find(d, DOCTOR_BAD, "postern-signer",
		    "it does not run: no operation starts",
		    "are the CA keys there? journalctl -u postern says more");
	if (o != NULL && json_is_true(json_object_get(o, "locked")))
		doctor_find(d, DOCTOR_NOTE, "postern",
		    "the bastion is locked: nothing new begins",
		    "`postern unlock' takes the lock off");
	json_decref(o);
	free(text);
}

/* -- sshd ------------------------------------------------------------------ */

static void
sshd_version(struct doctor *d)
{
	const char *const argv[] = { "sshd", "-V", NULL };
	const char *at, *text;
	unsigned long major, minor;
	struct buf out;
	char *end = NULL;
	int code = 0;

	buf_init(&out, 4096);
	if (spawn_read(argv, SPAWN_BOTH, SSHD_MS, &out, &code) != 0)
		goto out;
	if (code == 127) {
		doctor_find(d, DOCTOR_BAD, "sshd", "it is not installed",
		    "apt install openssh-server, or dnf install "
		    "openssh-server");
		goto out;
	}
	text = buf_cstr(&out);
	if (text == NULL || (at = strstr(text, "OpenSSH_")) == NULL) {
		doctor_find(d, DOCTOR_NOTE, "sshd",
		    "its version is not to be found out",
		    "Postern is tried with OpenSSH 9.2 to 10.0");
		goto out;
	}
	major = strtoul(at + 8, &end, 10);
	minor = end != NULL && *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
	if (major < 9 || (major == 9 && minor < 2))
		doctor_find(d, DOCTOR_BAD, "sshd",
		    "it is older than OpenSSH 9.2, the oldest that Postern is "
		    "tried with",
		    "use a host with a newer release");
out:
	buf_clear(&out);
}

/* The script's line, without what sshd said before. */
static const char *
own_words(struct buf *out)
{
	static const char name[] = "postern-sshd-start: ";
	const char *text = buf_cstr(out), *at;

	at = text == NULL ? NULL : strstr(text, name);
	return at == NULL ? "postern-sshd does not start"
			  : at + sizeof(name) - 1;
}

/* What the start of postern-sshd would say. */
void
doctor_sshd(struct doctor *d)
{
	static const char start[] = POSTERN_LIBEXECDIR "/postern-sshd-start";
	static const char key[] = POSTERN_SYSCONFDIR "/sshd/host_ed25519";
	const char *const argv[] = { start, "-c", NULL };
	struct stat st;
	struct buf out;
	int code = 0;

	sshd_version(d);
	if (access("/etc/nologin", F_OK) == 0)
		doctor_find(d, DOCTOR_BAD, "/etc/nologin",
		    "it is there, so PAM lets no job in",
		    "remove it when the maintenance that it was made for is "
		    "over");
	if (stat(key, &st) == -1) {
		doctor_find(d, DOCTOR_NOTE, key,
		    "the bastion has no host key yet",
		    "the first start of postern-sshd makes it; if there was "
		    "one, clients know it: take it from your backup");
		return; /* nor shall this try make it */
	}
	buf_init(&out, 64 * 1024);
	if (spawn_read(argv, SPAWN_BOTH, SSHD_MS, &out, &code) != 0 ||
	    code == 127)
		doctor_find(d, DOCTOR_BAD, start,
		    "it cannot be run, so postern-sshd does not start",
		    "install the package again");
	else if (code != 0)
		doctor_find(d, DOCTOR_BAD, start, own_words(&out),
		    "mend what it names; `%s -c' says all of it", start);
	buf_clear(&out);
}

/* -- targets --------------------------------------------------------------- */

static bool
is_pinned(const struct target *t, const struct hostkey_seen *k)
{
	for (size_t i = 0; i < t->nhostkey; i++) {
		if (strcmp(t->hostkey[i].type, k->type) == 0 &&
		    strcmp(t->hostkey[i].fingerprint, k->fingerprint) == 0)
			return true;
	}
	return false;
}

static void
one_target(struct doctor *d, const struct target *t)
{
	struct hostkey_seen key[HOSTKEYS_MAX];
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *ai = NULL;
	char where[400], what[WHAT_MAX];
	size_t n = 0;
	int r;

	(void)snprintf(where, sizeof(where), "%s (%s port %u)", t->name,
	    t->host, (unsigned int)t->port);
	if ((r = getaddrinfo(t->host, NULL, &hints, &ai)) != 0) {
		doctor_find(d, DOCTOR_BAD, where, gai_strerror(r),
		    "is the name right? an address in the policy needs no "
		    "name server");
		return;
	}
	freeaddrinfo(ai);
	if (hostkeys_scan(t->host, t->port, key, &n) != 0) {
		doctor_find(d, DOCTOR_BAD, where, "no ssh server answers there",
		    "is it up, and the way open from here? ssh-keyscan -p %u "
		    "%s",
		    (unsigned int)t->port, t->host);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (is_pinned(t, &key[i]))
			return;
	}
	(void)snprintf(what, sizeof(what),
	    "it shows %s %s, and the policy pins another key: it is not "
	    "connected to",
	    key[0].type, key[0].fingerprint);
	doctor_find(d, DOCTOR_BAD, where, what,
	    "ask who runs it whether its key was changed; only then pin the "
	    "new one");
}

void
doctor_targets(struct doctor *d)
{
	for (size_t i = 0; d->policy != NULL && i < policy_ntargets(d->policy);
	     i++)
		one_target(d, policy_target(d->policy, i));
}

/* -- addresses ------------------------------------------------------------- */

/* Is that address, or one of that network, this host's?  Networks are taken for
 * what they begin with; that they are right is for the admin to know. */
static bool
is_ours(const struct ifaddrs *all, const char *text)
{
	uint8_t want[16], mask;
	const uint8_t *have;
	char addr[64];
	unsigned long bits;
	const char *slash = strchr(text, '/');
	size_t n = slash == NULL ? strlen(text) : (size_t)(slash - text), len;
	int family = strchr(text, ':') == NULL ? AF_INET : AF_INET6;

	if (n >= sizeof(addr))
		return false;
	memcpy(addr, text, n);
	addr[n] = '\0';
	if (inet_pton(family, addr, want) != 1)
		return false;
	len = family == AF_INET ? 4 : 16;
	bits = slash == NULL ? 8 * len : strtoul(slash + 1, NULL, 10);
	for (; all != NULL; all = all->ifa_next) {
		if (all->ifa_addr == NULL || all->ifa_addr->sa_family != family)
			continue;
		have = family == AF_INET
			   ? (const uint8_t *)&(
				 (const struct sockaddr_in *)(const void *)
				     all->ifa_addr)
				 ->sin_addr
			   : (const uint8_t *)&(
				 (const struct sockaddr_in6 *)(const void *)
				     all->ifa_addr)
				 ->sin6_addr;
		mask = (uint8_t)(0xff00 >> (bits % 8));
		if (memcmp(have, want, bits / 8) == 0 &&
		    (bits % 8 == 0 ||
			((have[bits / 8] ^ want[bits / 8]) & mask) == 0))
			return true;
	}
	return false;
}

/* Of a list that is separated by commas. */
static bool
any_is_ours(const struct ifaddrs *all, const char *list)
{
	char one[64];
	size_t n;

	for (; *list != '\0'; list += n + (list[n] == ',')) {
		n = strcspn(list, ",");
		if (n >= sizeof(one))
			return false;
		memcpy(one, list, n);
		one[n] = '\0';
		if (is_ours(all, one))
			return true;
	}
	return false;
}

static void
no_address(struct doctor *d, const char *where, const char *list)
{
	char what[WHAT_MAX];

	(void)snprintf(what, sizeof(what),
	    "certificates are good from %.200s, and this host has no such "
	    "address: targets refuse them unless something translates ours",
	    list);
	doctor_find(d, DOCTOR_NOTE, where, what,
	    "is it the address that targets see? their auth log names it");
}

void
doctor_addresses(struct doctor *d)
{
	const struct conf *c = d->conf;
	struct ifaddrs *all = NULL;
	const struct target *t;

	if (getifaddrs(&all) != 0)
		return;
	for (size_t i = 0; i < c->source_address.n; i++) {
		if (!is_ours(all, c->source_address.at[i]))
			no_address(d, "source-address in postern.conf",
			    c->source_address.at[i]);
	}
	for (size_t i = 0; d->policy != NULL && i < policy_ntargets(d->policy);
	     i++) {
		t = policy_target(d->policy, i);
		if (t->seen_from != NULL && !any_is_ours(all, t->seen_from))
			no_address(d, t->name, t->seen_from);
	}
	freeifaddrs(all);
}
