/*
 * headers.h
 *		Headers of records from JSON, and as JSON.
 */
#ifndef SL_HEADERS_H
#define SL_HEADERS_H

#include "utils/jsonb.h"

/*
 * A header[] (the type is given) from {"key": value, ..} or, in order and with
 * duplicates, [{"key": value}, ..].  Palloc'd; raises for any other JSON.
 */
extern Datum sl_headers_from_json(Jsonb *json, Oid array_type);

/*
 * The JSON that makes these headers: an object if no key comes twice.  A value
 * that is not text of the server's encoding is shown as sl_shown_text() does.
 * Raises if there are more headers than fit into a JSON object.
 */
extern Jsonb *sl_headers_as_json(Datum headers);

#endif							/* SL_HEADERS_H */
