-- What the rows of the transparency runner find in database shop, the same on the direct server and on the shard. Run as superuser.
CREATE ROLE reader NOLOGIN;
GRANT reader TO app;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE pair AS (a int, b text);
CREATE TABLE plain (id int PRIMARY KEY, name text, amount numeric(10,2));
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int PRIMARY KEY, parent_id int CONSTRAINT child_has_parent REFERENCES parent DEFERRABLE INITIALLY IMMEDIATE,
                    CONSTRAINT id_is_small CHECK (id < 1000));
CREATE TABLE unlike (id int UNIQUE DEFERRABLE INITIALLY DEFERRED, word varchar(5) NOT NULL, good positive);
CREATE TABLE nothing ();
CREATE TABLE bulk (id int, body text);
CREATE SEQUENCE counter;
CREATE TABLE accounts (id bigint PRIMARY KEY, owner text, balance numeric(12,2) DEFAULT 0);
CREATE TABLE entries (account_id bigint, no int, note text, PRIMARY KEY (account_id, no));
CREATE VIEW plain_names AS SELECT id, name FROM plain;
CREATE FUNCTION shout(level text, words text) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  IF level = 'debug' THEN RAISE DEBUG '%', words;
  ELSIF level = 'log' THEN RAISE LOG '%', words;
  ELSIF level = 'info' THEN RAISE INFO '%', words;
  ELSIF level = 'notice' THEN RAISE NOTICE '%', words USING DETAIL = 'a detail', HINT = 'a hint';
  ELSIF level = 'warning' THEN RAISE WARNING '%', words USING ERRCODE = '01P77';
  ELSE RAISE EXCEPTION '%', words USING ERRCODE = 'P0077', DETAIL = 'why', HINT = 'what helps', SCHEMA = 'a schema', TABLE = 'a table',
                                        COLUMN = 'a column', DATATYPE = 'a type', CONSTRAINT = 'a constraint';
  END IF;
  RETURN length(words);
END $$;
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n * 2';
CREATE FUNCTION numbers(n int) RETURNS SETOF int LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1..n LOOP RAISE NOTICE 'number %', i; RETURN NEXT i; END LOOP;
END $$;
CREATE PROCEDURE commits_inside(n int) LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1..n LOOP INSERT INTO bulk VALUES (i, 'by a procedure'); COMMIT; END LOOP;
END $$;
CREATE FUNCTION noisy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'row %', NEW.id; RETURN NEW; END $$;
CREATE TABLE watched (id int);
CREATE TRIGGER watched BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION noisy();
CREATE FUNCTION refuses() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'nothing is taken'; END $$;
CREATE TABLE closed (id int);
CREATE TRIGGER closed BEFORE INSERT ON closed EXECUTE FUNCTION refuses();
GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
GRANT ALL ON SEQUENCE counter TO app;
GRANT SELECT ON plain TO reader;
GRANT CREATE, USAGE ON SCHEMA public TO app;
ALTER TABLE plain OWNER TO app;
ALTER TABLE bulk OWNER TO app;
CREATE SCHEMA other AUTHORIZATION app;
CREATE TABLE other.plain (id int, other_column text);
ALTER TABLE other.plain OWNER TO app;
INSERT INTO other.plain VALUES (1, 'the other one');
CREATE TABLE secret (id int);
