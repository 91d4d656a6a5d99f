#include "routing/functions.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "routing/refusals.h"

namespace routing {
namespace {

// Sorted: looked up by binary search.
constexpr auto harmless = std::to_array<std::string_view>({
    "abs", "age", "array_agg", "array_append", "array_cat", "array_length", "array_lower", "array_ndims", "array_position",
    "array_positions", "array_prepend", "array_remove", "array_replace", "array_to_json", "array_to_string", "array_upper", "ascii", "avg",
    "bit_and", "bit_count", "bit_length", "bit_or", "bit_xor", "bool_and", "bool_or", "btrim", "cardinality", "cbrt", "ceil", "ceiling",
    "char_length", "character_length", "chr", "clock_timestamp", "concat", "concat_ws", "convert_from", "convert_to", "corr", "count",
    "covar_pop", "covar_samp", "cume_dist", "current_schema", "current_setting", "date_bin", "date_part", "date_trunc", "decode", "degrees",
    "dense_rank", "div", "encode", "every", "exp", "extract", "factorial", "first_value", "floor", "format", "gcd", "generate_series",
    "generate_subscripts", "get_bit", "get_byte", "greatest", "hashint8extended", "hashtextextended", "initcap", "isfinite", "json_agg",
    "json_array_elements", "json_array_elements_text", "json_array_length", "json_build_array", "json_build_object", "json_each",
    "json_each_text", "json_extract_path", "json_extract_path_text", "json_object", "json_object_agg", "json_object_keys", "json_strip_nulls",
    "json_to_record", "json_to_recordset", "json_typeof", "jsonb_agg", "jsonb_array_elements", "jsonb_array_elements_text",
    "jsonb_array_length", "jsonb_build_array", "jsonb_build_object", "jsonb_each", "jsonb_each_text", "jsonb_extract_path",
    "jsonb_extract_path_text", "jsonb_insert", "jsonb_object", "jsonb_object_agg", "jsonb_object_keys", "jsonb_path_exists",
    "jsonb_path_query", "jsonb_path_query_array", "jsonb_path_query_first", "jsonb_pretty", "jsonb_set", "jsonb_strip_nulls",
    "jsonb_to_record", "jsonb_to_recordset", "jsonb_typeof", "justify_days", "justify_hours", "justify_interval", "lag", "last_value", "lcm",
    "lead", "least", "left", "length", "ln", "localtimestamp", "log", "log10", "lower", "lower_inc", "lower_inf", "lpad", "ltrim",
    "make_date", "make_interval", "make_time", "make_timestamp", "make_timestamptz", "max", "md5", "min", "mod", "mode", "normalize", "now",
    "nth_value", "ntile", "nullif", "num_nonnulls", "num_nulls", "numnode", "octet_length", "overlaps", "overlay", "percent_rank",
    "percentile_cont", "percentile_disc", "pg_typeof", "phraseto_tsquery", "pi", "plainto_tsquery", "position", "pow", "power",
    "quote_ident", "quote_literal", "quote_nullable", "radians", "range_agg", "range_merge", "rank", "regexp_count", "regexp_instr",
    "regexp_like", "regexp_match", "regexp_matches", "regexp_replace", "regexp_split_to_array", "regexp_split_to_table", "regexp_substr",
    "regr_avgx", "regr_avgy", "regr_count", "regr_intercept", "regr_r2", "regr_slope", "regr_sxx", "regr_sxy", "regr_syy", "repeat",
    "replace", "reverse", "right", "round", "row_number", "row_to_json", "rpad", "rtrim", "scale", "set_bit", "set_byte", "sha224",
    "sha256", "sha384", "sha512", "sign", "split_part", "sqrt", "starts_with", "statement_timestamp", "stddev", "stddev_pop", "stddev_samp",
    "string_agg", "string_to_array", "string_to_table", "strpos", "substr", "substring", "sum", "timezone", "to_char", "to_date", "to_hex",
    "to_json", "to_jsonb", "to_number", "to_timestamp", "to_tsquery", "to_tsvector", "transaction_timestamp", "translate", "trim_array",
    "trim_scale", "trunc", "ts_headline", "ts_rank", "ts_rank_cd", "unistr", "unnest", "upper", "upper_inc", "upper_inf", "uuid_hash_extended",
    "var_pop", "var_samp", "variance", "version", "websearch_to_tsquery", "width_bucket",
});
static_assert(std::is_sorted(harmless.begin(), harmless.end()));

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) noexcept {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool is_true(const ast::node* n) noexcept {
  if (!n) return false;
  if (n->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) return is_true(n->type_cast->arg);
  if (n->node_case != PG_QUERY__NODE__NODE_A_CONST) return false;
  const auto& c = *n->a_const;
  if (c.val_case == PG_QUERY__A__CONST__VAL_BOOLVAL) return c.boolval->boolval != 0;
  if (c.val_case != PG_QUERY__A__CONST__VAL_SVAL) return false;
  return is_one_of(ast::text(c.sval->sval), {"t", "true", "on", "yes", "1"});
}

bool is_session_lock(std::string_view name) noexcept {
  return is_one_of(name, {"pg_advisory_lock", "pg_advisory_lock_shared", "pg_try_advisory_lock", "pg_try_advisory_lock_shared",
                          "pg_advisory_unlock", "pg_advisory_unlock_shared", "pg_advisory_unlock_all"});
}

bool is_large_object_descriptor(std::string_view name) noexcept {
  return is_one_of(name, {"lo_open", "lo_close", "loread", "lowrite", "lo_lseek", "lo_lseek64", "lo_tell", "lo_tell64", "lo_truncate",
                          "lo_truncate64"});
}

}  // namespace

bool is_harmless_function(const ast::qualified_name& f) noexcept {
  return f.is_builtin() && std::binary_search(harmless.begin(), harmless.end(), f.name);
}

std::optional<refusal> refuse_session_function(const PgQuery__FuncCall& call) {
  const auto f = ast::name_of(ast::list(call.funcname, call.n_funcname));
  if (!f.is_builtin()) return std::nullopt;
  if (is_session_lock(f.name)) {
    return session_state(f.name, "Use pg_advisory_xact_lock and its kin, which end with the transaction.");
  }
  if (f.name == "set_config" && !(call.n_args == 3 && is_true(call.args[2]))) {
    return session_state("set_config for the session", "Give true as its third argument, so that the setting ends with the transaction.");
  }
  if (is_one_of(f.name, {"currval", "lastval"})) return session_state(f.name, "Use INSERT ... RETURNING, or keep the result of nextval.");
  if (f.name == "setseed") return session_state(f.name, "Seed the generator in the client.");
  if (is_large_object_descriptor(f.name)) {
    return session_state(f.name, "Use lo_get, lo_put and lo_from_bytea, which need no descriptor.");
  }
  if (f.name == "pg_export_snapshot") return session_state(f.name, "Connect to the shard directly to share a snapshot.");
  if (is_one_of(f.name, {"dblink_connect", "dblink_connect_u", "dblink_disconnect"})) {
    return session_state(f.name, "Give the connection string to each dblink call.");
  }
  return std::nullopt;
}

}  // namespace routing
