/*
 * assignment.h
 *		What an assignor is asked, and answers.
 */
#ifndef SL_ASSIGNMENT_H
#define SL_ASSIGNMENT_H

typedef enum SlAssignorKind
{
	SL_ASSIGNOR_ANY = -1,		/* whichever the group has */
	SL_ASSIGNOR_STICKY,
	SL_ASSIGNOR_RANGE,
	SL_ASSIGNOR_ROUNDROBIN
} SlAssignorKind;

/*
 * The partitions of some topics, and the members that want them, for an assignor.
 * Topics are in the order of their names, members in the assignors' order (those with
 * an instance_id first, by it, then by name; bytewise).
 */
typedef struct SlAssignment
{
	int			nmembers;
	int			ntopics;
	int			npartitions;	/* of all topics */
	const int  *first;			/* per topic: index of its partition 0; the
								 * last of ntopics + 1 is npartitions */
	const bool *subscribed;		/* [topic * nmembers + member] */
	const int  *owner;			/* per partition: the member that has it now,
								 * or -1 */
	const bool *left_out;		/* per partition: to be given to nobody;
								 * sticky alone looks at this */
	int		   *result;			/* per partition: a member, or -1 */
	int		   *scratch;		/* room for 2 * nmembers + npartitions */
} SlAssignment;

/* Fill result; called under a lock: takes no memory and cannot raise. */
typedef void (*SlAssign) (SlAssignorKind kind, SlAssignment *assignment);

#endif							/* SL_ASSIGNMENT_H */
