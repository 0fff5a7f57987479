/*
 * assignor.h
 *		Which member of a group is to read which partition.
 */
#ifndef SL_ASSIGNOR_H
#define SL_ASSIGNOR_H

#include "shmem/groups.h"

/*
 * Kafka's range and roundrobin, exactly, and a sticky one that moves no more than
 * needed.  Takes no memory and cannot raise: it is called under a lock.
 */
extern void sl_assign(SlAssignorKind kind, SlAssignment *assignment);

/* The kind by its name; raises for one that there is not. */
extern SlAssignorKind sl_assignor_kind(const char *name);
extern const char *sl_assignor_name(SlAssignorKind kind);

#endif							/* SL_ASSIGNOR_H */
