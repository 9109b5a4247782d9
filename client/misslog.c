/*
 * One line per miss: time, process, kind, digest, reason. Opened for each line and written by one
 * write(): many processes share the file, and it can be moved away at any time. A log that cannot be
 * written is told once.
 */
#include "client/misslog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "client/key.h"
#include "proto/key.h"

void ntc_misslog(struct ntc_client *client, const struct ntc_key *key, const char *fmt, ...)
{
	char line[NTC_LIMIT_REASON + 128], why[NTC_LIMIT_REASON], digest[NTC_DIGEST_TEXT_SIZE], when[32];
	struct ntc_digest d = ntc_key_digest_of(key);
	uint64_t now = ntc_clock_wall_ns();
	time_t seconds = (time_t)(now / NTC_NS_PER_S);
	struct tm tm;
	va_list args;
	int fd, len;

	if (!client->log_path)
		return;
	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	/* One line, whatever the reason has in it. */
	for (char *p = why; *p; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
	gmtime_r(&seconds, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	ntc_digest_format(&d, digest);
	len = snprintf(line, sizeof(line), "%s.%03uZ %d %s %s %s\n", when,
		       (unsigned)(now % NTC_NS_PER_S / NTC_NS_PER_MS), (int)getpid(),
		       ntc_kind_name(ntc_key_kind(ntc_key_view(key))), digest, why);
	/* Not waiting: neither for somebody who reads a named pipe, nor for room in it. */
	fd = open(client->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
	if (fd < 0 || write(fd, line, (size_t)len) != len) {
		ntc_explain(NTC_E_IO, "%.300s: %s", client->log_path, strerror(errno));
		ntc_client_tell_once(client, NTC_E_IO, "cannot write the log of misses");
		ntc_explain_clear();
	}
	if (fd >= 0)
		close(fd);
}
