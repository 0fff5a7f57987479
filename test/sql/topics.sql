--
-- topics: names, numbers of partitions, configs; creating, altering and
-- dropping topics, also in transactions that roll back
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;

--
-- Names: 1 to 249 of a-z A-Z 0-9 . _ -, and not . or ..
--
SELECT create_topic('a b');
\echo :LAST_ERROR_SQLSTATE
SELECT create_topic('ä');
SELECT create_topic('a/b');
SELECT create_topic('');
SELECT create_topic('.');
SELECT create_topic('..');
SELECT create_topic(NULL);
SELECT create_topic(repeat('x', 250));
SELECT create_topic('__consumer_offsets');
SELECT create_topic(E'new\nline');
SELECT create_topic('...');
SELECT create_topic('Upper-and_lower.09');
SELECT create_topic('select');
SELECT create_topic(repeat('x', 63));
SELECT create_topic(repeat('x', 64));
SELECT create_topic(repeat('x', 249));

-- a name of up to 63 bytes is its table's name, a longer one is cut
SELECT length(topic), relation, length(relation::text) FROM topics ORDER BY 1, 2;
SELECT produce(repeat('x', 249), 'k', 'v');
SELECT record_offset, left(topic, 3) AS topic FROM fetch_records(repeat('x', 249), 0, 0);

-- names that differ in . and _ only collide, as in Kafka
SELECT create_topic('a.b');
SELECT create_topic('a_b');
\echo :LAST_ERROR_SQLSTATE
SELECT create_topic('a-b');
SELECT create_topic('a_b', if_not_exists => true);
SELECT create_topic('a.b');
\echo :LAST_ERROR_SQLSTATE
SELECT create_topic('a.b', if_not_exists => true);

-- a table that is not a topic is in the way
CREATE TABLE topic.in_the_way ();
SELECT create_topic('in_the_way');
DROP TABLE topic.in_the_way;

--
-- Numbers
--
SELECT create_topic('numbers', 0);
\echo :LAST_ERROR_SQLSTATE
SELECT create_topic('numbers', -5);
SELECT create_topic('numbers', 2147483647);
SELECT create_topic('numbers', replication_factor => 3);
\echo :LAST_ERROR_SQLSTATE
SELECT create_topic('numbers', replication_factor => 0);
SELECT create_topic('numbers', -1, -1);
SELECT topic, partitions, replication_factor FROM topics WHERE topic = 'numbers';
SELECT drop_topic('numbers');

--
-- Configs
--
SELECT create_topic('configs', config => '{"no.such.config": 1}');
\echo :LAST_ERROR_SQLSTATE
SELECT create_topic('configs', config => '[1]');
SELECT create_topic('configs', config => '"segment.bytes"');
SELECT create_topic('configs', config => '{"segment.bytes": 1048575}');
SELECT create_topic('configs', config => '{"segment.bytes": 2147483648}');
SELECT create_topic('configs', config => '{"segment.bytes": 1048576.5}');
SELECT create_topic('configs', config => '{"segment.bytes": "1 mb"}');
SELECT create_topic('configs', config => '{"segment.bytes": true}');
SELECT create_topic('configs', config => '{"segment.bytes": [1048576]}');
SELECT create_topic('configs', config => '{"max.message.bytes": -1}');
SELECT create_topic('configs', config => '{"message.timestamp.type": "createtime"}');
SELECT create_topic('configs', config => '{"message.timestamp.before.max.ms": -1}');
SELECT create_topic('configs', config => '{"message.timestamp.after.max.ms": 9223372036854775808}');
SELECT create_topic('configs', config => '{"segment.bytes": 1048576, "max.message.bytes": "1000",
	"message.timestamp.type": "CreateTime", "message.timestamp.before.max.ms": 9223372036854775807,
	"message.timestamp.after.max.ms": null}');
SELECT config FROM topics WHERE topic = 'configs';

-- what is given is set, null resets, the rest stays; and it acts at once
SELECT produce('configs', NULL, repeat('x', 1001));
SELECT alter_topic('configs', config => '{"max.message.bytes": 1001, "segment.bytes": null}');
SELECT config FROM topics WHERE topic = 'configs';
SELECT produce('configs', NULL, repeat('x', 1001));
SELECT alter_topic('configs', config => '{"max.message.bytes": 10, "nonsense": 1}');
SELECT alter_topic('configs', config => '{"max.message.bytes": "many"}');
SELECT config FROM topics WHERE topic = 'configs';
SELECT alter_topic('configs', config => '{"max.message.bytes": null}');
SELECT produce('configs', NULL, repeat('x', 1002));
SELECT drop_topic('configs');

--
-- Partitions: the number can only grow, and what is there stays
--
SELECT create_topic('grows', 2);
SELECT produce('grows', 'k', 'v', partition => 1);
SELECT alter_topic('grows', 2);
\echo :LAST_ERROR_SQLSTATE
SELECT alter_topic('grows', 1);
SELECT alter_topic('grows', 0);
SELECT alter_topic('grows', -1);
SELECT produce('grows', 'k', 'v', partition => 3);
SELECT alter_topic('grows', 4);
SELECT produce('grows', 'k', 'v', partition => 3);
SELECT partition, start_offset, end_offset, segments FROM partitions
WHERE topic = 'grows' ORDER BY 1;
SELECT alter_topic('no_such_topic', 2);
\echo :LAST_ERROR_SQLSTATE
SELECT alter_topic(NULL, 2);

-- both rolled back: as if never done
BEGIN;
SELECT alter_topic('grows', 6, '{"max.message.bytes": 1}');
SELECT produce('grows', 'k', '', partition => 5);
ROLLBACK;
SELECT partitions, config FROM topics WHERE topic = 'grows';
SELECT produce('grows', 'k', 'v', partition => 5);
SELECT produce('grows', 'key', 'value', partition => 3);
SELECT alter_topic('grows', 6);
SELECT produce('grows', 'k', 'v', partition => 5);
SELECT drop_topic('grows');

--
-- Dropping, and a topic of the same name after it
--
SELECT drop_topic('no_such_topic');
\echo :LAST_ERROR_SQLSTATE
SELECT drop_topic('no_such_topic', if_exists => true);
-- a name that no topic can have is not shown in full
SELECT drop_topic(repeat('x', 10000), if_exists => true);
SELECT drop_topic(NULL);

SELECT create_topic('again');
SELECT produce_batch('again', NULL, array_fill('v'::text, ARRAY[10])) IS NOT NULL AS produced LIMIT 1;
SELECT topic_id AS first_id, relation::oid AS first_relation FROM topics WHERE topic = 'again' \gset
CREATE VIEW depends AS SELECT value FROM topic.again;
SELECT drop_topic('again');
\echo :LAST_ERROR_SQLSTATE
DROP VIEW depends;
SELECT drop_topic('again');
SELECT count(*) FROM topics WHERE topic = 'again';
SELECT produce('again', 'k', 'v');
SELECT * FROM fetch_records('again', 0, 0);
SELECT to_regclass('topic.again');

-- offsets begin at 0 again, in a topic with another id
SELECT create_topic('again');
SELECT topic_id <> :first_id AS other_id, relation::oid <> :first_relation AS other_table
FROM topics WHERE topic = 'again';
SELECT start_offset('again', 0), end_offset('again', 0);
SELECT produce('again', 'k', 'new');
SELECT record_offset, as_text(value) FROM fetch_records('again', 0, 0);

--
-- Topics are made and dropped with the transaction
--
BEGIN;
SELECT create_topic('brief', 3);
SELECT produce('brief', 'k', 'v', partition => 2);
SELECT partition, record_offset FROM flush();
ROLLBACK;
SELECT count(*) FROM topics WHERE topic = 'brief';
SELECT produce('brief', 'k', 'v');
SELECT create_topic('brief', 3);
SELECT produce('brief', 'k', 'v', partition => 2);
SELECT drop_topic('brief');

BEGIN;
SELECT create_topic('brief');
SELECT produce('brief', 'k', 'v');
COMMIT;
SELECT record_offset, as_text(key), as_text(value) FROM fetch_records('brief', 0, 0);

BEGIN;
SELECT drop_topic('brief');
SELECT produce('brief', 'k', 'v');
ROLLBACK;
SELECT produce('brief', 'k', 'after rollback');
SELECT record_offset, as_text(value) FROM fetch_records('brief', 0, 0);

-- created, produced to and dropped in one transaction: nothing is left
BEGIN;
SELECT create_topic('nothing');
SELECT topic_id AS nothing_id FROM topics WHERE topic = 'nothing' \gset
SELECT produce('nothing', 'k', 'v');
SELECT record_offset FROM flush();
SELECT produce('nothing', 'k', 'v');
SELECT drop_topic('nothing');
COMMIT;
SELECT count(*) FROM topics WHERE topic = 'nothing';
SELECT count(*) FROM pg_class WHERE relname LIKE format('t%s\_%%', :nothing_id);
SELECT count(*) FROM streamlog.topic WHERE topic_id = :nothing_id;

-- the records of a topic that the transaction drops go with it, others stay
SELECT create_topic('goes');
BEGIN;
SELECT produce('goes', 'k', 'lost');
SELECT produce('brief', 'k', 'kept');
SELECT drop_topic('goes');
COMMIT;
SELECT record_offset, as_text(value) FROM fetch_records('brief', 0, 2);
SELECT produce('goes', 'k', 'v');

-- dropped and made again in one transaction: a new log
BEGIN;
SELECT produce('brief', 'k', 'to the old one');
SELECT drop_topic('brief');
SELECT create_topic('brief');
SELECT produce('brief', 'k', 'to the new one');
COMMIT;
SELECT record_offset, as_text(value) FROM fetch_records('brief', 0, 0);

-- savepoints: the topic goes, and so do the records produced to it
BEGIN;
SELECT produce('brief', 'k', 'before');
SAVEPOINT s;
SELECT create_topic('saved', 2);
SELECT produce('saved', 'k', 'lost', partition => 1);
SELECT alter_topic('brief', 2);
SELECT produce('brief', 'k', 'lost', partition => 1);
ROLLBACK TO s;
SELECT produce('saved', 'k', 'v');
ROLLBACK TO s;
SELECT produce('brief', 'k', 'lost', partition => 1);
ROLLBACK TO s;
SELECT create_topic('saved');
SELECT produce('saved', 'k', 'kept');
SAVEPOINT dropped;
SELECT drop_topic('saved');
ROLLBACK TO dropped;
SELECT produce('saved', 'k', 'kept too');
RELEASE s;
COMMIT;
SELECT record_offset, as_text(value) FROM fetch_records('saved', 0, 0);
SELECT record_offset, as_text(value) FROM fetch_records('brief', 0, 0);
SELECT topic, partitions FROM topics WHERE topic IN ('saved', 'brief') ORDER BY 1;

-- a read-only transaction makes none
BEGIN READ ONLY;
SELECT create_topic('read_only');
ROLLBACK;
BEGIN READ ONLY;
SELECT alter_topic('brief', 9);
ROLLBACK;
BEGIN READ ONLY;
SELECT drop_topic('brief');
ROLLBACK;

SELECT count(drop_topic(topic)) AS dropped FROM topics;
SELECT count(*) FROM topics;

--
-- A topic whose table somebody has dropped
--
SELECT create_topic('gone', 2);
SELECT produce('gone', 'k', 'v');
SET client_min_messages = warning;
SET allow_system_table_mods = on;
DROP TABLE topic.gone CASCADE;
RESET allow_system_table_mods;
RESET client_min_messages;
SELECT produce('gone', 'k', 'v');
SELECT create_topic('gone');
CREATE ROLE regress_streamlog_nobody;
SET ROLE regress_streamlog_nobody;
SELECT drop_topic('gone');
RESET ROLE;
DROP ROLE regress_streamlog_nobody;
SELECT drop_topic('gone');
SELECT create_topic('gone');
SELECT produce('gone', 'k', 'new');
SELECT drop_topic('gone');
