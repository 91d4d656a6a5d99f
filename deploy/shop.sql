-- A small shop, sharded by customer: every primary key contains customer_id, foreign keys stay inside one customer. Countries are a
-- reference table, whole on every shard. Run on each shard as the owner of the tables (deploy/README.md); rights for the
-- application's role `app` are at the end.
CREATE TABLE countries (
  country_code text PRIMARY KEY,
  name         text NOT NULL
);

CREATE TABLE customers (
  customer_id  bigint PRIMARY KEY,
  name         text NOT NULL,
  country_code text NOT NULL REFERENCES countries,
  balance      numeric(14,2) NOT NULL DEFAULT 0,
  profile      text,                                   -- long enough to be TOASTed for some customers
  created_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE orders (
  customer_id  bigint NOT NULL REFERENCES customers,
  order_id     bigint NOT NULL,
  receipt_no   bigint GENERATED ALWAYS AS IDENTITY,    -- not unique across shards: a shard's own count
  status       text NOT NULL DEFAULT 'new',
  total        numeric(12,2) NOT NULL,
  total_gross  numeric(14,4) GENERATED ALWAYS AS (total * 1.19) STORED,
  placed_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (customer_id, order_id)
);

CREATE TABLE order_lines (
  customer_id  bigint NOT NULL,
  order_id     bigint NOT NULL,
  line_no      integer NOT NULL,
  product      text NOT NULL,
  quantity     integer NOT NULL,
  price        numeric(10,2) NOT NULL,
  PRIMARY KEY (customer_id, order_id, line_no),
  FOREIGN KEY (customer_id, order_id) REFERENCES orders ON DELETE CASCADE
);

GRANT SELECT, INSERT, UPDATE, DELETE ON countries, customers, orders, order_lines TO app;
