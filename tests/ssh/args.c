/*
 * Prints its arguments in hexadecimal, one a line: what a shell made of a
 * quoted command.
 */
#include "config.h"

#include <stdio.h>

int
main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		(void)putchar('=');
		for (const char *p = argv[i]; *p != '\0'; p++)
			(void)printf("%02x", (unsigned int)(unsigned char)*p);
		(void)putchar('\n');
	}
	return 0;
}
