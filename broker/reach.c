/*
 * Addresses of issuers.  Runs in postern-oidc.  What it distrusts is the
 * answer of a name server: a name of the policy that leads to a service of the
 * bastion's own network (a cloud's metadata above all) must not have oidc speak
 * to it.
 *
 * The table is IANA's registries of special-purpose addresses (RFC 6890), and
 * what clouds put beside them.
 */
#include "config.h"

#include "broker/reach.h"

#include <sys/socket.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "lib/err.h"
#include "lib/str.h"

#define V4_AT 12 /* an IPv4 address in its mapped form: the last four bytes */
#define V4_BITS (V4_AT * 8)

static const uint8_t mapped[V4_AT] = { [10] = 0xff, [11] = 0xff };
/* RFC 6052 section 2.1: 64:ff9b::/96 */
static const uint8_t translated[V4_AT] = { 0x00, 0x64, 0xff, 0x9b };

/* Not of the public internet. */
static const struct {
	uint8_t address[4];
	unsigned int bits;
} special_v4[] = {
	{ { 0, 0, 0, 0 }, 8 },        /* this host */
	{ { 10, 0, 0, 0 }, 8 },       /* private */
	{ { 100, 64, 0, 0 }, 10 },    /* carriers' NAT, and clouds' services */
	{ { 127, 0, 0, 0 }, 8 },      /* loopback */
	{ { 168, 63, 129, 16 }, 32 }, /* Azure's host */
	{ { 169, 254, 0, 0 }, 16 },   /* link-local, clouds' metadata */
	{ { 172, 16, 0, 0 }, 12 },    /* private */
	{ { 192, 0, 0, 0 }, 24 },     /* protocols, Oracle's metadata */
	{ { 192, 0, 2, 0 }, 24 },     /* documentation */
	{ { 192, 88, 99, 0 }, 24 },   /* 6to4 relays */
	{ { 192, 168, 0, 0 }, 16 },   /* private */
	{ { 198, 18, 0, 0 }, 15 },    /* benchmarks */
	{ { 198, 51, 100, 0 }, 24 },  /* documentation */
	{ { 203, 0, 113, 0 }, 24 },   /* documentation */
	{ { 224, 0, 0, 0 }, 4 },      /* multicast */
	{ { 240, 0, 0, 0 }, 4 },      /* reserved, broadcast */
};

/* Of IPv6 only 2000::/3 is given out at all; in it, these are special. */
static const struct reach_net global_v6 = { { 0x20 }, 3 };
static const struct reach_net special_v6[] = {
	{ { 0x20, 0x01 }, 23 },             /* protocols, Teredo */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32 }, /* documentation */
	{ { 0x20, 0x02 }, 16 },             /* 6to4: an IPv4 address inside */
	{ { 0x3f, 0xff }, 20 },             /* documentation */
};

static bool
same_bits(const uint8_t *a, const uint8_t *b, unsigned int bits)
{
	unsigned int whole = bits / 8, rest = bits % 8;

	return memcmp(a, b, whole) == 0 &&
	       (rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0);
}

static bool
is_v4(const uint8_t a[16])
{
	return memcmp(a, mapped, sizeof(mapped)) == 0;
}

static void
from_v4(uint8_t out[16], const void *v4)
{
	memcpy(out, mapped, sizeof(mapped));
	memcpy(out + V4_AT, v4, 4);
}

static bool
is_public(const uint8_t a[16])
{
	if (is_v4(a)) {
		for (size_t i = 0;
		     i < sizeof(special_v4) / sizeof(special_v4[0]); i++) {
			if (same_bits(a + V4_AT, special_v4[i].address,
				special_v4[i].bits))
				return false;
		}
		return true;
	}
	for (size_t i = 0; i < sizeof(special_v6) / sizeof(special_v6[0]);
	     i++) {
		if (same_bits(a, special_v6[i].address, special_v6[i].bits))
			return false;
	}
	return same_bits(a, global_v6.address, global_v6.bits);
}

static int
net_read(const char *s, struct reach_net *out)
{
	size_t n = strcspn(s, "/");
	bool v6 = memchr(s, ':', n) != NULL;
	uint64_t bits = v6 ? 128 : 32;
	char text[INET6_ADDRSTRLEN];
	struct in_addr v4;

	if (n >= sizeof(text))
		return ERR_FORMAT;
	memcpy(text, s, n);
	text[n] = '\0';
	if (s[n] != '\0' && num_parse(s + n + 1, 0, bits, &bits) != 0)
		return ERR_FORMAT;
	if (v6) {
		out->bits = (unsigned int)bits;
		return inet_pton(AF_INET6, text, out->address) == 1
			   ? 0
			   : ERR_FORMAT;
	}
	if (inet_pton(AF_INET, text, &v4) != 1)
		return ERR_FORMAT;
	from_v4(out->address, &v4);
	out->bits = V4_BITS + (unsigned int)bits;
	return 0;
}

int
reach_init(const struct conf_nets *nets, struct reach *out)
{
	struct reach r = { 0 };

	for (; r.n < nets->n; r.n++) {
		if (net_read(nets->at[r.n], &r.net[r.n]) != 0)
			return ERR_FORMAT;
	}
	*out = r;
	return 0;
}

/* The address in one form; false for what is none. */
static bool
address_read(const struct sockaddr *a, size_t n, uint8_t out[16])
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (a->sa_family == AF_INET && n >= sizeof(v4)) {
		memcpy(&v4, a, sizeof(v4));
		from_v4(out, &v4.sin_addr);
		return true;
	}
	if (a->sa_family != AF_INET6 || n < sizeof(v6))
		return false;
	memcpy(&v6, a, sizeof(v6));
	memcpy(out, &v6.sin6_addr, 16);
	if (memcmp(out, translated, sizeof(translated)) == 0)
		from_v4(out, (const uint8_t *)&v6.sin6_addr + V4_AT);
	return true;
}

bool
reach_allows(const struct reach *r, const struct sockaddr *a, size_t n)
{
	uint8_t at[16];

	if (!address_read(a, n, at))
		return false;
	for (size_t i = 0; i < r->n; i++) {
		const struct reach_net *net = &r->net[i];

		/* ::/0 is no word about IPv4 */
		if (is_v4(at) == is_v4(net->address) &&
		    same_bits(at, net->address, net->bits))
			return true;
	}
	return is_public(at);
}
