"""The demo's load: the shop filled through the proxy, pgbench processes with mixed reads and writes, and what their logs say.

pgbench runs open loop (--rate): it starts transactions by schedule whatever the answers do, and logs each one's latency from its
scheduled start, so a pause shows in every transaction that it delays. SIGALRM ends a pgbench as its -T would: logs complete.
"""
import glob
import os
import re
import signal
import threading

from cluster import BIN
from fleet import DATABASE

CUSTOMERS, ORDERS, LINES = 11_000, 100, 2

# name -> (weight, statements, script); every statement names one customer
SCRIPTS = {
    "read_order": (45, 1, "SELECT o.status, o.total, l.product, l.quantity FROM orders o JOIN order_lines l"
                   " ON l.customer_id = o.customer_id AND l.order_id = o.order_id"
                   " WHERE o.customer_id = :customer AND l.customer_id = :customer AND o.order_id = :order;"),
    "read_customer": (25, 1, "SELECT name, balance, country_code FROM customers WHERE customer_id = :customer;"),
    "change_status": (15, 1, "UPDATE orders SET status = 'paid' WHERE customer_id = :customer AND order_id = :order;"),
    "place_order": (12, 5, "BEGIN;\n"
                    "INSERT INTO orders (customer_id, order_id, total) VALUES (:customer, :fresh, 20.50);\n"
                    "INSERT INTO order_lines (customer_id, order_id, line_no, product, quantity, price)"
                    " VALUES (:customer, :fresh, 1, 'tea', 1, 8.50), (:customer, :fresh, 2, 'cup', 2, 6.00);\n"
                    "UPDATE customers SET balance = balance + 20.50 WHERE customer_id = :customer;\n"
                    "COMMIT;"),
    "drop_line": (2, 1, "DELETE FROM order_lines WHERE customer_id = :customer AND order_id = :order AND line_no = 2;"),
    "write_profile": (1, 1, "UPDATE customers SET profile = (SELECT string_agg(md5(:fresh::text || i), '') FROM generate_series(1, 100) i)"
                      " WHERE customer_id = :customer;"),
}
HEAD = "\\set customer random(1, :customers)\n\\set order random(1, :orders)\n\\set fresh random(1000000, 4000000000000000000)\n"


def _fill_customers(fleet, numbers):
    connection = fleet.app(autocommit=False)
    with connection.cursor() as cursor:
        for number in numbers:
            cursor.execute("INSERT INTO customers (customer_id, name, country_code, balance, profile) SELECT %s, 'Customer ' || %s,"
                           " (ARRAY['AT','BE','CH','CZ','DE','DK','FR','IT'])[1 + %s %% 8], 100,"
                           " CASE WHEN %s %% 20 = 0 THEN repeat(md5(%s::text), 200) END", (number,) * 5)
            cursor.execute("INSERT INTO orders (customer_id, order_id, status, total) SELECT %s, i, 'new', 10 + i %% 90"
                           " FROM generate_series(1, %s) i", (number, ORDERS))
            cursor.execute("INSERT INTO order_lines (customer_id, order_id, line_no, product, quantity, price) SELECT %s, i, n,"
                           " 'product ' || (i * 7 + n) %% 1000, 1 + i %% 4, 5 + i %% 40 FROM generate_series(1, %s) i,"
                           " generate_series(1, %s) n", (number, ORDERS, LINES))
            connection.commit()
    connection.close()


def fill(fleet, connections=8):
    """A million orders and more through the proxy, each statement one customer's. Raises what a client saw."""
    errors = []

    def work(first):
        try:
            _fill_customers(fleet, range(first, CUSTOMERS + 1, connections))
        except Exception as error:  # handed to the caller's thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(first,), daemon=True) for first in range(1, connections + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


class Pgbench:
    """One pgbench process against the proxy."""

    def __init__(self, scene, fleet, name, mode, seconds, rate=None, clients=8):
        self.scene, self.name = scene, name
        self.folder = os.path.join(scene.folder, "load-" + name)
        os.mkdir(self.folder, 0o700)
        command = [BIN + "pgbench", "-n", "-M", mode, "-c", str(clients), "-j", "1", "-T", str(seconds), "-h", "127.0.0.1",
                   "-p", str(fleet.pgrotor.port), "-U", "app", "-l", "--log-prefix", os.path.join(self.folder, "transactions"),
                   "--failures-detailed", "-D", f"customers={CUSTOMERS}", "-D", f"orders={ORDERS}"]
        if rate:
            command += ["--rate", f"{rate:.1f}"]
        for script, (weight, _, body) in SCRIPTS.items():
            path = os.path.join(self.folder, script + ".sql")
            with open(path, "w") as file:
                file.write(HEAD + body + "\n")
            command += ["-f", f"{path}@{weight}"]
        with open(os.path.join(self.folder, "summary"), "wb") as summary:
            self.child = scene.run([*command, DATABASE], f"load-{name}/pgbench.log", cwd="/", stdout=summary,
                                   env=dict(os.environ, PGPASSWORD=fleet.app_password))

    def running(self):
        return self.child.poll() is None

    def finish(self, timeout=30):
        """Ends it as its time running out would, and waits."""
        if self.running():
            self.child.send_signal(signal.SIGALRM)
        return self.child.wait(timeout)

    def text(self, name):
        with open(os.path.join(self.folder, name), errors="replace") as file:
            return file.read()

    def tps(self):
        return float(re.search(r"^tps = ([0-9.]+)", self.text("summary"), re.M).group(1))

    def errors(self):
        """What its clients saw: aborted clients with the server's message, transactions that failed, a bad end."""
        lines = [line for line in self.text("pgbench.log").splitlines() if re.search(r"ERROR|FATAL|PANIC|aborted|error:", line)]
        failed = re.search(r"^number of failed transactions: (\d+)", self.text("summary"), re.M)
        if failed and int(failed.group(1)):
            lines.append(f"{self.name}: {failed.group(1)} failed transactions")
        if self.child.returncode and not lines:
            lines.append(f"{self.name}: pgbench ended with {self.child.returncode}")
        return lines

    def transactions(self):
        """[(scheduled start, end, statements)] in epoch microseconds."""
        statements, found = [count for _, count, _ in SCRIPTS.values()], []
        for path in glob.glob(os.path.join(self.folder, "transactions.*")):
            with open(path) as log:
                for line in log:
                    field = line.split()
                    if len(field) < 6 or not field[2].isdigit():
                        continue
                    end = int(field[4]) * 1_000_000 + int(field[5])
                    found.append((end - int(field[2]), end, statements[int(field[3])]))
        return found


def quantile(sorted_values, share):
    """Nearest rank; 0 of nothing."""
    return sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))] if sorted_values else 0


class Window:
    """Transactions that were scheduled between two moments (epoch microseconds)."""

    def __init__(self, transactions, begin, end):
        inside = [each for each in transactions if begin <= each[0] < end]
        latencies = sorted(done - start for start, done, _ in inside)
        self.seconds = max((end - begin) / 1e6, 1e-6)
        self.transactions, self.statements = len(inside), sum(count for _, _, count in inside)
        self.p50, self.p99 = quantile(latencies, 0.50), quantile(latencies, 0.99)
        self.worst = latencies[-1] if latencies else 0


def pauses(transactions, closed, opened, median):
    """Latency less the median, in microseconds, of every transaction that overlaps the closed gate."""
    return [max(0, done - start - median) for start, done, _ in transactions if start <= opened and done >= closed]
