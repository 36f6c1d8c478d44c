/*
 * What the files of `postern status` share.
 */
#ifndef POSTERN_CLI_STATUS_H
#define POSTERN_CLI_STATUS_H

#include <jansson.h>

/* How far the ledger is signed and anchored: adds it, where audit runs. */
void status_anchor_add(json_t *o);
void status_anchor_print(const json_t *o);
/* status_alarms.c: adds alarms_day, and of the last one alarm_time,
 * alarm_process and alarm_reason; nothing, where the ledger cannot be read. */
void cli_status_alarms(json_t *o);

#endif
