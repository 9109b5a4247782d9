/* What --help says of all commands; see overview.h. */
#include "overview.h"

#include <stdio.h>

#include "ctl.h"

static char names[256];
static char overview[4096];

const char *ntc_ctl_names(void)
{
	size_t len = 0;

	if (names[0] == '\0')
		for (const struct ntc_ctl_command *const *at = ntc_ctl_commands; *at && len < sizeof(names);
		     at++)
			len += (size_t)snprintf(names + len, sizeof(names) - len, " %s", (*at)->name);
	return names;
}

const char *ntc_ctl_overview(void)
{
	size_t len;

	if (overview[0] != '\0')
		return overview;
	len = (size_t)snprintf(overview, sizeof(overview),
			       "Look into the cache of ntcached, and keep it in order.\v"
			       "Commands (`ntcache-ctl COMMAND --help` says more of each):\n");
	for (const struct ntc_ctl_command *const *at = ntc_ctl_commands; *at && len < sizeof(overview); at++)
		len += (size_t)snprintf(overview + len, sizeof(overview) - len, "  %-8s %s\n", (*at)->name,
					(*at)->line);
	if (len < sizeof(overview))
		snprintf(overview + len, sizeof(overview) - len,
			 "\nA DIGEST may be cut to its first digits, at least four.\n"
			 "\nExit status: 0 done; 1 no such entry or part, or nothing to do;\n"
			 "2 wrong arguments; 3 no daemon answers; 4 any other failure.");
	return overview;
}
