/*
 * Loading the policy, the same way in policy and signer.  What it reads is
 * root's; the files are checked by policy/load.c.
 */
#include "config.h"

#include "broker/rules.h"

#include <openssl/evp.h>

#include <string.h>
#include <unistd.h>

#include "broker/child.h"
#include "broker/loop.h"
#include "lib/buf.h"
#include "lib/diag.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/str.h"
#include "policy/policy.h"

#define LOAD_AGAIN_MS 1000

/* SHA-256 over every file's name and bytes, each preceded by its length. */
static int
hash_policy(const struct policy *p, char hex[PROTO_POLICY_HASH_LEN + 1])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	const char *name, *text;
	uint8_t sum[PROTO_POLICY_HASH_LEN / 2];
	struct buf head;
	size_t len;
	int r = ERR_CRYPTO;

	buf_init(&head, 4096);
	if (md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
		goto out;
	for (size_t i = 0; policy_source(p, i, &name, &text, &len) == 0; i++) {
		buf_reset(&head);
		if (buf_put_cstr(&head, name) != 0 ||
		    buf_put_u64(&head, len) != 0 ||
		    EVP_DigestUpdate(md, buf_ptr(&head), buf_len(&head)) != 1 ||
		    EVP_DigestUpdate(md, text, len) != 1)
			goto out;
	}
	if (EVP_DigestFinal_ex(md, sum, NULL) != 1)
		goto out;
	hex_encode(sum, sizeof(sum), hex);
	r = 0;
out:
	EVP_MD_CTX_free(md);
	buf_clear(&head);
	return r;
}

static void
load_again(void *arg)
{
	struct rules *rs = arg;

	rs->again = NULL;
	if (rules_load(rs) != 0)
		fatal(ERR_NOMEM, "policy");
}

void
rules_folder(struct rules *rs, int take_fd)
{
	if (rs->folder != -1)
		(void)close(rs->folder);
	rs->folder = take_fd;
}

int
rules_load_later(struct rules *rs)
{
	timer_free(rs->again);
	rs->again = loop_timer(child_loop(), LOAD_AGAIN_MS, load_again, rs);
	return rs->again == NULL ? ERR_NOMEM : 0;
}

int
rules_load(struct rules *rs)
{
	char hash[PROTO_POLICY_HASH_LEN + 1];
	struct diags *d = diags_new();
	struct policy *p = NULL;
	int r;

	if (d == NULL)
		return ERR_NOMEM;
	timer_free(rs->again);
	rs->again = NULL;
	r = rs->folder == -1 ? ERR_NOTFOUND
			     : policy_load_folder(rs->folder, rs->path, d, &p);
	if (r == 0)
		r = hash_policy(p, hash);
	if (r == 0) {
		rs->outcome = RULES_LOADED;
		policy_free(rs->policy);
		rs->policy = p;
		memcpy(rs->hash, hash, sizeof(hash));
	} else {
		policy_free(p);
		/* A moment's lack of memory must not be a bastion that denies
		 * until somebody looks. */
		rs->outcome = r == ERR_SYS || r == ERR_NOMEM || r == ERR_CRYPTO
				  ? RULES_UNREAD
				  : RULES_REFUSED;
	}
	rs->tried(rs->outcome, r, d);
	diags_free(d);
	return rs->outcome == RULES_UNREAD ? rules_load_later(rs) : 0;
}

int
rules_put(const struct rules *rs, struct buf *b)
{
	int r;

	if ((r = buf_put_u32(b, rs->outcome)) != 0)
		return r;
	return buf_put_cstr(b, rs->hash);
}
