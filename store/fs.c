/* File systems by their type; see fs.h. The numbers are the kernel's (linux/magic.h) or those projects' own. */
#include "store/fs.h"

#include <stddef.h>

enum {
	NETWORK = 1,
	/*
	 * Its own superblock keeps the errors of its files' writing, so syncfs has them; not so where another file
	 * system is below (overlayfs).
	 */
	TELLS_ALL = 2,
};

static const struct fs {
	unsigned long type;
	const char *name;
	unsigned is;
} list[] = {
	{ 0xef53, "ext4", TELLS_ALL }, /* ext2 and ext3 too */
	{ 0x58465342, "xfs", TELLS_ALL },
	{ 0x9123683e, "btrfs", TELLS_ALL },
	{ 0xf2f52010, "f2fs", TELLS_ALL },
	{ 0xca451a4e, "bcachefs", 0 },
	{ 0x2fc12fc1, "zfs", 0 },
	{ 0x01021994, "tmpfs", 0 },
	{ 0x858458f6, "ramfs", 0 },
	{ 0x794c7630, "overlayfs", 0 },
	{ 0x4d44, "fat", 0 },
	{ 0x2011bab0, "exfat", 0 },
	{ 0x6969, "nfs", NETWORK },
	{ 0x517b, "smb", NETWORK },
	{ 0xff534d42, "cifs", NETWORK },
	{ 0xfe534d42, "smb2", NETWORK },
	{ 0x65735546, "fuse", NETWORK },
	{ 0x01021997, "9p", NETWORK },
	{ 0x0bd00bd0, "lustre", NETWORK },
	{ 0x47504653, "gpfs", NETWORK },
	{ 0x00c36400, "ceph", NETWORK },
	{ 0x5346414f, "afs", NETWORK },
	{ 0x6b414653, "afs", NETWORK },
	{ 0x19830326, "beegfs", NETWORK },
	{ 0x20030528, "orangefs", NETWORK },
	{ 0xaad7aaea, "panfs", NETWORK },
	{ 0x73757245, "coda", NETWORK },
	{ 0x7461636f, "ocfs2", NETWORK },
	{ 0x01161970, "gfs2", NETWORK },
	{ 0xbeefdead, "snfs", NETWORK },
	{ 0x786f4256, "vboxsf", NETWORK },
	{ 0xbacbacbc, "vmhgfs", NETWORK },
	{ 0x7c7c6673, "prl_fs", NETWORK },
	{ 0x564c, "ncpfs", NETWORK },
};

static const struct fs *find(unsigned long type)
{
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (list[i].type == type)
			return &list[i];
	return NULL;
}

const char *ntc_fs_name(unsigned long type)
{
	const struct fs *fs = find(type);

	return fs ? fs->name : NULL;
}

bool ntc_fs_is_network(unsigned long type)
{
	const struct fs *fs = find(type);

	return fs && fs->is & NETWORK;
}

bool ntc_fs_tells_all(unsigned long type)
{
	const struct fs *fs = find(type);

	return fs && fs->is & TELLS_ALL;
}
