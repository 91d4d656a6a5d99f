#include "proxy/config/toml_section.h"

#include <algorithm>

#include <fmt/format.h>

#include "proxy/config/edit_distance.h"

namespace proxy {
namespace {

int line_of_node(const toml::node& node) { return static_cast<int>(node.source().begin.line); }

}  // namespace

void problem_list::add(int line, std::string_view key, std::string_view what) {
  const auto at = line > 0 ? fmt::format("{}:{}", path_, line) : path_;
  lines_.emplace_back(line, key.empty() ? fmt::format("{}: {}", at, what) : fmt::format("{}: {}: {}", at, key, what));
}

std::string problem_list::text() const {
  auto sorted = lines_;
  std::ranges::stable_sort(sorted, {}, [](const auto& line) { return line.first; });
  std::string out;
  for (const auto& [line, text] : sorted) out += (out.empty() ? "" : "\n") + text;
  return out;
}

toml_section::toml_section(const toml::table* table, std::string name, int line, problem_list& problems)
    : table_(table), name_(std::move(name)), line_(line), problems_(problems) {}

std::string toml_section::full(std::string_view key) const { return name_.empty() ? std::string(key) : fmt::format("{}.{}", name_, key); }

int toml_section::line_of(std::string_view key) const {
  const toml::node* node = table_ == nullptr ? nullptr : table_->get(key);
  return node == nullptr ? line_ : line_of_node(*node);
}

void toml_section::problem(std::string_view key, std::string_view what) { problems_.add(line_of(key), full(key), what); }

const toml::node* toml_section::take(std::string_view key) {
  known_.push_back(key);
  return table_ == nullptr ? nullptr : table_->get(key);
}

void toml_section::text(std::string_view key, std::string& out) {
  const toml::node* node = take(key);
  if (node == nullptr) return;
  if (const auto* value = node->as_string()) {
    out = value->get();
  } else {
    problem(key, "must be a text in quotes");
  }
}

void toml_section::text_list(std::string_view key, std::vector<std::string>& out) {
  const toml::node* node = take(key);
  if (node == nullptr) return;
  const toml::array* list = node->as_array();
  if (list == nullptr) return problem(key, R"(must be a list of texts, as in ["ada", "ben"])");
  out.clear();
  for (const toml::node& item : *list) {
    if (const auto* value = item.as_string()) {
      out.push_back(value->get());
    } else {
      problems_.add(line_of_node(item), full(key), "each item must be a text in quotes");
    }
  }
}

std::optional<std::int64_t> toml_section::checked_integer(std::string_view key, std::int64_t lowest, std::int64_t highest) {
  const toml::node* node = take(key);
  if (node == nullptr) return std::nullopt;
  const auto* value = node->as_integer();
  if (value == nullptr) {
    problem(key, fmt::format("must be a whole number between {} and {}, without quotes", lowest, highest));
    return std::nullopt;
  }
  if (value->get() < lowest || value->get() > highest) {
    problem(key, fmt::format("{} is out of bounds; it must lie between {} and {}", value->get(), lowest, highest));
    return std::nullopt;
  }
  return value->get();
}

void toml_section::milliseconds(std::string_view key, std::chrono::milliseconds& out, std::int64_t lowest, std::int64_t highest) {
  if (const auto value = checked_integer(key, lowest, highest)) out = std::chrono::milliseconds(*value);
}

void toml_section::finish() {
  if (table_ == nullptr) return;
  for (const auto& [key, node] : *table_) {
    if (std::ranges::find(known_, key.str()) != known_.end()) continue;
    const auto close = nearest(key.str(), known_, 1);
    const std::string what = node.is_table() || node.is_array_of_tables() ? "unknown section" : "unknown key";
    problems_.add(line_of_node(node), full(key.str()), close.empty() ? what : fmt::format("{}; nearest: {}", what, full(close.front())));
  }
}

}  // namespace proxy
