#include "proxy/auth/users.h"

#include <fstream>
#include <stdexcept>
#include <string_view>

#include <fmt/format.h>

#include "proxy/net/crypto.h"
#include "proxy/net/saslprep.h"

namespace proxy {
namespace {

constexpr std::uint32_t scram_iterations = 4096;  // PostgreSQL's own
constexpr std::size_t salt_bytes = 16;
constexpr std::string_view blanks = " \t\r";

struct line_reader {
  std::string_view rest;
  std::string where;  // "file:line"

  [[noreturn]] void fail(std::string_view what) const { throw std::runtime_error(fmt::format("{}: {}", where, what)); }

  void skip_blanks() { rest.remove_prefix(std::min(rest.find_first_not_of(blanks), rest.size())); }
  bool at_end() {
    skip_blanks();
    return rest.empty() || rest.front() == '#' || rest.front() == ';';
  }
  // "..." with "" for one quote, as in PgBouncer's userlist.txt.
  std::string quoted(std::string_view what) {
    skip_blanks();
    if (rest.empty() || rest.front() != '"') fail(fmt::format("expected the {} in double quotes", what));
    std::string value;
    for (rest.remove_prefix(1); !rest.empty(); rest.remove_prefix(1)) {
      if (rest.front() == '"') {
        rest.remove_prefix(1);
        if (rest.empty() || rest.front() != '"') return value;
      }
      value.push_back(rest.front());
    }
    fail(fmt::format("the {} has no closing double quote", what));
  }
};

user_secret read_secret(const line_reader& at, std::string text) {
  if (text.empty()) at.fail("the secret is empty; nobody could log in with it");
  if (text.starts_with("SCRAM-SHA-256$")) {
    auto verifier = protocol::parse_scram_verifier(text);
    if (!verifier) at.fail("the SCRAM-SHA-256 verifier is damaged; copy rolpassword of pg_authid whole");
    return {std::move(*verifier), std::nullopt};
  }
  if (text.starts_with("md5") && text.size() == 35) at.fail("md5 secrets are not supported; use a SCRAM-SHA-256 verifier or a password");
  text = saslprep(std::move(text));
  auto verifier = protocol::make_scram_verifier(openssl_crypto(), text, random_bytes(salt_bytes), scram_iterations);
  return {std::move(verifier), std::move(text)};
}

}  // namespace

users users::load(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(fmt::format("{}: cannot be read", path));
  users loaded;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    line_reader in{line, fmt::format("{}:{}", path, number)};
    if (in.at_end()) continue;
    std::string name = in.quoted("user");
    if (name.empty()) in.fail("the user is empty");
    std::string secret = in.quoted("secret");
    if (!in.at_end()) in.fail("only a user and a secret are expected on a line");
    if (loaded.users_.contains(name)) in.fail(fmt::format("user \"{}\" is listed twice", name));
    loaded.users_.emplace(std::move(name), read_secret(in, std::move(secret)));
  }
  if (file.bad()) throw std::runtime_error(fmt::format("{}: cannot be read to its end", path));
  if (loaded.users_.empty()) throw std::runtime_error(fmt::format("{}: no user; nobody could log in", path));
  return loaded;
}

std::vector<std::string> users::names() const {
  std::vector<std::string> out;
  for (const auto& each : users_) out.push_back(each.first);
  return out;
}

const user_secret* users::find(const std::string& name) const noexcept {
  const auto found = users_.find(name);
  return found == users_.end() ? nullptr : &found->second;
}

users load_users(const config& c) try {
  users loaded = users::load(c.users_file);
  std::string problems;
  for (const auto& name : c.admin_users) {
    if (loaded.find(name) != nullptr) continue;
    problems += fmt::format("{}{}: auth.admin_users: \"{}\" is not in {}", problems.empty() ? "" : "\n", c.path, name, c.users_file);
  }
  if (!problems.empty()) throw config_error(problems);
  return loaded;
} catch (const config_error&) {
  throw;
} catch (const std::runtime_error& error) {
  throw config_error(error.what());
}

}  // namespace proxy
