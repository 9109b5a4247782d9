/* Options; see options.h. */
#include "daemon/options.h"

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/log.h"
#include "proto/entry.h"
#include "proto/segment.h"

#define SECONDS_MAX 3155760000.0        /* a hundred years */
#define CONNECTIONS_MAX 1000000u
#define COMPILES_MAX 100000u

static const char help[] =
"Usage: ntcached [OPTION]...\n"
"Give every worker of this machine its compiled GPU kernels, so that nothing is compiled twice.\n"
"\n"
"Runs in the foreground. Workers find it by its socket; look into it with ntcache-ctl.\n"
"\n"
"Where:\n"
"  --dir DIR             the cache directory, made if it does not exist. Default: $NTCACHE_DIR,\n"
"                        $CACHE_DIRECTORY, $XDG_CACHE_HOME/ntcached, ~/.cache/ntcached\n"
"  --socket PATH         listen here. Default: $NTCACHE_SOCKET, $XDG_RUNTIME_DIR/ntcached/ntcached.sock,\n"
"                        /tmp/ntcached-UID/ntcached.sock. A socket handed over by systemd goes before\n"
"  --socket-mode MODE    its permissions, in octal (0600; with --system 0660)\n"
"  --socket-group GROUP  its group, by name or number (with --system: ntcache)\n"
"  --system              serve the whole machine: /run/ntcached/ntcached.sock for the group ntcache, which\n"
"                        may also read the entries' files; cache directory /var/cache/ntcached\n"
"  --durability MODE     full: what was acknowledged survives a power cut (the default); relaxed: it survives the end\n"
"                        of the daemon, and a power cut may take the puts of the last second\n"
"  --allow-network-fs    keep the cache directory on NFS, SMB, FUSE or the like, which is refused otherwise\n"
"\n"
"How much:\n"
"  --max-size SIZE       keep at most so many bytes; what saves least goes first (10G; 0 = no limit).\n"
"                        A SIZE is a number of bytes, with K, M, G or T of 1024 times as many\n"
"  --max-entries N       keep at most so many entries (0 = no limit)\n"
"  --max-entry SIZE      refuse entries that are larger (256M; at most 1G)\n"
"  --segment-size SIZE   share hot entries with workers in so much memory (64M; 64K to 64G; 0 = none)\n"
"  --max-compiles N      let at most N tasks compile at once (default: the cores; 0 = no limit)\n"
"  --max-connections N   refuse connections past so many (4096)\n"
"\n"
"How long (seconds; 0.5 is fine, and so are 5m, 12h and 30d):\n"
"  --max-age S           to keep what nobody uses (0 = for ever)\n"
"  --lease-time S        to make an entry before somebody else may (60), or four times the maker's estimate\n"
"  --slot-wait S         to wait for one's turn to compile before going on without (10)\n"
"  --wait-time S         to wait for somebody else's result at most (3600)\n"
"  --failure-time S      to keep a failure that would happen again, with its log (60; 0 = not at all)\n"
"  --idle-exit S         without a connection before leaving (0 = never)\n"
"\n"
"  --log-level LEVEL     error, warning, notice, info or debug (info)\n"
"  --help, --version\n"
"\n"
"SIGTERM or SIGINT: finish what was put, then exit 0; a second one: at once.\n"
"\n"
"Examples:\n"
"  ntcached                                          one for yourself, with the defaults\n"
"  ntcached --dir /scratch/c --socket /scratch/s --idle-exit 600\n"
"  NTCACHE_SOCKET=/scratch/s make kernels            ... and a worker that uses it\n";

enum {
	OPT_DIR = 256,
	OPT_SOCKET,
	OPT_SOCKET_MODE,
	OPT_SOCKET_GROUP,
	OPT_SYSTEM,
	OPT_DURABILITY,
	OPT_ALLOW_NETWORK,
	OPT_MAX_SIZE,
	OPT_MAX_ENTRIES,
	OPT_MAX_ENTRY,
	OPT_SEGMENT_SIZE,
	OPT_MAX_COMPILES,
	OPT_MAX_CONNECTIONS,
	OPT_MAX_AGE,
	OPT_LEASE_TIME,
	OPT_SLOT_WAIT,
	OPT_WAIT_TIME,
	OPT_FAILURE_TIME,
	OPT_IDLE_EXIT,
	OPT_LOG_LEVEL,
	OPT_HELP,
	OPT_VERSION,
};

static const struct option table[] = {
	{ "dir", required_argument, NULL, OPT_DIR },
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "socket-mode", required_argument, NULL, OPT_SOCKET_MODE },
	{ "socket-group", required_argument, NULL, OPT_SOCKET_GROUP },
	{ "system", no_argument, NULL, OPT_SYSTEM },
	{ "durability", required_argument, NULL, OPT_DURABILITY },
	{ "allow-network-fs", no_argument, NULL, OPT_ALLOW_NETWORK },
	{ "max-size", required_argument, NULL, OPT_MAX_SIZE },
	{ "max-entries", required_argument, NULL, OPT_MAX_ENTRIES },
	{ "max-entry", required_argument, NULL, OPT_MAX_ENTRY },
	{ "segment-size", required_argument, NULL, OPT_SEGMENT_SIZE },
	{ "max-compiles", required_argument, NULL, OPT_MAX_COMPILES },
	{ "max-connections", required_argument, NULL, OPT_MAX_CONNECTIONS },
	{ "max-age", required_argument, NULL, OPT_MAX_AGE },
	{ "lease-time", required_argument, NULL, OPT_LEASE_TIME },
	{ "slot-wait", required_argument, NULL, OPT_SLOT_WAIT },
	{ "wait-time", required_argument, NULL, OPT_WAIT_TIME },
	{ "failure-time", required_argument, NULL, OPT_FAILURE_TIME },
	{ "idle-exit", required_argument, NULL, OPT_IDLE_EXIT },
	{ "log-level", required_argument, NULL, OPT_LOG_LEVEL },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

/* --- values ------------------------------------------------------------------------------- */

/* Digits only: strtoull() alone takes signs and spaces. */
static bool parse_digits(const char *text, char **end, int base, uint64_t *value)
{
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoull(text, end, base);
	return errno == 0;
}

bool ntc_parse_size(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGT";
	uint64_t value;
	const char *unit;
	unsigned shift;
	char *end;

	if (!parse_digits(text, &end, 10, &value))
		return false;
	if (*end == '\0') {
		*bytes = value;
		return true;
	}
	unit = strchr(units, *end >= 'a' ? *end - 'a' + 'A' : *end);
	if (!unit || end[1] != '\0')
		return false;
	shift = 10 * (unsigned)(unit - units + 1);
	if (value > UINT64_MAX >> shift)
		return false;
	*bytes = value << shift;
	return true;
}

bool ntc_parse_seconds(const char *text, uint64_t *ns)
{
	double value;
	char *end;

	static const struct {
		const char *unit;
		double seconds;
	} units[] = { { "", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 } };
	size_t i = 0;

	/* Neither signs and spaces nor "inf" and hexadecimal numbers. */
	if (*text == '\0' || strspn(text, "0123456789.mhd") != strlen(text))
		return false;
	value = strtod(text, &end);
	while (i < sizeof(units) / sizeof(units[0]) && strcmp(end, units[i].unit) != 0)
		i++;
	if (end == text || i == sizeof(units) / sizeof(units[0]))
		return false;
	value *= units[i].seconds;
	if (!(value <= SECONDS_MAX))
		return false;
	*ns = (uint64_t)(value * 1e9);
	return true;
}

static bool parse_count(const char *text, unsigned least, unsigned most, unsigned *count)
{
	uint64_t value;
	char *end;

	if (!parse_digits(text, &end, 10, &value) || *end != '\0' || value < least || value > most)
		return false;
	*count = (unsigned)value;
	return true;
}

static bool parse_mode(const char *text, mode_t *mode)
{
	uint64_t value;
	char *end;

	if (!parse_digits(text, &end, 8, &value) || *end != '\0' || value > 0777)
		return false;
	*mode = (mode_t)value;
	return true;
}

static bool parse_durability(const char *text, bool *relaxed)
{
	*relaxed = strcmp(text, "relaxed") == 0;
	return *relaxed || strcmp(text, "full") == 0;
}

static bool parse_group(const char *text, gid_t *group)
{
	const struct group *found = getgrnam(text);
	uint64_t value;
	char *end;

	if (found) {
		*group = found->gr_gid;
		return true;
	}
	if (!parse_digits(text, &end, 10, &value) || *end != '\0' || value >= UINT32_MAX)
		return false;
	*group = (gid_t)value;
	return true;
}

static bool copy_path(const char *text, char out[PATH_MAX])
{
	size_t len = strlen(text);

	if (len == 0 || len >= PATH_MAX)
		return false;
	memcpy(out, text, len + 1);
	return true;
}

/* --- defaults ----------------------------------------------------------------------------- */

/* A variable of the environment that is set and not empty, or NULL. */
static const char *env(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

static enum ntc_status join(char out[PATH_MAX], const char *what, const char *dir, size_t dir_len, const char *tail,
			    struct ntc_reason *reason)
{
	int len = snprintf(out, PATH_MAX, "%.*s%s", (int)dir_len, dir, tail);

	if (dir_len >= PATH_MAX || len < 0 || len >= PATH_MAX)
		return ntc_reject(reason, NTC_ST_TOO_LARGE, "%s: the path is longer than %d bytes", what, PATH_MAX - 1);
	return NTC_ST_OK;
}

static enum ntc_status default_dir(struct ntc_daemon_options *o, struct ntc_reason *reason)
{
	const char *dir;

	if ((dir = env("NTCACHE_DIR")))
		return join(o->dir, "$NTCACHE_DIR", dir, strlen(dir), "", reason);
	/* systemd gives a list where a unit has several; the first is ours. */
	if ((dir = env("CACHE_DIRECTORY")))
		return join(o->dir, "$CACHE_DIRECTORY", dir, strcspn(dir, ":"), "", reason);
	if (o->system)
		return join(o->dir, "--system", "/var/cache/ntcached", strlen("/var/cache/ntcached"), "", reason);
	if ((dir = env("XDG_CACHE_HOME")) && *dir == '/')
		return join(o->dir, "$XDG_CACHE_HOME", dir, strlen(dir), "/ntcached", reason);
	if ((dir = env("HOME")) && *dir == '/')
		return join(o->dir, "$HOME", dir, strlen(dir), "/.cache/ntcached", reason);
	return ntc_reject(reason, NTC_ST_NOT_FOUND, "no cache directory: neither --dir, $NTCACHE_DIR nor $HOME is set");
}

static enum ntc_status default_socket(struct ntc_daemon_options *o, struct ntc_reason *reason)
{
	char own[64];
	const char *path;

	if (o->system)
		return join(o->socket, "--system", "/run/ntcached/ntcached.sock",
			    strlen("/run/ntcached/ntcached.sock"), "", reason);
	if ((path = env("NTCACHE_SOCKET")))
		return join(o->socket, "$NTCACHE_SOCKET", path, strlen(path), "", reason);
	o->own_socket_dir = true;
	if ((path = env("XDG_RUNTIME_DIR")) && *path == '/')
		return join(o->socket, "$XDG_RUNTIME_DIR", path, strlen(path), "/ntcached/ntcached.sock", reason);
	snprintf(own, sizeof(own), "/tmp/ntcached-%u/ntcached.sock", (unsigned)geteuid());
	return join(o->socket, "the socket", own, strlen(own), "", reason);
}

static unsigned cores(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n > 0 ? (unsigned)n : 1;
}

/* --- the command line --------------------------------------------------------------------- */

/* Set what one option says; what is allowed, for people, where it says something else. */
static const char *take(struct ntc_daemon_options *o, int option, const char *arg, bool *mode_set, bool *group_set)
{
	char *end;

	switch (option) {
	case OPT_DIR:
		return copy_path(arg, o->dir) ? NULL : "a path";
	case OPT_SOCKET:
		return copy_path(arg, o->socket) ? NULL : "a path";
	case OPT_SOCKET_MODE:
		*mode_set = true;
		return parse_mode(arg, &o->socket_mode) ? NULL : "an octal mode from 0 to 0777";
	case OPT_SOCKET_GROUP:
		*group_set = true;
		return parse_group(arg, &o->socket_group) ? NULL : "the name or number of a group of this machine";
	case OPT_SYSTEM:
		o->system = true;
		return NULL;
	case OPT_DURABILITY:
		return parse_durability(arg, &o->relaxed) ? NULL : "full or relaxed";
	case OPT_ALLOW_NETWORK:
		o->allow_network = true;
		return NULL;
	case OPT_MAX_SIZE:
		return ntc_parse_size(arg, &o->max_size) ? NULL : "a number of bytes, or one with K, M, G or T";
	case OPT_MAX_ENTRIES:
		return parse_digits(arg, &end, 10, &o->max_entries) && !*end ? NULL : "a number, or 0 for no limit";
	case OPT_MAX_ENTRY:
		return ntc_parse_size(arg, &o->max_entry) && o->max_entry >= 4096 && o->max_entry <= NTC_BODY_MAX ?
			NULL : "a size from 4K to 1G";
	case OPT_SEGMENT_SIZE:
		return ntc_parse_size(arg, &o->segment_size) &&
				       (o->segment_size == 0 ||
					(o->segment_size >= NTC_SEGMENT_MIN && o->segment_size <= NTC_SEGMENT_MAX)) ?
			NULL : "a size from 64K to 64G, or 0 for none";
	case OPT_MAX_COMPILES:
		return parse_count(arg, 0, COMPILES_MAX, &o->max_compiles) ? NULL : "a number from 0 to 100000";
	case OPT_MAX_CONNECTIONS:
		return parse_count(arg, 1, CONNECTIONS_MAX, &o->max_connections) ? NULL : "a number from 1 to 1000000";
	case OPT_MAX_AGE:
		return ntc_parse_seconds(arg, &o->max_age_ns) &&
				       (!o->max_age_ns || o->max_age_ns >= NTC_NS_PER_S) ?
			NULL : "a second or more, or 0 for ever";
	case OPT_LEASE_TIME:
		return ntc_parse_seconds(arg, &o->lease_ns) && o->lease_ns > 0 ? NULL : "seconds, more than 0";
	case OPT_SLOT_WAIT:
		return ntc_parse_seconds(arg, &o->slot_wait_ns) ? NULL : "seconds";
	case OPT_WAIT_TIME:
		return ntc_parse_seconds(arg, &o->wait_ns) ? NULL : "seconds";
	case OPT_FAILURE_TIME:
		return ntc_parse_seconds(arg, &o->failure_ns) ? NULL : "seconds";
	case OPT_IDLE_EXIT:
		return ntc_parse_seconds(arg, &o->idle_exit_ns) ? NULL : "seconds, or 0 for never";
	case OPT_LOG_LEVEL:
		return ntc_log_parse_level(arg, &o->log_level) ? NULL : "error, warning, notice, info or debug";
	}
	return "an option";
}

static const char *option_name(int option)
{
	for (const struct option *o = table; o->name; o++)
		if (o->val == option)
			return o->name;
	return "?";
}

enum ntc_options_result ntc_options_parse(int argc, char **argv, struct ntc_daemon_options *options,
					  struct ntc_reason *reason)
{
	struct ntc_daemon_options *o = options;
	bool mode_set = false, group_set = false;
	int option;

	*o = (struct ntc_daemon_options){
		.socket_mode = 0600,
		.socket_group = (gid_t)-1,
		.max_size = UINT64_C(10) << 30,
		.max_entry = UINT64_C(256) << 20,
		.segment_size = UINT64_C(64) << 20,
		.max_compiles = cores(),
		.max_connections = 4096,
		.lease_ns = 60 * NTC_NS_PER_S,
		.slot_wait_ns = 10 * NTC_NS_PER_S,
		.wait_ns = 3600 * NTC_NS_PER_S,
		.failure_ns = 60 * NTC_NS_PER_S,
		.log_level = NTC_LOG_INFO,
	};
	optind = 0; /* glibc: start anew, so that a test may call this more than once */
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":", table, NULL)) != -1) {
		const char *allowed;

		if (option == '?') {
			ntc_reject(reason, NTC_ST_BAD_MESSAGE, "%.100s: no such option, or it takes no value", argv[optind - 1]);
			return NTC_OPTIONS_BAD;
		}
		if (option == ':') {
			ntc_reject(reason, NTC_ST_BAD_MESSAGE, "%.100s: a value is missing", argv[optind - 1]);
			return NTC_OPTIONS_BAD;
		}
		if (option == OPT_HELP || option == OPT_VERSION) {
			if (option == OPT_HELP)
				fputs(help, stdout);
			else
				printf("ntcached %s\n", NTC_VERSION);
			return NTC_OPTIONS_DONE;
		}
		allowed = take(o, option, optarg, &mode_set, &group_set);
		if (allowed) {
			ntc_reject(reason, NTC_ST_BAD_MESSAGE, "--%s: '%.100s' is not %s", option_name(option), optarg,
				   allowed);
			return NTC_OPTIONS_BAD;
		}
	}
	if (optind < argc) {
		ntc_reject(reason, NTC_ST_BAD_MESSAGE, "'%.100s': only options are taken", argv[optind]);
		return NTC_OPTIONS_BAD;
	}
	if (o->system && !mode_set)
		o->socket_mode = 0660;
	if (o->system && !group_set && !parse_group("ntcache", &o->socket_group)) {
		ntc_reject(reason, NTC_ST_NOT_FOUND,
			   "--system: there is no group 'ntcache'; make it (systemd-sysusers, or groupadd -r ntcache) or "
			   "name another with --socket-group");
		return NTC_OPTIONS_BAD;
	}
	if ((!*o->dir && default_dir(o, reason)) || (!*o->socket && default_socket(o, reason)))
		return NTC_OPTIONS_BAD;
	return NTC_OPTIONS_RUN;
}
