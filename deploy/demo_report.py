"""The demo's report: what clients felt, the pause by its definition, rows compared, leftovers by query."""
import demo_load
from leftovers import leftovers

STEPS = ("gates closed", "source fenced", "marker applied", "map switched", "target opened", "gates opened")


def integer(row, name):
    return int(float(row.get(name) or 0))


class Report:
    """`moments`: load began, drain typed, last move done, load ended; epoch microseconds."""

    def __init__(self, fleet, load, inventory_before, copying, moments):
        self.fleet, self.load, self.copying, self.moments = fleet, load, copying, moments
        self.errors = [line for each in load for line in each.errors()]
        self.transactions = sorted(each for bench in load for each in bench.transactions())
        numbers = [row["migration"] for row in fleet.console("SHOW MIGRATIONS")]
        self.migrations = [fleet.migration(number) for number in numbers]
        self.leftovers = leftovers(fleet, inventory_before)

    def show(self):
        """Prints everything; True when no client saw an error, no row differs and nothing is left."""
        print("\n== Report")
        median = self._service()
        self._pause(median)
        unfinished = self._moves()
        self._list("client errors", self.errors)
        self._list("leftovers (slots, publications, origins, triggers, functions, sequences, advisory locks, prepared transactions,"
                   " rows not owned)", self.leftovers)
        compared, differing = (sum(integer(row, name) for row in self.migrations) for name in ("rows_compared", "rows_differing"))
        print(f"rows compared: {compared:,}, differing: {differing:,}")
        good = not (self.errors or differing or self.leftovers or unfinished) and compared > 0
        print("\nPASSED" if good else "\nFAILED", flush=True)
        return good

    @staticmethod
    def _list(what, lines):
        print(f"{what}: {len(lines)}")
        for line in lines[:10]:
            print(f"  {line}")

    def _service(self):
        began, drained, ended, finished = self.moments
        windows = {"before": demo_load.Window(self.transactions, began, drained),
                   "during": demo_load.Window(self.transactions, drained, ended),
                   "after": demo_load.Window(self.transactions, ended, finished)}
        print(f"{'':8}{'seconds':>9}{'statements':>12}{'stmt/s':>9}{'tx/s':>8}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}")
        for name, seen in windows.items():
            print(f"{name:8}{seen.seconds:9.1f}{seen.statements:12,}{seen.statements / seen.seconds:9.0f}"
                  f"{seen.transactions / seen.seconds:8.0f}{seen.p50 / 1000:9.2f}{seen.p99 / 1000:9.2f}{seen.worst / 1000:9.2f}")
        return windows["before"].p50

    def _pause(self, median):
        felt = []
        print("\ncutovers: pause at clients (latency from the scheduled start of each transaction that overlaps the closed gate, less"
              " the median before) and time by step, ms")
        print(f"{'':>5}{'felt by':>9}{'p99':>8}{'max':>8}{'gate':>8}  " + "".join(f"{name:>16}" for name in STEPS))
        for row in self.migrations:
            closed, opened = integer(row, "gate_closed_at"), integer(row, "gate_opened_at")
            if not closed:
                continue
            here = sorted(demo_load.pauses(self.transactions, closed, opened, median))
            felt += here
            steps = "".join(f"{integer(row, f'step.cutover.{number}') / 1000:16.2f}" for number in range(1, 7))
            print(f"{row['migration']:>5}{len(here):9}{demo_load.quantile(here, 0.99) / 1000:8.2f}{(here or [0])[-1] / 1000:8.2f}"
                  f"{(opened - closed) / 1000:8.2f}  {steps}")
        felt.sort()
        print(f"pause: p99 {demo_load.quantile(felt, 0.99) / 1000:.2f} ms, max {(felt or [0])[-1] / 1000:.2f} ms, over"
              f" {len(felt)} transactions in {sum(1 for row in self.migrations if integer(row, 'gate_closed_at'))} cutovers")

    def _moves(self):
        print()
        unfinished = []
        for row in self.migrations:
            seconds = self.copying.get(row["migration"])
            print(f"migration {row['migration']} {row['source']} -> {row['target']}: {row['state']}, {integer(row, 'rows_copied'):,} rows,"
                  f" {integer(row, 'bytes_copied') / 1e6:,.0f} MB" + (f", COPYING {seconds:.0f} s" if seconds else "")
                  + f", {integer(row, 'rows_compared'):,} rows compared, {integer(row, 'rows_differing'):,} differ,"
                  f" {integer(row, 'retries')} cutover retries")
            if row["state"] != "DONE":
                unfinished.append(row["migration"])
        return unfinished
