/*
 * Which addresses an issuer's web server may have: those of the public
 * internet, and those that the settings name.
 */
#ifndef POSTERN_BROKER_REACH_H
#define POSTERN_BROKER_REACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/conf.h"

struct sockaddr;

struct reach_net {
	uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
	unsigned int bits;   /* of these */
};

/* Networks that are opened by name; zeroed: none. */
struct reach {
	struct reach_net net[CONF_ADDRESSES_MAX];
	size_t n;
};

/* Reads what conf_cidr_valid accepts; ERR_FORMAT: it does not, and *out is
 * unchanged. */
int reach_init(const struct conf_nets *nets, struct reach *out);
/* Whether this may be connected to.  An IPv4 address inside of an IPv6 one
 * (mapped, or translated by RFC 6052's prefix) is judged as itself. */
bool reach_allows(const struct reach *r, const struct sockaddr *a, size_t n);

#endif
