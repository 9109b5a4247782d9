/* Numbers and texts for people; see format.h. */
#include "format.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define S UINT64_C(1000000000)
#define MIN (60 * S)
#define HOUR (60 * MIN)
#define DAY (24 * HOUR)

const char *ntc_ctl_bytes_text(uint64_t bytes, char out[NTC_CTL_NUMBER_SIZE])
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024) {
		snprintf(out, NTC_CTL_NUMBER_SIZE, "%" PRIu64 " B", bytes);
		return out;
	}
	/* 1023.95 would be rounded to "1024.0". */
	while (value >= 1023.95 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	snprintf(out, NTC_CTL_NUMBER_SIZE, "%.1f %s", value, units[unit]);
	return out;
}

const char *ntc_ctl_duration_text(uint64_t ns, char out[NTC_CTL_NUMBER_SIZE])
{
	if (ns < US)
		snprintf(out, NTC_CTL_NUMBER_SIZE, "%" PRIu64 " ns", ns);
	else if (ns < MS)
		snprintf(out, NTC_CTL_NUMBER_SIZE, "%" PRIu64 ".%02" PRIu64 " us", ns / US, ns % US / 10);
	else if (ns < S)
		snprintf(out, NTC_CTL_NUMBER_SIZE, "%" PRIu64 ".%02" PRIu64 " ms", ns / MS,
			 ns % MS / (10 * US));
	else if (ns < MIN)
		snprintf(out, NTC_CTL_NUMBER_SIZE, "%" PRIu64 ".%02" PRIu64 " s", ns / S, ns % S / (10 * MS));
	else if (ns < HOUR)
		snprintf(out, NTC_CTL_NUMBER_SIZE, "%" PRIu64 " min %02" PRIu64 " s", ns / MIN, ns % MIN / S);
	else if (ns < DAY)
		snprintf(out, NTC_CTL_NUMBER_SIZE, "%" PRIu64 " h %02" PRIu64 " min", ns / HOUR,
			 ns % HOUR / MIN);
	else
		snprintf(out, NTC_CTL_NUMBER_SIZE, "%" PRIu64 " d %02" PRIu64 " h", ns / DAY,
			 ns % DAY / HOUR);
	return out;
}

const char *ntc_ctl_age_text(uint64_t now, uint64_t then, char out[NTC_CTL_NUMBER_SIZE])
{
	uint64_t age = now > then ? now - then : 0;

	if (then == 0)
		snprintf(out, NTC_CTL_NUMBER_SIZE, "-");
	else if (age < S)
		snprintf(out, NTC_CTL_NUMBER_SIZE, "now");
	else if (age < MIN)
		snprintf(out, NTC_CTL_NUMBER_SIZE, "%" PRIu64 " s", age / S);
	else if (age < HOUR)
		snprintf(out, NTC_CTL_NUMBER_SIZE, "%" PRIu64 " min", age / MIN);
	else if (age < 2 * DAY)
		snprintf(out, NTC_CTL_NUMBER_SIZE, "%" PRIu64 " h", age / HOUR);
	else
		snprintf(out, NTC_CTL_NUMBER_SIZE, "%" PRIu64 " d", age / DAY);
	return out;
}

const char *ntc_ctl_wall_text(uint64_t wall_ns, char out[NTC_CTL_NUMBER_SIZE])
{
	time_t seconds = (time_t)(wall_ns / S);
	struct tm tm;

	if (wall_ns == 0 || !localtime_r(&seconds, &tm) ||
	    strftime(out, NTC_CTL_NUMBER_SIZE, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(out, NTC_CTL_NUMBER_SIZE, "-");
	return out;
}

uint64_t ntc_ctl_wall_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * S + (uint64_t)ts.tv_nsec;
}

/* The length of the UTF-8 character at `p`, and its number; 0 if there is none. */
static size_t utf8_next(const unsigned char *p, size_t left, uint32_t *number)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = 1;

	if (p[0] >= 0x80)
		len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (len > left || (p[0] >= 0x80 && p[0] < 0xc0) || p[0] >= 0xf8)
		return 0;
	*number = len == 1 ? p[0] : p[0] & (0xffu >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		*number = *number << 6 | (p[i] & 0x3fu);
	}
	if (*number < least[len] || *number > 0x10ffff || (*number >= 0xd800 && *number < 0xe000))
		return 0;
	return len;
}

/* Controls, and the marks that turn the direction of what follows. */
static bool is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069);
}

void ntc_ctl_print_text(FILE *out, const char *text, size_t len, bool lines)
{
	const unsigned char *p = (const unsigned char *)text;
	uint32_t c = 0;

	while (len > 0) {
		size_t n = utf8_next(p, len, &c);

		if (n && (!is_control(c) || (lines && (c == '\n' || c == '\t')))) {
			fwrite(p, 1, n, out);
		} else if (n && c == '\n') {
			fputs("\\n", out);
		} else if (n && c == '\t') {
			fputs("\\t", out);
		} else {
			n = n ? n : 1;
			for (size_t i = 0; i < n; i++)
				fprintf(out, "\\x%02x", p[i]);
		}
		p += n;
		len -= n;
	}
}

bool ntc_ctl_is_text(const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	uint32_t c = 0;

	while (len > 0) {
		size_t n = utf8_next(p, len, &c);

		if (n == 0 || (is_control(c) && c != '\n' && c != '\t' && c != '\f' && c != '\r'))
			return false;
		p += n;
		len -= n;
	}
	return true;
}

const char *ntc_ctl_colour(bool on, enum ntc_ctl_colour colour)
{
	static const char *const sequences[] = {
		[NTC_CTL_PLAIN] = "\033[0m",   [NTC_CTL_BOLD] = "\033[1m",    [NTC_CTL_DIM] = "\033[2m",
		[NTC_CTL_RED] = "\033[31m",    [NTC_CTL_GREEN] = "\033[32m",  [NTC_CTL_YELLOW] = "\033[33m",
		[NTC_CTL_CYAN] = "\033[36m",
	};

	return on ? sequences[colour] : "";
}
