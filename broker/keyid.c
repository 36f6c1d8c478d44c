/*
 * Key ids and serials.  Runs in policy and in the signer.  A claim's text is
 * somebody else's, and sshd logs a key id as it is.
 */
#include "config.h"

#include "broker/keyid.h"

#include <string.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/ulid.h"

int
keyid_put(struct buf *b, const char *name, const char *value)
{
	static const char ok[] = "abcdefghijklmnopqrstuvwxyz"
				 "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/@:+-";

	if (value == NULL || *value == '\0' || strlen(value) > 100 ||
	    value[strspn(value, ok)] != '\0' ||
	    strlen(value) + strlen(name) + 2 > KEY_ID_MAX - buf_len(b))
		return 0;
	return buf_putf(b, " %s=%s", name, value);
}

int
keyid_serial(const char *session, uint64_t *serial)
{
	uint64_t v;

	if (!ulid_valid(session))
		return ERR_FORMAT;
	v = ulid_low(session);
	if (v == 0)
		return ERR_FORMAT;
	*serial = v;
	return 0;
}
