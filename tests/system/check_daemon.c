/*
 * The daemon as a process: starting beside another, stopping, its socket, activation and autostart; and what it does with
 * input that no client sends.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/support/harness.h"
#include "tests/support/making.h"
#include "tests/support/wire.h"

static uint64_t ping(const char *socket)
{
	struct ntc_client *client = making_client(socket);
	uint64_t pid = 0;

	if (ntc_ping(client, ntc_test_ms(5000), &pid) != NTC_OK)
		pid = 0;
	ntc_close(client);
	return pid;
}

static bool put_one(struct ntc_client *client, uint64_t number)
{
	struct ntc_key *key = making_key(number);
	struct ntc_entry *entry = making_entry(key, number);
	bool done = ntc_put(client, NULL, entry, 1) == NTC_OK;

	ntc_entry_unref(entry);
	ntc_key_free(key);
	return done;
}

static bool has_one(struct ntc_client *client, uint64_t number)
{
	struct ntc_key *key = making_key(number);
	struct ntc_entry *entry = NULL;
	bool found = ntc_lookup(client, key, 10000, &entry) == NTC_OK && making_right(entry, number);

	ntc_entry_unref(entry);
	ntc_key_free(key);
	return found;
}

/* --- start and stop ----------------------------------------------------------------------- */

/* Start a daemon that must refuse, and say `what`. */
static void refused(const char *dir, const char *socket, const char *what)
{
	struct ntc_test_output output;

	ntc_test_command(&output, ntc_test_ms(10000), "ntcached", "--dir", dir, "--socket", socket, NULL);
	ck_assert_msg(output.code > 0 && output.code < 128, "code %d: %s", output.code, output.err);
	ck_assert_msg(strstr(output.err, what), "it should say '%s': %s", what, output.err);
	ntc_test_output_clear(&output);
}

START_TEST(test_second_on_directory)
{
	struct ntc_test_daemon d = { 0 };
	char pid[32];

	ntc_test_start(&d, NULL);
	snprintf(pid, sizeof(pid), "%d", (int)d.pid);
	refused(d.cache, ntc_test_path("other.sock"), d.cache);
	refused(d.cache, ntc_test_path("other.sock"), pid);
	ck_assert_int_eq(access(ntc_test_path("other.sock"), F_OK), -1);
	ck_assert_uint_eq(ping(d.socket), (uint64_t)d.pid);
}
END_TEST

START_TEST(test_second_on_socket)
{
	struct ntc_test_daemon d = { 0 };

	ntc_test_start(&d, NULL);
	refused(ntc_test_path("other.cache"), d.socket, d.socket);
	ck_assert_uint_eq(ping(d.socket), (uint64_t)d.pid);
}
END_TEST

/* A socket on which somebody listens, whoever that is, and a file that is no socket are left alone. */
START_TEST(test_foreign_socket)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *file = ntc_test_path("file");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), plain;
	struct stat before, after;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", ntc_test_path("foreign.sock"));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	ck_assert_int_eq(stat(addr.sun_path, &before), 0);
	refused(ntc_test_path("a.cache"), addr.sun_path, addr.sun_path);
	ck_assert_int_eq(stat(addr.sun_path, &after), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
	close(fd);

	plain = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(plain, 0);
	ck_assert_int_eq(write(plain, "mine", 4), 4);
	close(plain);
	refused(ntc_test_path("b.cache"), file, file);
	ck_assert_int_eq(stat(file, &after), 0);
	ck_assert_int_eq(after.st_size, 4);
}
END_TEST

START_TEST(test_stale_socket)
{
	struct ntc_test_daemon d = { 0 };

	ntc_test_start(&d, NULL);
	ntc_test_kill(&d);
	ck_assert_int_eq(access(d.socket, F_OK), 0);
	ntc_test_start(&d, NULL);
	ck_assert_uint_eq(ping(d.socket), (uint64_t)d.pid);
}
END_TEST

/* What was visible when SIGTERM came is there after a restart, though nobody waited until it was durable. */
START_TEST(test_drain)
{
	struct ntc_test_daemon d = { 0 };
	struct ntc_client *client;

	ntc_test_start(&d, NULL);
	client = making_client(NULL);
	for (uint64_t i = 0; i < 300; i++)
		ck_assert(put_one(client, i));
	ntc_test_stop(&d);
	ck_assert_int_eq(access(d.socket, F_OK), -1);
	ntc_close(client);

	ntc_test_start(&d, NULL);
	client = making_client(NULL);
	ck_assert_int_eq(making_counter(client, "entries"), 300);
	for (uint64_t i = 0; i < 300; i++)
		ck_assert_msg(has_one(client, i), "entry %u is gone", (unsigned)i);
	ntc_close(client);
}
END_TEST

static bool is_gone(void *ctx)
{
	const struct ntc_test_daemon *d = ctx;

	return access(d->socket, F_OK) != 0;
}

START_TEST(test_idle_exit)
{
	struct ntc_test_daemon d = { 0 };
	struct ntc_client *client;

	/* Not while somebody is connected, though that one says nothing. */
	ntc_test_start(&d, "--idle-exit", "0.3", NULL);
	client = making_client(NULL);
	ck_assert_int_eq(ntc_ping(client, 5000, NULL), NTC_OK);
	ck_assert(!ntc_test_until(1000, is_gone, &d));
	ntc_close(client);
	ck_assert_int_eq(ntc_test_wait_exit(&d, ntc_test_ms(5000)), 0);
	ck_assert_int_eq(access(d.socket, F_OK), -1);
}
END_TEST

START_TEST(test_socket_mode)
{
	struct ntc_test_daemon d = { 0 };
	struct stat st;

	ntc_test_start(&d, NULL);
	ck_assert_int_eq(stat(d.socket, &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFSOCK | 0600);
	ck_assert_int_eq(stat(d.cache, &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFDIR | 0700);
	ntc_test_stop(&d);
	ntc_test_start(&d, "--socket-mode", "0660", NULL);
	ck_assert_int_eq(stat(d.socket, &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFSOCK | 0660);
}
END_TEST

/* --- bad input ---------------------------------------------------------------------------- */

START_TEST(test_garbage)
{
	struct ntc_test_daemon d = { 0 };
	uint64_t state = ntc_test_seed();
	uint8_t bytes[512];
	struct wire w;

	ntc_test_start(&d, NULL);
	for (unsigned round = 0; round < 200; round++) {
		size_t len = 1 + ntc_test_random(&state) % sizeof(bytes);

		for (size_t i = 0; i < len; i++)
			bytes[i] = (uint8_t)ntc_test_random(&state);
		ck_assert(wire_open(&w, d.socket));
		(void)wire_send(&w, bytes, len); /* it may have closed in between */
		shutdown(w.fd, SHUT_WR);
		ck_assert_msg(wire_closes(&w), "round %u", round);
		wire_close(&w);
	}
	/* Well-formed frames of every type with payloads of chance, behind a right HELLO. */
	for (unsigned round = 0; round < 400; round++) {
		size_t len = ntc_test_random(&state) % 128;

		for (size_t i = 0; i < len; i++)
			bytes[i] = (uint8_t)(ntc_test_random(&state) & ntc_test_random(&state));
		ck_assert(wire_hello(&w, d.socket));
		(void)wire_frame(&w, round % 256, round, ntc_view(bytes, len), -1); /* as above */
		shutdown(w.fd, SHUT_WR);
		ck_assert_msg(wire_closes(&w), "type %u", round % 256);
		wire_close(&w);
	}
	ck_assert_uint_eq(ping(d.socket), (uint64_t)d.pid);
}
END_TEST

START_TEST(test_frames)
{
	struct ntc_test_daemon d = { 0 };
	struct ntc_msg_hello hello = { .version = 999, .name = ntc_view("future", 6) };
	uint8_t header[NTC_FRAME_HEADER], payload[64];
	struct ntc_writer writer = ntc_writer(payload, sizeof(payload));
	struct ntc_frame frame;
	struct wire w;

	ntc_test_start(&d, NULL);

	/* A length past the limit ends the connection before anything of it has come. */
	ck_assert(wire_hello(&w, d.socket));
	ntc_frame_write_header(header, NTC_MSG_PUT, 0, 2, UINT32_MAX);
	ck_assert(wire_send(&w, header, sizeof(header)));
	ck_assert(wire_closes(&w));
	wire_close(&w);

	/* Half a frame, and the end. */
	ck_assert(wire_hello(&w, d.socket));
	ntc_frame_write_header(header, NTC_MSG_PUT, 0, 2, 100000);
	ck_assert(wire_send(&w, header, sizeof(header)));
	ck_assert(wire_send(&w, payload, sizeof(payload)));
	wire_close(&w);

	/* A frame in single bytes is a frame. */
	ck_assert(wire_hello(&w, d.socket));
	ntc_frame_write_header(header, NTC_MSG_PING, 0, 77, 0);
	for (size_t i = 0; i < sizeof(header); i++)
		ck_assert(wire_send(&w, header + i, 1));
	ck_assert_int_eq(wire_answer(&w, &frame), 1);
	ck_assert_uint_eq(frame.type, NTC_MSG_DONE);
	ck_assert_uint_eq(frame.id, 77);

	/* An unknown request is answered, and the connection goes on. */
	ck_assert(wire_frame(&w, 0x7f, 78, ntc_view(NULL, 0), -1));
	ck_assert_int_eq(wire_error(&w), NTC_ST_UNKNOWN_TYPE);
	ck_assert(wire_frame(&w, NTC_MSG_PING, 79, ntc_view(NULL, 0), -1));
	ck_assert_int_eq(wire_answer(&w, &frame), 1);
	ck_assert_uint_eq(frame.id, 79);
	wire_close(&w);

	/* A version from the future is told so, then the connection ends. */
	ck_assert(wire_open(&w, d.socket));
	ck_assert(wire_greeting(&w));
	ntc_msg_hello_write(&writer, &hello);
	ck_assert(wire_frame(&w, NTC_MSG_HELLO, 1, ntc_view(payload, writer.len), -1));
	ck_assert_int_eq(wire_error(&w), NTC_ST_BAD_VERSION);
	ck_assert(wire_closes(&w));
	wire_close(&w);
	ck_assert_uint_eq(ping(d.socket), (uint64_t)d.pid);
}
END_TEST

/* Put a body of which `fd` is said to have `size` bytes; the answer's status (0 = stored). */
static int put_descriptor(const char *socket, int fd, uint64_t size)
{
	struct ntc_msg_put put = { .cost_ns = 1, .size = size };
	uint8_t payload[64];
	struct ntc_writer writer = ntc_writer(payload, sizeof(payload));
	struct ntc_frame frame;
	struct wire w;
	int status = -2;

	ntc_msg_put_write(&writer, &put);
	if (wire_hello(&w, socket) && wire_frame(&w, NTC_MSG_PUT, 2, ntc_view(payload, writer.len), fd) &&
	    wire_answer(&w, &frame) == 1) {
		struct ntc_msg_error error;

		if (frame.type == NTC_MSG_STORED)
			status = 0;
		else if (frame.type == NTC_MSG_ERROR && ntc_msg_error_read(frame.payload, &error))
			status = (int)error.status;
	}
	wire_close(&w);
	close(fd);
	return status;
}

static int memfd_with(const void *bytes, size_t len, int seals)
{
	int fd = memfd_create("body", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
	if (seals)
		ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

START_TEST(test_descriptors)
{
	const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
	struct ntc_test_daemon d = { 0 };
	struct ntc_key *key = making_key(1);
	struct ntc_entry *entry = making_entry(key, 1);
	struct ntc_client *client;
	size_t len;
	const void *body = ntc_entry_body(entry, &len);
	int pipe_fds[2], file;

	ntc_test_start(&d, NULL);
	/* A writer that never writes, a device, a directory, a file, memfds that could still change. */
	ck_assert_int_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
	ck_assert_int_eq(put_descriptor(d.socket, pipe_fds[0], len), NTC_ST_BAD_DESCRIPTOR);
	close(pipe_fds[1]);
	ck_assert_int_eq(put_descriptor(d.socket, open("/dev/zero", O_RDONLY | O_CLOEXEC), len), NTC_ST_BAD_DESCRIPTOR);
	ck_assert_int_eq(put_descriptor(d.socket, open(ntc_test_dir(), O_RDONLY | O_CLOEXEC), len),
			 NTC_ST_BAD_DESCRIPTOR);
	file = open(ntc_test_path("body"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(write(file, body, len), (ssize_t)len);
	ck_assert_int_eq(put_descriptor(d.socket, file, len), NTC_ST_BAD_DESCRIPTOR);
	ck_assert_int_eq(put_descriptor(d.socket, memfd_with(body, len, 0), len), NTC_ST_BAD_DESCRIPTOR);
	ck_assert_int_eq(put_descriptor(d.socket, memfd_with(body, len, F_SEAL_WRITE), len), NTC_ST_BAD_DESCRIPTOR);
	ck_assert_int_eq(put_descriptor(d.socket, memfd_with(body, len, F_SEAL_SHRINK | F_SEAL_GROW), len),
			 NTC_ST_BAD_DESCRIPTOR);
	/* Of another size than was said. */
	ck_assert_int_eq(put_descriptor(d.socket, memfd_with(body, len, seals), len - 1), NTC_ST_BAD_DESCRIPTOR);
	ck_assert_int_eq(put_descriptor(d.socket, memfd_with(body, len, seals), len + 1), NTC_ST_BAD_DESCRIPTOR);
	ck_assert_int_eq(put_descriptor(d.socket, memfd_with(body, len, seals), UINT64_MAX), NTC_ST_TOO_LARGE);
	ck_assert_int_eq(put_descriptor(d.socket, memfd_with(body, 100, seals), 100), NTC_ST_BAD_IMAGE);
	client = making_client(d.socket);
	ck_assert(!has_one(client, 1));
	ck_assert_int_eq(put_descriptor(d.socket, memfd_with(body, len, seals), len), 0);
	ck_assert(has_one(client, 1));
	ntc_close(client);
	ntc_entry_unref(entry);
	ntc_key_free(key);
}
END_TEST

/* Descriptors that belong to no frame are not collected without end. */
START_TEST(test_unasked_descriptors)
{
	struct ntc_test_daemon d = { 0 };
	uint8_t header[NTC_FRAME_HEADER];
	struct iovec iov = { header, sizeof(header) };
	struct wire w;
	bool open_still = true;

	ntc_test_start(&d, NULL);
	ck_assert(wire_hello(&w, d.socket));
	ntc_frame_write_header(header, NTC_MSG_PING, 0, 5, 0);
	for (unsigned i = 0; i < 100 && open_still; i++)
		open_still = ntc_fd_send(w.fd, &iov, 1, (int[]){ 0 }, 1) == (ssize_t)sizeof(header);
	shutdown(w.fd, SHUT_WR);
	ck_assert(wire_closes(&w));
	wire_close(&w);
	ck_assert_uint_eq(ping(d.socket), (uint64_t)d.pid);
}
END_TEST

static unsigned open_files(pid_t pid)
{
	char path[64];
	unsigned count = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

struct files {
	pid_t pid;
	unsigned at_most;
};

static bool files_closed(void *ctx)
{
	const struct files *files = ctx;

	return open_files(files->pid) <= files->at_most;
}

static void allow_files(rlim_t count)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_msg(limit.rlim_max >= count, "this test needs %llu descriptors", (unsigned long long)count);
	limit.rlim_cur = limit.rlim_cur < count ? count : limit.rlim_cur;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

START_TEST(test_many_connections)
{
	enum { MANY = 1000 };
	static struct wire wires[MANY];
	struct ntc_test_daemon d = { 0 };
	struct ntc_frame frame;
	struct files files;

	allow_files(4096);
	ntc_test_start(&d, NULL);
	ck_assert_uint_eq(ping(d.socket), (uint64_t)d.pid);
	files = (struct files){ d.pid, open_files(d.pid) + 2 };
	for (unsigned i = 0; i < MANY; i++)
		ck_assert_msg(wire_hello(&wires[i], d.socket), "connection %u", i);
	for (unsigned i = 0; i < MANY; i++)
		ck_assert(wire_frame(&wires[i], NTC_MSG_PING, i, ntc_view(NULL, 0), -1));
	for (unsigned i = 0; i < MANY; i++) {
		ck_assert_int_eq(wire_answer(&wires[i], &frame), 1);
		ck_assert_uint_eq(frame.id, i);
	}
	ck_assert_uint_eq(ping(d.socket), (uint64_t)d.pid);
	for (unsigned i = 0; i < MANY; i++)
		wire_close(&wires[i]);
	ck_assert(ntc_test_until(ntc_test_ms(5000), files_closed, &files));
	ck_assert_uint_eq(ping(d.socket), (uint64_t)d.pid);
}
END_TEST

struct again {
	const char *socket;
	uint64_t pid;
};

static bool answers(void *ctx)
{
	const struct again *again = ctx;

	return ping(again->socket) == again->pid;
}

START_TEST(test_connection_limit)
{
	struct ntc_test_daemon d = { 0 };
	struct wire wires[4], refused_one;
	struct again again;

	ntc_test_start(&d, "--max-connections", "4", NULL);
	for (unsigned i = 0; i < 4; i++)
		ck_assert(wire_hello(&wires[i], d.socket));
	/* The fifth is told or closed, at once: not left to wait. */
	ck_assert(wire_open(&refused_one, d.socket));
	ck_assert(wire_closes(&refused_one));
	wire_close(&refused_one);
	wire_close(&wires[0]);
	again = (struct again){ d.socket, (uint64_t)d.pid };
	ck_assert(ntc_test_until(ntc_test_ms(5000), answers, &again));
	for (unsigned i = 1; i < 4; i++)
		wire_close(&wires[i]);
}
END_TEST

/* --- activation --------------------------------------------------------------------------- */

/* As systemd does it: a listening socket as descriptor 3, made before the daemon. */
START_TEST(test_socket_activation)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), code;
	pid_t parent = getpid(), pid;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", ntc_test_path("activated.sock"));
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	ck_assert_int_eq(listen(fd, 64), 0);
	pid = fork();
	if (pid == 0) {
		const char *program = ntc_test_built("bin/ntcached");
		char number[16];
		int log = open(ntc_test_path("activated.log"), O_WRONLY | O_CREAT | O_APPEND, 0600);

		snprintf(number, sizeof(number), "%d", (int)getpid());
		if (getppid() != parent || setenv("LISTEN_PID", number, 1) || setenv("LISTEN_FDS", "1", 1) ||
		    dup2(log, 1) < 0 || dup2(log, 2) < 0)
			_exit(126);
		if (fd == 3 ? fcntl(3, F_SETFD, 0) < 0 : dup2(fd, 3) < 0)
			_exit(126);
		execl(program, program, "--dir", ntc_test_path("activated.cache"), (char *)NULL);
		_exit(127);
	}
	close(fd);
	ck_assert_int_gt(pid, 0);
	ck_assert_uint_eq(ping(addr.sun_path), (uint64_t)pid);
	kill(pid, SIGTERM);
	code = ntc_test_reap(pid, ntc_test_ms(10000));
	ck_assert_int_eq(code, 0);
	/* It is not the daemon's to remove. */
	ck_assert_int_eq(access(addr.sun_path, F_OK), 0);
}
END_TEST

#define STARTERS 50

struct starters {
	uint64_t pids[STARTERS];
	uint32_t started;               /* how many say that they started one */
};

static void count_starts(void *ctx, const char *line)
{
	struct starters *starters = ctx;

	if (strncmp(line, "ntcache: started ", 17) == 0)
		__atomic_add_fetch(&starters->started, 1, __ATOMIC_RELAXED);
}

static int autostart_worker(void *ctx, unsigned i)
{
	struct starters *starters = ctx;
	struct ntc_options options = NTC_OPTIONS_INIT;
	struct ntc_client *client = NULL;

	options.flags = NTC_AUTOSTART;
	options.log = count_starts;
	options.log_ctx = starters;
	NTC_CHILD_CHECK(ntc_open(&options, &client) == NTC_OK);
	NTC_CHILD_CHECK(ntc_ping(client, ntc_test_ms(10000), &starters->pids[i]) == NTC_OK);
	NTC_CHILD_CHECK(put_one(client, i));
	ntc_close(client);
	return 0;
}

/* Does process `pid` have the same pipe open as `fd` of ours? */
static bool has_open(pid_t pid, int fd)
{
	char path[64], theirs[64], ours[64];
	ssize_t len, ours_len;
	bool found = false;
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ours_len = readlink(path, ours, sizeof(ours));
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	ck_assert_ptr_nonnull(dir);
	while ((e = readdir(dir))) {
		len = readlinkat(dirfd(dir), e->d_name, theirs, sizeof(theirs));
		found |= len > 0 && len == ours_len && memcmp(theirs, ours, (size_t)len) == 0;
	}
	closedir(dir);
	return found;
}

static bool process_gone(void *ctx)
{
	return kill(*(pid_t *)ctx, 0) != 0 && errno == ESRCH;
}

START_TEST(test_autostart)
{
	struct starters *starters = ntc_test_shared(sizeof(*starters));
	const char *socket = ntc_test_path("run/ntcached/ntcached.sock");
	int leak[2];
	struct stat st;
	pid_t pid;

	unsetenv("NTCACHE_SOCKET");
	unsetenv("NTCACHE_DIR");
	ck_assert_int_eq(pipe(leak), 0); /* inheritable on purpose */
	ntc_test_children(STARTERS, autostart_worker, starters, ntc_test_ms(30000), NULL);
	for (unsigned i = 1; i < STARTERS; i++)
		ck_assert_uint_eq(starters->pids[i], starters->pids[0]);
	ck_assert_uint_eq(starters->started, 1);

	pid = (pid_t)starters->pids[0];
	ck_assert_uint_eq(ping(NULL), (uint64_t)pid);
	ck_assert_msg(getsid(pid) > 0 && getsid(pid) != getsid(0), "the daemon is in our session");
	ck_assert_msg(!has_open(pid, leak[1]), "the daemon has inherited a descriptor");
	ck_assert_int_eq(stat(socket, &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFSOCK | 0600);
	ck_assert_int_eq(stat(ntc_test_path("run/ntcached"), &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFDIR | 0700);
	ck_assert_int_eq(access(ntc_test_path("home/.cache/ntcached"), F_OK), 0);
	kill(pid, SIGTERM);
	ck_assert(ntc_test_until(ntc_test_ms(10000), process_gone, &pid));
	close(leak[0]);
	close(leak[1]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("daemon");
	TCase *tc = tcase_create("start and stop");

	tcase_add_checked_fixture(tc, ntc_test_setup, ntc_test_teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_second_on_directory);
	tcase_add_test(tc, test_second_on_socket);
	tcase_add_test(tc, test_foreign_socket);
	tcase_add_test(tc, test_stale_socket);
	tcase_add_test(tc, test_drain);
	tcase_add_test(tc, test_idle_exit);
	tcase_add_test(tc, test_socket_mode);
	suite_add_tcase(suite, tc);

	tc = tcase_create("bad input");
	tcase_add_checked_fixture(tc, ntc_test_setup, ntc_test_teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_garbage);
	tcase_add_test(tc, test_frames);
	tcase_add_test(tc, test_descriptors);
	tcase_add_test(tc, test_unasked_descriptors);
	tcase_add_test(tc, test_many_connections);
	tcase_add_test(tc, test_connection_limit);
	suite_add_tcase(suite, tc);

	tc = tcase_create("activation");
	tcase_add_checked_fixture(tc, ntc_test_setup, ntc_test_teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_socket_activation);
	tcase_add_test(tc, test_autostart);
	suite_add_tcase(suite, tc);
	return ntc_test_run(suite);
}
