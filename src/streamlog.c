/*
 * streamlog.c
 *		An event log with Kafka's semantics inside PostgreSQL.
 *
 * The library is loaded at the start of the server: it needs shared memory.  It
 * is built in floors, each in a folder and using only those below it:
 *
 *		base		differences between majors, SQLSTATEs, test stop points
 *		shmem		what backends share: where each partition ends, who runs
 *		catalog		our tables: topics, partitions, segments, groups
 *		log			producing and reading records
 *		group		consumer groups: who reads what, committed offsets
 *		worker		the launcher, and a worker for each database
 *		sql			the SQL functions
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "base/waitpoint.h"
#include "catalog/group_row.h"
#include "catalog/topic.h"
#include "group/assignor.h"
#include "group/consume.h"
#include "group/expire.h"
#include "log/fetch.h"
#include "log/transaction.h"
#include "shmem/groups.h"
#include "shmem/parts.h"
#include "sql/client.h"
#include "sql/executor.h"
#include "sql/utility.h"
#include "worker/launcher.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("streamlog must be loaded via shared_preload_libraries"),
				 errhint("Add \"shared_preload_libraries = 'streamlog'\" to postgresql.conf (with a comma behind what is there already) and restart the server.")));

	sl_parts_init();
	sl_transaction_define_gucs();
	sl_fetch_define_gucs();
	sl_consume_define_gucs();
	sl_group_expire_define_gucs();
	sl_waitpoint_define_gucs();
	MarkGUCPrefixReserved("streamlog");

	sl_topic_init();
	sl_group_row_init();
	sl_groups_set_assign(sl_assign);

	/*
	 * offsets are written before records are appended: the last one is called
	 * first
	 */
	sl_transaction_init();
	sl_offsets_init();
	sl_executor_init();
	sl_client_init();
	sl_utility_init();
	sl_launcher_register();
}
