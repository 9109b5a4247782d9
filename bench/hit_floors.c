/* What the machine allows; see hit.h: memory that everybody has, and a socket with nothing behind it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/hit.h"

static void check(int ok, const char *what)
{
	if (!ok)
		ntc_bench_die("%s: %s", what, strerror(errno));
}

/* --- shared memory ------------------------------------------------------------------------ */

static uint8_t *memory;
static size_t memory_size, stride;
static int memory_fd = -1;

/* The records, one behind the other in a memfd; nothing is looked up. */
static pid_t load_memory(struct hit_set *set)
{
	stride = (set->record_max + 63) / 64 * 64;
	memory_size = stride * set->count;
	memory_fd = memfd_create("floor", MFD_CLOEXEC);
	check(memory_fd >= 0 && ftruncate(memory_fd, (off_t)memory_size) == 0, "memory");
	memory = mmap(NULL, memory_size, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
	check(memory != MAP_FAILED, "memory");
	for (unsigned k = 0; k < set->count; k++) {
		size_t len = hit_record(set, k);

		memcpy(memory + k * stride, set->record, len);
	}
	return 0;
}

static void unload_memory(void)
{
	munmap(memory, memory_size);
	close(memory_fd);
}

/* A mapping of its own: what the parent has touched is not touched here. */
struct mapped {
	const uint8_t *at;
	uint8_t *out;
};

static struct mapped *map_memory(struct hit_set *set, int fd)
{
	struct mapped *mapped = malloc(sizeof(*mapped) + set->record_max);

	check(mapped != NULL, "memory");
	mapped->out = (uint8_t *)(mapped + 1);
	mapped->at = mmap(NULL, memory_size, PROT_READ, MAP_SHARED, fd, 0);
	check(mapped->at != MAP_FAILED, "memory");
	return mapped;
}

static void *open_memory(struct hit_set *set)
{
	return map_memory(set, memory_fd);
}

static const uint8_t *record_at(const struct mapped *mapped, const struct hit_set *set, unsigned k)
{
	const uint8_t *record = mapped->at + k * stride;

	if (memcmp(record, set->entries[k].key_bytes, set->entries[k].key_len) != 0)
		ntc_bench_die("entry %u is not there", k);
	return record + set->entries[k].key_len;
}

static uint8_t get_memory(void *opened, const struct hit_set *set, unsigned k)
{
	struct mapped *mapped = opened;

	memcpy(mapped->out, record_at(mapped, set, k), set->size);
	__asm__ volatile("" : : "r"(mapped->out) : "memory");
	return mapped->out[0];
}

static uint8_t look_memory(void *opened, const struct hit_set *set, unsigned k)
{
	const volatile uint8_t *value = record_at(opened, set, k);
	uint8_t all = 0;

	for (size_t at = HIT_STEP; at < set->size; at += HIT_STEP)
		all ^= value[at];
	(void)all;
	return value[0];
}

/* --- a socket ----------------------------------------------------------------------------- */

enum { ASK = 64, CLIENTS_MAX = 64 };

static char path[108]; /* what a socket's name may have */
static pid_t server;
static int greets;

static void send_all(int fd, const uint8_t *bytes, size_t len)
{
	while (len) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

		if (n <= 0)
			return; /* it has gone */
		bytes += n;
		len -= (size_t)n;
	}
}

/* Who connects is sent the memory, twice, with as many bytes as a greeting has; nobody reads them but who attaches. */
static void greet(int fd)
{
	uint8_t greeting[96] = { 0 };
	struct iovec iov = { greeting, sizeof(greeting) };
	union {
		struct cmsghdr header;
		uint8_t room[CMSG_SPACE(2 * sizeof(int))];
	} control = { { 0 } };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control.room,
				  .msg_controllen = sizeof(control.room) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	int fds[2] = { memory_fd, memory_fd };

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	if (sendmsg(fd, &message, MSG_NOSIGNAL) < 0)
		close(fd);
}

/* One loop for all: a question of 64 bytes, whose first four are the number, is answered with that record. */
static void serve(int listener, const struct hit_set *set)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = listener }, events[CLIENTS_MAX];
	int epoll = epoll_create1(0);

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	check(epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) == 0, "epoll");
	for (;;) {
		int n = epoll_wait(epoll, events, CLIENTS_MAX, -1);

		for (int i = 0; i < n; i++) {
			uint8_t ask[ASK];
			uint32_t k;

			if (events[i].data.fd == listener) {
				event.data.fd = accept(listener, NULL, NULL);
				if (event.data.fd >= 0 && greets)
					greet(event.data.fd);
				if (event.data.fd >= 0)
					check(epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event) == 0,
					      "epoll");
			} else if (recv(events[i].data.fd, ask, ASK, 0) != ASK) {
				close(events[i].data.fd);
			} else {
				memcpy(&k, ask, sizeof(k));
				send_all(events[i].data.fd, memory + k * stride,
					 set->entries[k].key_len + set->size);
			}
		}
	}
}

static pid_t load_socket(struct hit_set *set)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);

	load_memory(set);
	if (snprintf(path, sizeof(path), "%s/floor.sock", set->dir) >= (int)sizeof(path))
		ntc_bench_die("%s is too long for a socket", set->dir);
	memcpy(address.sun_path, path, sizeof(path));
	check(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(listener, 64) == 0,
	      path);
	fflush(NULL);
	server = fork();
	if (server == 0) {
		serve(listener, set);
		_exit(1);
	}
	check(server > 0, "fork");
	close(listener);
	return server;
}

static void unload_socket(void)
{
	kill(server, SIGKILL);
	while (waitpid(server, NULL, 0) < 0 && errno == EINTR)
		;
	unlink(path);
	unload_memory();
}

struct asker {
	int fd;
	uint8_t *in;
};

static void *open_socket(struct hit_set *set)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct asker *asker = malloc(sizeof(*asker));

	check(asker != NULL, "memory");
	asker->in = malloc(set->record_max);
	asker->fd = socket(AF_UNIX, SOCK_STREAM, 0);
	memcpy(address.sun_path, path, sizeof(path));
	check(asker->in && connect(asker->fd, (struct sockaddr *)&address, sizeof(address)) == 0, path);
	return asker;
}

static uint8_t get_socket(void *opened, const struct hit_set *set, unsigned k)
{
	const struct hit_entry *entry = &set->entries[k];
	size_t want = entry->key_len + set->size, have = 0;
	struct asker *asker = opened;
	uint8_t ask[ASK] = { 0 };
	uint32_t number = k;

	memcpy(ask, &number, sizeof(number));
	send_all(asker->fd, ask, ASK);
	while (have < want) {
		ssize_t n = recv(asker->fd, asker->in + have, want - have, 0);

		check(n > 0, "receiving");
		have += (size_t)n;
	}
	if (memcmp(asker->in, entry->key_bytes, entry->key_len) != 0)
		ntc_bench_die("entry %u is not there", k);
	return asker->in[entry->key_len];
}

static pid_t load_greeter(struct hit_set *set)
{
	pid_t pid;

	greets = 1;
	pid = load_socket(set);
	greets = 0;
	return pid;
}

static void *attach(struct hit_set *set)
{
	struct asker *asker = open_socket(set);
	uint8_t greeting[96], room[CMSG_SPACE(2 * sizeof(int))];
	struct iovec iov = { greeting, sizeof(greeting) };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)
	};
	int fds[2];

	check(recvmsg(asker->fd, &message, MSG_CMSG_CLOEXEC) == sizeof(greeting), "the greeting");
	memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fds));
	return map_memory(set, fds[1]);
}

const struct hit_system hit_floor_attach = { "attach",      "floor-socket", 0,         load_greeter,
					     unload_socket, attach,         get_memory };

const struct hit_system hit_floors[] = {
	{ "hit-copy", "floor-shm", 0, load_memory, unload_memory, open_memory, get_memory },
	{ "hit-inplace", "floor-shm", 0, load_memory, unload_memory, open_memory, look_memory },
	{ "hit-socket", "floor-socket", 0, load_socket, unload_socket, open_socket, get_socket },
	{ 0 },
};
