/*
 * How much somebody has failed of late: every failure weighs for ten seconds.
 * A fixed table without names in it; who shares a place with others shares
 * their debt, so it MUST only ever slow down what has failed by itself.
 */
#ifndef POSTERN_BROKER_DEBT_H
#define POSTERN_BROKER_DEBT_H

#include <stddef.h>
#include <stdint.h>

#define DEBT_PLACES 4096
#define DEBT_WEIGHS_MS 10000
#define DEBT_MAX 120 /* twenty quiet minutes, and all is forgotten */

/* Zeroed: nobody owes anything. */
struct debts {
	int64_t until[DEBT_PLACES]; /* ms */
};

/* One failure more of the one of this key; its debt with that, 1..DEBT_MAX. */
unsigned int debt_add(
    struct debts *d, const void *key, size_t n, int64_t now_ms);

#endif
