--
-- matrix: every call by everybody.  Each line of "callers" says who calls, and each of
-- "calls" what; the table at the end has what came of it: ok, or the SQLSTATE.
--
-- Mutations: check_privilege() remembers without a look at the role; check_owner()
-- asks for membership (is_member_of_role) instead of rights; sl_ddl_create_topic() does
-- not ask for CREATE; the segments' schema is granted to PUBLIC; hide_table() leaves the
-- grants.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS streamlog;
RESET client_min_messages;
SET search_path = public, streamlog;
CREATE ROLE regress_streamlog_owner;
CREATE ROLE regress_streamlog_member IN ROLE regress_streamlog_owner;
CREATE ROLE regress_streamlog_noinherit NOINHERIT IN ROLE regress_streamlog_owner;
CREATE ROLE regress_streamlog_nobody;
CREATE ROLE regress_streamlog_insert;
CREATE ROLE regress_streamlog_select;
CREATE ROLE regress_streamlog_option;
CREATE ROLE regress_streamlog_column;
CREATE ROLE regress_streamlog_through IN ROLE regress_streamlog_select, regress_streamlog_insert;
CREATE ROLE regress_streamlog_create;
CREATE ROLE regress_streamlog_readall IN ROLE pg_read_all_data;
CREATE ROLE regress_streamlog_writeall IN ROLE pg_write_all_data;
CREATE ROLE regress_streamlog_monitor IN ROLE pg_monitor;
CREATE ROLE regress_streamlog_super SUPERUSER;
GRANT CREATE ON SCHEMA topic TO regress_streamlog_owner, regress_streamlog_create;

SET ROLE regress_streamlog_owner;
SELECT create_topic('m', 2);
SELECT produce('m', 'k', 'v', partition => 0);
SELECT create_topic('ours');
GRANT INSERT ON topic.m TO regress_streamlog_insert;
GRANT SELECT ON topic.m TO regress_streamlog_select;
GRANT INSERT, SELECT ON topic.m TO regress_streamlog_option WITH GRANT OPTION;
GRANT INSERT (key, value), SELECT (key, value) ON topic.m TO regress_streamlog_column;
RESET ROLE;
REVOKE CREATE ON SCHEMA topic FROM regress_streamlog_owner;
SELECT relation AS segment FROM segments WHERE topic = 'm' AND partition = 0 \gset
CREATE TABLE secret (only_super text);
CREATE ROLE regress_streamlog_other;
CREATE FUNCTION code() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
GRANT CREATE, USAGE ON SCHEMA public TO PUBLIC;

CREATE TABLE calls (id int GENERATED ALWAYS AS IDENTITY, kind text, call text);
INSERT INTO calls (kind, call) VALUES
	('use', 'SELECT produce(''m'', ''k'', ''v'')'),
	('use', 'SELECT produce(''m'', 1, ''{}''::jsonb, partition => 0)'),
	('use', 'SELECT count(*) FROM produce_batch(''m'', NULL, ARRAY[''v''])'),
	('use', 'SELECT count(*) FROM produce_batch_bytes(''m'', NULL, ARRAY[''\x76''::bytea])'),
	('use', 'SELECT partition_for(''m'', ''k'')'),
	('use', 'SELECT count(*) FROM fetch_records(''m'', 0, 0)'),
	('use', 'SELECT count(*) FROM records(''m'')'),
	('use', 'SELECT count(*) FROM tail(''m'')'),
	('use', 'SELECT count(*) FROM describe_topic(''m'')'),
	('use', 'CREATE TRIGGER g AFTER INSERT ON pg_temp.rows FOR EACH ROW EXECUTE FUNCTION produce_changes(''m'', ''id''); INSERT INTO pg_temp.rows VALUES (1)'),
	('use', 'SELECT start_offset(''m'', 0)'),
	('use', 'SELECT end_offset(''m'', 0)'),
	('use', 'SELECT offset_for_time(''m'', 0, now())'),
	('use', 'SELECT count(*) FROM check_topic(''m'')'),
	('use', 'SELECT count(*) FROM topic.m'),
	('use', 'SELECT count(value) FROM topic.m'),
	('use', 'SELECT count(value) FROM topic_text.m'),
	('use', 'INSERT INTO topic.m (key, value) VALUES (''k'', ''v'')'),
	('use', 'INSERT INTO topic_text.m (key, value) VALUES (''k'', ''v'')'),
	('use', 'SELECT 1 / count(*) FROM topics WHERE topic = ''m'''),
	('use', 'SELECT 1 / count(*) FROM partitions WHERE topic = ''m'''),
	('use', 'SELECT 1 / (count(*) / 2) FROM segments WHERE topic = ''m'''),
	('own', 'SELECT alter_topic(''m'', 3)'),
	('own', 'SELECT alter_topic(''m'', config => ''{"max.message.bytes": 1000}'')'),
	('own', 'SELECT alter_topic(''m'', owner => CURRENT_USER)'),
	('own', 'SELECT alter_topic(''m'', owner => ''regress_streamlog_create'')'),
	('own', 'SELECT drop_topic(''m'')'),
	('own', 'SELECT create_topic(''new'')'),
	('own', 'SELECT create_topic(''m'', if_not_exists => true)'),
	('own', 'GRANT SELECT ON topic.m TO regress_streamlog_other; SELECT 1 / has_table_privilege(''regress_streamlog_other'', ''topic.m'', ''SELECT'')::int'),
	('own', 'REVOKE SELECT ON topic.m FROM regress_streamlog_select; SELECT 1 / (NOT has_table_privilege(''regress_streamlog_select'', ''topic.m'', ''SELECT''))::int');
-- what nobody may do to a topic but a superuser: its table, the segments, our tables
INSERT INTO calls (kind, call)
SELECT 'no', replace(c, '%t', t) FROM (VALUES ('topic.m'), ('topic_text.m'), (:'segment')) t (t), unnest(ARRAY[
	'INSERT INTO %t (record_offset, timestamp, partition) VALUES (9, now(), 0)', 'UPDATE %t SET value = NULL', 'DELETE FROM %t', 'TRUNCATE %t',
	'SELECT * FROM %t FOR UPDATE', 'SELECT * FROM %t FOR KEY SHARE', 'LOCK TABLE %t IN ACCESS EXCLUSIVE MODE',
	'COPY %t (record_offset) FROM ''/dev/null''', 'MERGE INTO %t m USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE',
	'CREATE INDEX ON %t (key)', 'CREATE UNIQUE INDEX ON %t (record_offset)', 'CREATE STATISTICS public.s ON key, value FROM %t',
	'CREATE TRIGGER g AFTER INSERT ON %t FOR EACH STATEMENT EXECUTE FUNCTION public.code()', 'ALTER TABLE %t DISABLE TRIGGER ALL',
	'CREATE RULE r AS ON INSERT TO %t DO INSTEAD NOTHING', 'CREATE POLICY p ON %t USING (false)', 'ALTER TABLE %t ENABLE ROW LEVEL SECURITY',
	'ALTER TABLE %t ADD COLUMN x int', 'ALTER TABLE %t DROP COLUMN value', 'ALTER TABLE %t ALTER COLUMN key SET DEFAULT ''x''', 'ALTER TABLE %t ALTER COLUMN value SET STORAGE PLAIN',
	'ALTER TABLE %t ADD CHECK (false)', 'ALTER TABLE %t ADD PRIMARY KEY (record_offset)', 'ALTER TABLE %t SET (fillfactor = 50)', 'ALTER TABLE %t RENAME TO x', 'ALTER TABLE %t RENAME COLUMN key TO x',
	'ALTER TABLE %t SET SCHEMA public', 'ALTER TABLE %t OWNER TO CURRENT_USER', 'ALTER TABLE %t SET UNLOGGED', 'ALTER TABLE %t REPLICA IDENTITY FULL', 'ALTER TABLE %t SET TABLESPACE pg_default',
	'CREATE TABLE public.child () INHERITS (%t)', 'CREATE TABLE public.own (record_offset bigint NOT NULL, "timestamp" timestamptz NOT NULL, partition int NOT NULL, key bytea, value bytea, headers streamlog.header[]); ALTER TABLE public.own INHERIT %t', 'ALTER TABLE %t NO INHERIT topic.m', 'CREATE TABLE public.parted (record_offset bigint NOT NULL, "timestamp" timestamptz NOT NULL, partition int NOT NULL, key bytea, value bytea, headers streamlog.header[]) PARTITION BY LIST (partition); ALTER TABLE public.parted ATTACH PARTITION %t DEFAULT', 'CREATE TABLE public.refers (o bigint REFERENCES %t (record_offset))',
	'COMMENT ON TABLE %t IS ''x''', 'CREATE PUBLICATION p FOR TABLE %t', 'DROP TABLE %t CASCADE', 'CLUSTER %t', 'REINDEX TABLE %t']) c;
INSERT INTO calls (kind, call)
SELECT 'no', c FROM unnest(ARRAY['SELECT * FROM streamlog.topic', 'UPDATE streamlog.topic SET owner = CURRENT_USER', 'DELETE FROM streamlog.segment', 'INSERT INTO streamlog.partition VALUES (1, 99, 0)',
	'SELECT nextval(''streamlog.topic_id_seq'')', 'UPDATE streamlog.topics SET owner = CURRENT_USER', 'CREATE TABLE streamlog.x ()', 'CREATE TABLE streamlog_segment.t1_p0_9 ()',
	'CREATE FUNCTION streamlog.produce(int) RETURNS int LANGUAGE sql AS ''SELECT 1''', 'CREATE OR REPLACE VIEW streamlog.topics AS SELECT 1', 'ALTER FUNCTION streamlog.topic_visible SET search_path = public',
	'DROP FUNCTION streamlog.flush()', 'DROP EXTENSION streamlog CASCADE', 'ALTER EXTENSION streamlog SET SCHEMA public', 'ALTER SCHEMA topic OWNER TO CURRENT_USER', 'DROP SCHEMA streamlog_segment CASCADE',
	'SELECT refuse_change()', 'CREATE TRIGGER g BEFORE INSERT ON secret FOR EACH ROW EXECUTE FUNCTION streamlog.refuse_change()']) c;

CREATE TEMP TABLE rows (id int);
GRANT ALL ON rows TO PUBLIC;

-- ok or the SQLSTATE of a call; it leaves nothing
CREATE FUNCTION try(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		EXECUTE call;
	EXCEPTION WHEN OTHERS THEN
		RETURN SQLSTATE;
	END;
	RAISE EXCEPTION 'undo' USING ERRCODE = 'UN001';
EXCEPTION WHEN SQLSTATE 'UN001' THEN
	RETURN 'ok';
END $$;
-- the same by the owner's rights, for whoever calls
CREATE FUNCTION definer(call text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, streamlog, public, pg_temp AS $$
BEGIN RETURN public.try(call); END $$;
ALTER FUNCTION definer OWNER TO regress_streamlog_owner;
CREATE FUNCTION invoker(call text) RETURNS text LANGUAGE sql SET search_path = pg_catalog, streamlog, public, pg_temp AS $$ SELECT public.try(call) $$;
ALTER FUNCTION invoker OWNER TO regress_streamlog_owner;

-- who calls: the role, and what goes round the call
CREATE TABLE callers (id int GENERATED ALWAYS AS IDENTITY, who text, role text, around text DEFAULT 'try');
INSERT INTO callers (who, role) SELECT r, 'regress_streamlog_' || r FROM unnest(ARRAY['nobody', 'insert', 'select', 'option', 'column', 'through', 'create', 'owner', 'member', 'noinherit',
	'readall', 'writeall', 'monitor', 'super']) r;
INSERT INTO callers (who, role, around) VALUES ('definer', 'regress_streamlog_nobody', 'definer'), ('invoker', 'regress_streamlog_nobody', 'invoker');

CREATE TABLE outcomes (who text, id int, outcome text);
SET client_min_messages = error;
DO $$
DECLARE
	caller callers;
	c calls;
	result text;
BEGIN
	FOR caller IN SELECT * FROM callers ORDER BY id LOOP
		FOR c IN SELECT * FROM calls ORDER BY id LOOP
			-- what was allowed before, and to whom, is in this transaction's cache
			EXECUTE format('SET LOCAL ROLE %I', caller.role);
			EXECUTE format('SELECT %I($1)', caller.around) INTO result USING c.call;
			RESET ROLE;
			INSERT INTO outcomes VALUES (caller.who, c.id, result);
		END LOOP;
	END LOOP;
	-- SET ROLE between the calls of one transaction: the owner's are made first, each time
	FOR c IN SELECT * FROM calls WHERE kind <> 'no' ORDER BY id LOOP
		SET LOCAL ROLE regress_streamlog_owner;
		PERFORM try(c.call);
		SET LOCAL ROLE regress_streamlog_nobody;
		result := try(c.call);
		SET LOCAL ROLE regress_streamlog_owner;
		result := result || ' ' || try(c.call);
		RESET ROLE;
		INSERT INTO outcomes VALUES ('set role', c.id, result);
	END LOOP;
END $$;
RESET client_min_messages;

SELECT replace(call, :'segment', '(segment)') AS call,
	max(outcome) FILTER (WHERE who = 'nobody') AS nobody, max(outcome) FILTER (WHERE who = 'insert') AS insert, max(outcome) FILTER (WHERE who = 'select') AS select,
	max(outcome) FILTER (WHERE who = 'option') AS option, max(outcome) FILTER (WHERE who = 'column') AS column, max(outcome) FILTER (WHERE who = 'through') AS through,
	max(outcome) FILTER (WHERE who = 'create') AS create, max(outcome) FILTER (WHERE who = 'owner') AS owner, max(outcome) FILTER (WHERE who = 'readall') AS readall,
	max(outcome) FILTER (WHERE who = 'writeall') AS writeall, max(outcome) FILTER (WHERE who = 'monitor') AS monitor, max(outcome) FILTER (WHERE who = 'super') AS super
FROM calls JOIN outcomes USING (id) WHERE kind <> 'no' GROUP BY id, call ORDER BY id;
-- who may what another may: a member and a SECURITY DEFINER function what the owner may, who is a
-- member without inheriting and a function of the owner's what nobody may: no rows
SELECT o.who, call, o.outcome, l.outcome AS is_not
FROM outcomes o JOIN (VALUES ('member', 'owner'), ('definer', 'owner'), ('noinherit', 'nobody'), ('invoker', 'nobody')) s (who, as_) USING (who)
JOIN outcomes l ON l.who = s.as_ AND l.id = o.id JOIN calls c ON c.id = o.id
WHERE o.outcome <> l.outcome ORDER BY o.who, o.id;
SELECT call, s.outcome FROM outcomes s JOIN calls USING (id) JOIN outcomes n USING (id) JOIN outcomes o USING (id)
WHERE s.who = 'set role' AND n.who = 'nobody' AND o.who = 'owner' AND s.outcome <> n.outcome || ' ' || o.outcome ORDER BY id;

-- What nobody may: refused for want of a right (42501), or to everybody (0A000); and what
-- is not.  Who "may" have a REFERENCES has not the unique index (42830).
SELECT count(DISTINCT id) AS calls, count(DISTINCT who) AS callers, count(*) FILTER (WHERE outcome IN ('42501', '0A000')) * 100 / count(*) AS percent
FROM calls JOIN outcomes USING (id) WHERE kind = 'no';
\pset format unaligned
SELECT replace(replace(call, :'segment', '(segment)'), '"timestamp" timestamptz NOT NULL, partition int NOT NULL, key bytea, value bytea, headers streamlog.header[]', '...') AS call, outcome,
	CASE WHEN count(*) > 9 THEN 'but not ' || coalesce((SELECT string_agg(who, ' ' ORDER BY who) FROM callers WHERE who <> ALL (array_agg(o.who))), 'anybody') ELSE string_agg(o.who, ' ' ORDER BY o.who) END AS who
FROM calls JOIN outcomes o USING (id) WHERE kind = 'no' AND outcome NOT IN ('42501', '0A000') GROUP BY id, call, outcome ORDER BY id, outcome;
\pset format aligned
SELECT problem, records FROM check_topic('m') WHERE partition = 0;

SELECT count(drop_topic(topic)) AS dropped FROM topics;
DROP TABLE calls, callers, outcomes, secret, rows;
DROP FUNCTION try, definer, invoker, code;
REVOKE CREATE, USAGE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO PUBLIC;
REVOKE CREATE ON SCHEMA topic FROM regress_streamlog_create;
DROP ROLE regress_streamlog_member, regress_streamlog_noinherit, regress_streamlog_owner, regress_streamlog_nobody, regress_streamlog_through, regress_streamlog_insert,
	regress_streamlog_select, regress_streamlog_option, regress_streamlog_column, regress_streamlog_create, regress_streamlog_readall, regress_streamlog_writeall,
	regress_streamlog_monitor, regress_streamlog_super, regress_streamlog_other;
