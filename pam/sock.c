/*
 * TCP_NODELAY on the client's connection.  Runs in sshd; PAM is not told which
 * descriptor it is, so all of this process's few are looked at.
 */
#include "config.h"

#include "pam/sock.h"

#include <sys/socket.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#define SOCK_FD_MAX 64 /* sshd has about ten open at this time */

void
sock_nodelay(void)
{
	int saved = errno, on = 1;

	for (int fd = 3; fd < SOCK_FD_MAX; fd++) {
		union {
			struct sockaddr sa;
			struct sockaddr_storage room;
		} peer;
		socklen_t n = sizeof(peer);

		if (getpeername(fd, &peer.sa, &n) == -1 ||
		    (peer.sa.sa_family != AF_INET &&
			peer.sa.sa_family != AF_INET6))
			continue;
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	}
	errno = saved;
}
