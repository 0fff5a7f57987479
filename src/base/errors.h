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

#endif							/* SL_ERRORS_H */
