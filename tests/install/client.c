/*
 * Built by check-install as C99 and as C++11, with the installed files alone: put an entry ("make") or find it
 * ("known"); print the daemon's process id.
 */
#include <ntcache.h>
#include <ntcache_cuda.h>

#include <stdio.h>
#include <string.h>

static int give_up(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, ntc_last_error());
	return 1;
}

int main(int argc, char **argv)
{
	struct ntc_options options = NTC_OPTIONS_INIT;
	struct ntc_part_data part = { "text", "made once", 9 };
	struct ntc_compiler_info compiler;
	struct ntc_client *client = NULL;
	struct ntc_entry *entry = NULL;
	struct ntc_part_view found;
	struct ntc_key *key = ntc_key_new(NTC_KIND_SOURCE);
	unsigned long long pid;
	uint64_t daemon = 0;

	if (ntc_open(&options, &client) != NTC_OK)
		return give_up("open");
	ntc_key_add_string(key, "name", "check-install", strlen("check-install"));
	if (ntc_key_seal(key) != NTC_OK)
		return give_up("key");
	if (ntc_ping(client, 20000, &daemon) != NTC_OK)
		return give_up("ping");
	if (argc > 1 && strcmp(argv[1], "make") == 0) {
		if (ntc_entry_new(key, NULL, &part, 1, &entry) != NTC_OK || ntc_put(client, NULL, entry, 1) != NTC_OK)
			return give_up("put");
		ntc_entry_unref(entry);
		entry = NULL;
	}
	if (ntc_lookup(client, key, 20000, &entry) != NTC_OK)
		return give_up("lookup");
	if (ntc_entry_find(entry, "text", &found) != NTC_OK || found.len != 9 || memcmp(found.data, "made once", 9) != 0)
		return give_up("part");
	ntc_entry_unref(entry);
	ntc_key_free(key);
	ntc_close(client);
	/* Linked and callable; whether there is a compiler does not matter here. */
	(void)ntc_compiler_find(&compiler);
	pid = daemon;
	printf("%llu\n", pid);
	return 0;
}
