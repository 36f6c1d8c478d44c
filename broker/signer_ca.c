/*
 * The CA keys of postern-signer: read from what posternd hands over when the
 * process starts, NAME.pem with a private key, or NAME.pub of one that an
 * ssh-agent holds.  The files are root's; agents are signer_agent.c's.
 */
#include "config.h"

#include "broker/signer_ca.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "broker/agent_trouble.h"
#include "broker/peer.h"
#include "broker/signer_agent.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/secret.h"
#include "ssh/cert.h"
#include "ssh/pubkey.h"

#define KEY_FILE_MAX 4096

static struct {
	struct {
		struct cert_ca *key;
		bool by_agent;
		struct agent *agent; /* from GO on */
	} ca[NCA];
} env;

/* -- reading --------------------------------------------------------------- */

static int
read_pem(const struct secret *text, struct cert_ca **out)
{
	return cert_ca_from_pem(text->d, text->len, out);
}

static int
read_public(const struct secret *text, struct cert_ca **out)
{
	const char *why = "";
	struct buf blob;
	int r;

	buf_init(&blob, PUBKEY_BLOB_MAX);
	if ((r = pubkey_read(text->d, text->len, &blob, &why)) != 0)
		log_err(0, "a CA's public key: %s", why);
	else
		r = cert_ca_from_public(buf_ptr(&blob), buf_len(&blob), out);
	buf_clear(&blob);
	return r;
}

static int
load(int fd, int (*reader)(const struct secret *, struct cert_ca **),
    struct cert_ca **out)
{
	struct secret text = { 0 };
	struct cert_ca *ca = NULL;
	ssize_t n;
	int r;

	if ((r = secret_init(&text, KEY_FILE_MAX)) != 0)
		return r;
	n = read(fd, text.d, KEY_FILE_MAX); /* a small regular file: one read */
	if (n == -1) {
		r = ERR_SYS; /* and not a bastion without a key */
	} else if (n > 0) {
		text.len = (size_t)n;
		r = reader(&text, &ca);
	}
	if (n <= 0 || r != 0) {
		log_err(r, "the CA key cannot be read");
	} else {
		cert_ca_free(*out);
		*out = ca;
	}
	secret_clear(&text);
	return r;
}

int
signer_ca_folder(const char *name, int fd)
{
	char pem[16], pub[16];
	int r = ERR_PROTO;

	for (size_t i = 0; i < NCA; i++) {
		(void)snprintf(
		    pem, sizeof(pem), "%s.pem", ca_name((enum ca_which)i));
		(void)snprintf(
		    pub, sizeof(pub), "%s.pub", ca_name((enum ca_which)i));
		if (strcmp(name, pem) == 0)
			r = load(fd, read_pem, &env.ca[i].key);
		else if (strcmp(name, pub) == 0)
			r = load(fd, read_public, &env.ca[i].key);
		else
			continue;
		env.ca[i].by_agent = strcmp(name, pub) == 0;
		break;
	}
	(void)close(fd);
	return r;
}

/* -- agents ---------------------------------------------------------------- */

int
signer_ca_serve(void (*changed)(void))
{
	for (size_t i = 0; i < NCA; i++) {
		if (env.ca[i].key == NULL || !env.ca[i].by_agent)
			continue;
		env.ca[i].agent =
		    agent_new((enum ca_which)i, env.ca[i].key, changed);
		if (env.ca[i].agent == NULL)
			return ERR_NOMEM;
	}
	return 0;
}

int
signer_ca_parent(struct peer *parent, struct msg *m)
{
	uint8_t which;
	int r;

	(void)parent;
	if (m->type != MSG_AGENT)
		return ERR_PROTO;
	if ((r = buf_get_u8(&m->body, &which)) != 0 || (r = msg_end(m)) != 0)
		return r;
	if (which >= NCA || env.ca[which].agent == NULL)
		return ERR_PROTO;
	agent_given(env.ca[which].agent, m->id, msg_take_fd(m, 0));
	return 0;
}

/* -- signing --------------------------------------------------------------- */

const char *
signer_ca_fault(enum ca_which which)
{
	if (env.ca[which].key != NULL)
		return NULL;
	return which == CA_TARGET
		   ? "the bastion has no CA key yet (run `postern ca init`)"
		   : "the bastion has no CA key for jobs yet (run `postern "
		     "ca init`)";
}

void
signer_ca_sign(enum ca_which which, const struct cert_spec *spec, signing_cb fn,
    void *arg, struct signing **out)
{
	const char *why = "the certificate could not be signed";
	struct agent *agent = env.ca[which].agent;
	struct buf b;
	int r;

	buf_init(&b, CERT_BLOB_MAX);
	if (agent == NULL)
		r = cert_sign(env.ca[which].key, spec, &b);
	else if ((r = cert_begin(env.ca[which].key, spec, &b)) == 0)
		r = agent_sign(agent, &b, fn, arg, out, &why);
	if (r != 0)
		buf_reset(&b);
	if (agent == NULL || r != 0)
		fn(arg, &b, r == 0 ? NULL : why);
	buf_clear(&b);
}

int
signer_answer(struct peer *to, uint32_t id, const struct buf *blob,
    const uint8_t *more, const char *why)
{
	struct msg m;
	int r;

	msg_init(&m, more == NULL ? MSG_CERT : MSG_JOB_CERT_MADE);
	m.id = id;
	if ((r = buf_put_u32(&m.body, why != NULL)) == 0 &&
	    (r = buf_put_str(&m.body, buf_ptr(blob), buf_len(blob))) == 0 &&
	    (more == NULL || (r = buf_put_u8(&m.body, *more)) == 0) &&
	    (r = buf_put_cstr(&m.body, why)) == 0)
		r = peer_send(to, &m);
	msg_clear(&m);
	return r;
}

/* -- for who asks ---------------------------------------------------------- */

static enum ca_state
state_of(size_t i)
{
	if (env.ca[i].key == NULL)
		return CA_NONE;
	if (!env.ca[i].by_agent)
		return CA_FILE;
	/* Before GO it has not been asked for. */
	return env.ca[i].agent == NULL ||
		       agent_trouble(env.ca[i].agent) == AGENT_WELL
		   ? CA_AGENT
		   : CA_AGENT_TROUBLE;
}

int
signer_ca_put(struct buf *b)
{
	char fingerprint[PROTO_FINGERPRINT_MAX + 1];
	const uint8_t *blob;
	size_t n;
	int r = 0;

	for (size_t i = 0; i < NCA && r == 0; i++) {
		fingerprint[0] = '\0';
		if (env.ca[i].key != NULL) {
			cert_ca_blob(env.ca[i].key, &blob, &n);
			r = cert_fingerprint(
			    blob, n, fingerprint, sizeof(fingerprint));
		}
		if (r != 0 || (r = buf_put_u8(b, (uint8_t)state_of(i))) != 0)
			return r;
		r = buf_put_cstr(b, fingerprint);
	}
	return r;
}
