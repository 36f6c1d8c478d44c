/*
 * What an ssh-agent answers, and the signature in it, held against a key of
 * each kind.  The first byte chooses the key.
 */
#include "config.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "ssh/agent.h"
#include "ssh/pubkey.h"
#include "ssh/sig.h"
#include "tests/fuzz/depth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const fuzz_depths[] = { "a signature of an agent", NULL };

static const char *const keys[] = {
	"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICkhdUeIJf0ahJWcPygynKup"
	"qULWxhpziaTvzn3AJwjg",
	"ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlz"
	"dHAyNTYAAABBBDGxXXvyNIEzU4BHiRDnKZexAkYVS8TyOHPIFCG8K8vnr9Z8"
	"CXbiClfNwjw71clzZIr3/dqGI9Co+Vw9oybEN80=",
	"ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlz"
	"dHAzODQAAABhBLQ3preM4U9sPEfsa3pBa0kYuKJ+sDmMV9eihbxJP/va0bHM"
	"oEEuSQG5dO/M01wL2u/4o8bnbOv4pb6IWNRMRrAslSYZhFJYP5JLGH2oOKzz"
	"j+9dd8IOjn+4VlopNi2HPQ==",
	"ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlz"
	"dHA1MjEAAACFBAG5CwIAbqEm7Ia6kvdDMJfKCdRWI6xINMwsgiKcA77KGdVC"
	"pfgU4W2WKHtal3yNk7FmXHLsHjdrKZQlVpwC76Ey3AHkqfLTSJxSAo18tuSB"
	"gNzCrCaLuHAioVXgRjjum0r+FxDbR2Oa5mcO5TOw1bnHx4E0xPRZ+RbK/Da6"
	"qjj+1f9Cpg==",
	"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCbpEFt+NlFHfVOZmx/Nsq5"
	"1+yP51HCmyR7DRkcroKFUftg4MQi9M10moAyVRizqR+vYWHXyvLrKjSbx4LY"
	"WFEIoXRvo0Bkz1UijhCx95LToqm66e8J6DB0qNU+bl7RRIul5RYsGVE79YaT"
	"rStQbQBc2DXOBa4i8F259XzT9cRuQszpat6DR6HG/rEP1C8IGvAgRODXE6sN"
	"MSN1N/qwSIcoOEK7pv8M0WwzfFlZZXU6UbHvLNThECRZYLyFz7pob6sPWLb9"
	"2JeR3isL17oEeaJaUzeoq972FGchotVfsyO0uTsp5CXU5tEU12oPIkvtzDy5"
	"R/xrO6YYvpcjkW9NBwTl",
};

static void
take(const uint8_t *key, size_t nkey, const struct buf *sig)
{
	static const char text[] = "what is signed";

	(void)sig_verify(
	    key, nkey, buf_ptr(sig), buf_len(sig), text, sizeof(text) - 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf in, sig, blob;
	const char *why;
	const char *key;

	if (size == 0)
		return 0;
	key = keys[data[0] % (sizeof(keys) / sizeof(keys[0]))];
	buf_view(&in, data + 1, size - 1);
	buf_init(&sig, SIG_BLOB_MAX);
	buf_init(&blob, PUBKEY_BLOB_MAX);
	if (pubkey_read(key, strlen(key), &blob, &why) != 0)
		abort();
	if (agent_get_signature(&in, &sig) == 0) {
		fuzz_reached(0);
		take(buf_ptr(&blob), buf_len(&blob), &sig);
	}
	buf_clear(&sig);
	buf_clear(&blob);
	return 0;
}
