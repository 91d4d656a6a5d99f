"""Is what the analysis proves true? Random statements over a small shop; each one that is accepted must do the same with all rows there
and with only the rows there whose shard keys it was said to be restricted to, and must leave all other rows alone. PROOFS_STATEMENTS
and PROOFS_SEED change number and seed; a failure prints the statement."""
import collections
import os
import random
import subprocess

import psycopg2
import psycopg2.errors

from cluster import Scene
from proofs_statements import Generator

TOOL = os.path.join(os.environ["PGROTOR_BUILD"], "tests", "integration", "proofs_tool")
STATEMENTS = int(os.environ.get("PROOFS_STATEMENTS", "15000"))
SEED = os.environ.get("PROOFS_SEED", "1")

SHOP = """
CREATE TABLE customers (customer_id int8 NOT NULL, region int, score int);
CREATE TABLE orders (customer_id int4 NOT NULL, order_id int, total int);
CREATE TABLE lines (customer_id int8 NOT NULL, order_id int, line int);
CREATE TABLE clicks (click_id int, cust int8 NOT NULL, hits int);
CREATE TABLE countries (code int, region int);
SELECT setseed(0.25);
INSERT INTO customers SELECT k, nullif(floor(random() * 4)::int, 0), floor(random() * 3)::int FROM generate_series(1, 5) k;
INSERT INTO orders SELECT 1 + floor(random() * 5), nullif(floor(random() * 4)::int, 0), floor(random() * 6)::int FROM generate_series(1, 9);
INSERT INTO lines SELECT 1 + floor(random() * 5), nullif(floor(random() * 4)::int, 0), floor(random() * 6)::int FROM generate_series(1, 9);
INSERT INTO clicks SELECT floor(random() * 5)::int, 1 + floor(random() * 5), nullif(floor(random() * 3)::int, 0) FROM generate_series(1, 8);
INSERT INTO countries VALUES (1, 1), (2, 2), (5, NULL);
"""
TIMED_OUT = "error 57014"  # a cross join of everything with everything
KEYS = {"customers": "customer_id", "orders": "customer_id", "lines": "customer_id", "clicks": "cust"}


def verdicts(statements):
    done = subprocess.run([TOOL], input="\n".join(statements) + "\n", text=True, stdout=subprocess.PIPE, check=True)
    answers = done.stdout.splitlines()
    assert len(answers) == len(statements)
    return answers


def run(cursor, statement):
    cursor.execute(statement)
    return collections.Counter(cursor.fetchall()) if cursor.description else cursor.rowcount


def contents(cursor, condition, keys):
    found = []
    for table, key in KEYS.items():
        cursor.execute(f"SELECT t::text FROM {table} t WHERE {key} {condition} (%s) ORDER BY 1", (keys,))
        found.append(cursor.fetchall())
    return found


def schema_of(connection, keys, made):
    """A schema that holds only the rows of these keys, made when first asked for."""
    name = "only_" + "_".join(str(key) for key in sorted(keys))
    if name not in made:
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE SCHEMA {name}")
            for table, key in KEYS.items():
                cursor.execute(f"CREATE TABLE {name}.{table} AS SELECT * FROM public.{table} WHERE {key} = ANY (%s)", (keys,))
        connection.commit()
        made.add(name)
    return name


def outcome(connection, statement, schema, keys):
    """What the statement yields and what it makes of the rows of `keys` and of the others; or its error. Nothing is kept."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL search_path = {schema}, public; SET LOCAL statement_timeout = '500ms'")
            result = run(cursor, statement)
            if statement.startswith(("SELECT", "WITH")):
                return result, None, None
            return result, contents(cursor, "= ANY", keys), contents(cursor, "<> ALL", keys)
    except psycopg2.Error as error:
        return f"error {error.pgcode}", None, None
    finally:
        try:
            connection.rollback()
        except psycopg2.errors.QueryCanceled:  # the time-out came only now
            connection.rollback()


def compare(connection, statement, keys, made, counts):
    whole, changed, others = outcome(connection, statement, "public", keys)
    if isinstance(whole, str):
        counts["accepted but in error"] += 1
        return
    part, changed_part, _ = outcome(connection, statement, schema_of(connection, keys, made), keys)
    if part == TIMED_OUT:
        counts["too slow"] += 1
        return
    said = f"with the rows of {keys} only:\n{statement}"
    assert part == whole, f"another result {said}\nall rows:   {whole}\nthose only: {part}"
    assert changed_part == changed, f"other changes {said}\nall rows:   {changed}\nthose only: {changed_part}"
    if others is not None:
        with connection.cursor() as cursor:
            before = contents(cursor, "<> ALL", keys)
        connection.rollback()
        assert others == before, f"rows of other keys than {keys} were changed by\n{statement}"
        counts["writes compared"] += 1
    counts["compared"] += 1
    counts["compared with rows"] += bool(whole)


def main():
    generator = Generator(random.Random(SEED))
    statements = [generator.statement() for _ in range(STATEMENTS)]
    counts, made = collections.Counter(), set()
    with Scene("proofs") as scene:
        connection = scene.cluster("one", log_min_messages="fatal").connect(autocommit=False)
        with connection.cursor() as cursor:
            cursor.execute(SHOP + "ANALYZE")
        connection.commit()
        for statement, verdict in zip(statements, verdicts(statements)):
            word, _, keys = verdict.partition(" ")
            counts[word] += 1
            if word == "keys":
                compare(connection, statement, [int(key) for key in keys.split(",")], made, counts)
        connection.close()
    print(", ".join(f"{word} {count}" for word, count in counts.items()))
    assert counts["compared with rows"] >= STATEMENTS / 50, "too few statements were accepted to mean anything"


if __name__ == "__main__":
    main()
