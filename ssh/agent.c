/*
 * The ssh-agent protocol (draft-miller-ssh-agent, sections 3 and 4.5), as much
 * as takes one signature.  Runs in the signer.  Distrusts the agent: an answer
 * is bounded before it is waited for, and holds one thing.
 */
#include "config.h"

#include "ssh/agent.h"

#include <stdint.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "ssh/pubkey.h"

#define AGENT_FAILURE 5
#define AGENT_SIGN_REQUEST 13
#define AGENT_SIGN_RESPONSE 14
#define AGENT_RSA_SHA2_512 4 /* a flag; else RSA signs with SHA-1 */

int
agent_put_sign(
    struct buf *out, const void *key, size_t nkey, const void *data, size_t n)
{
	const struct pubkey_kind *k = NULL;
	struct buf q;
	int r;

	if ((r = pubkey_check(key, nkey, &k)) != 0)
		return r;
	buf_init(&q, AGENT_QUESTION_MAX);
	if ((r = buf_put_u8(&q, AGENT_SIGN_REQUEST)) == 0 &&
	    (r = buf_put_str(&q, key, nkey)) == 0 &&
	    (r = buf_put_str(&q, data, n)) == 0 &&
	    (r = buf_put_u32(&q, k->len == 0 ? AGENT_RSA_SHA2_512 : 0)) == 0)
		r = buf_put_str(out, buf_ptr(&q), buf_len(&q));
	buf_clear(&q);
	return r;
}

int
agent_get_signature(struct buf *in, struct buf *sig)
{
	struct buf at = *in, body;
	const uint8_t *p;
	uint32_t len = 0;
	uint8_t type = 0;
	size_t n;
	int r;

	if (buf_len(in) < 4)
		return ERR_AGAIN;
	if ((r = buf_get_u32(&at, &len)) != 0)
		return r;
	if (len == 0 || len > AGENT_ANSWER_MAX - 4)
		return ERR_TOOBIG;
	if (buf_len(&at) < len)
		return ERR_AGAIN;
	buf_view(&body, buf_ptr(&at), len);
	if ((r = buf_skip(&at, len)) != 0 || (r = buf_end(&at)) != 0 ||
	    (r = buf_get_u8(&body, &type)) != 0)
		return r;
	if (type == AGENT_FAILURE)
		return buf_end(&body) == 0 ? ERR_DENIED : ERR_FORMAT;
	if (type != AGENT_SIGN_RESPONSE)
		return ERR_FORMAT;
	if ((r = buf_get_view(&body, SIG_BLOB_MAX, &p, &n)) != 0 ||
	    (r = buf_end(&body)) != 0 || (r = buf_put(sig, p, n)) != 0)
		return r;
	*in = at;
	return 0;
}
