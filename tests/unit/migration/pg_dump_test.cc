#include "migration/shard/pg_dump.h"

#include <doctest/doctest.h>

using migration::entries_of;
using migration::wanted_statements;

// As pg_dump 15 writes it for a table under a guard, shortened.
TEST_CASE("pg_dump: session settings, psql's commands, comments and our guards are left out") {
  const std::string_view dump = R"(--
-- PostgreSQL database dump
--

\restrict 5L7mZq

SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);
SET row_security = off;

SET default_table_access_method = heap;

--
-- Name: orders; Type: TABLE; Schema: shop; Owner: shop_owner
--

CREATE TABLE shop.orders (
    customer_id bigint NOT NULL,
    note text DEFAULT 'a;b'::text
);


ALTER TABLE shop.orders OWNER TO shop_owner;

ALTER TABLE ONLY shop.orders
    ADD CONSTRAINT orders_pkey PRIMARY KEY (customer_id);

CREATE TRIGGER mine BEFORE INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.mine();

CREATE TRIGGER "~~pgrotor_7_ins" BEFORE INSERT ON shop.orders FOR EACH ROW WHEN (true) EXECUTE FUNCTION pgrotor.guard_7();

ALTER TABLE shop.orders ENABLE ALWAYS TRIGGER "~~pgrotor_7_ins";

CREATE TRIGGER "~~pgrotor_owner" AFTER INSERT OR UPDATE ON shop.orders FOR EACH ROW WHEN (true) EXECUTE FUNCTION pgrotor.not_owned('customer_id');

ALTER TABLE shop.orders ENABLE ALWAYS TRIGGER "~~pgrotor_owner";

COMMENT ON TRIGGER "~~pgrotor_owner" ON shop.orders IS 'pgrotor: this shard owns placements [-5, )';

GRANT SELECT ON TABLE shop.orders TO app;

\unrestrict 5L7mZq
)";
  CHECK(wanted_statements(dump) == R"(CREATE TABLE shop.orders (
    customer_id bigint NOT NULL,
    note text DEFAULT 'a;b'::text
);
ALTER TABLE shop.orders OWNER TO shop_owner;
ALTER TABLE ONLY shop.orders
    ADD CONSTRAINT orders_pkey PRIMARY KEY (customer_id);
CREATE TRIGGER mine BEFORE INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.mine();
GRANT SELECT ON TABLE shop.orders TO app;
)");
  CHECK(wanted_statements("").empty());
}

TEST_CASE("pg_dump: entries with the statements between their headers") {
  const auto entries = entries_of(R"(--
-- PostgreSQL database dump
--

SET row_security = off;

--
-- Name: mood; Type: TYPE; Schema: public; Owner: shop_owner
--

CREATE TYPE public.mood AS ENUM (
    'ok'
);


ALTER TYPE public.mood OWNER TO shop_owner;

--
-- Name: odd; Type: (text, text); Type: FUNCTION; Schema: kinds; Owner: -
--

CREATE FUNCTION kinds."odd; Type: "(text, text) RETURNS void
    LANGUAGE plpgsql
    AS $$BEGIN
  -- Name: nothing

  RETURN;
END$$;


--
-- PostgreSQL database dump complete
--

\unrestrict 5L7mZq
)");
  REQUIRE(entries.size() == 2);
  CHECK(entries[0].type == "TYPE");
  CHECK(entries[0].schema == "public");
  CHECK(entries[0].name == "mood");
  CHECK(entries[0].sql == "CREATE TYPE public.mood AS ENUM (\n    'ok'\n);\n\n\nALTER TYPE public.mood OWNER TO shop_owner;");
  CHECK(entries[1].type == "FUNCTION");
  CHECK(entries[1].name == "odd; Type: (text, text)");
  CHECK(entries[1].sql.ends_with("-- Name: nothing\n\n  RETURN;\nEND$$;"));
  CHECK(entries_of("").empty());
}
