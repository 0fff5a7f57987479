/*
 * check.h
 *		Proving that a topic is in order.
 */
#ifndef SL_CHECK_H
#define SL_CHECK_H

#include "utils/tuplestore.h"

#include "catalog/topic.h"

/*
 * Read all of a topic and put a row (partition, segment, base_offset, records,
 * problem) into store for every segment, and one for every problem found in it.
 * Raises nothing about the topic itself but what reading pages raises.
 */
extern void sl_check_topic(SlTopic *topic, TupleDesc desc,
						   Tuplestorestate *store);

#endif							/* SL_CHECK_H */
