/*
 * check.h
 *		Proving that a topic is in order.
 */
#ifndef SL_CHECK_H
#define SL_CHECK_H

#include "nodes/pg_list.h"
#include "utils/tuplestore.h"

#include "catalog/topic.h"

/*
 * Read all of a topic and put a row (partition, segment, base_offset, records,
 * problem) into store for every segment, and one for every problem found in it.
 * Raises nothing about the topic itself but what reading pages raises.
 */
extern void sl_check_topic(SlTopic *topic, TupleDesc desc,
						   Tuplestorestate *store);

/*
 * The same, but return only the first problem, palloc'd, or NULL; and the tables
 * of segments that would be in order if their records were sorted.
 */
extern char *sl_check_first_problem(SlTopic *topic, List **disordered);

#endif							/* SL_CHECK_H */
