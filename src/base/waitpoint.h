/*
 * waitpoint.h
 *		Named stop points and mutations for the tests; nothing in a normal build.
 *
 * SL_WAITPOINT("name") stops a session that has listed the name in
 * streamlog.waitpoints for as long as another one holds the advisory lock
 * (1936488304, hashtext('name')); the wait shows in pg_locks like any other,
 * so isolation specs can drive it.
 *
 * SL_MUTANT("name") is true in a session that has listed the name in
 * streamlog.mutants: the code then leaves out one step that it needs, so that
 * a test can show that it would notice.
 *
 * Built with -DSL_WAITPOINTS (make WAITPOINTS=1) only.
 */
#ifndef SL_WAITPOINT_H
#define SL_WAITPOINT_H

#ifdef SL_WAITPOINTS
extern void sl_waitpoint_define_gucs(void);
extern void sl_waitpoint_reach(const char *name);
extern bool sl_waitpoint_is_mutant(const char *name);
#define SL_WAITPOINT(name)	sl_waitpoint_reach(name)
#define SL_MUTANT(name)		sl_waitpoint_is_mutant(name)
#else
#define sl_waitpoint_define_gucs() ((void) 0)
#define SL_WAITPOINT(name)	((void) 0)
#define SL_MUTANT(name)		(false)
#endif

#endif							/* SL_WAITPOINT_H */
