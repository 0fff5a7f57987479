/*
 * parts.h
 *		The table of the parts of our shared memory.
 */
#ifndef SL_PARTS_H
#define SL_PARTS_H

/* Defines every part's settings and installs the shared-memory hooks. */
extern void sl_parts_init(void);

#endif							/* SL_PARTS_H */
