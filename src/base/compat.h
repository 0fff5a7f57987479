/*
 * compat.h
 *		Every difference between the PostgreSQL majors that we build on.
 *
 * The rest of the code is written against one API; what a major lacks of it is
 * made up for here, and nowhere else is there an #if on the version.
 */
#ifndef SL_COMPAT_H
#define SL_COMPAT_H

#include "commands/trigger.h"
#include "storage/sinvaladt.h"
#include "storage/smgr.h"
#include "utils/rel.h"

#include "base/zeroextend.h"

#if PG_VERSION_NUM < 150000
#error "streamlog needs PostgreSQL 15 or later"
#endif

/* The number of a table's file, which 16 renamed */
#if PG_VERSION_NUM >= 160000
#define sl_relation_file(rel)	((rel)->rd_locator.relNumber)
#else
#define sl_relation_file(rel)	((rel)->rd_node.relNode)
#endif

/* The path of the main fork's file */
#if PG_VERSION_NUM >= 160000
#define sl_smgr_path(reln)	relpath((reln)->smgr_rlocator, MAIN_FORKNUM)
#else
#define sl_smgr_path(reln)	relpath((reln)->smgr_rnode, MAIN_FORKNUM)
#endif

/* Add n blocks of zeroes to the end of a file, which has nblocks. */
#if PG_VERSION_NUM >= 160000
#define sl_smgr_zeroextend(reln, nblocks, n) \
	smgrzeroextend(reln, MAIN_FORKNUM, nblocks, n, false)
#else
#define sl_smgr_zeroextend(reln, nblocks, n) sl_zeroextend(reln, nblocks, n)
#endif

/* Have a trigger fire whatever session_replication_role is. */
#if PG_VERSION_NUM >= 160000
#define sl_enable_trigger_always(rel, name, lockmode) \
	EnableDisableTrigger(rel, name, InvalidOid, TRIGGER_FIRES_ALWAYS, false, \
						 false, lockmode)
#else
#define sl_enable_trigger_always(rel, name, lockmode) \
	EnableDisableTrigger(rel, name, TRIGGER_FIRES_ALWAYS, false, lockmode)
#endif

/* The process with a virtual transaction; NULL if it is gone */
#if PG_VERSION_NUM >= 170000
#define sl_vxid_proc(vxid)	ProcNumberGetProc((vxid).procNumber)
#else
#define sl_vxid_proc(vxid)	BackendIdGetProc((vxid).backendId)
#endif

/* The local transaction that a process is in */
#if PG_VERSION_NUM >= 170000
#define sl_proc_lxid(proc)	((proc)->vxid.lxid)
#else
#define sl_proc_lxid(proc)	((proc)->lxid)
#endif

#endif							/* SL_COMPAT_H */
