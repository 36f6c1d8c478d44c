/*
 * What the service manager is told, in the protocol of sd_notify(3): datagrams
 * to the socket that NOTIFY_SOCKET names.  Without one nothing is said.
 */
#ifndef POSTERN_BROKER_NOTIFY_H
#define POSTERN_BROKER_NOTIFY_H

void notify_ready(void);
/* READY follows when it is done. */
void notify_reloading(void);
/* Often enough, or the watchdog of the service manager ends this process. */
void notify_alive(void);
void notify_stopping(void);

#endif
