--
-- names: no function, argument, type or column needs quotes, or a schema once
-- streamlog is on the search_path.  The lists are compared with the catalogs: a
-- function that is not called here with every argument by name shows below.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;

CREATE TABLE calls (id int GENERATED ALWAYS AS IDENTITY, call text);
INSERT INTO calls (call) VALUES
	('create_topic(topic => ''named'', partitions => 2, replication_factor => 1, config => ''{}'', if_not_exists => true)'),
	('flush()'),
	('alter_topic(topic => ''named'', partitions => 3, config => ''{}'', owner => CURRENT_USER)'),
	('produce(topic => ''named'', key => ''k'', value => ''v'', headers => NULL, partition => 0, record_time => now())'),
	('produce(topic => ''named'', key => 1, value => ''v'', headers => NULL, partition => 0, record_time => now())'),
	('produce(topic => ''named'', key => ''k'', value => 2, headers => NULL, partition => 0, record_time => now())'),
	('produce(topic => ''named'', key => 1, value => 2, headers => NULL, partition => 0, record_time => now())'),
	('produce_batch(topic => ''named'', keys => NULL, record_values => ARRAY[''v''], headers => NULL, partition => 0, record_time => now())'),
	('produce_batch_bytes(topic => ''named'', keys => NULL, record_values => ARRAY[''\x76''::bytea], headers => NULL, partition => 0, record_time => now())'),
	('headers(headers => ''{"a": 1}'')'),
	('partition_for(topic => ''named'', key => ''k'')'),
	('partition_for(topic => ''named'', key => 1)'),
	('fetch_records(topic => ''named'', partition => 0, start_offset => 0, max_records => 1, max_bytes => 1, max_wait => ''0'')'),
	('records(topic => ''named'', partition => 0, from_offset => 0, before_offset => 1)'),
	('tail(topic => ''named'', n => 1)'),
	('pending_records()'),
	('offset_for_time(topic => ''named'', partition => 0, record_time => now())'),
	('start_offset(topic => ''named'', partition => 0)'),
	('end_offset(topic => ''named'', partition => 0)'),
	('as_text(bytes => ''\x76'')'),
	('as_json(bytes => ''1'')'),
	('show_text(bytes => ''\xff'')'),
	('show_headers(headers => NULL)'),
	('check_topic(topic => ''named'')'),
	('describe_topic(topic => ''named'')'),
	('delete_records(topic => ''named'', partition => 0, before_offset => 0)'),
	('finish_restore()'),
	('reset_offsets(consumer_group => ''placed'', topic => ''named'', to_offset => 0, to_time => NULL, to_position => NULL, shift_by => NULL, partition => 0, dry_run => false)'),
	('committed_offsets(consumer_group => ''placed'', topic => ''named'')'),
	('alter_group(consumer_group => ''placed'', owner => CURRENT_USER)'),
	('kick_member(consumer_group => ''placed'', member => ''m'')'),
	('delete_offsets(consumer_group => ''placed'', topic => ''named'', partition => 0)'),
	('delete_group(consumer_group => ''placed'')'),
	('group_visible(owner => 10)'),
	('member_states()'),
	('lag_states()'),
	('topic_visible(relation => ''topic.named'')'),
	('partition_end(relation => ''topic.named'', partition => 0)'),
	('worker_states()'),
	('undecided_states()'),
	('wait_for_records(topics => ''named'', consumer_group => ''named'', max_wait => ''0'', member_id => NULL)'),
	('wait_for_records(topics => ARRAY[''named''], consumer_group => ''named'', max_wait => ''0'', member_id => NULL)'),
	('consume(topics => ''named'', consumer_group => ''named'', max_records => 1, max_wait => ''0'', max_bytes => 1, topic_pattern => NULL, partitions => ''{0}'', member_id => NULL, instance_id => ''here'', assignor => ''range'', auto_offset_reset => ''earliest'', max_poll_interval => ''1 min'')'),
	('consume(topics => ARRAY[''named''], consumer_group => ''named'', max_records => 1, max_wait => ''0'', max_bytes => 1, topic_pattern => NULL, partitions => ''{0}'', member_id => NULL, instance_id => ''here'', assignor => ''range'', auto_offset_reset => ''earliest'', max_poll_interval => ''1 min'')'),
	('commit_offsets(topics => ''named'', consumer_group => ''named'', partitions => NULL, next_offsets => NULL, metadata => ''m'', topic_pattern => NULL, member_id => NULL, instance_id => ''here'')'),
	('commit_offsets(topics => ARRAY[''named''], consumer_group => ''named'', partitions => NULL, next_offsets => NULL, metadata => ''m'', topic_pattern => NULL, member_id => NULL, instance_id => ''here'')'),
	('poll(topics => ''named'', consumer_group => ''named'', max_records => 1, max_wait => ''0'', max_bytes => 1, topic_pattern => NULL, partitions => ''{0}'', member_id => NULL, instance_id => ''here'', assignor => ''range'', auto_offset_reset => ''earliest'', max_poll_interval => ''1 min'')'),
	('poll(topics => ARRAY[''named''], consumer_group => ''named'', max_records => 1, max_wait => ''0'', max_bytes => 1, topic_pattern => NULL, partitions => ''{0}'', member_id => NULL, instance_id => ''here'', assignor => ''range'', auto_offset_reset => ''earliest'', max_poll_interval => ''1 min'')'),
	('seek(topic => ''named'', consumer_group => ''named'', partition => 0, to_offset => 0, to_time => NULL, to_position => NULL, member_id => NULL, instance_id => ''here'')'),
	('next_offset(topic => ''named'', consumer_group => ''named'', partition => 0, member_id => NULL)'),
	('leave(consumer_group => ''named'', member_id => NULL)'),
	('drop_topic(topic => ''named'', if_exists => true)');

-- each as a row source and as an expression
CREATE FUNCTION run(query text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE query;
	RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLERRM;
END $$;
SELECT id, substring(call, '^\w+') AS function, run('SELECT * FROM ' || call) AS row_source,
	run('SELECT ' || call) AS expression
FROM calls WHERE call !~ '^(alter|drop)_topic|^wait_for_records|^delete_group' ORDER BY id;
SELECT 'CALL ' || call FROM calls WHERE call ~ '^wait_for_records' ORDER BY id \gexec
SELECT run('SELECT ' || call) FROM calls WHERE call ~ '^alter_topic';

-- functions without such a call: none
SELECT p.oid::regprocedure AS not_called_by_name
FROM pg_proc p
WHERE p.pronamespace = 'streamlog'::regnamespace AND p.prorettype <> 'trigger'::regtype
	AND NOT EXISTS (
		SELECT FROM calls c
		WHERE c.call ~ ('^' || p.proname || '\(')
			AND cardinality(regexp_split_to_array(c.call, '=>')) - 1 = p.pronargs
			AND NOT EXISTS (
				SELECT FROM unnest((p.proargnames)[1:p.pronargs]) argument
				WHERE c.call !~ ('[( ]' || argument || ' => ')))
ORDER BY 1;
-- and an argument without a name cannot be called by it
SELECT p.oid::regprocedure AS has_unnamed FROM pg_proc p
WHERE p.pronamespace = 'streamlog'::regnamespace AND p.pronargs > 0
	AND (p.proargnames IS NULL OR '' = ANY (p.proargnames));

-- columns: of the views, the types and what functions return
SELECT c.relname, run(format('SELECT %s FROM %s', string_agg(a.attname, ', ' ORDER BY a.attnum), c.relname)) AS columns
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = 'streamlog'::regnamespace AND c.relkind IN ('r', 'v')
GROUP BY c.relname ORDER BY c.relname;
SELECT c.relname, run(format('SELECT (x).%s FROM (SELECT NULL::%s) t (x)', string_agg(a.attname, ', (x).' ORDER BY a.attnum), c.relname)) AS attributes
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = 'streamlog'::regnamespace AND c.relkind = 'c'
GROUP BY c.relname ORDER BY c.relname;
SELECT p.proname, run(format('SELECT %s FROM %s', string_agg(o.name, ', '), c.call)) AS columns
FROM pg_proc p
CROSS JOIN LATERAL (
	SELECT name FROM unnest(p.proargnames, p.proargmodes) u (name, mode) WHERE mode IN ('o', 't')
	UNION ALL
	SELECT attname FROM pg_attribute WHERE attrelid = (SELECT typrelid FROM pg_type t WHERE t.oid = p.prorettype) AND attnum > 0) o
JOIN calls c ON c.call ~ ('^' || p.proname || '\(')
WHERE p.pronamespace = 'streamlog'::regnamespace
GROUP BY p.proname, c.call ORDER BY 1;
SELECT run('SELECT record_offset, timestamp, partition, key, value, headers FROM topic.named');
SELECT run('SELECT partition, record_offset, timestamp, key, value, headers FROM topic_text.named');

-- no name that is a keyword where it stands
SELECT name, catcode FROM (
	SELECT proname, 'RC' FROM pg_proc WHERE pronamespace = 'streamlog'::regnamespace
	UNION SELECT unnest(proargnames), 'RC' FROM pg_proc WHERE pronamespace = 'streamlog'::regnamespace
	UNION SELECT relname, 'RT' FROM pg_class WHERE relnamespace = 'streamlog'::regnamespace
	UNION SELECT attname, 'RT' FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
		WHERE relnamespace = 'streamlog'::regnamespace AND relkind IN ('r', 'v', 'c') AND attnum > 0) n (name, bad)
LEFT JOIN pg_get_keywords() k ON k.word = n.name
WHERE strpos(bad, catcode::text) > 0 OR name !~ '^[a-z][a-z0-9_]*$' ORDER BY 1;

SELECT run('SELECT ' || call) FROM calls WHERE call ~ '^(delete_group|drop_topic)' ORDER BY id;
DROP TABLE calls;
DROP FUNCTION run;
