/*
 * parts.c
 *		The table of the parts of our shared memory.
 *
 * Each part owns its structs and says how large they are and how to set them
 * up; this file asks for the sum and calls each at startup, in this order.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "shmem/claim.h"
#include "shmem/groups.h"
#include "shmem/notices.h"
#include "shmem/parts.h"
#include "shmem/partition.h"
#include "shmem/waiters.h"
#include "shmem/workers.h"

typedef struct SlShmemPart
{
	void		(*define_gucs) (void);
	Size		(*shmem_size) (void);
	void		(*shmem_init) (void);
} SlShmemPart;

static const SlShmemPart parts[] = {
	{sl_partition_define_gucs, sl_partition_shmem_size, sl_partition_shmem_init},
	{sl_claim_define_gucs, sl_claim_shmem_size, sl_claim_shmem_init},
	{sl_groups_define_gucs, sl_groups_shmem_size, sl_groups_shmem_init},
	{NULL, sl_notices_shmem_size, sl_notices_shmem_init},
	{NULL, sl_waiters_shmem_size, sl_waiters_shmem_init},
	{sl_workers_define_gucs, sl_workers_shmem_size, sl_workers_shmem_init},
};

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

static void
shmem_request(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();

	for (int i = 0; i < lengthof(parts); i++)
		RequestAddinShmemSpace(parts[i].shmem_size());
}

static void
shmem_startup(void)
{
	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	for (int i = 0; i < lengthof(parts); i++)
		parts[i].shmem_init();
	LWLockRelease(AddinShmemInitLock);
}

void
sl_parts_init(void)
{
	for (int i = 0; i < lengthof(parts); i++)
		if (parts[i].define_gucs)
			parts[i].define_gucs();

	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = shmem_request;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = shmem_startup;
}
