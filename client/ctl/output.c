/* Files that appear whole or not at all; see output.h. */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl.h"

static int failed(const struct ntc_ctl_output *output, int err)
{
	return ntc_ctl_say(NTC_CTL_FAILED, "writing %s failed: %s", output->path, strerror(err));
}

/*
 * Without a name until it is finished, so that nothing stays behind if this program is killed; where the file
 * system cannot do that, under a temporary name beside it.
 */
static int open_regular(struct ntc_ctl_output *output)
{
	mode_t mask = umask(0);
	char *slash, *dir;
	int fd;

	umask(mask);
	dir = strdup(output->path);
	if (!dir || asprintf(&output->temporary, "%s.XXXXXX", output->path) < 0)
		ntc_ctl_no_memory();
	slash = strrchr(dir, '/');
	if (slash)
		slash[slash == dir ? 1 : 0] = '\0';
	fd = open(slash ? dir : ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666 & ~mask);
	free(dir);
	output->unnamed = fd >= 0;
	if (fd >= 0)
		return fd;
	fd = mkostemp(output->temporary, O_CLOEXEC);
	if (fd >= 0 && fchmod(fd, 0666 & ~mask) == 0)
		return fd;
	if (fd >= 0) {
		int saved = errno;

		unlink(output->temporary);
		close(fd);
		errno = saved;
	}
	return -1;
}

int ntc_ctl_output_open(struct ntc_ctl_output *output, const char *path)
{
	struct stat st;
	int fd;

	*output = (struct ntc_ctl_output){ .path = path };
	output->standard = !path || strcmp(path, "-") == 0;
	if (output->standard) {
		output->path = "standard output";
		output->file = stdout;
		return NTC_CTL_OK;
	}
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	else
		fd = open_regular(output);
	if (fd < 0) {
		int saved = errno;

		free(output->temporary);
		output->temporary = NULL;
		return failed(output, saved);
	}
	output->file = fdopen(fd, "w");
	if (!output->file)
		ntc_ctl_no_memory();
	return NTC_CTL_OK;
}

/* Give a file without a name the temporary one, which nobody else has. */
static int give_name(struct ntc_ctl_output *output)
{
	char self[64];
	char *suffix = output->temporary + strlen(output->temporary) - 6;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fileno(output->file));
	for (unsigned i = 0; i < 1000000; i++) {
		snprintf(suffix, 7, "%06u", ((unsigned)getpid() * 1000u + i) % 1000000u);
		if (linkat(AT_FDCWD, self, AT_FDCWD, output->temporary, AT_SYMLINK_FOLLOW) == 0)
			return 0;
		if (errno != EEXIST)
			return -1;
	}
	return -1;
}

/* 0, or the errno of what failed. The file is closed. */
static int finish(struct ntc_ctl_output *output)
{
	int err = 0;

	if (fflush(output->file) != 0)
		err = errno;
	else if (output->temporary && fsync(fileno(output->file)) != 0)
		err = errno;
	else if (output->unnamed && give_name(output) != 0)
		err = errno;
	else if (output->unnamed)
		output->unnamed = false; /* it has its temporary name now */
	if (fclose(output->file) != 0 && !err)
		err = errno;
	if (!err && output->temporary && rename(output->temporary, output->path) != 0)
		err = errno;
	return err;
}

int ntc_ctl_output_close(struct ntc_ctl_output *output, bool good)
{
	int err = 0;

	if (!output->file)
		return NTC_CTL_OK;
	if (output->standard)
		return good ? ntc_ctl_flush() : NTC_CTL_OK;
	if (good)
		err = finish(output);
	else
		fclose(output->file); /* what it still wanted to write is not wanted */
	if ((err || !good) && output->temporary && !output->unnamed)
		unlink(output->temporary);
	free(output->temporary);
	output->temporary = NULL;
	output->file = NULL;
	return err ? failed(output, err) : NTC_CTL_OK;
}
