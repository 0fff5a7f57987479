/*
 * Consume.java URL TOPIC: consumers with JDBC, under both rules; see consumers.py.
 */
import java.nio.charset.StandardCharsets;
import java.sql.*;
import java.util.*;
import org.postgresql.util.PGInterval;

public class Consume {
    static final int COUNT = 30;

    interface Batch {
        List<Row> next() throws SQLException;
    }

    record Row(int partition, long offset, String key, byte[] value) {
        boolean isExpected() {
            long i = offset * 3 + partition;
            return key.equals("k" + i)
                    && Arrays.equals(value, ("\0\u00ff\\" + i).getBytes(StandardCharsets.ISO_8859_1));
        }

        String place() {
            return partition + "/" + offset;
        }
    }

    static Connection conn;
    static Connection watch;
    static String topic;
    static String group;

    static void check(boolean condition, String label, Object detail) {
        System.out.println((condition ? "ok" : "not ok") + "\t" + group + ": " + label + "\t"
                + detail.toString().replace('\n', ' '));
    }

    static long committed() throws SQLException {
        try (PreparedStatement statement = watch.prepareStatement(
                "SELECT coalesce(sum(next_offset), 0) FROM consumer_groups g, committed_offsets(g.consumer_group)"
                + " WHERE g.consumer_group = ?")) {
            statement.setString(1, group);
            ResultSet r = statement.executeQuery();
            r.next();
            return r.getLong(1);
        }
    }

    static String places(List<Row> rows) {
        return String.join(" ", rows.stream().map(Row::place).toList());
    }

    static void complete(List<Row> rows) {
        Map<Integer, Long> next = new HashMap<>();
        boolean isRight = rows.size() == COUNT;

        for (Row row : rows) {
            isRight = isRight && row.isExpected() && row.offset == next.getOrDefault(row.partition, 0L);
            next.put(row.partition, row.offset + 1);
        }
        check(isRight, "each record once, in order, as it was produced", places(rows));
    }

    static List<Row> rows(ResultSet r) throws SQLException {
        List<Row> rows = new ArrayList<>();

        while (r.next()) {
            rows.add(new Row(r.getInt(1), r.getLong(2), r.getString(3), r.getBytes(4)));
        }
        return rows;
    }

    // The statement is prepared by the driver, and after prepareThreshold executions by
    // the server.
    static Batch batch(PreparedStatement statement) throws SQLException {
        statement.setString(1, topic);
        statement.setString(2, group);
        statement.setInt(3, 4);
        return () -> rows(statement.executeQuery());
    }

    static PreparedStatement select(String function) throws SQLException {
        return conn.prepareStatement("SELECT partition, record_offset, as_text(key), value FROM " + function
                + "(?, ?, max_records => ?)");
    }

    static void deferred(Batch batch) throws SQLException {
        List<Row> rows = new ArrayList<>();

        for (List<Row> more = batch.next(); !more.isEmpty(); more = batch.next()) {
            check(committed() == rows.size(), "this call has committed what came before", committed());
            rows.addAll(more);
        }
        complete(rows);
        check(committed() == COUNT, "all is committed", committed());
    }

    static void withTransaction(Batch batch) throws SQLException {
        List<Row> rows = new ArrayList<>();
        List<Row> more;

        conn.setAutoCommit(false);
        batch.next();
        conn.rollback();
        do {
            more = batch.next();
            Savepoint savepoint = conn.setSavepoint();
            batch.next();
            conn.rollback(savepoint);
            check(committed() == rows.size(), "not before the commit", committed());
            conn.commit();
            rows.addAll(more);
        } while (!more.isEmpty());
        conn.setAutoCommit(true);
        complete(rows);
        check(committed() == COUNT, "all is committed", committed());
    }

    // consume() was run to its end, whatever of its result is read.
    static void someOfABatch(String mode) throws SQLException {
        group = mode + ", setMaxRows";
        try (PreparedStatement statement = select("consume")) {
            statement.setMaxRows(1);
            Batch batch = batch(statement);
            batch.next();
            batch.next();
            check(committed() == 4, "the next call commits the whole batch", committed());
        }
        group = mode + ", some of a cursor";
        conn.setAutoCommit(false);
        try (PreparedStatement statement = select("consume")) {
            statement.setFetchSize(1);
            batch(statement);
            try (ResultSet r = statement.executeQuery()) {
                r.next();
            }
        }
        conn.commit();
        conn.setAutoCommit(true);
        check(committed() == 4, "all of the batch is committed", committed());
    }

    // With autosave the driver sets savepoints of its own, and goes back to them.
    static void afterAnError(String mode) throws SQLException {
        group = mode + ", error";
        conn.setAutoCommit(false);
        try (PreparedStatement statement = select("consume"); Statement bad = conn.createStatement()) {
            Batch batch = batch(statement);
            batch.next();
            try {
                bad.executeQuery("SELECT 1 / 0");
            } catch (SQLException e) {
                check(e.getSQLState().equals("22012"), "an error", e);
            }
            check(batch.next().size() == 4, "the transaction goes on", "");
        }
        conn.commit();
        conn.setAutoCommit(true);
        check(committed() == 8, "what was consumed before the error is committed, too", committed());
    }

    static void polled(boolean isSimple) throws SQLException {
        List<Row> rows = new ArrayList<>();

        try (PreparedStatement poll = conn.prepareStatement(
                "SELECT partition, record_offset, as_text(key), value"
                + " FROM poll(?, ?, max_records => 4, partitions => ?, max_wait => ?)");
             PreparedStatement commit = conn.prepareStatement(
                "SELECT * FROM commit_offsets(?, ?, partitions => ?, next_offsets => ?)")) {
            while (true) {
                poll.setArray(1, conn.createArrayOf("text", new String[] {topic}));
                poll.setString(2, group);
                if (isSimple) {
                    poll.setArray(3, conn.createArrayOf("int4", new Integer[] {0, 1, 2}));
                } else {
                    poll.setObject(3, new int[] {0, 1, 2});
                }
                poll.setObject(4, new PGInterval("0"));
                List<Row> more = rows(poll.executeQuery());
                if (more.isEmpty()) {
                    break;
                }
                rows.addAll(more);
                SortedMap<Integer, Long> next = new TreeMap<>();
                for (Row row : more) {
                    next.put(row.partition, row.offset + 1);
                }
                commit.setString(1, topic);
                commit.setString(2, group);
                commit.setArray(3, conn.createArrayOf("int4", next.keySet().toArray()));
                commit.setArray(4, conn.createArrayOf("int8", next.values().toArray()));
                SortedMap<Integer, Long> done = new TreeMap<>();
                ResultSet r = commit.executeQuery();
                while (r.next()) {
                    done.put(r.getInt("partition"), r.getLong("next_offset"));
                }
                check(done.equals(next), "what it committed", done);
            }
        }
        complete(rows);
    }

    public static void main(String[] args) throws SQLException {
        topic = args[1];
        watch = DriverManager.getConnection(args[0]);
        for (String mode : new String[] {
            "prepareThreshold=1", "prepareThreshold=5", "prepareThreshold=-1&binaryTransfer=true",
            "prepareThreshold=1&binaryTransfer=false", "prepareThreshold=0", "autosave=always",
            "preferQueryMode=simple"}) {
            boolean isSimple = mode.equals("preferQueryMode=simple");

            conn = DriverManager.getConnection(args[0] + "&" + mode);
            group = mode + ", deferred";
            try (PreparedStatement statement = select("consume")) {
                statement.setFetchSize(2); // nothing without a transaction
                deferred(batch(statement));
            }
            for (int fetchSize : new int[] {0, 2}) {
                group = mode + ", block, fetch size " + fetchSize;
                try (PreparedStatement statement = select("consume")) {
                    statement.setFetchSize(fetchSize);
                    withTransaction(batch(statement));
                }
            }
            group = mode + ", poll";
            polled(isSimple);
            someOfABatch(mode);
            if (mode.equals("autosave=always")) {
                afterAnError(mode);
            }
            conn.close();
        }
    }
}
