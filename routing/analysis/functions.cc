#include "routing/analysis/functions.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "routing/analysis/fixed_settings.h"
#include "routing/analysis/key_constant.h"

namespace routing {
namespace {

// Sorted: looked up by binary search.
constexpr auto harmless = std::to_array<std::string_view>({
    "abbrev", "abs", "acos", "acosd", "acosh", "age", "area", "array_agg", "array_append", "array_cat", "array_dims", "array_fill",
    "array_length", "array_lower", "array_ndims", "array_position", "array_positions", "array_prepend", "array_remove", "array_replace",
    "array_to_json", "array_to_string", "array_to_tsvector", "array_upper", "ascii", "asin", "asind", "asinh", "atan", "atan2", "atan2d",
    "atand", "atanh", "avg", "bit_and", "bit_count", "bit_length", "bit_or", "bit_xor", "bool", "bool_and", "bool_or", "box", "bpchar",
    "broadcast", "btrim", "cardinality", "cash_words", "cbrt", "ceil", "ceiling", "center", "char_length", "character_length", "chr",
    "circle", "clock_timestamp", "concat", "concat_ws", "convert_from", "convert_to", "corr", "cos", "cosd", "cosh", "cot", "cotd",
    "count", "covar_pop", "covar_samp", "cume_dist", "current_schema", "current_setting", "date", "date_bin", "date_part", "date_trunc",
    "datemultirange", "daterange", "decode", "degrees", "dense_rank", "diagonal", "diameter", "div", "encode", "every", "exp", "extract",
    "factorial", "family", "first_value", "float4", "float8", "floor", "format", "gcd", "generate_series", "generate_subscripts",
    "get_bit", "get_byte", "greatest", "hashint8extended", "hashtext", "hashtextextended", "height", "host", "hostmask", "initcap",
    "int2", "int4", "int4multirange", "int4range", "int8", "int8multirange", "int8range", "interval", "is_normalized", "isclosed",
    "isempty", "isfinite", "ishorizontal", "isopen", "isparallel", "isperp", "isvertical", "json_agg", "json_array_elements",
    "json_array_elements_text", "json_array_length", "json_build_array", "json_build_object", "json_each", "json_each_text",
    "json_extract_path", "json_extract_path_text", "json_object", "json_object_agg", "json_object_keys", "json_populate_record",
    "json_populate_recordset", "json_strip_nulls", "json_to_record", "json_to_recordset", "json_typeof", "jsonb_agg",
    "jsonb_array_elements", "jsonb_array_elements_text", "jsonb_array_length", "jsonb_build_array", "jsonb_build_object", "jsonb_each",
    "jsonb_each_text", "jsonb_extract_path", "jsonb_extract_path_text", "jsonb_insert", "jsonb_object", "jsonb_object_agg",
    "jsonb_object_keys", "jsonb_path_exists", "jsonb_path_exists_tz", "jsonb_path_match", "jsonb_path_match_tz", "jsonb_path_query",
    "jsonb_path_query_array", "jsonb_path_query_array_tz", "jsonb_path_query_first", "jsonb_path_query_first_tz", "jsonb_path_query_tz",
    "jsonb_populate_record", "jsonb_populate_recordset", "jsonb_pretty", "jsonb_set", "jsonb_set_lax", "jsonb_strip_nulls",
    "jsonb_to_record", "jsonb_to_recordset", "jsonb_typeof", "justify_days", "justify_hours", "justify_interval", "lag", "last_value",
    "lcm", "lead", "least", "left", "length", "like_escape", "line", "ln", "localtimestamp", "log", "log10", "lower", "lower_inc",
    "lower_inf", "lpad", "lseg", "ltrim", "macaddr8_set7bit", "make_date", "make_interval", "make_time", "make_timestamp",
    "make_timestamptz", "masklen", "max", "md5", "min", "min_scale", "mod", "mode", "multirange", "netmask", "network", "normalize",
    "now", "npoints", "nth_value", "ntile", "nullif", "num_nonnulls", "num_nulls", "numeric", "nummultirange", "numnode", "numrange",
    "octet_length", "overlaps", "overlay", "parse_ident", "pclose", "percent_rank", "percentile_cont", "percentile_disc",
    "pg_encoding_max_length", "pg_lsn", "pg_size_bytes", "pg_size_pretty", "pg_snapshot_xip", "pg_snapshot_xmax", "pg_snapshot_xmin",
    "pg_typeof", "pg_wal_lsn_diff", "pg_walfile_name", "pg_walfile_name_offset", "phraseto_tsquery", "pi", "plainto_tsquery", "point",
    "polygon", "popen", "position", "pow", "power", "querytree", "quote_ident", "quote_literal", "quote_nullable", "radians", "radius",
    "range_agg", "range_intersect_agg", "range_merge", "rank", "regexp_count", "regexp_instr", "regexp_like", "regexp_match",
    "regexp_matches", "regexp_replace", "regexp_split_to_array", "regexp_split_to_table", "regexp_substr", "regr_avgx", "regr_avgy",
    "regr_count", "regr_intercept", "regr_r2", "regr_slope", "regr_sxx", "regr_sxy", "regr_syy", "repeat", "replace", "reverse", "right",
    "round", "row_number", "row_to_json", "rpad", "rtrim", "scale", "set_bit", "set_byte", "set_masklen", "setweight", "sha224", "sha256",
    "sha384", "sha512", "sign", "similar_to_escape", "sin", "sind", "sinh", "slope", "split_part", "sqrt", "starts_with",
    "statement_timestamp", "stddev", "stddev_pop", "stddev_samp", "string_agg", "string_to_array", "string_to_table", "strip", "strpos",
    "substr", "substring", "sum", "tan", "tand", "tanh", "text", "time", "timestamp", "timestamptz", "timetz", "timezone", "to_ascii",
    "to_char", "to_date", "to_hex", "to_json", "to_jsonb", "to_number", "to_timestamp", "to_tsquery", "to_tsvector",
    "transaction_timestamp", "translate", "trim_array", "trim_scale", "trunc", "ts_delete", "ts_filter", "ts_headline", "ts_rank",
    "ts_rank_cd", "tsmultirange", "tsquery_phrase", "tsrange", "tstzmultirange", "tstzrange", "tsvector_to_array", "txid_snapshot_xip",
    "txid_snapshot_xmax", "txid_snapshot_xmin", "unistr", "unnest", "upper", "upper_inc", "upper_inf", "uuid_hash_extended", "var_pop",
    "var_samp", "varchar", "variance", "version", "websearch_to_tsquery", "width", "width_bucket", "xml_is_well_formed_content",
    "xml_is_well_formed_document", "xmlagg", "xmlcomment", "xmlexists", "xpath", "xpath_exists",
});
static_assert(std::is_sorted(harmless.begin(), harmless.end()));

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) noexcept {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool is_constant(const ast::node* cast) noexcept {
  const auto* n = ast::uncast(cast);
  return n && n->node_case == PG_QUERY__NODE__NODE_A_CONST;
}

std::optional<bool> constant_bool(const ast::node* cast) noexcept {
  const auto* n = ast::uncast(cast);
  if (!n || n->node_case != PG_QUERY__NODE__NODE_A_CONST) return std::nullopt;
  const auto& c = *n->a_const;
  if (c.val_case == PG_QUERY__A__CONST__VAL_BOOLVAL) return c.boolval->boolval != 0;
  if (c.val_case != PG_QUERY__A__CONST__VAL_SVAL) return std::nullopt;
  const auto text = ast::text(c.sval->sval);
  if (is_one_of(text, {"t", "true", "on", "yes", "1"})) return true;
  return is_one_of(text, {"f", "false", "off", "no", "0"}) ? std::optional(false) : std::nullopt;
}

bool is_true(const ast::node* n) noexcept { return constant_bool(n).value_or(false); }
bool is_false(const ast::node* n) noexcept { return !constant_bool(n).value_or(true); }

// Sorted. Built-in functions that write, wait or look at the server, and leave nothing behind when their transaction has ended.
constexpr auto quiet = std::to_array<std::string_view>({
    "col_description", "current_database", "current_query", "current_schemas", "current_user", "enum_first", "enum_last", "enum_range",
    "format_type", "gen_random_uuid", "inet_client_addr", "inet_client_port", "inet_merge", "inet_same_family", "inet_server_addr",
    "inet_server_port", "lo_close", "lo_creat", "lo_create", "lo_export", "lo_from_bytea", "lo_get", "lo_import", "lo_lseek",
    "lo_lseek64", "lo_open", "lo_put", "lo_tell", "lo_tell64", "lo_truncate", "lo_truncate64", "lo_unlink", "loread", "lowrite",
    "nextval", "obj_description", "pg_advisory_xact_lock", "pg_advisory_xact_lock_shared", "pg_backend_pid", "pg_blocking_pids",
    "pg_cancel_backend", "pg_char_to_encoding", "pg_client_encoding", "pg_collation_for", "pg_column_size", "pg_conf_load_time",
    "pg_current_snapshot", "pg_current_wal_insert_lsn", "pg_current_wal_lsn", "pg_current_xact_id", "pg_current_xact_id_if_assigned",
    "pg_database_size", "pg_describe_object", "pg_encoding_to_char", "pg_export_snapshot", "pg_filenode_relation", "pg_identify_object",
    "pg_index_column_has_property", "pg_indexes_size", "pg_is_in_recovery", "pg_is_other_temp_schema", "pg_jit_available",
    "pg_last_wal_receive_lsn", "pg_last_wal_replay_lsn", "pg_lock_status", "pg_my_temp_schema", "pg_notification_queue_usage",
    "pg_notify", "pg_options_to_table", "pg_partition_ancestors", "pg_partition_root", "pg_partition_tree", "pg_postmaster_start_time",
    "pg_relation_filenode", "pg_relation_filepath", "pg_relation_is_publishable", "pg_relation_is_updatable", "pg_relation_size",
    "pg_safe_snapshot_blocking_pids", "pg_sequence_last_value", "pg_sequence_parameters", "pg_show_all_settings", "pg_sleep",
    "pg_sleep_for", "pg_sleep_until", "pg_table_size", "pg_tablespace_databases", "pg_tablespace_location", "pg_tablespace_size",
    "pg_terminate_backend", "pg_timezone_abbrevs", "pg_timezone_names", "pg_total_relation_size", "pg_try_advisory_xact_lock",
    "pg_try_advisory_xact_lock_shared", "pg_visible_in_snapshot", "pg_xact_commit_timestamp", "pg_xact_status", "random",
    "row_security_active", "session_user", "setval", "shobj_description", "timeofday", "to_regclass", "to_regcollation",
    "to_regnamespace", "to_regoper", "to_regoperator", "to_regproc", "to_regprocedure", "to_regrole", "to_regtype", "ts_lexize",
    "ts_rewrite", "txid_current", "txid_current_if_assigned", "txid_current_snapshot", "txid_status", "txid_visible_in_snapshot", "user",
});
static_assert(std::is_sorted(quiet.begin(), quiet.end()));

bool is_quiet(std::string_view name) noexcept {
  if (name.starts_with("pg_get_") || name.starts_with("pg_stat_get_") || name.ends_with("_is_visible")) return true;
  if (name.starts_with("has_") && name.ends_with("_privilege")) return true;
  return std::binary_search(quiet.begin(), quiet.end(), name);
}

// Sorted; beside those on advisory locks. currval() and lastval() tell what this session drew, wherever it drew: they are not among them.
constexpr auto of_database = std::to_array<std::string_view>({
    "lo_close", "lo_creat", "lo_create", "lo_export", "lo_from_bytea", "lo_get", "lo_import", "lo_lseek", "lo_lseek64", "lo_open", "lo_put",
    "lo_tell", "lo_tell64", "lo_truncate", "lo_truncate64", "lo_unlink", "loread", "lowrite", "nextval", "pg_copy_logical_replication_slot",
    "pg_copy_physical_replication_slot", "pg_create_logical_replication_slot", "pg_create_physical_replication_slot",
    "pg_create_restore_point", "pg_drop_replication_slot", "pg_export_snapshot", "pg_listening_channels", "pg_logical_emit_message",
    "pg_logical_slot_get_binary_changes", "pg_logical_slot_get_changes", "pg_logical_slot_peek_binary_changes",
    "pg_logical_slot_peek_changes", "pg_notify", "pg_replication_slot_advance", "setval",
});
static_assert(std::is_sorted(of_database.begin(), of_database.end()));

bool makes_slot(std::string_view name) noexcept {
  return is_one_of(name, {"pg_copy_logical_replication_slot", "pg_copy_physical_replication_slot", "pg_create_logical_replication_slot",
                          "pg_create_physical_replication_slot"});
}

bool takes_session_lock(std::string_view name) noexcept {
  return is_one_of(name, {"pg_advisory_lock", "pg_advisory_lock_shared", "pg_try_advisory_lock", "pg_try_advisory_lock_shared"});
}

bool gives_session_lock_back(std::string_view name) noexcept {
  return is_one_of(name, {"pg_advisory_unlock", "pg_advisory_unlock_shared", "pg_advisory_unlock_all"});
}

// A string literal or a parameter, also under casts.
std::optional<setting_name> text_of(const ast::node* cast) {
  const auto* n = ast::uncast(cast);
  if (!n) return std::nullopt;
  if (n->node_case == PG_QUERY__NODE__NODE_PARAM_REF && n->param_ref->number > 0) return static_cast<std::size_t>(n->param_ref->number - 1);
  const bool text = n->node_case == PG_QUERY__NODE__NODE_A_CONST && n->a_const->val_case == PG_QUERY__A__CONST__VAL_SVAL;
  return text ? std::optional<setting_name>(std::string(ast::text(n->a_const->sval->sval))) : std::nullopt;
}

// A constant or a parameter says which setting it is.
void note_set_config(const PgQuery__FuncCall& call, session_effects& out) {
  const bool local = call.n_args == 3 && is_true(call.args[2]);
  const auto name = call.n_args == 3 ? text_of(call.args[0]) : std::nullopt, value = name ? text_of(call.args[1]) : std::nullopt;
  if (value) out.calls.push_back({*name, *value, local});
  else out.unknown_calls = true;
  const auto* constant = name ? std::get_if<std::string>(&*name) : nullptr;
  out.sets_reading = out.sets_reading || !constant || decides_reading(*constant);
  if (local) return;
  const bool first = (out.makes & state::settings) == 0;
  const bool any = !first && out.settings.empty();
  out.makes |= state::settings;
  if (any) return;
  if (name) out.settings.push_back(*name);
  else out.settings.clear();
}

}  // namespace

bool is_harmless_function(const ast::qualified_name& f) noexcept {
  return f.is_builtin() && std::binary_search(harmless.begin(), harmless.end(), f.name);
}

// An id of a transaction is one that commits; ts_rewrite() runs a text.
bool only_looks(const ast::qualified_name& f) noexcept {
  if (is_harmless_function(f)) return true;
  const bool writes = belongs_to_database(f) || is_one_of(f.name, {"pg_current_xact_id", "ts_rewrite", "txid_current"});
  return f.is_builtin() && is_quiet(f.name) && !writes;
}

bool belongs_to_database(const ast::qualified_name& f) noexcept {
  if (!f.is_builtin()) return false;
  if (f.name.starts_with("pg_advisory_") || f.name.starts_with("pg_try_advisory_") || f.name.starts_with("pg_replication_origin_")) return true;
  return std::binary_search(of_database.begin(), of_database.end(), f.name);
}

std::string home_effect_of(const ast::message& m) {
  if (const auto* call = ast::as<PgQuery__FuncCall>(m, pg_query__func_call__descriptor)) {
    const auto f = ast::name_of(ast::list(call->funcname, call->n_funcname));
    if (belongs_to_database(f)) return std::string(f.name) + "()";
  }
  std::string found;
  ast::for_each_child(m, [&](const ast::message& child) {
    if (found.empty()) found = home_effect_of(child);
  });
  return found;
}

bool tells_when_begun(const ast::qualified_name& f) noexcept {
  return f.is_builtin() && is_one_of(f.name, {"age", "localtimestamp", "now", "transaction_timestamp"});
}

bool is_current_time(const ast::message& m) noexcept {
  const auto* f = ast::as<PgQuery__SQLValueFunction>(m, pg_query__sqlvalue_function__descriptor);
  return f && f->op <= PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_LOCALTIMESTAMP_N;
}

// now() is when the transaction began, and two shards would not agree: CURRENT_TIMESTAMP and its like, and 'now' as a literal. The type of a
// cast that is not known here may be one of time.
bool tells_the_time(const ast::message& m) {
  if (is_current_time(m)) return true;
  const auto* cast = ast::as<PgQuery__TypeCast>(m, pg_query__type_cast__descriptor);
  if (!cast) return false;
  const auto type = ast::name_of(ast::list(cast->type_name->names, cast->type_name->n_names));
  return cast_of(*cast->type_name, 0) == key_constant::cast_type::none && !(type.is_builtin() && type.name == "bool");
}

bool is_unbound_call(const PgQuery__FuncCall& call) noexcept {
  const auto f = ast::name_of(ast::list(call.funcname, call.n_funcname));
  if (f.is_builtin() && f.name == "set_config") return call.n_args == 3 && is_constant(call.args[2]);
  return is_harmless_function(f) && !tells_when_begun(f);
}

void note_call(const PgQuery__FuncCall& call, session_effects& out) {
  const auto f = ast::name_of(ast::list(call.funcname, call.n_funcname));
  if (is_harmless_function(f)) return;
  if (!f.is_builtin()) out.makes |= state::anything;
  else if (f.name == "set_config") note_set_config(call, out);
  else if (takes_session_lock(f.name)) out.makes |= state::advisory_locks;
  else if (gives_session_lock_back(f.name)) out.ends |= state::advisory_locks;
  else if (is_one_of(f.name, {"currval", "lastval"})) out.makes |= state::sequence_values;
  else if (f.name == "pg_backend_pid") out.makes |= state::own_process;
  else if (f.name == "setseed") out.makes |= state::random_seed;
  else if (is_one_of(f.name, {"dblink_connect", "dblink_connect_u"})) out.makes |= state::connections;
  else if (makes_slot(f.name)) out.makes |= call.n_args > 2 && !is_false(call.args[2]) ? state::temp_slots : state_bits{};
  else if (f.name == "pg_replication_origin_session_setup") out.makes |= state::origin;
  else if (f.name == "pg_replication_origin_session_reset") out.ends |= state::origin;
  else if (is_one_of(f.name, {"pg_backup_start", "pg_start_backup"})) out.makes |= state::backup;
  else if (is_one_of(f.name, {"pg_backup_stop", "pg_stop_backup"})) out.ends |= state::backup;
  else if (!is_quiet(f.name)) out.makes |= state::anything;
}

}  // namespace routing
