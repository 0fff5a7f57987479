/*
 * group_positions.c
 *		Where members of consumer groups go on to read, and where the offset rows are.
 *
 * The model is at the top of groups.c.  Who calls holds the ownership lock of the
 * partition; a group or a partition that is not there has nothing to say and nothing to
 * keep.
 */
#include "postgres.h"

#include "storage/lwlock.h"

#include "base/waitpoint.h"
#include "shmem/group_entry.h"

static bool
is_handed_to(const SlGroupPart *part, const char *member)
{
	return part->handed_to && strcmp(part->handed_to->name, member) == 0;
}

void
sl_group_position(const SlGroupKey *key, int32 topic_id, int32 partition,
				  const char *member, SlGroupPosition *position)
{
	LWLock	   *lock = sl_group_lock(key);
	SlGroupPart *part;

	memset(position, 0, sizeof(SlGroupPosition));
	LWLockAcquire(lock, LW_SHARED);
	part = sl_group_find_part(sl_group_find(key), topic_id, partition);
	if (part)
	{
		position->row = part->row;
		if (is_handed_to(part, member))
		{
			position->has_position = true;
			position->epoch = part->epoch;
			position->position = part->position;
		}
	}
	LWLockRelease(lock);
}

void
sl_group_forget_position(const SlGroupKey *key, int32 topic_id,
						 int32 partition, const char *member, int32 epoch)
{
	LWLock	   *lock = sl_group_lock(key);
	SlGroupPart *part;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	part = sl_group_find_part(sl_group_find(key), topic_id, partition);
	if (part && is_handed_to(part, member) && part->epoch == epoch)
		part->handed_to = NULL;
	LWLockRelease(lock);
}

/*
 * Who commits has found itself in the row, or put itself there, under the ownership
 * lock; so a position of another member or epoch is of no use any more.
 */
static void
set_position(SlGroup *group, SlGroupPart *part, const SlGroupChange *change)
{
	SlGroupMember *member = NULL;

	if (SL_MUTANT("keep-entry") && change->is_confirmed && part->position != change->position)
		return;
	if (!change->is_confirmed)
		member = sl_group_find_member(group, change->member);
	if (member && member->is_fenced)
		member = NULL;
	part->handed_to = member;
	part->epoch = change->epoch;
	part->position = change->position;
}

void
sl_group_commit(const SlGroupKey *key, const SlGroupChange *change)
{
	LWLock	   *lock = sl_group_lock(key);
	SlGroup    *group;
	SlGroupPart *part;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	group = sl_group_find(key);
	part = sl_group_find_part(group, change->topic_id, change->partition);
	if (part)
	{
		if (ItemPointerIsValid(&change->row))
			part->row = change->row;
		if (change->reset)
		{
			part->generation = sl_group_new_generation();
			part->handed_to = NULL;
			sl_group_wake(part->reader);
		}
		if (change->moved)
			set_position(group, part, change);
	}
	LWLockRelease(lock);
}
