// JDBC: statements prepared on the server from the fifth run on, binary transfer, batches in one pipeline, savepoints, COPY, cursors by
// fetch size, generated keys, cancel by time-out, errors. With "session" as argument also what needs the state of a session: SET at connect
// and for the isolation level; otherwise assumeMinServerVersion has it send its settings as startup parameters.
import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.sql.*;
import java.util.UUID;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;
import org.postgresql.util.PSQLException;

public class Client {
  static void expect(boolean is, String what) {
    if (!is) throw new AssertionError(what);
  }

  static String stateOf(Connection db, String sql) throws SQLException {
    try (Statement s = db.createStatement()) {
      s.execute(sql);
      return "none";
    } catch (SQLException failure) {
      return failure.getSQLState();
    }
  }

  public static void main(String[] arguments) throws Exception {
    boolean session = arguments.length > 0 && arguments[0].equals("session");
    String settings = session ? "" : "&assumeMinServerVersion=9.4";
    String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
    try (Connection db = DriverManager.getConnection(url + "?sslmode=disable" + settings, System.getenv("PGUSER"), System.getenv("PGPASSWORD"))) {
      statements(db);
      if (session) db.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
      transactions(db);
      copyAndCursors(db);
      metadata(db);
    }
    String console = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/pgrotor?sslmode=disable";
    try (Connection db = DriverManager.getConnection(console + settings, "admin", System.getenv("CONSOLE_PASSWORD"))) {
      db.setAutoCommit(false);
      try (Statement s = db.createStatement()) {
        s.setFetchSize(2);
        ResultSet rows = s.executeQuery("SHOW SHARDS");
        int count = 0;
        while (rows.next()) expect(rows.getString("shard").equals("s" + ++count), "shard");
        expect(count == 3, "shards");
        rows = s.executeQuery("SHOW RANGES");
        expect(rows.next() && rows.getObject("lower") instanceof Long, "a range");
      }
      db.commit();
      expect(db.isValid(5), "isValid");
    }
    try (Connection db = DriverManager.getConnection(url + "?sslmode=disable" + settings + "&preferQueryMode=simple", System.getenv("PGUSER"),
                                                     System.getenv("PGPASSWORD"))) {
      try (PreparedStatement s = db.prepareStatement("SELECT owner FROM accounts WHERE id = ?")) {
        s.setLong(1, 5);
        ResultSet rows = s.executeQuery();
        expect(rows.next() && rows.getString(1).equals("owner 5"), "simple mode");
      }
    }
    System.out.println("JDBC " + org.postgresql.Driver.class.getPackage().getImplementationVersion());
  }

  static void statements(Connection db) throws SQLException {
    try (PreparedStatement insert = db.prepareStatement("INSERT INTO accounts (id, owner, balance) VALUES (?, ?, ?)");
         PreparedStatement find = db.prepareStatement("SELECT owner, balance FROM accounts WHERE id = ?")) {
      for (long key = 1; key <= 40; key++) {
        insert.setLong(1, key);
        insert.setString(2, "owner " + key);
        insert.setBigDecimal(3, BigDecimal.valueOf(key));
        expect(insert.executeUpdate() == 1, "insert");
      }
      for (long key = 1; key <= 40; key++) {
        find.setLong(1, key);
        try (ResultSet rows = find.executeQuery()) {
          expect(rows.next() && rows.getString(1).equals("owner " + key) && rows.getBigDecimal(2).longValue() == key, "find " + key);
        }
      }
    }
    try (PreparedStatement tokens = db.prepareStatement("INSERT INTO tokens VALUES (?, ?)");
         PreparedStatement words = db.prepareStatement("INSERT INTO words VALUES (?, ?)");
         PreparedStatement entries = db.prepareStatement("INSERT INTO entries VALUES (?, ?, ?)")) {
      for (int number = 0; number < 30; number++) {
        tokens.setObject(1, new UUID(number * 0x9e3779b97f4a7c15L, number));
        tokens.setString(2, "note");
        tokens.executeUpdate();
        words.setString(1, "wörd " + number);
        words.setInt(2, number);
        words.executeUpdate();
        entries.setLong(1, number);
        entries.setInt(2, 1);
        entries.setString(3, "x");
        entries.executeUpdate();
      }
      // A batch is one pipeline; all of it on one shard.
      for (int number = 2; number < 200; number++) {
        entries.setLong(1, 11);
        entries.setInt(2, number);
        entries.setString(3, "batch");
        entries.addBatch();
      }
      expect(entries.executeBatch().length == 198, "batch");
    }
    try (PreparedStatement any = db.prepareStatement("SELECT owner FROM accounts WHERE id = ANY (?)")) {
      for (int i = 0; i < 7; i++) {  // in text first, then in binary
        any.setArray(1, db.createArrayOf("bigint", new Object[] {5L, 5L}));
        ResultSet rows = any.executeQuery();
        expect(rows.next() && rows.getString(1).equals("owner 5"), "any");
      }
    }
    try (PreparedStatement made = db.prepareStatement("INSERT INTO notes (id, body, made) VALUES (?, ?, ?)", Statement.RETURN_GENERATED_KEYS)) {
      made.setInt(1, 1);
      made.setString(2, "text");
      made.setTimestamp(3, new Timestamp(0));
      made.executeUpdate();
      ResultSet keys = made.getGeneratedKeys();
      expect(keys.next() && keys.getInt("id") == 1, "generated keys");
    }
  }

  static void transactions(Connection db) throws Exception {
    db.setAutoCommit(false);
    try (Statement s = db.createStatement()) {
      s.executeUpdate("UPDATE accounts SET balance = 0 WHERE id = 5");
      db.rollback();
      s.executeUpdate("UPDATE accounts SET balance = 50 WHERE id = 6");
      Savepoint a = db.setSavepoint("a");
      try {
        s.executeUpdate("INSERT INTO accounts VALUES (6, 'again')");
        throw new AssertionError("a key was taken twice");
      } catch (PSQLException failure) {
        expect(failure.getSQLState().equals("23505"), failure.getSQLState());
        expect(failure.getServerErrorMessage().getConstraint().equals("accounts_pkey"), "constraint");
      }
      db.rollback(a);
      db.commit();
      ResultSet rows = s.executeQuery("SELECT balance FROM accounts WHERE id = 6");
      expect(rows.next() && rows.getInt(1) == 50, "committed");
      db.commit();
      expect(stateOf(db, "SELECT 1 / 0").equals("22012"), "division");
      expect(stateOf(db, "SELECT 1").equals("25P02"), "failed transaction");
      db.rollback();
    }
    db.setAutoCommit(true);
    try (Statement s = db.createStatement()) {
      s.setQueryTimeout(1);  // cancels over a connection of its own
      s.execute("SELECT pg_sleep(60)");
      throw new AssertionError("was not cancelled");
    } catch (SQLException failure) {
      expect(failure.getSQLState().equals("57014"), failure.getSQLState());
    }
    expect(stateOf(db, "SELECT 1").equals("none"), "after cancel");
  }

  static void copyAndCursors(Connection db) throws Exception {
    CopyManager copy = db.unwrap(PGConnection.class).getCopyAPI();
    StringBuilder lines = new StringBuilder();
    for (int n = 100; n < 1100; n++) lines.append(n).append("\tcopied ").append(n).append('\n');
    expect(copy.copyIn("COPY notes (id, body) FROM STDIN", new StringReader(lines.toString())) == 1000, "copy in");
    StringWriter out = new StringWriter();
    expect(copy.copyOut("COPY (SELECT id FROM notes WHERE id >= 100 ORDER BY id) TO STDOUT", out) == 1000, "copy out");
    try {
      copy.copyIn("COPY notes (id) FROM STDIN", new StringReader("x\n"));
      throw new AssertionError("a broken COPY was taken");
    } catch (SQLException failure) {
      expect(failure.getSQLState().equals("22P02"), failure.getSQLState());
    }
    db.setAutoCommit(false);
    try (PreparedStatement s = db.prepareStatement("SELECT id FROM notes WHERE id >= ? ORDER BY id")) {
      s.setFetchSize(77);  // a portal, executed in parts
      s.setInt(1, 100);
      ResultSet rows = s.executeQuery();
      int expected = 100;
      while (rows.next()) expect(rows.getInt(1) == expected++, "row");
      expect(expected == 1100, "all rows");
    }
    db.commit();
    db.setAutoCommit(true);
  }

  static void metadata(Connection db) throws SQLException {
    ResultSet columns = db.getMetaData().getColumns(null, "public", "accounts", null);
    int count = 0;
    while (columns.next()) ++count;
    expect(count == 3, "columns");
    ResultSet key = db.getMetaData().getPrimaryKeys(null, "public", "entries");
    expect(key.next() && key.next() && !key.next(), "primary key");
    expect(db.isValid(5), "isValid");
  }
}
