-- Between two rows: the tables of setup.sql as every row expects them. Run as superuser in one transaction.
SET LOCAL lock_timeout = '1s';
SET LOCAL client_min_messages = warning;
-- Not DELETE: what is free in a page, and so the order of rows without ORDER BY, would depend on when it was pruned.
TRUNCATE plain, child, parent, unlike, bulk, watched, accounts, entries;
INSERT INTO plain VALUES (1, 'one', 1.00), (2, 'two', 2.50), (3, NULL, NULL);
INSERT INTO parent VALUES (1), (2);
INSERT INTO child VALUES (1, 1);
INSERT INTO unlike VALUES (1, 'a', 1), (2, 'b', 2);
INSERT INTO accounts VALUES (1, 'ann', 10), (2, 'bob', 20), (77, NULL, 0);
INSERT INTO entries VALUES (1, 1, 'first'), (1, 2, 'second'), (2, 1, 'his');
SELECT setval('counter', 1, false);
DO $$
DECLARE made record;
BEGIN
  FOR made IN SELECT oid::regclass AS name FROM pg_class WHERE relkind IN ('r', 'S') AND relowner = 'app'::regrole AND relpersistence = 'p'
              AND relname NOT IN ('plain', 'bulk') LOOP
    EXECUTE format('DROP TABLE IF EXISTS %s CASCADE', made.name);
  END LOOP;
END $$;
SELECT lo_unlink(oid) FROM pg_largeobject_metadata;
