#include "proxy/config/config.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "migration/base/log.h"
#include "proxy/config/dsn.h"
#include "proxy/config/shard_address.h"
#include "proxy/config/toml_section.h"

namespace proxy {
namespace {

constexpr std::int64_t hour_ms = 3'600'000, year_ms = 365 * 24 * hour_ms;

bool is_shard_name(std::string_view name) {
  const auto letter = [](char c) { return c >= 'a' && c <= 'z'; };
  return !name.empty() && name.size() <= 63 && letter(name.front()) &&
         std::ranges::all_of(name, [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '_'; });
}

bool asks_for_primary(const std::string& dsn) {
  const auto attrs = parse_shard_dsn(dsn).attrs;
  return attrs == session_attrs::read_write || attrs == session_attrs::primary;
}

class loader {
 public:
  explicit loader(const std::string& path) : problems_(path) { out_.path = path; }

  config load() {
    try {
      root_ = toml::parse_file(out_.path);
    } catch (const toml::parse_error& error) {
      problems_.add(static_cast<int>(error.source().begin.line), "", error.description());
      throw config_error(problems_.text());
    }
    toml_section top(&root_, "", 0, problems_);
    top.text("default_shard", out_.default_shard);
    read_endpoints(top);
    read_tls(top);
    read_auth(top);
    read_catalog(top);
    read_shards(top);
    read_proxy(top);
    read_bounds(top);
    read_rest(top);
    top.finish();
    check_default_shard(top);
    if (!problems_.empty()) throw config_error(problems_.text());
    return std::move(out_);
  }

 private:
  toml_section section(toml_section& top, std::string_view name) {
    top.allow(name);
    const toml::node* node = root_.get(name);
    const toml::table* table = node == nullptr ? nullptr : node->as_table();
    if (node != nullptr && table == nullptr) top.problem(name, fmt::format("must be a section, [{}]", name));
    return {table, std::string(name), top.line_of(name), problems_};
  }

  void read_endpoint(toml_section part, endpoint& out) {
    part.text("host", out.host);
    part.integer("port", out.port, 0, 65535);
    if (out.host.empty()) part.problem("host", "is empty; 0.0.0.0 listens on every address");
    if (&out == &out_.listen) part.allow("tls");
    part.finish();
  }
  void read_endpoints(toml_section& top) {
    read_endpoint(section(top, "listen"), out_.listen);
    auto http = section(top, "http");
    read_endpoint(http, out_.http);
    if (out_.http.port != 0 && out_.http.port == out_.listen.port) {
      http.problem("port", fmt::format("{} is the port of [listen] too; choose another", out_.http.port));
    }
  }

  void read_tls(toml_section& top) {
    const auto node = root_.at_path("listen.tls");
    if (!node) return;
    const toml::table* table = node.as_table();
    if (table == nullptr) return top.problem("listen.tls", "must be a section, [listen.tls]");
    auto& tls = out_.tls;
    tls.line = static_cast<int>(table->source().begin.line);
    toml_section part(table, "listen.tls", tls.line, problems_);
    std::string mode;
    part.text("mode", mode);
    part.text("certificate", tls.certificate);
    part.text("key", tls.key);
    part.text("client_ca", tls.client_ca);
    part.finish();
    if (mode.empty() && !tls.certificate.empty()) part.problem("mode", "is missing; allow or require make use of the certificate");
    if (mode.empty() || mode == "disable") return;
    tls.how = mode == "require" ? listen_tls::mode::require : listen_tls::mode::allow;
    if (mode != "allow" && mode != "require") part.problem("mode", fmt::format("\"{}\" is none of disable, allow, require", mode));
    if (tls.certificate.empty()) part.problem("certificate", "is missing; it names a file with pgrotor's certificate in PEM");
    if (tls.key.empty()) part.problem("key", "is missing; it names a file with the certificate's private key in PEM");
    if (!tls.client_ca.empty() && tls.how != listen_tls::mode::require)
      part.problem("client_ca", "asks for certificates of clients that use TLS only; set mode = \"require\"");
    for (auto* file : {&tls.certificate, &tls.key, &tls.client_ca})
      if (!file->empty()) *file = (std::filesystem::path(out_.path).parent_path() / *file).string();
  }

  void read_auth(toml_section& top) {
    auto part = section(top, "auth");
    part.text("users_file", out_.users_file);
    part.text_list("admin_users", out_.admin_users);
    part.milliseconds("recheck_ms", out_.login_recheck, 0, hour_ms);
    part.finish();
    if (out_.users_file.empty()) return part.problem("users_file", "is missing; it names the file of users and secrets");
    const auto folder = std::filesystem::path(out_.path).parent_path();
    out_.users_file = (folder / out_.users_file).string();  // an absolute right side wins
    if (!std::ifstream(out_.users_file)) part.problem("users_file", fmt::format("{} cannot be read", out_.users_file));
  }

  void read_catalog(toml_section& top) {
    auto part = section(top, "catalog");
    part.text("dsn", out_.catalog_dsn);
    part.milliseconds("lease_ms", out_.catalog_lease, 1'000, 600'000);
    part.finish();
    out_.catalog_line = part.line_of("dsn");
    if (out_.catalog_dsn.empty()) {
      part.problem("dsn", "is missing; for example \"host=127.0.0.1 port=5432 dbname=shop user=pgrotor\"");
    } else if (const auto parts = parse_dsn(out_.catalog_dsn); !parts.error.empty()) {
      part.problem("dsn", parts.error);
    } else if (parts.user.empty()) {
      part.problem("dsn", "has no user; add user=pgrotor");
    }
    auto role = section(top, "shards_role");
    role.text("user", out_.shards_user);
    role.text("password", out_.shards_password);
    if (out_.shards_user.empty()) role.problem("user", "is empty; it is the role that pgrotor uses on every shard");
    role.finish();
  }

  void read_shards(toml_section& top) {
    top.allow("shard");
    const toml::node* node = root_.get("shard");
    if (node == nullptr) return;
    const toml::array* list = node->as_array();
    if (list == nullptr || !list->is_array_of_tables()) return top.problem("shard", "must be written [[shard]], once for each shard");
    for (const toml::node& item : *list) read_shard(*item.as_table());
  }
  void read_shard(const toml::table& table) {
    toml_section part(&table, "shard", static_cast<int>(table.source().begin.line), problems_);
    shard_config shard;
    part.text("name", shard.name);
    part.text("dsn", shard.dsn);
    part.finish();
    shard.line = part.line_of("dsn");
    if (!is_shard_name(shard.name)) {
      part.problem("name", fmt::format("\"{}\" is no shard name; up to 63 lower-case letters, digits and _, a letter first", shard.name));
    } else if (find_shard(shard.name)) {
      part.problem("name", fmt::format("{} is the name of another shard above", shard.name));
    }
    check_shard_dsn(part, shard.dsn);
    out_.shards.push_back(std::move(shard));
  }
  void check_shard_dsn(toml_section& part, const std::string& dsn) {
    const auto parts = parse_dsn(dsn);
    if (!parts.error.empty()) return part.problem("dsn", parts.error);
    if (const auto where = parse_shard_dsn(dsn); !where.error.empty()) part.problem("dsn", where.error);
    if (dsn.find("://") != std::string::npos) return part.problem("dsn", "must be written host=... port=... dbname=..., not as a URI");
    if (parts.host.empty()) part.problem("dsn", "has no host; for example \"host=127.0.0.1 port=5432 dbname=shop\"");
    if (parts.host.find(',') != std::string::npos && !asks_for_primary(dsn)) {
      part.problem("dsn", "names several hosts; add target_session_attrs=read-write (or primary), since a shard is one primary");
    }
    if (parts.dbname.empty()) part.problem("dsn", "has no dbname");
    if (!parts.user.empty() || !parts.password.empty()) {
      part.problem("dsn", "must not hold user or password; clients log in as themselves and pgrotor as [shards_role]");
    }
  }
  bool find_shard(std::string_view name) const {
    return std::ranges::any_of(out_.shards, [&](const shard_config& s) { return s.name == name; });
  }
  void check_default_shard(toml_section& top) {
    if (out_.shards.empty() && out_.default_shard.empty()) return;
    if (out_.default_shard.empty()) return top.problem("default_shard", "is missing; it names the shard of everything that is not sharded");
    if (!find_shard(out_.default_shard)) {
      top.problem("default_shard", fmt::format("\"{}\" is none of the [[shard]] names", out_.default_shard));
    }
  }

  void read_proxy(toml_section& top) {
    auto part = section(top, "proxy");
    part.integer("workers", out_.workers, 1, 256);
    part.milliseconds("drain_timeout_ms", out_.drain_timeout, 0, hour_ms);
    part.finish();
    read_pool(top);
  }

  void read_pool(toml_section& top) {
    auto pool = section(top, "pool");
    pool.integer("size", out_.pool_size, 1, 10'000);
    pool.integer("reserve", out_.pool_reserve, 0, 10'000);
    pool.integer("min", out_.pool_min, 0, 10'000);
    pool.integer("max_per_shard", out_.pool_max_per_shard, 0, 100'000);
    pool.milliseconds("wait_ms", out_.pool_wait, 1, hour_ms);
    pool.milliseconds("connect_timeout_ms", out_.connect_timeout, 1, hour_ms);
    pool.milliseconds("reserve_wait_ms", out_.pool_reserve_wait, 0, hour_ms);
    pool.milliseconds("lifetime_ms", out_.pool_lifetime, 0, year_ms);
    pool.milliseconds("idle_timeout_ms", out_.pool_idle_timeout, 0, year_ms);
    pool.milliseconds("check_ms", out_.pool_check, 0, hour_ms);
    pool.text("check_query", out_.pool_check_query);
    pool.text("order", out_.pool_order);
    std::string mode(to_string(out_.pool_mode));
    pool.text("mode", mode);
    pool.finish();
    const auto known = std::find(pooling_names.begin(), pooling_names.end(), mode);
    if (known == pooling_names.end()) pool.problem("mode", fmt::format("\"{}\" is no mode; {}", mode, fmt::join(pooling_names, ", ")));
    else out_.pool_mode = static_cast<pooling>(known - pooling_names.begin());
    check_pool(pool);
  }
  void check_pool(toml_section& pool) {
    if (out_.pool_min > out_.pool_size) pool.problem("min", fmt::format("{} is more than pool.size ({})", out_.pool_min, out_.pool_size));
    if (out_.pool_max_per_shard != 0 && out_.pool_max_per_shard < out_.pool_size) {
      pool.problem("max_per_shard", fmt::format("{} is less than pool.size ({}); no pool could ever be full", out_.pool_max_per_shard, out_.pool_size));
    }
    if (out_.pool_order != "last_used" && out_.pool_order != "round_robin") {
      pool.problem("order", fmt::format("\"{}\" is no order; last_used or round_robin", out_.pool_order));
    }
    if (out_.pool_check_query.empty()) pool.problem("check_query", "is empty; \";\" costs a server nothing");
  }

  void read_bounds(toml_section& top) {
    auto limits = section(top, "limits");
    limits.integer("max_clients", out_.max_clients, 1, 1'000'000);
    limits.integer("max_message_bytes", out_.max_message_bytes, 1'024, 1 << 30);
    limits.integer("max_prepared", out_.max_prepared, 0, 1'000'000);
    limits.milliseconds("login_timeout_ms", out_.login_timeout, 100, hour_ms);
    limits.finish();
    read_times(top);
    auto scatter = section(top, "scatter");
    scatter.integer("pull_limit", out_.pull_limit, 0, std::size_t{1} << 40);
    scatter.finish();
    auto gate = section(top, "gate");
    gate.integer("max_waiters", out_.gate_max_waiters, 1, 1'000'000);
    gate.milliseconds("hold_budget_ms", out_.gate_hold_budget, 10, hour_ms);
    gate.finish();
    auto cutover = section(top, "cutover");
    cutover.milliseconds("budget_ms", out_.cutover_budget, 20, 60'000);
    cutover.integer("migrations_at_once", out_.migrations_at_once, 1, 16);
    std::string strangers = "end";
    cutover.text("strangers", strangers);
    if (strangers != "end" && strangers != "name") cutover.problem("strangers", R"(must be "end" or "name")");
    out_.end_strangers = strangers == "end";
    cutover.finish();
    auto two_phase = section(top, "two_phase");
    two_phase.milliseconds("recover_after_ms", out_.recover_after, 100, hour_ms);
    two_phase.finish();
    if (out_.cutover_budget >= out_.gate_hold_budget) {
      cutover.problem("budget_ms", "must be less than gate.hold_budget_ms, or every cutover that is late fails the statements it holds");
    }
  }

  void read_times(toml_section& top) {
    auto times = section(top, "timeouts");
    times.milliseconds("query_ms", out_.query_timeout, 0, year_ms);
    times.milliseconds("idle_in_transaction_ms", out_.idle_in_transaction_timeout, 0, year_ms);
    times.milliseconds("transaction_ms", out_.transaction_timeout, 0, year_ms);
    times.milliseconds("client_idle_ms", out_.client_idle_timeout, 0, year_ms);
    times.finish();
    auto tcp = section(top, "tcp");
    tcp.milliseconds("keepalive_idle_ms", out_.tcp.keepalive_idle, 0, hour_ms);
    tcp.milliseconds("keepalive_interval_ms", out_.tcp.keepalive_interval, 1'000, hour_ms);
    tcp.integer("keepalive_count", out_.tcp.keepalive_count, 1, 100);
    tcp.milliseconds("user_timeout_ms", out_.tcp.user_timeout, 0, hour_ms);
    tcp.finish();
  }

  void read_rest(toml_section& top) {
    auto tools = section(top, "tools");
    tools.text("pg_dump", out_.pg_dump);
    if (out_.pg_dump.empty()) tools.problem("pg_dump", "is empty; give the program's path");
    tools.finish();
    auto log = section(top, "log");
    log.text("level", out_.log_level);
    if (!migration::parse_log_level(out_.log_level)) {
      log.problem("level", fmt::format("\"{}\" is no level; one of debug, info, warning, error", out_.log_level));
    }
    log.finish();
  }

  toml::table root_;
  problem_list problems_;
  config out_;
};

}  // namespace

config load_config(const std::string& path) {
  if (!std::ifstream(path)) throw config_error(fmt::format("{}: cannot be read", path));
  return loader(path).load();
}

}  // namespace proxy
