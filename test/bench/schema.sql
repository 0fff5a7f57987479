/*
 * test/bench/schema.sql: the tables that streamlog is measured against, and the
 * loops that run inside the server.
 */
CREATE SCHEMA bench;

-- The usual table for events, and what is left of it without index and defaults.
CREATE TABLE bench.keyed (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	created timestamptz NOT NULL DEFAULT now(),
	key bytea,
	value bytea);
CREATE TABLE bench.keyed_text (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	created timestamptz NOT NULL DEFAULT now(),
	key text,
	value text);
CREATE TABLE bench.bare (id bigint, created timestamptz, key bytea, value bytea);

-- A table that is read, and one for each row that inserts one by one.
CREATE TABLE bench.fetched (LIKE bench.keyed INCLUDING ALL);
CREATE TABLE bench.single (LIKE bench.keyed INCLUDING ALL);
CREATE TABLE bench.waited (LIKE bench.keyed INCLUDING ALL);

-- 1000 values of 100 bytes
CREATE FUNCTION bench.batch() RETURNS bytea[]
LANGUAGE sql
RETURN (SELECT array_agg(decode(lpad(to_hex(i), 200, '0123456789abcdef'), 'hex'))
		FROM generate_series(1, 1000) i);

CREATE FUNCTION bench.text_batch() RETURNS text[]
LANGUAGE sql
RETURN (SELECT array_agg(lpad(to_hex(i), 100, '0123456789abcdef'))
		FROM generate_series(1, 1000) i);

-- Drop a topic if it exists, wait until its segments are gone, create it anew.
CREATE PROCEDURE bench.new_topic(name text, partitions int)
LANGUAGE plpgsql AS $$
DECLARE
	patience timestamptz := clock_timestamp() + interval '60 s';
BEGIN
	PERFORM streamlog.drop_topic(name, if_exists => true);
	COMMIT;
	WHILE EXISTS (SELECT FROM streamlog.topic WHERE dropped) LOOP
		IF clock_timestamp() > patience THEN
			RAISE 'the segments of a dropped topic were not removed within 60 s';
		END IF;
		PERFORM pg_sleep(0.02);
		COMMIT;
	END LOOP;
	PERFORM streamlog.create_topic(name, partitions);
END $$;

CREATE PROCEDURE bench.produce_batches(topic text, batches bigint)
LANGUAGE plpgsql AS $$
DECLARE
	record_values bytea[] := bench.batch();
BEGIN
	FOR i IN 1 .. batches LOOP
		PERFORM streamlog.produce_batch_bytes(topic, NULL, record_values);
	END LOOP;
END $$;

-- PERFORM starts and ends the executor for every call, an assignment does not.
CREATE PROCEDURE bench.assign_produce(topic text, records bigint)
LANGUAGE plpgsql AS $$
DECLARE
	record_values bytea[] := bench.batch();
	record_offset bigint;
BEGIN
	FOR i IN 1 .. records LOOP
		record_offset := streamlog.produce(topic, NULL, record_values[i % 1000 + 1]);
	END LOOP;
END $$;

CREATE PROCEDURE bench.perform_produce(topic text, records bigint)
LANGUAGE plpgsql AS $$
DECLARE
	record_values bytea[] := bench.batch();
BEGIN
	FOR i IN 1 .. records LOOP
		PERFORM streamlog.produce(topic, NULL, record_values[i % 1000 + 1]);
	END LOOP;
END $$;

-- Read all records of one partition after the other, 1000 at a time.  The counts have
-- every record taken apart.
CREATE FUNCTION bench.read_topic(topic text, times bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	records bigint := 0;
	next bigint;
	last bigint;
	n bigint;
	with_key bigint;
	with_value bigint;
BEGIN
	FOR i IN 1 .. times LOOP
		FOR p IN 0 .. (SELECT max(c.partition) FROM streamlog.partitions c
				WHERE c.topic = read_topic.topic) LOOP
			next := 0;
			LOOP
				SELECT count(*), max(record_offset), count(key), count(value)
				INTO n, last, with_key, with_value
				FROM streamlog.fetch_records(topic, p, next, 1000, 100000000);
				EXIT WHEN n = 0;
				records := records + n;
				next := last + 1;
			END LOOP;
		END LOOP;
	END LOOP;
	RETURN records;
END $$;

CREATE FUNCTION bench.read_table() RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	records bigint := 0;
	seen bigint := 0;
	last bigint;
	n bigint;
	with_key bigint;
	with_value bigint;
BEGIN
	LOOP
		SELECT count(*), max(id), count(key), count(value) INTO n, last, with_key, with_value
		FROM (SELECT * FROM bench.fetched WHERE id > seen ORDER BY id LIMIT 1000) page;
		EXIT WHEN n = 0;
		records := records + n;
		seen := last;
	END LOOP;
	RETURN records;
END $$;

-- The same behind a function that returns a page, as fetch_records() does.
CREATE FUNCTION bench.page(seen bigint, max_rows int) RETURNS SETOF bench.fetched
LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT * FROM bench.fetched WHERE id > seen ORDER BY id LIMIT max_rows;
END $$;

CREATE FUNCTION bench.read_table_sets() RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	records bigint := 0;
	seen bigint := 0;
	last bigint;
	n bigint;
	with_key bigint;
	with_value bigint;
BEGIN
	LOOP
		SELECT count(*), max(id), count(key), count(value) INTO n, last, with_key, with_value
		FROM bench.page(seen, 1000);
		EXIT WHEN n = 0;
		records := records + n;
		seen := last;
	END LOOP;
	RETURN records;
END $$;

-- 1000 records each from places at random among the last records.
CREATE FUNCTION bench.read_pages(topic text, last_records bigint, pages bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	records bigint := 0;
	log_end bigint := streamlog.end_offset(topic, 0);
	n bigint;
	with_key bigint;
	with_value bigint;
BEGIN
	FOR i IN 1 .. pages LOOP
		SELECT count(*), count(key), count(value) INTO n, with_key, with_value
		FROM streamlog.fetch_records(topic, 0,
			log_end - 1000 - (random() * (last_records - 1000))::bigint, 1000, 100000000);
		records := records + n;
	END LOOP;
	RETURN records;
END $$;

-- A table of an application whose rows are told to others, by produce_changes()
-- and by an outbox table that a relay would read and empty.
CREATE TABLE bench.with_changes (
	id bigint PRIMARY KEY,
	customer text NOT NULL,
	amount numeric NOT NULL,
	state text NOT NULL,
	created timestamptz NOT NULL);
CREATE TABLE bench.with_outbox (LIKE bench.with_changes INCLUDING ALL);
CREATE TRIGGER changes AFTER INSERT ON bench.with_changes
	FOR EACH ROW EXECUTE FUNCTION streamlog.produce_changes('changes', 'id');

CREATE TABLE bench.outbox (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	aggregate bigint NOT NULL,
	payload json NOT NULL);
CREATE FUNCTION bench.fill_outbox() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO bench.outbox (aggregate, payload) VALUES (NEW.id, row_to_json(NEW));
	RETURN NULL;
END $$;
CREATE TRIGGER outbox AFTER INSERT ON bench.with_outbox
	FOR EACH ROW EXECUTE FUNCTION bench.fill_outbox();

-- What consumers read is put here by INSERT .. SELECT; how far those of tables are.
CREATE TABLE bench.consumed (id bigint, created timestamptz, key bytea, value bytea);
CREATE TABLE bench.position (consumer text PRIMARY KEY, last bigint NOT NULL);

-- Events like the records, with a tick after every 500, each in a transaction; the
-- queue has come with its first tick.  Not
-- by insert_event(), so that it does not take minutes.
CREATE PROCEDURE bench.fill_queue(queue text, ticks bigint)
LANGUAGE plpgsql AS $$
DECLARE
	event_table text := pgq.current_event_table(queue);
	event_values text[] := bench.text_batch();
BEGIN
	SET synchronous_commit = off;
	FOR i IN 1 .. ticks LOOP
		EXECUTE format('INSERT INTO %s (ev_time, ev_type, ev_data)
			SELECT now(), ''record'', v FROM unnest($1[1:500]) v', event_table) USING event_values;
		COMMIT;
		IF pgq.ticker(queue) IS NULL THEN
			RAISE 'there is no tick after 500 events';
		END IF;
		COMMIT;
	END LOOP;
END $$;

-- Consume batches of that many records, each in a transaction.
CREATE PROCEDURE bench.consume_batches(topic text, consumer_group text, batches bigint,
	max_records int)
LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	FOR i IN 1 .. batches LOOP
		SELECT count(value) INTO n FROM streamlog.consume(topic, consumer_group,
			max_records => consume_batches.max_records);
		IF n <> max_records THEN
			RAISE 'a batch has % records', n;
		END IF;
		COMMIT;
	END LOOP;
END $$;

-- Groups "group 1" and so on, of one member; members of one group.
CREATE PROCEDURE bench.join_groups(topic text, first int, last int)
LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN first .. last LOOP
		PERFORM FROM streamlog.poll(topic, 'group ' || i, max_records => 0, member_id => 'member');
		COMMIT;
	END LOOP;
END $$;
CREATE PROCEDURE bench.join_members(topic text, consumer_group text, members int)
LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. members LOOP
		PERFORM FROM streamlog.poll(topic, consumer_group, max_records => 0,
			member_id => 'member ' || i);
		COMMIT;
	END LOOP;
END $$;

-- One record after the other, each by the next one of these groups.
CREATE PROCEDURE bench.consume_in_turn(topic text, groups int, records bigint)
LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. records LOOP
		PERFORM FROM streamlog.consume(topic, 'group ' || i % groups + 1, max_records => 1,
			member_id => 'member');
		COMMIT;
	END LOOP;
END $$;
