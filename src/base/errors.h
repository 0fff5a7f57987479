/*
 * errors.h
 *		SQLSTATEs of our own.
 *
 * Class SL.  An application that wants to know which of Kafka's errors it met
 * finds it beside each.
 */
#ifndef SL_ERRORS_H
#define SL_ERRORS_H

#include "utils/elog.h"

/* OFFSET_OUT_OF_RANGE: a fetch below the log start or above the log end */
#define ERRCODE_SL_OFFSET_OUT_OF_RANGE	MAKE_SQLSTATE('S','L','0','0','1')
/* MESSAGE_TOO_LARGE: a record larger than the topic's max.message.bytes */
#define ERRCODE_SL_MESSAGE_TOO_LARGE	MAKE_SQLSTATE('S','L','0','0','2')
/* INVALID_TIMESTAMP: a record's time outside of the topic's bounds */
#define ERRCODE_SL_INVALID_TIMESTAMP	MAKE_SQLSTATE('S','L','0','0','3')
/* INVALID_TOPIC_EXCEPTION: a name that no topic may have, or that collides */
#define ERRCODE_SL_INVALID_TOPIC		MAKE_SQLSTATE('S','L','0','0','4')
/* INVALID_PARTITIONS: a number of partitions that is out of the question */
#define ERRCODE_SL_INVALID_PARTITIONS	MAKE_SQLSTATE('S','L','0','0','5')
/* INVALID_CONFIG: an unknown config, or a value that it does not take */
#define ERRCODE_SL_INVALID_CONFIG		MAKE_SQLSTATE('S','L','0','0','6')
/* UNKNOWN_TOPIC_OR_PARTITION */
#define ERRCODE_SL_UNKNOWN_PARTITION	MAKE_SQLSTATE('S','L','0','0','7')
/* INVALID_REPLICATION_FACTOR */
#define ERRCODE_SL_INVALID_REPLICATION_FACTOR	MAKE_SQLSTATE('S','L','0','0','8')
/* UNKNOWN_MEMBER_ID: a commit by who is no member and was handed nothing */
#define ERRCODE_SL_UNKNOWN_MEMBER		MAKE_SQLSTATE('S','L','0','0','9')
/* FENCED_INSTANCE_ID: another run has taken over the instance_id */
#define ERRCODE_SL_FENCED_INSTANCE		MAKE_SQLSTATE('S','L','0','1','0')
/* ILLEGAL_GENERATION: the partition has been given to another member since */
#define ERRCODE_SL_STALE_EPOCH			MAKE_SQLSTATE('S','L','0','1','1')
/* INVALID_GROUP_ID */
#define ERRCODE_SL_INVALID_GROUP		MAKE_SQLSTATE('S','L','0','1','2')
/* GROUP_ID_NOT_FOUND */
#define ERRCODE_SL_UNKNOWN_GROUP		MAKE_SQLSTATE('S','L','0','1','3')
/* NON_EMPTY_GROUP, GROUP_SUBSCRIBED_TO_TOPIC: refused while members are active */
#define ERRCODE_SL_NON_EMPTY_GROUP		MAKE_SQLSTATE('S','L','0','1','4')
/* INCONSISTENT_GROUP_PROTOCOL: other members use another assignor */
#define ERRCODE_SL_INCONSISTENT_ASSIGNOR	MAKE_SQLSTATE('S','L','0','1','5')
/* OFFSET_METADATA_TOO_LARGE */
#define ERRCODE_SL_METADATA_TOO_LARGE	MAKE_SQLSTATE('S','L','0','1','6')

#endif							/* SL_ERRORS_H */
