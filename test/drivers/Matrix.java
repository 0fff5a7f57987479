/*
 * Matrix.java URL TOPIC: everything that JDBC sends, in all its ways.  It prints what
 * matrix.py says.
 */
import java.io.IOException;
import java.io.StringReader;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.sql.*;
import java.time.*;
import java.util.*;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;
import org.postgresql.util.PGobject;

public class Matrix {
    interface Setter {
        void set(PreparedStatement statement, int i) throws SQLException;
    }

    interface Call {
        void run() throws SQLException;
    }

    record Case(String label, Setter setter, byte[] stored) {}

    static final List<Case> cases = new ArrayList<>();
    static Connection conn;
    static String topic;
    static String mode;

    static byte[] utf8(String text) {
        return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
    }

    static void add(String label, String stored, Setter setter) {
        cases.add(new Case(label, setter, utf8(stored)));
    }

    static PGobject object(String type, String value) throws SQLException {
        PGobject object = new PGobject();
        object.setType(type);
        object.setValue(value);
        return object;
    }

    static void addCases(boolean simple) {
        String special = "\u017c\u00f3\u0142\u0107 \ud83d\udc18 \\ \\u0041 \\x41 '\"%s?\t\n";
        byte[] bytes = {0, (byte) 255, '\\', '\'', '?', (byte) 128};

        add("string", "str", (s, i) -> s.setString(i, "str"));
        add("empty string", "", (s, i) -> s.setString(i, ""));
        add("special string", special, (s, i) -> s.setString(i, special));
        add("object string", special, (s, i) -> s.setObject(i, special));
        add("string as OTHER", special, (s, i) -> s.setObject(i, special, Types.OTHER));
        add("string that looks like bytes", "\\x00ff", (s, i) -> s.setString(i, "\\x00ff"));
        add("character stream", special, (s, i) -> s.setCharacterStream(i, new StringReader(special)));
        add("short", "-7", (s, i) -> s.setShort(i, (short) -7));
        add("int", "42", (s, i) -> s.setInt(i, 42));
        add("long", "1099511627776", (s, i) -> s.setLong(i, 1L << 40));
        add("BigInteger", "1180591620717411303424",
                (s, i) -> s.setObject(i, new BigInteger("1180591620717411303424")));
        add("BigDecimal", "1.50", (s, i) -> s.setBigDecimal(i, new BigDecimal("1.50")));
        add("float", "2.5", (s, i) -> s.setFloat(i, 2.5f));
        add("double", "2.5", (s, i) -> s.setDouble(i, 2.5));
        // a simple query has its parameters pasted in, without their types
        add("boolean", simple ? "TRUE" : "t", (s, i) -> s.setBoolean(i, true));
        add("UUID", "00000000-0000-0000-0000-000000000005", (s, i) -> s.setObject(i, new UUID(0, 5)));
        add("LocalDate", "2001-02-03", (s, i) -> s.setObject(i, LocalDate.of(2001, 2, 3)));
        add("LocalTime", "01:02:03", (s, i) -> s.setObject(i, LocalTime.of(1, 2, 3)));
        add("LocalDateTime", "2001-02-03 04:05:06.000007",
                (s, i) -> s.setObject(i, LocalDateTime.of(2001, 2, 3, 4, 5, 6, 7000)));
        add("OffsetDateTime", "2001-02-03 04:05:06.000007+00",
                (s, i) -> s.setObject(i, OffsetDateTime.of(2001, 2, 3, 4, 5, 6, 7000, ZoneOffset.UTC)));
        // the driver's own text
        add("Date", "2001-02-03 +00", (s, i) -> s.setDate(i, java.sql.Date.valueOf("2001-02-03")));
        add("Timestamp", "2001-02-03 04:05:06.000007+00",
                (s, i) -> s.setTimestamp(i, Timestamp.valueOf("2001-02-03 04:05:06.000007")));
        String document = "{\"b\":  1, \"a\": \"\\\\ \u00e9\"}";
        add("json", document, (s, i) -> s.setObject(i, object("json", document)));
        add("jsonb", simple ? document : "{\"a\": \"\\\\ \u00e9\", \"b\": 1}",
                (s, i) -> s.setObject(i, object("jsonb", document)));
        add("array", simple ? "{\"a\",\"b c\",NULL}" : "{a,\"b c\",NULL}",
                (s, i) -> s.setArray(i, s.getConnection().createArrayOf("text", new Object[] {"a", "b c", null})));
        add("int[]", "{1,2}", (s, i) -> s.setObject(i, new int[] {1, 2}));
        for (int type : new int[] {
            Types.VARCHAR, Types.BINARY, Types.BIGINT, Types.INTEGER, Types.NUMERIC, Types.BOOLEAN,
            Types.TIMESTAMP, Types.OTHER, Types.NULL}) {
            add("null " + type, null, (s, i) -> s.setNull(i, type));
        }
        add("null string", null, (s, i) -> s.setString(i, null));
        add("null object", null, (s, i) -> s.setObject(i, null));
        add("null bytes", null, (s, i) -> s.setBytes(i, null));
        if (!simple) {
            cases.add(new Case("bytes", (s, i) -> s.setBytes(i, bytes), bytes));
            cases.add(new Case("object bytes", (s, i) -> s.setObject(i, bytes), bytes));
            cases.add(new Case("empty bytes", (s, i) -> s.setBytes(i, new byte[0]), new byte[0]));
            cases.add(new Case("binary stream",
                    (s, i) -> s.setBinaryStream(i, new java.io.ByteArrayInputStream(bytes)), bytes));
        }
    }

    static String shown(byte[] data) {
        return data == null ? "-" : "x" + HexFormat.of().formatHex(data);
    }

    static void expect(Long offset, byte[] key, byte[] value, String label) {
        System.out.println(String.join("\t", "record", offset == null ? "-" : offset.toString(), shown(key),
                shown(value), mode + " " + label));
    }

    static void check(boolean condition, String label, Object detail) {
        System.out.println((condition ? "ok" : "not ok") + "\t" + mode + " " + label + "\t"
                + detail.toString().replace('\n', ' '));
    }

    static void fails(String sqlState, String label, Call call) {
        try {
            call.run();
            check(false, label, "no error");
        } catch (SQLException e) {
            check(sqlState.equals(e.getSQLState()), label, e.getSQLState() + " " + e);
        }
    }

    static Long produce(PreparedStatement statement) throws SQLException {
        try (ResultSet result = statement.executeQuery()) {
            result.next();
            return result.getObject(1, Long.class);
        }
    }

    static Long produce(String key, String value) throws SQLException {
        try (PreparedStatement statement = conn.prepareStatement("SELECT produce('" + topic + "', ?, ?)")) {
            statement.setString(1, key);
            statement.setString(2, value);
            return produce(statement);
        }
    }

    static void run(String query) throws SQLException {
        try (Statement statement = conn.createStatement()) {
            statement.execute(query);
        }
    }

    // Each as key and as value, beside others; the statement is prepared once, so that
    // the types of its parameters change under it.
    static void types() throws SQLException {
        Case plain = new Case("x", (s, i) -> s.setString(i, "x"), utf8("x"));
        Case number = new Case("42", (s, i) -> s.setLong(i, 42), utf8("42"));
        Case none = new Case("none", (s, i) -> s.setObject(i, null), null);

        try (PreparedStatement statement = conn.prepareStatement("SELECT produce('" + topic + "', ?, ?)")) {
            for (Case c : cases) {
                for (Case[] pair : new Case[][] {
                    {c, plain}, {plain, c}, {c, c}, {c, number}, {number, c}, {c, none}, {none, c}}) {
                    for (int i = 0; i < 2; i++) {
                        pair[0].setter.set(statement, 1);
                        pair[1].setter.set(statement, 2);
                        expect(produce(statement), pair[0].stored, pair[1].stored, pair[0].label + ", " + pair[1].label);
                    }
                }
            }
        }
        for (Case c : cases) {
            try (PreparedStatement statement = conn.prepareStatement("SELECT produce('" + topic + "', ?, ?)")) {
                c.setter.set(statement, 1);
                plain.setter.set(statement, 2);
                for (int i = 0; i < 7; i++) {
                    if (c.label.endsWith("stream")) {
                        c.setter.set(statement, 1);
                    }
                    expect(produce(statement), c.stored, plain.stored, c.label + " again and again");
                }
            }
        }
        if (mode.startsWith("prepareThreshold=1")) {
            try (Statement statement = conn.createStatement();
                 ResultSet r = statement.executeQuery("SELECT sum(generic_plans) FROM pg_prepared_statements")) {
                r.next();
                check(r.getLong(1) > 0, "generic plans were used", r.getLong(1));
            }
        }
    }

    static void transactions() throws SQLException {
        conn.setAutoCommit(false);
        for (int i = 0; i < 7; i++) {
            check(produce("k", "" + i) == null, "no offset in a transaction", "");
            expect(null, utf8("k"), utf8("" + i), "in a transaction");
            Savepoint savepoint = conn.setSavepoint();
            produce("lost", "" + i);
            conn.rollback(savepoint);
        }
        conn.commit();
        produce("lost", "rolled back");
        conn.rollback();
        conn.setAutoCommit(true);
        Long offset = produce("k", "alone");
        check(offset != null, "an offset outside of a transaction", "");
        expect(offset, utf8("k"), utf8("alone"), "alone");
    }

    // addBatch() sends all in one go: they are one transaction also with autocommit
    static void batches() throws SQLException {
        for (boolean autoCommit : new boolean[] {true, false}) {
            conn.setAutoCommit(autoCommit);
            try (PreparedStatement statement = conn.prepareStatement("SELECT produce('" + topic + "', ?, ?)")) {
                for (int i = 0; i < 10; i++) {
                    statement.setString(1, "batch");
                    statement.setInt(2, i);
                    statement.addBatch();
                    expect(null, utf8("batch"), utf8("" + i), "addBatch");
                }
                check(statement.executeBatch().length == 10, "executeBatch", "");
            }
            if (!autoCommit) {
                conn.commit();
            }
            conn.setAutoCommit(true);
        }

        String[] values = {null, "", "\\ '\u00e9", "{}"};
        try (PreparedStatement statement = conn.prepareStatement(
                "SELECT record_offset FROM produce_batch(?, ?, ?)")) {
            for (int i = 0; i < 7; i++) {
                statement.setString(1, topic);
                statement.setObject(2, values);
                statement.setArray(3, conn.createArrayOf("text", values));
                try (ResultSet result = statement.executeQuery()) {
                    for (String value : values) {
                        result.next();
                        expect(result.getLong(1), utf8(value), utf8(value), "produce_batch");
                    }
                }
            }
        }
        byte[][] bytes = {{0, (byte) 255}, null, {}};
        try (PreparedStatement statement = conn.prepareStatement(
                "SELECT record_offset FROM produce_batch_bytes(?, NULL, ?)")) {
            statement.setString(1, topic);
            statement.setObject(2, bytes);
            try (ResultSet result = statement.executeQuery()) {
                for (byte[] value : bytes) {
                    result.next();
                    expect(result.getLong(1), null, value, "produce_batch_bytes");
                }
            }
        }
    }

    // COPY and INSERT, the latter also as the driver rewrites many to one
    static void tables(boolean simple) throws SQLException, IOException {
        CopyManager copy = conn.unwrap(PGConnection.class).getCopyAPI();
        String text = "\u017c \\ \\u0041 ,'";

        copy.copyIn("COPY topic_text." + topic + " (key, value) FROM STDIN (FORMAT csv)",
                new StringReader("k,\"" + text + "\"\n,\"\"\n"));
        expect(null, utf8("k"), utf8(text), "COPY of text");
        expect(null, null, utf8(""), "COPY of text");
        for (String schema : simple ? new String[] {"topic_text"} : new String[] {"topic", "topic_text"}) {
            boolean isText = schema.equals("topic_text");

            try (PreparedStatement statement = conn.prepareStatement(
                    "INSERT INTO " + schema + "." + topic + " (key, value) VALUES (?, ?)")) {
                for (String value : new String[] {text, "", null}) {
                    for (int i = 0; i < 7; i++) {
                        if (isText) {
                            statement.setString(1, value);
                            statement.setString(2, value);
                        } else {
                            statement.setBytes(1, utf8(value));
                            statement.setBytes(2, utf8(value));
                        }
                        if (i < 3) {
                            check(statement.executeUpdate() == 1, "one record", "");
                        } else {
                            statement.addBatch();
                        }
                        expect(null, utf8(value), utf8(value), "INSERT into " + schema);
                    }
                    check(statement.executeBatch().length == 4, "four records", "");
                }
            }
        }
    }

    static void calls() throws SQLException {
        for (boolean autoCommit : new boolean[] {true, false}) {
            conn.setAutoCommit(autoCommit);
            try (CallableStatement call = conn.prepareCall("{? = call produce(?, ?, ?)}")) {
                call.registerOutParameter(1, Types.BIGINT);
                call.setString(2, topic);
                call.setString(3, "call");
                call.setLong(4, 7);
                for (int i = 0; i < 7; i++) {
                    call.execute();
                    Object offset = call.getObject(1);
                    check((offset != null) == autoCommit, "the offset of a call", "" + offset);
                    expect((Long) offset, utf8("call"), utf8("7"), "a call");
                }
            }
            if (!autoCommit) {
                conn.commit();
            }
        }
        conn.setAutoCommit(true);
    }

    // all arguments, and what a fetch returns
    static void reading() throws SQLException {
        Long offset;

        try (PreparedStatement statement = conn.prepareStatement(
                "SELECT produce(topic => ?, key => ?, value => ?, headers => headers(?::jsonb),"
                + " partition => ?, record_time => ?)")) {
            statement.setString(1, topic);
            statement.setString(2, "k");
            statement.setString(3, "v");
            statement.setString(4, "[{\"a\": \"\u00e9\"}, {\"a\": null}]");
            statement.setInt(5, 0);
            statement.setObject(6, OffsetDateTime.parse("2020-01-02T03:04:05.678901Z"));
            offset = produce(statement);
            expect(offset, utf8("k"), utf8("v"), "all arguments");
        }
        try (PreparedStatement statement = conn.prepareStatement(
                "SELECT record_offset, timestamp, partition, key, value, topic,"
                + " array(SELECT as_text(value) FROM unnest(headers)) AS headers"
                + " FROM fetch_records(?, ?, ?, max_wait => ?::interval)")) {
            for (int i = 0; i < 7; i++) {
                statement.setString(1, topic);
                statement.setInt(2, 0);
                statement.setLong(3, offset);
                statement.setString(4, "1s");
                try (ResultSet r = statement.executeQuery()) {
                    check(r.next() && r.getLong("record_offset") == offset
                            && r.getObject("timestamp", OffsetDateTime.class)
                                    .isEqual(OffsetDateTime.parse("2020-01-02T03:04:05.678901Z"))
                            && r.getInt("partition") == 0 && Arrays.equals(r.getBytes("key"), utf8("k"))
                            && Arrays.equals(r.getBytes("value"), utf8("v")) && r.getString("topic").equals(topic)
                            && Arrays.equals((Object[]) r.getArray("headers").getArray(), new String[] {"\u00e9", null})
                            && !r.next(), "a record as it is fetched", "");
                }
            }
        }

        // a portal that is read a little at a time
        conn.setAutoCommit(false);
        try (Statement statement = conn.createStatement()) {
            statement.setFetchSize(100);
            try (ResultSet r = statement.executeQuery("SELECT record_offset FROM fetch_records('" + topic
                    + "', 0, 0, 1000000, 1000000000)")) {
                long before = -1;
                long n = 0;
                while (r.next()) {
                    if (r.getLong(1) != before + 1) {
                        break;
                    }
                    before = r.getLong(1);
                    n++;
                }
                check(n > 250, "a result a little at a time", n);
            }
        }
        conn.commit();
        conn.setAutoCommit(true);
    }

    static void errors(boolean simple) throws SQLException {
        Map<String, Call> calls = new LinkedHashMap<>();

        calls.put("SL007", () -> run("SELECT produce('missing', 'k', 'v')"));
        calls.put("SL002", () -> produce("lost", "x".repeat(2000000)));
        calls.put("SL003", () -> run("SELECT produce('" + topic + "', 'k', 'v', record_time => '1969-01-01')"));
        calls.put("SL001", () -> run("SELECT * FROM fetch_records('" + topic + "', 0, 1000000000)"));
        for (Map.Entry<String, Call> e : calls.entrySet()) {
            String state = e.getKey();

            fails(state, state + " outside of a transaction", e.getValue());
            expect(produce("k", state), utf8("k"), utf8(state), "after " + state);
            conn.setAutoCommit(false);
            produce("lost", state);
            fails(state, state + " in a transaction", e.getValue());
            fails("25P02", "the transaction has failed with " + state, () -> produce("lost", "x"));
            conn.rollback();
            conn.setAutoCommit(true);
            expect(produce("k", state), utf8("k"), utf8(state), "after " + state + " and a rollback");
        }
        if (!simple) {
            brokenBatch();
        }
        try (PreparedStatement statement = conn.prepareStatement("SELECT produce('" + topic + "', 'k', 'update')")) {
            fails("0100E", "executeUpdate() of a SELECT", () -> statement.executeUpdate());
            expect(null, utf8("k"), utf8("update"), "executeUpdate() of a SELECT");
        }
    }

    // As one transaction: what was before the error is gone, too.
    static void brokenBatch() throws SQLException {
        try (PreparedStatement statement = conn.prepareStatement("SELECT produce(?, 'k', 'v')")) {
            for (String name : new String[] {topic, "missing", topic}) {
                statement.setString(1, name);
                statement.addBatch();
            }
            fails("SL007", "an error in a batch", () -> statement.executeBatch());
        }
        expect(produce("k", "after"), utf8("k"), utf8("after"), "after a broken batch");
    }

    public static void main(String[] args) throws SQLException, IOException {
        topic = args[1];
        TimeZone.setDefault(TimeZone.getTimeZone("UTC"));
        for (String options : new String[] {
            "prepareThreshold=1&binaryTransfer=true", "prepareThreshold=-1&binaryTransfer=true",
            "prepareThreshold=1&binaryTransfer=false", "prepareThreshold=0", "prepareThreshold=1&stringtype=unspecified",
            "reWriteBatchedInserts=true&prepareThreshold=1", "preferQueryMode=extendedForPrepared", "preferQueryMode=extendedCacheEverything",
            "preferQueryMode=simple"}) {
            boolean simple = options.equals("preferQueryMode=simple");

            mode = options;
            conn = DriverManager.getConnection(args[0] + "&" + options);
            cases.clear();
            addCases(simple);
            types();
            transactions();
            tables(simple);
            if (!simple) {
                batches();
                calls();
            }
            reading();
            errors(simple);
            conn.close();
        }
    }
}
