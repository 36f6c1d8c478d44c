/*
 * Prints its arguments in hexadecimal, one a line: what a shell made of a
 * quoted command.  In front of them may stand, and are printed as well:
 *
 *	--after		what comes in goes out first: one of a pipeline
 *	--in		the folder it runs in, behind `@`
 *	--env NAME	a variable of that name, behind `$`
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
print(int mark, const char *s)
{
	(void)putchar(mark);
	for (; s != NULL && *s != '\0'; s++)
		(void)printf("%02x", (unsigned int)(unsigned char)*s);
	(void)putchar('\n');
}

static void
copy(void)
{
	int c;

	while ((c = getchar()) != EOF)
		(void)putchar(c);
}

int
main(int argc, char **argv)
{
	char dir[4096];
	int i = 1;

	for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
		if (strcmp(argv[i], "--after") == 0)
			copy();
		else if (strcmp(argv[i], "--in") == 0)
			print('@', getcwd(dir, sizeof(dir)));
		else if (strcmp(argv[i], "--env") == 0 && i + 1 < argc)
			print('$', getenv(argv[++i]));
		else
			break;
	}
	for (; i < argc; i++)
		print('=', argv[i]);
	return 0;
}
