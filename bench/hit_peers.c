/*
 * What people use instead; see hit.h. Redis and memcached over Unix sockets by their own protocols, with a client that does
 * nothing but that; LMDB and SQLite by their libraries; files as Triton, CuPy and cuda.core keep them, in
 * directories by the first two digits.
 */
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "bench/bench.h"
#include "bench/hit.h"

static void check(int ok, const char *what)
{
	if (!ok)
		ntc_bench_die("%s: %s", what, strerror(errno));
}

/* Compare the key in front of a record, and copy the value behind it. */
static uint8_t take(const struct hit_set *set, unsigned k, const uint8_t *record, size_t len, uint8_t *out)
{
	const struct hit_entry *entry = &set->entries[k];

	if (len != entry->key_len + set->size || memcmp(record, entry->key_bytes, entry->key_len) != 0)
		ntc_bench_die("entry %u is not there", k);
	if (out) {
		memcpy(out, record + entry->key_len, set->size);
		/* The copy is not to be thought unneeded. */
		__asm__ volatile("" : : "r"(out) : "memory");
		return out[0];
	}
	return record[entry->key_len];
}

static uint8_t look(const struct hit_set *set, unsigned k, const uint8_t *record, size_t len)
{
	const volatile uint8_t *value = record + set->entries[k].key_len;
	uint8_t first = take(set, k, record, len, NULL), all = 0;

	for (size_t at = HIT_STEP; at < set->size; at += HIT_STEP)
		all ^= value[at];
	(void)all;
	return first;
}

/* --- servers ------------------------------------------------------------------------------ */

static pid_t server;
static char socket_path[108]; /* what a socket's name may have */

static void name_socket(const struct hit_set *set, const char *name)
{
	if (snprintf(socket_path, sizeof(socket_path), "%s/%s.sock", set->dir, name) >=
	    (int)sizeof(socket_path))
		ntc_bench_die("%s is too long for a socket", set->dir);
}

static void spawn(const char *program, ...)
{
	const char *args[32] = { program };
	va_list more;
	size_t n = 1;

	va_start(more, program);
	while (n < 31 && (args[n] = va_arg(more, const char *)))
		n++;
	va_end(more);
	fflush(NULL);
	server = fork();
	if (server == 0) {
		int null = open("/dev/null", O_RDWR);

		prctl(PR_SET_PDEATHSIG, SIGTERM);
		dup2(null, STDOUT_FILENO);
		execvp(program, (char *const *)args);
		perror(program);
		_exit(127);
	}
	check(server > 0, "fork");
}

static void unload_server(void)
{
	kill(server, SIGTERM);
	while (waitpid(server, NULL, 0) < 0 && errno == EINTR)
		;
}

/* A blocking connection; the server may still be starting. */
struct line {
	int fd;
	uint8_t *in;
	size_t room;
};

static void *open_line(struct hit_set *set)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timespec pause = { .tv_nsec = 5000000 };
	struct line *line = calloc(1, sizeof(*line));

	check(line != NULL, "memory");
	line->room = set->record_max + 256;
	line->in = malloc(line->room);
	check(line->in != NULL, "memory");
	memcpy(address.sun_path, socket_path, sizeof(socket_path));
	for (int i = 0; i < 1000; i++) {
		line->fd = socket(AF_UNIX, SOCK_STREAM, 0);
		if (connect(line->fd, (struct sockaddr *)&address, sizeof(address)) == 0)
			return line;
		close(line->fd);
		nanosleep(&pause, NULL);
	}
	ntc_bench_die("%s: %s", socket_path, strerror(errno));
}

static void send_all(struct line *line, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	while (len) {
		ssize_t n = send(line->fd, at, len, MSG_NOSIGNAL);

		check(n > 0, "sending");
		at += n;
		len -= (size_t)n;
	}
}

/* An answer that begins with a line and goes on for as many bytes as `rest` says of that line; returns where those begin. */
static uint8_t *receive(struct line *line, size_t *len, size_t (*rest)(const char *first, size_t *body))
{
	size_t have = 0, want = 0, head = 0;

	while (!want || have < want) {
		ssize_t n = recv(line->fd, line->in + have, line->room - have, 0);

		check(n > 0, "receiving");
		have += (size_t)n;
		if (!want) {
			uint8_t *end = memchr(line->in, '\n', have);

			if (!end)
				continue;
			*end = '\0';
			head = (size_t)(end - line->in) + 1;
			want = head + rest((char *)line->in, len);
			if (want > line->room)
				ntc_bench_die("an answer of %zu bytes", want);
		}
	}
	return line->in + head;
}

/* Load by a connection of one's own, whose answers are all one line. */
static size_t no_rest(const char *first, size_t *body)
{
	if (first[0] != '+' && strncmp(first, "STORED", 6) != 0)
		ntc_bench_die("the server says %.100s", first);
	*body = 0;
	return 0;
}

static void close_line(struct line *line)
{
	close(line->fd);
	free(line->in);
	free(line);
}

/* --- Redis -------------------------------------------------------------------------------- */

static pid_t load_redis(struct hit_set *set)
{
	struct line *line;

	name_socket(set, "redis");
	spawn("redis-server", "--port", "0", "--unixsocket", socket_path, "--save", "", "--appendonly", "no",
	      "--dir", set->dir, "--loglevel", "warning", NULL);
	line = open_line(set);
	for (unsigned k = 0; k < set->count; k++) {
		char head[128];
		size_t len = hit_record(set, k), ignored;
		int n = snprintf(head, sizeof(head), "*3\r\n$3\r\nSET\r\n$32\r\n%s\r\n$%zu\r\n",
				 set->entries[k].name, len);

		send_all(line, head, (size_t)n);
		send_all(line, set->record, len);
		send_all(line, "\r\n", 2);
		receive(line, &ignored, no_rest);
	}
	close_line(line);
	return server;
}

static size_t redis_rest(const char *first, size_t *body)
{
	if (first[0] != '$' || first[1] == '-')
		ntc_bench_die("redis says %.100s", first);
	*body = strtoul(first + 1, NULL, 10);
	return *body + 2;
}

static uint8_t get_redis(void *opened, const struct hit_set *set, unsigned k)
{
	char ask[128];
	int n = snprintf(ask, sizeof(ask), "*2\r\n$3\r\nGET\r\n$32\r\n%s\r\n", set->entries[k].name);
	uint8_t *record;
	size_t len;

	send_all(opened, ask, (size_t)n);
	record = receive(opened, &len, redis_rest);
	/* It came as a copy: nothing needs to be copied again. */
	return take(set, k, record, len, NULL);
}

/* --- memcached ---------------------------------------------------------------------------- */

static pid_t load_memcached(struct hit_set *set)
{
	struct line *line;

	name_socket(set, "memcached");
	spawn("memcached", "-s", socket_path, "-m", "2048", "-I", "8m", "-t", "2", "-u", "root", NULL);
	line = open_line(set);
	for (unsigned k = 0; k < set->count; k++) {
		char head[128];
		size_t len = hit_record(set, k), ignored;
		int n = snprintf(head, sizeof(head), "set %s 0 0 %zu\r\n", set->entries[k].name, len);

		send_all(line, head, (size_t)n);
		send_all(line, set->record, len);
		send_all(line, "\r\n", 2);
		receive(line, &ignored, no_rest);
	}
	close_line(line);
	return server;
}

static size_t memcached_rest(const char *first, size_t *body)
{
	const char *number = strrchr(first, ' ');

	if (strncmp(first, "VALUE ", 6) != 0 || !number)
		ntc_bench_die("memcached says %.100s", first);
	*body = strtoul(number, NULL, 10);
	return *body + strlen("\r\nEND\r\n");
}

static uint8_t get_memcached(void *opened, const struct hit_set *set, unsigned k)
{
	char ask[64];
	int n = snprintf(ask, sizeof(ask), "get %s\r\n", set->entries[k].name);
	uint8_t *record;
	size_t len;

	send_all(opened, ask, (size_t)n);
	record = receive(opened, &len, memcached_rest);
	return take(set, k, record, len, NULL);
}

/* --- LMDB --------------------------------------------------------------------------------- */

static char lmdb_path[300];

struct lmdb {
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	uint8_t *out;
};

static void check_lmdb(int rc, const char *what)
{
	if (rc)
		ntc_bench_die("lmdb: %s: %s", what, mdb_strerror(rc));
}

static MDB_env *lmdb_env(const struct hit_set *set, unsigned flags)
{
	MDB_env *env;

	check_lmdb(mdb_env_create(&env), "making");
	check_lmdb(mdb_env_set_mapsize(env, 2 * set->count * set->record_max + (64u << 20)), "its size");
	check_lmdb(mdb_env_open(env, lmdb_path, flags | MDB_NOSUBDIR | MDB_NOTLS, 0600), "opening");
	return env;
}

static pid_t load_lmdb(struct hit_set *set)
{
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;

	snprintf(lmdb_path, sizeof(lmdb_path), "%s/lmdb", set->dir);
	env = lmdb_env(set, MDB_NOSYNC);
	check_lmdb(mdb_txn_begin(env, NULL, 0, &txn), "begin");
	check_lmdb(mdb_dbi_open(txn, NULL, 0, &dbi), "the table");
	for (unsigned k = 0; k < set->count; k++) {
		MDB_val key = { 32, set->entries[k].name }, value = { hit_record(set, k), set->record };

		check_lmdb(mdb_put(txn, dbi, &key, &value, 0), "a put");
	}
	check_lmdb(mdb_txn_commit(txn), "commit");
	mdb_env_close(env);
	return 0;
}

static void unload_lmdb(void)
{
	char lock[310];

	snprintf(lock, sizeof(lock), "%s-lock", lmdb_path);
	unlink(lock);
	unlink(lmdb_path);
}

static void *open_lmdb(struct hit_set *set)
{
	struct lmdb *l = calloc(1, sizeof(*l));

	check(l != NULL, "memory");
	l->env = lmdb_env(set, MDB_RDONLY);
	check_lmdb(mdb_txn_begin(l->env, NULL, MDB_RDONLY, &l->txn), "begin");
	check_lmdb(mdb_dbi_open(l->txn, NULL, 0, &l->dbi), "the table");
	mdb_txn_reset(l->txn);
	l->out = malloc(set->size);
	check(l->out != NULL, "memory");
	return l;
}

static uint8_t get_lmdb(void *opened, const struct hit_set *set, unsigned k, int copied)
{
	struct lmdb *l = opened;
	MDB_val key = { 32, set->entries[k].name }, value;
	uint8_t first;

	check_lmdb(mdb_txn_renew(l->txn), "renew");
	check_lmdb(mdb_get(l->txn, l->dbi, &key, &value), "a get");
	first = copied ? take(set, k, value.mv_data, value.mv_size, l->out)
		       : look(set, k, value.mv_data, value.mv_size);
	mdb_txn_reset(l->txn);
	return first;
}

static uint8_t get_lmdb_copied(void *opened, const struct hit_set *set, unsigned k)
{
	return get_lmdb(opened, set, k, 1);
}

static uint8_t get_lmdb_in_place(void *opened, const struct hit_set *set, unsigned k)
{
	return get_lmdb(opened, set, k, 0);
}

/* --- SQLite ------------------------------------------------------------------------------- */

static char sqlite_path[300];

struct lite {
	sqlite3 *db;
	sqlite3_stmt *get;
	uint8_t *out;
};

static void check_sqlite(int ok, sqlite3 *db, const char *what)
{
	if (!ok)
		ntc_bench_die("sqlite: %s: %s", what, sqlite3_errmsg(db));
}

static void unload_sqlite(void)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	char path[310];

	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s%s", sqlite_path, ends[i]);
		unlink(path);
	}
}

static pid_t load_sqlite(struct hit_set *set)
{
	sqlite3_stmt *put;
	sqlite3 *db;

	snprintf(sqlite_path, sizeof(sqlite_path), "%s/sqlite", set->dir);
	check_sqlite(sqlite3_open(sqlite_path, &db) == SQLITE_OK, db, "opening");
	check_sqlite(
		sqlite3_exec(
			db,
			"PRAGMA journal_mode=WAL; CREATE TABLE e (k TEXT PRIMARY KEY, v BLOB) WITHOUT ROWID;"
			"BEGIN",
			NULL, NULL, NULL) == SQLITE_OK,
		db, "the table");
	check_sqlite(sqlite3_prepare_v2(db, "INSERT INTO e VALUES (?, ?)", -1, &put, NULL) == SQLITE_OK, db,
		     "a put");
	for (unsigned k = 0; k < set->count; k++) {
		size_t len = hit_record(set, k);

		sqlite3_bind_text(put, 1, set->entries[k].name, 32, SQLITE_STATIC);
		sqlite3_bind_blob(put, 2, set->record, (int)len, SQLITE_STATIC);
		check_sqlite(sqlite3_step(put) == SQLITE_DONE, db, "a put");
		sqlite3_reset(put);
	}
	sqlite3_finalize(put);
	check_sqlite(sqlite3_exec(db, "COMMIT; PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL) ==
			     SQLITE_OK,
		     db, "commit");
	sqlite3_close(db);
	return 0;
}

static void *open_sqlite(struct hit_set *set)
{
	struct lite *l = calloc(1, sizeof(*l));

	check(l != NULL, "memory");
	check_sqlite(sqlite3_open_v2(sqlite_path, &l->db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK, l->db,
		     "opening");
	check_sqlite(sqlite3_exec(l->db, "PRAGMA cache_size=-65536; PRAGMA mmap_size=4294967296", NULL, NULL,
				  NULL) == SQLITE_OK,
		     l->db, "its cache");
	check_sqlite(sqlite3_prepare_v2(l->db, "SELECT v FROM e WHERE k = ?", -1, &l->get, NULL) == SQLITE_OK,
		     l->db, "a get");
	l->out = malloc(set->size);
	check(l->out != NULL, "memory");
	return l;
}

static uint8_t get_sqlite(void *opened, const struct hit_set *set, unsigned k)
{
	struct lite *l = opened;
	uint8_t first;

	sqlite3_bind_text(l->get, 1, set->entries[k].name, 32, SQLITE_STATIC);
	check_sqlite(sqlite3_step(l->get) == SQLITE_ROW, l->db, "a get");
	first = take(set, k, sqlite3_column_blob(l->get, 0), (size_t)sqlite3_column_bytes(l->get, 0), l->out);
	sqlite3_reset(l->get);
	return first;
}

/* --- files -------------------------------------------------------------------------------- */

static char files_path[240];

static void file_path(char path[350], const struct hit_entry *entry)
{
	snprintf(path, 350, "%s/%.2s/%s", files_path, entry->name, entry->name);
}

static pid_t load_file(struct hit_set *set)
{
	char path[350];

	snprintf(files_path, sizeof(files_path), "%s/plain", set->dir);
	check(mkdir(files_path, 0700) == 0, files_path);
	for (unsigned k = 0; k < set->count; k++) {
		size_t len = hit_record(set, k);
		int fd;

		snprintf(path, sizeof(path), "%s/%.2s", files_path, set->entries[k].name);
		check(mkdir(path, 0700) == 0 || errno == EEXIST, path);
		file_path(path, &set->entries[k]);
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		check(fd >= 0 && write(fd, set->record, len) == (ssize_t)len && close(fd) == 0, path);
	}
	return 0;
}

static void unload_file(void)
{
	struct ntc_bench_dir dir = { .path = "" };

	snprintf(dir.path, sizeof(dir.path), "%s", files_path);
	ntc_bench_dir_remove(&dir);
}

static void *open_file(struct hit_set *set)
{
	uint8_t *buffer = malloc(set->record_max + 1);

	check(buffer != NULL, "memory");
	return buffer;
}

static size_t read_file(uint8_t *buffer, const struct hit_set *set, unsigned k)
{
	struct stat st;
	char path[350];
	int fd;

	file_path(path, &set->entries[k]);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	check(fd >= 0 && fstat(fd, &st) == 0 && (size_t)st.st_size <= set->record_max, path);
	check(read(fd, buffer, (size_t)st.st_size) == st.st_size && close(fd) == 0, path);
	return (size_t)st.st_size;
}

static uint8_t get_file(void *opened, const struct hit_set *set, unsigned k)
{
	return take(set, k, opened, read_file(opened, set, k), NULL);
}

static uint8_t get_file_xxh3(void *opened, const struct hit_set *set, unsigned k)
{
	size_t len = read_file(opened, set, k);
	XXH128_hash_t sum = XXH3_128bits(opened, len);

	__asm__ volatile("" : : "r"(sum.low64), "r"(sum.high64));
	return take(set, k, opened, len, NULL);
}

const struct hit_system hit_peers[] = {
	{ "hit-copy", "redis", 0, load_redis, unload_server, open_line, get_redis },
	{ "hit-copy", "memcached", 0, load_memcached, unload_server, open_line, get_memcached },
	{ "hit-copy", "sqlite", 0, load_sqlite, unload_sqlite, open_sqlite, get_sqlite },
	{ "hit-copy", "file", 0, load_file, unload_file, open_file, get_file },
	{ "hit-copy", "file-xxh3", 0, load_file, unload_file, open_file, get_file_xxh3 },
	{ "hit-copy", "lmdb", 0, load_lmdb, unload_lmdb, open_lmdb, get_lmdb_copied },
	{ "hit-inplace", "lmdb", 0, load_lmdb, unload_lmdb, open_lmdb, get_lmdb_in_place },
	{ 0 },
};
