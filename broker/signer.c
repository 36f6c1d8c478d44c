/*
 * postern-signer: holds the CA keys and signs certificates that it built
 * itself, for grants that policy wrote to it and that it checks again: the
 * target, its login and the principal exist in the policy as the signer itself
 * reads it, the command is in the canonical form of the wire, validity and
 * source are its own.  A hop asks on a socket that came with its grant; it is
 * answered once.  Whoever owns a hop gets nothing that policy did not grant.
 * Certificates for jobs, by another key, are signer_job.c's; the keys, and who
 * else may hold them, signer_ca.c's.
 */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/child.h"
#include "broker/loop.h"
#include "broker/peer.h"
#include "broker/rules.h"
#include "broker/signer_ca.h"
#include "broker/signer_job.h"
#include "lib/buf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/msg.h"
#include "lib/proto.h"
#include "lib/sandbox.h"
#include "lib/str.h"
#include "policy/policy.h"
#include "ssh/cert.h"
#include "ssh/quote.h"
#include "ssh/serve.h"

#define GRANTS_MAX 1024
#define GRANT_MS 60000     /* a hop asks at once; later is too late */
#define SKEW_S 60	   /* targets whose clocks run behind */
#define VALIDITY_S 60
#define ADDRESSES_MAX 1024 /* bytes of source-address */

/* A grant that waits for its hop; taken off its list before it is answered. */
struct grant {
	struct grant *next;
	char operation[PROTO_ID_LEN + 1];
	char target[NAME_LEN_MAX + 1];
	char login[NAME_LEN_MAX + 1];
	char principal[2 * NAME_LEN_MAX + 2];
	char *command;
	char *key_id;
	uint8_t pty;
	uint8_t what; /* enum op_what */
	uint64_t serial;
	struct peer *hop;
	struct timer *timer;
	uint32_t id; /* of the hop's question */
	struct signing *signing;
};

static struct {
	struct rules rules;
	const struct conf *conf;
	char source_address[ADDRESSES_MAX];
	bool source_fixed; /* by source-address, so as it is */
	size_t npolicy;    /* links to policy, those before the last included */
	struct peer *policy; /* the last one; NULL: it is gone */
	struct grant *first;
	size_t n;
} env = { .rules = { .folder = -1 } };

static void
grant_free(struct grant *g)
{
	struct grant **at;

	if (g == NULL)
		return;
	for (at = &env.first; *at != NULL; at = &(*at)->next) {
		if (*at == g) {
			*at = g->next;
			env.n--;
			break;
		}
	}
	timer_free(g->timer);
	signing_free(g->signing);
	peer_free(g->hop);
	free(g->command);
	free(g->key_id);
	free(g);
}

/* -- checking a grant again ---------------------------------------------------- */

/* The wire form says the same to its own reader: what a target's shell will be
 * given is nothing but quoted words; and folders and pipelines are for shells
 * of the Bourne family. */
static bool
command_canonical(const char *wire, enum target_shell shell)
{
	struct quote_line *l = NULL;
	struct buf again;
	bool ok;

	if (quote_read(wire, strlen(wire), &l) != 0)
		return false;
	buf_init(&again, PROTO_WIRE_MAX);
	ok = (shell == TARGET_POSIX || (l->dir == NULL && l->n == 1)) &&
	     quote_put(l, &again) == 0 && buf_len(&again) == strlen(wire) &&
	     memcmp(buf_ptr(&again), wire, buf_len(&again)) == 0;
	buf_clear(&again);
	free(l);
	return ok;
}

/* Why the grant cannot be signed; NULL when it can. */
static const char *
grant_fault(const struct grant *g, const struct target **tp)
{
	char principal[sizeof(g->principal)];
	const struct target *t;
	const char *login, *fault;
	struct serve_scp scp;
	bool ok = false;

	if ((fault = signer_ca_fault(CA_TARGET)) != NULL)
		return fault;
	if (env.rules.policy == NULL)
		return "the signer has no policy";
	if ((t = policy_target_find(env.rules.policy, g->target)) == NULL)
		return "the signer knows no such target";
	if (target_login(t, g->login, &login) != 0 ||
	    strcmp(login, g->login) != 0)
		return "the signer knows no such login on the target";
	if (target_principal(t, login, principal, sizeof(principal)) != 0 ||
	    strcmp(principal, g->principal) != 0)
		return "the principal is not the target's";
	if (g->serial == 0)
		return "the serial is zero";
	if (g->what == OP_SFTP)
		ok = serve_sftp_ok(g->command, t->sftp) && g->pty == 0;
	else if (g->what == OP_SCP)
		ok = serve_scp_ok(g->command, &scp) && g->pty == 0;
	else if (g->what == OP_COMMAND)
		ok = command_canonical(g->command, t->shell);
	if (!ok)
		return "the command is not in its canonical form";
	*tp = t;
	return NULL;
}

/* 4 or 6 for a numeric address (a CIDR's part before the slash), 0 for a name;
 * *loopback says whether it is this host talking to itself. */
static int
address_kind(const char *s, size_t n, bool *loopback)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr in6;
	struct in_addr in;

	*loopback = false;
	if (n >= sizeof(text))
		return 0;
	memcpy(text, s, n);
	text[n] = '\0';
	if (inet_pton(AF_INET, text, &in) == 1) {
		*loopback = ntohl(in.s_addr) >> 24 == 127;
		return 4;
	}
	if (inet_pton(AF_INET6, text, &in6) != 1)
		return 0;
	*loopback = IN6_IS_ADDR_LOOPBACK(&in6);
	return 6;
}

/* Those of the bastion's addresses that a connection to host can come from:
 * of its family, and loopback only to loopback.  A host given by name may be
 * reached by either family. */
static int
addresses_for(const char *host, struct buf *out)
{
	bool host_loop, loop;
	int kind = address_kind(host, strlen(host), &host_loop), k, r;
	const char *p = env.source_address;

	if (env.source_fixed)
		return buf_put(out, p, strlen(p));
	while (*p != '\0') {
		size_t n = strcspn(p, ",");

		k = address_kind(p, strcspn(p, "/,"), &loop);
		if (loop == host_loop && (kind == 0 || kind == k) &&
		    (r = buf_putf(out, "%s%.*s", buf_len(out) == 0 ? "" : ",",
		    (int)n, p)) != 0)
			return r;
		p += n;
		p += *p == ',';
	}
	return buf_len(out) == 0 ? ERR_CONFIG : 0;
}

static void
grant_signed(void *arg, const struct buf *blob, const char *why)
{
	struct grant *g = arg;
	int r;

	g->signing = NULL;
	if (why != NULL)
		log_err(0, "operation %s is not signed: %s",
		    log_safe(g->operation), why);
	if ((r = signer_answer(g->hop, g->id, blob, NULL, why)) != 0)
		log_err(r, "certificate for %s", log_safe(g->operation));
	grant_free(g); /* one grant, one certificate: the socket closes, too */
}

/* grant_signed is called, and g perhaps freed, unless this returns an error. */
static int
grant_sign(
    struct grant *g, const struct target *t, const uint8_t key[CERT_KEY_LEN])
{
	uint64_t now = (uint64_t)time(NULL);
	struct buf from;
	int r;
	struct cert_spec spec = {
		.serial = g->serial,
		.key_id = g->key_id,
		.principal = { g->principal },
		.nprincipal = 1,
		.valid_after = now - SKEW_S,
		.valid_before = now + VALIDITY_S,
		.force_command = g->command,
		.permit_pty = g->pty != 0,
	};

	memcpy(spec.key, key, sizeof(spec.key));
	buf_init(&from, ADDRESSES_MAX);
	r = t->seen_from != NULL ?
	    buf_put(&from, t->seen_from, strlen(t->seen_from)) :
	    addresses_for(t->host, &from);
	if (r == 0 && (spec.source_address = buf_cstr(&from)) == NULL)
		r = ERR_NOMEM;
	if (r == 0)
		signer_ca_sign(CA_TARGET, &spec, grant_signed, g, &g->signing);
	buf_clear(&from);
	return r;
}

/* -- the hop's one question ------------------------------------------------------ */

static int
hop_msg(void *arg, struct peer *p, struct msg *m)
{
	const struct target *t = NULL;
	struct grant *g = arg;
	const char *fault;
	const uint8_t *key;
	struct buf none;
	size_t n;
	int r;

	(void)p;
	if (m->type != MSG_CERT_REQUEST)
		return ERR_PROTO;
	if ((r = buf_get_view(&m->body, CERT_KEY_LEN, &key, &n)) != 0 ||
	    (r = msg_end(m)) != 0)
		return r;
	if (n != CERT_KEY_LEN || g->signing != NULL)
		return ERR_PROTO;
	g->id = m->id;
	buf_init(&none, 0);
	if ((fault = grant_fault(g, &t)) == NULL && grant_sign(g, t, key) != 0)
		fault = "the certificate could not be signed";
	if (fault != NULL)
		grant_signed(g, &none, fault);
	return 0;
}

static void
hop_closed(void *arg, struct peer *p, int r)
{
	struct grant *g = arg;

	(void)p;
	if (r != ERR_NOTFOUND)
		log_err(r, "hop of %s", log_safe(g->operation));
	g->hop = NULL;
	grant_free(g);
}

static void
grant_expired(void *arg)
{
	struct grant *g = arg;

	g->timer = NULL;
	grant_free(g);
}

/* -- policy ------------------------------------------------------------------------ */

static int
get_grant(struct buf *b, struct grant *g)
{
	int r;

	if ((r = buf_get_fixed(b, g->operation, sizeof(g->operation))) != 0 ||
	    (r = buf_get_fixed(b, g->target, sizeof(g->target))) != 0 ||
	    (r = buf_get_fixed(b, g->login, sizeof(g->login))) != 0 ||
	    (r = buf_get_fixed(b, g->principal, sizeof(g->principal))) != 0 ||
	    (r = buf_get_cstr(b, PROTO_WIRE_MAX, &g->command)) != 0 ||
	    (r = buf_get_u8(b, &g->pty)) != 0 ||
	    (r = buf_get_u64(b, &g->serial)) != 0)
		return r;
	if ((r = buf_get_cstr(b, CERT_KEY_ID_MAX, &g->key_id)) != 0 ||
	    (r = buf_get_u8(b, &g->what)) != 0)
		return r;
	return g->what <= OP_SCP ? 0 : ERR_PROTO;
}

static int
policy_msg(void *arg, struct peer *p, struct msg *m)
{
	struct grant *g;
	int r;

	(void)arg;
	if (m->type == MSG_JOB_CERT)
		return signer_job(&env.rules, p, m);
	if (m->type != MSG_GRANT)
		return ERR_PROTO;
	if (env.n == GRANTS_MAX) {
		log_err(0, "%d grants wait; another is dropped", GRANTS_MAX);
		return 0; /* its socket closes: the hop says so */
	}
	if ((g = calloc(1, sizeof(*g))) == NULL)
		return ERR_NOMEM;
	if ((r = get_grant(&m->body, g)) != 0 || (r = msg_end(m)) != 0) {
		grant_free(g);
		return r;
	}
	g->hop = peer_new(child_loop(), msg_take_fd(m, 0), PROC_HOP,
	    PROC_SIGNER, hop_msg, hop_closed, g);
	g->timer = loop_timer(child_loop(), GRANT_MS, grant_expired, g);
	if (g->hop == NULL || g->timer == NULL) {
		grant_free(g);
		return ERR_NOMEM;
	}
	g->next = env.first;
	env.first = g;
	env.n++;
	return 0;
}

static void
policy_closed(void *arg, struct peer *p, int r)
{
	(void)arg;
	if (r != ERR_NOTFOUND)
		fatal(r, "what policy sent");
	env.npolicy--;
	signer_job_gone(p);
	if (env.policy == p)
		env.policy = NULL;
}

/* What policy granted before it ended, or got a link to the next signer, is
 * read; what was granted is signed. */
static bool
on_idle(void)
{
	return env.first == NULL && env.npolicy == 0;
}

/* -- start --------------------------------------------------------------------------- */

/* postern-policy shows the errors; one voice is enough. */
static void
policy_tried(enum rules_outcome o, int r, const struct diags *d)
{
	(void)d;
	if (o != RULES_LOADED)
		log_err(r, "the policy is not accepted");
}

static int
on_reload(uint32_t asked, struct buf *answer)
{
	int r;

	(void)asked;
	if ((r = rules_load(&env.rules)) != 0)
		return r;
	return rules_put(&env.rules, answer);
}

static int
on_folder(const char *name, int fd)
{
	if (strcmp(name, "policy") != 0)
		return signer_ca_folder(name, fd);
	rules_folder(&env.rules, fd);
	return 0;
}

/* Policy tells whoever asks for the status, and is no worse off when it
 * cannot. */
static void
tell_policy(void)
{
	struct msg m;
	int r;

	if (env.policy == NULL)
		return;
	msg_init(&m, MSG_CA_IS);
	if ((r = signer_ca_put(&m.body)) == 0)
		r = peer_send(env.policy, &m);
	msg_clear(&m);
	if (r != 0)
		log_err(r, "policy is not told of the CA keys");
}

static int
on_link(unsigned int sibling, int fd)
{
	if (sibling != PROC_POLICY) {
		(void)close(fd);
		return ERR_PROTO;
	}
	/* An earlier link is read to its end, which frees it. */
	env.policy = peer_new(child_loop(), fd, PROC_POLICY, PROC_SIGNER,
	    policy_msg, policy_closed, NULL);
	if (env.policy == NULL)
		return ERR_NOMEM;
	env.npolicy++;
	tell_policy();
	return 0;
}

static int
on_go(const struct conf *conf, const char *addresses)
{
	struct buf b;
	int r = 0;

	env.conf = conf;
	env.source_fixed = conf->source_address.n > 0;
	buf_init(&b, sizeof(env.source_address) - 1);
	for (size_t i = 0; i < conf->source_address.n && r == 0; i++)
		r = buf_putf(
		    &b, "%s%s", i == 0 ? "" : ",", conf->source_address.at[i]);
	if (r == 0 && conf->source_address.n == 0)
		r = buf_put(&b, addresses, strlen(addresses));
	if (r == 0 && (buf_len(&b) == 0 || buf_cstr(&b) == NULL))
		r = ERR_CONFIG;
	if (r == 0)
		r = str_copy(env.source_address, sizeof(env.source_address),
		    buf_cstr(&b));
	buf_clear(&b);
	if (r != 0) {
		log_err(r, "this host's addresses do not fit a certificate; "
		    "name those that targets see with source-address");
		return r;
	}
	env.rules.path = conf->policy_folder;
	env.rules.tried = policy_tried;
	if ((r = rules_load(&env.rules)) != 0)
		return r;
	r = sandbox_enter(SANDBOX_SIGNER,
	    (const int[SANDBOX_GIVEN_MAX]){ env.rules.folder, -1, -1 });
	return r != 0 ? r : signer_ca_serve(tell_policy);
}

int
main(void)
{
	static const struct child_handlers handlers = {
		.link = on_link,
		.folder = on_folder,
		.go = on_go,
		.reload = on_reload,
		.idle = on_idle,
		.parent = signer_ca_parent,
		.stop_ms = CHILD_STOP_LAST_MS,
	};

	return child_main("postern-signer", PROC_SIGNER, &handlers);
}
