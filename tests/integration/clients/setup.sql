-- What every client finds on each shard. accounts, entries (bigint), tokens (uuid) and words (text) are sharded, notes and numbers are not.
CREATE TABLE accounts (id bigint PRIMARY KEY, owner text NOT NULL, balance numeric(12,2) NOT NULL DEFAULT 0);
CREATE TABLE entries (account_id bigint NOT NULL, no int NOT NULL, note text, PRIMARY KEY (account_id, no));
CREATE TABLE tokens (token uuid PRIMARY KEY, note text);
CREATE TABLE words (word text PRIMARY KEY, length int NOT NULL);
CREATE TABLE notes (id int PRIMARY KEY, body text, made timestamptz, extra jsonb, tags text[], CONSTRAINT body_is_short CHECK (length(body) < 1000));
CREATE SEQUENCE numbers;
GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
GRANT ALL ON SEQUENCE numbers TO app;
GRANT CREATE ON SCHEMA public TO app;
