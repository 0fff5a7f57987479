--
-- text: bytes as text and JSON, JSON as headers, and back
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;
-- the SQLSTATE of a query that fails, its first column otherwise
CREATE FUNCTION outcome(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE query INTO result;
	RETURN result;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END $$;

--
-- as_text: what is UTF-8 and has no zero byte is text, to the byte
--
SELECT bytes, length(as_text(bytes)), convert_to(as_text(bytes), 'UTF8') = bytes AS same
FROM unnest(ARRAY['', 'a', ' ', '\x5c', '\x27', '\x01', '\x7f', '\xc280', '\xdfbf', '\xe0a080', '\xed9fbf',
	'\xee8080', '\xefbfbf', '\xf0908080', '\xf09f9098', '\xf48fbfbf', '\xefbbbf61', '\x65cc81']::bytea[]) bytes;
SELECT bytes, outcome(format('SELECT as_text(%L::bytea)', bytes)) AS outcome
FROM unnest(ARRAY[
	'\x00', '\x6100', '\x610062',				-- zero bytes
	'\x80', '\xbf', '\x61bf', '\xfe', '\xff',	-- no first byte
	'\xc3', '\xe282', '\xf09f90', '\x61f0',		-- ends too early
	'\xc328', '\xe28228', '\xf09f9028',			-- no continuation
	'\xc080', '\xc1bf', '\xe09fbf', '\xf08fbfbf',	-- longer than need be
	'\xeda080', '\xedbfbf',						-- surrogates
	'\xf4908080', '\xf8888080',					-- above U+10FFFF
	'\xe4f6fc']::bytea[]) bytes;				-- LATIN1
-- long ones, and an error far behind
SELECT length(as_text(convert_to(repeat('ä', 1000000), 'UTF8')));
SELECT as_text(convert_to(repeat('ä', 100000), 'UTF8') || '\xc3');
SELECT pg_typeof(as_text('')), as_text(NULL) IS NULL AS null;

--
-- as_json
--
SELECT bytes, as_json(bytes) FROM unnest(ARRAY['{}', '[]', '""', '0', '-1.50', '1e3', 'true', 'null', ' 1 ',
	'{"b": 1, "a": 2, "b": 3}', '[1, [2, {"c": null}]]', '\x22c3a422', '"\\u00e4\\n"']::bytea[]) bytes;
SELECT as_json('null') IS NULL AS sql_null, as_json('null') = 'null' AS json_null, as_json(NULL) IS NULL AS null;
SELECT bytes, outcome(format('SELECT as_json(%L::bytea)', bytes)) AS outcome
FROM unnest(ARRAY['', ' ', '{', '{"a"}', '[1,]', 'a', '''a''', '1 2', 'NaN', '"', '{"a": 1}x',
	'\x3100', '\x22ff22', '\x22c322', '\x22610022', '\xefbbbf31', '"\\u0000"', '"\\ud800"']::bytea[]) bytes;

--
-- headers: the value of a string is its text, of null null, of all else its JSON
--
SELECT h.key, as_text(h.value) AS value, jsonb_typeof(j.value) AS type
FROM (SELECT '{"string": "x", "empty": "", "quote": "a\"b\\c", "newline": "a\nb", "escaped": "\u00e4", "like_null": "null",
	"number": 1.50, "large": 123456789012345678901234567890, "true": true, "false": false, "null": null,
	"array": [1, "b", null], "object": {"y": 1, "x": [2]}, "empty_array": [], "empty_object": {}, "": "no name"}'::jsonb) v (doc),
	jsonb_each(doc) j JOIN unnest(headers(doc)) h USING (key)
ORDER BY length(h.key), h.key COLLATE "C";
-- an array keeps the order, and a key as often as it is there
SELECT ord, h.key, as_text(h.value) AS value
FROM unnest(headers('[{"z": 1}, {"a": "2"}, {}, {"z": null}, {"z": "1"}, {"c": 3, "b": [4]}]')) WITH ORDINALITY h (key, value, ord);
-- in an object jsonb keeps one of each, the last, the shorter ones first
SELECT headers('{"bb": "1", "a": "2", "bb": "3"}');
SELECT headers('{}') = '{}' AS object, headers('[]') = '{}' AS array, headers('[{}, {}]') = '{}' AS objects,
	headers(NULL) IS NULL AS null, pg_typeof(headers('{}'));
SELECT doc, outcome(format('SELECT headers(%L)', doc)) AS outcome
FROM unnest(ARRAY['null', 'true', '1', '"a"', '[null]', '["a"]', '[1]', '[[]]', '[[{"a": 1}]]', '[{"a": 1}, 2]', '[{"a": 1}, []]',
	'{"a": 1', '"\u0000"']) doc;
SELECT headers('[1]');
\echo :LAST_ERROR_SQLSTATE
-- many and long ones
SELECT cardinality(h), h[1].key, as_text(h[1].value), h[20000].key, as_text(h[20000].value)
FROM (SELECT headers(jsonb_agg(jsonb_build_object('k' || i % 3, i) ORDER BY i)) FROM generate_series(1, 20000) i) s (h);
SELECT length(h[1].key), length(h[1].value), h[1].value = convert_to(repeat('ä', 300000), 'UTF8') AS same
FROM headers(jsonb_build_object(repeat('ö', 100000), repeat('ä', 300000))) h;
-- both are immutable: a generated column takes them
CREATE TABLE documents (doc jsonb, headers header[] GENERATED ALWAYS AS (headers(doc)) STORED,
	first text GENERATED ALWAYS AS (as_text((headers(doc))[1].value)) STORED);
INSERT INTO documents VALUES ('{"a": "x"}'), ('[]'), (NULL);
SELECT * FROM documents;
DROP TABLE documents;

--
-- Through a topic: what one puts in comes out, text, JSON and headers
--
SELECT create_topic('texts');
SELECT produce('texts', 'ключ', '{"b": "ä", "a": [1, null]}'::jsonb, headers('[{"h": "ä"}, {"h": null}, {"h": {"x": 1}}, {"": ""}]'));
SELECT produce('texts', ' padded '::char(12), E'a\tb\n', headers('{}'));
SELECT produce('texts', '\xff'::bytea, '\x00'::bytea, ARRAY[('h', '\xff')::header]);
SELECT as_text(key), as_json(value) -> 'a' AS a, as_json(value) ->> 'b' AS b, as_json(headers[3].value) ->> 'x' AS x
FROM fetch_records('texts', 0, 0, 1);
SELECT ord, h.key, as_text(h.value)
FROM fetch_records('texts', 0, 0, 1), unnest(headers) WITH ORDINALITY h (key, value, ord) ORDER BY ord;
SELECT '[' || as_text(key) || ']' AS key, as_text(value) = E'a\tb\n' AS same, headers IS NULL AS no_headers
FROM fetch_records('texts', 0, 1, 1);
-- bytes that are no text do no harm until somebody wants text
SELECT key, value, headers FROM fetch_records('texts', 0, 2);
SELECT as_text(key) FROM fetch_records('texts', 0, 2);
SELECT as_json(value) FROM fetch_records('texts', 0, 2);
SELECT as_text(headers[1].value) FROM fetch_records('texts', 0, 2);

SELECT drop_topic('texts');
DROP FUNCTION outcome;
