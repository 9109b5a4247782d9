/* The log; see log.h. A message is one write(), so lines of several threads do not mix. */
#include "daemon/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

static enum ntc_log_level threshold = NTC_LOG_INFO;
static bool to_journal;

static const struct {
	enum ntc_log_level level;
	const char *name;
} levels[] = {
	{ NTC_LOG_ERROR, "error" },
	{ NTC_LOG_WARNING, "warning" },
	{ NTC_LOG_NOTICE, "notice" },
	{ NTC_LOG_INFO, "info" },
	{ NTC_LOG_DEBUG, "debug" },
};

bool ntc_log_parse_level(const char *text, enum ntc_log_level *level)
{
	for (size_t i = 0; i < NTC_COUNT(levels); i++) {
		if (strcmp(levels[i].name, text) == 0) {
			*level = levels[i].level;
			return true;
		}
	}
	return false;
}

static const char *level_name(enum ntc_log_level level)
{
	for (size_t i = 0; i < NTC_COUNT(levels); i++)
		if (levels[i].level == level)
			return levels[i].name;
	return "?";
}

/* Whether standard error is what systemd named: it may have been redirected since. */
static bool is_journal(void)
{
	const char *named = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return named && sscanf(named, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
	       st.st_dev == (dev_t)device && st.st_ino == (ino_t)inode;
}

void ntc_log_open(enum ntc_log_level level)
{
	threshold = level;
	to_journal = is_journal();
}

static size_t write_prefix(char *line, size_t room, enum ntc_log_level level)
{
	struct timespec now;
	struct tm tm;
	char when[32];

	if (to_journal)
		return (size_t)snprintf(line, room, "<%d>", (int)level);
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	return (size_t)snprintf(line, room, "%s.%03ldZ %s: ", when, now.tv_nsec / 1000000, level_name(level));
}

void ntc_log(enum ntc_log_level level, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	size_t len, start;
	va_list args;
	int more;

	if (level > threshold)
		return;
	start = len = write_prefix(line, sizeof(line), level);
	va_start(args, fmt);
	more = vsnprintf(line + len, sizeof(line) - len, fmt, args);
	va_end(args);
	if (more > 0)
		len += (size_t)more;
	if (len > sizeof(line) - 1)
		len = sizeof(line) - 1;
	/* Names and paths come from others: a message stays one line. */
	for (size_t i = start; i < len; i++)
		if ((unsigned char)line[i] < ' ')
			line[i] = '?';
	line[len++] = '\n';
	/* Nowhere to say that saying it failed. */
	(void)!write(STDERR_FILENO, line, len);
}

void ntc_log_line(void *ctx, enum ntc_log_level level, const char *text)
{
	(void)ctx;
	ntc_log(level, "%s", text);
}
